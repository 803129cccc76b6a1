// SPDX-License-Identifier: Apache-2.0
// Attention, one number at a time: what the others are compared with.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "mamba2/core/half.hpp"
#include "mamba2/kernels/activations.hpp"
#include "mamba2/kernels/kv_cache.hpp"
#include "mamba2/kernels/running_rows.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::scalar {

struct Attention {
  /// As attend_rows().
  template <bool kFew, class Stored>
  static void attend(const KvUnit& unit, const float* queries, const std::size_t* seen,
                     std::size_t rows, bool first, const RunningRows& running) noexcept {
    constexpr float kMost = std::numeric_limits<float>::max();
    for (std::size_t r = 0; r < rows; ++r, queries += unit.headdim) {
      std::array<float, KvLayout::kBlock> weights;
      float largest = -kMost;
      for (std::size_t t = 0; t < seen[r]; ++t) {
        float score = 0.0F;
        for (std::size_t c = 0; c < unit.headdim; ++c)
          score += queries[c] * key<Stored>(unit, t, c);
        if (unit.value_scales != nullptr) score *= unit.key_scales(t)[0];
        weights[t] = std::isinf(score) ? std::copysign(kMost, score) : score;
        largest = std::max(largest, weights[t]);
      }
      float sum = 0.0F;
      for (std::size_t t = 0; t < seen[r]; ++t) {
        weights[t] = exp_of(weights[t] - largest);
        sum += weights[t];
        if (unit.value_scales != nullptr) weights[t] *= unit.value_scales[t];
      }
      float before = 0.0F;
      float block = 1.0F;
      if (first) {
        running.largest(r) = largest;
        running.sum(r) = sum;
      } else {
        const float most = std::max(running.largest(r), largest);
        before = exp_of(running.largest(r) - most);
        block = exp_of(largest - most);
        running.largest(r) = most;
        running.sum(r) = running.sum(r) * before + sum * block;
      }
      for (std::size_t c = 0; c < unit.headdim; ++c) {
        float total = 0.0F;
        for (std::size_t t = 0; t < seen[r]; ++t) total += weights[t] * value<Stored>(unit, t, c);
        float& to = running[r][c];
        to = first ? total : to * before + total * block;
      }
    }
  }

 private:
  [[nodiscard]] static float exp_of(float v) { return first_lane(exp(Floats(v))); }

  [[nodiscard]] static float number(float stored) { return stored; }
  [[nodiscard]] static float number(std::uint16_t stored) { return fp16_to_float(stored); }
  [[nodiscard]] static float number(std::int8_t stored) { return static_cast<float>(stored); }

  /// Element (row, column) of a panel of 16 columns.
  template <class Stored>
  [[nodiscard]] static float element(const std::byte* panel, std::size_t row, std::size_t column) {
    return number(reinterpret_cast<const Stored*>(panel)[row * KvLayout::kPanel + column]);
  }
  template <class Stored>
  [[nodiscard]] static float key(const KvUnit& unit, std::size_t token, std::size_t channel) {
    constexpr std::size_t kPanel = KvLayout::kPanel;
    return element<Stored>(unit.keys + token / kPanel * unit.key_panel_bytes, channel,
                           token % kPanel);
  }
  template <class Stored>
  [[nodiscard]] static float value(const KvUnit& unit, std::size_t token, std::size_t channel) {
    constexpr std::size_t kPanel = KvLayout::kPanel;
    return element<Stored>(unit.values + channel / kPanel * unit.value_panel_bytes, token,
                           channel % kPanel);
  }
};

}  // namespace kernels::scalar
}  // namespace MAMBA2_ISA
}  // namespace mamba2
