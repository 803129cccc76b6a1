// SPDX-License-Identifier: Apache-2.0
// A length, so many bytes as a text, and the rest as a model file of SentencePiece.
#include <algorithm>
#include <cstdint>
#include <mamba2/mamba2.hpp>
#include <string>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view all(reinterpret_cast<const char*>(data + 1), size - 1);
  const std::string_view text = all.substr(0, data[0]);
  const auto tokenizer = mamba2::Tokenizer::from_sentencepiece(all.substr(text.size()));
  if (!tokenizer) return 0;
  auto ids = tokenizer->encode(text);
  for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
  mamba2::StreamingDecoder decoder(*tokenizer);
  std::string streamed;
  for (const mamba2::Token id : ids) streamed += decoder.push(id);
  streamed += decoder.finish();
  if (streamed != tokenizer->decode(ids)) __builtin_trap();
  if (mamba2::detail::valid_utf8_prefix(streamed) != streamed.size()) __builtin_trap();
  return 0;
}
