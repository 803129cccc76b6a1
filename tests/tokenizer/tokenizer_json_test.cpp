// SPDX-License-Identifier: Apache-2.0
#include "mamba2/tokenizer/tokenizer_json.hpp"

#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <string_view>

#include "tests/tokenizer/tiny_tokenizer.hpp"

namespace {

using mamba2::ErrorCode;
using mamba2::detail::read_tokenizer_json;
using tiny::Json;

using Change = std::function<void(Json&)>;

mamba2::Result<mamba2::detail::TokenizerFile> changed_json(const Change& change) {
  Json json = tiny::tokenizer();
  change(json);
  return read_tokenizer_json(json.dump(), "t.json");
}

void refused(ErrorCode code, std::string_view message, const Change& change) {
  const auto file = changed_json(change);
  REQUIRE_FALSE(file);
  CHECK(file.error().code == code);
  CHECK(file.error().message == "t.json: " + std::string(message));
}

const Json kByteLevel = {{"type", "ByteLevel"}, {"add_prefix_space", true}, {"use_regex", false}};

}  // namespace

TEST_CASE("the parts of a file") {
  const auto file = changed_json([](Json&) {});
  REQUIRE(file);
  CHECK(file->vocab.size() == 262);
  CHECK(file->merges.size() == 6);
  REQUIRE(file->find("hello") != nullptr);
  CHECK(file->find("hello")->id == 259);
  CHECK(file->find("<|end|>") == nullptr);
  REQUIRE(file->added_tokens.size() == 1);
  CHECK(file->added_tokens[0].content == "<|end|>");
  CHECK(file->added_tokens[0].id == 262);
  CHECK(file->added_tokens[0].special);
  CHECK_FALSE(file->added_tokens[0].normalized);
  CHECK_FALSE(file->nfc);
  CHECK_FALSE(file->add_prefix_space);
  CHECK(file->use_regex);
  CHECK_FALSE(file->ignore_merges);
  CHECK(file->fallback_key.empty());
}

TEST_CASE("what is supported") {
  const auto nfc = changed_json([](Json& j) { j["normalizer"] = {{"type", "NFC"}}; });
  REQUIRE(nfc);
  CHECK(nfc->nfc);
  const auto sequences = changed_json([](Json& j) {
    const Json norm = {{"type", "NFC"}};
    j["normalizer"] = {{"type", "Sequence"}, {"normalizers", {norm, norm}}};
    j["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", Json::array({kByteLevel})}};
    j["decoder"] = {{"type", "Sequence"}, {"decoders", Json::array({kByteLevel})}};
    j["post_processor"] = {
        {"type", "Sequence"},
        {"processors",
         {kByteLevel,
          {{"type", "TemplateProcessing"},
           {"single", Json::array({{{"Sequence", {{"id", "A"}, {"type_id", 0}}}}})}}}}};
  });
  REQUIRE(sequences);
  CHECK(sequences->nfc);
  CHECK(sequences->add_prefix_space);
  CHECK_FALSE(sequences->use_regex);
  const auto model = changed_json([](Json& j) {
    j["model"]["ignore_merges"] = true;
    j["model"]["dropout"] = 0.0;
    j["model"]["continuing_subword_prefix"] = "";
    j["model"]["end_of_word_suffix"] = nullptr;
    j["model"]["unk_token"] = "<|end|>";
    j["model"]["byte_fallback"] = nullptr;
    j["model"].erase("type");
    j.erase("added_tokens");
    j.erase("normalizer");
    j.erase("post_processor");
  });
  REQUIRE(model);
  CHECK(model->ignore_merges);
  CHECK(model->fallback_key == "unk_token");
  CHECK(model->added_tokens.empty());
}

