// SPDX-License-Identifier: Apache-2.0
// A batch of tokens on its way through the layers.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>

#include "mamba2/core/arena.hpp"
#include "mamba2/core/executor.hpp"
#include "mamba2/core/views.hpp"
#include "mamba2/kernels/bitlinear.hpp"
#include "mamba2/kernels/rms_norm.hpp"
#include "mamba2/layers/config.hpp"
#include "mamba2/layers/state.hpp"
#include "mamba2/linear/matrix.hpp"
#include "mamba2/linear/product.hpp"

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
  /// Matrices that one input is made ready for at most, each in a way of its own.
  static constexpr std::size_t kMostInputs = 6;

  MutableRows residual;  ///< (tokens, d_model): the running sum that layers add to
  MutableRows u;         ///< (tokens, d_model): its norm; later what a mixer makes of it
  MutableRows embedded;  ///< (tokens, d_model): what the residual began with; no memory where
                         ///< there are no shared blocks, which read it
  std::byte* input;      ///< (inputs, tokens, input_bytes): the inputs of products, made ready
  std::size_t input_bytes;

  Activations(Carver& carver, const Config& c, std::size_t tokens, std::size_t bytes_per_input,
              std::size_t inputs)
      : residual(carver.take<float>(tokens * c.d_model), tokens, c.d_model),
        u(carver.take<float>(tokens * c.d_model), tokens, c.d_model),
        embedded(carver.take<float>(c.has(LayerKind::shared_block) ? tokens * c.d_model : 0),
                 c.has(LayerKind::shared_block) ? tokens : 0, c.d_model),
        input(carver.take<std::byte>(inputs * tokens * bytes_per_input)),
        input_bytes(bytes_per_input) {}

  /// The same memory for fewer tokens.
  [[nodiscard]] Activations first(std::size_t tokens) const {
    Activations part = *this;
    part.residual.rows = part.u.rows = tokens;
    part.embedded.rows = std::min(embedded.rows, tokens);
    return part;
  }

  [[nodiscard]] std::size_t tokens() const { return residual.rows; }
  /// The index'th inputs of all tokens.
  [[nodiscard]] Inputs inputs(std::size_t index = 0) const {
    return {input + index * tokens() * input_bytes, tokens(), input_bytes};
  }
};

/// Which of some matrices that read one input share it, made ready: the number of the input for
/// each, in the order of the matrices.
template <std::size_t kMatrices>
struct SharedInputs {
  static_assert(kMatrices <= Activations::kMostInputs);
  std::array<std::size_t, kMatrices> number{};
  std::size_t count = 0;

  explicit SharedInputs(const std::array<const Matrix*, kMatrices>& matrices) {
    for (std::size_t i = 0; i < kMatrices; ++i) {
      std::size_t same = 0;
      while (matrices[same]->format->prepare != matrices[i]->format->prepare) ++same;
      number[i] = same < i ? number[same] : count++;
    }
  }
};

/// y += bias, for y's columns from the first'th row of the matrix on; nullptr: none.
inline void add_bias(const float* bias, MutableRows y, std::size_t first) {
  if (bias == nullptr) return;
  for (std::size_t t = 0; t < y.rows; ++t) kernels::add(bias + first, y.cols, y[t]);
}

inline void multiply_by(float factor, MutableRows y) {
  if (factor == 1.0F) return;
  for (std::size_t t = 0; t < y.rows; ++t) kernels::times(factor, y[t], y.cols);
}

/// y = out * (in * y + bias), as add_bias().
inline void add_bias(const float* bias, MutableRows y, std::size_t first, float in, float out) {
  if (bias == nullptr) return multiply_by(in * out, y);
  multiply_by(in, y);
  add_bias(bias, y, first);
  multiply_by(out, y);
}

/// Makes an input x (m.cols) of a product ready: rounds it where the model does that, and rotates
/// it if m is.
inline void make_ready(const Config& c, const Matrix& m, float* x, std::byte* to) {
  if (c.bitlinear && !m.format->is_bitlinear) kernels::round_as_bitlinear(x, m.cols);
  m.rotate(x);
  m.prepare(x, to);
}

/// A batch: parts of one sequence or of several, which follow each other and cover the tokens. Each
/// is computed as if it were alone, to the bit.
struct Pass {
  const Config& config;
  const Activations& a;
  std::span<const Part> parts;
  /// The same tokens again, for products: in those of floating point the order of sums depends on
  /// how many there are. A part whose tokens get the bits that each gets by itself is cut into
  /// them.
  std::span<const Part> equals;
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

  /// Makes a token's input of a product ready, as the index'th. x (m.cols) is changed.
  void prepare(const Matrix& m, float* x, std::size_t token, std::size_t index = 0) const {
    make_ready(config, m, x, a.input + (index * a.tokens() + token) * a.input_bytes);
  }
  /// The same for matrices that share x and are not rotated, in models without bitlinear.
  template <std::size_t kMatrices>
  void prepare(const std::array<const Matrix*, kMatrices>& matrices, const float* x,
               std::size_t token) const {
    const SharedInputs<kMatrices> shared(matrices);
    std::size_t done = 0;
    for (std::size_t i = 0; i < kMatrices; ++i) {
      if (shared.number[i] < done) continue;
      matrices[i]->prepare(x, a.input + (done++ * a.tokens() + token) * a.input_bytes);
    }
  }
  /// A mixer's last product: u = m x + bias of the first inputs; then(first, count, factor) for its
  /// columns [first, first + count) as soon as all tokens have them. factor: of the mixer's output.
  template <class Then>
  void multiply_out(const Matrix& m, const float* bias, Then then, float factor = 1.0F) const {
    multiply(executor, m, equals, a.inputs(), a.u, [&](std::size_t first, std::size_t count) {
      add_bias(bias, a.u.columns(first, count), first);
      then(first, count, factor);
    });
  }
  /// The product of a matrix with the index'th inputs.
  [[nodiscard]] Product product(const Matrix& m, MutableRows y, std::size_t index = 0) const {
    return {m, a.inputs(index), y};
  }
};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
