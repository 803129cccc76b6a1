// SPDX-License-Identifier: Apache-2.0
#include "mamba2/linear/floats.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "tests/linear/packed.hpp"
#include "tests/reference/compare.hpp"

using tests::Policy;
using tests::Product;

namespace {

/// An input is FP32.
std::vector<double> exact_values(const std::byte* input, std::size_t cols) {
  std::vector<float> values(cols);
  std::memcpy(values.data(), input, cols * sizeof(float));
  return {values.begin(), values.end()};
}

template <class W>
Policy float_policy(std::size_t cols) {
  Policy policy = tests::policy_of<W>(cols);
  policy.values = exact_values;
  return policy;
}

/// Whether products of many tokens round the activations to BF16.
bool rounds(const Policy& policy, std::size_t tokens) {
  return policy.name == "bf16" && MAMBA2_BF16_DOT == 1 && tokens > mamba2::kernels::kFewTokens;
}

template <class Check>
void for_each_policy(std::size_t cols, Check check) {
  for (const Policy& policy :
       {float_policy<mamba2::Fp32>(cols), float_policy<mamba2::Fp16>(cols),
        float_policy<mamba2::Bf16>(cols), float_policy<mamba2::Int8A32>(cols)}) {
    CAPTURE(policy.name);
    check(policy);
  }
}

}  // namespace

TEST_CASE("products with float activations agree with the oracle at any size") {
  for (const std::size_t cols : std::vector<std::size_t>{1, 2, 3, 7, 17, 64, 100}) {
    for (const std::size_t rows : std::vector<std::size_t>{1, 16, 17, 70}) {
      for (const std::size_t tokens : std::vector<std::size_t>{1, 2, 3, 4, 5, 12, 13, 23, 25}) {
        CAPTURE(rows);
        CAPTURE(cols);
        CAPTURE(tokens);
        reference::Random random(rows * 1000 + cols * 10 + tokens);
        const auto w = reference::to_float(random.normals(rows * cols, 0.0, 1.0));
        const auto x = reference::to_float(random.normals(tokens * cols, 0.0, 1.0));
        for_each_policy(cols, [&](const Policy& policy) {
          Product product(policy, w, x, cols);
          const auto found = product.multiply();
          const auto expected = product.expected();
          const double factor = rounds(policy, tokens) ? 0x1p-8 / 1e-6 : 1.0;
          double worst = 0.0;  // one check for all: doctest is slow
          for (std::size_t i = 0; i < found.size(); ++i) {
            const double error = std::abs(static_cast<double>(found[i]) - expected.y[i]);
            const double bound = expected.bounds[i] * factor;
            worst = reference::worse(worst, error <= bound ? 0.0 : error);
          }
          CHECK(worst == 0.0);
          // In two parts, the same bits.
          if (product.band_count() > 1) {
            auto parts = product.multiply(0, tokens, 0, 1);
            const auto rest = product.multiply(0, tokens, 1, product.band_count() - 1);
            for (std::size_t i = 0; i < parts.size(); ++i) {
              if (parts[i] == Product::kUntouched) parts[i] = rest[i];
            }
            CHECK(parts == found);
          }
        });
      }
    }
  }
}

TEST_CASE("rows of weights come out as they went in, rounded") {
  const std::size_t rows = 35;
  const std::size_t cols = 21;
  const auto w = reference::to_float(reference::Random(3).normals(rows * cols, 0.0, 1.0));
  const std::vector<float> x(cols);
  for_each_policy(cols, [&](const Policy& policy) {
    const Product product(policy, w, x, cols);
    double worst = 0.0;
    for (std::size_t r = 0; r < rows; ++r) {
      const auto row = product.row(r);
      for (std::size_t k = 0; k < cols; ++k) {
        worst = reference::worse(worst, std::abs(static_cast<double>(row[k] - w[r * cols + k])));
      }
    }
    // Half a unit of the last place below 8, and half a step of 6 / 127.
    const double bound = policy.name == "fp32"   ? 0.0
                         : policy.name == "fp16" ? 0x1p-9
                         : policy.name == "bf16" ? 0x1p-6
                                                 : 3.0 / 127.0;
    CHECK(worst <= bound);
  });
}

TEST_CASE("Fp16 weights saturate") {
  std::vector<float> w(1, 1e6F);
  Product product(float_policy<mamba2::Fp16>(1), w, std::vector<float>(1, 1.0F), 1);
  CHECK(product.row(0)[0] == 65504.0F);
}
