// SPDX-License-Identifier: Apache-2.0
// How much arithmetic a model needs, counted from the formulas and not from the code.
#pragma once

#include <algorithm>
#include <cstddef>
#include <mamba2/mamba2.hpp>

namespace bench {

/// Multiplications and additions, each counted, of one token.
struct Operations {
  double matrix;  ///< products with weight matrices
  double ssm;     ///< the recurrence; norms, convolution and gates do not count

  [[nodiscard]] double total() const { return matrix + ssm; }
};

namespace detail {

/// Weights in the projections of all blocks.
inline double projection_weights(const mamba2::Config& c) {
  return static_cast<double>(c.n_layer * (c.d_in_proj() + c.d_inner) * c.d_model);
}
inline double head_weights(const mamba2::Config& c) {
  return static_cast<double>(c.vocab_size * c.d_model);
}

}  // namespace detail

/// A token by itself: 5 operations for each value of the state.
inline Operations decode_operations(const mamba2::Config& c) {
  return {2.0 * (detail::projection_weights(c) + detail::head_weights(c)),
          5.0 * static_cast<double>(c.n_layer * c.d_ssm * c.d_state)};
}

/// A token's share in a prefill of `tokens` tokens: the head is computed once, and the recurrence
/// in chunks of mamba2::kernels::kChunk tokens.
inline Operations prefill_operations(const mamba2::Config& c, std::size_t tokens) {
  constexpr std::size_t kChunk = mamba2::kernels::kChunk;
  double pairs = 0.0;  // of a token and one that it sees in its chunk
  for (std::size_t done = 0; done < tokens; done += kChunk) {
    const auto length = static_cast<double>(std::min(kChunk, tokens - done));
    pairs += length * (length + 1.0) / 2.0;
  }
  const auto n = static_cast<double>(tokens);
  const auto d_ssm = static_cast<double>(c.d_ssm);
  const auto d_state = static_cast<double>(c.d_state);
  const double products = 2.0 * pairs / n * d_state * static_cast<double>(c.ngroups);  // C . B
  const double inside = 2.0 * pairs / n * d_ssm;
  const double across = 2.0 * d_ssm * d_state + 2.0 * d_ssm * d_state;  // from and to the state
  return {2.0 * (detail::projection_weights(c) + detail::head_weights(c) / n),
          static_cast<double>(c.n_layer) * (products + inside + across)};
}

}  // namespace bench
