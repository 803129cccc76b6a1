// SPDX-License-Identifier: Apache-2.0
// Small random hybrid models of every writer, the same on every machine.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <type_traits>
#include <variant>
#include <vector>

#include "tests/reference/hybrid_checkpoint.hpp"
#include "tests/reference/hybrid_config.hpp"
#include "tests/reference/hybrid_reference.hpp"
#include "tests/reference/random_weights.hpp"

namespace reference {

/// With these seeds random_hybrid_config() has given every writer all that it may do differently.
inline constexpr std::uint64_t kHybridSeeds = 12;  // 0..11

namespace detail {

class RandomConfig {
 public:
  explicit RandomConfig(std::uint64_t seed) : random_(seed) {}

  nlohmann::json granite() {
    const bool rope = coin();
    nlohmann::json json = transformers(rope ? 2 * between(2, 6) : between(3, 13));
    json["model_type"] = "granitemoehybrid";
    json["num_local_experts"] = json["num_experts_per_tok"] = 0;
    json["shared_intermediate_size"] = between(17, 60);
    json["intermediate_size"] = 7;  // that of experts
    json["position_embedding_type"] = rope ? "rope" : "nope";
    json["embedding_multiplier"] = between(1, 6);
    json["logits_scaling"] = between(1, 4);
    json["residual_multiplier"] = coin() ? 0.246 : 1.5;
    json["attention_multiplier"] = coin() ? 0.109375 : 0.6;
    for (const bool attends : layers()) {
      json["layer_types"].push_back(newer_ ? (attends ? "full_attention" : "linear_attention")
                                           : (attends ? "attention" : "mamba"));
    }
    json["num_hidden_layers"] = json["layer_types"].size();
    if (coin()) {
      const std::size_t experts = between(2, 9);
      json["num_local_experts"] = experts;
      json["num_experts_per_tok"] = between(1, std::min<std::size_t>(3, experts));
      json["intermediate_size"] = between(9, 30);
      if (coin()) json["shared_intermediate_size"] = 0;
    }
    return json;
  }

  nlohmann::json bamba() {
    nlohmann::json json = transformers(4 * between(1, 4));  // half of it turns, in pairs
    json["model_type"] = "bamba";
    json["intermediate_size"] = between(17, 60);
    json["mlp_bias"] = coin();
    indices(json, "attn_layer_indices", "num_hidden_layers");
    return json;
  }

  nlohmann::json falcon() {
    nlohmann::json json = transformers(2 * between(2, 6));
    const std::size_t heads = 2 * between(1, 3), headdim = between(3, 9);
    json["model_type"] = "falcon_h1";
    json["mamba_n_heads"] = heads;
    json["mamba_d_ssm"] = heads * headdim;
    json["mamba_d_head"] = headdim;
    if (coin()) json["mamba_d_head"] = "auto";
    json["mamba_n_groups"] = coin() ? heads : heads / 2;
    json["mamba_rms_norm"] = coin();
    json["mamba_norm_before_gate"] = coin();
    json["projectors_bias"] = json["mamba_proj_bias"];
    if (coin()) json["head_dim"] = 2 * between(2, 8);
    json["num_hidden_layers"] = between(2, 3);
    json["intermediate_size"] = between(17, 60);
    json["mlp_bias"] = coin();
    for (const char* key : {"embedding_multiplier", "lm_head_multiplier", "attention_in_multiplier",
                            "attention_out_multiplier", "key_multiplier", "ssm_in_multiplier",
                            "ssm_out_multiplier"}) {
      json[key] = factor();
    }
    json["mlp_multipliers"] = {factor(), factor()};
    json["ssm_multipliers"] = {factor(), factor(), factor(), factor(), factor()};
    return json;
  }

