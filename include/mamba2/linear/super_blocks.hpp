// SPDX-License-Identifier: Apache-2.0
// Q4_K, Q5_K, Q6_K and IQ4_XS: weights of GGUF files as they are, times activations of 8 bits.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "mamba2/core/half.hpp"
#include "mamba2/formats/coded_groups.hpp"
#include "mamba2/kernels/k_layout.hpp"
#include "mamba2/kernels/native.hpp"
#include "mamba2/kernels/packed_codes.hpp"
#include "mamba2/linear/coded_inputs.hpp"
#include "mamba2/linear/matrix.hpp"
#include "mamba2/linear/plan.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// Weights in super-blocks of 256 columns: Q4_K and Q5_K of 4 and 5 bits, or Q6_K of 6 bits, which
/// Q3_K fits into; or without minima IQ4_XS, whose codes of 4 bits are those of values.
/// They are taken from a file and never made from floats. Activations as for Q8_0.
template <class Kernel, std::size_t kBits, bool kMins = kBits != 6>
struct BasicSuperBlocks {
  static_assert(kBits == 4 || (kBits == 5 && kMins) || (kBits == 6 && !kMins));
  static constexpr std::string_view name = kBits == 5   ? "q5_k"
                                           : kBits == 6 ? "q6_k"
                                           : kMins      ? "q4_k"
                                                        : "iq4_xs";
  using Head = BasicSuperBlocks;
  static constexpr std::size_t kRotation = 0;
  static constexpr std::size_t kBandRows = Kernel::kRows;
  static constexpr bool kPacksOnly = requires { Kernel::kPacksOnly; };
  static constexpr std::size_t kGroup = kBits == 6 ? 16 : 32;
  static constexpr std::size_t kWhole = kernels::KLayout::kSuperBlock;

  [[nodiscard]] static constexpr kernels::KLayout layout(std::size_t cols) {
    return kernels::KLayout::of(cols, kGroup, kBits);
  }
  [[nodiscard]] static constexpr std::size_t band_bytes(std::size_t cols) {
    return layout(cols).band_bytes(kBandRows);
  }

  /// from.stored: Q4_K, or Q5_K, or Q6_K or Q3_K, or IQ4_XS.
  static void pack_band(const BandRows& from, std::size_t cols, std::byte* band) {
    const std::size_t block_bytes = dtype_size(from.stored);
    const std::size_t blocks = cols / kernels::KLayout::kSuperBlock;
    std::fill_n(band, band_bytes(cols), std::byte{0});
    for (std::size_t i = 0; i * block_bytes < from.data.size(); ++i) {
      const std::byte* block = from.data.data() + i * block_bytes;
      pack(detail::read_coded_super_block(from.stored, block),
           Place(layout(cols), i / blocks, i % blocks), band);
    }
  }

  static void row(const Matrix& m, std::size_t index, float* to) {
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
      const int code = place.code(band, column);
      if constexpr (kMins) {
        to[k] = scale * static_cast<float>(code) - fp16_to_float(d[kBandRows]) * small(group + 2);
      } else {
        to[k] = scale * static_cast<float>(kBits == 6 ? code - 32 : detail::iq4_value(code));
      }
    }
  }

  [[nodiscard]] static constexpr std::size_t input_bytes(std::size_t cols) {
    return layout(cols).input_bytes();
  }
  static void prepare(const float* x, std::size_t cols, std::byte* to) {
    if constexpr (kMins) {
      prepare_with_value_sums(layout(cols), x, cols, to);
    } else {
      prepare_coded(layout(cols), x, cols, to);
    }
  }

  /// Sums of integers are exact, in whatever order: all alike.
  [[nodiscard]] static constexpr std::size_t arithmetic(std::size_t) { return 0; }
  static void multiply(const Matrix& m, std::size_t first, std::size_t count, const Inputs& x,
                       MutableRows y);

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
    /// The i-th quad of a column's group: of it the byte for the column.
    [[nodiscard]] std::size_t byte(std::size_t column, std::size_t i) const {
      return group(column) + i * (4 * kBandRows) + 4 * row + column % 4;
    }
    [[nodiscard]] int code(const std::byte* band, std::size_t column) const {
      return kernels::packed_code<kBits>(
          column % kGroup, [&](std::size_t i) { return static_cast<int>(band[byte(column, i)]); });
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
      for (std::size_t i = 0; i < kGroup * kBits / 32; ++i) {
        const std::array<std::byte, 4> bytes = kernels::packed_quad<kBits>(&block.codes[k], i);
        std::memcpy(band + place.byte(k, i), bytes.data(), bytes.size());
      }
    }
  }
};

template <class Kernel, std::size_t kBits, bool kMins>
void BasicSuperBlocks<Kernel, kBits, kMins>::multiply(const Matrix& m, std::size_t first,
                                                      std::size_t count, const Inputs& x,
                                                      MutableRows y) {
  const std::size_t rows = m.rows_in(first, count);
  Kernel::multiply(layout(m.cols), m.band(first), rows, x, y.columns(first * kBandRows, rows));
}

using Q4_K = BasicSuperBlocks<kernels::Q4_KNative, 4>;
using Q5_K = BasicSuperBlocks<kernels::Q5_KNative, 5>;
using Q6_K = BasicSuperBlocks<kernels::Q6_KNative, 6>;
using IQ4_XS = BasicSuperBlocks<kernels::IQ4_XSNative, 4, false>;

static_assert(MatrixFormat<Q4_K> && MatrixFormat<Q5_K> && MatrixFormat<Q6_K> &&
              MatrixFormat<IQ4_XS>);

}  // namespace MAMBA2_ISA
}  // namespace mamba2
