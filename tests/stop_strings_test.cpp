// SPDX-License-Identifier: Apache-2.0
#include "mamba2/stop_strings.hpp"

#include <doctest/doctest.h>

using mamba2::StopStrings;

namespace {

/// What comes out when the text goes in `step` bytes at a time.
std::string pass(const std::vector<std::string>& stops, std::string_view text, std::size_t step) {
  StopStrings stop(stops);
  std::string out;
  for (std::size_t i = 0; i < text.size(); i += step) out += stop.push(text.substr(i, step));
  out += stop.finish();
  return out;
}

}  // namespace

TEST_CASE("text ends before the first stop string, however it arrives") {
  for (const std::size_t step : std::vector<std::size_t>{1, 2, 3, 7, 100}) {
    CAPTURE(step);
    CHECK(pass({"END"}, "once upon END a time", step) == "once upon ");
    CHECK(pass({"END"}, "once upon EN a time EN", step) == "once upon EN a time EN");
    CHECK(pass({"aab"}, "aaaab", step) == "aa");
    CHECK(pass({"xyz", "b c"}, "a b c xyz", step) == "a ");
    CHECK(pass({}, "all of it", step) == "all of it");
    CHECK(pass({""}, "all of it", step) == "all of it");
  }
}

TEST_CASE("only what may begin a stop string is held back") {
  StopStrings stop({"\n\nQ:"});
  CHECK(stop.push("An answer.\n") == "An answer.");
  CHECK(stop.push("\n") == "");
  CHECK(stop.push("More") == "\n\nMore");
  CHECK(!stop.stopped());
  CHECK(stop.push("\n\nQ: why") == "");
  CHECK(stop.stopped());
  CHECK(stop.push("more") == "");
  CHECK(stop.finish() == "");
}

TEST_CASE("what was held back comes out at the end") {
  StopStrings stop({"stop"});
  CHECK(stop.push("do not sto") == "do not ");
  CHECK(stop.finish() == "sto");
}
