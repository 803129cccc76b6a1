// SPDX-License-Identifier: Apache-2.0
// Golden files of one mixer of the original implementation: tensors, input and output.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "mamba2/layers/config.hpp"
#include "tests/reference/checkpoint.hpp"
#include "tests/reference/mamba2_reference.hpp"
#include "tests/reference/safetensors_lite.hpp"

namespace reference {

/// One mixer of the original implementation, run on a GPU in TF32.
struct OfficialBlock {
  Config config;         ///< n_layer 1; no embedding, no block norm, no head
  BlockWeights weights;  ///< `norm` is empty
  std::size_t batch = 0;
  std::size_t length = 0;
  std::vector<double> input;   ///< (batch, length, d_model)
  std::vector<double> output;  ///< (batch, length, d_model)
};

/// Reads one of tests/golden/official_block_*.safetensors. All are made with d_model 128,
/// d_state 32, headdim 32; the metadata names the arguments that are not the defaults.
inline Result<OfficialBlock> load_official_block(const std::string& path) {
  const Result<Safetensors> loaded = load_safetensors(path);
  if (!loaded) return loaded.error();
  const Safetensors& file = *loaded;

  OfficialBlock block;
  Config& config = block.config;
  config.d_model = 128;
  config.n_layer = config.vocab_size = 1;
  config.d_inner = config.d_ssm = 256;
  config.headdim = 32;
  config.d_state = 32;
  for (const auto& [key, value] : file.metadata) {
    if (key == "ngroups" && value == "2") {
      config.ngroups = 2;
    } else if (key == "d_ssm" && value == "128") {
      config.d_ssm = 128;
    } else if (key == "norm_before_gate" && value == "True") {
      config.norm_before_gate = true;
    } else if (key == "rmsnorm" && value == "False") {
      config.rmsnorm = false;
    } else if (key == "bias" && value == "True") {
      config.bias = true;
    } else if (key == "conv_bias" && value == "False") {
      config.conv_bias = false;
    } else if (key == "dt_limit" && value == "(0.01, 0.1)") {
      config.dt_min = 0.01F;
      config.dt_max = 0.1F;
    } else {
      return Error{ErrorCode::unsupported, path + ": argument " + key + " = " + value};
    }
  }

  Result<void> outcome;
  std::size_t used = 2;
  for_each_mixer_tensor(config, block.weights,
                        [&](const std::string& name, std::vector<double>& v, const Shape& shape) {
                          if (outcome) outcome = take_tensor(file, "param." + name, shape, v);
                          ++used;
                        });
  const auto input = file.tensors.find("input");
  if (!outcome) return outcome.error();
  if (input == file.tensors.end() || input->second.shape.size() != 3 ||
      used != file.tensors.size()) {
    return Error{ErrorCode::mismatch, path + ": other tensors than expected"};
  }
  block.batch = input->second.shape[0];
  block.length = input->second.shape[1];
  outcome = take_tensor(file, "input", {block.batch, block.length, config.d_model}, block.input);
  if (!outcome) return outcome.error();
  outcome = take_tensor(file, "output", input->second.shape, block.output);
  if (!outcome) return outcome.error();
  return block;
}

}  // namespace reference
