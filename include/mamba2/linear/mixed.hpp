// SPDX-License-Identifier: Apache-2.0
// Mixed: every matrix in the precision that its checkpoint gives it.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mamba2/formats/dtype.hpp"
#include "mamba2/linear/floats.hpp"
#include "mamba2/linear/groups.hpp"
#include "mamba2/linear/int4.hpp"
#include "mamba2/linear/int8.hpp"
#include "mamba2/linear/matrix.hpp"
#include "mamba2/linear/super_blocks.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// Weights as the checkpoint stores them, a format for each matrix. F32, F16 and BF16 are as in the
/// policies of these names; Q8_0, Q4_0, Q4_K and Q6_K keep the codes and scales of the file. So do
/// types for which a larger one holds all values: Q5_0 and IQ4_NL as Q8_0, TQ1_0 and TQ2_0 as Q4_0,
/// Q3_K as Q6_K. The others, which have minima, are rounded to Q8_0: an error of max|w| / 254 in
/// each group of 32 weights, far below their own. Codes and scales apart (quantization.hpp) are as
/// in Int8 and Int4Groups, rotated or not as they are stored. Nothing else is rotated. Policies
/// names the policies that it is made of, as NativePolicies does.
template <class Policies>
struct BasicMixed {
  static constexpr std::string_view name = "mixed";
  using Head = BasicMixed;
  static constexpr std::size_t kRotation = kRotationAsStored;
  static constexpr std::size_t kBandRows = Policies::Fp32::kBandRows;

  enum class Format : std::uint8_t {
    fp32,
    fp16,
    bf16,
    q8_0,
    q4_0,
    q4_k,
    q6_k,
    int8,
    int4_g32,
    int4_g64,
    int4_g128
  };

  /// The format for a type of a checkpoint.
  [[nodiscard]] static constexpr Format format_for(DType stored) {
    switch (stored) {
      case DType::F16:
        return Format::fp16;
      case DType::BF16:
        return Format::bf16;
      case DType::Q4_0:
      case DType::TQ1_0:
      case DType::TQ2_0:
        return Format::q4_0;
      case DType::Q4_K:
        return Format::q4_k;
      case DType::Q3_K:
      case DType::Q6_K:
        return Format::q6_k;
      case DType::INT8:
        return Format::int8;
      case DType::INT4_G32:
        return Format::int4_g32;
      case DType::INT4_G64:
        return Format::int4_g64;
      case DType::INT4_G128:
        return Format::int4_g128;
      default:
        return is_quantized(stored) ? Format::q8_0 : Format::fp32;
    }
  }

  [[nodiscard]] static constexpr std::string_view format_name(Format format) {
    constexpr auto kNames =
        std::to_array<std::string_view>({"fp32", "fp16", "bf16", "q8_0", "q4_0", "q4_k", "q6_k",
                                         "int8", "int4_g32", "int4_g64", "int4_g128"});
    return kNames[static_cast<std::size_t>(format)];
  }
};

/// The matrix of one of several policies: which of them is known at run time.
template <class Policies>
struct Matrix<BasicMixed<Policies>> {
  using Mixed = BasicMixed<Policies>;
  using Format = typename Mixed::Format;

  const std::byte* bands;
  std::size_t rows;
  std::size_t cols;
  Format format = Format::fp32;

  void choose_format(DType stored) { format = Mixed::format_for(stored); }
  /// The format of this number; false if there is none, or its super-blocks do not fit the columns.
  [[nodiscard]] bool set_format(std::uint8_t number) {
    if (number > static_cast<std::uint8_t>(Format::int4_g128)) return false;
    format = static_cast<Format>(number);
    const bool has_super_blocks = format == Format::q4_k || format == Format::q6_k;
    return !has_super_blocks || cols % kernels::KLayout::kSuperBlock == 0;
  }

