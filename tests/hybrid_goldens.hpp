// SPDX-License-Identifier: Apache-2.0
// The hybrids of tests/golden/hybrids.
#pragma once

namespace tests {

inline constexpr const char* kHybridGoldens[] = {"granite_dense",
                                                 "granite_rope",
                                                 "granite_moe",
                                                 "bamba",
                                                 "nemotron_dense",
                                                 "nemotron_moe",
                                                 "nemotron_latent",
                                                 "nemotron_small_dt",
                                                 "falcon_h1",
                                                 "falcon_h1_norm",
                                                 "lfm2",
                                                 "lfm2_moe",
                                                 "zamba2",
                                                 "mamba2attn",
                                                 "mamba2attn_mlp"};

}  // namespace tests
