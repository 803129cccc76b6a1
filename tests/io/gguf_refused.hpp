// SPDX-License-Identifier: Apache-2.0
// What every refusal of a GGUF file must be like.
#pragma once

#include <doctest/doctest.h>

#include <initializer_list>
#include <string>
#include <string_view>

#include "mamba2/core/result.hpp"

namespace mamba2_tests {

/// The result must be an error of this code about f.gguf, in one line that has all of these parts.
template <class T>
void check_refused(const mamba2::Result<T>& result, mamba2::ErrorCode code,
                   std::initializer_list<std::string_view> parts) {
  REQUIRE(!result);
  const std::string& message = result.error().message;
  CAPTURE(message);
  CHECK(result.error().code == code);
  CHECK(message.starts_with("f.gguf: "));
  CHECK(message.find('\n') == std::string::npos);
  for (const std::string_view part : parts) {
    CAPTURE(part);
    CHECK(message.find(part) != std::string::npos);
  }
}

}  // namespace mamba2_tests
