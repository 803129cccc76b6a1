// SPDX-License-Identifier: Apache-2.0
// Oracle: a whole language model of several kinds of mixers in double precision, written from the
// formulas.
#pragma once

#include <cstddef>
#include <span>
#include <utility>
#include <variant>
#include <vector>

#include "tests/reference/attention.hpp"
#include "tests/reference/mamba2_reference.hpp"
#include "tests/reference/mlp.hpp"
#include "tests/reference/moe.hpp"
#include "tests/reference/shared_block.hpp"
#include "tests/reference/short_conv.hpp"

namespace reference {

/// A Mamba-2 mixer. The config describes a model of this one block; weights.norm is empty.
struct MambaMixer {
  Config config;
  BlockWeights weights;
  double in_scale = 1.0;   ///< of the input
  double out_scale = 1.0;  ///< of the output
};

/// Two mixers with the same input; their outputs are added.
struct Parallel {
  MambaMixer mamba;
  Attention attention;
};

/// A Mamba-2 mixer whose norm reads residual + read_block(...).
struct MambaAfterBlock {
  MambaMixer mamba;
  SharedUse use;
};

using Mixer = std::variant<MambaMixer, Attention, Mlp, Moe, Parallel, ShortConv, MambaAfterBlock>;

/// residual += scale * mixer(rms_norm(residual))
struct Branch {
  std::vector<double> norm;  ///< (d_model)
  double scale = 1.0;
  Mixer mixer;
};

/// A model: what its checkpoint calls a layer is one branch, or two, one after the other.
struct Hybrid {
  std::size_t d_model = 0;
  std::size_t vocab_size = 0;     ///< padding rows included
  double norm_eps = 1e-5;         ///< of every norm of a branch and of the last one
  double embedding_scale = 1.0;   ///< of what the embedding gives the first branch
  double logits_scale = 1.0;      ///< what the logits are divided by
  bool tie_embeddings = true;     ///< the head is the embedding
  std::vector<double> embedding;  ///< (vocab_size, d_model)
  std::vector<std::vector<Branch>> layers;
  std::vector<SharedBlock> blocks;  ///< that layers share
  std::vector<double> norm_f;       ///< (d_model)
  std::vector<double> lm_head;      ///< (vocab_size, d_model); empty where tied
};

/// What a mixer remembers; an MLP and experts nothing.
using MixerState = std::variant<std::monostate, BlockState, AttentionState,
                                std::pair<BlockState, AttentionState>, ShortConvState>;

/// What a model remembers: nothing before the first token.
struct HybridState {
  std::vector<std::vector<MixerState>> layers;

  explicit HybridState(const Hybrid& model) {
    for (const std::vector<Branch>& layer : model.layers) {
      std::vector<MixerState>& states = layers.emplace_back();
      for (const Branch& branch : layer) {
        MixerState& state = states.emplace_back();
        if (const auto* mamba = std::get_if<MambaMixer>(&branch.mixer)) {
          state.emplace<BlockState>(mamba->config);
        } else if (const auto* attention = std::get_if<Attention>(&branch.mixer)) {
          state.emplace<AttentionState>(*attention);
        } else if (const auto* both = std::get_if<Parallel>(&branch.mixer)) {
          state.emplace<std::pair<BlockState, AttentionState>>(BlockState(both->mamba.config),
                                                               AttentionState(both->attention));
        } else if (const auto* after = std::get_if<MambaAfterBlock>(&branch.mixer)) {
          state.emplace<std::pair<BlockState, AttentionState>>(
              BlockState(after->mamba.config),
              AttentionState(model.blocks[after->use.block].attention));
        } else if (const auto* conv = std::get_if<ShortConv>(&branch.mixer)) {
          state.emplace<ShortConvState>(*conv);
        }
      }
    }
  }
};

inline std::vector<double> mix_mamba(const MambaMixer& m, std::span<const double> u,
                                     BlockState& state) {
  const std::vector<double> input = times(m.in_scale, {u.begin(), u.end()});
  return times(m.out_scale, mixer(m.config, m.weights, input, state));
}

/// Any mixer on its normed input u (T, d_model). Returns (T, d_model); the state moves on by T
/// tokens.
inline std::vector<double> mix(const Mixer& any, std::span<const double> u, MixerState& state) {
  if (const auto* m = std::get_if<MambaMixer>(&any)) {
    return mix_mamba(*m, u, std::get<BlockState>(state));
  }
  if (const auto* a = std::get_if<Attention>(&any)) {
    return attention(*a, u, std::get<AttentionState>(state));
  }
  if (const auto* m = std::get_if<Moe>(&any)) return moe(*m, u);
  if (const auto* s = std::get_if<ShortConv>(&any)) {
    return short_conv(*s, u, std::get<ShortConvState>(state));
  }
  if (const auto* after = std::get_if<MambaAfterBlock>(&any)) {
    return mix_mamba(after->mamba, u, std::get<std::pair<BlockState, AttentionState>>(state).first);
  }
  if (const auto* both = std::get_if<Parallel>(&any)) {
    auto& states = std::get<std::pair<BlockState, AttentionState>>(state);
    std::vector<double> sum = mix_mamba(both->mamba, u, states.first);
    const std::vector<double> other = attention(both->attention, u, states.second);
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += other[i];
    return sum;
  }
  return mlp(std::get<Mlp>(any), u);
}

/// The logits (T, vocab_size) after each of the tokens, continuing from `state`. `hidden`, where it
/// is given, gets the residual stream (T, d_model) after the embedding and after each layer.
inline std::vector<double> forward(const Hybrid& model, std::span<const Token> tokens,
                                   HybridState& state,
                                   std::vector<std::vector<double>>* hidden = nullptr) {
  std::vector<double> residual;
  for (const Token token : tokens) {
    for (std::size_t i = 0; i < model.d_model; ++i) {
      residual.push_back(model.embedding[static_cast<std::size_t>(token) * model.d_model + i] *
                         model.embedding_scale);
    }
  }
  const std::vector<double> embedded = residual;
  if (hidden != nullptr) hidden->push_back(residual);
  for (std::size_t l = 0; l < model.layers.size(); ++l) {
    for (std::size_t b = 0; b < model.layers[l].size(); ++b) {
      const Branch& branch = model.layers[l][b];
      std::vector<double> sum = residual;
      if (const auto* after = std::get_if<MambaAfterBlock>(&branch.mixer)) {
        const std::vector<double> more =
            read_block(model.blocks[after->use.block], after->use, residual, embedded,
                       model.d_model, model.norm_eps,
                       std::get<std::pair<BlockState, AttentionState>>(state.layers[l][b]).second);
        for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += more[i];
      }
      const std::vector<double> u = rms_norm(sum, branch.norm, model.d_model, model.norm_eps);
      const std::vector<double> out = mix(branch.mixer, u, state.layers[l][b]);
      for (std::size_t i = 0; i < residual.size(); ++i) residual[i] += branch.scale * out[i];
    }
    if (hidden != nullptr) hidden->push_back(residual);
  }
  const std::vector<double> last = rms_norm(residual, model.norm_f, model.d_model, model.norm_eps);
  std::vector<double> logits =
      linear(model.tie_embeddings ? model.embedding : model.lm_head, {}, last, model.d_model);
  for (double& logit : logits) logit /= model.logits_scale;
  return logits;
}

/// The same for tokens that nothing precedes.
inline std::vector<double> forward(const Hybrid& model, std::span<const Token> tokens,
                                   std::vector<std::vector<double>>* hidden = nullptr) {
  HybridState state(model);
  return forward(model, tokens, state, hidden);
}

}  // namespace reference
