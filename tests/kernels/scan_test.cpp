// SPDX-License-Identifier: Apache-2.0
#include "mamba2/kernels/scan.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "mamba2/kernels/scan_single.hpp"
#include "mamba2/kernels/ssd.hpp"
#include "tests/constants.hpp"
#include "tests/reference/compare.hpp"
#include "tests/reference/random_weights.hpp"

using mamba2::ConstRows;
using mamba2::MutableRows;
using reference::max_abs_difference;
using reference::to_double;
using reference::to_float;
using tests::kInfinity;

namespace {

struct Shape {
  std::size_t nheads, headdim, d_state, ngroups, tokens;
};

/// Random inputs of the scan, and what the oracle makes of them.
struct Case {
  Shape s;
  std::vector<float> x, B, C, delta, A, D, state;
  std::vector<double> expected, expected_state;

  /// strong: the decays go from none at all to nearly everything at a single token.
  explicit Case(const Shape& shape, bool strong = false) : s(shape) {
    const std::size_t channels = s.nheads * s.headdim;
    reference::Random random(channels + s.tokens);
    mamba2::Config config;
    config.d_inner = config.d_ssm = channels;
    config.headdim = s.headdim;
    config.d_state = s.d_state;
    config.ngroups = s.ngroups;
    config.D_has_hdim = true;
    x = to_float(random.normals(s.tokens * channels, 0.0, 1.0));
    B = to_float(random.normals(s.tokens * s.ngroups * s.d_state, 0.0, 1.0));
    C = to_float(random.normals(s.tokens * s.ngroups * s.d_state, 0.0, 1.0));
    delta = to_float(random.uniforms(s.tokens * s.nheads, 1e-3, 0.5));
    if (strong) {
      for (std::size_t i = 0; i < delta.size(); i += 5) delta[i] = 40.0F;
    }
    const auto A_log = random.uniforms(s.nheads, 0.0, 2.77);
    D = to_float(random.normals(channels, 1.0, 0.5));
    const auto initial = to_float(random.normals(channels * s.d_state, 0.0, 1.0));
    for (const double a : A_log) A.push_back(static_cast<float>(-std::exp(a)));
    expected_state = to_double(initial);
    expected = reference::selective_scan(
        config, A_log, to_double(D), {to_double(x), to_double(B), to_double(C), to_double(delta)},
        expected_state);
    state = transposed(initial);
    expected_state = transposed(expected_state);
  }

  [[nodiscard]] mamba2::kernels::Ssm ssm() const {
    return {s.nheads, s.headdim, s.d_state, s.ngroups, A.data(),
            D.data(), nullptr,   0.0F,      kInfinity};
  }
  [[nodiscard]] mamba2::kernels::ScanRows rows() {
    const std::size_t bc = s.ngroups * s.d_state;
    return {MutableRows(x.data(), s.tokens, s.nheads * s.headdim),
            ConstRows(B.data(), s.tokens, bc), ConstRows(C.data(), s.tokens, bc),
            ConstRows(delta.data(), s.tokens, s.nheads)};
  }

  /// The oracle's (nheads, headdim, d_state) as the library's (nheads, d_state, headdim).
  template <class T>
  [[nodiscard]] std::vector<T> transposed(const std::vector<T>& from) const {
    std::vector<T> to(from.size());
    for (std::size_t h = 0; h < s.nheads; ++h) {
      const std::size_t head = h * s.headdim * s.d_state;
      for (std::size_t p = 0; p < s.headdim; ++p) {
        for (std::size_t n = 0; n < s.d_state; ++n) {
          to[head + n * s.headdim + p] = from[head + p * s.d_state + n];
        }
      }
    }
    return to;
  }

  // y sums d_state products of magnitude up to ~10; the bound is relative to the largest.
  void check(const std::vector<float>& final_state, double bound = 2e-6) const {
    CHECK(max_abs_difference(x, expected) < bound * (1.0 + reference::max_abs(expected)));
    CHECK(max_abs_difference(final_state, expected_state) <
          bound * reference::max_abs(expected_state));
  }
};

}  // namespace

