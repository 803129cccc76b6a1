// SPDX-License-Identifier: Apache-2.0
#include "mamba2/core/result.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <string>

using mamba2::Error;
using mamba2::ErrorCode;
using mamba2::Result;

TEST_CASE("a Result holds a value, movable only or not") {
  Result<std::unique_ptr<int>> result = std::make_unique<int>(7);
  REQUIRE(result);
  CHECK(**result == 7);
  const std::unique_ptr<int> moved = std::move(result).value();
  CHECK(*moved == 7);
}

TEST_CASE("a Result holds an error, and value() reports it") {
  const Result<int> result = Error{ErrorCode::io, "model.bin: cannot be opened"};
  REQUIRE(!result);
  CHECK(result.error().code == ErrorCode::io);
#if defined(__cpp_exceptions)
  CHECK_THROWS_WITH((void)result.value(), "model.bin: cannot be opened");
#endif
  Result<void> nothing;
  CHECK(nothing);
  nothing = Error{ErrorCode::malformed, "broken"};
  CHECK(!nothing);
  CHECK(nothing.error().message == "broken");
}

TEST_CASE("concat joins text and numbers, whatever the locale") {
  CHECK(mamba2::detail::concat("a ", 12U, '/', -3, " is ", 0.5F, std::string("!")) ==
        "a 12/-3 is 0.5!");
}
