// SPDX-License-Identifier: Apache-2.0
#include "tools/chat_format.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <string>
#include <string_view>

#include "tests/io/gguf_writer.hpp"
#include "tests/io/temp_dir.hpp"

TEST_CASE("a chat template is found wherever a model may have it") {
  const mamba2_tests::TempDir dir;
  const auto has = [&](std::string_view file, std::string_view text) {
    dir.write(file, text);
    const bool found = cli::has_chat_template(dir.path()).value();
    std::filesystem::remove(dir.path() / file);
    return found;
  };
  CHECK(!cli::has_chat_template(dir.path()).value());
  CHECK(has("chat_template.jinja", "{{ messages }}"));
  CHECK(has("chat_template.json", R"({"chat_template": "x"})"));
  CHECK(has("tokenizer_config.json", R"({"chat_template": "x"})"));
  CHECK(has("tokenizer_config.json", R"({"chat_template": [{"name": "default"}]})"));
  CHECK(!has("tokenizer_config.json", R"({"chat_template": null})"));
  CHECK(!has("tokenizer_config.json", R"({"model_max_length": 1000000000000000019884624838656})"));
  CHECK(!has("tokenizer_config.json", "[]"));

  mamba2_tests::GgufWriter gguf;
  gguf.add("general.architecture", "mamba2");
  CHECK(!cli::has_chat_template(dir.write("plain.gguf", gguf.bytes())).value());
  gguf.add("tokenizer.chat_template", "{{ messages }}");
  CHECK(cli::has_chat_template(dir.write("chat.gguf", gguf.bytes())).value());

  const auto weights = dir.write("model.safetensors", "weights");
  CHECK(!cli::has_chat_template(weights).value());
  dir.write("chat_template.jinja", "{{ messages }}");
  CHECK(cli::has_chat_template(weights).value());
}

TEST_CASE("where a chat template cannot be looked for, the file is named") {
  const mamba2_tests::TempDir dir;
  dir.write("tokenizer_config.json", "{");
  const auto broken = cli::has_chat_template(dir.path());
  REQUIRE(!broken);
  CHECK(broken.error().message ==
        (dir.path() / "tokenizer_config.json: line 1: expected JSON, found a syntax error"));
  CHECK(!cli::has_chat_template(dir.path() / "missing"));
}

TEST_CASE("a turn is what the template has around the line and the answer") {
  const auto format = cli::ChatFormat::parse("<user>{user}</user>\n<bot>{assistant}</bot>\n");
  CHECK(!format.is_story());
  CHECK(format.before == "<user>");
  CHECK(format.between == "</user>\n<bot>");
  CHECK(format.after == "</bot>\n");
  CHECK(format.stop() == "</bot>");
  CHECK(format.next("Well.", "Why?") == "</bot>\n<user>");
  const auto plain = cli::ChatFormat::parse("Q: {user}\nA:{assistant}\n");
  CHECK(plain.stop() == "\nQ:");
  CHECK(plain.next("Well.", "Why?") == "\nQ: ");
  for (const char* wrong :
       {"", "{user}", "{assistant}", "{user}{assistant}", "{assistant} {user}"}) {
    CAPTURE(wrong);
    CHECK(cli::ChatFormat::parse(wrong).is_story());
  }
}

TEST_CASE("a story has paragraphs and sentences") {
  const cli::ChatFormat story;
  CHECK(story.stop() == "");
  CHECK(story.next(" a fox.", "It ran.") == "\n\n");
  CHECK(story.next(" a \"fox!\"", "It ran.") == "\n\n");
  CHECK(story.next("", "It ran.") == "\n\n");
  CHECK(story.next(" a fox,", "which ran") == " ");
  CHECK(story.next(" a fox", "ran") == " ");
  CHECK(story.next(" a fox", " ran") == "");
  CHECK(story.next(" a fox.", " It ran") == "");
  CHECK(story.next(" a fox.\n", "It ran") == "");
}
