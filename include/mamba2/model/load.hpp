// SPDX-License-Identifier: Apache-2.0
// From a checkpoint's tensors to packed weights.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "mamba2/core/linkage.hpp"
#include "mamba2/core/workers.hpp"
#include "mamba2/io/checkpoint.hpp"
#include "mamba2/layers/weights.hpp"

#if MAMBA2_HAS_DEFINITIONS
#include <cmath>
#include <optional>

#include "mamba2/io/checked_read.hpp"
#include "mamba2/io/fingerprint.hpp"
#endif

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// A folder that keeps weights as they are packed, so that the next start takes them as they are:
/// a file for each model, CPU layout and policy, whole or not there, safe beside other programs. It
/// is used if the model's files have the same paths, sizes and times of change, the same tensors
/// and the same bytes in a sample of their pages; else a new one is written. Files may be removed
/// at any time.
struct CacheOptions {
  std::filesystem::path folder = {};  ///< made where it is missing; empty: there is none
  /// Of all its files; those that were not used for longest go. One that is larger is not kept.
  std::uint64_t most_bytes = std::uint64_t{32} << 30U;
  bool check_hash = false;  ///< whether to read all of a file first, as PackedOptions::check_hash
};

struct LoadOptions {
  Workers workers = {};
  /// Called after each tensor with the tensors loaded so far and their number.
  std::function<void(std::size_t done, std::size_t total)> progress = {};
  /// Where the weights go, instead of memory from the system: MemoryRequired::weights bytes that
  /// start on a multiple of 64 and outlive the model and all made of it. A packed file needs none.
  std::span<std::byte> memory = {};
  /// Of a packed file: as PackedOptions::check_hash.
  bool check_hash = true;
  /// Of a path: an adapter of BitMamba-2, and layers that run more than once (Checkpoint::add_lora,
  /// repeat). A packed file has what it was packed with.
  std::filesystem::path lora = {};
  LayerRepeat repeat = {};
  /// Of a path: where packed weights are kept. Not with `memory`, which they would not be in.
  CacheOptions cache = {};
};

namespace detail {

/// Bands of so many values that are worked on at a time: enough for many threads, and not much
/// memory.
[[nodiscard]] constexpr std::size_t slab_bands(std::size_t band_values) {
  constexpr std::size_t kSlabBytes = std::size_t{4} << 20;
  return std::max<std::size_t>(1, kSlabBytes / sizeof(float) / band_values);
}

#if MAMBA2_HAS_DEFINITIONS

/// Reads the tensors of one checkpoint into the places that Weights::carve laid out. Large matrices
/// pass through a buffer of a few bands of rows, so that no second copy of the model ever exists.
class WeightsLoader {
 public:
  WeightsLoader(const Checkpoint& checkpoint, const LoadOptions& options, Executor& executor,
                Weights& weights)
      : checkpoint_(checkpoint), options_(options), executor_(executor), weights_(weights) {
    all_tensors(weights_, [&](const Slot& slot, auto&) { total_ += slot.is_stored ? 1U : 0U; });
  }

  Result<void> load_all() {
    all_tensors(weights_, [&](const Slot& slot, const auto& place) {
      if (failed_ || !slot.is_stored) return;
      tensor(slot, slot.full_name(), place);
      ++done_;
      if (options_.progress) options_.progress(done_, total_);
    });
    return failed_ ? Result<void>(error_) : Result<void>();
  }

 private:
  void tensor(const Slot&, const std::string& name, const Matrix& m) {
    const TensorView& stored = checkpoint_.tensor(name);
    const Format& format = *m.format;
    const bool as_codes = format.takes_codes(stored.dtype) && stored.rotation == m.rotation;
    const float most = format.max_weight(stored.dtype);
    const std::size_t values = format.band_rows * m.cols;  // of a band
    const std::size_t slab = slab_bands(values);
    rows_.resize(slab * values);
    bad_.resize(slab);
    for (std::size_t first = 0; first < m.band_count() && !failed_; first += slab) {
      const std::size_t count = std::min(slab, m.band_count() - first);
      executor_.run(count, [&](std::size_t i) {
        const std::size_t band = first + i;
        const std::size_t row = band * format.band_rows;
        const std::size_t count_rows = m.rows_in(band, 1);
        bad_[i] = check_codes(stored, row, count_rows);
        if (bad_[i]) return;
        BandRows from = {&rows_[i * values], stored.dtype,
                         stored.part(row * m.cols, count_rows * m.cols),
                         stored.scales_of(row, count_rows)};
        if (!as_codes) {
          const std::span<float> rows(&rows_[i * values], values);
          read_rows(stored, row * m.cols, count_rows * m.cols, rows);
          bad_[i] = check_and_rotate(rows, row * m.cols, m.rotation, most);
          if (bad_[i]) return;
          if (has_scales(stored.dtype)) from = {rows.data()};
        }
        format.pack_band(from, m.cols, weights_.writable(m.band(band)));
      });
      for (std::size_t i = 0; i < count; ++i) check(name, bad_[i], most, format.name);
      release(name, first * values, m.rows_in(first, count) * m.cols);
    }
  }

