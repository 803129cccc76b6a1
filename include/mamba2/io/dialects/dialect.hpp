// SPDX-License-Identifier: Apache-2.0
// What a dialect is: how one writer of checkpoints says what a model is, and names its tensors.
#pragma once

#include <string_view>

#include "mamba2/io/dialects/names.hpp"
#include "mamba2/io/json_fields.hpp"
#include "mamba2/layers/config.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// A dialect: it computes nothing.
struct Dialect {
  std::string_view name;
  std::string_view family;  ///< what its models are called
  /// Whether a config.json, which is an object, is in this dialect.
  bool (*is_spoken)(const detail::JsonFields& config);
  /// The Config; what is wrong, or not supported, is refused in the fields.
  Config (*read)(detail::JsonFields& config);
  /// The key that says whether the head is the embedding.
  std::string_view tie_key = "tie_word_embeddings";
  DialectNames names = {};
};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
