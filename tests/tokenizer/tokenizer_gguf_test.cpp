// SPDX-License-Identifier: Apache-2.0
// Tokenizers in GGUF: the same tokens as from the tokenizer.json, or refused.
#include "mamba2/tokenizer/tokenizer_gguf.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "mamba2/core/mapped_file.hpp"
#include "mamba2/tokenizer/tokenizer.hpp"
#include "tests/io/temp_dir.hpp"
#include "tests/tokenizer/gguf_tokenizer.hpp"
#include "tests/tokenizer/tiny_tokenizer.hpp"

namespace {

using mamba2::ErrorCode;
using mamba2::Tokenizer;
using mamba2_tests::GgufTokenizer;
using mamba2_tests::GgufType;
using mamba2_tests::GgufWriter;
using Json = nlohmann::json;
using Tokens = std::vector<mamba2::Token>;

const std::string kTokenizers = MAMBA2_SOURCE_DIR "/tests/golden/tokenizer/";

Json read_json(const std::string& path) {
  return Json::parse(mamba2::read_text_file(path, std::size_t{1} << 24).value());
}

/// 256 bytes, some merges, <|end|>, and four rows of padding.
GgufTokenizer tiny_gguf() {
  const Json json = tiny::tokenizer();
  return {json, json["model"]["vocab"].size() + 5};
}

void check_refused(const std::vector<std::byte>& bytes, ErrorCode code,
                   std::initializer_list<std::string_view> parts) {
  const auto tokenizer = Tokenizer::from_gguf(bytes, "f.gguf");
  REQUIRE(!tokenizer);
  const std::string& message = tokenizer.error().message;
  CAPTURE(message);
  CHECK(tokenizer.error().code == code);
  CHECK(message.starts_with("f.gguf: "));
  CHECK(message.find('\n') == std::string::npos);
  for (const std::string_view part : parts) {
    CAPTURE(part);
    CHECK(message.find(part) != std::string::npos);
  }
}
void check_refused(const GgufTokenizer& tokenizer, ErrorCode code,
                   std::initializer_list<std::string_view> parts) {
  check_refused(tokenizer.bytes(), code, parts);
}

/// The cases that the tokenizers package answered for the tokenizer.json.
void check_golden(const GgufTokenizer& gguf, const std::string& cases_file) {
  const auto tokenizer = Tokenizer::from_gguf(gguf.bytes());
  REQUIRE(tokenizer);
  const Json cases = read_json(kTokenizers + cases_file);
  REQUIRE(cases["encode"].size() > 90);
  for (const Json& entry : cases["encode"]) {
    const std::string text = entry["text"];
    CAPTURE(text);
    CHECK(tokenizer->encode(text) == entry["ids"].get<Tokens>());
  }
  for (const Json& entry : cases["decode"]) {
    const Tokens ids = entry["ids"];
    CHECK(tokenizer->decode(ids) == entry["text"].get<std::string>());
    CHECK(tokenizer->decode(ids, {.skip_special = false}) ==
          entry["with_special"].get<std::string>());
  }
}

}  // namespace

TEST_CASE("gguf tokenizer: the same tokens as from the bundled tokenizer.json") {
  const Json json = read_json(MAMBA2_SOURCE_DIR "/examples/models/llama-tales-14m/tokenizer.json");
  check_golden({json, json["model"]["vocab"].size()}, "llama-tales-14m-cases.json");
}

TEST_CASE("gguf tokenizer: the same tokens as from GPT-NeoX's tokenizer.json") {
  const Json json = read_json(kTokenizers + "neox.json");
  std::size_t rows = json["model"]["vocab"].size();
  for (const Json& added : json["added_tokens"]) {
    rows = std::max(rows, added["id"].get<std::size_t>() + 1);
  }
  for (const char* pre : {"mpt", "olmo"}) {
    GgufTokenizer gguf(json, rows + 11);
    gguf.pre = pre;
    check_golden(gguf, "neox-cases.json");
    // As an older vocabulary file has its padding.
    for (std::size_t i = rows; i < rows + 11; ++i) gguf.types[i] = 4;
    check_golden(gguf, "neox-cases.json");
  }
}

