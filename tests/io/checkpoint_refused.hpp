// SPDX-License-Identifier: Apache-2.0
// A checkpoint that must be refused.
#pragma once

#include <doctest/doctest.h>

#include <initializer_list>
#include <string>
#include <string_view>

#include "mamba2/io/checkpoint.hpp"

namespace mamba2_tests {

/// It must be an error of this code, in one line that has all of these parts.
inline void check_refused(const mamba2::Result<mamba2::Checkpoint>& checkpoint,
                          mamba2::ErrorCode code, std::initializer_list<std::string_view> parts) {
  REQUIRE(!checkpoint);
  const std::string& message = checkpoint.error().message;
  CAPTURE(message);
  CHECK(checkpoint.error().code == code);
  CHECK(message.find('\n') == std::string::npos);
  for (const std::string_view part : parts) {
    CAPTURE(part);
    CHECK(message.find(part) != std::string::npos);
  }
}

}  // namespace mamba2_tests
