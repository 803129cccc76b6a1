// SPDX-License-Identifier: Apache-2.0
// BitMamba-2, against logits of a float64 reference that two engines of others agree with.
#include <doctest/doctest.h>

#include <cstddef>
#include <string>
#include <vector>

#include "mamba2/linear/floats.hpp"
#include "mamba2/linear/int8.hpp"
#include "mamba2/linear/ternary.hpp"
#include "mamba2/model/model.hpp"
#include "tests/bitmamba_models.hpp"
#include "tests/hybrid_models.hpp"
#if defined(MAMBA2_SEPARATE)
#include "tools/models.hpp"
#endif

using tests::bitmamba_golden;
using tests::BitMambaGolden;
using tests::logits_in_pieces;

namespace {

std::vector<float> logits_of(const BitMambaGolden& golden, const mamba2::Plan& plan,
                             const std::vector<std::size_t>& pieces, std::size_t threads = 1) {
  const auto model = mamba2::AnyModel::load(golden.file, plan).value();
  auto session = model.session({.workers = {.threads = threads}}).value();
  return logits_in_pieces(session, golden.tokens, pieces);
}

}  // namespace

TEST_CASE("BitMamba-2 gives the golden logits") {
  for (const std::string name : tests::kBitMambaGoldens) {
    CAPTURE(name);
    const BitMambaGolden golden = bitmamba_golden(name);
    for (const std::vector<std::size_t>& pieces :
         {std::vector<std::size_t>{1000}, {1}, {5, 1, 1, 7}}) {
      for (const std::size_t threads : {1U, 3U}) {
        const auto fp32 = logits_of(golden, mamba2::kPlan<mamba2::Fp32>, pieces, threads);
        CHECK(reference::max_abs_difference(fp32, golden.logits) < 1e-5);
      }
    }
  }
}

TEST_CASE("INT8 has ternary weights and rounded inputs as they are") {
  for (const std::string name : tests::kBitMambaGoldens) {
    CAPTURE(name);
    const BitMambaGolden golden = bitmamba_golden(name);
    const auto int8 = logits_of(golden, mamba2::kPlan<mamba2::Int8>, {1000});
    CHECK(reference::max_abs_difference(int8, golden.logits) < 1e-5);
  }
}

TEST_CASE("Ternary weights of 2 bits give the golden logits") {
  for (const std::string name : tests::kBitMambaGoldens) {
    CAPTURE(name);
    const BitMambaGolden golden = bitmamba_golden(name);
    const mamba2::Plan& plan = mamba2::kPlan<mamba2::Ternary>;
    const auto whole = logits_of(golden, plan, {1000});
    CHECK(reference::max_abs_difference(whole, golden.logits) < 1e-5);
    CHECK(reference::max_abs_difference(logits_of(golden, plan, {5, 1, 1, 7}), golden.logits) <
          1e-5);
    CHECK(logits_of(golden, plan, {1000}, 3) == whole);
    CHECK(logits_of(golden, mamba2::kPlan<mamba2::Mixed>, {1000}) == whole);
    const auto weights = mamba2::AnyModel::load(golden.file, plan).value().weight_bytes();
    CHECK(weights <
          mamba2::AnyModel::load(golden.file, mamba2::kPlan<mamba2::Int8>).value().weight_bytes());
  }
}
