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

  /// Takes the tokens of head h through its recurrence, in chunks that are read `step` tokens at a
  /// time. With a FP16 state if Element is std::uint16_t. Answers the state of the last chunk's
  /// beginning, moved to its end; y replaces x.
  template <class Element>
  void scan_in_chunks(std::size_t step, std::vector<Element>& states) {
    using mamba2::kernels::kChunk;
    const mamba2::kernels::Ssm constants = ssm();
    const auto all = rows();
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const std::size_t d = s.d_state;
    for (std::size_t h = 0; h < s.nheads; ++h) {
      const std::size_t column = constants.group(h) * d;
      Element* S = &states[h * s.headdim * d];
      std::vector<float> since(kChunk, nan);
      std::vector<float> kept(kChunk * s.headdim, nan);
      float entering = nan;
      for (std::size_t t = 0; t < s.tokens;) {
        const std::size_t before = t % kChunk;
        const std::size_t count = std::min({step, kChunk - before, s.tokens - t});
        std::vector<float> CB(count * kChunk, nan);  // unwritten memory must not count
        const ConstRows chunk_B = all.B.middle(t - before, before + count).columns(column, d);
        for (std::size_t i = 0; i < count; ++i) {
          mamba2::kernels::chunk_products(all.C[t + i] + column, chunk_B, before + i,
                                          &CB[i * kChunk]);
        }
        const MutableRows here = all.x.middle(t, count).columns(h * s.headdim, s.headdim);
        for (std::size_t i = 0; i < count; ++i) {
          std::copy_n(here[i], s.headdim, &kept[(before + i) * s.headdim]);
        }
        const ConstRows old(kept.data(), before + count, s.headdim);
        const mamba2::kernels::ChunkTokens tokens = {before == 0 ? here : old,
                                                     chunk_B,
                                                     all.C.middle(t, count).columns(column, d),
                                                     ConstRows(CB.data(), count, kChunk),
                                                     all.delta[t - before] + h,
                                                     s.nheads,
                                                     before,
                                                     here};
        mamba2::kernels::ChunkHead<Element>(constants, h, tokens, {since.data(), &entering}, S)
            .run((t + count) % kChunk == 0 || t + count == s.tokens ? S : nullptr);
        t += count;
      }
    }
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

TEST_CASE("scan_single agrees with the oracle at any length, from any state; cut, to the bit") {
  constexpr std::size_t kTokens = 64;
  for (const bool strong : {false, true}) {
    for (const Shape s : {Shape{1, 1, 1, 1, 1}, Shape{4, 3, 1, 4, 5}, Shape{6, 17, 1, 3, kTokens},
                          Shape{2, 261, 1, 2, kTokens + 1}, Shape{3, 64, 1, 3, 2 * kTokens + 7}}) {
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

TEST_CASE("ChunkHead agrees with the oracle at any size; in whatever pieces, to the bit") {
  using mamba2::kernels::kChunk;
  for (const bool strong : {false, true}) {
    for (const Shape s : {Shape{1, 1, 2, 1, 1}, Shape{2, 3, 17, 1, 5}, Shape{6, 5, 16, 3, kChunk},
                          Shape{4, 7, 33, 2, 2 * kChunk + 1}, Shape{2, 85, 9, 1, kChunk + 2},
                          Shape{1, 261, 5, 1, 3}, Shape{3, 64, 128, 1, 3 * kChunk - 1}}) {
      CAPTURE(strong);
      CAPTURE(s.headdim);
      CAPTURE(s.d_state);
      const Case start(s, strong);
      Case whole = start;
      whole.scan_in_chunks(kChunk, whole.state);
      whole.check(whole.state);
      for (const std::size_t step : {1U, 2U, 3U, 5U, 7U, 11U}) {
        CAPTURE(step);
        Case cut = start;
        cut.scan_in_chunks(step, cut.state);
        CHECK(cut.x == whole.x);
        CHECK(cut.state == whole.state);
      }
    }
  }
}

TEST_CASE("ChunkHead keeps an FP16 state: rounded, never infinite, a NaN if it must be") {
  const Shape s = {2, 3 * mamba2::kernels::kLanes + 1, 19, 1, 2 * mamba2::kernels::kChunk + 9};
  const auto run = [&](Case& c, std::size_t step) {
    std::vector<std::uint16_t> half;
    for (const float v : c.state) half.push_back(mamba2::float_to_fp16(v));
    c.scan_in_chunks(step, half);
    return half;
  };
  Case c(s);
  Case cut = c;
  const std::vector<std::uint16_t> half = run(c, mamba2::kernels::kChunk);
  CHECK(run(cut, 5) == half);
  CHECK(cut.x == c.x);
  std::vector<float> widened;
  for (const std::uint16_t bits : half) widened.push_back(mamba2::fp16_to_float(bits));
  c.check(widened, 2e-3);

  Case large(s);
  std::ranges::fill(large.x, 1e9F);
  for (const std::uint16_t bits : run(large, 3)) CHECK((bits & 0x7FFFU) <= 0x7BFFU);
  Case nan(s);
  std::ranges::fill(nan.x, std::numeric_limits<float>::quiet_NaN());
  for (const std::uint16_t bits : run(nan, 3)) CHECK((bits & 0x7FFFU) > 0x7C00U);
}

TEST_CASE("scan_single with an FP16 state: in whatever pieces, to the bit") {
  const Shape s = {2, 37, 1, 1, 70};
  Case c(s);
  Case cut = c;
  std::vector<std::uint16_t> half;
  for (const float v : c.state) half.push_back(mamba2::float_to_fp16(v));
  std::vector<std::uint16_t> cut_half = half;
  for (std::size_t h = 0; h < s.nheads; ++h) {
    mamba2::kernels::scan_single(c.ssm(), h, c.rows(), &half[h * s.headdim]);
    for (std::size_t t = 0; t < s.tokens; t += 7) {
      mamba2::kernels::scan_single(cut.ssm(), h, cut.rows().middle(t, 7), &cut_half[h * s.headdim]);
    }
  }
  CHECK(cut.x == c.x);
  CHECK(cut_half == half);
  std::vector<float> widened;
  for (const std::uint16_t bits : half) widened.push_back(mamba2::fp16_to_float(bits));
  c.check(widened, 2e-3);
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
