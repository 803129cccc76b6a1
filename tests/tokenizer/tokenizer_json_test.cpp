// SPDX-License-Identifier: Apache-2.0
#include "mamba2/tokenizer/tokenizer_json.hpp"

#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/tokenizer/tiny_tokenizer.hpp"

namespace {

using mamba2::ErrorCode;
using mamba2::detail::DecoderStep;
using mamba2::detail::NormalizerStep;
using mamba2::detail::PreTokenizerStep;
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
  CHECK(file->normalizer.empty());
  CHECK(file->pre_tokenizer == std::vector<PreTokenizerStep>{PreTokenizerStep()});
  CHECK(file->decoder == std::vector<DecoderStep>{DecoderStep()});
  CHECK(file->prefix.empty());
  CHECK(file->suffix.empty());
  CHECK_FALSE(file->ignore_merges);
  CHECK_FALSE(file->byte_fallback);
  CHECK_FALSE(file->unk_token);
}

TEST_CASE("what is supported") {
  const auto nfc = changed_json([](Json& j) { j["normalizer"] = {{"type", "NFC"}}; });
  REQUIRE(nfc);
  CHECK(nfc->normalizer == std::vector<NormalizerStep>{NormalizerStep()});
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
  CHECK(sequences->normalizer.size() == 2);
  REQUIRE(sequences->pre_tokenizer.size() == 1);
  CHECK(sequences->pre_tokenizer[0].add_prefix_space);
  CHECK_FALSE(sequences->pre_tokenizer[0].use_regex);
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
  CHECK(model->unk_token == "<|end|>");
  CHECK_FALSE(model->byte_fallback);
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
  refused(no,
          "normalizer must be null or of NFC, NFD, NFKC, NFKD, Lowercase, Prepend, Replace, Strip, "
          "found \"Nmt\"",
          [](Json& j) {
            j["normalizer"] = {{"type", "Sequence"},
                               {"normalizers", {{{"type", "NFC"}}, {{"type", "Nmt"}}}}};
          });
  refused(no,
          "pre_tokenizer must be null or of ByteLevel, Split, Digits, Punctuation, Whitespace, "
          "WhitespaceSplit, CharDelimiterSplit, Metaspace, found \"UnicodeScripts\"",
          [](Json& j) {
            j["pre_tokenizer"] = {{"type", "UnicodeScripts"}};
          });
  const std::string decoders =
      "decoder must be of ByteLevel, ByteFallback, Replace, Fuse, Strip, Metaspace, found ";
  refused(no, decoders + "none", [](Json& j) { j.erase("decoder"); });
  refused(no, decoders + "\"WordPiece\"", [](Json& j) { j["decoder"] = {{"type", "WordPiece"}}; });
  refused(no,
          "post_processor must be null or of ByteLevel, TemplateProcessing, found "
          "\"BertProcessing\"",
          [](Json& j) {
            j["post_processor"] = {{"type", "BertProcessing"}};
          });
  refused(no,
          "post_processor must be a TemplateProcessing with one Sequence A in single, found a list "
          "of 2",
          [](Json& j) {
            j["post_processor"] = {
                {"type", "TemplateProcessing"},
                {"single", {{{"Sequence", {{"id", "A"}}}}, {{"Sequence", {{"id", "A"}}}}}}};
          });
  refused(no,
          "post_processor must be a TemplateProcessing with one Sequence A in single, found a list "
          "of 1",
          [](Json& j) {
            j["post_processor"] = {{"type", "TemplateProcessing"},
                                   {"single", Json::array({{{"Sequence", {{"id", "B"}}}}})}};
          });
  refused(no, "pre_tokenizer must be at most 32 steps, found 33", [](Json& j) {
    Json steps = Json::array();
    for (int i = 0; i < 33; ++i) steps.push_back(kByteLevel);
    j["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", steps}};
  });
  refused(no, "added_tokens[0].content must be at most 256 bytes long, found 257",
          [](Json& j) { j["added_tokens"][0]["content"] = std::string(257, 'x'); });
}

