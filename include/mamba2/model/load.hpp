// SPDX-License-Identifier: Apache-2.0
// From a checkpoint's tensors to packed weights.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mamba2/core/workers.hpp"
#include "mamba2/io/checked_read.hpp"
#include "mamba2/io/checkpoint.hpp"
#include "mamba2/io/fingerprint.hpp"
#include "mamba2/layers/weights.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

struct LoadOptions {
  Workers workers = {};
  /// Called after each tensor with the tensors loaded so far and their number.
  std::function<void(std::size_t done, std::size_t total)> progress = {};
  /// Where the weights go, instead of memory from the system: MemoryRequired::weights bytes that
  /// start on a multiple of 64 and outlive the model and all made of it. A packed file needs none.
  std::span<std::byte> memory = {};
  /// Of a packed file: as PackedOptions::check_hash.
  bool check_hash = true;
};

namespace detail {

/// Bands of so many values that are worked on at a time: enough for many threads, and not much
/// memory.
[[nodiscard]] constexpr std::size_t slab_bands(std::size_t band_values) {
  constexpr std::size_t kSlabBytes = std::size_t{4} << 20;
  return std::max<std::size_t>(1, kSlabBytes / sizeof(float) / band_values);
}

/// Reads the tensors of one checkpoint into the places that Weights::carve laid out. Large matrices
/// pass through a buffer of a few bands of rows, so that no second copy of the model ever exists.
template <WeightPolicy WeightT>
class WeightsLoader {
 public:
  WeightsLoader(const Checkpoint& checkpoint, const LoadOptions& options, Executor& executor,
                Weights<WeightT>& weights)
      : checkpoint_(checkpoint), options_(options), executor_(executor), weights_(weights) {}

  Result<void> load_all() {
    const Config& c = weights_.config;
    matrix("embedding.weight", weights_.embedding);
    if (!c.tie_embeddings) matrix("lm_head.weight", weights_.lm_head);
    vector("norm_f.weight", weights_.norm_f, c.d_model);
    for (std::size_t i = 0; i < c.n_layer && !failed_; ++i) {
      block(concat("layers.", i, "."), weights_.blocks[i]);
    }
    return failed_ ? Result<void>(error_) : Result<void>();
  }

 private:
  void block(const std::string& prefix, const BlockWeights<WeightT>& w) {
    const Config& c = weights_.config;
    const std::string mixer = prefix + "mixer.";
    vector(prefix + "norm.weight", w.norm, c.d_model);
    matrix(mixer + "in_proj.weight", w.in_proj);
    if (c.bias) vector(mixer + "in_proj.bias", w.in_proj_bias, c.d_in_proj());
    conv_weight(mixer + "conv1d.weight", w.conv_weight);
    if (c.conv_bias) vector(mixer + "conv1d.bias", w.conv_bias, c.conv_dim());
    vector(mixer + "dt_bias", w.dt_bias, c.nheads());
    decay(mixer, w.A);
    skip(mixer + "D", w.D);
    if (c.rmsnorm) vector(mixer + "norm.weight", w.gated_norm, c.d_ssm);
    matrix(mixer + "out_proj.weight", w.out_proj, w.rotation);
    if (c.bias) vector(mixer + "out_proj.bias", w.out_proj_bias, c.d_model);
  }

  void vector(const std::string& name, const float* place, std::size_t count) {
    read(name, 0, {writable(place), count});
    loaded();
  }