  /// body(m) with this matrix as one of the policy that its format has.
  template <class Body>
  auto visit(const Body& body) const {
    switch (format) {
      case Format::fp16:
        return body(Matrix<typename Policies::Fp16>{bands, rows, cols});
      case Format::bf16:
        return body(Matrix<typename Policies::Bf16>{bands, rows, cols});
      case Format::q8_0:
        return body(Matrix<typename Policies::Q8_0>{bands, rows, cols});
      case Format::q4_0:
        return body(Matrix<typename Policies::Q4_0>{bands, rows, cols});
      case Format::q4_k:
        return body(Matrix<typename Policies::Q4_K>{bands, rows, cols});
      case Format::q6_k:
        return body(Matrix<typename Policies::Q6_K>{bands, rows, cols});
      case Format::int8:
        return body(Matrix<typename Policies::Int8>{bands, rows, cols});
      case Format::int4_g32:
        return body(Matrix<typename Policies::template Int4Groups<32>>{bands, rows, cols});
      case Format::int4_g64:
        return body(Matrix<typename Policies::template Int4Groups<64>>{bands, rows, cols});
      case Format::int4_g128:
        return body(Matrix<typename Policies::template Int4Groups<128>>{bands, rows, cols});
      default:
        return body(Matrix<typename Policies::Fp32>{bands, rows, cols});
    }
  }

  [[nodiscard]] std::size_t band_bytes() const {
    return visit([](const auto& m) { return m.band_bytes(); });
  }
  [[nodiscard]] std::size_t band_count() const noexcept {
    return (rows + Mixed::kBandRows - 1) / Mixed::kBandRows;
  }
  [[nodiscard]] std::size_t bytes() const { return band_count() * band_bytes(); }
  [[nodiscard]] const std::byte* band(std::size_t index) const {
    return bands + index * band_bytes();
  }
  [[nodiscard]] std::size_t rows_in(std::size_t first, std::size_t count) const noexcept {
    return std::min(rows, (first + count) * Mixed::kBandRows) - first * Mixed::kBandRows;
  }

  [[nodiscard]] bool takes_codes(DType stored) const {
    return visit([&](const auto& m) { return m.takes_codes(stored); });
  }
  [[nodiscard]] float max_weight(DType stored) const {
    return visit([&](const auto& m) { return m.max_weight(stored); });
  }
  [[nodiscard]] std::string_view format_name() const { return Mixed::format_name(format); }
  void pack_band(const BandRows& from, std::byte* to) const {
    visit([&](const auto& m) { m.pack_band(from, to); });
  }
  void row(std::size_t index, float* to) const {
    visit([&](const auto& m) { m.row(index, to); });
  }
  [[nodiscard]] std::size_t input_bytes() const {
    return visit([](const auto& m) { return m.input_bytes(); });
  }
  void prepare(const float* x, std::byte* to) const {
    visit([&](const auto& m) { m.prepare(x, to); });
  }
  [[nodiscard]] std::size_t arithmetic(std::size_t tokens) const {
    return visit([&](const auto& m) { return m.arithmetic(tokens); });
  }
  void multiply(std::size_t first, std::size_t count, const Inputs& x, MutableRows y) const {
    visit([&](const auto& m) { m.multiply(first, count, x, y); });
  }
};

/// Those of this library.
struct NativePolicies {
  using Fp32 = mamba2::Fp32;
  using Fp16 = mamba2::Fp16;
  using Bf16 = mamba2::Bf16;
  using Q8_0 = mamba2::Q8_0;
  using Q4_0 = mamba2::Q4_0;
  using Q4_K = mamba2::Q4_K;
  using Q6_K = mamba2::Q6_K;
  using Int8 = mamba2::Int8;
  template <std::size_t kGroup>
  using Int4Groups = mamba2::Int4Groups<kGroup>;
  using Int4 = Int4Groups<32>;
  using Mixed = BasicMixed<NativePolicies>;
};
using Mixed = NativePolicies::Mixed;

static_assert(Mixed::kBandRows == Fp16::kBandRows && Mixed::kBandRows == Bf16::kBandRows &&
              Mixed::kBandRows == Q8_0::kBandRows && Mixed::kBandRows == Q4_0::kBandRows &&
              Mixed::kBandRows == Q4_K::kBandRows && Mixed::kBandRows == Q6_K::kBandRows &&
              Mixed::kBandRows == Int8::kBandRows && Mixed::kBandRows == Int4::kBandRows);
static_assert(WeightPolicy<Mixed>);

}  // namespace MAMBA2_ISA
}  // namespace mamba2
