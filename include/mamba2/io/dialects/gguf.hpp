// SPDX-License-Identifier: Apache-2.0
// What models have in common that llama.cpp's converter writes, whatever their architecture. A file
// for each of these is beside this one; gguf_dialects.hpp lists them.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mamba2/io/dialects/names.hpp"
#include "mamba2/io/gguf.hpp"
#include "mamba2/io/gguf_fields.hpp"
#include "mamba2/layers/config.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// How the models of some architectures are written in GGUF: it computes nothing.
struct GgufDialect {
  /// The texts at general.architecture; empty: no more.
  std::array<std::string_view, 2> architectures;
  std::string_view family;  ///< what such models are called
  /// The Config but for vocabulary, head and ends of texts; what is wrong, or not supported, is
  /// refused in the fields. architecture: one of the texts, which keys begin with.
  Config (*read)(detail::GgufFields& fields, const std::string& architecture, const Gguf& gguf);
  /// Of names with "layers." for "blk.".
  DialectNames names;
};

namespace detail {

inline constexpr std::string_view kGgufEmbedding = "token_embd.weight";
inline constexpr std::string_view kGgufHead = "output.weight";

inline constexpr auto kGgufOuter =
    std::to_array<TensorRename>({{kGgufEmbedding, "embedding.weight"},
                                 {"output_norm.weight", "norm_f.weight"},
                                 {kGgufHead, "lm_head.weight"}});

/// The names of several lists, one list after the other.
template <std::size_t... kCounts>
[[nodiscard]] constexpr auto joined(const std::array<TensorRename, kCounts>&... lists) {
  std::array<TensorRename, (kCounts + ...)> all;
  std::size_t count = 0;
  const auto append = [&](const auto& list) {
    for (const TensorRename& rename : list) all[count++] = rename;
  };
  (append(lists), ...);
  return all;
}

/// The tensors of a Mamba-2 mixer.
inline constexpr auto kGgufMamba2Layers =
    std::to_array<TensorRename>({{"ssm_in.", "mixer.in_proj."},
                                 {"ssm_conv1d.", "mixer.conv1d."},
                                 {"ssm_dt.bias", "mixer.dt_bias"},
                                 {"ssm_a", "mixer.A"},
                                 {"ssm_d", "mixer.D"},
                                 {"ssm_norm.", "mixer.norm."},
                                 {"ssm_out.", "mixer.out_proj."}});

/// The same of attention.
inline constexpr auto kGgufAttentionLayers = std::to_array<TensorRename>(
    {{"attn_qkv.", "attention.q_proj.|attention.k_proj.|attention.v_proj."},
     {"attn_q.", "attention.q_proj."},
     {"attn_k.", "attention.k_proj."},
     {"attn_v.", "attention.v_proj."},
     {"attn_output.", "attention.o_proj."}});

/// An MLP behind another mixer, with its norm.
inline constexpr auto kGgufMlpLayers =
    std::to_array<TensorRename>({{"ffn_norm.", "norm.", 1},
                                 {"ffn_gate.", "mlp.gate_proj.", 1},
                                 {"ffn_up.", "mlp.up_proj.", 1},
                                 {"ffn_down.", "mlp.down_proj.", 1}});

/// Experts, of a branch: with `branch` layers of a block before them. Their norm is not among them.
[[nodiscard]] constexpr std::array<TensorRename, 10> gguf_moe_layers(std::size_t branch) {
  return {{{"exp_probs_b.bias", "moe.router.bias", branch, LayerKind::moe},
           {"ffn_gate_inp.", "moe.router.", branch, LayerKind::moe},
           {"ffn_latent_down.", "moe.latent_in_proj.", branch, LayerKind::moe},
           {"ffn_latent_up.", "moe.latent_out_proj.", branch, LayerKind::moe},
           {"ffn_gate_exps.", "moe.experts.*.gate_proj.", branch, LayerKind::moe},
           {"ffn_up_exps.", "moe.experts.*.up_proj.", branch, LayerKind::moe},
           {"ffn_down_exps.", "moe.experts.*.down_proj.", branch, LayerKind::moe},
           {"ffn_gate_shexp.", "moe.shared_expert.gate_proj.", branch, LayerKind::moe},
           {"ffn_up_shexp.", "moe.shared_expert.up_proj.", branch, LayerKind::moe},
           {"ffn_down_shexp.", "moe.shared_expert.down_proj.", branch, LayerKind::moe}}};
}

/// The norm of what comes first in a block.
inline constexpr auto kGgufNorm = std::to_array<TensorRename>({{"attn_norm.", "norm."}});

/// The rows of a tensor; 0 where there is none.
[[nodiscard]] inline std::size_t gguf_rows(const Gguf& gguf, std::string_view name) {
  const TensorView* tensor = gguf.find(name);
  return tensor == nullptr || tensor->shape.empty() ? std::size_t{0} : tensor->shape.front();
}

/// The rows of each matrix of a stack (experts, rows, columns); 0 where there is none.
[[nodiscard]] inline std::size_t gguf_expert_rows(const Gguf& gguf, std::string_view name) {
  const TensorView* tensor = gguf.find(name);
  return tensor == nullptr || tensor->shape.size() != 3 ? std::size_t{0} : tensor->shape[1];
}

/// How many of the last blocks guess tokens further on (multi-token prediction): they are not
/// needed, and passed over.
[[nodiscard]] inline std::size_t gguf_blocks_passed_over(GgufFields& fields,
                                                         const std::string& arch) {
  return fields.integer_if(arch + ".nextn_predict_layers").value_or(0);
}

/// How many blocks there are but for those, each made of so many layers here at most; 0 where it is
/// refused.
[[nodiscard]] inline std::size_t read_gguf_blocks(GgufFields& fields, const std::string& arch,
                                                  std::size_t layers_in_one) {
  const std::string key = arch + ".block_count";
  const std::size_t blocks = fields.integer(key);
  const std::size_t most = Config::kMaxLayers / layers_in_one;
  const std::size_t passed_over = gguf_blocks_passed_over(fields, arch);
  if (blocks > most) {
    fields.refuse(key, concat("in 1..", most), concat(blocks));
    return 0;
  }
  if (passed_over >= blocks) {
    fields.refuse(arch + ".nextn_predict_layers", concat("less than ", key, " ", blocks),
                  concat(passed_over));
    return 0;
  }
  if (passed_over > 0) {
    fields.note(concat(fields.file(), ": the last ", passed_over, " of ", blocks,
                       " blocks guess tokens further on (", arch,
                       ".nextn_predict_layers); they are passed over"));
  }
  return blocks - passed_over;
}

/// The ssm.* keys of an architecture.
inline void read_gguf_ssm(GgufFields& fields, const std::string& arch, Config& config) {
  config.d_conv = fields.integer(arch + ".ssm.conv_kernel");
  config.d_inner = config.d_ssm = fields.integer(arch + ".ssm.inner_size");
  config.d_state = fields.integer(arch + ".ssm.state_size");
  config.ngroups = fields.integer(arch + ".ssm.group_count");
  const std::string heads = arch + ".ssm.time_step_rank";
  const std::size_t nheads = fields.integer(heads);
  config.headdim = config.d_inner / nheads;
  if (config.headdim * nheads != config.d_inner) {
    fields.refuse(heads, concat("a divisor of ", arch, ".ssm.inner_size ", config.d_inner),
                  concat(nheads));
  }
}

/// A factor; where it is absent or 0, it is not applied: `otherwise`.
[[nodiscard]] inline float gguf_factor(GgufFields& fields, const std::string& key,
                                       float otherwise = 1.0F) {
  if (fields.find(key) == nullptr) return otherwise;
  const auto factor = static_cast<float>(fields.number(key));
  return factor == 0.0F ? otherwise : factor;
}

/// The width of a head of keys, and of values: key_length, or else that of the model over the
/// number of heads, which is known.
[[nodiscard]] inline std::size_t read_gguf_head_dim(GgufFields& fields, const std::string& arch,
                                                    const Config& config) {
  const std::size_t heads = std::max<std::size_t>(1, config.attention.num_heads);
  const std::size_t usual = std::max<std::size_t>(1, config.d_model / heads);
  const std::string key = arch + ".attention.value_length";
  const std::size_t width = fields.integer_if(arch + ".attention.key_length").value_or(usual);
  if (fields.integer_if(key).value_or(usual) != width) {
    fields.refuse(key, concat("as ", arch, ".attention.key_length, ", width), fields.found(key),
                  ErrorCode::unsupported);
  }
  return std::max<std::size_t>(1, width);
}

/// A number for each of so many layers, in 0..2^31-1: a list, which may go on for those that are
/// passed over, or one number that is that of all. Empty where it is refused.
[[nodiscard]] inline std::vector<std::size_t> read_gguf_layer_numbers(GgufFields& fields,
                                                                      const std::string& arch,
                                                                      std::string_view name,
                                                                      std::size_t layers) {
  const std::string key = concat(arch, name);
  const GgufValue* list = fields.find(key);
  if (list != nullptr && !list->is_array) {
    return std::vector<std::size_t>(layers, fields.integer_if(key).value_or(0));
  }
  const std::size_t all = layers + gguf_blocks_passed_over(fields, arch);
  const bool is_list = list != nullptr && list->count == all &&
                       (list->type == GgufType::int32 || list->type == GgufType::uint32);
  std::vector<std::size_t> numbers;
  if (!is_list) fields.refuse(key, concat("a list of ", all, " integers"), fields.found(key));
  for (std::size_t i = 0; is_list && i < layers; ++i) {
    const std::int32_t found = list->int32_at(i);
    if (found < 0) fields.refuse(key, "a list of integers of at least 0", concat(found));
    numbers.push_back(static_cast<std::size_t>(std::max(0, found)));
  }
  return numbers;
}

/// The one number but 0 of a list of read_gguf_layer_numbers(); 0 where there is no other. Refuses
/// different ones: all layers of a kind are of one shape here.
[[nodiscard]] inline std::size_t one_gguf_number(GgufFields& fields, const std::string& arch,
                                                 std::string_view name,
                                                 const std::vector<std::size_t>& numbers) {
  std::size_t one = 0;
  for (const std::size_t number : numbers) {
    if (number > 0 && one > 0 && number != one) {
      fields.refuse(concat(arch, name), "the same number for all layers of a kind, else 0",
                    concat(number), ErrorCode::unsupported);
    }
    if (number > 0) one = number;
  }
  return one;
}

/// As one_gguf_number(), of so many layers; at least 1.
[[nodiscard]] inline std::size_t gguf_number_of_all(GgufFields& fields, const std::string& arch,
                                                    std::string_view name, std::size_t layers) {
  const GgufValue* value = fields.find(concat(arch, name));
  if (value == nullptr || !value->is_array) return fields.integer(concat(arch, name));
  const auto numbers = read_gguf_layer_numbers(fields, arch, name, layers);
  return std::max<std::size_t>(1, one_gguf_number(fields, arch, name, numbers));
}

/// The experts of a model of so many blocks, as the first block that has some shows them: what keys
/// and tensors say.
inline void read_gguf_experts(GgufFields& fields, const std::string& arch, const Gguf& gguf,
                              std::size_t first, std::size_t blocks, MoeConfig& moe) {
  constexpr std::string_view kWidth = ".expert_feed_forward_length";
  const std::string block = concat("blk.", first, ".");
  moe.num_experts = fields.integer(arch + ".expert_count");
  moe.num_experts_per_tok = gguf_number_of_all(fields, arch, ".expert_used_count", blocks);
  moe.d_intermediate = gguf_expert_rows(gguf, block + "ffn_up_exps.weight");
  if (fields.find(concat(arch, kWidth)) != nullptr) {
    moe.d_intermediate = gguf_number_of_all(fields, arch, kWidth, blocks);
  }
  moe.d_shared = gguf_rows(gguf, block + "ffn_up_shexp.weight");
  moe.d_latent = gguf_rows(gguf, block + "ffn_latent_down.weight");
  moe.router_bias = gguf_rows(gguf, block + "exp_probs_b.bias") > 0;
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
