// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace tests {

/// Returns the pointer; what it points to counts as used, so that a compiler cannot leave the
/// request for that memory out, as it may.
template <class T>
T* used(T* pointer) {
  asm volatile("" : "+r"(pointer) : : "memory");
  return pointer;
}

}  // namespace tests