  void tensor(const Slot& slot, const std::string& name, const float* place) {
    float* to = weights_.writable(place);
    if (slot.role == Role::decay) return decay(name, {to, slot.rows});
    rows_.resize(slot.rows * slot.cols);
    read(name, rows_);
    // Tap by tap, and rank by rank, so that lanes are channels.
    if (slot.role == Role::taps || slot.role == Role::lora_B) {
      for (std::size_t i = 0; i < rows_.size(); ++i) {
        to[i % slot.cols * slot.rows + i / slot.cols] = rows_[i];
      }
    } else {
      // Of norm_f: logits are linear in it.
      const bool is_last = slot.role == Role::norm && slot.layer == Slot::kNoLayer;
      const float factor = is_last ? weights_.config.logits_multiplier : 1.0F;
      for (std::size_t i = 0; i < slot.count(); ++i) to[i] = factor * rows_[i / slot.repeats];
    }
  }

  /// A = -exp(A_log), in FP32 as the original does; or A itself, where the file has that.
  void decay(std::string name, std::span<float> A) {
    const std::string name_of_A = name.substr(0, name.size() - std::string_view("_log").size());
    const bool is_A = checkpoint_.find(name_of_A) != nullptr;
    if (is_A) name = name_of_A;
    read(name, A);
    for (std::size_t h = 0; h < A.size(); ++h) {
      const float found = A[h];
      if (is_A && found > 0.0F) fail(name, h, found, "at most 0");
      if (!is_A) A[h] = -std::exp(found);
      if (!std::isfinite(A[h])) fail(name, h, found, "a value whose exponential is finite");
    }
  }

  void read(const std::string& name, std::span<float> to) {
    if (!failed_) check(name, read_finite(checkpoint_.tensor(name), 0, to));
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

  const Checkpoint& checkpoint_;
  const LoadOptions& options_;
  Executor& executor_;
  Weights& weights_;
  std::vector<float> rows_;
  std::vector<std::optional<BadElement>> bad_;  // one for each band of a slab
  std::size_t done_ = 0;
  std::size_t total_ = 0;
  bool failed_ = false;
  Error error_{};
};

#endif

}  // namespace detail

/// Bytes of memory that load_weights() takes besides the weights: some bands, or a router, as
/// floats, and the same in the file, of at most 8 bytes a value.
[[nodiscard]] inline std::size_t loading_bytes(const Weights& planned) {
  std::size_t most = 0;
  all_tensors(planned, [&]<class Place>(const Slot& slot, const Place& place) {
    if constexpr (std::is_same_v<Place, Matrix>) {
      const std::size_t band = place.format->band_rows * place.cols;
      most = std::max(most, detail::slab_bands(band) * band);
    } else if (slot.role == Role::router) {
      most = std::max(most, slot.count());
    }
  });
  return most * (sizeof(float) + sizeof(double));
}

/// The shapes and formats of a checkpoint's weights, without memory.
[[nodiscard]] inline Weights plan_weights(const Checkpoint& checkpoint, const Plan& plan) {
  Weights weights = Weights::planned(checkpoint.config(), plan);
  all_matrices(weights, [&](const Slot& slot, Matrix& m) {
    const TensorView& stored = checkpoint.tensor(slot.full_name());
    m.format = &format_of(weights.config, plan, slot.role, stored.dtype);
    if (plan.rotation == kRotationAsStored) m.rotation = stored.rotation;
  });
  weights.link();
  return weights;
}

/// Error unsupported: a matrix that a checkpoint stores in a type which the plan does not take.
[[nodiscard]] inline Result<void> check_stored_types(const Checkpoint& checkpoint,
                                                     const Weights& planned) {
  Result<void> result;
  const Plan& plan = *planned.plan;
  all_matrices(planned, [&](const Slot& slot, const Matrix&) {
    const TensorView& stored = checkpoint.tensor(slot.full_name());
    if (!result || plan.takes == nullptr || plan.takes(slot.role, stored.dtype)) return;
    result = Error{ErrorCode::unsupported,
                   detail::concat(stored.file, ": tensor ", stored.name, ": is stored as ",
                                  dtype_name(stored.dtype), ", which ", plan.name,
                                  " weights cannot hold; mixed ones can")};
  });
  return result;
}

/// Packs a checkpoint's weights. Errors: out_of_memory; unsupported, for a type that the plan does
/// not take; invalid_argument, for memory that is too
/// small or not aligned; malformed, for a NaN, an infinity or a weight that is too large for its
/// format; those of Workers::get.
[[nodiscard]] Result<Weights> load_weights(const Checkpoint& checkpoint, const Plan& plan,
                                           const LoadOptions& options = {});

#if MAMBA2_HAS_DEFINITIONS

MAMBA2_FUNCTION Result<Weights> load_weights(const Checkpoint& checkpoint, const Plan& plan,
                                             const LoadOptions& options) {
  const Result<std::shared_ptr<Executor>> executor = options.workers.get();
  if (!executor) return executor.error();
  Weights weights = plan_weights(checkpoint, plan);
  if (auto checked = check_stored_types(checkpoint, weights); !checked) {
    return checked.error();
  }
  Result<Arena> arena = Arena::create(weights.carve(nullptr), options.memory, "weights");
  if (!arena) return std::move(arena).error();
  weights.arena = *std::move(arena);
  weights.carve(weights.arena.data());
  const Result<void> loaded =
      detail::WeightsLoader(checkpoint, options, **executor, weights).load_all();
  if (!loaded) return loaded.error();
  weights.fingerprint = fingerprint(checkpoint, plan.name);  // of pages just read
  weights.notes.assign(checkpoint.notes().begin(), checkpoint.notes().end());
  return weights;
}

#endif

}  // namespace MAMBA2_ISA
}  // namespace mamba2
