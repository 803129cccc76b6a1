// SPDX-License-Identifier: Apache-2.0
#include "tools/chat_format.hpp"

#include <doctest/doctest.h>

TEST_CASE("a turn is what the template has around the line and the answer") {
  const auto format = cli::ChatFormat::parse("<user>{user}</user>\n<bot>{assistant}</bot>\n");
  CHECK(!format.is_story());
  CHECK(format.before == "<user>");
  CHECK(format.between == "</user>\n<bot>");
  CHECK(format.after == "</bot>\n");
  for (const char* wrong :
       {"", "{user}", "{assistant}", "{user}{assistant}", "{assistant} {user}"}) {
    CAPTURE(wrong);
    CHECK(cli::ChatFormat::parse(wrong).is_story());
  }
}

TEST_CASE("a story has paragraphs and sentences") {
  using story = cli::ChatFormat;
  CHECK(story::next(" a fox.", "It ran.") == "\n\n");
  CHECK(story::next(" a \"fox!\"", "It ran.") == "\n\n");
  CHECK(story::next("", "It ran.") == "\n\n");
  CHECK(story::next(" a fox,", "which ran") == " ");
  CHECK(story::next(" a fox", "ran") == " ");
  CHECK(story::next(" a fox", " ran") == "");
  CHECK(story::next(" a fox.", " It ran") == "");
  CHECK(story::next(" a fox.\n", "It ran") == "");
}
