// SPDX-License-Identifier: Apache-2.0
#include "mamba2/kernels/rope.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "tests/reference/attention_reference.hpp"
#include "tests/reference/compare.hpp"
#include "tests/reference/random_weights.hpp"

using reference::max_abs_difference;

TEST_CASE("sine and cosine of parts of a turn are right to 1e-11") {
  reference::Random random(1);
  double worst = 0.0;
  for (int i = 0; i < 20000; ++i) {
    // Random angles, and some next to the borders of quarters.
    std::uint64_t angle = random.next();
    if (i < 64)
      angle = (static_cast<std::uint64_t>(i / 8) << 61) + static_cast<std::uint64_t>(i % 8) - 4;
    const long double radians =
        static_cast<long double>(angle) * 0x1p-63L * 3.14159265358979323846L;
    const auto found = mamba2::kernels::sine_cosine(angle);
    worst = reference::worse(worst, std::abs(found.sine - static_cast<double>(std::sin(radians))));
    worst =
        reference::worse(worst, std::abs(found.cosine - static_cast<double>(std::cos(radians))));
  }
  MESSAGE("largest error: ", worst);
  CHECK(worst < 1e-11);
}

TEST_CASE("turns are right to FP32 rounding, at any position and for any base") {
  // Half a unit in the last place of what is below 1, and a little for the double that is rounded.
  constexpr double kBound = 0x1p-25 + 2e-11;
  double worst = 0.0;
  for (const double base : {1.5, 10000.0, 1e6, 1e11}) {
    for (const std::size_t rot : std::vector<std::size_t>{2, 6, 64, 128}) {
      std::vector<std::uint64_t> steps(rot / 2);
      mamba2::kernels::rope_steps(base, rot, steps.data());
      for (const std::uint64_t position :
           std::vector<std::uint64_t>{0, 1, 2, 3, 255, 4096, 65537, 131071, 999983, 1000000}) {
        std::vector<float> turns(rot);
        mamba2::kernels::rope_turns(steps.data(), rot / 2, position, turns.data());
        for (std::size_t i = 0; i < rot / 2; ++i) {
          // cos, sin in the places of 1, 0.
          std::vector<double> x(rot);
          x[i] = 1.0;
          reference::rotary_embedding(x, rot, base, static_cast<double>(position));
          worst = reference::worse(worst, std::abs(static_cast<double>(turns[i]) - x[i]));
          worst = reference::worse(
              worst, std::abs(static_cast<double>(turns[rot / 2 + i]) - x[rot / 2 + i]));
        }
      }
    }
  }
  MESSAGE("largest error: ", worst, ", half a unit in the last place is ", 0x1p-25);
  CHECK(worst < kBound);
}

TEST_CASE("the halves of a head are turned, whole or in part, and the rest stays") {
  struct Case {
    std::size_t headdim, rot;
  };
  for (const Case c : {Case{2, 2}, Case{24, 24}, Case{20, 10}, Case{64, 64}, Case{80, 32},
                       Case{128, 64}, Case{160, 160}, Case{224, 112}}) {
    for (const std::uint64_t position : std::vector<std::uint64_t>{0, 1, 77, 123456}) {
      CAPTURE(c.headdim);
      CAPTURE(c.rot);
      CAPTURE(position);
      reference::Random random(c.headdim + position);
      const auto x = reference::to_float(random.normals(c.headdim + 1, 0.0, 1.0));
      std::vector<std::uint64_t> steps(c.rot / 2);
      mamba2::kernels::rope_steps(10000.0, c.rot, steps.data());
      std::vector<float> turns(c.rot);
      mamba2::kernels::rope_turns(steps.data(), c.rot / 2, position, turns.data());
      auto found = x;
      mamba2::kernels::rope(turns.data(), c.rot / 2, found.data());
      auto expected = reference::to_double(x);
      reference::rotary_embedding(expected, c.rot, 10000.0, static_cast<double>(position));
      CHECK(max_abs_difference(found, expected) < 6e-7);  // three roundings of up to 4
      for (std::size_t i = c.rot; i < x.size(); ++i) CHECK(found[i] == x[i]);
      if (position == 0) CHECK(found == x);
    }
  }
}

TEST_CASE("products of turned queries and keys depend on how far apart they are alone") {
  constexpr std::size_t kRot = 64;
  reference::Random random(3);
  const auto q = reference::to_float(random.normals(kRot, 0.0, 1.0));
  const auto k = reference::to_float(random.normals(kRot, 0.0, 1.0));
  std::vector<std::uint64_t> steps(kRot / 2);
  mamba2::kernels::rope_steps(10000.0, kRot, steps.data());
  const auto product = [&](std::uint64_t q_position, std::uint64_t k_position) {
    std::vector<float> turns(kRot);
    auto a = q;
    auto b = k;
    mamba2::kernels::rope_turns(steps.data(), kRot / 2, q_position, turns.data());
    mamba2::kernels::rope(turns.data(), kRot / 2, a.data());
    mamba2::kernels::rope_turns(steps.data(), kRot / 2, k_position, turns.data());
    mamba2::kernels::rope(turns.data(), kRot / 2, b.data());
    double sum = 0.0;
    for (std::size_t i = 0; i < kRot; ++i) sum += double{a[i]} * double{b[i]};
    return sum;
  };
  CHECK(product(1000100, 1000000) == doctest::Approx(product(100, 0)).epsilon(1e-5));
  CHECK(std::abs(product(101, 0) - product(100, 0)) > 0.1);
}
