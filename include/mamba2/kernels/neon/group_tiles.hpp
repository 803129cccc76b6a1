// SPDX-License-Identifier: Apache-2.0
// Products with weights of 2, 4, 5 or 8 bits that have a scale for each group of columns, on ARM:
// all but the instructions that multiply.
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

#include "mamba2/core/views.hpp"
#include "mamba2/kernels/group_layout.hpp"
#include "mamba2/kernels/neon/tile.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::neon {

/// What `Products` says for an instruction set and a number of bits:
///   kTokens        the width of a large tile; the registers decide
///   Sums<tokens, columns>   the sums of 4 rows times so many tokens, for groups of so many
///   columns,
///                  or of more than 32 (0)
///   kBias          what codes are above what they stand for; sums start with -kBias times the
///                  inputs
///   clear, start   makes sums zero, or a number for each token: start where kBias is not 0
///   add            sums += the weights of 32 columns times x
///   to_float       the sums of a token as floats, kUnit times too large
///   kMins          whether there are minima; kUnit is 1 then
template <class Products>
struct GroupTiles {
  static constexpr std::size_t kRows = 4;
  static constexpr int kBias = 0;

  /// y = x m^T: bands of a matrix m with `rows` rows, x made ready, y (x.tokens, rows).
  static void multiply(const GroupLayout& layout, const std::byte* bands, std::size_t rows,
                       const Inputs& x, MutableRows y) {
    for_tiles<GroupTiles, 1, Products::kTokens>(layout, bands, rows, x, y);
  }

  /// A band times kTokens tokens, x_stride bytes apart; y has as many columns as the band has rows
  /// that are not filling. A large tile has its sums within the group and their totals over all
  /// groups in registers.
  template <std::size_t kBands, std::size_t kTokens>
  static void tile(const GroupLayout& layout, const std::byte* band, const std::byte* x,
                   std::size_t x_stride, const MutableRows& y) {
    static_assert(kBands == 1);
    if constexpr (Products::kMins) {
      tile_of_groups<kTokens, true, 32>(layout, band, x, x_stride, y);
    } else if (layout.input_group == layout.group) {
      tile_of_inputs<kTokens, true>(layout, band, x, x_stride, y);
    } else {
      tile_of_inputs<kTokens, false>(layout, band, x, x_stride, y);
    }
  }

 private:
  /// kGroupedInputs: whether each group of inputs has a scale; one for all multiplies the totals.
  template <std::size_t kTokens, bool kGroupedInputs>
  static void tile_of_inputs(const GroupLayout& layout, const std::byte* band, const std::byte* x,
                             std::size_t x_stride, const MutableRows& y) {
    if (layout.group == 32) {
      tile_of_groups<kTokens, kGroupedInputs, 32>(layout, band, x, x_stride, y);
    } else {
      tile_of_groups<kTokens, kGroupedInputs, 0>(layout, band, x, x_stride, y);
    }
  }

  /// kGroup: layout.group where the compiler is to know it, as work on the loop around a group is
  /// a third of that on small groups; or 0.
  template <std::size_t kTokens, bool kGroupedInputs, std::size_t kGroup>
  static void tile_of_groups(const GroupLayout& layout, const std::byte* band, const std::byte* x,
                             std::size_t x_stride, const MutableRows& y) {
    const std::size_t group = kGroup == 0 ? layout.group : kGroup;
    const std::size_t chunk = GroupLayout::chunk_of(group);
    const std::size_t step_bytes = layout.code_bytes(kRows, 32);
    const std::int8_t* codes = GroupLayout::codes(x);
    float32x4_t totals[kTokens] = {};
    std::size_t g = 0;
    for (std::size_t first = 0; first < layout.cols; first += chunk) {
      const std::byte* scales = band + layout.code_bytes(kRows, chunk);
      for (std::size_t i = 0; i < chunk; i += group) {
        typename Products::template Sums<kTokens, kGroup> sums;
        start_group<kTokens>(layout, x, x_stride, g, sums);
        std::size_t k = 0;
        do {  // at least once: a loop that might not run costs copies of all the sums
          Products::add(band, codes, x_stride, sums);
          band += step_bytes;
          codes += 32;
          k += 32;
        } while (k < group);
        add_group<kTokens, kGroupedInputs>(layout, sums, scales, x, x_stride, g++, totals);
        scales += (Products::kMins ? 2 : 1) * kRows * sizeof(std::uint16_t);
        fence(totals, band, codes);
      }
      band = scales;
    }
#pragma GCC unroll 8
    for (std::size_t t = 0; t < kTokens; ++t) {
      float32x4_t total = vmulq_n_f32(totals[t], 1.0F / Products::kUnit);
      if constexpr (!kGroupedInputs) total = vmulq_n_f32(total, *layout.scales(x + t * x_stride));
      store(total, y[t], y.cols);
    }
  }

  template <std::size_t kTokens, class Sums>
  static void start_group(const GroupLayout& layout, const std::byte* x, std::size_t x_stride,
                          std::size_t g, Sums& sums) {
    if constexpr (Products::kBias == 0) {
      Products::clear(sums);
    } else {
      std::int32_t starts[kTokens];
#pragma GCC unroll 8
      for (std::size_t t = 0; t < kTokens; ++t) {
        starts[t] = -Products::kBias * layout.sums(x + t * x_stride)[g];
      }
      Products::start(starts, sums);
    }
  }

  /// totals += the sums of group g times its scales, 4 at `scales`.
  template <std::size_t kTokens, bool kGroupedInputs, class Sums>
  static void add_group(const GroupLayout& layout, const Sums& sums, const std::byte*& scales,
                        const std::byte* x, std::size_t x_stride, std::size_t g,
                        float32x4_t (&totals)[kTokens]) {
    float32x4_t sum = Products::to_float(sums, 0);
    pin(sum, scales);  // no register for the scales before the sums are done
    const float32x4_t scale = load_halves(scales);
#pragma GCC unroll 8
    for (std::size_t t = 0; t < kTokens; ++t) {
      if (t > 0) sum = Products::to_float(sums, t);
      float32x4_t factor = scale;
      if constexpr (kGroupedInputs) {
        factor = vmulq_n_f32(scale, layout.scales(x + t * x_stride)[g]);
      }
      totals[t] = vfmaq_f32(totals[t], sum, factor);
    }
    if constexpr (Products::kMins) {
      const float32x4_t min = load_halves(scales + kRows * sizeof(std::uint16_t));
#pragma GCC unroll 8
      for (std::size_t t = 0; t < kTokens; ++t) {
        totals[t] = vfmaq_n_f32(totals[t], min, layout.value_sums(x + t * x_stride)[g]);
      }
    }
  }
};

}  // namespace kernels::neon
}  // namespace MAMBA2_ISA
}  // namespace mamba2
