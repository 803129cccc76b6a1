// SPDX-License-Identifier: Apache-2.0
// Quantizing to Q6_K: layout as in quantized_super_blocks.hpp, scales found as ggml finds them.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstring>

#include "mamba2/formats/encode_blocks.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// To nearest, ties to even, for magnitudes below 2^22.
[[nodiscard]] inline int nearest_even(float value) noexcept {
  constexpr float kShift = 0x1.8p23F;  // there the units are the last bits
  return static_cast<int>((value + kShift) - kShift);
}

/// Sixteen elements as scale * code, codes -32..31.
class Q6SubBlock {
 public:
  static constexpr std::size_t kSize = 16;

  /// The scale that makes the sum of x^2 (x - scale code)^2 least, of 19 attempts: the element of
  /// largest magnitude is given codes around -32, the others follow, and for those codes the best
  /// scale is sum x^3 code / sum x^2 code^2.
  void fit(const float* values) noexcept {
    values_ = values;
    float extreme = 0.0F;
    for (std::size_t i = 0; i < kSize; ++i) {
      if (std::fabs(values[i]) > std::fabs(extreme)) extreme = values[i];
    }
    if (std::fabs(extreme) < kLeast) return;
    attempt(-32.0F / extreme);
    for (int step = -9; step <= 9; ++step) {
      if (step != 0) attempt(-(32.0F + 0.1F * static_cast<float>(step)) / extreme);
    }
  }

  /// The codes for a scale that has been rounded.
  void requantize(float scale) noexcept {
    for (std::size_t i = 0; scale != 0.0F && i < kSize; ++i) codes_[i] = code(values_[i] / scale);
  }

  [[nodiscard]] float scale() const noexcept { return scale_; }
  [[nodiscard]] int code_at(std::size_t i) const noexcept { return codes_[i]; }

  static constexpr float kLeast = 1e-15F;  // all below counts as zero

 private:
  [[nodiscard]] static int code(float scaled) noexcept {
    return std::clamp(nearest_even(scaled), -32, 31);
  }

  [[nodiscard]] static std::array<int, kSize> lowest() noexcept {
    std::array<int, kSize> codes{};
    codes.fill(-32);
    return codes;
  }

  /// Keeps the codes for 1 / inverse if they are better than those before.
  void attempt(float inverse) noexcept {
    float products = 0.0F;
    float squares = 0.0F;
    for (std::size_t i = 0; i < kSize; ++i) {
      const auto q = static_cast<float>(code(inverse * values_[i]));
      const float weight = values_[i] * values_[i];
      products += weight * values_[i] * q;
      squares += weight * q * q;
    }
    // The error is that of all zeros less products^2 / squares.
    if (!(squares > 0.0F && products * products > gain_ * squares)) return;
    scale_ = products / squares;
    gain_ = scale_ * products;
    for (std::size_t i = 0; i < kSize; ++i) codes_[i] = code(inverse * values_[i]);
  }

  const float* values_ = nullptr;
  std::array<int, kSize> codes_ = lowest();  // of a sub-block of zeros
  float scale_ = 0.0F;
  float gain_ = 0.0F;
};

/// Stores the code of an element of the block, plus 32 in six bits: the low four, and the high two.
/// Bits that are stored must be zero before.
inline void store_six_bits(std::size_t element, int code, std::byte* out) noexcept {
  const auto bits = static_cast<unsigned>(code + 32);
  const std::size_t half = element / 128;
  const std::size_t quarter = element % 128 / 32;
  const std::size_t l = element % 32;
  out[half * 64 + quarter % 2 * 32 + l] |= static_cast<std::byte>((bits & 15U) << quarter / 2 * 4);
  out[128 + half * 32 + l] |= static_cast<std::byte>((bits >> 4) << quarter * 2);
}

/// The sub-block with the scale of largest magnitude gets the scale code -128; then all codes are
/// chosen anew for the scales as they are stored.
inline void encode_q6_k(const float* values, std::byte* out) noexcept {
  constexpr std::size_t kBytes = 210;
  constexpr std::size_t kSubBlocks = 16;
  std::memset(out, 0, kBytes);
  std::array<Q6SubBlock, kSubBlocks> blocks;
  float extreme = 0.0F;
  for (Q6SubBlock& block : blocks) {
    block.fit(values);
    values += Q6SubBlock::kSize;
    if (std::fabs(block.scale()) > std::fabs(extreme)) extreme = block.scale();
  }
  if (std::fabs(extreme) < Q6SubBlock::kLeast) return;
  const float inverse = -128.0F / extreme;
  store_half(1.0F / inverse, out + 208);
  const float d = fp16_to_float(float_to_fp16(1.0F / inverse));
  for (std::size_t j = 0; j < kSubBlocks; ++j) {
    const int scale_code = std::min(127, nearest_even(inverse * blocks[j].scale()));
    out[192 + j] = static_cast<std::byte>(scale_code);
    blocks[j].requantize(d * static_cast<float>(scale_code));
    for (std::size_t i = 0; i < Q6SubBlock::kSize; ++i) {
      store_six_bits(j * Q6SubBlock::kSize + i, blocks[j].code_at(i), out);
    }
  }
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
