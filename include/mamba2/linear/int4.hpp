// SPDX-License-Identifier: Apache-2.0
// Int4: weights of 4 bits with a scale for each group of columns, times activations of 8 bits.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "mamba2/core/half.hpp"
#include "mamba2/formats/dtype_range.hpp"
#include "mamba2/kernels/group_layout.hpp"
#include "mamba2/kernels/native.hpp"
#include "mamba2/linear/coded_inputs.hpp"
#include "mamba2/linear/int4_scale.hpp"
#include "mamba2/linear/int8.hpp"
#include "mamba2/linear/matrix.hpp"
#include "mamba2/linear/plan.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// Symmetric INT4 weights, codes -8..7, an FP16 scale for every kGroup columns of a row (32, 64 or
/// 128), searched for the least squared error; activations are quantized to INT8 as they come, one
/// scale for every kGroup columns of a token where kGroupedInputs, else one for all.
template <class Kernel, std::size_t kGroup, bool kGroupedInputs, std::size_t kHadamard,
          class HeadPolicy>
struct BasicInt4 {
  static_assert(kGroup == 32 || kGroup == 64 || kGroup == 128);
  static constexpr std::string_view name = kGroup == 32   ? "int4"
                                           : kGroup == 64 ? "int4-g64"
                                                          : "int4-g128";
  /// 4 bits destroy the embedding of a small model.
  using Head = HeadPolicy;
  static constexpr std::size_t kRotation = kHadamard;
  static constexpr std::size_t kBandRows = Kernel::kRows;
  static constexpr bool kPacksOnly = requires { Kernel::kPacksOnly; };

  [[nodiscard]] static constexpr kernels::GroupLayout layout(std::size_t cols) {
    return kernels::GroupLayout::of(cols, kGroup, kGroupedInputs, 4);
  }
  [[nodiscard]] static constexpr std::size_t band_bytes(std::size_t cols) {
    return layout(cols).band_bytes(kBandRows);
  }

  [[nodiscard]] static constexpr bool takes_codes(DType stored) {
    return stored == (kGroup == 32   ? DType::INT4_G32
                      : kGroup == 64 ? DType::INT4_G64
                                     : DType::INT4_G128);
  }

  [[nodiscard]] static constexpr float max_weight(DType) { return max_encodable(DType::INT4_G32); }

  static void pack_band(const BandRows& from, std::size_t cols, std::byte* band) {
    if (takes_codes(from.stored)) return pack_codes(from, cols, band);
    const float* rows = from.values;
    for (std::size_t first = 0; first < layout(cols).cols; first += kGroup) {
      for (std::size_t r = 0; r < kBandRows; r += kernels::kLanes) {
        pack_groups(rows, cols, r, first, band);
      }
    }
  }

  static void row(const Matrix& m, std::size_t index, float* to) {
    const kernels::GroupLayout sizes = layout(m.cols);
    const std::byte* band = m.band(index / kBandRows);
    for (std::size_t first = 0; first < m.cols; first += kGroup) {
      const Place place(sizes, index % kBandRows, first);
      const float scale =
          fp16_to_float(reinterpret_cast<const std::uint16_t*>(band + place.scale)[0]);
      for (std::size_t k = first; k < std::min(m.cols, first + kGroup); ++k) {
        const auto byte = static_cast<unsigned>(band[place.byte(k - first)]);
        const unsigned nibble = (k % 8 < 4 ? byte : byte >> 4) - unsigned{Kernel::kBias};
        // The nibble's sign bit is worth -8.
        to[k] = scale *
                static_cast<float>(static_cast<int>(nibble & 7U) - static_cast<int>(nibble & 8U));
      }
    }
  }

  [[nodiscard]] static constexpr std::size_t input_bytes(std::size_t cols) {
    return layout(cols).input_bytes();
  }

  static void prepare(const float* x, std::size_t cols, std::byte* to) {
    prepare_coded(layout(cols), x, cols, to);
  }

  /// Sums of integers are exact, in whatever order: all alike.
  [[nodiscard]] static constexpr std::size_t arithmetic(std::size_t) { return 0; }
  static void multiply(const Matrix& m, std::size_t first, std::size_t count, const Inputs& x,
                       MutableRows y);

 private:
  /// Where in a band the codes and the scale of one group of one row are.
  struct Place {
    std::size_t codes;  // byte offset of the row's first 4 bytes in the group
    std::size_t scale;