TEST_CASE("what is not supported is refused by name") {
  const ErrorCode no = ErrorCode::unsupported;
  refused(no, R"(model.type must be "BPE", found "Unigram")",
          [](Json& j) { j["model"]["type"] = "Unigram"; });
  refused(no, "model.dropout must be null or 0, found 0.1",
          [](Json& j) { j["model"]["dropout"] = 0.1; });
  refused(no, R"(model.continuing_subword_prefix must be null or empty, found "##")",
          [](Json& j) { j["model"]["continuing_subword_prefix"] = "##"; });
  refused(no, R"(model.end_of_word_suffix must be null or empty, found "</w>")",
          [](Json& j) { j["model"]["end_of_word_suffix"] = "</w>"; });
  refused(no, R"(normalizer must be NFC or null, found "Lowercase")", [](Json& j) {
    j["normalizer"] = {{"type", "Sequence"},
                       {"normalizers", {{{"type", "NFC"}}, {{"type", "Lowercase"}}}}};
  });
  refused(no, R"(pre_tokenizer must be ByteLevel, found "Metaspace")", [](Json& j) {
    j["pre_tokenizer"] = {{"type", "Metaspace"}};
  });
  refused(no, "pre_tokenizer must be ByteLevel, found none",
          [](Json& j) { j["pre_tokenizer"] = nullptr; });
  refused(no, "pre_tokenizer must be ByteLevel, found 2 parts", [](Json& j) {
    j["pre_tokenizer"] = {{"type", "Sequence"},
                          {"pretokenizers", {{{"type", "Split"}}, kByteLevel}}};
  });
  refused(no, "decoder must be ByteLevel, found none", [](Json& j) { j.erase("decoder"); });
  refused(no, R"(decoder must be ByteLevel, found "WordPiece")", [](Json& j) {
    j["decoder"] = {{"type", "WordPiece"}};
  });
  refused(no,
          R"(post_processor must be ByteLevel, TemplateProcessing or null, found "BertProcessing")",
          [](Json& j) {
            j["post_processor"] = {{"type", "BertProcessing"}};
          });
  refused(
      no,
      "post_processor must be one that adds no token (single = one Sequence), found a list of 2",
      [](Json& j) {
        j["post_processor"] = {
            {"type", "TemplateProcessing"},
            {"single", {{{"SpecialToken", {{"id", "<s>"}}}}, {{"Sequence", {{"id", "A"}}}}}}};
      });
  refused(
      no,
      "post_processor must be one that adds no token (single = one Sequence), found a list of 1",
      [](Json& j) {
        j["post_processor"] = {{"type", "TemplateProcessing"},
                               {"single", Json::array({{{"SpecialToken", 1}}})}};
      });
  refused(no, "truncation must be null, found an object", [](Json& j) {
    j["truncation"] = {{"max_length", 5}};
  });
  refused(no, "padding must be null, found an object", [](Json& j) {
    j["padding"] = {{"length", 5}};
  });
  for (const std::string key : {"single_word", "lstrip", "rstrip"}) {
    refused(no, "added_tokens[0]." + key + " must be false, found true",
            [&](Json& j) { j["added_tokens"][0][key] = true; });
  }
  refused(no, "added_tokens[0].content must be at most 256 bytes long, found 257",
          [](Json& j) { j["added_tokens"][0]["content"] = std::string(257, 'x'); });
}

TEST_CASE("wrong types and missing keys are malformed") {
  const ErrorCode bad = ErrorCode::malformed;
  refused(bad, "expected an object, found a list of 0", [](Json& j) { j = Json::array(); });
  refused(bad, "model must be an object, found none", [](Json& j) { j.erase("model"); });
  refused(bad, "model must be an object, found \"x\"", [](Json& j) { j["model"] = "x"; });
  refused(bad, "model.vocab must be an object, found none",
          [](Json& j) { j["model"].erase("vocab"); });
  refused(bad, "model.vocab must be an object, found none",
          [](Json& j) { j["model"]["vocab"] = 5; });
  refused(bad, "model.merges must be a list, found none",
          [](Json& j) { j["model"].erase("merges"); });
  refused(bad, "model.ignore_merges must be true or false, found 1",
          [](Json& j) { j["model"]["ignore_merges"] = 1; });
  refused(bad, "normalizer must be an object with a type, found 1",
          [](Json& j) { j["normalizer"] = 1; });
  refused(bad, "normalizer must be an object with a type, found an object", [](Json& j) {
    j["normalizer"] = {{"type", 3}};
  });
  refused(bad, "pre_tokenizer: a Sequence must have a list pretokenizers, found none", [](Json& j) {
    j["pre_tokenizer"] = {{"type", "Sequence"}};
  });
  refused(bad, "pre_tokenizer.add_prefix_space must be given, found no such key",
          [](Json& j) { j["pre_tokenizer"].erase("add_prefix_space"); });
  refused(bad, "pre_tokenizer.use_regex must be true or false, found null",
          [](Json& j) { j["pre_tokenizer"]["use_regex"] = nullptr; });
  refused(bad, "added_tokens must be a list, found an object",
          [](Json& j) { j["added_tokens"] = Json::object(); });
  refused(bad, "added_tokens[0] must be an object, found 7",
          [](Json& j) { j["added_tokens"] = {7}; });
  refused(bad, "added_tokens[0].id must be an integer in 0..2147483647, found -1",
          [](Json& j) { j["added_tokens"][0]["id"] = -1; });
  refused(bad, "added_tokens[0].id must be at most 16777215, found 2147483647",
          [](Json& j) { j["added_tokens"][0]["id"] = 2147483647; });
  refused(bad, "added_tokens[0].special must be given, found no such key",
          [](Json& j) { j["added_tokens"][0].erase("special"); });
  refused(bad, "added_tokens[0].content must be a string that is not empty, found \"\"",
          [](Json& j) { j["added_tokens"][0]["content"] = ""; });
  refused(bad, "added_tokens[0].content must be a string that is not empty, found 3",
          [](Json& j) { j["added_tokens"][0]["content"] = 3; });
  refused(bad, "added_tokens[1].content must be another than before, found \"<|end|>\"",
          [](Json& j) { j["added_tokens"].push_back(j["added_tokens"][0]); });
}

TEST_CASE("a token twice in the vocabulary is malformed") {
  std::string text = tiny::tokenizer().dump();
  text.replace(text.find(R"("hello":)"), 8, R"("hell":)");
  const auto file = read_tokenizer_json(text, "t.json");
  REQUIRE_FALSE(file);
  CHECK(file.error().message == R"(t.json: model.vocab: the token "hell" occurs twice)");
}
