// SPDX-License-Identifier: Apache-2.0
// What a model is, what it needs and how to run it, for somebody who sees it for the first time.
#pragma once

#include <array>
#include <cstddef>
#include <mamba2/chat.hpp>
#include <mamba2/mamba2.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace inspect {

/// What models like this one are called.
[[nodiscard]] inline std::string family_of(const mamba2::Checkpoint& checkpoint) {
  const bool is_plain = checkpoint.family() == "Mamba-2";
  return checkpoint.family() +
         (is_plain && checkpoint.config().is_hybrid() ? " and attention" : "");
}

/// What a layer of a kind is called. What others call a layer, a mixer and an MLP, is two here.
[[nodiscard]] inline std::string name_of(mamba2::LayerKind kind, const mamba2::Config& config) {
  using mamba2::LayerKind;
  using mamba2::detail::concat;
  switch (kind) {
    case LayerKind::mamba2:
      return config.bitlinear ? "ternary Mamba-2" : "Mamba-2";
    case LayerKind::attention:
      return "attention";
    case LayerKind::mlp:
      return "MLP";
    case LayerKind::moe: {
      const mamba2::MoeConfig& moe = config.moe;
      return concat("experts (", moe.num_experts_per_tok, " of ", moe.num_experts, " for a token",
                    moe.d_shared > 0 ? " and one for all" : "", ")");
    }
    case LayerKind::short_conv:
      return "short convolution";
    case LayerKind::parallel:
      return "Mamba-2 beside attention";
    case LayerKind::shared_block: {
      const std::size_t blocks = config.shared_block.num_blocks;
      return concat("Mamba-2 behind ", blocks == 1 ? "the" : concat("one of ", blocks),
                    " shared block", blocks == 1 ? "" : "s", " of attention and an MLP");
    }
  }
  return {};
}

/// The kinds of layers that a model has, and how many of each.
[[nodiscard]] inline std::vector<std::pair<std::string, std::size_t>> layers_of(
    const mamba2::Config& config) {
  constexpr std::string_view kKinds = "MHSC*-E";
  std::vector<std::pair<std::string, std::size_t>> layers;
  for (const char letter : kKinds) {
    const auto kind = static_cast<mamba2::LayerKind>(letter);
    std::size_t count = 0;
    for (std::size_t i = 0; i < config.n_layer; ++i) count += config.kind(i) == kind ? 1U : 0U;
    if (count > 0) layers.emplace_back(name_of(kind, config), count);
  }
  return layers;
}

/// How long texts may be.
[[nodiscard]] inline std::string text_length(const mamba2::Config& config) {
  using mamba2::detail::concat;
  if (config.default_context() == 0) return "of any length, in the same memory";
  const std::size_t made_for = config.max_position_embeddings;
  return concat(config.default_context(), " tokens, or as many as --context says",
                made_for > 0 ? concat("; made for ", made_for) : "");
}

/// What generate and chat would find beside the weights.
struct Companions {
  std::string no_tokenizer;  ///< why there is none; empty: there is one
  std::string chat;          ///< what chat would do

  [[nodiscard]] static Companions of(const std::string& model) {
    Companions found;
    const auto tokenizer = mamba2::Tokenizer::load(model);
    if (!tokenizer) found.no_tokenizer = tokenizer.error().message;
    const auto chat = mamba2::ChatTemplate::load(model);
    if (!chat) {
      found.chat = chat.error().message;
    } else if (*chat) {
      found.chat = "conversations, in the form " + (*chat)->name();
    } else {
      found.chat = "goes on with what you type: the model brings no chat template";
    }
    return found;
  }
};

/// A path as one word of a shell.
[[nodiscard]] inline std::string shell_word(const std::string& path) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/+=:,@%";
  if (!path.empty() && path.find_first_not_of(kPlain) == path.npos) return path;
  std::string word = "'";
  for (const char c : path) word += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return word + "'";
}

/// Lines that a newcomer reads first: {what, text}.
[[nodiscard]] inline std::vector<std::array<std::string, 2>> summary_of(
    const std::string& model, const mamba2::Config& config, const Companions& companions,
    std::string_view weights, const std::string& peak) {
  std::string layers;
  for (const auto& [name, count] : layers_of(config)) {
    layers += mamba2::detail::concat(layers.empty() ? "" : ", ", count, " ", name);
  }
  const std::string word = shell_word(model);
  std::vector<std::array<std::string, 2>> lines = {
      {"layers", layers},
      {"texts", text_length(config)},
      {"memory", mamba2::detail::concat(peak, " MB with -w ", weights,
                                        ", which generate takes by itself; others below")}};
  if (companions.no_tokenizer.empty()) {
    lines.push_back({"to run", "generate " + word + " \"Once upon a time\""});
    lines.push_back({"to talk", "chat " + word + " (" + companions.chat + ")"});
  } else {
    lines.push_back({"tokenizer", "none: " + companions.no_tokenizer});
    lines.push_back({"to run", "generate and chat need a tokenizer; by ids: mamba2-logits " + word +
                                   " --ids 1,2,3 --out logits.safetensors"});
  }
  return lines;
}

}  // namespace inspect