TEST_CASE("gguf tokenizer: kinds of tokens") {
  GgufTokenizer gguf = tiny_gguf();
  const auto end = static_cast<mamba2::Token>(gguf.tokens.size() - 5);
  gguf.set(gguf.tokens.size() - 4, "<unk>", 2);
  gguf.set(gguf.tokens.size() - 3, "  ", 4);
  gguf.types[65] = 6;  // a byte, as what it is
  gguf.set(gguf.tokens.size() - 2, "", 1);
  const Tokenizer tokenizer = Tokenizer::from_gguf(gguf.bytes()).value();
  CHECK(tokenizer.encode("hello<|end|>  A") == Tokens{259, end, end + 2, 65});
  CHECK(tokenizer.decode(Tokens{259, end, end + 2, 65, end + 3, end + 4}) == "hello  A");
  CHECK(tokenizer.is_special(end));
  CHECK(tokenizer.is_special(end + 1));
  CHECK(!tokenizer.is_special(end + 2));
  CHECK(tokenizer.find("<unk>") == end + 1);
  CHECK(tokenizer.find("<|end|>") == end);
  CHECK(!tokenizer.find("[PAD266]"));
  CHECK(tokenizer.vocab_size() == static_cast<std::size_t>(end) + 3);
}

TEST_CASE("gguf tokenizer: normalization goes with the kind of tokenizer") {
  GgufTokenizer gguf = tiny_gguf();
  const std::string decomposed = "e\u0301";
  CHECK(Tokenizer::from_gguf(gguf.bytes()).value().encode(decomposed) == Tokens{101, 0xCC, 0x81});
  for (const char* pre : {"mpt", "qwen35"}) {
    gguf.pre = pre;
    CHECK(Tokenizer::from_gguf(gguf.bytes()).value().encode(decomposed) == Tokens{0xC3, 0xA9});
  }
}

TEST_CASE("gguf tokenizer: other kinds are refused by name") {
  for (const std::string model : {"bert", "t5", "rwkv", "none"}) {
    GgufTokenizer gguf = tiny_gguf();
    gguf.model = model;
    check_refused(gguf, ErrorCode::unsupported,
                  {R"(tokenizer.ggml.model must be "gpt2" or "llama")", "found \"" + model + "\""});
  }
  for (const std::string pre : {"default", "bloom", ""}) {
    GgufTokenizer gguf = tiny_gguf();
    gguf.pre = pre;
    check_refused(gguf, ErrorCode::unsupported,
                  {"tokenizer.ggml.pre must be one of gpt-2, ", ", found ",
                   pre.empty() ? "no such key" : pre});
  }
}

TEST_CASE("gguf tokenizer: what texts begin with is the file's to say, or goes with the kind") {
  GgufTokenizer gguf = tiny_gguf();
  CHECK(Tokenizer::from_gguf(gguf.bytes()).value().encode("hello") == Tokens{259});
  gguf.add_bos = true;
  CHECK(Tokenizer::from_gguf(gguf.bytes()).value().encode("hello") == Tokens{0, 259});
  gguf.add_bos.reset();
  gguf.pre = "llama-bpe";
  CHECK(Tokenizer::from_gguf(gguf.bytes()).value().encode("hello") == Tokens{0, 259});
  gguf.add_bos = false;
  CHECK(Tokenizer::from_gguf(gguf.bytes()).value().encode("hello") == Tokens{259});
}

TEST_CASE("gguf tokenizer: texts are cut as the name says") {
  GgufTokenizer gguf = tiny_gguf();
  const auto pieces = [&](const std::string& pre, std::string_view text) {
    gguf.pre = pre;
    gguf.add_bos = false;
    return Tokenizer::from_gguf(gguf.bytes()).value().encode(text).size();
  };
  // 1 2 merge, and ! \n do: whether they are one piece shows.
  gguf.set(263, "12", 1);
  gguf.set(264, "!\u010A", 1);
  gguf.merges.insert(gguf.merges.end(), {"1 2", "! \u010A"});
  CHECK(pieces("gpt-2", "12") == 1);
  CHECK(pieces("gpt-2", "!\n") == 2);
  for (const char* pre : {"starcoder", "refact", "smollm"}) {
    CHECK(pieces(pre, "12") == 2);
    CHECK(pieces(pre, "!\n") == 2);
  }
  for (const char* pre : {"llama-bpe", "dbrx", "falcon-h1", "lfm2"}) {
    CHECK(pieces(pre, "12") == 1);
    CHECK(pieces(pre, "!\n") == 1);
  }
  CHECK(pieces("qwen2", "12") == 2);
  CHECK(pieces("qwen2", "!\n") == 1);
  CHECK(pieces("deepseek-coder", "12") == 2);
  CHECK(pieces("deepseek-coder", "!\n") == 2);
  // A letter and a mark that goes with it, of two bytes.
  gguf.set(266, "x\u00CC", 1);
  gguf.merges.emplace_back("x \u00CC");
  CHECK(pieces("qwen2", "x\u0301") == 3);
  CHECK(pieces("qwen35", "x\u0301") == 2);
  // A token that no merges lead to.
  gguf.set(265, "xyz", 1);
  CHECK(pieces("dbrx", "xyz") == 3);
  CHECK(pieces("llama-bpe", "xyz") == 1);
}

