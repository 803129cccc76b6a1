// SPDX-License-Identifier: Apache-2.0
#include "mamba2/tokenizer/sentencepiece.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <functional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "mamba2/core/mapped_file.hpp"
#include "mamba2/tokenizer/tokenizer.hpp"
#include "mamba2/tokenizer/tokenizer_export.hpp"
#include "mamba2/tokenizer/tokenizer_json.hpp"
#include "tests/io/temp_dir.hpp"
#include "tests/tokenizer/gguf_tokenizer.hpp"
#include "tests/tokenizer/sentencepiece_model.hpp"
#include "tests/tokenizer/tiny_tokenizer.hpp"

namespace {
namespace sentencepiece {

using mamba2::ErrorCode;
using mamba2::Token;
using mamba2::Tokenizer;
using mamba2_tests::SentencePieceModel;
using Tokens = std::vector<Token>;

constexpr Token kFirst = 259;  // behind <unk>, <s>, </s> and the bytes
constexpr Token kThe = kFirst + 2, kAt = kFirst + 3, kC = kFirst + 4, kTwo = kFirst + 5,
                kSign = kFirst + 6;

Token byte(unsigned char value) { return 3 + value; }

Tokenizer load(const SentencePieceModel& model) {
  auto tokenizer = Tokenizer::from_sentencepiece(model.bytes());
  REQUIRE(tokenizer);
  return *std::move(tokenizer);
}

void refused(ErrorCode code, std::string_view message,
             const std::function<void(SentencePieceModel&)>& change) {
  SentencePieceModel model = SentencePieceModel::tiny();
  change(model);
  const auto file = mamba2::detail::read_sentencepiece(model.bytes(), "t.model");
  REQUIRE_FALSE(file);
  CHECK(file.error().code == code);
  CHECK(file.error().message == "t.model: " + std::string(message));
}

std::string streamed(const Tokenizer& tokenizer, const Tokens& tokens,
                     mamba2::DecodeOptions options = {}) {
  mamba2::StreamingDecoder decoder(tokenizer, options);
  std::string text;
  for (const Token token : tokens) text += decoder.push(token);
  text += decoder.finish();
  CHECK(text == tokenizer.decode(tokens, options));
  return text;
}

}  // namespace sentencepiece
}  // namespace

TEST_CASE("sentencepiece: texts begin with a blank of their own, and with <s>") {
  using namespace sentencepiece;
  const Tokenizer tokenizer = load(SentencePieceModel::tiny());
  CHECK(tokenizer.encode("the cat") == Tokens{1, kThe, kC, kAt});
  CHECK(tokenizer.encode("the cat", {.add_special = false}) == Tokens{kThe, kC, kAt});
  CHECK(tokenizer.encode("  the") == Tokens{1, kTwo, kThe});  // one of them its own
  CHECK(tokenizer.encode("") == Tokens{1});
  CHECK(tokenizer.encode(" ") == Tokens{1, kTwo});
  CHECK(tokenizer.encode("\u00E9") == Tokens{1, kSign, byte(0xC3), byte(0xA9)});
  // Control pieces are found where they are asked for, and a text begins anew behind them.
  CHECK(tokenizer.encode("at</s>the") == Tokens{1, kSign, kAt, 2, kThe});
  CHECK(tokenizer.encode("</s>", {.special_names = false}).size() > 2);
  CHECK(tokenizer.find(" the") == kThe);
  CHECK(tokenizer.token_bytes(kThe) == " the");
  CHECK(tokenizer.token_bytes(byte(0xC3)) == "\xC3");
  CHECK(tokenizer.is_special(0));
  CHECK_FALSE(tokenizer.is_special(byte(0)));
}

