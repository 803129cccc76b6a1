// SPDX-License-Identifier: Apache-2.0
#include "mamba2/linear/fp32.hpp"

#include <doctest/doctest.h>

#include <vector>

#include "tests/reference/compare.hpp"
#include "tests/reference/random_weights.hpp"

using mamba2::ConstRows;
using mamba2::Fp32;
using mamba2::Matrix;
using mamba2::MutableRows;
using reference::max_abs_difference;
using reference::to_double;
using reference::to_float;

namespace {

/// Owns a packed matrix.
struct Packed {
  std::vector<std::byte> bytes;
  Matrix<Fp32> matrix;

  Packed(const std::vector<float>& values, std::size_t rows, std::size_t cols)
      : bytes(mamba2::packed_bytes<Fp32>(rows, cols)), matrix{bytes.data(), rows, cols} {
    std::vector<float> padded = values;
    padded.resize(matrix.band_count() * Fp32::kBandRows * cols);
    for (std::size_t band = 0; band < matrix.band_count(); ++band) {
      Fp32::pack_band(&padded[band * Fp32::kBandRows * cols], cols,
                      bytes.data() + band * Fp32::band_bytes(cols));
    }
  }
};

}  // namespace

TEST_CASE("Fp32 products agree with the oracle at any size") {
  for (const std::size_t rows : std::vector<std::size_t>{1, 3, 16, 17, 33}) {
    for (const std::size_t cols : std::vector<std::size_t>{1, 2, 3, 5, 17, 64}) {
      for (const std::size_t tokens : std::vector<std::size_t>{1, 2, 7, 8, 9, 17}) {
        CAPTURE(rows);
        CAPTURE(cols);
        CAPTURE(tokens);
        reference::Random random(rows * 1000 + cols * 10 + tokens);
        const auto w = to_float(random.normals(rows * cols, 0.0, 1.0));
        const auto x = to_float(random.normals(tokens * cols, 0.0, 1.0));
        const Packed packed(w, rows, cols);
        // Between the rows of y stands something that must not be touched.
        const std::size_t stride = rows + 3;
        std::vector<float> y(tokens * stride, 77.0F);
        Fp32::multiply(packed.matrix, ConstRows(x.data(), tokens, cols),
                       MutableRows(y.data(), tokens, rows, stride));
        auto expected = reference::linear(to_double(w), {}, to_double(x), cols);
        std::vector<double> spaced(y.size(), 77.0);
        for (std::size_t t = 0; t < tokens; ++t) {
          for (std::size_t r = 0; r < rows; ++r) {
            spaced[t * stride + r] = expected[t * rows + r];
          }
        }
        CHECK(max_abs_difference(y, spaced) < 1e-6 * static_cast<double>(cols));
      }
    }
  }
}

TEST_CASE("Fp32 rows come out as they went in") {
  const std::size_t rows = 2 * Fp32::kBandRows + 1;
  const std::size_t cols = 5;
  std::vector<float> w(rows * cols);
  for (std::size_t i = 0; i < w.size(); ++i) w[i] = static_cast<float>(i);
  const Packed packed(w, rows, cols);
  std::vector<float> row(cols);
  for (std::size_t r = 0; r < rows; ++r) {
    Fp32::row(packed.matrix, r, row.data());
    CHECK(row == std::vector<float>(&w[r * cols], &w[r * cols] + cols));
  }
}