  /// rotation: the width of the Hadamard blocks that rows are rotated in; 1: not rotated.
  template <class Policy>
  void matrix(const std::string& name, const Matrix<Policy>& m, std::size_t rotation = 1) {
    const TensorView& stored = checkpoint_.tensor(name);
    const bool as_codes = m.takes_codes(stored.dtype) && stored.rotation == rotation;
    const float most = m.max_weight(stored.dtype);
    const std::size_t values = Policy::kBandRows * m.cols;  // of a band
    const std::size_t slab = slab_bands(values);
    rows_.resize(slab * values);
    bad_.resize(slab);
    for (std::size_t first = 0; first < m.band_count() && !failed_; first += slab) {
      const std::size_t count = std::min(slab, m.band_count() - first);
      executor_.run(count, [&](std::size_t i) {
        const std::size_t band = first + i;
        const std::size_t row = band * Policy::kBandRows;
        const std::size_t count_rows = m.rows_in(band, 1);
        bad_[i] = check_codes(stored, row, count_rows);
        if (bad_[i]) return;
        BandRows from = {&rows_[i * values], stored.dtype,
                         stored.part(row * m.cols, count_rows * m.cols),
                         stored.scales_of(row, count_rows)};
        if (!as_codes) {
          const std::span<float> rows(&rows_[i * values], values);
          read_rows(stored, row * m.cols, count_rows * m.cols, rows);
          bad_[i] = check_and_rotate(rows, row * m.cols, rotation, most);
          if (bad_[i]) return;
          if (has_scales(stored.dtype)) from = {rows.data()};
        }
        m.pack_band(from, writable(m.band(band)));
      });
      for (std::size_t i = 0; i < count; ++i) check(name, bad_[i], most, m.format_name());
      release(name, first * values, m.rows_in(first, count) * m.cols);
    }
    loaded();
  }

  /// (conv_dim, 1, d_conv) in the file, (d_conv, conv_dim) in memory.
  void conv_weight(const std::string& name, const float* place) {
    const std::size_t d_conv = weights_.config.d_conv;
    const std::size_t conv_dim = weights_.config.conv_dim();
    rows_.resize(conv_dim * d_conv);
    read(name, 0, rows_);
    float* to = writable(place);
    for (std::size_t k = 0; k < d_conv; ++k) {
      for (std::size_t c = 0; c < conv_dim; ++c) to[k * conv_dim + c] = rows_[c * d_conv + k];
    }
    loaded();
  }

  /// A = -exp(A_log), in FP32 as the original does; or A itself, where the file has that.
  void decay(const std::string& mixer, const float* place) {
    const bool is_A = checkpoint_.find(mixer + "A") != nullptr;
    const std::string name = mixer + (is_A ? "A" : "A_log");
    const std::span<float> A(writable(place), weights_.config.nheads());
    read(name, 0, A);
    for (std::size_t h = 0; h < A.size(); ++h) {
      const float found = A[h];
      if (is_A && found > 0.0F) fail(name, h, found, "at most 0");
      if (!is_A) A[h] = -std::exp(found);
      if (!std::isfinite(A[h])) fail(name, h, found, "a value whose exponential is finite");
    }
    loaded();
  }

  /// D per head is repeated over the head's channels: one code path for both forms.
  void skip(const std::string& name, const float* place) {
    const Config& c = weights_.config;
    rows_.resize(c.D_has_hdim ? c.d_ssm : c.nheads());
    read(name, 0, rows_);
    const std::size_t channels = c.d_ssm / rows_.size();
    float* to = writable(place);
    for (std::size_t i = 0; i < c.d_ssm; ++i) to[i] = rows_[i / channels];
    loaded();
  }

  void read(const std::string& name, std::size_t first, std::span<float> to) {
    if (!failed_) check(name, read_finite(checkpoint_.tensor(name), first, to));
  }

  /// most: of what it is stored as.
  void check(const std::string& name, const std::optional<BadElement>& bad, float most = kNoLimit,
             std::string_view format = "fp32") {
    if (!bad || failed_) return;
    fail(name, bad->index, bad->value, expected_of(*bad, most, format),
         bad->is_scale ? "_scale" : "");
  }

  /// So that the file's pages do not pile up beside the packed weights.
  void release(const std::string& name, std::size_t first, std::size_t count) const {
    checkpoint_.release(checkpoint_.tensor(name).part(first, count));
  }

  void fail(const std::string& name, std::size_t index, float found, std::string_view expected,
            std::string_view suffix = "") {
    if (failed_) return;
    failed_ = true;
    error_ = {ErrorCode::malformed,
              concat(checkpoint_.tensor(name).file, ": tensor ", checkpoint_.tensor(name).name,
                     suffix, ": element ", index, " must be ", expected, ", found ", found)};
  }