    Place(const kernels::GroupLayout& sizes, std::size_t row, std::size_t first) {
      const std::size_t chunk = first / sizes.chunk() * sizes.chunk_bytes(kBandRows);
      const std::size_t begin = first % sizes.chunk();
      codes = chunk + begin / 8 * (kBandRows * 4) + row * 4;
      scale = chunk + kBandRows * (sizes.chunk() / 2 + begin / kGroup * sizeof(std::uint16_t)) +
              row * sizeof(std::uint16_t);
    }
    /// Of the group's i-th column.
    [[nodiscard]] std::size_t byte(std::size_t i) const {
      return codes + i / 8 * (kBandRows * 4) + i % 4;
    }
  };

  /// Packs rows of which the checkpoint has the codes; see scaled_codes.hpp.
  static void pack_codes(const BandRows& from, std::size_t cols, std::byte* band) {
    const kernels::GroupLayout sizes = layout(cols);
    constexpr std::uint32_t kZeros = 0x88888888;  // eight codes 0
    constexpr std::uint32_t kSame = Kernel::kBias == 8 ? 0 : kZeros;
    static_assert(Kernel::kBias == 0 || Kernel::kBias == 8);
    for (std::size_t r = 0; r < kBandRows; ++r) {
      for (std::size_t first = 0; first < sizes.cols; first += kGroup) {
        const bool filling = r * cols / 2 >= from.data.size() || first >= cols;
        const std::size_t at = (r * cols + first) / 2;
        const Place place(sizes, r, first);
        std::fill_n(band + place.scale, sizeof(std::uint16_t), std::byte{0});
        if (!filling) {
          const std::size_t group = (r * cols + first) / kGroup;
          std::memcpy(band + place.scale, &from.scales[group * 2], sizeof(std::uint16_t));
        }
        for (std::size_t k = 0; k < kGroup; k += 8) {
          std::uint32_t codes = kZeros;
          if (!filling) std::memcpy(&codes, &from.data[at + k / 2], sizeof codes);
          codes = interleaved(codes) ^ kSame;
          std::memcpy(band + place.byte(k), &codes, sizeof codes);
        }
      }
    }
  }

  /// Of eight codes in their order: byte j with code j and code j + 4. First the middle bytes
  /// change places, then in each half the middle codes.
  static constexpr std::uint32_t interleaved(std::uint32_t codes) {
    const std::uint32_t bytes = (codes ^ codes >> 8) & 0x0000FF00U;
    codes ^= bytes ^ bytes << 8;
    const std::uint32_t halves = (codes ^ codes >> 4) & 0x00F000F0U;
    return codes ^ halves ^ halves << 4;
  }

  /// The groups from column `first` on of as many rows as a register has lanes.
  static void pack_groups(const float* rows, std::size_t cols, std::size_t first_row,
                          std::size_t first, std::byte* band) {
    const std::size_t count = std::min(kernels::kLanes, kBandRows - first_row);
    std::array<kernels::Floats, kGroup> columns;
    for (std::size_t k = 0; k < kGroup; ++k) {
      std::array<float, kernels::kLanes> lanes{};
      for (std::size_t r = 0; r < count && first + k < cols; ++r) {
        lanes[r] = rows[(first_row + r) * cols + first + k];
      }
      columns[k] = kernels::load(lanes.data());
    }
    const Int4Group<kGroup> group(columns);
    for (std::size_t r = 0; r < count; ++r) {
      const Place place(layout(cols), first_row + r, first);
      reinterpret_cast<std::uint16_t*>(band + place.scale)[0] = group.scales[r];
      for (std::size_t i = 0; i < kGroup; i += i % 8 == 3 ? 5U : 1U) {
        const unsigned low = static_cast<unsigned>(group.codes[i][r] + Kernel::kBias) & 15U;
        const unsigned high = static_cast<unsigned>(group.codes[i + 4][r] + Kernel::kBias) & 15U;
        band[place.byte(i)] = static_cast<std::byte>(low | high << 4);
      }
    }
  }
};

template <class Kernel, std::size_t kGroup, bool kGroupedInputs, std::size_t kHadamard,
          class HeadPolicy>
void BasicInt4<Kernel, kGroup, kGroupedInputs, kHadamard, HeadPolicy>::multiply(
    const Matrix& m, std::size_t first, std::size_t count, const Inputs& x, MutableRows y) {
  const std::size_t rows = m.rows_in(first, count);
  Kernel::multiply(layout(m.cols), m.band(first), rows, x, y.columns(first * kBandRows, rows));
}

/// Groups of 32 by default.
template <std::size_t kGroup = 32>
using Int4Groups = BasicInt4<kernels::Int4Native, kGroup, false, 256, Int8>;
using Int4 = Int4Groups<>;

static_assert(WeightPolicy<Int4>);

}  // namespace MAMBA2_ISA
}  // namespace mamba2
