// SPDX-License-Identifier: Apache-2.0
// The oracle against transformers' Mamba2ForCausalLM, on the checkpoints of
// tools/make_golden.py.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/reference/checkpoint.hpp"
#include "tests/reference/compare.hpp"
#include "tests/reference/mamba2_reference.hpp"
#include "tests/reference/safetensors_lite.hpp"

namespace {

using namespace reference;

std::vector<std::string> variant_directories() {
  std::vector<std::string> found;
  std::error_code failed;
  for (const auto& entry : std::filesystem::directory_iterator(
           MAMBA2_SOURCE_DIR "/tests/golden/transformers", failed)) {
    if (entry.is_directory()) found.push_back(entry.path().string());
  }
  std::sort(found.begin(), found.end());
  return found;
}

TEST_CASE("transformers: the oracle agrees on every checkpoint") {
  const std::vector<std::string> directories = variant_directories();
  REQUIRE(directories.size() > 0);
  std::size_t with_groups[2] = {};  // of transformers that norms each group, and of older ones
  for (const std::string& directory : directories) {
    CAPTURE(directory);
    const Model model = load_huggingface(directory).value();
    const Config& config = model.config;
    REQUIRE(config.validate());
    const Safetensors expected = load_safetensors(directory + "/expected.safetensors").value();
    std::vector<Token> ids;
    for (const double id : to_double(expected.tensors.at("input_ids"))) {
      ids.push_back(static_cast<Token>(id));
    }
    const std::vector<double> float64 = to_double(expected.tensors.at("logits_float64"));
    const std::vector<double> float32 = to_double(expected.tensors.at("logits_float32"));
    CHECK(max_abs(float64) > 1.0);

    // Before 5.23 transformers computes one gated norm over all groups: a mistake, repeated here on
    // demand, so that everything else can be compared.
    const Options theirs{.ungrouped_norm = model.norms_all_groups};
    const std::vector<double> logits = forward(config, model.weights, ids, theirs);
    CHECK(max_abs_difference(logits, float64) < 1e-11);
    CHECK(max_abs_difference(logits, float32) < 1e-4);
    if (config.ngroups > 1) {
      ++with_groups[model.norms_all_groups ? 1 : 0];
      const Options other{.ungrouped_norm = !model.norms_all_groups};
      CHECK(max_abs_difference(forward(config, model.weights, ids, other), float64) > 0.05);
    }
  }
  CHECK(with_groups[0] > 0);
  CHECK(with_groups[1] > 0);
}

}  // namespace
