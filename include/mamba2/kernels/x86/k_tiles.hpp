// SPDX-License-Identifier: Apache-2.0
// Products with weights of the types Q4_K, Q5_K and Q6_K on x86: all but the instructions that
// multiply.
#pragma once

#include <cstddef>
#include <cstdint>

#include "mamba2/core/views.hpp"
#include "mamba2/kernels/k_layout.hpp"
#include "mamba2/kernels/tiles.hpp"
#include "mamba2/kernels/unroll.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels {

/// What `Products` says for an instruction set and a type, besides what Int8Tiles names:
///   kGroup   columns that share a scale: 16 in Q6_K, 32 in the others
///   kMins    whether there are minima, as in all but Q6_K
/// kBias is what codes are stored above what they stand for.
template <class Products>
struct KTiles {
  static constexpr std::size_t kRows = Products::kRows;

  /// y = x m^T: bands of a matrix m with `rows` rows, x made ready, y (x.tokens, rows).
  static void multiply(const KLayout& layout, const std::byte* bands, std::size_t rows,
                       const Inputs& x, MutableRows y) {
    for_tiles<kRows, 2, Products::kTokens, 2 * Products::kTokens>(
        bands, layout.band_bytes(kRows), rows, x, y,
        [&](auto n, auto tokens, const std::byte* band, const Inputs& from, const MutableRows& to) {
          tile<n, tokens>(layout, band, from, to);
        });
  }

 private:
  using Floats = typename Products::Floats;
  using Sums = typename Products::Sums;
  static constexpr std::size_t kGroup = Products::kGroup;

  /// kBands bands times kTokens tokens.
  template <std::size_t kBands, std::size_t kTokens>
  static void tile(const KLayout& layout, const std::byte* bands, const Inputs& x,
                   const MutableRows& y) {
    const std::size_t bytes = layout.band_bytes(kRows);
    Floats totals[kBands][kTokens];
    unroll<kBands, kTokens>([&](auto b, auto t)
                                MAMBA2_INLINE { totals[b][t] = Products::fill(0.0F); });
    const std::byte* weights = bands;
    for (std::size_t block = 0; block < layout.cols; block += KLayout::kSuperBlock) {
      const std::byte* const halves = weights;
      unroll<kBands>([&](auto b) MAMBA2_INLINE { Products::prefetch(halves + b * bytes); });
      weights += 2 * sizeof(std::uint16_t) * kRows;
      Floats d[kBands];
      Floats dmin[kBands] = {};
      unroll<kBands>([&](auto b) MAMBA2_INLINE {
        d[b] = Products::load_halves(halves + b * bytes);
        if constexpr (Products::kMins) {
          dmin[b] = Products::load_halves(halves + 2 * kRows + b * bytes);
        }
      });
      for (std::size_t k = block; k < block + KLayout::kSuperBlock; k += KLayout::kChunk) {
        add_chunk<kBands, kTokens>(layout, weights, bytes, d, dmin, x, k, totals);
        weights += layout.chunk_bytes(kRows);
      }
    }
    unroll<kBands, kTokens>([&](auto b, auto t) MAMBA2_INLINE {
      Products::store(totals[b][t], y[t] + b * kRows, y.cols - b * kRows);
    });
  }

  /// totals += the chunk of weights from column `first` on, times x.
  template <std::size_t kBands, std::size_t kTokens>
  MAMBA2_INLINE static void add_chunk(const KLayout& layout, const std::byte* chunk,
                                      std::size_t bytes, const Floats (&d)[kBands],
                                      const Floats (&dmin)[kBands], const Inputs& x,
                                      std::size_t first, Floats (&totals)[kBands][kTokens]) {
    constexpr std::size_t kGroups = KLayout::kChunk / kGroup;
    constexpr std::size_t kChains = Products::chains(kBands * kTokens);
    const std::byte* weights = chunk + 4 * kRows;
    unroll<kBands>([&](auto b) MAMBA2_INLINE { Products::prefetch(chunk + b * bytes); });
    unroll<kGroups>([&](auto i) MAMBA2_INLINE {
      const std::size_t k = first + i * kGroup;
      Sums sums[kChains][kBands][kTokens];
      unroll<kBands, kTokens>([&](auto b, auto t) MAMBA2_INLINE {
        sums[0][b][t] = Products::all(
            Products::kBias == 0 ? 0 : -Products::kBias * layout.sums(x[t])[k / kGroup]);
        unroll<kChains - 1>([&](auto c) MAMBA2_INLINE { sums[c + 1][b][t] = Sums{}; });
      });
      Products::add_products(weights, bytes, x.data + k, x.stride, kGroup, sums);
      weights += layout.group_bytes(kRows);
      Floats scale[kBands];
      Floats min[kBands] = {};
      unroll<kBands>([&](auto b) MAMBA2_INLINE {
        scale[b] = Products::load_bytes(chunk + i * kRows + b * bytes) * d[b];
        if constexpr (Products::kMins) {
          min[b] = Products::load_bytes(chunk + (kGroups + i) * kRows + b * bytes) * dmin[b];
        }
      });
      unroll<kBands, kTokens>([&](auto b, auto t) MAMBA2_INLINE {
        unroll<kChains - 1>([&](auto c) MAMBA2_INLINE { sums[0][b][t] += sums[c + 1][b][t]; });
        const Floats input = Products::fill(layout.scales(x[t])[k / KLayout::kInputGroup]);
        totals[b][t] = Products::multiply_add(Products::to_float(sums[0][b][t]), scale[b] * input,
                                              totals[b][t]);
        if constexpr (Products::kMins) {
          const Floats sum = Products::fill(layout.value_sums(x[t])[k / kGroup]);
          totals[b][t] = Products::subtract_product(totals[b][t], min[b], sum);
        }
      });
    });
  }
};

/// Products with codes as they are stored, and minima.
template <class Products>
struct WithMins : Products {
  static constexpr int kBias = 0;
  static constexpr bool kMins = true;
  static constexpr std::size_t kGroup = 32;
};

}  // namespace kernels
}  // namespace MAMBA2_ISA
}  // namespace mamba2
