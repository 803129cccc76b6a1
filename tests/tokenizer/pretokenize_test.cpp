// SPDX-License-Identifier: Apache-2.0
#include "mamba2/tokenizer/pretokenize.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Pieces = std::vector<std::string>;

Pieces pieces(std::string_view text) {
  mamba2::detail::Pretokenizer pretokenizer;
  Pieces out;
  while (!text.empty()) {
    const std::size_t length = pretokenizer.first_piece(text);
    REQUIRE(length > 0);
    REQUIRE(length <= text.size());
    out.emplace_back(text.substr(0, length));
    text.remove_prefix(length);
  }
  return out;
}

}  // namespace

TEST_CASE("words, numbers and the rest") {
  CHECK(pieces("").empty());
  CHECK(pieces("Hello world") == Pieces{"Hello", " world"});
  CHECK(pieces("abc123!?def") == Pieces{"abc", "123", "!?", "def"});
  CHECK(pieces("a 1 ! b") == Pieces{"a", " 1", " !", " b"});
  CHECK(pieces("größe Жук 中文字") == Pieces{"größe", " Жук", " 中文字"});
  CHECK(pieces("١٢٣½Ⅷ") == Pieces{"١٢٣½Ⅷ"});
  CHECK(pieces("e\u0301t") == Pieces{"e", "\u0301", "t"});  // a mark is no letter
  CHECK(pieces("1234567890123") == Pieces{"1234567890123"});
}

TEST_CASE("contractions") {
  CHECK(pieces("it's we'll I'd") == Pieces{"it", "'s", " we", "'ll", " I", "'d"});
  CHECK(pieces("'re've'm't") == Pieces{"'re", "'ve", "'m", "'t"});
  CHECK(pieces("IT'S") == Pieces{"IT", "'", "S"});
  CHECK(pieces("a 's") == Pieces{"a", " '", "s"});
  CHECK(pieces("''s") == Pieces{"''", "s"});
  CHECK(pieces("'") == Pieces{"'"});
  CHECK(pieces("'l 'r") == Pieces{"'", "l", " '", "r"});
  CHECK(pieces("'stop") == Pieces{"'s", "top"});
  CHECK(pieces("!'s") == Pieces{"!'", "s"});
}

TEST_CASE("white space") {
  CHECK(pieces(" ") == Pieces{" "});
  CHECK(pieces("   ") == Pieces{"   "});
  CHECK(pieces("   a") == Pieces{"  ", " a"});
  CHECK(pieces("a\n\nb") == Pieces{"a", "\n", "\n", "b"});
  CHECK(pieces("a\nb") == Pieces{"a", "\n", "b"});
  CHECK(pieces("a \nb") == Pieces{"a", " ", "\n", "b"});
  CHECK(pieces("a\n b") == Pieces{"a", "\n", " b"});
  CHECK(pieces("\t\t1") == Pieces{"\t", "\t", "1"});
  CHECK(pieces("x\u00A0y") == Pieces{"x", "\u00A0", "y"});
  CHECK(pieces("x\u3000\u3000y") == Pieces{"x", "\u3000", "\u3000", "y"});
  CHECK(pieces("x\u3000 y ") == Pieces{"x", "\u3000", " y", " "});
  CHECK(pieces("x \u200B") == Pieces{"x", " \u200B"});  // a zero width space is no white space
}

TEST_CASE("long runs are one piece") {
  const std::string letters(100000, 'a');
  CHECK(pieces(letters) == Pieces{letters});
  const std::string blanks(100000, ' ');
  CHECK(pieces(blanks + "x") == Pieces{blanks.substr(1), " x"});
  const std::string lines(100000, '\n');
  CHECK(pieces(lines + "x") == Pieces{lines.substr(1), "\n", "x"});
}
