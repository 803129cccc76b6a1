// SPDX-License-Identifier: Apache-2.0
// State files that another machine has saved: a CPU with AVX-512, which read the tokens below with
// tests/golden/gguf/toy.gguf and called StateFile(session).save().
#include <doctest/doctest.h>

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include "mamba2/linear/mixed.hpp"
#include "mamba2/sequence/state_file.hpp"
#include "tests/model_helpers.hpp"
#include "tests/reference/compare.hpp"

using mamba2::Token;

namespace {

constexpr Token kTokens = 500;

Token token_at(Token i) { return i * 7 % 520; }

/// The largest difference between logits after the saved state and after the same tokens read here,
/// in standard deviations of the logits.
template <class WeightT>
double difference_elsewhere() {
  const std::string golden = MAMBA2_SOURCE_DIR "/tests/golden/";
  const auto model = mamba2::Mamba2Model<WeightT>::load(golden + "gguf/toy.gguf").value();
  auto here = model.session().value();
  for (Token i = 0; i < kTokens; ++i) here.decode(token_at(i)).value();
  auto saved = model.session().value();
  const std::string file = golden + "state/toy-" + std::string(WeightT::name) + ".state";
  mamba2::StateFile(saved).load(file).value();
  CHECK(saved.state().tokens() == here.state().tokens());
  double worst = 0.0;
  const auto compare = [&worst](std::span<const float> found, std::span<const float> logits) {
    const std::vector<double> expected(logits.begin(), logits.end());
    worst = std::max(worst, reference::max_abs_difference(found, expected) /
                                reference::standard_deviation(expected));
  };
  compare(saved.logits(), here.logits());
  for (Token i = 0; i < 20; ++i) {
    const auto found = saved.decode(token_at(i)).value();
    compare(found, here.decode(token_at(i)).value());
  }
  MESSAGE(std::string(WeightT::name), ": ", worst, " standard deviations of the logits");
  return worst;
}

}  // namespace

TEST_CASE("a state that was saved on another instruction set goes on here") {
  CHECK(difference_elsewhere<mamba2::Fp32>() < 1e-5);
  CHECK(difference_elsewhere<mamba2::Mixed>() < 1e-5);
}
