// SPDX-License-Identifier: Apache-2.0
#include "mamba2/kernels/attention.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "mamba2/core/thread_pool.hpp"
#include "mamba2/kernels/attend.hpp"
#include "tests/constants.hpp"
#include "tests/kernels/attention_sequence.hpp"
#include "tests/reference/compare.hpp"

using mamba2::kernels::NativeAttention;
using reference::max_abs_difference;
using tests::AttentionPart;
using tests::AttentionSequence;
using tests::KvPrecision;
using ScalarAttention = mamba2::kernels::scalar::Attention;

namespace {

struct AttentionSize {
  std::size_t heads, kv_heads, headdim, tokens;
};

/// All head counts that tiles of rows differ by, all odd widths, and the borders of panels and
/// blocks.
constexpr AttentionSize kAttentionSizes[] = {
    {1, 1, 1, 1},    {2, 1, 5, 17},    {4, 4, 20, 16},  {3, 1, 24, 255},
    {3, 1, 64, 256}, {8, 2, 16, 257},  {5, 1, 80, 33},  {16, 1, 48, 47},
    {14, 2, 33, 15}, {4, 1, 128, 290}, {11, 1, 64, 31}, {1, 1, 160, 270},
    {2, 2, 224, 40}, {24, 2, 32, 20},  {6, 2, 40, 530}, {2, 1, 288, 21}};

/// Values are of magnitude up to 4, their weights have an error of some units in the last place,
/// mostly that of the scores, which are sums of headdim products.
constexpr double kAttentionBound = 4e-6;

}  // namespace

TEST_CASE("attention of what a cache holds agrees with the oracle at any size") {
  double worst = 0.0;
  for (const AttentionSize s : kAttentionSizes) {
    for (const KvPrecision precision : tests::kPrecisions) {
      CAPTURE(s.heads);
      CAPTURE(s.kv_heads);
      CAPTURE(s.headdim);
      CAPTURE(s.tokens);
      CAPTURE(static_cast<int>(precision));
      AttentionSequence sequence(s.heads, s.kv_heads, s.headdim, precision, s.tokens);
      const auto native = sequence.read(0, s.tokens);
      const auto scalar = sequence.read<ScalarAttention>(0, s.tokens);
      CHECK(max_abs_difference(native, scalar) < kAttentionBound);
      // The oracle is slow: the last tokens are enough, they see all others.
      const std::size_t skip = s.tokens - std::min<std::size_t>(s.tokens, 40);
      const auto last = [&](const std::vector<float>& of_all) {
        return std::vector<float>(
            of_all.begin() + static_cast<std::ptrdiff_t>(skip * sequence.width()), of_all.end());
      };
      const auto expected = sequence.expected(skip);
      worst = reference::worse(worst, max_abs_difference(last(native), expected));
      CHECK(max_abs_difference(last(native), expected) < kAttentionBound);
      CHECK(max_abs_difference(last(scalar), expected) < kAttentionBound);
      CHECK(sequence.intact());
    }
  }
  MESSAGE("largest error: ", worst);
}

TEST_CASE("prompts in one piece, in pieces and token by token give the same bits") {
  for (const AttentionSize s : {AttentionSize{6, 2, 24, 290}, AttentionSize{4, 1, 40, 530},
                                AttentionSize{16, 1, 20, 280}}) {
    for (const KvPrecision precision : tests::kPrecisions) {
      CAPTURE(s.headdim);
      CAPTURE(static_cast<int>(precision));
      AttentionSequence sequence(s.heads, s.kv_heads, s.headdim, precision, s.tokens);
      const auto whole = sequence.read(0, s.tokens);
      for (const std::size_t piece : std::vector<std::size_t>{1, 2, 3, 4, 5, 13, 255, 256, 257}) {
        if (tests::kQuick && piece != 3 && piece != 13 && piece != 256) continue;
        CAPTURE(piece);
        std::fill_n(sequence.cache(), sequence.layout.bytes(), std::byte{0});
        std::vector<float> pieces;
        for (std::size_t t = 0; t < s.tokens; t += piece) {
          // With room to work on the blocks apart, and without.
          const std::size_t count = std::min(piece, s.tokens - t);
          mamba2::SerialExecutor executor;
          const auto some = sequence.read(t, count, executor, t / piece % 2 == 0 ? 64 : 0);
          pieces.insert(pieces.end(), some.begin(), some.end());
        }
        CHECK(pieces == whole);
      }
    }
  }
}

