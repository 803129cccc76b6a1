// SPDX-License-Identifier: Apache-2.0
// A small tokenizer.json to change and break.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>

#include "mamba2/tokenizer/byte_map.hpp"

namespace tiny {

using Json = nlohmann::json;

/// The character that stands for a byte.
inline std::string symbol(std::size_t byte) {
  std::string text;
  mamba2::detail::append_code_point(mamba2::detail::kByteToChar[byte], text);
  return text;
}

/// All 256 bytes (ids = bytes), some merges (ids from 256), <|end|> (the last id).
inline Json tokenizer() {
  Json vocab = Json::object();
  Json merges = Json::array();
  for (std::size_t byte = 0; byte < 256; ++byte) vocab[symbol(byte)] = byte;
  for (const auto& [left, right] : std::initializer_list<std::pair<std::string, std::string>>{
           {"h", "e"}, {"l", "l"}, {"he", "ll"}, {"hell", "o"}, {symbol(' '), "w"}, {"a", "b"}}) {
    merges.push_back({left, right});
    const std::size_t id = vocab.size();
    vocab[left + right] = id;
  }
  const std::size_t end = vocab.size();
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens",
           {{{"id", end},
             {"content", "<|end|>"},
             {"single_word", false},
             {"lstrip", false},
             {"rstrip", false},
             {"normalized", false},
             {"special", true}}}},
          {"normalizer", nullptr},
          {"pre_tokenizer",
           {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}}},
          {"post_processor", nullptr},
          {"decoder", {{"type", "ByteLevel"}}},
          {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", merges}}}};
}

}  // namespace tiny