  /// Sizes that do not follow from each other; attention and MLPs follow each other in any way.
  nlohmann::json nemotron() {
    newer_ = coin();
    const std::size_t kv_heads = between(1, 3), heads = kv_heads * between(1, 3);
    const std::size_t mamba_heads = 2 * between(1, 3);
    nlohmann::json json = {{"model_type", "nemotron_h"},
                           {"hidden_size", between(17, 40)},
                           {"num_attention_heads", heads},
                           {"num_key_value_heads", kv_heads},
                           {"head_dim", between(3, 13)},
                           {"intermediate_size", between(17, 60)},
                           {"mlp_bias", coin()},
                           {"mlp_hidden_act", "relu2"},
                           {"mamba_num_heads", mamba_heads},
                           {"mamba_head_dim", between(3, 9)},
                           {"ssm_state_size", between(3, 20)},
                           {"n_groups", coin() ? mamba_heads : mamba_heads / 2},
                           {"conv_kernel", between(2, 5)},
                           {"expand", 2},
                           {"use_conv_bias", coin()},
                           {"use_bias", coin()},
                           {"mamba_hidden_act", "silu"},
                           {"layer_norm_epsilon", coin() ? 1e-5 : 1e-6},
                           {"time_step_min", 0.001},
                           {"tie_word_embeddings", coin()},
                           {"vocab_size", between(33, 60)}};
    if (coin()) json["time_step_limit"] = {0.01, 0.1};
    constexpr const char* kPatterns[] = {"M-*-M", "*M-M", "-M*M-", "MM**-", "M*-", "*-M"};
    std::string pattern = kPatterns[between(0, 5)];
    if (coin()) add_nemotron_experts(json, pattern);
    if (!newer_) json["hybrid_override_pattern"] = pattern;
    for (std::size_t i = 0; newer_ && i < pattern.size(); ++i) {
      json["layers_block_type"].push_back(pattern[i] == 'M'   ? "linear_attention"
                                          : pattern[i] == '*' ? "full_attention"
                                          : pattern[i] == 'E' ? "moe"
                                                              : "mlp");
    }
    return json;
  }

  nlohmann::json lfm2() {
    newer_ = coin();
    const std::size_t kv_heads = between(1, 3), heads = kv_heads * between(1, 3);
    nlohmann::json json = {{"model_type", "lfm2"},
                           {"hidden_size", heads * 2 * between(2, 6)},
                           {"num_attention_heads", heads},
                           {"num_key_value_heads", kv_heads},
                           {"norm_eps", coin() ? 1e-5 : 1e-3},
                           {"conv_L_cache", coin() ? 3 : 1 + 4 * between(0, 1)},
                           {"conv_bias", coin()},
                           {"block_auto_adjust_ff_dim", coin()},
                           {"block_multiple_of", between(1, 16)},
                           {"block_ffn_dim_multiplier", nullptr},
                           {"vocab_size", between(33, 60)}};
    json[newer_ ? "intermediate_size" : "block_ff_dim"] = between(17, 60);
    if (coin()) json["block_ffn_dim_multiplier"] = coin() ? 1.0 : 1.3;
    if (coin()) {
      const std::size_t experts = between(2, 9);
      json["model_type"] = "lfm2_moe";
      json["intermediate_size"] = between(17, 60);
      json["moe_intermediate_size"] = between(5, 40);
      json["num_dense_layers"] = between(0, 2);
      json["num_experts"] = experts;
      json["num_experts_per_tok"] = between(1, std::min<std::size_t>(3, experts));
      json["use_expert_bias"] = coin();
      json["norm_topk_prob"] = coin();
      json["routed_scaling_factor"] = coin() ? 1.0 : 1.5;
    }
    json[newer_ ? "tie_word_embeddings" : "tie_embedding"] = coin();
    const double theta = coin() ? 1e6 : 500.0;
    if (newer_) {
      json["rope_parameters"] = {{"rope_theta", theta}, {"rope_type", "default"}};
      for (const bool attends : layers()) {
        json["layer_types"].push_back(attends ? "full_attention" : "conv");
      }
      json["num_hidden_layers"] = json["layer_types"].size();
    } else {
      json["rope_theta"] = theta;
      indices(json, "full_attn_idxs", "num_hidden_layers");
    }
    return json;
  }

  /// Heads of attention are even, as they may turn; fewer of keys and values have no adapters.
  nlohmann::json zamba() {
    newer_ = coin();
    const std::size_t heads = between(1, 4), half = between(2, 9);
    const std::size_t mamba_heads = coin() ? heads : 2 * heads;
    const bool adapts = coin();
    nlohmann::json json = {{"model_type", "zamba2"},
                           {"hidden_size", heads * half},
                           {"num_attention_heads", heads},
                           {"num_key_value_heads", adapts || coin() ? heads : 1},
                           {"attention_head_dim", 7},  // dead
                           {"intermediate_size", between(17, 60)},
                           {"hidden_act", "gelu"},
                           {"n_mamba_heads", mamba_heads},
                           {"mamba_expand", 2},
                           {"mamba_d_state", between(3, 20)},
                           {"mamba_ngroups", coin() ? heads : 1},
                           {"mamba_d_conv", between(2, 5)},
                           {"add_bias_linear", coin()},
                           {"num_mem_blocks", between(1, 3)},
                           {"adapter_rank", between(1, 9)},
                           {"use_shared_attention_adapter", adapts},
                           {"use_mem_rope", coin()},
                           {"use_long_context", false},
                           {"rms_norm_eps", 1e-5},
                           {"time_step_min", 0.001},
                           {"vocab_size", between(33, 60)}};
    if (coin()) json["tie_word_embeddings"] = coin();
    for (const bool has_block : layers()) {
      json["layers_block_type"].push_back(has_block ? "hybrid"
                                          : newer_  ? "linear_attention"
                                                    : "mamba");
    }
    json["num_hidden_layers"] = json["layers_block_type"].size();
    const double theta = coin() ? 10000.0 : 500.0;
    if (newer_) {
      json["rope_parameters"] = {{"rope_theta", theta}, {"rope_type", "default"}};
    } else {
      json["rope_theta"] = theta;
    }
    return json;
  }

