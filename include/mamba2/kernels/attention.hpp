// SPDX-License-Identifier: Apache-2.0
// Causal attention over keys and values as a cache stores them, a block of tokens at a time: the
// softmax of a block is merged with that of the blocks before (as in arXiv 2205.14135).
//
// Blocks lie at fixed positions and are merged first to last, and every sum is one chain: the bits
// of a result depend neither on the tokens that are read together nor on how the blocks are spread
// over threads.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "mamba2/core/linkage.hpp"
#include "mamba2/core/views.hpp"
#include "mamba2/kernels/activations.hpp"
#include "mamba2/kernels/kv_cache.hpp"
#include "mamba2/kernels/panel_products.hpp"
#include "mamba2/kernels/running_rows.hpp"
#include "mamba2/kernels/simd.hpp"

MAMBA2_INTRINSICS_BEGIN

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels {

/// The largest of all lanes.
[[nodiscard]] inline float largest_lane(const Floats& values) {
#if defined(__AVX512F__)
  return _mm512_reduce_max_ps(values);
#elif defined(__aarch64__)
  return vmaxvq_f32(values);
#else
  std::array<float, kLanes> lanes;
  store(values, lanes.data());
  return *std::max_element(lanes.begin(), lanes.end());
#endif
}

/// The largest score of a row and a block, whose first `seen` scores count. Those of keys with
/// scales are multiplied by them. What is infinite becomes the largest number: the largest score is
/// to be subtracted from all.
template <bool kScaled>
[[nodiscard]] float largest_score(const KvUnit& unit, std::size_t seen, float* scores) noexcept {
  constexpr float kMost = std::numeric_limits<float>::max();
  if constexpr (kScaled) {
    for (std::size_t i = 0; i < seen; i += kLanes) {
      store(load(scores + i) * load(unit.key_scales(i)), scores + i);
    }
  }
  const std::size_t end = detail::round_up(seen, kLanes);
  std::fill(scores + seen, scores + end, -std::numeric_limits<float>::infinity());
  const auto largest = [&] {
    Floats most = load(scores);
    for (std::size_t i = kLanes; i < end; i += kLanes) most = xsimd::max(most, load(scores + i));
    return largest_lane(most);
  };
  const float found = largest();
  if (std::abs(found) <= kMost) return found;
  for (std::size_t i = 0; i < seen; ++i) {
    if (std::isinf(scores[i])) scores[i] = std::copysign(kMost, scores[i]);
  }
  return largest();
}

/// The first `seen` scores become exp(score - largest), times the scales of values that have some;
/// the others up to `end` zero. Returns the sum, without scales. Asks for the lines from `ahead`
/// on, one for each register of scores: memory should not be idle meanwhile.
template <bool kScaled>
[[gnu::flatten]] float exponentials(const KvUnit& unit, std::size_t seen, std::size_t end,
                                    float largest, float* scores, const std::byte* ahead) noexcept {
  constexpr std::size_t kLine = 64;
  Floats total(0.0F);
  std::size_t i = 0;
  for (; i < seen; i += kLanes, ahead += kLine) {
    prefetch<kIntoL2>(ahead);
    Floats p = exp(load(scores + i) - Floats(largest));
    total += p;
    if constexpr (kScaled) p *= load(unit.value_scales + i);
    store(p, scores + i);
  }
  for (; i < end; i += kLanes) store(Floats(0.0F), scores + i);
  return sum(total);
}

/// What rows see of a unit, at work. kMost: the largest number of rows. kWiden: panels become
/// floats for all rows together, rather than for each tile of them.
template <std::size_t kMost, bool kWiden, class Stored>
class UnitRows {
 public:
  /// Arguments of attend_rows().
  UnitRows(const KvUnit& unit, const float* queries, const std::size_t* seen, std::size_t rows,
           const RunningRows& running) noexcept
      : unit_(unit),
        queries_(queries),
        seen_(seen),
        rows_(rows),
        tokens_(seen[rows - 1]),
        running_(running) {}

  void run(bool first) noexcept {
    // Panels of a tile are read side by side: what is asked for lies that much further ahead.
    ahead_ = unit_.keys + kWeightsAhead + (kTilePanels - 1) * unit_.value_panel_bytes;
    for (std::size_t token = 0; token < tokens_; token += kTilePanels * kPanel) {
      // There may be one panel less. What is read instead, the beginning of the values, makes
      // scores that are of no account.
      score_panels(token, {unit_.keys + token / kPanel * unit_.key_panel_bytes,
                           unit_.key_panel_bytes, unit_.headdim});
    }
    softmax();
    if (first) {
      for (std::size_t r = 0; r < rows_; ++r) {
        running_.largest(r) = largest_[r];
        running_.sum(r) = sums_[r];
      }
    } else {
      merge();
    }
    const MergeFactors* factors = first ? nullptr : factors_.data();
    std::size_t c = 0;
    for (; c + kTilePanels * kPanel <= running_.padded; c += kTilePanels * kPanel) {
      add_values<kTilePanels>(c, factors);
    }
    if (kTilePanels > 1 && c < running_.padded) add_values<1>(c, factors);
  }

 private:
  static constexpr bool kScaled = std::is_same_v<Stored, std::int8_t>;
  static constexpr std::size_t kPanel = KvLayout::kPanel;
  // No power of two, and room for the scores of a panel that is not there.
  static constexpr std::size_t kStride = KvLayout::kBlock + kPanel;
  static constexpr std::size_t kWidened = kWiden ? KvLayout::kBlock * kPanel : 0;

  /// Calls multiply(panels, ahead), with the panels as floats if that pays.
  template <std::size_t kPanels, class Multiply>
  void with_panels(const Panels<Stored>& panels, Multiply multiply) noexcept {
    const std::byte* ahead = ahead_;
    ahead_ += kPanels * panels.count * kPanel * sizeof(Stored);
    if constexpr (kWiden && kPanels == 1 && !std::is_same_v<Stored, float>) {
      if (rows_ > kTileRowsMost && panels.count * kPanel <= kWidened) {
        for (std::size_t k = 0; k < panels.count; ++k) {
          const PanelRow row = widen(panels.row(0, k));
          unroll<kPanelRegisters>(
              [&](auto i) MAMBA2_INLINE { store(row[i], &widened_[k * kPanel + i * kLanes]); });
        }
        const auto* data = reinterpret_cast<const std::byte*>(widened_.data());
        multiply(Panels<float>{data, 0, panels.count}, ahead);
        return;
      }
    }
    multiply(panels, ahead);
  }

  /// The scores of kTilePanels panels of keys, the first of which belongs to this token.
  void score_panels(std::size_t token, const Panels<Stored>& panels) noexcept {
    with_panels<kTilePanels>(panels, [&](const auto& keys, const std::byte* ahead) {
      for_row_tiles<kTilePanels>(rows_, [&](auto rows, std::size_t r) {
        if (seen_[r + rows - 1] <= token) return;
        panel_products<rows, kTilePanels>({queries_ + r * unit_.headdim, unit_.headdim}, keys,
                                          r == 0 ? ahead : keys.data, nullptr,
                                          {&scores_[r * kStride + token], kStride});
      });
    });
  }

  /// Scores become weights.
  void softmax() noexcept {
    for (std::size_t r = 0; r < rows_; ++r) {
      largest_[r] = largest_score<kScaled>(unit_, seen_[r], &scores_[r * kStride]);
    }
    for (std::size_t r = 0; r < rows_; ++r) {
      sums_[r] = exponentials<kScaled>(unit_, seen_[r], tokens_, largest_[r], &scores_[r * kStride],
                                       ahead_);
      ahead_ += seen_[r] / kLanes * 64;
    }
  }

  /// Largest scores and sums of weights, of all rows at once.
  void merge() noexcept {
    alignas(64) PerRow before{};
    alignas(64) PerRow block{};
    alignas(64) PerRow sums{};
    for (std::size_t r = 0; r < rows_; ++r) {
      before[r] = running_.largest(r);
      sums[r] = running_.sum(r);
    }
    for (std::size_t r = 0; r < rows_; r += kLanes) {
      const Merge merge(load(&before[r]), load(&largest_[r]));
      store(merge.largest, &largest_[r]);
      store(merged(load(&sums[r]), merge.before, load(&sums_[r]), merge.block), &sums[r]);
      store(merge.before, &before[r]);
      store(merge.block, &block[r]);
    }
    for (std::size_t r = 0; r < rows_; ++r) {
      running_.largest(r) = largest_[r];
      running_.sum(r) = sums[r];
      factors_[r] = {before[r], block[r]};
    }
  }

  /// Weights times values, for kPanels panels of channels from channel c on.
  template <std::size_t kPanels>
  void add_values(std::size_t c, const MergeFactors* factors) noexcept {
    const Panels<Stored> panels = {unit_.values + c / kPanel * unit_.value_panel_bytes,
                                   unit_.value_panel_bytes, tokens_};
    with_panels<kPanels>(panels, [&](auto values, const std::byte* ahead) {
      for_row_tiles<kPanels>(rows_, [&](auto rows, std::size_t r) {
        values.count = seen_[r + rows - 1];
        panel_products<rows, kPanels>(
            {&scores_[r * kStride], kStride}, values, r == 0 ? ahead : values.data,
            factors == nullptr ? nullptr : factors + r, {running_[r] + c, running_.stride()});
      });
    });
  }

  using PerRow = std::array<float, detail::round_up(kMost, kLanes)>;

  const KvUnit& unit_;
  const float* queries_;
  const std::size_t* seen_;
  std::size_t rows_;
  std::size_t tokens_;
  const RunningRows& running_;
  const std::byte* ahead_ = nullptr;
  std::array<MergeFactors, kMost> factors_;
  alignas(64) PerRow largest_{};
  alignas(64) PerRow sums_{};
  alignas(64) std::array<float, kMost * kStride> scores_;
  alignas(64) std::array<float, kWidened> widened_;
};

/// How many rows attend_rows() takes at most: for few tokens without much of a stack, for many
/// some tiles of rows, which meet a panel while it is in the L1 cache.
inline constexpr std::size_t kFewRows = 8;
inline constexpr std::size_t kManyRows = kTileRowsMost == 4 ? 16 : 2 * kTileRowsMost;

/// What rows see of a unit is merged with what they have seen before: nothing, where `first`, and
/// the running rows then need not be set. queries (rows, headdim), multiplied by the scale of
/// attention. Row r sees the first seen[r] tokens of the unit, at least 1, and no less than the row
/// before. rows: 1..kFewRows or kManyRows. Stored is what the unit holds.
template <bool kFew, class Stored>
void attend_rows(const KvUnit& unit, const float* queries, const std::size_t* seen,
                 std::size_t rows, bool first, const RunningRows& running) noexcept {
  // A tile of two panels leaves the stack no room for them as floats, but has more rows.
  constexpr bool kWiden = !kFew && kTilePanels == 1;
  UnitRows<kFew ? kFewRows : kManyRows, kWiden, Stored>(unit, queries, seen, rows, running)
      .run(first);
}

#if defined(MAMBA2_SEPARATE)
#define MAMBA2_ATTEND_ROWS(few, Stored)                                                     \
  MAMBA2_INSTANTIATION void attend_rows<few, Stored>(const KvUnit&, const float*,           \
                                                     const std::size_t*, std::size_t, bool, \
                                                     const RunningRows&) noexcept;
MAMBA2_ATTEND_ROWS(true, float)
MAMBA2_ATTEND_ROWS(true, std::uint16_t)
MAMBA2_ATTEND_ROWS(true, std::int8_t)
MAMBA2_ATTEND_ROWS(false, float)
MAMBA2_ATTEND_ROWS(false, std::uint16_t)
MAMBA2_ATTEND_ROWS(false, std::int8_t)
#undef MAMBA2_ATTEND_ROWS
#endif

/// The kernels of this instruction set: see scalar::Attention.
struct NativeAttention {
  template <bool kFew, class Stored>
  static void attend(const KvUnit& unit, const float* queries, const std::size_t* seen,
                     std::size_t rows, bool first, const RunningRows& running) noexcept {
    attend_rows<kFew, Stored>(unit, queries, seen, rows, first, running);
  }
};

}  // namespace kernels
}  // namespace MAMBA2_ISA
}  // namespace mamba2

MAMBA2_INTRINSICS_END
