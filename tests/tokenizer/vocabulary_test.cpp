// SPDX-License-Identifier: Apache-2.0
#include "mamba2/tokenizer/vocabulary.hpp"

#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <string_view>

#include "mamba2/tokenizer/tokenizer_json.hpp"
#include "tests/tokenizer/tiny_tokenizer.hpp"

namespace {

using namespace mamba2::detail;
using mamba2::ErrorCode;
using mamba2::Result;
using tiny::Json;

Result<TokenizerFile> changed_file(const std::function<void(Json&)>& change) {
  Json json = tiny::tokenizer();
  change(json);
  return read_tokenizer_json(json.dump(), "t.json");
}

std::string vocabulary_error(const std::function<void(Json&)>& change) {
  const auto file = changed_file(change);
  REQUIRE(file);
  const auto vocabulary = Vocabulary::create(*file, "t.json");
  REQUIRE_FALSE(vocabulary);
  CHECK(vocabulary.error().code == ErrorCode::malformed);
  return vocabulary.error().message;
}

std::string bpe_error(const std::function<void(Json&)>& change) {
  const auto file = changed_file(change);
  REQUIRE(file);
  const auto bpe = build_bpe(*file, "t.json");
  REQUIRE_FALSE(bpe);
  return bpe.error().message;
}

Json added(int id, const std::string& content, bool normalized) {
  return {{"id", id},        {"content", content}, {"single_word", false},    {"lstrip", false},
          {"rstrip", false}, {"special", false},   {"normalized", normalized}};
}

}  // namespace

TEST_CASE("tokens by id and by bytes") {
  const auto file = changed_file([](Json& j) {
    j["model"]["vocab"]["\u0120\u4E2D"] = 300;  // no bytes: stands for itself
    j["model"]["vocab"]["late"] = 310;
    j["added_tokens"][0]["id"] = 264;
  });
  REQUIRE(file);
  const auto vocabulary = Vocabulary::create(*file, "t.json");
  REQUIRE(vocabulary);
  CHECK(vocabulary->size() == 311);
  CHECK(vocabulary->bytes(' ') == " ");
  CHECK(vocabulary->bytes(0xE2) == "\xE2");
  CHECK(vocabulary->bytes(259) == "hello");
  CHECK(vocabulary->bytes(260) == " w");
  CHECK(vocabulary->bytes(264) == "<|end|>");
  CHECK(vocabulary->bytes(299).empty());
  CHECK(vocabulary->bytes(300) == "\u0120\u4E2D");
  CHECK(vocabulary->bytes(310) == "late");
  CHECK(vocabulary->bytes(311).empty());
  CHECK(vocabulary->bytes(-1).empty());
  CHECK(vocabulary->is_special(264));
  CHECK_FALSE(vocabulary->is_special(263));
  CHECK_FALSE(vocabulary->is_special(-1));
  CHECK_FALSE(vocabulary->is_special(999));
  CHECK(vocabulary->find("hello") == 259);
  CHECK(vocabulary->find(" w") == 260);
  CHECK(vocabulary->find("\u0120\u4E2D") == Bpe::kNoToken);
  CHECK(vocabulary->find("") == Bpe::kNoToken);
}

TEST_CASE("added tokens are decoded as the package does") {
  const auto fine = changed_file([](Json& j) {
    j["normalizer"] = {{"type", "NFC"}};
    j["added_tokens"].push_back(added(263, "a b", false));
    j["added_tokens"].push_back(added(264, "\u4E2De\u0301", true));
    j["added_tokens"].push_back(added(265, "\u4E2Do\u0301", false));
  });
  REQUIRE(fine);
  const auto vocabulary = Vocabulary::create(*fine, "t.json");
  REQUIRE(vocabulary);
  CHECK(vocabulary->bytes(263) == "a b");
  CHECK(vocabulary->bytes(264) == "\u4E2D\u00E9");
  CHECK(vocabulary->bytes(265) == "\u4E2Do\u0301");
  const auto raw = build_added_tokens(*fine, false, "t.json");
  const auto normalized = build_added_tokens(*fine, true, "t.json");
  REQUIRE(raw);
  REQUIRE(normalized);
  CHECK(raw->find("\u4E2Do\u0301") == 265);
  CHECK(normalized->find("\u4E2D\u00E9") == 264);
  CHECK_FALSE(normalized->find("a b").has_value());
}

