// SPDX-License-Identifier: Apache-2.0
// Files of BitMamba-2 for tests.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "mamba2/layers/config.hpp"
#include "tests/reference/compare.hpp"
#include "tests/reference/safetensors_lite.hpp"

namespace tests {

inline constexpr const char* kBitMambaGoldens[] = {"d64", "d96"};

/// The path of a file, the tokens of a prompt and the right logits after each: (tokens,
/// vocab_size).
struct BitMambaGolden {
  std::string file;
  std::vector<mamba2::Token> tokens;
  std::vector<double> logits;
};

inline BitMambaGolden bitmamba_golden(const std::string& name) {
  const std::string folder = MAMBA2_SOURCE_DIR "/tests/golden/bitmamba/" + name + "/";
  BitMambaGolden golden{folder + "model.bin", {}, {}};
  const auto expected = reference::load_safetensors(folder + "expected.safetensors").value();
  for (const double id : reference::to_double(expected.tensors.at("ids"))) {
    golden.tokens.push_back(static_cast<mamba2::Token>(id));
  }
  golden.logits = reference::to_double(expected.tensors.at("logits"));
  return golden;
}

}  // namespace tests
