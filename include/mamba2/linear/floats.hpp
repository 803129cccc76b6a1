// SPDX-License-Identifier: Apache-2.0
// Fp32, Fp16, Bf16: floating-point weights times FP32 activations. Int8A32: INT8 weights, likewise.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mamba2/formats/dtype_range.hpp"
#include "mamba2/kernels/bf16.hpp"
#include "mamba2/kernels/quantize.hpp"
#include "mamba2/kernels/scalars.hpp"
#include "mamba2/kernels/simd.hpp"
#include "mamba2/kernels/tiles.hpp"
#include "mamba2/linear/matrix.hpp"
#include "mamba2/linear/plan.hpp"
#if MAMBA2_BF16_DOT
#include "mamba2/linear/bf16_dot.hpp"
#endif

MAMBA2_INTRINSICS_BEGIN

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// Weights as Numbers are stored, widened to FP32 in registers. A band is (cols, kBandRows)
/// numbers, column after column; where Numbers have scales, one FP32 number for each row follows.
/// kRows: other than a register's lanes only to pack for another CPU.
template <class Numbers, std::size_t kRows = kernels::kLanes>
struct BasicFloat {
  static constexpr std::string_view name = Numbers::name;
  using Head = BasicFloat;
  using Stored = typename Numbers::Stored;
  static constexpr std::size_t kRotation = 0;
  static constexpr std::size_t kBandRows = kRows;
  static constexpr bool kPacksOnly = kRows != kernels::kLanes;

  [[nodiscard]] static constexpr std::size_t band_bytes(std::size_t cols) {
    return scales_offset(cols) + (Numbers::kScaled ? kBandRows * sizeof(float) : 0);
  }

  [[nodiscard]] static constexpr float max_weight(DType) { return max_encodable(Numbers::kType); }

  static void pack_band(const BandRows& from, std::size_t cols, std::byte* band) {
    const float* rows = from.values;
    auto* to = reinterpret_cast<Stored*>(band);
    std::array<float, kBandRows> inverses;
    inverses.fill(1.0F);
    if constexpr (Numbers::kScaled) {
      auto* scales = reinterpret_cast<float*>(band + scales_offset(cols));
      for (std::size_t r = 0; r < kBandRows; ++r) {
        const kernels::Int8Scale scale = kernels::int8_scale(rows + r * cols, cols);
        scales[r] = scale.step;
        inverses[r] = scale.inverse;
      }
    }
    for (std::size_t k = 0; k < cols; ++k, to += kBandRows) {
      constexpr std::size_t kLanes = kernels::kLanes;
      constexpr std::size_t kPadded = detail::round_up(kBandRows, kLanes);
      std::array<float, kPadded> column{};
      std::array<Stored, kPadded> stored;
      for (std::size_t r = 0; r < kBandRows; ++r) column[r] = rows[r * cols + k] * inverses[r];
      for (std::size_t r = 0; r < kPadded; r += kLanes) {
        Numbers::store(kernels::load(&column[r]), &stored[r]);
      }
      std::copy_n(stored.begin(), kBandRows, to);
    }
  }

  static void row(const Matrix& m, std::size_t index, float* to) {
    const std::byte* band = m.band(index / kBandRows);
    const auto* from = reinterpret_cast<const Stored*>(band);
    const float scale = scales(band, m.cols).get(index % kBandRows);
    for (std::size_t k = 0; k < m.cols; ++k, from += kBandRows) {
      to[k] = Numbers::load(from).get(index % kBandRows) * scale;
    }
  }

  /// A cache line more than needed: inputs a multiple of 4096 bytes apart, as at 5120 columns,
  /// would compete for the same few places of the L1 cache.
  [[nodiscard]] static constexpr std::size_t input_bytes(std::size_t cols) {
    return detail::round_up(cols * sizeof(float), 64) + 64;
  }
  static void prepare(const float* x, std::size_t cols, std::byte* to) {
    std::copy_n(x, cols, reinterpret_cast<float*>(to));
  }

  [[nodiscard]] static constexpr std::size_t arithmetic(std::size_t tokens) {
    return chains(tokens);
  }
  static void multiply(const Matrix& m, std::size_t first, std::size_t count, const Inputs& x,
                       MutableRows y);

