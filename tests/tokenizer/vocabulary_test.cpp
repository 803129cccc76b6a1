// SPDX-License-Identifier: Apache-2.0
#include "mamba2/tokenizer/vocabulary.hpp"

#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "mamba2/tokenizer/added_tokens.hpp"
#include "mamba2/tokenizer/bpe_model.hpp"
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

/// The parts of a tokenizer that its vocabulary needs.
struct VocabularyParts {
  explicit VocabularyParts(const TokenizerFile& file)
      : normalizer(Normalizer::create(file.normalizer, "t.json").value()),
        decoder(Decoder::create(file.decoder, "t.json").value()),
        vocabulary(Vocabulary::create(file, normalizer, decoder, reads_bytes(file), "t.json")) {}

  Normalizer normalizer;
  Decoder decoder;
  Result<Vocabulary> vocabulary;
};

std::string vocabulary_error(const std::function<void(Json&)>& change) {
  const auto file = changed_file(change);
  REQUIRE(file);
  const auto vocabulary = VocabularyParts(*file).vocabulary;
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
  const VocabularyParts parts(*file);
  const auto& vocabulary = parts.vocabulary;
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
  const VocabularyParts parts(*fine);
  const auto& vocabulary = parts.vocabulary;
  REQUIRE(vocabulary);
  CHECK(vocabulary->bytes(263) == "a b");
  CHECK(vocabulary->bytes(264) == "\u4E2D\u00E9");
  CHECK(vocabulary->bytes(265) == "\u4E2Do\u0301");
  const auto raw = build_added_tokens(*fine, parts.normalizer, false, "t.json");
  const auto normalized = build_added_tokens(*fine, parts.normalizer, true, "t.json");
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
  const auto tokens = build_added_tokens(*file, VocabularyParts(*file).normalizer, true, "t.json");
  REQUIRE_FALSE(tokens);
  CHECK(tokens.error().message == "t.json: added_tokens: \"\u00E9\" occurs twice");
}

TEST_CASE("merges must name tokens") {
  for (const Json& merge : {Json{"h", "q"}, Json{"nope", "h"}, Json{"h", "nope"}}) {
    const std::string message = bpe_error([&](Json& j) { j["model"]["merges"].push_back(merge); });
    CHECK(message.starts_with("t.json: model.merges[6] must name tokens of model.vocab, found "));
  }
}

TEST_CASE("bytes are read where each of them is a token, or none has a substitute") {
  const auto file_of = [](const std::function<void(Json&)>& change) {
    const auto file = changed_file(change);
    REQUIRE(file);
    return *file;
  };
  const auto without = [](std::size_t byte, bool unknown) {
    return [byte, unknown](Json& j) {
      j["model"]["vocab"].erase(tiny::symbol(byte));
      j["model"]["merges"] = Json::array();
      if (unknown) j["model"]["unk_token"] = "h";
    };
  };
  CHECK(reads_bytes(file_of([](Json& j) { j["model"]["unk_token"] = "h"; })));
  CHECK(reads_bytes(file_of([](Json& j) { j["model"]["byte_fallback"] = true; })));
  CHECK(reads_bytes(file_of(without(' ', false))));
  CHECK_FALSE(reads_bytes(file_of(without(' ', true))));
  CHECK(reads_bytes(file_of(without(0xFF, true))));  // never needed
  CHECK_FALSE(reads_bytes(file_of([](Json& j) { j["pre_tokenizer"] = nullptr; })));
}

TEST_CASE("a character without a token is a substitute, its bytes, or nothing") {
  const auto encode = [](const std::function<void(Json&)>& change, std::string_view text) {
    const auto file = changed_file([&](Json& j) {
      j["pre_tokenizer"] = nullptr;
      j["model"]["vocab"] = {{"<unk>", 0}, {"a", 1}, {"b", 2}, {"ab", 3}};
      j["model"]["merges"] = Json::array({Json::array({"a", "b"})});
      j["added_tokens"] = Json::array();
      change(j);
    });
    REQUIRE(file);
    const VocabularyParts parts(*file);
    REQUIRE(parts.vocabulary);
    const auto model = BpeModel::create(*file, *parts.vocabulary, "t.json");
    REQUIRE(model);
    BpeModel::Scratch scratch;
    std::vector<mamba2::Token> out;
    model->encode(text, *parts.vocabulary, scratch, out);
    return out;
  };
  using Tokens = std::vector<mamba2::Token>;
  CHECK(encode([](Json&) {}, "axy\u00E9ab") == Tokens{1, 3});
  const auto unknown = [](Json& j) { j["model"]["unk_token"] = "<unk>"; };
  CHECK(encode(unknown, "axy\u00E9ab") == Tokens{1, 0, 0, 0, 3});
  const auto fused = [&](Json& j) {
    unknown(j);
    j["model"]["fuse_unk"] = true;
  };
  CHECK(encode(fused, "axy\u00E9abx") == Tokens{1, 0, 3, 0});
  const auto bytes = [&](Json& j) {
    fused(j);
    j["model"]["byte_fallback"] = true;
    j["model"]["vocab"]["<0xC3>"] = 4;
    j["model"]["vocab"]["<0xA9>"] = 5;
  };
  CHECK(encode(bytes, "ax\u00E9b") == Tokens{1, 4, 5, 0, 2});  // the order of the package
  const auto nowhere = [](Json& j) { j["model"]["unk_token"] = "none"; };
  const auto file = changed_file([&](Json& j) {
    nowhere(j);
    j["pre_tokenizer"] = nullptr;
  });
  REQUIRE(file);
  const VocabularyParts parts(*file);
  const auto model = BpeModel::create(*file, *parts.vocabulary, "t.json");
  REQUIRE_FALSE(model);
  CHECK(model.error().message ==
        "t.json: model.unk_token must be a token of model.vocab, found \"none\"");
}

TEST_CASE("pieces are the tokens that the merges lead to, or any with ignore_merges") {
  const auto check = [](bool ignore_merges) {
    const auto file = changed_file([&](Json& j) {
      j["model"]["vocab"]["island"] = 262;
      j["added_tokens"][0]["id"] = 263;
      j["model"]["ignore_merges"] = ignore_merges;
    });
    REQUIRE(file);
    const VocabularyParts parts(*file);
    REQUIRE(parts.vocabulary);
    const auto model = BpeModel::create(*file, *parts.vocabulary, "t.json");
    REQUIRE(model);
    BpeModel::Scratch scratch;
    const auto count = [&](std::string_view text) {
      std::vector<mamba2::Token> out;
      model->encode(text, *parts.vocabulary, scratch, out);
      return out.size();
    };
    CHECK(count("a") == 1);
    CHECK(count("hello") == 1);
    CHECK(count("island") == (ignore_merges ? 1 : 6));
    CHECK(count("<|end|>") == 7);
  };
  check(false);
  check(true);
}
