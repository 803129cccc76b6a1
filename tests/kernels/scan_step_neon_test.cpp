// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#if defined(__aarch64__)

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "mamba2/core/half.hpp"
#include "mamba2/kernels/neon/scan_step.hpp"
#include "tests/reference/compare.hpp"
#include "tests/reference/random_weights.hpp"

using mamba2::float_to_fp16;
using mamba2::fp16_to_float;
using mamba2::kernels::neon::scan_step;
using reference::max_abs_difference;
using reference::to_double;
using reference::to_float;

namespace {

constexpr float kDecay = 0.875F;

/// A head's inputs.
struct Head {
  std::size_t headdim;
  std::size_t d_state;
  std::vector<float> dtx;
  std::vector<float> B;
  std::vector<float> C;
  std::vector<float> state;  // exact in FP16

  Head(std::size_t channels, std::size_t states) : headdim(channels), d_state(states) {
    reference::Random random(channels * 1000 + states);
    dtx = to_float(random.normals(headdim, 0.0, 1.0));
    B = to_float(random.normals(d_state, 0.0, 1.0));
    C = to_float(random.normals(d_state, 0.0, 1.0));
    state = to_float(random.normals(d_state * headdim, 0.0, 1.0));
    for (float& s : state) s = fp16_to_float(float_to_fp16(s));
  }

  /// The state as FP16 with something behind it that must not be touched.
  [[nodiscard]] std::vector<std::uint16_t> halves() const {
    std::vector<std::uint16_t> bits;
    for (const float s : state) bits.push_back(float_to_fp16(s));
    bits.push_back(0x1234);
    return bits;
  }

  template <class Element>
  [[nodiscard]] std::vector<float> step(std::vector<Element>& from) const {
    std::vector<float> y(headdim + 1, 77.0F);
    scan_step(kDecay, dtx.data(), B.data(), C.data(), d_state, headdim, from.data(), y.data());
    CHECK(y.back() == 77.0F);
    y.pop_back();
    return y;
  }
};

/// The same in double precision: the state becomes the next one.
std::vector<double> oracle(const Head& head, std::vector<double>& state) {
  std::vector<double> y(head.headdim, 0.0);
  for (std::size_t n = 0; n < head.d_state; ++n) {
    for (std::size_t p = 0; p < head.headdim; ++p) {
      double& s = state[n * head.headdim + p];
      s = double{kDecay} * s + double{head.B[n]} * double{head.dtx[p]};
      y[p] += double{head.C[n]} * s;
    }
  }
  return y;
}

template <class Check>
void for_sizes(Check check) {
  for (const std::size_t headdim : std::vector<std::size_t>{1, 3, 4, 16, 17, 31, 64, 80}) {
    for (const std::size_t d_state : std::vector<std::size_t>{1, 3, 4, 16, 17, 128}) {
      CAPTURE(headdim);
      CAPTURE(d_state);
      check(Head(headdim, d_state));
    }
  }
}

}  // namespace

TEST_CASE("the NEON scan step agrees with the oracle at any size") {
  for_sizes([](const Head& head) {
    std::vector<double> expected_state = to_double(head.state);
    const std::vector<double> expected = oracle(head, expected_state);
    std::vector<float> state = head.state;
    state.push_back(77.0F);
    const std::vector<float> y = head.step(state);
    CHECK(state.back() == 77.0F);
    state.pop_back();
    CHECK(max_abs_difference(state, expected_state) < 1e-6);
    CHECK(max_abs_difference(y, expected) < 3e-7 * static_cast<double>(head.d_state + 10));
  });
}

TEST_CASE("the NEON scan step rounds an FP16 state once, and y not at all") {
  for_sizes([](const Head& head) {
    std::vector<double> expected_state = to_double(head.state);
    const std::vector<double> expected = oracle(head, expected_state);
    std::vector<std::uint16_t> state = head.halves();
    const std::vector<float> y = head.step(state);
    CHECK(state.back() == 0x1234);
    CHECK(max_abs_difference(y, expected) < 3e-7 * static_cast<double>(head.d_state + 10));
    for (std::size_t i = 0; i < expected_state.size(); ++i) {
      const double value = expected_state[i];
      const double error = std::abs(double{fp16_to_float(state[i])} - value);
      REQUIRE(error <= std::abs(value) * 0x1.01p-11 + 0x1.01p-25);
    }
  });
}

TEST_CASE("an FP16 state is finite, but a NaN stays one") {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
  struct Case {
    float state;
    float dtx;
    float expected;  // with B = 1; a NaN is one
  };
  const std::vector<Case> cases = {{65504.0F, 1e4F, 65504.0F},
                                   {-65504.0F, -1e4F, -65504.0F},
                                   {65504.0F, 1e30F, 65504.0F},
                                   {0.0F, kInfinity, 65504.0F},
                                   {0.0F, -kInfinity, -65504.0F},
                                   {0.0F, 65519.0F, 65504.0F},
                                   {0.0F, 65520.0F, 65504.0F},
                                   {65504.0F, 0.0F, 57312.0F},  // halfway, to even
                                   {kNaN, 1.0F, kNaN},
                                   {1.0F, kNaN, kNaN},
                                   {0x1p-24F, 0.0F, 0x1p-24F},
                                   {0.0F, 0x1p-24F, 0x1p-24F},
                                   {0x1.8p-21F, 0.0F, 0x1.4p-21F},
                                   {0.0F, -0x1p-26F, -0.0F}};
  for (const std::size_t headdim : std::vector<std::size_t>{1, 16}) {
    for (const std::size_t d_state : std::vector<std::size_t>{1, 4}) {
      for (const Case& c : cases) {
        CAPTURE(headdim);
        CAPTURE(c.state);
        CAPTURE(c.dtx);
        Head head(headdim, d_state);
        head.dtx.assign(headdim, c.dtx);
        head.B.assign(d_state, 1.0F);
        head.state.assign(headdim * d_state, c.state);
        std::vector<std::uint16_t> state = head.halves();
        (void)head.step(state);
        state.pop_back();
        for (const std::uint16_t bits : state) {
          const float value = fp16_to_float(bits);
          CHECK((std::isnan(c.expected) ? std::isnan(value) : value == c.expected));
        }
      }
    }
  }
}

#else

TEST_CASE("the NEON scan step") { MESSAGE("not an AArch64 build"); }

#endif