TEST_CASE("wrong types and missing keys are malformed") {
  const ErrorCode bad = ErrorCode::malformed;
  refused(bad,
          "post_processor.single must be of special tokens that special_tokens has ids for, found "
          "\"<s>\"",
          [](Json& j) {
            j["post_processor"] = {
                {"type", "TemplateProcessing"},
                {"single", {{{"SpecialToken", {{"id", "<s>"}}}}, {{"Sequence", {{"id", "A"}}}}}}};
          });
  refused(bad, "normalizer.content must be a string, found none", [](Json& j) {
    j["normalizer"] = {{"type", "Replace"}, {"pattern", {{"String", " "}}}};
  });
  refused(bad, "pre_tokenizer.pattern must be {\"String\": text} or {\"Regex\": text}, found \"x\"",
          [](Json& j) {
            j["pre_tokenizer"] = {{"type", "Split"}, {"pattern", "x"}, {"behavior", "Removed"}};
          });
  refused(bad,
          "pre_tokenizer.behavior must be one of Removed, Isolated, MergedWithPrevious, "
          "MergedWithNext, Contiguous, found \"Kept\"",
          [](Json& j) {
            j["pre_tokenizer"] = {
                {"type", "Split"}, {"pattern", {{"String", "x"}}}, {"behavior", "Kept"}};
          });
  refused(bad, "decoder.content must be one character, found \"ab\"", [](Json& j) {
    j["decoder"] = {{"type", "Strip"}, {"content", "ab"}, {"start", 1}, {"stop", 0}};
  });
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

TEST_CASE("what is said of padding and truncation is passed over") {
  CHECK(changed_json([](Json& j) {
    j["truncation"] = {{"max_length", 5}};
    j["padding"] = {{"length", 5}};
  }));
}

TEST_CASE("the steps are read as they are written") {
  const auto file = changed_json([](Json& j) {
    const Json pattern = {{"Regex", "\\s"}};
    j["normalizer"] = {{"type", "Sequence"},
                       {"normalizers",
                        {{{"type", "Prepend"}, {"prepend", "x"}},
                         {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "_"}},
                         {{"type", "Strip"}, {"strip_left", false}, {"strip_right", true}}}}};
    j["pre_tokenizer"] = {
        {"type", "Sequence"},
        {"pretokenizers",
         {{{"type", "Split"}, {"pattern", pattern}, {"behavior", "Contiguous"}, {"invert", true}},
          {{"type", "Digits"}, {"individual_digits", true}},
          {{"type", "Metaspace"}, {"replacement", "_"}, {"add_prefix_space", false}},
          {{"type", "Metaspace"},
           {"replacement", "_"},
           {"prepend_scheme", "first"},
           {"split", false}}}}};
    j["decoder"] = {{"type", "Sequence"},
                    {"decoders",
                     {{{"type", "ByteFallback"}},
                      {{"type", "Fuse"}},
                      {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 2}}}}};
    j["post_processor"] = {
        {"type", "TemplateProcessing"},
        {"single",
         {{{"SpecialToken", {{"id", "<s>"}}}},
          {{"Sequence", {{"id", "A"}}}},
          {{"SpecialToken", {{"id", "<|end|>"}}}}}},
        {"special_tokens",
         {{"<s>", {{"id", "<s>"}, {"ids", {7, 8}}}}, {"<|end|>", {{"ids", {262}}}}}}};
  });
  REQUIRE(file);
  using Normal = NormalizerStep::Kind;
  CHECK(file->normalizer == std::vector<NormalizerStep>{
                                {.kind = Normal::prepend, .content = "x"},
                                {.kind = Normal::replace, .pattern = {" ", false}, .content = "_"},
                                {.kind = Normal::strip, .left = false}});
  using Pre = PreTokenizerStep::Kind;
  using mamba2::detail::PrependScheme;
  CHECK(file->pre_tokenizer ==
        std::vector<PreTokenizerStep>{
            {.kind = Pre::split,
             .pattern = {"\\s", true},
             .behavior = mamba2::detail::SplitBehavior::contiguous,
             .invert = true},
            {.kind = Pre::digits, .individual = true},
            {.kind = Pre::metaspace, .replacement = "_", .scheme = PrependScheme::never},
            {.kind = Pre::metaspace,
             .replacement = "_",
             .scheme = PrependScheme::first,
             .cuts = false}});
  using Decode = DecoderStep::Kind;
  CHECK(file->decoder ==
        std::vector<DecoderStep>{{.kind = Decode::byte_fallback},
                                 {.kind = Decode::fuse},
                                 {.kind = Decode::strip, .content = " ", .start = 1, .stop = 2}});
  CHECK(file->prefix == std::vector<mamba2::Token>{7, 8});
  CHECK(file->suffix == std::vector<mamba2::Token>{262});
}
