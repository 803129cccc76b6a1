// SPDX-License-Identifier: Apache-2.0
// arm-decode MODEL WEIGHTS STATE TOKENS: random weights in a published shape read so many tokens.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mamba2/mamba2.hpp>
#include <utility>

#include "bench/random_weights.hpp"
#include "tools/shapes.hpp"

namespace {

template <class W>
int decode(const mamba2::Config& config, mamba2::StatePrecision state, int tokens) {
  auto weights = bench::random_weights(config, mamba2::kPlan<W>);
  if (!weights) return 1;
  const auto model = mamba2::AnyModel::from_weights(*std::move(weights));
  auto session = model.session({.state = state, .workers = {.threads = 1}});
  if (!session) return 1;
  for (mamba2::Token token = 0; token < tokens; ++token) {
    if (!session->decode(token)) return 1;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  const mamba2::Config config = cli::config_of_shape(argv[1]);
  const auto state = std::strcmp(argv[3], "fp16") == 0 ? mamba2::StatePrecision::fp16
                                                       : mamba2::StatePrecision::fp32;
  const int tokens = std::atoi(argv[4]);
  if (std::strcmp(argv[2], "fp32") == 0) return decode<mamba2::Fp32>(config, state, tokens);
  if (std::strcmp(argv[2], "fp16") == 0) return decode<mamba2::Fp16>(config, state, tokens);
  if (std::strcmp(argv[2], "bf16") == 0) return decode<mamba2::Bf16>(config, state, tokens);
  if (std::strcmp(argv[2], "int8") == 0) return decode<mamba2::Int8>(config, state, tokens);
  if (std::strcmp(argv[2], "int4") == 0) return decode<mamba2::Int4>(config, state, tokens);
  return 2;
}