TEST_CASE("any number of threads gives the same bits") {
  AttentionSequence sequence(6, 2, 40, KvPrecision::fp16, 1100);
  const auto whole = sequence.read(0, 1000);
  const auto more = sequence.read(1000, 97);
  const auto few = sequence.read(1097, 2);
  const auto one = sequence.read(1099, 1);
  for (std::size_t threads = tests::kQuick ? 3 : 1; threads <= 4;
       threads += tests::kQuick ? 2 : 1) {
    const auto pool = mamba2::ThreadPool::create({.threads = threads}).value();
    for (const std::size_t spare : tests::all_or_last({0, 64, 3})) {
      CAPTURE(threads);
      CAPTURE(spare);
      CHECK(sequence.read(0, 1000, *pool, spare) == whole);
      CHECK(sequence.read(1000, 97, *pool, spare) == more);
      CHECK(sequence.read(1097, 2, *pool, spare) == few);
      CHECK(sequence.read(1099, 1, *pool, spare) == one);
    }
  }
}

TEST_CASE("sequences beside each other give the bits that each has alone") {
  struct Reads {
    KvPrecision precision;
    std::size_t before, count, context;
  };
  const std::vector<Reads> reads = {
      {KvPrecision::fp16, 700, 1, 1000}, {KvPrecision::int8, 0, 9, 9},
      {KvPrecision::fp32, 255, 2, 300},  {KvPrecision::fp16, 5, 1, 6},
      {KvPrecision::fp16, 600, 1, 601},  {KvPrecision::fp16, 0, 40, 64}};
  for (const std::size_t spare : std::vector<std::size_t>{0, 4, 64}) {
    std::vector<AttentionSequence> sequences;
    std::vector<AttentionPart> parts;
    std::vector<std::vector<float>> alone;
    std::size_t count = 0;
    for (const Reads& r : reads) {
      sequences.emplace_back(6, 2, 40, r.precision, r.before + r.count, r.context);
      if (r.before > 0) (void)sequences.back().read(0, r.before);
      alone.push_back(sequences.back().read(r.before, r.count));
      parts.push_back({nullptr, sequences.back().layout, r.before, count, r.count});
      count += r.count;
    }
    const std::size_t width = sequences[0].width();
    std::vector<float> queries(count * width);
    for (std::size_t i = 0; i < parts.size(); ++i) {
      parts[i].cache = sequences[i].cache();
      for (std::size_t t = 0; t < parts[i].count; ++t) {
        sequences[i].prepare(parts[i], t, queries.data());
      }
    }
    const auto pool = mamba2::ThreadPool::create({.threads = 3}).value();
    const auto out = sequences[0].run(parts, queries, *pool, count, spare);
    for (std::size_t i = 0; i < parts.size(); ++i) {
      CAPTURE(i);
      CAPTURE(spare);
      const auto first = out.begin() + static_cast<std::ptrdiff_t>(parts[i].first * width);
      CHECK(std::vector<float>(first, first + static_cast<std::ptrdiff_t>(alone[i].size())) ==
            alone[i]);
    }
  }
}

