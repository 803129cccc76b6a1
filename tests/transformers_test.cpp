// SPDX-License-Identifier: Apache-2.0
// Checkpoints that transformers has written, loaded as a user would, against its own logits.
#include <doctest/doctest.h>

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "mamba2/linear/floats.hpp"
#include "mamba2/model/model.hpp"
#include "tests/model_helpers.hpp"
#include "tests/reference/checkpoint.hpp"
#include "tests/reference/compare.hpp"

using mamba2::Token;

TEST_CASE("checkpoints of transformers give its logits") {
  int variants = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(MAMBA2_SOURCE_DIR "/tests/golden/transformers")) {
    const std::string directory = entry.path().string();
    CAPTURE(directory);
    const auto model = mamba2::Mamba2Model<mamba2::Fp32>::load(directory).value();
    const auto golden = reference::load_safetensors(directory + "/expected.safetensors").value();
    std::vector<Token> ids;
    for (const double id : reference::to_double(golden.tensors.at("input_ids"))) {
      ids.push_back(static_cast<Token>(id));
    }
    auto session = model.session().value();
    const auto logits = tests::all_logits(session, ids);
    const auto theirs = reference::to_double(golden.tensors.at("logits_float64"));
    double scale = reference::max_abs(theirs);
    const auto oracle = reference::load_huggingface(directory).value();
    if (model.config().ngroups == 1 || !oracle.norms_all_groups) {
      const double difference = reference::max_abs_difference(logits, theirs);
      MESSAGE(entry.path().filename().string(), ": largest difference ", difference);
      CHECK(difference < 1e-5 * scale);
    } else {
      // Before 5.23 transformers takes one gated norm over all groups; the original, and we, one
      // for each.
      CHECK(reference::max_abs_difference(logits, theirs) > 0.05);
      const auto expected = reference::forward(oracle.config, oracle.weights, ids);
      scale = reference::max_abs(expected);
      CHECK(reference::max_abs_difference(logits, expected) < 1e-5 * scale);
    }
    ++variants;
  }
  CHECK(variants == 9);
}