  nlohmann::json state_spaces() {
    const std::size_t kv_heads = between(1, 3), heads = kv_heads * between(1, 3);
    const std::size_t head_dim = between(3, 13), headdim = between(3, 9), half = between(3, 6);
    nlohmann::json ssm = {{"layer", "Mamba2"},
                          {"headdim", headdim},
                          {"d_state", between(3, 20)},
                          {"d_conv", between(2, 5)},
                          {"ngroups", coin() ? 1 : half * between(1, 2)},
                          {"bias", coin()},
                          {"conv_bias", coin()}};
    if (coin()) ssm["dt_limit"] = {0.01, 0.1};
    nlohmann::json attention = {
        {"causal", true},
        {"num_heads", heads},
        {"head_dim", head_dim},
        {"d_conv", coin() ? 0 : between(1, 4)},
        {"rotary_emb_dim", 2 * (coin() ? head_dim / 2 : between(0, head_dim / 2))},
        {"qkv_proj_bias", coin()},
        {"out_proj_bias", coin()}};
    if (kv_heads < heads) attention["num_heads_kv"] = kv_heads;
    if (coin()) attention["softmax_scale"] = 0.6;
    if (coin()) attention["rotary_emb_base"] = 500.0;
    nlohmann::json json = {{"d_model", half * headdim},
                           {"d_intermediate", coin() ? 0 : between(1, 128)},
                           {"vocab_size", between(33, 60)},
                           {"pad_vocab_size_multiple", coin() ? 1 : 16},
                           {"ssm_cfg", ssm},
                           {"attn_cfg", attention},
                           {"rms_norm", true},
                           {"residual_in_fp32", true},
                           {"fused_add_norm", true},
                           {"tie_embeddings", coin()}};
    indices(json, "attn_layer_idx", "n_layer");
    return json;
  }

 private:
  std::size_t between(std::size_t low, std::size_t high) {
    return low + random_.next() % (high - low + 1);
  }
  double factor() { return random_.uniform(0.5, 1.7); }
  bool coin() { return random_.next() % 2 == 0; }

  /// In place of MLPs, of all or of the last.
  void add_nemotron_experts(nlohmann::json& json, std::string& pattern) {
    const bool all = coin();
    for (std::size_t i = 0; i < pattern.size(); ++i) {
      const bool is_last = pattern.find('-', i + 1) == std::string::npos;
      if (pattern[i] == '-' && (all || is_last)) pattern[i] = 'E';
    }
    const bool grouped = coin();
    json["mlp_bias"] = false;
    json["n_routed_experts"] = grouped ? 3 * between(2, 3) : between(4, 9);
    json["n_group"] = grouped ? 3 : 1;
    json["topk_group"] = grouped ? between(1, 2) : 1;
    json["num_experts_per_tok"] = between(1, 2);
    json["moe_intermediate_size"] = between(9, 30);
    json["moe_shared_expert_intermediate_size"] = between(9, 30);
    if (coin()) json["moe_latent_size"] = between(9, 25);
    json["norm_topk_prob"] = coin();
    json["routed_scaling_factor"] = coin() ? 1.0 : 2.5;
  }

  /// Which of three to five layers are attention: one at least, and not all.
  std::vector<bool> layers() {
    std::vector<bool> attends(between(3, 5));
    const std::size_t sure = between(0, attends.size() - 1);
    attends[sure] = true;
    for (std::size_t i = 2; i < attends.size(); ++i) {
      attends[(sure + i) % attends.size()] = between(0, 3) == 0;
    }
    return attends;
  }

  void indices(nlohmann::json& json, const char* attention, const char* count) {
    const std::vector<bool> attends = layers();
    json[count] = attends.size();
    for (std::size_t i = 0; i < attends.size(); ++i) {
      if (attends[i]) json[attention].push_back(i);
    }
  }

