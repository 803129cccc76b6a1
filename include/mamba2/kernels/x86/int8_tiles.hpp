// SPDX-License-Identifier: Apache-2.0
// Products with weights that have a scale for each row, INT8 or ternary, on x86: all but the
// instructions that multiply.
#pragma once

#include <algorithm>
#include <cstddef>

#include "mamba2/core/views.hpp"
#include "mamba2/kernels/int8_layout.hpp"
#include "mamba2/kernels/tiles.hpp"
#include "mamba2/kernels/unroll.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels {

/// What `Products` says for an instruction set, besides its vectors (see avx512/vectors.hpp):
///   kBias            what is added to the codes of the weights to make them unsigned
///   kTokens          the width of a large tile, of two bands; the registers decide
///   chains(n)        into how many sums each of the n of a tile is split, to overlap additions
///   add_products     sums += weights times x, over `columns` columns
template <class Products>
struct Int8Tiles {
  static constexpr std::size_t kRows = Products::kRows;
  static constexpr int kBias = Products::kBias;

  /// y = x m^T: bands of a matrix m with `rows` rows, x made ready, y (x.tokens, rows).
  static void multiply(const Int8Layout& layout, const std::byte* bands, std::size_t rows,
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

  /// kBands bands times kTokens tokens.
  template <std::size_t kBands, std::size_t kTokens>
  static void tile(const Int8Layout& layout, const std::byte* bands, const Inputs& x,
                   const MutableRows& y) {
    constexpr std::size_t kChains = Products::chains(kBands * kTokens);
    const std::size_t bytes = layout.band_bytes(kRows);
    Floats totals[kBands][kTokens];
    unroll<kBands, kTokens>([&](auto b, auto t)
                                MAMBA2_INLINE { totals[b][t] = Products::fill(0.0F); });
    for (std::size_t g = 0; g < layout.groups(); ++g) {
      Sums sums[kChains][kBands][kTokens];
      unroll<kBands, kTokens>([&](auto b, auto t) MAMBA2_INLINE {
        sums[0][b][t] = Products::all(kBias == 0 ? 0 : -kBias * layout.sums(x[t])[g]);
        unroll<kChains - 1>([&](auto c) MAMBA2_INLINE { sums[c + 1][b][t] = Sums{}; });
      });
      const std::size_t first = g * layout.group;
      const std::size_t columns = std::min(layout.group, layout.cols - first);
      Products::add_products(bands + layout.code_bytes(kRows, first), bytes, x.data + first,
                             x.stride, columns, sums);
      unroll<kBands, kTokens>([&](auto b, auto t) MAMBA2_INLINE {
        unroll<kChains - 1>([&](auto c) MAMBA2_INLINE { sums[0][b][t] += sums[c + 1][b][t]; });
        const Floats scale = Products::fill(layout.scales(x[t])[g]);
        totals[b][t] =
            Products::multiply_add(Products::to_float(sums[0][b][t]), scale, totals[b][t]);
      });
    }
    unroll<kBands>([&](auto b) MAMBA2_INLINE {
      const Floats scales =
          Products::load_row_scales(bands + b * bytes + layout.code_bytes(kRows, layout.cols));
      unroll<kTokens>([&](auto t) MAMBA2_INLINE {
        Products::store(totals[b][t] * scales, y[t] + b * kRows, y.cols - b * kRows);
      });
    });
  }
};

}  // namespace kernels
}  // namespace MAMBA2_ISA
}  // namespace mamba2
