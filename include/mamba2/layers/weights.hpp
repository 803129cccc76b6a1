// SPDX-License-Identifier: Apache-2.0
// The weights of a model, packed in one arena.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "mamba2/core/arena.hpp"
#include "mamba2/kernels/conv1d.hpp"
#include "mamba2/kernels/hadamard.hpp"
#include "mamba2/kernels/rms_norm.hpp"
#include "mamba2/kernels/scan.hpp"
#include "mamba2/layers/config.hpp"
#include "mamba2/linear/matrix.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// One Mamba-2 block. Small tensors are FP32 whatever the policy; a bias that the model does not
/// have is nullptr.
template <WeightPolicy WeightT>
struct BlockWeights {
  const float* norm;           ///< (d_model)
  Matrix<WeightT> in_proj;     ///< (d_in_proj, d_model)
  const float* in_proj_bias;   ///< (d_in_proj) or nullptr
  const float* conv_weight;    ///< (d_conv, conv_dim): transposed, so that lanes are channels
  const float* conv_bias;      ///< (conv_dim), zeros where the model has none
  const float* dt_bias;        ///< (nheads)
  const float* A;              ///< (nheads): -exp(A_log)
  const float* D;              ///< (d_ssm): repeated over a head's channels
  const float* gated_norm;     ///< (d_ssm) or nullptr
  Matrix<WeightT> out_proj;    ///< (d_model, d_inner)
  const float* out_proj_bias;  ///< (d_model) or nullptr
  std::size_t rotation;        ///< width of the Hadamard blocks that the rows of out_proj, and its
                               ///< inputs, are rotated by; 1: not rotated
};

/// All weights of a language model.
template <WeightPolicy WeightT>
struct Weights {
  Config config;
  Arena arena;
  std::uint64_t fingerprint = 0;   ///< of the model (io/fingerprint.hpp); 0: made of no checkpoint
  std::vector<std::string> notes;  ///< those of the checkpoint
  using Head = typename WeightT::Head;

  Matrix<Head> embedding;         ///< (vocab_size, d_model)
  Matrix<Head> lm_head;           ///< (vocab_size, d_model): the embedding itself where tied
  const float* norm_f = nullptr;  ///< (d_model)
  std::vector<BlockWeights<WeightT>> blocks;

  /// The shapes of all matrices, in the format for F32, and no memory yet.
  [[nodiscard]] static Weights planned(const Config& config);

  /// Lays out what is planned in memory and returns the bytes that it takes; without memory it only
  /// counts them.
  std::size_t carve(std::byte* memory);

  /// Bytes of the largest input of a product, made ready.
  [[nodiscard]] std::size_t input_bytes() const {
    std::size_t most = lm_head.input_bytes();
    for (const BlockWeights<WeightT>& block : blocks) {
      most = std::max({most, block.in_proj.input_bytes(), block.out_proj.input_bytes()});
    }
    return most;
  }
};

namespace detail {

template <WeightPolicy WeightT>
void carve_matrix(Carver& carver, Matrix<WeightT>& m) {
  m.bands = carver.take<std::byte>(m.bytes());
}

inline const float* carve_if(Carver& carver, bool wanted, std::size_t count) {
  return wanted ? carver.take<float>(count) : nullptr;
}

/// In the order in which a token meets them, so that decoding walks forward through memory.
template <WeightPolicy WeightT>
void carve_block(Carver& carver, const Config& c, BlockWeights<WeightT>& w) {
  w.norm = carver.take<float>(c.d_model);
  carve_matrix(carver, w.in_proj);
  w.in_proj_bias = carve_if(carver, c.bias, c.d_in_proj());
  w.conv_weight = carver.take<float>(c.d_conv * c.conv_dim());
  w.conv_bias = carver.take<float>(c.conv_dim());
  w.dt_bias = carver.take<float>(c.nheads());
  w.A = carver.take<float>(c.nheads());
  w.D = carver.take<float>(c.d_ssm);
  w.gated_norm = carve_if(carver, c.rmsnorm, c.d_ssm);
  carve_matrix(carver, w.out_proj);
  w.out_proj_bias = carve_if(carver, c.bias, c.d_model);
}

}  // namespace detail

template <WeightPolicy WeightT>
Weights<WeightT> Weights<WeightT>::planned(const Config& c) {
  Weights weights;
  weights.config = c;
  weights.embedding = weights.lm_head = {nullptr, c.vocab_size, c.d_model};
  weights.blocks.resize(c.n_layer);
  for (BlockWeights<WeightT>& block : weights.blocks) {
    block.in_proj = {nullptr, c.d_in_proj(), c.d_model};
    block.out_proj = {nullptr, c.d_model, c.d_inner};
    const std::size_t widest = WeightT::kRotation == kRotationAsStored ? 0 : WeightT::kRotation;
    block.rotation = kernels::hadamard_width(c.d_inner, widest);
  }
  return weights;
}

template <WeightPolicy WeightT>
std::size_t Weights<WeightT>::carve(std::byte* memory) {
  Carver carver(memory);
  for (BlockWeights<WeightT>& block : blocks) detail::carve_block(carver, config, block);
  norm_f = carver.take<float>(config.d_model);
  detail::carve_matrix(carver, embedding);
  if (config.tie_embeddings) {
    lm_head = embedding;
  } else {
    detail::carve_matrix(carver, lm_head);
  }
  return carver.used();
}

}  // namespace MAMBA2_ISA
}  // namespace mamba2