  /// The keys that granitemoehybrid and bamba share, in the older or the newer spelling.
  nlohmann::json transformers(std::size_t head_dim) {
    newer_ = coin();
    const std::size_t kv_heads = between(1, 3), heads = kv_heads * between(1, 3);
    const bool wide = coin();  // heads of Mamba-2 twice as wide as those of attention
    nlohmann::json json = {{"hidden_size", heads * head_dim},
                           {"num_attention_heads", heads},
                           {"num_key_value_heads", kv_heads},
                           {"attention_bias", coin()},
                           {"mamba_expand", 2},
                           {"mamba_n_heads", wide ? heads : 2 * heads},
                           {"mamba_d_state", between(3, 20)},
                           {"mamba_n_groups", coin() ? 1 : heads},
                           {"mamba_d_conv", between(2, 5)},
                           {"mamba_conv_bias", coin()},
                           {"mamba_proj_bias", coin()},
                           {"hidden_act", "silu"},
                           {"rms_norm_eps", coin() ? 1e-5 : 1e-6},
                           {"tie_word_embeddings", coin()},
                           {"vocab_size", between(33, 60)}};
    json["mamba_d_head"] = wide ? 2 * head_dim : head_dim;
    if (coin()) json["mamba_d_head"] = "auto";
    const double theta = coin() ? 10000.0 : 500.0;
    if (newer_) {
      json["rope_parameters"] = {{"rope_theta", theta}, {"rope_type", "default"}};
      json["time_step_limit"] = {0.0, {{"__float__", "Infinity"}}};
      json["dtype"] = "bfloat16";
    } else {
      json["rope_theta"] = theta;
      json["rope_scaling"] = nullptr;
      json["torch_dtype"] = "bfloat16";
    }
    if (coin()) json["time_step_limit"] = {0.01, 0.1};
    return json;
  }

