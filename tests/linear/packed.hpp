// SPDX-License-Identifier: Apache-2.0
// Products with quantized weights, in a form that loops over policies and kernels can use.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "mamba2/linear/matrix.hpp"
#include "tests/linear/kernel_kinds.hpp"
#include "tests/reference/random_weights.hpp"
#if defined(MAMBA2_SEPARATE)  // the fuzz target is a program of one source file
#include "tools/models.hpp"
#endif

namespace tests {

/// Numbers of tokens that meet tiles of every width, alone, overlapping and followed by others.
inline constexpr std::size_t kTokenCounts[] = {1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 16, 17, 25};

/// A format at a number of columns, and what its inputs stand for.
struct Policy {
  std::string name;
  const mamba2::Format* format;
  std::size_t band_rows;
  std::size_t band_bytes;
  std::size_t input_bytes;
  /// What a prepared input stands for: code times scale, (cols).
  std::vector<double> (*values)(const std::byte* input, std::size_t cols) = nullptr;
};

/// All of a policy but what its prepared inputs stand for.
template <class W>
Policy policy_of(std::size_t cols) {
  return {std::string(W::name), &mamba2::kFormat<W>, W::kBandRows, W::band_bytes(cols),
          W::input_bytes(cols)};
}

/// A policy whose inputs are codes. kernel: whose name goes into that of the policy.
/// input_group(layout): how many columns of an input share a scale.
template <class W, class Kernel, auto kInputGroup>
Policy policy(const std::string& details, std::size_t cols) {
  Policy p = policy_of<W>(cols);
  p.name += " " + std::string(Kernel::name) + ", " + details;
  p.values = [](const std::byte* input, std::size_t columns) {
    const auto layout = W::layout(columns);
    std::vector<double> values(columns);
    for (std::size_t k = 0; k < columns; ++k) {
      const double scale = static_cast<double>(layout.scales(input)[k / (layout.*kInputGroup)]);
      values[k] = scale * layout.codes(input)[k];
    }
    return values;
  };
  return p;
}

/// A matrix (rows, cols) as a checkpoint stores it.
struct StoredMatrix {
  std::vector<float> values;
  mamba2::DType type = mamba2::DType::F32;
  std::vector<std::byte> data = {};  // not looked at in F32

  /// The rows of a band; values must be padded with those that fill it.
  [[nodiscard]] mamba2::BandRows rows(std::size_t first, std::size_t count, std::size_t all,
                                      std::size_t cols) const {
    const std::size_t row_bytes = data.size() / all;
    const std::size_t stored = std::min(count, all - first);
    return {&values[first * cols], type,
            std::span(data).subspan(first * row_bytes, stored * row_bytes)};
  }
};

/// A matrix (rows, cols) and inputs (tokens, cols) made ready for a policy.
class Product {
 public:
  Product(const Policy& policy, const std::vector<float>& w, const std::vector<float>& x,
          std::size_t cols)
      : Product(policy, StoredMatrix{w}, x, cols) {}
  Product(const Policy& policy, StoredMatrix w, const std::vector<float>& x, std::size_t cols)
      : policy_(policy), cols_(cols), rows_(w.values.size() / cols), tokens_(x.size() / cols) {
    w.values.resize(band_count() * policy.band_rows * cols);
    bands_.resize(band_count() * policy.band_bytes);
    for (std::size_t band = 0; band < band_count(); ++band) {
      policy.format->pack_band(w.rows(band * policy.band_rows, policy.band_rows, rows_, cols), cols,
                               &bands_[band * policy.band_bytes]);
    }
    inputs_.resize(tokens_ * policy.input_bytes / sizeof(Line));
    for (std::size_t t = 0; t < tokens_; ++t) policy.format->prepare(&x[t * cols], cols, input(t));
  }

  [[nodiscard]] std::size_t rows() const { return rows_; }
  [[nodiscard]] std::size_t tokens() const { return tokens_; }
  [[nodiscard]] std::size_t band_count() const {
    return (rows_ + policy_.band_rows - 1) / policy_.band_rows;
  }

  /// What is stored for a row of the matrix.
  [[nodiscard]] std::vector<float> row(std::size_t index) const {
    std::vector<float> values(cols_);
    matrix().row(index, values.data());
    return values;
  }

  /// y (tokens, stride) = the tokens [first, first + tokens) times the bands [band, band + bands),
  /// with kUntouched wherever nothing was written.
  static constexpr float kUntouched = 77.0F;
  [[nodiscard]] std::vector<float> multiply(std::size_t first, std::size_t tokens, std::size_t band,
                                            std::size_t bands) {
    std::vector<float> y(tokens * stride(), kUntouched);
    matrix().multiply(band, bands, {input(first), tokens, policy_.input_bytes},
                      {y.data(), tokens, rows_, stride()});
    return y;
  }
  [[nodiscard]] std::vector<float> multiply() { return multiply(0, tokens_, 0, band_count()); }
  [[nodiscard]] std::size_t stride() const { return rows_ + 3; }