TEST_CASE("ids that cannot be are refused") {
  CHECK(vocabulary_error([](Json& j) {
          j["model"]["vocab"]["zz"] = 5;
        }).find("has the id 5, which is that of ") != std::string::npos);
  CHECK(vocabulary_error([](Json& j) { j["model"]["vocab"]["zz"] = 16000000; }) ==
        R"(t.json: the token "zz" has the id 16000000, expected less than 6208)");
  CHECK(vocabulary_error([](Json& j) { j["added_tokens"][0]["id"] = 16000000; }) ==
        R"(t.json: the token "<|end|>" has the id 16000000, expected less than 6200)");
  CHECK(vocabulary_error([](Json& j) { j["added_tokens"][0]["id"] = 263; }) ==
        R"(t.json: the token "<|end|>" has the id 263, expected 262)");
  CHECK(vocabulary_error([](Json& j) { j["model"]["vocab"]["<|end|>"] = 270; }) ==
        R"(t.json: the token "<|end|>" has the id 262, expected 270)");
  CHECK(vocabulary_error([](Json& j) { j["model"]["vocab"]["hello"] = 262; }) ==
        R"(t.json: the token "<|end|>" has the id 262, which is that of "hello")");
}

TEST_CASE("names that mean the same after normalization are refused") {
  const auto file = changed_file([](Json& j) {
    j["normalizer"] = {{"type", "NFC"}};
    j["added_tokens"].push_back(added(263, "\u00E9", true));
    j["added_tokens"].push_back(added(264, "e\u0301", true));
  });
  REQUIRE(file);
  const auto tokens = build_added_tokens(*file, true, "t.json");
  REQUIRE_FALSE(tokens);
  CHECK(tokens.error().message == "t.json: added_tokens: \"\u00E9\" occurs twice");
}

TEST_CASE("merges must name tokens") {
  for (const Json& merge : {Json{"h", "q"}, Json{"nope", "h"}, Json{"h", "nope"}}) {
    const std::string message = bpe_error([&](Json& j) { j["model"]["merges"].push_back(merge); });
    CHECK(message.starts_with("t.json: model.merges[6] must name tokens of model.vocab, found "));
  }
}

TEST_CASE("fallbacks are refused only where they could be needed") {
  const auto with = [](const char* key, const Json& value) {
    return changed_file([&](Json& j) { j["model"][key] = value; });
  };
  for (const auto& file : {with("unk_token", "h"), with("byte_fallback", true)}) {
    REQUIRE(file);
    CHECK(build_bpe(*file, "t.json"));
  }
  const auto without = [](std::size_t byte) {
    return [byte](Json& j) {
      j["model"]["vocab"].erase(tiny::symbol(byte));
      j["model"]["merges"] = Json::array();
      j["model"]["unk_token"] = "h";
    };
  };
  CHECK(bpe_error(without(' ')) ==
        "t.json: model.unk_token must be off or every byte a token of model.vocab, found no "
        "\"\u0120\" for the byte 32");
  const auto never_needed = changed_file(without(0xFF));
  REQUIRE(never_needed);
  CHECK(build_bpe(*never_needed, "t.json"));
}

TEST_CASE("whole pieces are those that the merges lead to") {
  const auto check = [](bool ignore_merges) {
    const auto file = changed_file([&](Json& j) {
      j["model"]["vocab"]["island"] = 262;
      j["added_tokens"][0]["id"] = 263;
      j["model"]["ignore_merges"] = ignore_merges;
    });
    REQUIRE(file);
    const auto vocabulary = Vocabulary::create(*file, "t.json");
    const auto bpe = build_bpe(*file, "t.json");
    REQUIRE(vocabulary);
    REQUIRE(bpe);
    const auto whole = find_whole_pieces(*file, *vocabulary, *bpe);
    REQUIRE(whole.size() == 264);
    CHECK(whole['a']);
    CHECK(whole[259]);
    CHECK(whole[262] == ignore_merges);
    CHECK(whole[263] == ignore_merges);
  };
  check(false);
  check(true);
}
