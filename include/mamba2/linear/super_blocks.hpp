// SPDX-License-Identifier: Apache-2.0
// Q4_K and Q6_K: weights of GGUF files as they are, times activations of 8 bits.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "mamba2/core/half.hpp"
#include "mamba2/io/coded_groups.hpp"
#include "mamba2/kernels/k_layout.hpp"
#include "mamba2/kernels/native.hpp"
#include "mamba2/linear/coded_inputs.hpp"
#include "mamba2/linear/matrix.hpp"

namespace mamba2::inline MAMBA2_ISA {

/// Weights in super-blocks of 256 columns: Q4_K of 4 bits, or Q6_K of 6 bits, which Q3_K fits into.
/// They are taken from a file and never made from floats. Activations as for Q8_0.
template <class Kernel, std::size_t kBits>
struct BasicSuperBlocks {
  static_assert(kBits == 4 || kBits == 6);
  static constexpr std::string_view name = kBits == 4 ? "q4_k" : "q6_k";
  using Head = BasicSuperBlocks;
  static constexpr std::size_t kRotation = 0;
  static constexpr std::size_t kBandRows = Kernel::kRows;
  static constexpr std::size_t kGroup = kBits == 4 ? 32 : 16;

  [[nodiscard]] static constexpr kernels::KLayout layout(std::size_t cols) {
    return kernels::KLayout::of(cols, kGroup, kBits);
  }
  [[nodiscard]] static constexpr std::size_t band_bytes(std::size_t cols) {
    return layout(cols).band_bytes(kBandRows);
  }

  /// from.stored: Q4_K, or Q6_K or Q3_K.
  static void pack_band(const BandRows& from, std::size_t cols, std::byte* band) {
    const std::size_t block_bytes = dtype_size(from.stored);
    const std::size_t blocks = cols / kernels::KLayout::kSuperBlock;
    std::fill_n(band, band_bytes(cols), std::byte{0});
    for (std::size_t i = 0; i * block_bytes < from.data.size(); ++i) {
      const std::byte* block = from.data.data() + i * block_bytes;
      pack(kBits == 4 ? detail::read_q4_k(block) : detail::read_q6_k(from.stored, block),
           Place(layout(cols), i / blocks, i % blocks), band);
    }
  }

  static void row(const Matrix<BasicSuperBlocks>& m, std::size_t index, float* to) {
    const std::byte* band = m.band(index / kBandRows);
    for (std::size_t k = 0; k < m.cols; ++k) {
      const std::size_t column = k % kernels::KLayout::kSuperBlock;
      const Place place(layout(m.cols), index % kBandRows, k / kernels::KLayout::kSuperBlock);
      const auto* d = reinterpret_cast<const std::uint16_t*>(band + place.halves);
      const auto small = [&](std::size_t i) {
        return static_cast<float>(static_cast<std::int8_t>(band[place.scale(column, i)]));
      };
      const std::size_t group = column % kernels::KLayout::kChunk / kGroup;
      const float scale = fp16_to_float(d[0]) * small(group);
      const auto low = static_cast<int>(band[place.low(column)]) >> Place::low_shift(column) & 15;
      if constexpr (kBits == 4) {
        to[k] = scale * static_cast<float>(low) - fp16_to_float(d[kBandRows]) * small(group + 2);
      } else {
        const auto high = static_cast<int>(band[place.high(column)]) >> Place::high_shift(column);
        to[k] = scale * static_cast<float>((low | (high & 3) << 4) - 32);
      }
    }
  }

  [[nodiscard]] static constexpr std::size_t input_bytes(std::size_t cols) {
    return layout(cols).input_bytes();
  }
  static void prepare(const float* x, std::size_t cols, std::byte* to) {
    const kernels::KLayout sizes = layout(cols);
    prepare_coded(sizes, x, cols, to);
    if constexpr (kBits == 4) {
      const float* scales = sizes.scales(to);
      const std::int32_t* sums = sizes.sums(to);
      auto* values = reinterpret_cast<float*>(to + sizes.scales_offset()) + sizes.input_groups();
      for (std::size_t g = 0; g < sizes.groups(); ++g) {
        values[g] = scales[g] * static_cast<float>(sums[g]);
      }
    }
  }

