// SPDX-License-Identifier: Apache-2.0
// A model of Mamba-2 layers alone, as llama.cpp's converter writes it.
#pragma once

#include "mamba2/io/dialects/gguf_mamba2.hpp"
#include "mamba2/io/dialects/gguf_writing.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

inline void set_gguf_mamba2(const GgufKeys& keys, const Config& c) {
  set_gguf_ssm(keys, c);
  keys.set("feed_forward_length", 0);
  keys.set("attention.head_count", 0);
}

}  // namespace detail

inline constexpr GgufWriting kGgufMamba2Writing = {
    detail::kGgufMamba2Only, &kGgufMamba2, [](const Config& c) { return !c.is_hybrid(); },
    [](detail::ExportCheck& check, const Config& c) { check.require_plain_block(c); },
    detail::set_gguf_mamba2};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