TEST_CASE("sentencepiece: decoding gives the text back, token by token") {
  using namespace sentencepiece;
  const Tokenizer tokenizer = load(SentencePieceModel::tiny());
  for (const std::string_view text :
       {"the cat", "  the", " ", "", "\u00E9\u4E2D the\U0001F600", "\n\n"}) {
    CHECK(streamed(tokenizer, tokenizer.encode(text)) == text);
  }
  CHECK(streamed(tokenizer, {kThe, kC, kAt}, {.at_start = false}) == " the cat");
  mamba2::StreamingDecoder decoder(tokenizer);
  CHECK(decoder.push(kSign) == "");
  CHECK(decoder.push(byte(0xC3)) == "");
  CHECK(decoder.push(byte(0xA9)) == "\u00E9");  // as soon as it is whole
  CHECK(decoder.push(byte(0xE4)) == "");
  CHECK(decoder.push(kAt) ==
        "\uFFFD"
        "at");
  CHECK(decoder.push(kTwo) == "  ");
  CHECK(decoder.push(byte(0xFF)) == "\uFFFD");
  CHECK(decoder.push(byte(0xE2)) == "");
  CHECK(decoder.push(byte(0x82)) == "");
  CHECK(decoder.finish() == "\uFFFD\uFFFD");
  CHECK(decoder.push(kThe) == "the");  // as new
  CHECK(decoder.finish().empty());
  // Only the first piece may have the blank, not one behind bytes, and no byte.
  CHECK(streamed(tokenizer, {byte('x'), kThe}) == "x the");
  CHECK(streamed(tokenizer, {byte(' '), kThe}) == "  the");
}

TEST_CASE("sentencepiece: what texts begin and end with is tokenizer_config.json's to say") {
  using namespace sentencepiece;
  const mamba2_tests::TempDir dir;
  SentencePieceModel model = SentencePieceModel::tiny();
  const auto path = dir.write("tokenizer.model", model.bytes());
  const auto encoded = [&](std::string_view config) {
    dir.write("tokenizer_config.json", config);
    CHECK(Tokenizer::load(path).value().encode("the") ==
          Tokenizer::load(dir.path()).value().encode("the"));
    return Tokenizer::load(path).value().encode("the");
  };
  const auto fault = [&](std::string_view config) {
    dir.write("tokenizer_config.json", config);
    const auto tokenizer = Tokenizer::load(path);
    REQUIRE_FALSE(tokenizer);
    return tokenizer.error().message;
  };
  CHECK(encoded("{}") == Tokens{1, kThe});
  CHECK(encoded(R"({"add_bos_token": null, "add_eos_token": null})") == Tokens{1, kThe});
  CHECK(encoded(R"({"add_bos_token": true, "add_eos_token": false})") == Tokens{1, kThe});
  CHECK(encoded(R"({"add_bos_token": false})") == Tokens{kThe});
  CHECK(encoded(R"({"add_eos_token": true})") == Tokens{1, kThe, 2});
  CHECK(encoded(R"({"add_bos_token": false, "add_eos_token": true})") == Tokens{kThe, 2});
  CHECK(encoded(R"({"add_bos_token": true, "bos_token": "</s>",
                    "add_eos_token": true, "eos_token": {"content": "<s>"}})") ==
        Tokens{2, kThe, 1});
  const std::string config = dir.path().native() + "/tokenizer_config.json";
  CHECK(fault(R"({"add_bos_token": 1})") ==
        config + ": add_bos_token must be true or false, found 1");
  CHECK(fault(R"({"add_eos_token": true, "eos_token": "<end>"})") ==
        config + ": add_eos_token must be false, or the token a piece of " + path.native() +
            ", found \"<end>\"");
  CHECK(fault("[]") == config + ": expected a JSON object, found a list of 0");
  // The numbers of the pieces are the file's.
  model.bos_id = kAt;
  model.eos_id = kC;
  dir.write("tokenizer.model", model.bytes());
  CHECK(encoded(R"({"add_eos_token": true})") == Tokens{kAt, kThe, kC});
  model.eos_id = static_cast<std::uint64_t>(-1);
  dir.write("tokenizer.model", model.bytes());
  CHECK(fault(R"({"add_eos_token": true})").find("found no token") != std::string::npos);
}

