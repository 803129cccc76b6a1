// SPDX-License-Identifier: Apache-2.0
// GPTQ against the formulas in double precision.
#include "mamba2/quantize/gptq.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "mamba2/quantize/quantize_rows.hpp"
#include "tests/reference/random_weights.hpp"

using mamba2::DType;
using mamba2::GptqFactor;

namespace {

using Square = std::vector<std::vector<double>>;

/// Inputs of which neighbours resemble each other, some far larger than others.
std::vector<float> gptq_hessian(std::size_t cols, std::size_t tokens, std::uint64_t seed) {
  reference::Random random(seed);
  std::vector<float> hessian(cols * cols);
  std::vector<double> x(cols);
  for (std::size_t t = 0; t < tokens; ++t) {
    double last = 0.0;
    for (std::size_t k = 0; k < cols; ++k) {
      last = 0.8 * last + 0.6 * random.normal();
      x[k] = last * (k % 7 == 3 ? 5.0 : 1.0);
    }
    for (std::size_t i = 0; i < cols; ++i) {
      for (std::size_t j = 0; j <= i; ++j) {
        hessian[i * cols + j] += static_cast<float>(x[i] * x[j]);
      }
    }
  }
  return hessian;
}

/// The whole of a symmetric matrix, and 1 % of the mean of its diagonal added to that.
Square damped(const std::vector<float>& hessian, std::size_t cols) {
  Square H(cols, std::vector<double>(cols));
  double mean = 0.0;
  for (std::size_t i = 0; i < cols; ++i) {
    for (std::size_t j = 0; j <= i; ++j) H[i][j] = H[j][i] = double{hessian[i * cols + j]};
    mean += H[i][i] / static_cast<double>(cols);
  }
  for (std::size_t i = 0; i < cols; ++i) H[i][i] += 0.01 * mean;
  return H;
}

/// By Gauss and Jordan.
Square inverse(Square a) {
  const std::size_t n = a.size();
  Square b(n, std::vector<double>(n));
  for (std::size_t i = 0; i < n; ++i) b[i][i] = 1.0;
  for (std::size_t i = 0; i < n; ++i) {
    const double pivot = a[i][i];
    for (std::size_t j = 0; j < n; ++j) {
      a[i][j] /= pivot;
      b[i][j] /= pivot;
    }
    for (std::size_t r = 0; r < n; ++r) {
      const double factor = a[r][i];
      for (std::size_t j = 0; r != i && j < n; ++j) {
        a[r][j] -= factor * a[i][j];
        b[r][j] -= factor * b[i][j];
      }
    }
  }
  return b;
}

/// Upper triangular U with a = U^T U.
Square cholesky(const Square& a) {
  const std::size_t n = a.size();
  Square U(n, std::vector<double>(n));
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = i; j < n; ++j) {
      double sum = a[i][j];
      for (std::size_t k = 0; k < i; ++k) sum -= U[k][i] * U[k][j];
      U[i][j] = i == j ? std::sqrt(sum) : sum / U[i][i];
    }
  }
  return U;
}

/// The error of the outputs: sum over rows of d H d^T with d = w - q.
double output_error(const Square& H, const std::vector<float>& w, const std::vector<float>& q) {
  const std::size_t cols = H.size();
  double sum = 0.0;
  for (std::size_t r = 0; r < w.size(); r += cols) {
    for (std::size_t i = 0; i < cols; ++i) {
      for (std::size_t j = 0; j < cols; ++j) {
        sum +=
            (double{w[r + i]} - double{q[r + i]}) * H[i][j] * (double{w[r + j]} - double{q[r + j]});
      }
    }
  }
  return sum;
}

