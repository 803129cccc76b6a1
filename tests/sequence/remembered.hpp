// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "mamba2/layers/state.hpp"

namespace tests {

/// What the layers of a state remember.
inline std::vector<std::byte> remembered(const mamba2::State& state) {
  std::vector<std::byte> bytes;
  state.for_parts([&](std::span<const std::byte> part) {
    bytes.insert(bytes.end(), part.begin(), part.end());
  });
  return bytes;
}

}  // namespace tests