TEST_CASE("huge and tiny scores, and infinite ones, give finite results") {
  // One query per case, all keys but those of `special` tokens zero.
  const auto attend = []<class Kernels>(Kernels, float query, float key, float special,
                                        std::size_t at) {
    AttentionSequence s(1, 1, 16, KvPrecision::fp32, 300);
    std::ranges::fill(s.q, query);
    std::ranges::fill(s.k, key);
    for (std::size_t c = 0; c < 16; ++c) s.k[at * 16 + c] = special;
    std::ranges::fill(s.v, 1.0F);
    for (std::size_t c = 0; c < 16; ++c) s.v[at * 16 + c] = 2.0F;
    auto out = s.read<Kernels>(0, 300);
    const std::vector<float> last(out.end() - 16, out.end());
    for (const float y : out) CHECK(std::isfinite(y));
    for (const float y : last) CHECK(y == last[0]);
    return last[0];
  };
  const auto check = [&](auto kernels) {
    // All alike: the mean of 299 ones and a two.
    const double mean = 301.0 / 300.0;
    for (const float key : {0.0F, 1e4F, -1e4F, 1e18F, -1e18F, 1e38F, -1e38F}) {
      CAPTURE(key);
      for (const float query : {1.0F, -1.0F, 1e18F}) {
        CHECK(static_cast<double>(attend(kernels, query, key, key, 7)) ==
              doctest::Approx(mean).epsilon(1e-6));
      }
    }
    // One far above all others, and one far below, in the last block and in the one before.
    for (const std::size_t at : std::vector<std::size_t>{7, 299}) {
      CHECK(attend(kernels, 1.0F, -1e4F, 1e4F, at) == 2.0F);
      CHECK(attend(kernels, 1.0F, -1e30F, 0.0F, at) == 2.0F);
      CHECK(attend(kernels, 1.0F, 0.0F, 1e30F, at) == 2.0F);
      CHECK(attend(kernels, 1e20F, 0.0F, 1e30F, at) == 2.0F);
      CHECK(attend(kernels, 1e20F, -1e30F, 0.0F, at) == 2.0F);
      CHECK(attend(kernels, 1.0F, 0.0F, -1e30F, at) == 1.0F);
      CHECK(attend(kernels, 1e20F, 0.0F, -1e30F, at) == 1.0F);
    }
  };
  check(NativeAttention());
  check(ScalarAttention());
}

TEST_CASE("a NaN stays one, in the rows that see it and in no other") {
  constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
  constexpr std::size_t kTokens = 270;
  constexpr std::size_t kWidth = 2 * 24;
  for (const KvPrecision precision : tests::kPrecisions) {
    for (const std::size_t at : std::vector<std::size_t>{258, 3}) {
      if (tests::kQuick && at == 3) continue;
      CAPTURE(static_cast<int>(precision));
      CAPTURE(at);
      AttentionSequence clean(2, 1, 24, precision, kTokens);
      AttentionSequence key = clean;
      AttentionSequence value = clean;
      AttentionSequence query = clean;
      key.k[at * 24 + 5] = kNaN;
      value.v[at * 24 + 5] = kNaN;
      query.q[at * kWidth + 5] = kNaN;
      const auto good = clean.read(0, kTokens);
      // Token by token, as tokens that are read together share what they may see.
      std::vector<float> of_key;
      std::vector<float> of_value;
      for (std::size_t t = 0; t < kTokens; ++t) {
        for (const float y : key.read(t, 1)) of_key.push_back(y);
        for (const float y : value.read(t, 1)) of_value.push_back(y);
      }
      const auto of_query = query.read(0, kTokens);
      for (std::size_t i = 0; i < good.size(); ++i) {
        const std::size_t t = i / kWidth;
        REQUIRE(std::isnan(of_key[i]) == (t >= at));
        // Of INT8 values it is the scale that is NaN.
        const bool all = precision == KvPrecision::int8;
        REQUIRE(std::isnan(of_value[i]) == (t >= at && (all || i % 24 == 5)));
        REQUIRE(std::isnan(of_query[i]) == (t == at && i % kWidth < 24));
        if (!std::isnan(of_query[i])) REQUIRE(of_query[i] == good[i]);
        if (t < at) REQUIRE((of_key[i] == good[i] && of_value[i] == good[i]));
      }
    }
  }
}