  Random random_;
  bool newer_ = false;
};

inline std::vector<double> random_rows(Random& random, std::size_t rows, std::size_t in,
                                       double scale = 1.0) {
  return random.normals(rows * in, 0.0, scale / std::sqrt(static_cast<double>(in)));
}

inline void randomize(Random& random, MambaMixer& m) {
  const std::vector<double> scale = m.weights.in_proj_scale;
  m.weights = random_weights(m.config, random.next()).blocks[0];
  m.weights.norm.clear();
  m.weights.in_proj_scale = scale;
}

inline void randomize(Random& random, Attention& a) {
  // Scores with a deviation of about 2: some tokens are seen far more than others.
  const double sharp = 2.0 / (a.scale * std::sqrt(static_cast<double>(a.head_dim)));
  a.q = random_rows(random, a.q_dim(), a.d_model, sharp);
  a.k = random_rows(random, a.kv_dim(), a.d_model);
  a.v = random_rows(random, a.kv_dim(), a.d_model);
  a.o = random_rows(random, a.d_model, a.q_dim());
  if (a.qkv_has_bias) {
    a.q_bias = random.normals(a.q_dim(), 0.0, 0.2 * sharp);
    a.k_bias = random.normals(a.kv_dim(), 0.0, 0.2);
    a.v_bias = random.normals(a.kv_dim(), 0.0, 0.2);
  }
  if (a.o_has_bias) a.o_bias = random.normals(a.d_model, 0.0, 0.2);
  if (a.d_conv > 0) {
    a.conv = random_rows(random, a.qkv_dim(), a.d_conv);
    a.conv_bias = random.normals(a.qkv_dim(), 0.0, 0.2);
  }
  if (a.qk_norm) {
    a.q_norm = random.normals(a.head_dim, 1.5, 0.3);
    a.k_norm = random.normals(a.head_dim, 1.5, 0.3);
  }
}

inline void randomize(Random& random, ShortConv& s) {
  s.in = random_rows(random, 3 * s.d_model, s.d_model);
  s.conv = random_rows(random, s.d_model, s.d_conv);
  s.out = random_rows(random, s.d_model, s.d_model, 2.0);
  if (s.has_bias) {
    s.in_bias = random.normals(3 * s.d_model, 0.0, 0.2);
    s.conv_bias = random.normals(s.d_model, 0.0, 0.2);
    s.out_bias = random.normals(s.d_model, 0.0, 0.2);
  }
}

inline void randomize(Random& random, Parallel& both) {
  randomize(random, both.mamba);
  randomize(random, both.attention);
}

/// Adapters give half of what their matrices do.
inline void randomize(Random& random, MambaAfterBlock& after, const SharedBlock& block) {
  randomize(random, after.mamba);
  SharedUse& use = after.use;
  const std::size_t d_model = after.mamba.config.d_model;
  const auto adapter = [&](Adapter& x, std::size_t in, std::size_t out) {
    x.A = random_rows(random, use.rank, in);
    x.B = random_rows(random, out, use.rank, 0.5);
  };
  const Attention& a = block.attention;
  if (use.adapts_attention) {
    adapter(use.q, a.d_model, a.q_dim());
    adapter(use.k, a.d_model, a.kv_dim());
    adapter(use.v, a.d_model, a.kv_dim());
  }
  adapter(use.gate_up, d_model, 2 * block.mlp.width);
  use.linear = random_rows(random, d_model, d_model, 1.5);
}

inline void randomize(Random& random, Mlp& m) {
  if (m.kind != Mlp::Kind::relu2) m.gate = random_rows(random, m.width, m.d_model);
  m.up = random_rows(random, m.width, m.d_model);
  m.down = random_rows(random, m.d_model, m.width, 2.0);
  if (m.has_bias) {
    if (m.kind != Mlp::Kind::relu2) m.gate_bias = random.normals(m.width, 0.0, 0.2);
    m.up_bias = random.normals(m.width, 0.0, 0.2);
    m.down_bias = random.normals(m.d_model, 0.0, 0.2);
  }
}

inline void randomize(Random& random, Moe& m) {
  // Choices that rounding does not change.
  m.router = random_rows(random, m.experts.size(), m.d_model, 2.0);
  if (m.has_bias) m.router_bias = random.normals(m.experts.size(), 0.0, 0.2);
  if (m.latent > 0) {
    m.latent_in = random_rows(random, m.latent, m.d_model);
    m.latent_out = random_rows(random, m.d_model, m.latent);
  }
  for (Mlp& expert : m.experts) randomize(random, expert);
  if (m.shared.width > 0) randomize(random, m.shared);
}

inline void randomize(Random& random, SharedBlock& block, std::size_t d_model) {
  block.norm = random.normals(2 * d_model, 1.0, 0.2);
  randomize(random, block.attention);
  block.attention.o = random_rows(random, d_model, block.attention.q_dim());
  block.mlp_norm = random.normals(d_model, 1.0, 0.2);
  randomize(random, block.mlp);
}

}  // namespace detail

/// A random config.json of this writer, with odd sizes.
inline nlohmann::json random_hybrid_config(Writer writer, std::uint64_t seed) {
  detail::RandomConfig random(seed);
  if (writer == Writer::granite) return random.granite();
  if (writer == Writer::falcon) return random.falcon();
  if (writer == Writer::lfm2) return random.lfm2();
  if (writer == Writer::nemotron) return random.nemotron();
  if (writer == Writer::zamba) return random.zamba();
  return writer == Writer::bamba ? random.bamba() : random.state_spaces();
}

/// Weights for this config.json, exact in BF16, at the scales of a trained model: every tensor
/// matters. As a checkpoint: write_hybrid(config, model).
inline Hybrid random_hybrid(const nlohmann::json& config, std::uint64_t seed) {
  Hybrid model = read_hybrid_config(config);
  Random random(seed);
  const std::size_t d_model = model.d_model;
  model.embedding = random.normals(model.vocab_size * d_model, 0.0, 1.0 / model.embedding_scale);
  for (SharedBlock& block : model.blocks) detail::randomize(random, block, d_model);
  for (std::vector<Branch>& layer : model.layers) {
    for (Branch& branch : layer) {
      branch.norm = random.normals(d_model, 1.0, 0.2);
      if (auto* after = std::get_if<MambaAfterBlock>(&branch.mixer)) {
        detail::randomize(random, *after, model.blocks[after->use.block]);
        continue;
      }
      std::visit(
          [&]<class AnyMixer>(AnyMixer& mixer) {
            if constexpr (!std::is_same_v<AnyMixer, MambaAfterBlock>) {
              detail::randomize(random, mixer);
            }
          },
          branch.mixer);
    }
  }
  model.norm_f = random.normals(d_model, 1.0, 0.2);
  if (!model.tie_embeddings) {
    model.lm_head = detail::random_rows(random, model.vocab_size, d_model);
  }
  for (const Stored& stored : stored_tensors(writer_of(config), model)) {
    for (const Stored::Part& part : stored.parts) {
      for (double& value : *part.values) {
        const std::uint32_t bits = std::bit_cast<std::uint32_t>(static_cast<float>(value));
        value = static_cast<double>(std::bit_cast<float>(bits & 0xFFFF0000U));
      }
    }
  }
  return model;
}

}  // namespace reference