 private:
  [[nodiscard]] static constexpr std::size_t scales_offset(std::size_t cols) {
    return detail::round_up(kBandRows * cols * sizeof(Stored), sizeof(float));
  }
  [[nodiscard]] static kernels::Floats scales(const std::byte* band, std::size_t cols) {
    if constexpr (!Numbers::kScaled) return kernels::Floats(1.0F);
    return kernels::load(reinterpret_cast<const float*>(band + scales_offset(cols)));
  }

  /// Few tokens split every sum into chains, so that an addition need not wait for the one before.
  [[nodiscard]] static constexpr std::size_t chains(std::size_t tokens) {
    return tokens >= 4 ? 1 : (tokens == 1 ? 8 : 2);
  }

  /// kBands bands times kTokens tokens.
  template <std::size_t kBands, std::size_t kTokens, std::size_t kChains>
  static void tile(const std::byte* bands, std::size_t bytes, std::size_t cols, const Inputs& x,
                   const MutableRows& y) {
    using kernels::Floats;
    Floats sums[kChains][kBands][kTokens];
    kernels::unroll<kBands, kTokens>([&](auto b, auto t) MAMBA2_INLINE {
      kernels::unroll<kChains>([&](auto c) MAMBA2_INLINE { sums[c][b][t] = Floats(0.0F); });
    });
    constexpr std::size_t kColumns = std::max(kChains, kernels::kScalars);
    std::size_t k = 0;
    for (; k + kColumns <= cols; k += kColumns) {
      kernels::prefetch_inputs<kTokens>(x.data + k * sizeof(float), x.stride);
      add_columns<kBands, kTokens, kColumns>(bands, bytes, k, x, sums);
    }
    for (; k < cols; ++k) add_columns<kBands, kTokens, 1>(bands, bytes, k, x, sums);
    kernels::unroll<kBands, kTokens>([&](auto b, auto t) MAMBA2_INLINE {
      kernels::unroll<kChains - 1>([&](auto c)
                                       MAMBA2_INLINE { sums[0][b][t] += sums[c + 1][b][t]; });
      Floats result = sums[0][b][t];
      if constexpr (Numbers::kScaled) result *= scales(bands + b * bytes, cols);
      float* to = y[t] + b * kBandRows;
      if (y.cols - b * kBandRows >= kBandRows) {
        kernels::store(result, to);
      } else {
        kernels::FirstLanes{y.cols - b * kBandRows}.store(result, to);
      }
    });
  }

  /// sums += columns [k, k + kColumns) of the weights times these elements of the tokens, one
  /// chain after the other.
  template <std::size_t kBands, std::size_t kTokens, std::size_t kColumns, std::size_t kChains>
  MAMBA2_INLINE static void add_columns(const std::byte* bands, std::size_t bytes, std::size_t k,
                                        const Inputs& x,
                                        kernels::Floats (&sums)[kChains][kBands][kTokens]) {
    using kernels::Floats;
    using Elements = kernels::Scalars<kColumns>;
    constexpr std::size_t kColumnBytes = kBandRows * sizeof(Stored);
    std::array<Elements, kTokens> elements;
    kernels::unroll<kTokens>([&](auto t) MAMBA2_INLINE {
      elements[t] = Elements(reinterpret_cast<const float*>(x[t]), k);
    });
    std::size_t from = k;
    kernels::unroll<kColumns>([&](auto c) MAMBA2_INLINE {
      Floats w[kBands];
      kernels::unroll<kBands>([&](auto b) MAMBA2_INLINE {
        const std::byte* column = bands + b * bytes + (from + c) * kColumnBytes;
        // A line for several columns is asked for once.
        if constexpr (c * kColumnBytes % 64 == 0) kernels::prefetch<kInto>(column + kAhead);
        w[b] = Numbers::load(reinterpret_cast<const Stored*>(column));
      });
      kernels::unroll<kTokens>([&](auto t) MAMBA2_INLINE {
        const auto v = elements[t].template get<c>();
        kernels::unroll<kBands>([&](auto b) MAMBA2_INLINE {
          Floats& sum = sums[c % kChains][b][t];
          sum = kernels::multiply_add(w[b], v, sum);
        });
      });
      if constexpr (kBands * kTokens > 8 && c + 1 < kColumns) {
        kernels::finish(sums[c % kChains], from);
      }
    });
  }

  // Where the others are fetched from near ahead, FP32 has a better way: on Zen 4 0.95 of the rate
  // of a plain stream so, and 0.87 to 0.92 like the others.
  static constexpr bool kWide =
      sizeof(Stored) == sizeof(float) && kernels::kWeightsAhead < std::size_t{4096};
  static constexpr std::size_t kAhead = kWide ? 4096 : kernels::kWeightsAhead;
  static constexpr int kInto = kWide ? kernels::kIntoL1 : kernels::kIntoL2;
};

