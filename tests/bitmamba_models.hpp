// SPDX-License-Identifier: Apache-2.0
// Models of BitMamba-2 for tests: the goldens, and random ones with the oracle beside them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "mamba2/io/checkpoint.hpp"
#include "mamba2/layers/config.hpp"
#include "mamba2/model/model.hpp"
#include "tests/reference/bitmamba.hpp"
#include "tests/reference/compare.hpp"
#include "tests/reference/safetensors_lite.hpp"

namespace tests {

inline constexpr const char* kBitMambaGoldens[] = {"d64", "d96"};

/// A file, the tokens of a prompt and the right logits after each: (tokens, vocab_size).
struct BitMambaModel {
  std::string file;
  std::vector<mamba2::Token> tokens;
  std::vector<double> logits;

  /// It lasts no longer than this.
  [[nodiscard]] mamba2::Result<mamba2::Checkpoint> open() const {
    return mamba2::Checkpoint::from_bitmamba(std::as_bytes(std::span(file)), "model.bin");
  }
  [[nodiscard]] mamba2::AnyModel load(const mamba2::Plan& plan) const {
    return mamba2::AnyModel::load(open().value(), plan, {.workers = {.threads = 1}}).value();
  }
};

[[nodiscard]] inline std::string bitmamba_folder(const std::string& name) {
  return MAMBA2_SOURCE_DIR "/tests/golden/bitmamba/" + name;
}

inline BitMambaModel bitmamba_golden(const std::string& name) {
  const std::string folder = bitmamba_folder(name);
  BitMambaModel golden{reference::read_file(folder + "/model.bin").value(), {}, {}};
  const auto expected = reference::load_safetensors(folder + "/expected.safetensors").value();
  for (const double id : reference::to_double(expected.tensors.at("ids"))) {
    golden.tokens.push_back(static_cast<mamba2::Token>(id));
  }
  golden.logits = reference::to_double(expected.tensors.at("logits"));
  return golden;
}

/// Random models of odd sizes, none of whose inputs is so near to where rounding turns that floats
/// may differ.
inline std::vector<BitMambaModel> random_bitmambas() {
  struct Sizes {
    std::size_t vocab_size, d_model, layers, nheads;
  };
  constexpr double kMargin = 5e-5;
  std::vector<BitMambaModel> models;
  for (const Sizes& s : {Sizes{7, 4, 1, 1}, Sizes{33, 20, 3, 8}, Sizes{50, 36, 2, 72},
                         Sizes{19, 12, 2, 3}, Sizes{300, 68, 1, 4}}) {
    for (std::uint64_t seed = 0; seed < 100; ++seed) {
      const auto model =
          reference::random_bitmamba(s.vocab_size, s.d_model, s.layers, s.nheads, seed);
      const auto tokens = reference::Random(seed + 100).tokens(75, s.vocab_size);
      const reference::BitMambaLogits expected = reference::forward(model, tokens);
      if (expected.margin < kMargin) continue;
      models.push_back({reference::BitMambaWriter(model).bytes, tokens, expected.logits});
      break;
    }
  }
  return models;
}

}  // namespace tests