TEST_CASE("gguf tokenizer: lists") {
  GgufTokenizer gguf = tiny_gguf();
  gguf.types.pop_back();
  check_refused(gguf, ErrorCode::malformed,
                {"tokenizer.ggml.tokens must be ", "as many as tokenizer.ggml.token_type has"});
  for (const int wrong : {0, 7, -1}) {
    gguf = tiny_gguf();
    gguf.types[9] = wrong;
    check_refused(gguf, ErrorCode::malformed,
                  {"tokenizer.ggml.token_type[9] must be in 1..6, found ", std::to_string(wrong)});
  }
  gguf = tiny_gguf();
  gguf.tokens[9] = "\xFF";
  check_refused(gguf, ErrorCode::malformed, {"tokenizer.ggml.tokens[9] must be valid UTF-8"});
  gguf = tiny_gguf();
  gguf.set(9, "<0x09>", 6);
  check_refused(gguf, ErrorCode::unsupported,
                {"tokenizer.ggml.tokens[9] must be a character that stands for a byte"});
  gguf = tiny_gguf();
  gguf.set(264, std::string(257, 'x'), 4);
  check_refused(gguf, ErrorCode::unsupported, {"at most 256 bytes long, found 257"});
  gguf = tiny_gguf();
  gguf.set(264, "hello", 4);
  check_refused(gguf, ErrorCode::malformed,
                {"tokenizer.ggml.tokens: the token \"hello\" occurs twice"});
  for (const std::string merge : {"", "ab", "a b c", "a  b"}) {
    gguf = tiny_gguf();
    gguf.merges[2] = merge;
    check_refused(gguf, ErrorCode::malformed,
                  {"tokenizer.ggml.merges[2] must be \"a b\", found \"" + merge + "\""});
  }
  gguf = tiny_gguf();
  gguf.merges[2] = "a z";
  check_refused(gguf, ErrorCode::malformed,
                {"tokenizer.ggml.merges[2] must name tokens of tokenizer.ggml.tokens"});

  GgufWriter writer;
  writer.add("tokenizer.ggml.model", "gpt2");
  writer.add("tokenizer.ggml.pre", "gpt-2");
  check_refused(writer.bytes(), ErrorCode::malformed,
                {"tokenizer.ggml.tokens must be a list of string, found no such key"});
  writer.add("tokenizer.ggml.tokens", std::vector<std::int32_t>{1});
  check_refused(writer.bytes(), ErrorCode::malformed,
                {"tokenizer.ggml.tokens must be a list of string, found a list of 1 int32"});
}

TEST_CASE("gguf tokenizer: files") {
  const mamba2_tests::TempDir dir;
  const auto bytes = tiny_gguf().bytes();
  const auto path = dir.write("model.gguf", bytes);
  CHECK(Tokenizer::load(path).value().encode("hello") == Tokens{259});
  const auto cut = Tokenizer::load(dir.write("cut", std::span(bytes).first(bytes.size() / 2)));
  REQUIRE(!cut);
  CHECK(cut.error().message.find("/cut: ") != std::string::npos);
}

TEST_CASE("gguf tokenizer: no truncation and no flipped bit is a crash") {
  GgufTokenizer gguf = tiny_gguf();
  const auto bytes = gguf.bytes();
  for (std::size_t n = 0; n + 64 < bytes.size(); ++n) {
    CHECK(!Tokenizer::from_gguf(std::span(bytes).first(n)));
  }
  for (std::size_t byte = 0; byte < bytes.size(); ++byte) {
    auto flipped = bytes;
    flipped[byte] ^= std::byte{1} << byte % 8;
    const auto tokenizer = Tokenizer::from_gguf(flipped);
    if (tokenizer) (void)tokenizer->encode("hello world");
  }
}
