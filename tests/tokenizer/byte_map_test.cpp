// SPDX-License-Identifier: Apache-2.0
#include "mamba2/tokenizer/byte_map.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace mamba2::detail;

TEST_CASE("bytes and characters stand for each other") {
  for (std::size_t byte = 0; byte < 256; ++byte) {
    const char32_t c = kByteToChar[byte];
    REQUIRE(c < kMappedChars);
    CHECK(kCharToByte[c] == static_cast<int>(byte));
  }
  CHECK(kByteToChar['A'] == U'A');
  CHECK(kByteToChar[' '] == U'\u0120');
  CHECK(kByteToChar['\n'] == U'\u010A');
  CHECK(kByteToChar[0] == U'\u0100');
  CHECK(kByteToChar[0xAD] == U'\u0143');  // the last of the 68
  CHECK(kByteToChar[0xFF] == U'\u00FF');
  CHECK(kCharToByte[' '] == -1);
}

TEST_CASE("texts become bytes as a whole or not at all") {
  std::string out = "x";
  CHECK(append_mapped_bytes("\u0120the", out));
  CHECK(out == "x the");
  CHECK(append_mapped_bytes("", out));
  CHECK(append_mapped_bytes("\u00E2\u0124\u00AC", out));  // the three bytes of the euro sign
  CHECK(out == "x the\xE2\x82\xAC");
  out.clear();
  CHECK_FALSE(append_mapped_bytes("ab c", out));  // a blank stands for nothing
  CHECK(out == "ab c");
  out.clear();
  CHECK_FALSE(append_mapped_bytes("\u0120\u4E2D", out));
  CHECK(out == "\u0120\u4E2D");
}
