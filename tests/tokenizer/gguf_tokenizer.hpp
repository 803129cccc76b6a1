// SPDX-License-Identifier: Apache-2.0
// Tokenizers as GGUF files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tests/io/gguf_writer.hpp"

namespace mamba2_tests {

/// The lists and flags of a tokenizer, as llama.cpp's converter writes them.
struct GgufTokenizer {
  std::string model = "gpt2";
  std::string pre = "gpt-2";
  std::vector<std::string> tokens;
  std::vector<std::int32_t> types;
  std::vector<std::string> merges;
  std::optional<bool> add_bos;
  std::vector<float> scores;

  GgufTokenizer() = default;

  /// The tokenizer of a tokenizer.json, with padding up to so many rows.
  GgufTokenizer(const nlohmann::json& json, std::size_t rows) : tokens(rows), types(rows, 5) {
    for (std::size_t i = 0; i < rows; ++i) tokens[i] = "[PAD" + std::to_string(i) + "]";
    for (const auto& [text, id] : json["model"]["vocab"].items()) set(id, text, 1);
    for (const auto& added : json["added_tokens"]) {
      set(added["id"], added["content"], added["special"].get<bool>() ? 3 : 4);
    }
    for (const auto& merge : json["model"]["merges"]) {
      merges.push_back(merge.is_string()
                           ? merge.get<std::string>()
                           : merge[0].get<std::string>() + " " + merge[1].get<std::string>());
    }
  }

  void set(std::size_t id, const std::string& text, std::int32_t type) {
    tokens.at(id) = text;
    types.at(id) = type;
  }

  [[nodiscard]] std::vector<std::byte> bytes() const {
    GgufWriter writer;
    writer.add("general.architecture", "mamba2");
    writer.add("tokenizer.ggml.model", model);
    if (!pre.empty()) writer.add("tokenizer.ggml.pre", pre);
    writer.add("tokenizer.ggml.tokens", tokens);
    writer.add("tokenizer.ggml.token_type", types);
    if (scores.empty()) {
      writer.add("tokenizer.ggml.merges", merges);
    } else {
      writer.add("tokenizer.ggml.scores", scores);
    }
    if (add_bos) writer.add("tokenizer.ggml.add_bos_token", *add_bos);
    writer.add("tokenizer.ggml.bos_token_id", std::uint32_t{0});
    return writer.bytes();
  }
};

}  // namespace mamba2_tests
