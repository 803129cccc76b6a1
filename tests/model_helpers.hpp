// SPDX-License-Identifier: Apache-2.0
// Real models of the library from the oracle's weights.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "mamba2/linear/floats.hpp"
#include "mamba2/model/model.hpp"
#include "tests/reference/checkpoint.hpp"
#include "tools/models.hpp"

namespace tests {

/// Calls use(checkpoint) with a checkpoint in memory; the oracle's weights rounded to float.
template <class Use>
auto with_checkpoint(const mamba2::Config& config, const reference::Weights& weights, Use use) {
  const auto [json, file] = reference::to_checkpoint(config, weights);
  const std::span<const std::byte> shard = std::as_bytes(std::span(file));
  return use(mamba2::Checkpoint::from_bytes(json, std::span(&shard, 1)));
}

template <class WeightT = mamba2::Fp32>
mamba2::Result<mamba2::Mamba2Model<WeightT>> try_load(const mamba2::Config& config,
                                                      const reference::Weights& weights) {
  using Loaded = mamba2::Result<mamba2::Mamba2Model<WeightT>>;
  return with_checkpoint(config, weights, [](const auto& checkpoint) -> Loaded {
    if (!checkpoint) return checkpoint.error();
    return mamba2::Mamba2Model<WeightT>::load(*checkpoint);
  });
}

template <class WeightT = mamba2::Fp32>
mamba2::Mamba2Model<WeightT> load(const mamba2::Config& config, const reference::Weights& weights) {
  return try_load<WeightT>(config, weights).value();
}

/// The logits after every token: (tokens, vocab_size).
inline std::vector<float> all_logits(mamba2::AnySession& session,
                                     std::span<const mamba2::Token> tokens) {
  std::vector<float> logits(tokens.size() * session.config().vocab_size);
  session.prefill(tokens, logits).value();
  return logits;
}

}  // namespace tests
