// SPDX-License-Identifier: Apache-2.0
#include "mamba2/kernels/quantize.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "tests/reference/random_weights.hpp"

namespace {

struct Quantized {
  float step;
  std::vector<std::int8_t> codes;
  std::int32_t sum;
};

Quantized quantize(const std::vector<float>& x) {
  Quantized q{0.0F, std::vector<std::int8_t>(x.size()), 0};
  q.step = mamba2::kernels::quantize_int8(x.data(), x.size(), q.codes.data(), q.sum);
  return q;
}

}  // namespace

TEST_CASE(
    "quantize_int8: half to even, the largest magnitude is 127, the sum is that of the codes") {
  for (const std::size_t n : std::vector<std::size_t>{1, 3, 15, 16, 17, 64, 100, 1000}) {
    CAPTURE(n);
    const auto x = reference::to_float(reference::Random(n).normals(n, 0.1, 2.0));
    const Quantized q = quantize(x);
    float largest = 0.0F;
    for (const float v : x) largest = std::max(largest, std::abs(v));
    CHECK(q.step == largest / 127.0F);
    std::int32_t sum = 0;
    for (std::size_t i = 0; i < n; ++i) {
      CHECK(q.codes[i] == static_cast<int>(std::nearbyint(x[i] * (127.0F / largest))));
      sum += q.codes[i];
    }
    CHECK(q.sum == sum);
  }
}

TEST_CASE("quantize_int8 of zeros, of tiny and huge numbers, and of what is no number") {
  CHECK(quantize({0.0F, -0.0F, 0.0F}).step == 0.0F);
  const Quantized tiny = quantize({1e-40F, 0.0F, -1e-37F});
  CHECK(tiny.step == 0.0F);
  CHECK(tiny.codes == std::vector<std::int8_t>{0, 0, 0});
  CHECK(tiny.sum == 0);
  const Quantized small = quantize({1e-35F, -1e-35F});
  CHECK(small.codes == std::vector<std::int8_t>{127, -127});
  const Quantized huge = quantize({3e38F, -3e38F, 1.0F});
  CHECK(huge.codes == std::vector<std::int8_t>{127, -127, 0});
  CHECK(std::isfinite(huge.step));
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    for (std::size_t at = 0; at < 40; at += 13) {
      std::vector<float> x(40, 1.0F);
      x[at] = bad;
      CHECK(std::isnan(quantize(x).step));
    }
  }
}