/// Follows the algorithm with one row in double precision, and checks each code that was found
/// against what is to be rounded there. (The codes found are followed: of two that are equally good
/// either may be.)
void follow(const Square& U, const float* row, const std::vector<double>& codes,
            const std::vector<double>& scales) {
  const std::size_t cols = U.size();
  std::vector<double> w(row, row + cols);
  for (std::size_t k = 0; k < cols; ++k) {
    const double exact = std::clamp(w[k] / scales[k], -8.0, 7.0);
    CHECK(std::abs(codes[k] - exact) < 0.5 + 2e-4);
    const double error = (w[k] - codes[k] * scales[k]) / U[k][k];
    for (std::size_t j = k + 1; j < cols; ++j) w[j] -= error * U[k][j];
  }
}

void check_gptq(DType dtype, std::size_t cols, std::size_t rows, std::size_t tokens) {
  const std::vector<float> hessian = gptq_hessian(cols, tokens, cols + rows);
  const GptqFactor factor = GptqFactor::create(hessian, cols).value();
  const Square H = damped(hessian, cols);
  const Square U = cholesky(inverse(H));
  reference::Random random(7);
  std::vector<float> w(rows * cols);
  for (float& value : w) value = static_cast<float>(random.normal());

  const auto quantized = [&](const mamba2::Rounding& rounding, bool follows) {
    std::vector<std::byte> codes(mamba2::code_bytes(dtype, w.size()));
    std::vector<std::byte> scales(mamba2::scales_bytes(dtype, rows, cols));
    mamba2::quantize_rows(dtype, w.data(), rows, cols, rounding, codes.data(), scales.data());
    std::vector<float> values(w.size());
    mamba2::detail::read_scaled_codes(dtype, codes.data(), scales.data(), cols, 0, values);
    for (std::size_t r = 0; follows && r < rows; ++r) {
      std::vector<double> row_codes(cols);
      std::vector<double> row_scales(cols);
      for (std::size_t k = 0; k < cols; ++k) {
        const std::size_t at = r * cols + k;
        row_scales[k] = double{
            mamba2::detail::read_scale(dtype, scales.data(), at / mamba2::dtype_block(dtype))};
        row_codes[k] = std::nearbyint(double{values[at]} / row_scales[k]);
      }
      follow(U, &w[r * cols], row_codes, row_scales);
    }
    return output_error(H, w, values);
  };
  const double searched = quantized({}, false);
  const double found = quantized({.gptq = &factor}, true);
  MESSAGE(mamba2::dtype_name(dtype), ", ", cols, " columns: error of the outputs ",
          found / searched, " of that of the search");
  CHECK(found < 0.7 * searched);
}

}  // namespace

TEST_CASE("GPTQ is what the formulas say") {
  check_gptq(DType::INT4_G32, 32, 1, 100);
  check_gptq(DType::INT4_G32, 96, 3, 400);
  check_gptq(DType::INT4_G64, 192, 17, 100);  // fewer tokens than columns
  check_gptq(DType::INT4_G128, 256, 17, 1000);
}

TEST_CASE("GPTQ without inputs is rounding to nearest; inputs that are not finite are refused") {
  const std::size_t cols = 64;
  std::vector<float> hessian(cols * cols);
  const GptqFactor none = GptqFactor::create(hessian, cols).value();
  reference::Random random(8);
  std::vector<float> w(cols);
  for (float& value : w) value = static_cast<float>(random.normal());
  std::vector<std::byte> codes(mamba2::code_bytes(DType::INT4_G32, cols));
  std::vector<std::byte> scales(mamba2::scales_bytes(DType::INT4_G32, 1, cols));
  std::vector<std::byte> plain_codes = codes;
  std::vector<std::byte> plain_scales = scales;
  mamba2::quantize_rows(DType::INT4_G32, w.data(), 1, cols, {.gptq = &none}, codes.data(),
                        scales.data());
  mamba2::quantize_rows(DType::INT4_G32, w.data(), 1, cols, {}, plain_codes.data(),
                        plain_scales.data());
  CHECK(codes == plain_codes);
  CHECK(scales == plain_scales);
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    hessian[5 * cols + 5] = bad;
    const auto refused = GptqFactor::create(hessian, cols);
    REQUIRE(!refused);
    CHECK(refused.error().message ==
          "the inputs of the matrix must be finite numbers, found others");
  }
}
