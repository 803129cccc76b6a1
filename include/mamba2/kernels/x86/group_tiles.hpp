// SPDX-License-Identifier: Apache-2.0
// Products with weights of 4, 5 or 8 bits that have a scale for each group of columns, on x86: all
// but the instructions that multiply.
#pragma once

#include <cstddef>
#include <cstdint>

#include "mamba2/core/views.hpp"
#include "mamba2/kernels/group_layout.hpp"
#include "mamba2/kernels/tiles.hpp"
#include "mamba2/kernels/unroll.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels {

/// What `Products` says for an instruction set and a number of bits: see Int8Tiles. kMins: whether
/// there are minima.
template <class Products>
struct GroupTiles {
  static constexpr std::size_t kRows = Products::kRows;
  static constexpr int kBias = Products::kBias;

  /// y = x m^T: bands of a matrix m with `rows` rows, x made ready, y (x.tokens, rows).
  static void multiply(const GroupLayout& layout, const std::byte* bands, std::size_t rows,
                       const Inputs& x, MutableRows y) {
    if constexpr (!Products::kMins) {
      if (layout.input_groups() == 1) return multiply<false>(layout, bands, rows, x, y);
    }
    multiply<true>(layout, bands, rows, x, y);
  }

 private:
  using Floats = typename Products::Floats;
  using Sums = typename Products::Sums;

  /// kGrouped: the inputs have a scale for every group, too, and not one for all of them, which can
  /// wait until the end.
  template <bool kGrouped>
  static void multiply(const GroupLayout& layout, const std::byte* bands, std::size_t rows,
                       const Inputs& x, const MutableRows& y) {
    for_tiles<kRows, 2, Products::kTokens, 2 * Products::kTokens>(
        bands, layout.band_bytes(kRows), rows, x, y,
        [&](auto n, auto tokens, const std::byte* band, const Inputs& from, const MutableRows& to) {
          // A chunk has its scales at the end. Where memory is the limit it must be read in one go:
          // the prefetchers of CPUs do not follow back and forth. A larger tile has no registers
          // for the sums of two groups.
          if constexpr (n * tokens <= 4) {
            if (layout.chunk() == 2 * layout.group) {
              return tile<n, tokens, 2, kGrouped>(layout, band, from, to);
            }
          }
          tile<n, tokens, 1, kGrouped>(layout, band, from, to);
        });
  }

  /// kBands bands times kTokens tokens, kGroups groups at a time.
  template <std::size_t kBands, std::size_t kTokens, std::size_t kGroups, bool kGrouped>
  static void tile(const GroupLayout& layout, const std::byte* bands, const Inputs& x,
                   const MutableRows& y) {
    constexpr std::size_t kChains = Products::chains(kBands * kTokens);
    constexpr std::size_t kScaleBytes = kRows * sizeof(std::uint16_t);
    const std::size_t bytes = layout.band_bytes(kRows);
    const std::size_t group_bytes = layout.code_bytes(kRows, layout.group);
    Floats totals[kBands][kTokens];
    unroll<kBands, kTokens>([&](auto b, auto t)
                                MAMBA2_INLINE { totals[b][t] = Products::fill(0.0F); });
    const std::byte* weights = bands;
    for (std::size_t g = 0; g < layout.groups();) {
      const std::byte* scales = weights + layout.code_bytes(kRows, layout.chunk());
      const std::size_t chunk_end = g + layout.chunk() / layout.group;
      for (; g < chunk_end; g += kGroups) {
        Sums sums[kGroups][kChains][kBands][kTokens];
        unroll<kGroups>([&](auto i) MAMBA2_INLINE {
          unroll<kBands, kTokens>([&](auto b, auto t) MAMBA2_INLINE {
            sums[i][0][b][t] = Products::all(kBias == 0 ? 0 : -kBias * layout.sums(x[t])[g + i]);
            unroll<kChains - 1>([&](auto c) MAMBA2_INLINE { sums[i][c + 1][b][t] = Sums{}; });
          });
          Products::add_products(weights, bytes, x.data + (g + i) * layout.group, x.stride,
                                 layout.group, sums[i]);
          weights += group_bytes;
        });
        unroll<kGroups>([&](auto i) MAMBA2_INLINE {
          Floats scale[kBands];
          Floats min[kBands] = {};
          unroll<kBands>([&](auto b) MAMBA2_INLINE {
            scale[b] = Products::load_scales(scales + b * bytes);
            if constexpr (Products::kMins) {
              min[b] = Products::load_halves(scales + kScaleBytes + b * bytes);
            }
          });
          unroll<kBands, kTokens>([&](auto b, auto t) MAMBA2_INLINE {
            unroll<kChains - 1>([&](auto c)
                                    MAMBA2_INLINE { sums[i][0][b][t] += sums[i][c + 1][b][t]; });
            Floats factor = scale[b];
            if constexpr (kGrouped) factor *= Products::fill(layout.scales(x[t])[g + i]);
            totals[b][t] =
                Products::multiply_add(Products::to_float(sums[i][0][b][t]), factor, totals[b][t]);
            if constexpr (Products::kMins) {
              const Floats sum = Products::fill(layout.value_sums(x[t])[g + i]);
              totals[b][t] = Products::multiply_add(min[b], sum, totals[b][t]);
            }
          });
          scales += (Products::kMins ? 2 : 1) * kScaleBytes;
        });
      }
      weights = scales;
    }
    unroll<kBands, kTokens>([&](auto b, auto t) MAMBA2_INLINE {
      if constexpr (!kGrouped) totals[b][t] *= Products::fill(*layout.scales(x[t]));
      Products::store(totals[b][t], y[t] + b * kRows, y.cols - b * kRows);
    });
  }
};

}  // namespace kernels
}  // namespace MAMBA2_ISA
}  // namespace mamba2
