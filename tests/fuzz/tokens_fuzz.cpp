// SPDX-License-Identifier: Apache-2.0
// Any bytes as a text, encoded and decoded by a small tokenizer in each of its modes, and as
// tokens.
#include <algorithm>
#include <array>
#include <cstdint>
#include <mamba2/mamba2.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "tests/tokenizer/tiny_tokenizer.hpp"

namespace {

using mamba2::Token;
using mamba2::Tokenizer;

constexpr mamba2::DecodeOptions kAll = {.skip_special = false};

void expect(bool condition) {
  if (!condition) __builtin_trap();
}

/// Bit 0: NFC, bit 1: the text is not cut into words, bit 2: it is by
/// another expression than GPT-2's.
Tokenizer make_tokenizer(std::size_t mode) {
  tiny::Json json = tiny::tokenizer();
  if (mode & 1U) json["normalizer"] = {{"type", "NFC"}};
  if (mode & 6U) json["pre_tokenizer"]["use_regex"] = false;
  if (mode & 4U) {
    const tiny::Json split = {
        {"type", "Split"},
        {"pattern",
         {{"Regex", "\\p{Lu}?\\p{Ll}*|\\p{N}{1,3}| ?[^\\s\\p{L}]+[\\r\\n]*|\\s+(?!\\S)"}}},
        {"behavior", mode & 2U ? "MergedWithNext" : "Contiguous"}};
    json["pre_tokenizer"] = {{"type", "Sequence"},
                             {"pretokenizers", {split, json["pre_tokenizer"]}}};
  }
  return Tokenizer::from_json(json.dump()).value();
}

std::string stream(const Tokenizer& tokenizer, const std::vector<Token>& ids) {
  mamba2::StreamingDecoder decoder(tokenizer, kAll);
  std::string text;
  for (const Token id : ids) text += decoder.push(id);
  text += decoder.finish();
  return text;
}

/// Every byte is a token, so that nothing gets lost.
void check_text(const Tokenizer& tokenizer, bool nfc, std::string_view bytes) {
  std::string text;
  mamba2::detail::append_replaced_utf8(bytes, text);
  const auto ids = tokenizer.encode(bytes);
  expect(tokenizer.encode(text) == ids);
  const std::string decoded = tokenizer.decode(ids, kAll);
  // Beside special tokens, whose names are no text, NFC does not see across.
  if (!nfc) expect(decoded == text);
  if (nfc && text.find("<|end|>") == text.npos) {
    std::string normalized;
    mamba2::detail::append_nfc(text, normalized);
    expect(decoded == normalized);
  }
  expect(tokenizer.encode(decoded) == ids);
  expect(stream(tokenizer, ids) == decoded);
}

/// Any ids, known or not, are valid UTF-8.
void check_ids(const Tokenizer& tokenizer, std::string_view bytes) {
  std::vector<Token> ids;
  for (const char byte : bytes) {
    ids.push_back(static_cast<Token>(static_cast<signed char>(byte)) * 3);
  }
  const std::string text = tokenizer.decode(ids, kAll);
  expect(mamba2::detail::valid_utf8_prefix(text) == text.size());
  expect(stream(tokenizer, ids) == text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::array<Tokenizer, 6> tokenizers = {make_tokenizer(0), make_tokenizer(1),
                                                      make_tokenizer(2), make_tokenizer(3),
                                                      make_tokenizer(4), make_tokenizer(7)};
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  for (std::size_t mode = 0; mode < tokenizers.size(); ++mode) {
    check_text(tokenizers[mode], mode % 2 == 1, bytes);
  }
  check_ids(tokenizers[0], bytes);
  return 0;
}
