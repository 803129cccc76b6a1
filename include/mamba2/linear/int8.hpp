// SPDX-License-Identifier: Apache-2.0
// Int8: weights of 8 bits with a scale for each row, times activations of 8 bits.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "mamba2/formats/dtype_range.hpp"
#include "mamba2/kernels/int8_layout.hpp"
#include "mamba2/kernels/native.hpp"
#include "mamba2/kernels/quantize.hpp"
#include "mamba2/linear/matrix.hpp"
#include "mamba2/linear/plan.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// Symmetric INT8 weights, one scale a row, scale = max|w| / 127, rounded half to even; activations
/// are quantized as they come, likewise, one scale for every kInputGroup columns of a token
/// (0: one for all). Sums are exact in INT32 within a group. kHadamard: see kRotation of
/// WeightPolicy.
template <class Kernel, std::size_t kInputGroup, std::size_t kHadamard>
struct BasicInt8 {
  static constexpr std::string_view name = "int8";
  using Head = BasicInt8;
  static constexpr std::size_t kRotation = kHadamard;
  static constexpr std::size_t kBandRows = Kernel::kRows;
  static constexpr bool kPacksOnly = requires { Kernel::kPacksOnly; };

  [[nodiscard]] static constexpr kernels::Int8Layout layout(std::size_t cols) {
    return kernels::Int8Layout::of(cols, kInputGroup);
  }
  [[nodiscard]] static constexpr std::size_t band_bytes(std::size_t cols) {
    return layout(cols).band_bytes(kBandRows);
  }

  [[nodiscard]] static constexpr bool takes_codes(DType stored) { return stored == DType::INT8; }

  [[nodiscard]] static constexpr float max_weight(DType) { return max_encodable(DType::INT8); }

  static void pack_band(const BandRows& from, std::size_t cols, std::byte* band) {
    auto* scales = reinterpret_cast<float*>(band + kBandRows * layout(cols).cols);
    for (std::size_t r = 0; r < kBandRows; ++r) {
      if (takes_codes(from.stored)) {
        const bool filling = r * cols >= from.data.size();
        const std::byte* row = from.data.data() + r * cols;
        scales[r] = 0.0F;
        if (!filling) std::memcpy(&scales[r], &from.scales[r * sizeof(float)], sizeof(float));
        pack_row(cols, r, band, [&](std::size_t first, std::size_t count, std::int8_t* codes) {
          if (!filling) std::memcpy(codes, row + first, count);
        });
      } else {
        const float* row = from.values + r * cols;
        const kernels::Int8Scale scale = kernels::int8_scale(row, cols);
        scales[r] = scale.step;
        pack_row(cols, r, band, [&](std::size_t first, std::size_t count, std::int8_t* codes) {
          kernels::int8_codes(row + first, count, scale.inverse, codes);
        });
      }
    }
  }

  static void row(const Matrix& m, std::size_t index, float* to) {
    const std::byte* band = m.band(index / kBandRows);
    const std::size_t r = index % kBandRows;
    const auto* codes = reinterpret_cast<const std::uint8_t*>(band);
    const float scale = reinterpret_cast<const float*>(band + kBandRows * layout(m.cols).cols)[r];
    for (std::size_t k = 0; k < m.cols; ++k) {
      const auto code =
          static_cast<std::int8_t>(codes[(k / 4 * kBandRows + r) * 4 + k % 4] - Kernel::kBias);
      to[k] = scale * static_cast<float>(code);
    }
  }

  [[nodiscard]] static constexpr std::size_t input_bytes(std::size_t cols) {
    return layout(cols).input_bytes();
  }

  static void prepare(const float* x, std::size_t cols, std::byte* to) {
    const kernels::Int8Layout sizes = layout(cols);
    auto* codes = reinterpret_cast<std::int8_t*>(to);
    auto* scales = reinterpret_cast<float*>(to + sizes.scales_offset());
    auto* sums = reinterpret_cast<std::int32_t*>(scales + sizes.groups());
    for (std::size_t g = 0; g < sizes.groups(); ++g) {
      const std::size_t first = g * sizes.group;
      const std::size_t count = std::min(sizes.group, cols - std::min(cols, first));
      const std::size_t padded = std::min(sizes.group, sizes.cols - first);
      scales[g] = kernels::quantize_int8(x + first, count, codes + first, sums[g]);
      std::fill(codes + first + count, codes + first + padded, std::int8_t{0});
    }
  }

  /// Sums of integers are exact, in whatever order: all alike.
  [[nodiscard]] static constexpr std::size_t arithmetic(std::size_t) { return 0; }
  static void multiply(const Matrix& m, std::size_t first, std::size_t count, const Inputs& x,
                       MutableRows y);

 private:
  /// Packs row r of a band, a few columns at a time: read(first, count, codes) gives their codes,
  /// and leaves them 0 in rows that fill up a band.
  template <class Read>
  static void pack_row(std::size_t cols, std::size_t r, std::byte* band, Read read) {
    constexpr std::size_t kColumns = kernels::Int8Layout::kColumns;
    for (std::size_t first = 0; first < layout(cols).cols; first += kColumns) {
      std::array<std::int8_t, kColumns> some{};
      read(first, std::min(kColumns, cols - first), some.data());
      for (std::int8_t& code : some) code = static_cast<std::int8_t>(code + Kernel::kBias);
      for (std::size_t k = 0; k < kColumns; k += 4) {
        std::memcpy(band + ((first + k) / 4 * kBandRows + r) * 4, &some[k], 4);
      }
    }
  }
};

template <class Kernel, std::size_t kInputGroup, std::size_t kHadamard>
void BasicInt8<Kernel, kInputGroup, kHadamard>::multiply(const Matrix& m, std::size_t first,
                                                         std::size_t count, const Inputs& x,
                                                         MutableRows y) {
  const std::size_t rows = m.rows_in(first, count);
  Kernel::multiply(layout(m.cols), m.band(first), rows, x, y.columns(first * kBandRows, rows));
}

/// The variant that is most accurate for its speed. KL divergence of a model of 73M parameters:
/// 0.0008 nats; with a scale for every 128 inputs instead of the rotation 0.0012, with neither
/// 0.0052.
using Int8 = BasicInt8<kernels::Int8Native, 0, 256>;

static_assert(WeightPolicy<Int8>);

}  // namespace MAMBA2_ISA
}  // namespace mamba2