TEST_CASE("sentencepiece: settings") {
  using namespace sentencepiece;
  SentencePieceModel model = SentencePieceModel::tiny();
  model.dummy_prefix = 0;
  CHECK(load(model).encode("the the") == Tokens{1, kFirst + 7, kFirst, kThe});
  CHECK(load(model).decode(Tokens{kThe}) == " the");
  model = SentencePieceModel::tiny();
  model.remove_extra.reset();  // true is the default
  CHECK(load(model).encode("  the   at ") == load(model).encode("the at"));
  CHECK(load(model).encode("   ") == Tokens{1});
  model = SentencePieceModel::tiny();
  model.bos_id = static_cast<std::uint64_t>(-1);
  CHECK(load(model).encode("the") == Tokens{kThe});
  // Without bytes what is not known is one <unk>, however long.
  model = SentencePieceModel::tiny();
  model.byte_fallback = 0;
  CHECK(load(model).encode("xyz the") == Tokens{1, kSign, 0, kThe});
  // Symbols of the user stand in the text, and nothing merges with them.
  model = SentencePieceModel::tiny();
  model.pieces.push_back({"\u2581the", 0, 4});
  model.pieces[static_cast<std::size_t>(kThe)].text = "x";
  const auto users = static_cast<Token>(model.pieces.size() - 1);
  CHECK(load(model).encode("the the") == Tokens{1, users, users});
  CHECK(load(model).decode(Tokens{users, users}) == "the the");
}

TEST_CASE("sentencepiece: of equal scores the leftmost pair goes first") {
  using namespace sentencepiece;
  SentencePieceModel model = SentencePieceModel::tiny();
  model.pieces.push_back({"aa", -1, 1});
  const auto both = static_cast<Token>(model.pieces.size() - 1);
  const Token a = kFirst + 11;
  CHECK(load(model).encode("aaa") == Tokens{1, kSign, both, a});
  const Tokens longer = load(model).encode(std::string(1001, 'a'));
  CHECK(longer.size() == 503);
  CHECK(longer.back() == a);
}

TEST_CASE("sentencepiece: other kinds are refused by name") {
  using namespace sentencepiece;
  const ErrorCode no = ErrorCode::unsupported;
  using Model = SentencePieceModel;
  refused(no, "trainer_spec.model_type must be BPE, found UNIGRAM",
          [](Model& m) { m.model_type.reset(); });
  refused(no, "trainer_spec.model_type must be BPE, found CHAR",
          [](Model& m) { m.model_type = 4; });
  refused(no, "trainer_spec.treat_whitespace_as_suffix must be false, found true",
          [](Model& m) { m.suffix = 1; });
  refused(no,
          "normalizer_spec.precompiled_charsmap must be empty (the rule identity), found 3 bytes",
          [](Model& m) { m.charsmap = "abc"; });
  refused(no, "normalizer_spec.escape_whitespaces must be true, found false",
          [](Model& m) { m.escape = 0; });
  refused(no, "pieces[261].type must be another than UNUSED, found \"\u2581the\"",
          [](Model& m) { m.pieces[261].type = 5; });
  refused(no, "pieces[261] must be at most 256 bytes long, found 300", [](Model& m) {
    m.pieces[261] = {std::string(300, 'x'), 0, 4};
  });
}

TEST_CASE("sentencepiece: what cannot be is malformed") {
  using namespace sentencepiece;
  const ErrorCode bad = ErrorCode::malformed;
  using Model = SentencePieceModel;
  refused(bad, "the file must be a model of SentencePiece, found no pieces",
          [](Model& m) { m.pieces.clear(); });
  refused(bad, "pieces[5] must be valid UTF-8 that is not empty, found \"\"",
          [](Model& m) { m.pieces[5].text.clear(); });
  refused(bad, "pieces[5] must be a byte such as \"<0x0A>\", found \"x\"",
          [](Model& m) { m.pieces[5].text = "x"; });
  refused(bad, "pieces[261].type must be in 1..6, found 7",
          [](Model& m) { m.pieces[261].type = 7; });
  refused(bad, "pieces[261].score must be finite, found inf",
          [](Model& m) { m.pieces[261].score = 1.0F / 0.0F; });
  refused(bad, "pieces: the token \"at\" occurs twice",
          [](Model& m) { m.pieces[261].text = "at"; });
  refused(bad,
          "pieces must be of all bytes, as trainer_spec.byte_fallback is set, found no \"<0x07>\"",
          [](Model& m) {
            m.pieces[10] = {"z", 0, 1};
          });
  refused(bad, "pieces[1].type must be UNKNOWN for one piece only, found \"<s>\"",
          [](Model& m) { m.pieces[1].type = 2; });
  const auto nothing = Tokenizer::from_sentencepiece("", "t.model");
  REQUIRE_FALSE(nothing);
  CHECK(nothing.error().message.starts_with("t.model: "));
}

