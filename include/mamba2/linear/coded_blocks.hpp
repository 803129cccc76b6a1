// SPDX-License-Identifier: Apache-2.0
// Q4_1, Q5_0, Q5_1 and IQ4_NL: weights of GGUF files as they are, times activations of 8 bits.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "mamba2/core/half.hpp"
#include "mamba2/formats/coded_groups.hpp"
#include "mamba2/kernels/group_layout.hpp"
#include "mamba2/kernels/native.hpp"
#include "mamba2/kernels/packed_codes.hpp"
#include "mamba2/linear/coded_inputs.hpp"
#include "mamba2/linear/matrix.hpp"
#include "mamba2/linear/plan.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// Weights in blocks of 32 columns: d times a whole number for each code (detail::code_value), plus
/// m in the types _1. They are taken from a file and never made from floats. Activations as for
/// Q8_0.
template <class Kernel, DType kType>
struct BasicCodedBlocks {
  static_assert(kType == DType::Q4_1 || kType == DType::Q5_0 || kType == DType::Q5_1 ||
                kType == DType::IQ4_NL);
  static constexpr std::string_view name = kType == DType::Q4_1   ? "q4_1"
                                           : kType == DType::Q5_0 ? "q5_0"
                                           : kType == DType::Q5_1 ? "q5_1"
                                                                  : "iq4_nl";
  using Head = BasicCodedBlocks;
  static constexpr std::size_t kRotation = 0;
  static constexpr std::size_t kBandRows = Kernel::kRows;
  static constexpr bool kPacksOnly = requires { Kernel::kPacksOnly; };
  static constexpr std::size_t kGroup = 32;
  static constexpr std::size_t kWhole = kGroup;
  static constexpr std::size_t kBits = kType == DType::Q5_0 || kType == DType::Q5_1 ? 5 : 4;
  static constexpr bool kMins = detail::has_minimum(kType);

  [[nodiscard]] static constexpr kernels::GroupLayout layout(std::size_t cols) {
    return kernels::GroupLayout::of(cols, kGroup, true, kBits, kMins ? 2 : 1);
  }
  [[nodiscard]] static constexpr std::size_t band_bytes(std::size_t cols) {
    return layout(cols).band_bytes(kBandRows);
  }

  /// from.stored: kType.
  static void pack_band(const BandRows& from, std::size_t cols, std::byte* band) {
    const std::size_t blocks = cols / kGroup;
    std::fill_n(band, band_bytes(cols), std::byte{0});
    for (std::size_t i = 0; i * dtype_size(kType) < from.data.size(); ++i) {
      pack(detail::read_coded_block(kType, from.data.data() + i * dtype_size(kType)),
           Place(layout(cols), i / blocks, i % blocks), band);
    }
  }

  static void row(const Matrix& m, std::size_t index, float* to) {
    const std::byte* band = m.band(index / kBandRows);
    for (std::size_t k = 0; k < m.cols; ++k) {
      const Place place(layout(m.cols), index % kBandRows, k / kGroup);
      const auto* halves = reinterpret_cast<const std::uint16_t*>(band + place.halves);
      const int stored = kernels::packed_code<kBits>(
          k % kGroup, [&](std::size_t i) { return static_cast<int>(band[place.quad(i) + k % 4]); });
      const int value = detail::code_value(kType, stored ^ kFlipped);
      to[k] = fp16_to_float(halves[0]) * static_cast<float>(value);
      if constexpr (kMins) to[k] += fp16_to_float(halves[kBandRows]);
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
  /// Codes of Q5_0 stand for themselves - 16: a kernel without bias takes them as signed numbers,
  /// with the highest bit the other way round.
  static constexpr int kFlipped = kType == DType::Q5_0 && Kernel::kBias == 0 ? 16 : 0;

  /// Where in a band the parts of a row's block are.
  struct Place {
    std::size_t codes;
    std::size_t halves;  // d; m is 2 * kBandRows bytes further on

    Place(const kernels::GroupLayout& sizes, std::size_t row, std::size_t block) {
      const std::size_t chunk = block * kGroup / sizes.chunk() * sizes.chunk_bytes(kBandRows);
      const std::size_t begin = block * kGroup % sizes.chunk();
      codes = chunk + sizes.code_bytes(kBandRows, begin) + row * 4;
      halves = chunk + sizes.code_bytes(kBandRows, sizes.chunk()) +
               (begin / kGroup * sizes.halves * kBandRows + row) * sizeof(std::uint16_t);
    }
    [[nodiscard]] std::size_t quad(std::size_t i) const { return codes + i * (4 * kBandRows); }
  };

  static void pack(detail::CodedBlock block, const Place& place, std::byte* band) {
    auto* halves = reinterpret_cast<std::uint16_t*>(band + place.halves);
    halves[0] = block.halves[0];
    if constexpr (kMins) halves[kBandRows] = block.halves[1];
    for (std::uint8_t& code : block.codes) code = static_cast<std::uint8_t>(code ^ kFlipped);
    for (std::size_t i = 0; i < kGroup * kBits / 32; ++i) {
      const auto bytes = kernels::packed_quad<kBits>(block.codes.data(), i);
      std::memcpy(band + place.quad(i), bytes.data(), bytes.size());
    }
  }
};

template <class Kernel, DType kType>
void BasicCodedBlocks<Kernel, kType>::multiply(const Matrix& m, std::size_t first,
                                               std::size_t count, const Inputs& x, MutableRows y) {
  const std::size_t rows = m.rows_in(first, count);
  Kernel::multiply(layout(m.cols), m.band(first), rows, x, y.columns(first * kBandRows, rows));
}

using Q4_1 = BasicCodedBlocks<kernels::Q4_1Native, DType::Q4_1>;
using Q5_0 = BasicCodedBlocks<kernels::Q5_0Native, DType::Q5_0>;
using Q5_1 = BasicCodedBlocks<kernels::Q5_1Native, DType::Q5_1>;
using IQ4_NL = BasicCodedBlocks<kernels::IQ4_NLNative, DType::IQ4_NL>;

static_assert(MatrixFormat<Q4_1> && MatrixFormat<Q5_0> && MatrixFormat<Q5_1> &&
              MatrixFormat<IQ4_NL>);

}  // namespace MAMBA2_ISA
}  // namespace mamba2
