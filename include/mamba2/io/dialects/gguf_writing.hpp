// SPDX-License-Identifier: Apache-2.0
// What models have in common that are written as GGUF, whatever their architecture.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "mamba2/core/result.hpp"
#include "mamba2/io/dialects/gguf.hpp"
#include "mamba2/io/export.hpp"
#include "mamba2/io/gguf_writer.hpp"
#include "mamba2/layers/config.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// A writer of the keys of one architecture.
struct GgufKeys {
  GgufWriter& writer;
  std::string_view arch;

  [[nodiscard]] std::string key(std::string_view name) const { return concat(arch, ".", name); }
  void set(std::string_view name, std::size_t value) const {
    writer.set_integer(key(name), static_cast<std::uint32_t>(value));
  }
  void set_number(std::string_view name, float value) const { writer.set_number(key(name), value); }
};

inline void set_gguf_ssm(const GgufKeys& keys, const Config& c) {
  keys.set("ssm.conv_kernel", c.d_conv);
  keys.set("ssm.inner_size", c.d_inner);
  keys.set("ssm.state_size", c.d_state);
  keys.set("ssm.time_step_rank", c.nheads());
  keys.set("ssm.group_count", c.ngroups);
}

}  // namespace detail

/// How a model becomes one of an architecture.
struct GgufWriting {
  std::string_view architecture;
  const GgufDialect* dialect;  ///< which names the tensors
  /// Whether models with such layers are of this architecture.
  bool (*fits)(const Config& config);
  /// Refuses what it cannot say.
  void (*check)(detail::ExportCheck& check, const Config& config);
  /// Sets the keys but for those of all architectures.
  void (*set_keys)(const detail::GgufKeys& keys, const Config& config);
  /// Sets the factors that a tensor is written with, where some are.
  void (*scale)(ExportedTensor& tensor, const Config& config) = nullptr;
  /// Whether a tied model gets a head of its own.
  bool (*needs_head)(const Config& config) = nullptr;
  /// Whether rows of queries and keys are interleaved where RoPE turns them: see AttentionConfig.
  bool interleaves_qk = false;
};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
