// SPDX-License-Identifier: Apache-2.0
// Hybrid models for tests: the goldens, and random ones with the oracle beside them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "mamba2/io/checkpoint.hpp"
#include "mamba2/model/model.hpp"
#include "tests/reference/compare.hpp"
#include "tests/reference/hybrid_checkpoint.hpp"
#include "tests/reference/random_hybrid.hpp"
#include "tests/reference/random_weights.hpp"

namespace tests {

inline constexpr const char* kHybridGoldens[] = {"granite_dense",
                                                 "granite_rope",
                                                 "granite_moe",
                                                 "bamba",
                                                 "nemotron_dense",
                                                 "nemotron_moe",
                                                 "nemotron_latent",
                                                 "nemotron_small_dt",
                                                 "falcon_h1",
                                                 "falcon_h1_norm",
                                                 "lfm2",
                                                 "lfm2_moe",
                                                 "zamba2",
                                                 "mamba2attn",
                                                 "mamba2attn_mlp"};

/// A hybrid in memory, the tokens of a prompt and the right logits after each: (tokens,
/// vocab_size).
struct HybridModel {
  std::string config;
  std::string safetensors;
  std::vector<mamba2::Token> tokens;
  std::vector<double> logits;

  /// use(checkpoint): a checkpoint lasts no longer.
  template <class Use>
  auto open(Use use) const {
    const std::span<const std::byte> shard = std::as_bytes(std::span(safetensors));
    return use(mamba2::Checkpoint::from_bytes(config, std::span(&shard, 1)).value());
  }
  [[nodiscard]] mamba2::AnyModel load(const mamba2::Plan& plan, std::size_t threads = 1) const {
    return open([&](const mamba2::Checkpoint& checkpoint) {
      return mamba2::AnyModel::load(checkpoint, plan, {.workers = {.threads = threads}}).value();
    });
  }
};

/// A golden with the config of this name; nothing where there is none.
inline std::vector<HybridModel> hybrid_golden(const std::string& name, const std::string& config) {
  const std::string folder = MAMBA2_SOURCE_DIR "/tests/golden/hybrids/" + name + "/";
  const auto text = reference::read_file(folder + config);
  if (!text) return {};
  HybridModel model{*text, reference::read_file(folder + "model.safetensors").value(), {}, {}};
  auto expected = reference::load_safetensors(folder + "expected.safetensors").value();
  for (const double id : reference::to_double(expected.tensors.at("ids"))) {
    model.tokens.push_back(static_cast<mamba2::Token>(id));
  }
  model.logits = reference::to_double(expected.tensors.at("logits"));
  return {model};
}

/// The seed'th random hybrid of a writer, and a prompt.
inline HybridModel random_hybrid(reference::Writer writer, std::uint64_t seed,
                                 std::size_t tokens = 40) {
  const nlohmann::json config = reference::random_hybrid_config(writer, seed);
  const reference::Hybrid hybrid = reference::random_hybrid(config, seed);
  const reference::Checkpoint files = reference::write_hybrid(config, hybrid);
  HybridModel model{files.config_json, files.safetensors, {}, {}};
  model.tokens = reference::Random(seed + 100).tokens(tokens, hybrid.vocab_size);
  model.logits = reference::forward(hybrid, model.tokens);
  return model;
}

inline constexpr reference::Writer kWriters[] = {
    reference::Writer::granite,     reference::Writer::bamba, reference::Writer::falcon,
    reference::Writer::nemotron,    reference::Writer::lfm2,  reference::Writer::zamba,
    reference::Writer::state_spaces};

/// The first random hybrid of a writer with experts.
inline HybridModel random_hybrid_with_experts(reference::Writer writer, std::size_t tokens = 40) {
  std::uint64_t seed = 0;
  for (;; ++seed) {
    const nlohmann::json config = reference::random_hybrid_config(writer, seed);
    if (config.value("num_experts_per_tok", 0) > 0) break;
  }
  return random_hybrid(writer, seed, tokens);
}
inline constexpr reference::Writer kWritersOfExperts[] = {
    reference::Writer::granite, reference::Writer::nemotron, reference::Writer::lfm2};

/// The logits after each token of a prompt, which is cut into pieces of so many tokens; the last is
/// used again and again. (tokens, vocab_size)
inline std::vector<float> logits_in_pieces(mamba2::AnySession& session,
                                           std::span<const mamba2::Token> tokens,
                                           std::vector<std::size_t> pieces) {
  const std::size_t vocab_size = session.config().vocab_size;
  std::vector<float> logits(tokens.size() * vocab_size);
  std::size_t done = 0;
  for (std::size_t i = 0; done < tokens.size(); ++i) {
    const std::size_t count =
        std::min(tokens.size() - done, pieces[std::min(i, pieces.size() - 1)]);
    session
        .prefill(tokens.subspan(done, count),
                 std::span(logits).subspan(done * vocab_size, count * vocab_size))
        .value();
    done += count;
  }
  return logits;
}

/// The largest difference of logits from the right ones, in their standard deviations.
inline double deviation(const std::vector<float>& found, const std::vector<double>& expected) {
  return reference::max_abs_difference(found, expected) / reference::standard_deviation(expected);
}

}  // namespace tests