TEST_CASE("sentencepiece: every character must be a token") {
  using namespace sentencepiece;
  SentencePieceModel model = SentencePieceModel::tiny();
  model.pieces.push_back({"xa", 0, 1});
  const auto tokenizer = Tokenizer::from_sentencepiece(model.bytes(), "t.model");
  REQUIRE_FALSE(tokenizer);
  CHECK(
      tokenizer.error().message ==
      "t.model: pieces: every character of the token \"xa\" must be a token, found \"x\", which is "
      "none");
}

TEST_CASE("sentencepiece: no cut and no damage is a crash") {
  using namespace sentencepiece;
  const std::string whole = SentencePieceModel::tiny().bytes();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const auto cut = Tokenizer::from_sentencepiece(whole.substr(0, size), "n");
    if (cut) static_cast<void>(cut->encode("the cat"));
  }
  std::mt19937 random(5);
  for (int i = 0; i < 500; ++i) {
    std::string bytes = whole;
    for (int n = 0; n < 3; ++n) bytes[random() % bytes.size()] = static_cast<char>(random());
    const auto damaged = Tokenizer::from_sentencepiece(bytes, "n");
    if (damaged) {
      static_cast<void>(damaged->decode(damaged->encode("the cat \u00E9")));
    } else if (!damaged.error().message.starts_with("n: ")) {
      FAIL(damaged.error().message);
    }
  }
}

TEST_CASE("sentencepiece: the same tokens from tokenizer.json, GGUF and a folder of Mistral's") {
  using namespace sentencepiece;
  const SentencePieceModel model = SentencePieceModel::tiny();
  const Tokenizer expected = load(model);
  const auto file = mamba2::detail::read_sentencepiece(model.bytes(), "t").value();
  const auto json = mamba2::detail::tokenizer_json(file, "t").value();
  mamba2_tests::GgufTokenizer gguf;
  gguf.model = "llama";
  gguf.pre = "default";
  for (const auto& piece : model.pieces) {
    gguf.tokens.push_back(piece.text);
    gguf.types.push_back(static_cast<std::int32_t>(piece.type));
    gguf.scores.push_back(piece.score);
  }
  gguf.add_bos = true;
  const mamba2_tests::TempDir dir;
  static_cast<void>(dir.write("params.json", "{}"));
  static_cast<void>(dir.write("tokenizer.model", "an older one"));
  static_cast<void>(dir.write("tokenizer.model.v3", model.bytes()));
  std::vector<Tokenizer> others;
  others.push_back(Tokenizer::from_json(json).value());
  others.push_back(Tokenizer::from_gguf(gguf.bytes()).value());
  others.push_back(Tokenizer::load(dir.path()).value());
  const auto back = mamba2::detail::read_tokenizer_json(json, "t").value();
  for (const auto& source : {file, back}) {
    mamba2::GgufWriter writer;
    const auto set = mamba2::detail::set_gguf_tokenizer(writer, source, 300, "t");
    CAPTURE((set ? "" : set.error().message));
    REQUIRE(set);
    std::vector<std::byte> bytes;
    writer
        .start([&](std::span<const std::byte> part) {
          bytes.insert(bytes.end(), part.begin(), part.end());
          return mamba2::Result<void>();
        })
        .value();
    others.push_back(Tokenizer::from_gguf(bytes).value());
  }
  for (const Tokenizer& other : others) {
    for (const std::string_view text :
         {"the cat", "", "  the \u00E9", "at</s>the", "<0x0A>", "ththe"}) {
      const Tokens ids = expected.encode(text);
      const auto number = &other - others.data();
      CAPTURE(number);
      CAPTURE(text);
      // GGUF has gpt's id 0 as its first token in the writer of the tests.
      if (number == 1) {
        CHECK(other.encode(text, {.add_special = false}) ==
              expected.encode(text, {.add_special = false}));
      } else {
        CHECK(other.encode(text) == ids);
      }
      CHECK(other.decode(ids) == expected.decode(ids));
    }
  }
}
