// SPDX-License-Identifier: Apache-2.0
// Tokenizers in other files: the same tokens come out of both.
#include "mamba2/tokenizer/tokenizer_export.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mamba2/core/mapped_file.hpp"
#include "mamba2/tokenizer/tokenizer.hpp"
#include "mamba2/tokenizer/tokenizer_gguf.hpp"
#include "mamba2/tokenizer/tokenizer_json.hpp"

using mamba2::ErrorCode;
using mamba2::Result;
using mamba2::Tokenizer;
using mamba2::detail::TokenizerFile;

namespace {

using Bytes = std::vector<std::byte>;

constexpr std::string_view kTexts[] = {"Once upon a time", "a<|endoftext|>b  c      d",
                                       "it's d\xC3\xA9j\xC3\xA0 vu 12345\n\n\t",
                                       "e\xCC\x81 \xE4\xB8\xAD\xE6\x96\x87", ""};

std::string tokenizer_text(const std::string& path) {
  return mamba2::read_text_file(MAMBA2_SOURCE_DIR + path, std::size_t{1} << 26).value();
}

TokenizerFile file_of(const std::string& json) {
  return mamba2::detail::read_tokenizer_json(json, "t").value();
}

Bytes bytes_of(mamba2::GgufWriter& writer) {
  Bytes bytes;
  writer
      .start([&](std::span<const std::byte> part) {
        bytes.insert(bytes.end(), part.begin(), part.end());
        return Result<void>();
      })
      .value();
  return bytes;
}

Bytes gguf_of(const TokenizerFile& file, std::size_t rows) {
  mamba2::GgufWriter writer;
  mamba2::detail::set_gguf_tokenizer(writer, file, rows, "t").value();
  return bytes_of(writer);
}

void check_same(const Tokenizer& found, const Tokenizer& expected) {
  CHECK(found.vocab_size() == expected.vocab_size());
  for (const std::string_view text : kTexts) {
    const auto ids = expected.encode(text);
    CAPTURE(text);
    CHECK(found.encode(text) == ids);
    CHECK(found.decode(ids) == expected.decode(ids));
    CHECK(found.decode(ids, {.skip_special = true}) ==
          expected.decode(ids, {.skip_special = true}));
  }
}

void check_refused(const TokenizerFile& file, std::string_view key) {
  mamba2::GgufWriter writer;
  const auto outcome = mamba2::detail::set_gguf_tokenizer(writer, file, 8192, "t");
  REQUIRE(!outcome);
  CAPTURE(outcome.error().message);
  CHECK(outcome.error().code == ErrorCode::unsupported);
  CHECK(outcome.error().message.starts_with("t: " + std::string(key) + " must be "));
}

}  // namespace

TEST_CASE("tokenizer_export: tokenizer.json to GGUF and back") {
  for (const char* path :
       {"/examples/models/llama-tales-14m/tokenizer.json", "/tests/golden/tokenizer/neox.json"}) {
    CAPTURE(path);
    const std::string json = tokenizer_text(path);
    const TokenizerFile file = file_of(json);
    const Tokenizer expected = Tokenizer::from_json(json).value();
    const Bytes gguf = gguf_of(file, 60000);
    check_same(Tokenizer::from_gguf(gguf).value(), expected);
    const auto metadata = mamba2::GgufMetadata::parse(gguf, "t").value();
    CHECK(metadata.find("tokenizer.ggml.pre")->text() ==
          (file.normalizer.empty() ? "gpt-2" : "olmo"));
    CHECK(metadata.find("tokenizer.ggml.tokens")->count == 60000);
    CHECK(metadata.find("tokenizer.ggml.merges")->count == file.merges.size());

    const auto from_gguf = mamba2::detail::read_tokenizer_gguf(gguf, "t").value();
    const std::string again = mamba2::detail::tokenizer_json(from_gguf, "t").value();
    check_same(Tokenizer::from_json(again).value(), expected);
  }
}

TEST_CASE("tokenizer_export: kinds of tokens") {
  TokenizerFile file;
  file.vocab = {{"a", 1}, {"<s>", 3}};
  file.pre_tokenizer.emplace_back();
  file.decoder.emplace_back();
  file.added_tokens = {{"<s>", 3, true, false}, {"  ", 4, false, true}};
  const Bytes gguf = gguf_of(file, 6);
  const auto metadata = mamba2::GgufMetadata::parse(gguf, "t").value();
  std::vector<std::string> tokens;
  metadata.find("tokenizer.ggml.tokens")->for_each_string([&](std::string_view text) {
    tokens.emplace_back(text);
  });
  CHECK(tokens == std::vector<std::string>{"[PAD0]", "a", "[PAD2]", "<s>", "  ", "[PAD5]"});
  const auto* types = metadata.find("tokenizer.ggml.token_type");
  std::vector<int> found;
  for (std::size_t i = 0; i < 6; ++i) found.push_back(types->int32_at(i));
  CHECK(found == std::vector<int>{5, 1, 5, 3, 4, 5});
}

TEST_CASE("tokenizer_export: what GGUF cannot say is refused by name") {
  const TokenizerFile fine =
      file_of(tokenizer_text("/examples/models/llama-tales-14m/tokenizer.json"));
  TokenizerFile file = fine;
  file.pre_tokenizer[0].add_prefix_space = true;
  check_refused(file, "pre_tokenizer.add_prefix_space");
  file = fine;
  file.pre_tokenizer[0].use_regex = false;
  check_refused(file, "pre_tokenizer.use_regex");
  file = fine;
  file.ignore_merges = true;
  check_refused(file, "model.ignore_merges");
  file = fine;
  file.merges.push_back({"a b", "c"});
  check_refused(file, "model.merges");

  mamba2::GgufWriter writer;
  const auto outcome = mamba2::detail::set_gguf_tokenizer(writer, fine, 8191, "t");
  REQUIRE(!outcome);
  CHECK(outcome.error().code == ErrorCode::mismatch);
  CHECK(outcome.error().message.find("in 0..8190 (rows of the embedding), found 8191") !=
        std::string::npos);
}
