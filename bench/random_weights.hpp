// SPDX-License-Identifier: Apache-2.0
// Models of the published shapes with random weights: as fast as the real ones, without a file.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstring>
#include <mamba2/mamba2.hpp>
#include <random>
#include <utility>
#include <vector>

namespace bench {

/// Memory that is const to everybody but to those who fill it.
template <class T>
[[nodiscard]] T* writable(const T* place) {
  return const_cast<T*>(place);
}

/// A handful of random bands, enough to fill matrices of any number of rows: packing as many values
/// as a model has would take minutes.
template <class W>
class RandomBands {
 public:
  /// Values with mean 0 and deviation 1 / sqrt(cols): a product keeps the size of its input.
  RandomBands(const mamba2::Matrix<W>& m, std::mt19937& random)
      : bytes_(m.band_bytes()), packed_(kBands * bytes_) {
    const std::size_t cols = m.cols;
    std::normal_distribution<float> normal(0.0F, 1.0F / std::sqrt(static_cast<float>(cols)));
    std::vector<float> rows(W::kBandRows * cols);
    for (std::size_t band = 0; band < kBands; ++band) {
      for (float& value : rows) value = normal(random);
      m.pack_band({rows.data()}, &packed_[band * bytes_]);
    }
  }

  /// Fills a matrix with the bands in turn, from the first'th on.
  void fill(const mamba2::Matrix<W>& m, std::size_t first = 0) const {
    for (std::size_t band = 0; band < m.band_count(); ++band) {
      std::memcpy(writable(m.band(band)), &packed_[(first + band) % kBands * bytes_], bytes_);
    }
  }

 private:
  static constexpr std::size_t kBands = 7;

  std::size_t bytes_;
  std::vector<std::byte> packed_;
};

namespace detail {

/// Sets `count` values, if they exist, to value() each.
template <class Value>
void set(const float* place, std::size_t count, Value value) {
  for (std::size_t i = 0; place != nullptr && i < count; ++i) writable(place)[i] = value();
}

/// The small tensors of a block, as they are initialised for training.
template <class W>
void fill_vectors(const mamba2::BlockWeights<W>& w, const mamba2::Config& c, std::mt19937& random) {
  const auto one = [] { return 1.0F; };
  const auto zero = [] { return 0.0F; };
  std::uniform_real_distribution<float> tap(-0.5F, 0.5F);
  std::uniform_real_distribution<float> step(0.01F, 0.1F);
  std::uniform_real_distribution<float> decay(1.0F, 16.0F);
  set(w.norm, c.d_model, one);
  set(w.in_proj_bias, c.d_in_proj(), zero);
  set(w.conv_weight, c.d_conv * c.conv_dim(), [&] { return tap(random); });
  set(w.conv_bias, c.conv_dim(), zero);
  // The inverse of softplus.
  set(w.dt_bias, c.nheads(), [&] { return std::log(std::expm1(step(random))); });
  set(w.A, c.nheads(), [&] { return -decay(random); });
  set(w.D, c.d_ssm, one);
  set(w.gated_norm, c.d_ssm, one);
  set(w.out_proj_bias, c.d_model, zero);
}

}  // namespace detail

/// The weights of a model of this shape, always the same. Error: out_of_memory.
template <class W>
[[nodiscard]] mamba2::Result<mamba2::Weights<W>> random_weights(const mamba2::Config& config) {
  auto weights = mamba2::Weights<W>::planned(config);
  auto arena = mamba2::Arena::create(weights.carve(nullptr));
  if (!arena) return std::move(arena).error();
  weights.arena = *std::move(arena);
  weights.carve(weights.arena.data());

  std::mt19937 random(2405);
  const RandomBands<W> in_proj(weights.blocks.front().in_proj, random);
  const RandomBands<W> out_proj(weights.blocks.front().out_proj, random);
  const RandomBands<typename W::Head> embedding(weights.embedding, random);
  for (std::size_t i = 0; i < config.n_layer; ++i) {
    const mamba2::BlockWeights<W>& block = weights.blocks[i];
    in_proj.fill(block.in_proj, i);
    out_proj.fill(block.out_proj, i);
    detail::fill_vectors(block, config, random);
  }
  detail::set(weights.norm_f, config.d_model, [] { return 1.0F; });
  embedding.fill(weights.embedding);
  if (!config.tie_embeddings) embedding.fill(weights.lm_head);
  return weights;
}

}  // namespace bench