  /// What multiply() should give, and how large an error may be: a few units of the last place of
  /// each product, however much the products cancel.
  struct Expected {
    std::vector<double> y;       // (tokens, stride)
    std::vector<double> bounds;  // (tokens, stride), 0 where nothing is to be written
  };
  [[nodiscard]] Expected expected() {
    Expected e{std::vector<double>(tokens_ * stride(), double{kUntouched}),
               std::vector<double>(tokens_ * stride())};
    std::vector<std::vector<double>> x;
    for (std::size_t t = 0; t < tokens_; ++t) x.push_back(policy_.values(input(t), cols_));
    for (std::size_t r = 0; r < rows_; ++r) {
      const std::vector<float> w = row(r);
      for (std::size_t t = 0; t < tokens_; ++t) {
        double sum = 0.0;
        double magnitude = 0.0;
        for (std::size_t k = 0; k < cols_; ++k) {
          sum += static_cast<double>(w[k]) * x[t][k];
          magnitude += std::abs(static_cast<double>(w[k]) * x[t][k]);
        }
        e.y[t * stride() + r] = sum;
        e.bounds[t * stride() + r] = 1e-6 * magnitude;
      }
    }
    return e;
  }

 private:
  /// Inputs lie on boundaries of 64 bytes. Matrices need not.
  struct alignas(64) Line {
    std::byte bytes[64];
  };

  [[nodiscard]] mamba2::Matrix matrix() const {
    return {policy_.format, bands_.data(), rows_, cols_};
  }
  [[nodiscard]] std::byte* input(std::size_t token) {
    return inputs_[token * policy_.input_bytes / sizeof(Line)].bytes;
  }

  Policy policy_;
  std::size_t cols_;
  std::size_t rows_;
  std::size_t tokens_;
  std::vector<std::byte> bands_;
  std::vector<Line> inputs_;
};

/// The largest |a[i] - b[i]| / bounds[i]; infinite where a value is not a number, or where values
/// differ that must not.
template <class A, class B>
double worst_error(const A& a, const B& b, const std::vector<double>& bounds) {
  double worst = 0.0;
  for (std::size_t i = 0; i < bounds.size(); ++i) {
    const double error = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    if (error == 0.0) continue;
    const double share = error / bounds[i];
    worst = std::isfinite(share) ? std::max(worst, share) : INFINITY;
  }
  return worst;
}

inline std::vector<float> normals(std::size_t size, std::uint64_t seed, double deviation = 1.0) {
  return reference::to_float(reference::Random(seed).normals(size, 0.0, deviation));
}

/// Policies that differ in nothing but the kernel, the scalar one first.
using Variant = std::vector<Policy>;

/// Products of a variant's kernels are what the oracle says, and what the scalar kernel says.
inline void check_products(const Variant& variant, const StoredMatrix& w,
                           const std::vector<float>& x, std::size_t cols) {
  std::vector<float> scalar;
  for (const Policy& policy : variant) {
    INFO(policy.name);
    Product product(policy, w, x, cols);
    const Product::Expected expected = product.expected();
    const std::vector<float> y = product.multiply();
    if (scalar.empty()) scalar = y;
    CHECK(worst_error(y, expected.y, expected.bounds) <= 1.0);
    CHECK(worst_error(y, scalar, expected.bounds) <= 1.0);
  }
}
inline void check_products(const Variant& variant, const std::vector<float>& w,
                           const std::vector<float>& x, std::size_t cols) {
  check_products(variant, StoredMatrix{w}, x, cols);
}

/// Some of the bands and some of the tokens give the same bits as all at once.
inline void check_parts(const Variant& variant, const StoredMatrix& w, std::size_t cols) {
  const std::vector<float> x = normals(25 * cols, 2);
  for (const Policy& policy : variant) {
    INFO(policy.name);
    Product product(policy, w, x, cols);
    const std::vector<float> all = product.multiply();
    const std::size_t bands = product.band_count();
    for (const std::size_t tokens : kTokenCounts) {
      CAPTURE(tokens);
      const std::size_t first = 25 - tokens;
      const std::vector<float> y = product.multiply(first, tokens, 0, bands);
      CHECK(std::equal(y.begin(), y.end(), &all[first * product.stride()]));
    }
    for (const std::size_t tokens : std::vector<std::size_t>{1, 5, 25}) {
      for (std::size_t band = 0; band < bands; ++band) {
        CAPTURE(band);
        const std::size_t count = std::min<std::size_t>(bands - band, band % 3 + 1);
        const std::vector<float> y = product.multiply(0, tokens, band, count);
        const std::size_t begin = band * policy.band_rows;
        const std::size_t end = (band + count) * policy.band_rows;
        std::size_t wrong = 0;
        for (std::size_t i = 0; i < y.size(); ++i) {
          const std::size_t r = i % product.stride();
          if (y[i] != (r >= begin && r < end ? all[i] : Product::kUntouched)) ++wrong;
        }
        CHECK(wrong == 0);
      }
    }
  }
}

inline void check_parts(const Variant& variant, std::size_t cols) {
  check_parts(variant, StoredMatrix{normals(33 * cols, 1)}, cols);
}

}  // namespace tests
