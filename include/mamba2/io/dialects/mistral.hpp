// SPDX-License-Identifier: Apache-2.0
// Pure Mamba-2, as Mistral published it: params.json.
#pragma once

#include <cstddef>

#include "mamba2/io/config_keys.hpp"
#include "mamba2/io/dialects/dialect.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// Mistral's params.json: the original module at its defaults, but for the number of groups.
[[nodiscard]] inline Config read_mistral(JsonFields& fields) {
  refuse_other_models(fields, "mamba");
  refuse_other_blocks(fields);
  fields.require({"vocab_size", "n_groups", "pad_vocab_size_multiple", "tie_embeddings"});
  Config config;
  config.d_model = fields.integer("dim", 4096);
  config.n_layer = fields.integer("n_layers", 64);
  config.vocab_size = read_padded_vocab(fields);
  config.d_inner = 2 * config.d_model;
  config.d_ssm = config.d_inner;
  config.ngroups = fields.integer("n_groups", 8);
  config.tie_embeddings = fields.flag("tie_embeddings", false);
  config.eos_token_ids = read_eos(fields, config.vocab_size, 2);
  return config;
}

}  // namespace detail

inline constexpr Dialect kMistral = {"mistral", "Mamba-2",
                                     [](const detail::JsonFields& c) {
                                       return c.find("hidden_size") == nullptr &&
                                              c.find("dim") != nullptr &&
                                              c.find("n_layers") != nullptr;
                                     },
                                     detail::read_mistral, "tie_embeddings"};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