  /// Sums of integers are exact, in whatever order: all alike.
  [[nodiscard]] static constexpr std::size_t arithmetic(std::size_t) { return 0; }
  static void multiply(const Matrix<BasicSuperBlocks>& m, std::size_t first, std::size_t count,
                       const Inputs& x, MutableRows y) {
    const std::size_t rows = m.rows_in(first, count);
    Kernel::multiply(layout(m.cols), m.band(first), rows, x, y.columns(first * kBandRows, rows));
  }

 private:
  /// Where in a band the parts of one row of a super-block are, by columns of the super-block.
  struct Place {
    kernels::KLayout sizes;
    std::size_t row;
    std::size_t halves;  // d; dmin is 2 * kBandRows bytes further on

    Place(const kernels::KLayout& layout, std::size_t row_in_band, std::size_t block)
        : sizes(layout),
          row(row_in_band),
          halves(block * layout.super_block_bytes(kBandRows) + row * sizeof(std::uint16_t)) {}

    /// The i-th of the four bytes of a column's chunk.
    [[nodiscard]] std::size_t scale(std::size_t column, std::size_t i) const {
      return chunk(column) + i * kBandRows + row;
    }
    /// The byte with the low 4 bits of a column's code; where in it.
    [[nodiscard]] std::size_t low(std::size_t column) const {
      return group(column) + column % kGroup / 8 * (4 * kBandRows) + 4 * row + column % 4;
    }
    [[nodiscard]] static std::size_t low_shift(std::size_t column) { return column % 8 / 4 * 4; }
    /// The byte with the high 2 bits of a column's code; where in it.
    [[nodiscard]] std::size_t high(std::size_t column) const {
      return group(column) + 8 * kBandRows + 4 * row + column % 4;
    }
    [[nodiscard]] static std::size_t high_shift(std::size_t column) {
      return column % kGroup / 4 * 2;
    }

   private:
    [[nodiscard]] std::size_t chunk(std::size_t column) const {
      return halves - row * sizeof(std::uint16_t) + 4 * kBandRows +
             column / kernels::KLayout::kChunk * sizes.chunk_bytes(kBandRows);
    }
    [[nodiscard]] std::size_t group(std::size_t column) const {
      return chunk(column) + 4 * kBandRows +
             column % kernels::KLayout::kChunk / kGroup * sizes.group_bytes(kBandRows);
    }
  };

  static void pack(const detail::CodedSuperBlock& block, const Place& place, std::byte* band) {
    auto* halves = reinterpret_cast<std::uint16_t*>(band + place.halves);
    halves[0] = block.halves[0];
    halves[kBandRows] = block.halves[1];
    for (std::size_t i = 0; i < block.scales.size(); ++i) {
      const std::size_t column = i / 4 * kernels::KLayout::kChunk;
      band[place.scale(column, i % 4)] = static_cast<std::byte>(block.scales[i]);
    }
    for (std::size_t k = 0; k < block.codes.size(); k += kGroup) {
      for (std::size_t i = k; i < k + kGroup; i += 8) {
        std::array<std::byte, 4> low;
        for (std::size_t j = 0; j < 4; ++j) {
          const unsigned both = (block.codes[i + j] & 15U) | (block.codes[i + j + 4] & 15U) << 4;
          low[j] = static_cast<std::byte>(both);
        }
        std::memcpy(band + place.low(i), low.data(), low.size());
      }
      if constexpr (kBits == 6) {
        std::array<std::byte, 4> high{};
        for (std::size_t i = 0; i < kGroup; ++i) {
          high[i % 4] |= static_cast<std::byte>(block.codes[k + i] >> 4 << Place::high_shift(i));
        }
        std::memcpy(band + place.high(k), high.data(), high.size());
      }
    }
  }
};

using Q4_K = BasicSuperBlocks<kernels::Q4_KNative, 4>;
using Q6_K = BasicSuperBlocks<kernels::Q6_KNative, 6>;

static_assert(MatrixFormat<Q4_K> && MatrixFormat<Q6_K>);

}  // namespace mamba2::inline MAMBA2_ISA
