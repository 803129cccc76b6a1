// SPDX-License-Identifier: Apache-2.0
// A small random model for tests of memory.
#pragma once

#include "mamba2/layers/config.hpp"

namespace tests {

/// Matrices of several panels, rotated columns, heads that are scanned in chunks, biases.
inline mamba2::Config small_config() {
  mamba2::Config c;
  c.d_model = 96;
  c.n_layer = 2;
  c.vocab_size = 300;
  c.d_inner = c.d_ssm = 192;
  c.headdim = 32;
  c.d_state = 24;
  c.ngroups = 2;
  c.bias = true;
  c.tie_embeddings = false;
  return c;
}

}  // namespace tests