template <class Numbers, std::size_t kRows>
void BasicFloat<Numbers, kRows>::multiply(const Matrix& m, std::size_t first, std::size_t count,
                                          const Inputs& x, MutableRows y) {
  using kernels::kLanes;
  // Sums that fill the registers, less a few for weights and one for activations.
  constexpr bool kManyRegisters = kLanes == 16 || isa().starts_with("neon");
  constexpr std::size_t kBands = kManyRegisters && kLanes < 16 ? 4 : 2;
  constexpr std::size_t kTokens = kLanes == 16 ? 12 : 4;
  // As many as have room for the sums of one in all their chains.
  constexpr std::size_t kAlone = kManyRegisters || kLanes == 16 ? 3 : 1;
  const std::size_t rows = m.rows_in(first, count);
  const std::size_t bytes = band_bytes(m.cols);
  kernels::for_tiles<kBandRows, kBands, kTokens, kernels::kFewTokens, kAlone>(
      m.band(first), bytes, rows, x, y.columns(first * kBandRows, rows),
      [&](auto bands, auto tokens, const std::byte* band, const Inputs& from,
          const MutableRows& to) {
        if constexpr (bands == 1 && tokens <= kAlone) {
          if (from.alone) return tile<1, tokens, chains(1)>(band, bytes, m.cols, from, to);
        }
        tile<bands, tokens, chains(tokens)>(band, bytes, m.cols, from, to);
      });
}

struct Fp32Numbers {
  static constexpr std::string_view name = "fp32";
  static constexpr DType kType = DType::F32;
  static constexpr bool kScaled = false;
  using Stored = float;
  [[nodiscard]] static kernels::Floats load(const float* from) { return kernels::load(from); }
  static void store(const kernels::Floats& values, float* to) { kernels::store(values, to); }
};

struct Fp16Numbers {
  static constexpr std::string_view name = "fp16";
  static constexpr DType kType = DType::F16;
  static constexpr bool kScaled = false;
  using Stored = std::uint16_t;
  [[nodiscard]] static kernels::Floats load(const std::uint16_t* from) {
    return kernels::load_fp16(from);
  }
  static void store(const kernels::Floats& values, std::uint16_t* to) {
    kernels::store_fp16(values, to);
  }
};

struct Bf16Numbers {
  static constexpr std::string_view name = "bf16";
  static constexpr DType kType = DType::BF16;
  static constexpr bool kScaled = false;
  using Stored = std::uint16_t;
  [[nodiscard]] static kernels::Floats load(const std::uint16_t* from) {
    return kernels::load_bf16(from);
  }
  static void store(const kernels::Floats& values, std::uint16_t* to) {
    std::array<float, kernels::kLanes> lanes;
    kernels::store(values, lanes.data());
    std::transform(lanes.begin(), lanes.end(), to, float_to_bf16);
  }
};

struct Int8A32Numbers {
  static constexpr std::string_view name = "int8-a32";
  static constexpr DType kType = DType::INT8;
  static constexpr bool kScaled = true;
  using Stored = std::int8_t;
  [[nodiscard]] static kernels::Floats load(const std::int8_t* from) {
    return kernels::load_codes(from);
  }
  static void store(const kernels::Floats& values, std::int8_t* to) {
    kernels::store_codes(kernels::nearest(values), to);
  }
};

/// FP32 weights.
using Fp32 = BasicFloat<Fp32Numbers>;
/// IEEE FP16 weights: up to 65504.
using Fp16 = BasicFloat<Fp16Numbers>;
#if MAMBA2_BF16_DOT
using Bf16 = Bf16Dot;
#else
/// BF16 weights.
using Bf16 = BasicFloat<Bf16Numbers>;
#endif
/// INT8 weights with a scale for each row, and activations left in FP32: the most accurate use of
/// INT8 weights. As fast as Int8 where memory is the limit, far slower at reading prompts.
using Int8A32 = BasicFloat<Int8A32Numbers>;

static_assert(WeightPolicy<Fp32> && WeightPolicy<Fp16> && WeightPolicy<Bf16> &&
              WeightPolicy<Int8A32>);

}  // namespace MAMBA2_ISA
}  // namespace mamba2

MAMBA2_INTRINSICS_END