TEST_CASE("scan_head agrees with the oracle at any size, from any state") {
  for (const Shape s :
       {Shape{1, 1, 1, 1, 1}, Shape{2, 3, 17, 1, 5}, Shape{6, 5, 16, 3, 4}, Shape{4, 7, 33, 2, 3},
        Shape{2, 85, 9, 1, 2}, Shape{1, 261, 5, 1, 3}, Shape{3, 64, 128, 1, 40}}) {
    CAPTURE(s.headdim);
    CAPTURE(s.d_state);
    Case c(s);
    for (std::size_t h = 0; h < s.nheads; ++h) {
      mamba2::kernels::scan_head(c.ssm(), h, c.rows(), &c.state[h * s.headdim * s.d_state]);
    }
    c.check(c.state);
  }
}

TEST_CASE("scan_single agrees with the oracle at any length, from any state; cut, to the bit") {
  using mamba2::kernels::kChunk;
  for (const bool strong : {false, true}) {
    for (const Shape s : {Shape{1, 1, 1, 1, 1}, Shape{4, 3, 1, 4, 5}, Shape{6, 17, 1, 3, kChunk},
                          Shape{2, 261, 1, 2, kChunk + 1}, Shape{3, 64, 1, 3, 2 * kChunk + 7}}) {
      CAPTURE(s.headdim);
      CAPTURE(s.tokens);
      Case c(s, strong);
      Case cut = c;
      for (std::size_t h = 0; h < s.nheads; ++h) {
        mamba2::kernels::scan_single(c.ssm(), h, c.rows(), &c.state[h * s.headdim]);
        for (std::size_t t = 0; t < s.tokens; ++t) {
          mamba2::kernels::scan_single(cut.ssm(), h, cut.rows().middle(t, 1),
                                       &cut.state[h * s.headdim]);
        }
      }
      c.check(c.state);
      CHECK(cut.x == c.x);
      CHECK(cut.state == c.state);
    }
  }
}

TEST_CASE("scan_head_in_chunks agrees with the oracle at any length, from any state") {
  using mamba2::kernels::kChunk;
  const std::size_t lanes = mamba2::kernels::kLanes;
  for (const bool strong : {false, true}) {
    for (const Shape s :
         {Shape{1, lanes, 1, 1, 1}, Shape{2, lanes, 17, 2, 7}, Shape{2, 3 * lanes, 5, 1, kChunk},
          Shape{4, 5 * lanes, 3, 2, 2 * kChunk + 1}, Shape{2, 64, 128, 1, 3 * kChunk - 1}}) {
      CAPTURE(strong);
      CAPTURE(s.headdim);
      CAPTURE(s.d_state);
      CAPTURE(s.tokens);
      Case c(s, strong);
      // Unwritten memory must not count, whatever is in it.
      std::vector<float> memory(s.tokens * s.ngroups * kChunk,
                                std::numeric_limits<float>::quiet_NaN());
      const MutableRows CB(memory.data(), s.tokens, s.ngroups * kChunk);
      for (std::size_t group = 0; group < s.ngroups; ++group) {
        const std::size_t some = s.tokens / 3;
        mamba2::kernels::chunk_products(c.ssm(), c.rows(), group, some, s.tokens, CB);
        mamba2::kernels::chunk_products(c.ssm(), c.rows(), group, 0, some, CB);
      }
      for (std::size_t h = 0; h < s.nheads; ++h) {
        mamba2::kernels::scan_head_in_chunks(c.ssm(), h, c.rows(), CB,
                                             &c.state[h * s.headdim * s.d_state]);
      }
      c.check(c.state);
    }
  }
}

