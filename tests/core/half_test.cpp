// SPDX-License-Identifier: Apache-2.0
// Conversions of 16-bit floats: every pattern, every rounding boundary.
#include "mamba2/core/half.hpp"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "tests/constants.hpp"

using tests::kInfinity;

namespace {

/// The value of a small float with `mantissa_bits` and an exponent bias, by definition.
double by_definition(unsigned bits, int mantissa_bits, int exponent_bits) {
  const unsigned exponent_mask = (1U << exponent_bits) - 1U;
  const unsigned exponent = bits >> mantissa_bits & exponent_mask;
  const unsigned mantissa = bits & ((1U << mantissa_bits) - 1U);
  const int bias = static_cast<int>(exponent_mask >> 1U);
  const double sign = bits >> (mantissa_bits + exponent_bits) != 0 ? -1.0 : 1.0;
  if (exponent == exponent_mask) {
    return mantissa == 0 ? sign * std::numeric_limits<double>::infinity()
                         : std::numeric_limits<double>::quiet_NaN();
  }
  const double significand = exponent == 0 ? mantissa : mantissa + (1U << mantissa_bits);
  const int power = (exponent == 0 ? 1 : static_cast<int>(exponent)) - bias - mantissa_bits;
  return sign * std::ldexp(significand, power);
}

/// Decoding: all 65536 patterns. Encoding: each value, the midpoint to the next one (ties to even)
/// and the floats on either side of the midpoint.
template <class Decode, class Encode>
void check_all(int mantissa_bits, int exponent_bits, Decode decode, Encode encode) {
  const unsigned infinity = ((1U << exponent_bits) - 1U) << mantissa_bits;
  unsigned wrong = 0;
  for (unsigned bits = 0; bits < 65536U; ++bits) {
    const auto pattern = static_cast<std::uint16_t>(bits);
    const unsigned sign = bits & 0x8000U;
    const unsigned magnitude = bits & 0x7FFFU;
    const double value = by_definition(bits, mantissa_bits, exponent_bits);
    const float decoded = decode(pattern);
    if (magnitude > infinity) {
      const unsigned encoded = encode(decoded);
      wrong += static_cast<unsigned>(!std::isnan(decoded));
      wrong += static_cast<unsigned>((encoded & 0x7FFFU) <= infinity);
      wrong += static_cast<unsigned>((encoded & 0x8000U) != sign);
      continue;
    }
    wrong += decoded != static_cast<float>(value);
    wrong += std::signbit(decoded) != (sign != 0);
    wrong += encode(decoded) != pattern;
    if (magnitude == infinity) continue;
    // Infinity stands for the next power of two when it comes to rounding.
    const double next = magnitude + 1U == infinity
                            ? std::copysign(std::ldexp(1.0, 1 << (exponent_bits - 1)), value)
                            : by_definition(bits + 1U, mantissa_bits, exponent_bits);
    const auto middle = static_cast<float>((value + next) / 2);
    wrong += double{middle} != (value + next) / 2;
    wrong += encode(middle) != (bits + (bits & 1U));
    wrong += encode(std::nextafter(middle, 0.0F)) != bits;
    wrong += encode(std::nextafter(middle, std::copysign(kInfinity, middle))) != bits + 1U;
  }
  CHECK(wrong == 0);
}

}  // namespace

TEST_CASE("fp16: every value, and rounding between every two") {
  check_all(10, 5, mamba2::fp16_to_float, mamba2::float_to_fp16);
}

TEST_CASE("bf16: every value, and rounding between every two") {
  check_all(7, 8, mamba2::bf16_to_float, mamba2::float_to_bf16);
}

TEST_CASE("halves: landmarks") {
  static_assert(mamba2::fp16_to_float(0x3C00) == 1.0F);
  static_assert(mamba2::fp16_to_float(0x7BFF) == 65504.0F);
  static_assert(mamba2::fp16_to_float(0x0001) == 0x1p-24F);
  static_assert(mamba2::fp16_to_float(0x83FF) == -0x3FFp-24F);
  static_assert(mamba2::float_to_fp16(65519.0F) == 0x7BFF);
  static_assert(mamba2::float_to_fp16(65520.0F) == 0x7C00);
  static_assert(mamba2::float_to_fp16(-1e30F) == 0xFC00);
  static_assert(mamba2::float_to_fp16(0x1p-25F) == 0);
  static_assert(mamba2::float_to_fp16(-1e-40F) == 0x8000);
  static_assert(mamba2::bf16_to_float(0x3F80) == 1.0F);
  static_assert(mamba2::float_to_bf16(3.3895314e38F) == 0x7F7F);
  static_assert(mamba2::float_to_bf16(std::numeric_limits<float>::max()) == 0x7F80);
  static_assert(mamba2::float_to_bf16(0x1.01p0F) == 0x3F80);
}

TEST_CASE("halves: NaN payloads survive, signalling NaNs do not become infinity") {
  CHECK(std::bit_cast<std::uint32_t>(mamba2::fp16_to_float(0x7E01)) == 0x7FC02000U);
  CHECK(mamba2::float_to_fp16(std::bit_cast<float>(0x7F800001U)) == 0x7E00);
  CHECK(mamba2::float_to_bf16(std::bit_cast<float>(0xFF800001U)) == 0xFFC0);
  CHECK(mamba2::float_to_bf16(std::bit_cast<float>(0x7FFFFFFFU)) == 0x7FFF);
}
