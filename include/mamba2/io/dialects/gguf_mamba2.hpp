// SPDX-License-Identifier: Apache-2.0
// A model of Mamba-2 layers alone, as llama.cpp's converter writes it: architecture mamba2.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include "mamba2/io/dialects/gguf.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

inline constexpr std::string_view kGgufMamba2Only = "mamba2";

inline constexpr auto kGgufMamba2OnlyLayers = joined(kGgufNorm, kGgufMamba2Layers);

/// A model of Mamba-2 layers alone.
[[nodiscard]] inline Config read_gguf_mamba2(GgufFields& fields, const std::string& arch,
                                             const Gguf&) {
  Config config;
  config.d_model = fields.integer(arch + ".embedding_length");
  config.n_layer = read_gguf_blocks(fields, arch, 1);
  config.norm_eps = static_cast<float>(fields.number(arch + ".attention.layer_norm_rms_epsilon"));
  read_gguf_ssm(fields, arch, config);
  return config;
}

}  // namespace detail

inline constexpr GgufDialect kGgufMamba2 = {
    {detail::kGgufMamba2Only, ""},
    "Mamba-2",
    detail::read_gguf_mamba2,
    {detail::kGgufOuter, [](const Config&) { return std::size_t{1}; },
     detail::kGgufMamba2OnlyLayers}};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