  void loaded() {
    ++done_;
    if (options_.progress) options_.progress(done_, total());
  }

  [[nodiscard]] std::size_t total() const {
    const Config& c = weights_.config;
    const std::size_t per_block =
        7 + (c.bias ? 2U : 0U) + (c.conv_bias ? 1U : 0U) + (c.rmsnorm ? 1U : 0U);
    return c.n_layer * per_block + (c.tie_embeddings ? 2U : 3U);
  }

  /// The weights are const to everybody but this loader, who finds its way through the arena.
  template <class T>
  [[nodiscard]] T* writable(const T* place) const {
    return reinterpret_cast<T*>(weights_.arena.data() + (reinterpret_cast<const std::byte*>(place) -
                                                         weights_.arena.data()));
  }

  const Checkpoint& checkpoint_;
  const LoadOptions& options_;
  Executor& executor_;
  Weights<WeightT>& weights_;
  std::vector<float> rows_;
  std::vector<std::optional<BadElement>> bad_;  // one for each band of a slab
  std::size_t done_ = 0;
  bool failed_ = false;
  Error error_{};
};

}  // namespace detail

/// Bytes of memory that load_weights() takes besides the weights: some bands as floats, and the
/// same in the file, of at most 8 bytes a value.
template <WeightPolicy WeightT>
[[nodiscard]] std::size_t loading_bytes(const Config& c) {
  const std::size_t band = WeightT::kBandRows * std::max(c.d_inner, c.d_model);
  return detail::slab_bands(band) * band * (sizeof(float) + sizeof(double));
}

/// The shapes and formats of a checkpoint's weights, without memory.
template <WeightPolicy WeightT>
[[nodiscard]] Weights<WeightT> plan_weights(const Checkpoint& checkpoint) {
  auto weights = Weights<WeightT>::planned(checkpoint.config());
  const auto choose = [&](auto& m, const std::string& name) {
    m.choose_format(checkpoint.tensor(name).dtype);
    return checkpoint.tensor(name).rotation;
  };
  choose(weights.embedding, "embedding.weight");
  choose(weights.lm_head, weights.config.tie_embeddings ? "embedding.weight" : "lm_head.weight");
  for (std::size_t i = 0; i < weights.blocks.size(); ++i) {
    const std::string mixer = detail::concat("layers.", i, ".mixer.");
    choose(weights.blocks[i].in_proj, mixer + "in_proj.weight");
    const std::size_t rotation = choose(weights.blocks[i].out_proj, mixer + "out_proj.weight");
    if (WeightT::kRotation == kRotationAsStored) weights.blocks[i].rotation = rotation;
  }
  return weights;
}

/// Packs a checkpoint's weights. Errors: out_of_memory; invalid_argument, for memory that is too
/// small or not aligned; malformed, for a NaN, an infinity or a weight that is too large for its
/// format; those of Workers::get.
template <WeightPolicy WeightT>
[[nodiscard]] Result<Weights<WeightT>> load_weights(const Checkpoint& checkpoint,
                                                    const LoadOptions& options = {}) {
  const Result<std::shared_ptr<Executor>> executor = options.workers.get();
  if (!executor) return executor.error();
  auto weights = plan_weights<WeightT>(checkpoint);
  Result<Arena> arena = Arena::create(weights.carve(nullptr), options.memory, "weights");
  if (!arena) return std::move(arena).error();
  weights.arena = *std::move(arena);
  weights.carve(weights.arena.data());
  const Result<void> loaded =
      detail::WeightsLoader<WeightT>(checkpoint, options, **executor, weights).load_all();
  if (!loaded) return loaded.error();
  weights.fingerprint = fingerprint(checkpoint, WeightT::name);  // of pages just read
  weights.notes.assign(checkpoint.notes().begin(), checkpoint.notes().end());
  return weights;
}

}  // namespace MAMBA2_ISA
}  // namespace mamba2