TEST_CASE("scan_head_in_chunks keeps an FP16 state: rounded, never infinite, a NaN if it must be") {
  using mamba2::kernels::kChunk;
  const Shape s = {2, 3 * mamba2::kernels::kLanes, 19, 1, kChunk + 9};
  const auto run = [&](Case& c) {
    std::vector<float> memory(s.tokens * kChunk);
    const MutableRows CB(memory.data(), s.tokens, kChunk);
    mamba2::kernels::chunk_products(c.ssm(), c.rows(), 0, 0, s.tokens, CB);
    std::vector<std::uint16_t> half;
    for (const float v : c.state) half.push_back(mamba2::float_to_fp16(v));
    for (std::size_t h = 0; h < s.nheads; ++h) {
      mamba2::kernels::scan_head_in_chunks(c.ssm(), h, c.rows(), CB,
                                           &half[h * s.headdim * s.d_state]);
    }
    return half;
  };
  Case c(s);
  std::vector<float> widened;
  for (const std::uint16_t bits : run(c)) widened.push_back(mamba2::fp16_to_float(bits));
  c.check(widened, 2e-3);

  Case large(s);
  std::ranges::fill(large.x, 1e9F);
  for (const std::uint16_t bits : run(large)) CHECK((bits & 0x7FFFU) <= 0x7BFFU);
  Case nan(s);
  std::ranges::fill(nan.x, std::numeric_limits<float>::quiet_NaN());
  for (const std::uint16_t bits : run(nan)) CHECK((bits & 0x7FFFU) > 0x7C00U);
}

TEST_CASE("an FP16 state is a rounded FP32 state, and never infinite") {
  const Shape s = {2, 37, 19, 1, 1};
  Case c(s);
  const auto run = [&](std::vector<float> x, std::vector<std::uint16_t>& state) {
    c.x = std::move(x);
    for (std::size_t h = 0; h < s.nheads; ++h) {
      mamba2::kernels::scan_head(c.ssm(), h, c.rows(), &state[h * s.headdim * s.d_state]);
    }
  };
  std::vector<std::uint16_t> half;
  for (const float v : c.state) half.push_back(mamba2::float_to_fp16(v));
  const auto x = c.x;
  run(x, half);
  std::vector<float> widened;
  for (const std::uint16_t bits : half) widened.push_back(mamba2::fp16_to_float(bits));
  c.check(widened, 2e-3);

  run(std::vector<float>(x.size(), 1e9F), half);
  for (const std::uint16_t bits : half) CHECK((bits & 0x7FFFU) <= 0x7BFFU);
  run(std::vector<float>(x.size(), std::numeric_limits<float>::quiet_NaN()), half);
  for (const std::uint16_t bits : half) CHECK((bits & 0x7FFFU) > 0x7C00U);
}

TEST_CASE("step_sizes: softplus with its threshold and its tail, then the bounds") {
  const std::vector<float> dt = {-30.0F, -20.0F, -1.0F, 0.0F, 19.9F, 20.1F, 100.0F};
  const std::vector<float> dt_bias(dt.size(), 0.25F);
  std::vector<float> delta;
  const auto run = [&](float low, float high) {
    const mamba2::kernels::Ssm ssm = {dt.size(),      1,   1,   1, nullptr, nullptr,
                                      dt_bias.data(), low, high};
    delta = dt;
    mamba2::kernels::step_sizes(ssm, 0, MutableRows(delta.data(), 1, dt.size()));
  };
  run(0.0F, kInfinity);
  for (std::size_t i = 0; i < dt.size(); ++i) {
    const double expected = reference::softplus(static_cast<double>(dt[i]) + 0.25);
    CHECK(static_cast<double>(delta[i]) == doctest::Approx(expected).epsilon(1e-6));
  }
  CHECK(delta[0] > 0.0F);
  run(0.01F, 0.1F);
  CHECK(delta.front() == 0.01F);
  CHECK(delta.back() == 0.1F);
}
