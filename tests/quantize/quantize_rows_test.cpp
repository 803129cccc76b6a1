// SPDX-License-Identifier: Apache-2.0
// Rounding to INT8 and INT4: errors as theory has them, scales that nothing around them beats.
#include "mamba2/quantize/quantize_rows.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string_view>
#include <vector>

#include "mamba2/core/half.hpp"
#include "tests/reference/random_weights.hpp"

using mamba2::DType;
using mamba2::Rounding;

namespace {

struct CodedRows {
  std::vector<std::byte> codes, scales;
  std::vector<float> values;  // what they stand for
};

CodedRows coded(DType dtype, const std::vector<float>& rows, std::size_t cols,
                const Rounding& rounding = {}) {
  const std::size_t count = rows.size() / cols;
  CodedRows out;
  out.codes.resize(mamba2::code_bytes(dtype, rows.size()));
  out.scales.resize(mamba2::scales_bytes(dtype, count, cols));
  out.values.resize(rows.size());
  mamba2::quantize_rows(dtype, rows.data(), count, cols, rounding, out.codes.data(),
                        out.scales.data());
  mamba2::detail::read_scaled_codes(dtype, out.codes.data(), out.scales.data(), cols, 0,
                                    out.values);
  return out;
}

/// By Box and Muller: with the tails, which the largest of a group comes from.
std::vector<float> gaussians(std::size_t count, std::uint64_t seed) {
  reference::Random random(seed);
  std::vector<float> values(count);
  for (float& value : values) {
    const double radius = std::sqrt(-2.0 * std::log(1.0 - random.uniform(0.0, 1.0)));
    value = static_cast<float>(radius * std::cos(random.uniform(0.0, 6.283185307179586)));
  }
  return values;
}

/// sum(h (w - q)^2) over some values; h may be nullptr.
double squared_error(const float* w, const float* q, std::size_t count, const float* h = nullptr) {
  double sum = 0.0;
  for (std::size_t i = 0; i < count; ++i) {
    sum += std::pow(double{w[i]} - double{q[i]}, 2.0) * (h == nullptr ? 1.0 : double{h[i]});
  }
  return sum;
}

/// The least error of a group over the scales that are tried, each refitted, in double precision.
double searched_error(const float* w, std::size_t group, const float* h) {
  const auto weight = [h](std::size_t i) { return h == nullptr ? 1.0 : double{h[i]}; };
  double extreme = 0.0;
  for (std::size_t i = 0; i < group; ++i) {
    if (std::abs(double{w[i]}) > std::abs(extreme)) extreme = double{w[i]};
  }
  const auto code = [w](std::size_t i, double scale) {
    return std::clamp(std::nearbyint(double{w[i]} / scale), -8.0, 7.0);
  };
  double best = std::numeric_limits<double>::infinity();
  for (int step = -12; step <= 8; ++step) {
    const double scale = extreme / -8.0 * (1.0 + 0.02 * step);
    double wq = 0.0;
    double qq = 0.0;
    for (std::size_t i = 0; i < group; ++i) {
      wq += weight(i) * double{w[i]} * code(i, scale);
      qq += weight(i) * code(i, scale) * code(i, scale);
    }
    const auto fitted = static_cast<double>(
        mamba2::fp16_to_float(mamba2::float_to_fp16(static_cast<float>(wq / qq))));
    double error = 0.0;
    for (std::size_t i = 0; i < group; ++i) {
      error += weight(i) * std::pow(double{w[i]} - fitted * code(i, fitted), 2.0);
    }
    best = std::min(best, error);
  }
  return best;
}

constexpr DType kInt4Types[] = {DType::INT4_G32, DType::INT4_G64, DType::INT4_G128};

}  // namespace

TEST_CASE("quantize_rows: mean squared errors of Gaussian weights") {
  constexpr std::size_t kRows = 80;
  constexpr std::size_t kCols = 2560;
  const std::vector<float> rows = gaussians(kRows * kCols, 3);
  const auto error = [&](DType dtype, std::size_t cols, const Rounding& rounding) {
    const CodedRows found = coded(dtype, rows, cols, rounding);
    return squared_error(rows.data(), found.values.data(), rows.size()) /
           static_cast<double>(rows.size());
  };
  struct Expected {
    DType dtype;
    double nearest, searched, int8;
  };
  for (const Expected& expected : {Expected{DType::INT4_G32, 0.00722, 0.00639, 0.000028},
                                   Expected{DType::INT4_G64, 0.00906, 0.00803, 0.000035},
                                   Expected{DType::INT4_G128, 0.01088, 0.00952, 0.000043}}) {
    const DType dtype = expected.dtype;
    CAPTURE(mamba2::dtype_name(dtype));
    CHECK(error(dtype, kCols, {.search = false}) ==
          doctest::Approx(expected.nearest).epsilon(0.03));
    CHECK(error(dtype, kCols, {}) == doctest::Approx(expected.searched).epsilon(0.03));
    CHECK(error(DType::INT8, mamba2::dtype_block(dtype), {}) ==
          doctest::Approx(expected.int8).epsilon(0.05));
  }
  CHECK(error(DType::INT8, kCols, {}) == doctest::Approx(0.000070).epsilon(0.03));
}

TEST_CASE("quantize_rows: the scale is the best of those tried") {
  for (const DType dtype : kInt4Types) {
    CAPTURE(mamba2::dtype_name(dtype));
    const std::size_t group = mamba2::dtype_block(dtype);
    for (const std::size_t rows : {std::size_t{1}, std::size_t{3}, std::size_t{17}}) {
      const std::size_t cols = 3 * group;
      const std::vector<float> w = gaussians(rows * cols, rows);
      std::vector<float> h = gaussians(cols, 9);
      for (float& value : h) value *= value;
      for (const bool weighted : {false, true}) {
        Rounding rounding;
        if (weighted) rounding.importance = h;
        const CodedRows found = coded(dtype, w, cols, rounding);
        for (std::size_t i = 0; i < w.size(); i += group) {
          const float* weights = weighted ? &h[i % cols] : nullptr;
          const double best = searched_error(&w[i], group, weights);
          // The codes of a refitted scale are chosen anew, which may be better or a little worse
          // than what the search compared.
          CHECK(squared_error(&w[i], &found.values[i], group, weights) <= 1.03 * best);
        }
      }
    }
  }
}

TEST_CASE("quantize_rows: what is 0 stays 0, columns without importance do not count") {
  for (const DType dtype : {DType::INT8, DType::INT4_G32}) {
    const std::vector<float> zeros(3 * 64);
    CHECK(coded(dtype, zeros, 64).values == zeros);
    CHECK(coded(dtype, zeros, 64, {.search = false}).values == zeros);
  }
  std::vector<float> w = gaussians(32, 1);
  std::vector<float> h(32, 1.0F);
  w[5] = 1000.0F;
  h[5] = 0.0F;
  const std::vector<float> plain = coded(DType::INT4_G32, w, 32).values;
  const std::vector<float> weighted = coded(DType::INT4_G32, w, 32, {.importance = h}).values;
  CHECK(squared_error(w.data(), weighted.data(), 32, h.data()) <=
        squared_error(w.data(), plain.data(), 32, h.data()));
}
