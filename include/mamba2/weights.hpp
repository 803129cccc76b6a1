// SPDX-License-Identifier: Apache-2.0
// The weights of a model, packed in one arena.
#pragma once

#include <cstddef>
#include <vector>

#include "mamba2/config.hpp"
#include "mamba2/core/arena.hpp"
#include "mamba2/kernels/conv1d.hpp"
#include "mamba2/kernels/rms_norm.hpp"
#include "mamba2/kernels/scan.hpp"
#include "mamba2/linear/matrix.hpp"

namespace mamba2::inline MAMBA2_ISA {

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
  Matrix<WeightT> out_proj;    ///< (d_model, d_inner), rotated as WeightT::kRotation says
  const float* out_proj_bias;  ///< (d_model) or nullptr
};

/// All weights of a language model.
template <WeightPolicy WeightT>
struct Weights {
  Config config;
  Arena arena;
  using Head = typename WeightT::Head;

  Matrix<Head> embedding;         ///< (vocab_size, d_model)
  Matrix<Head> lm_head;           ///< (vocab_size, d_model): the embedding itself where tied
  const float* norm_f = nullptr;  ///< (d_model)
  std::vector<BlockWeights<WeightT>> blocks;

  /// Lays the weights out; a carver without a block only counts the bytes.
  void carve(Carver& carver);

  /// Bytes that the arena needs.
  [[nodiscard]] static std::size_t bytes(const Config& config) {
    Weights weights;
    weights.config = config;
    Carver counter;
    weights.carve(counter);
    return counter.used();
  }
};

namespace detail {

template <WeightPolicy WeightT>
Matrix<WeightT> carve_matrix(Carver& carver, std::size_t rows, std::size_t cols) {
  return {carver.take<std::byte>(packed_bytes<WeightT>(rows, cols)), rows, cols};
}

inline const float* carve_if(Carver& carver, bool wanted, std::size_t count) {
  return wanted ? carver.take<float>(count) : nullptr;
}

/// In the order in which a token meets them, so that decoding walks forward through memory.
template <WeightPolicy WeightT>
BlockWeights<WeightT> carve_block(Carver& carver, const Config& c) {
  BlockWeights<WeightT> w;
  w.norm = carver.take<float>(c.d_model);
  w.in_proj = carve_matrix<WeightT>(carver, c.d_in_proj(), c.d_model);
  w.in_proj_bias = carve_if(carver, c.bias, c.d_in_proj());
  w.conv_weight = carver.take<float>(c.d_conv * c.conv_dim());
  w.conv_bias = carver.take<float>(c.conv_dim());
  w.dt_bias = carver.take<float>(c.nheads());
  w.A = carver.take<float>(c.nheads());
  w.D = carver.take<float>(c.d_ssm);
  w.gated_norm = carve_if(carver, c.rmsnorm, c.d_ssm);
  w.out_proj = carve_matrix<WeightT>(carver, c.d_model, c.d_inner);
  w.out_proj_bias = carve_if(carver, c.bias, c.d_model);
  return w;
}

}  // namespace detail

template <WeightPolicy WeightT>
void Weights<WeightT>::carve(Carver& carver) {
  blocks.clear();
  for (std::size_t i = 0; i < config.n_layer; ++i) {
    blocks.push_back(detail::carve_block<WeightT>(carver, config));
  }
  norm_f = carver.take<float>(config.d_model);
  embedding = detail::carve_matrix<Head>(carver, config.vocab_size, config.d_model);
  lm_head = config.tie_embeddings
                ? embedding
                : detail::carve_matrix<Head>(carver, config.vocab_size, config.d_model);
}

}  // namespace mamba2::inline MAMBA2_ISA
