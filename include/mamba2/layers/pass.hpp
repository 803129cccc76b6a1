// SPDX-License-Identifier: Apache-2.0
// A batch of tokens on its way through the layers.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

#include "mamba2/core/arena.hpp"
#include "mamba2/core/executor.hpp"
#include "mamba2/core/views.hpp"
#include "mamba2/layers/config.hpp"
#include "mamba2/layers/state.hpp"
#include "mamba2/linear/matrix.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// Consecutive tokens of one sequence, in a batch: its rows [first, first + count).
struct Part {
  State* state;
  std::size_t first;
  std::size_t count;
};

/// What all layers read and write. A row to a token.
struct Activations {
  MutableRows residual;  ///< (tokens, d_model): the running sum that layers add to
  MutableRows u;         ///< (tokens, d_model): its norm; later what a mixer makes of it
  std::byte* input;      ///< (tokens, input_bytes): the input of a product, made ready
  std::size_t input_bytes;

  Activations(Carver& carver, const Config& c, std::size_t tokens, std::size_t bytes_per_input)
      : residual(carver.take<float>(tokens * c.d_model), tokens, c.d_model),
        u(carver.take<float>(tokens * c.d_model), tokens, c.d_model),
        input(carver.take<std::byte>(tokens * bytes_per_input)),
        input_bytes(bytes_per_input) {}

  /// The same memory for fewer tokens.
  [[nodiscard]] Activations first(std::size_t tokens) const {
    Activations part = *this;
    part.residual.rows = part.u.rows = tokens;
    return part;
  }

  [[nodiscard]] std::size_t tokens() const { return residual.rows; }
  [[nodiscard]] Inputs inputs() const { return {input, tokens(), input_bytes}; }
};

/// A batch: parts of one sequence or of several, which follow each other and cover the tokens. Each
/// is computed as if it were alone, to the bit.
struct Pass {
  const Config& config;
  const Activations& a;
  std::span<const Part> parts;
  Executor& executor;

  /// Calls body(t) for every token; for one token alone in this thread.
  template <class Body>
  void each_token(Body body) const {
    constexpr std::size_t kTokens = 4;  // to a task
    const std::size_t tokens = a.tokens();
    executor.run((tokens + kTokens - 1) / kTokens, [&](std::size_t task) {
      const std::size_t end = std::min(tokens, (task + 1) * kTokens);
      for (std::size_t t = task * kTokens; t < end; ++t) body(t);
    });
  }

  /// Makes a token's input of a product ready. x (m.cols) is rotated if m is.
  void prepare(const Matrix& m, float* x, std::size_t token) const {
    m.rotate(x);
    m.prepare(x, a.input + token * a.input_bytes);
  }
};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
