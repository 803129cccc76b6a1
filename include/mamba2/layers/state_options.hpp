// SPDX-License-Identifier: Apache-2.0
// How a sequence is stored, and of what its memory is made.
#pragma once

#include <cstddef>
#include <cstdint>

#include "mamba2/kernels/kv_cache.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// How the SSM state is stored. Arithmetic is FP32 either way.
enum class StatePrecision : std::uint8_t {
  fp32,
  fp16,  ///< half the memory and the traffic; values beyond 65504 are kept at that
};

using kernels::KvPrecision;

/// How a sequence is stored.
struct StateOptions {
  StatePrecision precision = StatePrecision::fp32;
  KvPrecision kv = KvPrecision::fp16;  ///< of keys and values
  std::size_t context = 0;             ///< tokens that attention has room for: at most kMaxContext;
                                       ///< 0: Config::default_context()
  std::size_t rewind = 0;              ///< tokens that can be taken back: at most kMaxRewind

  static constexpr std::size_t kMaxContext = std::size_t{1} << 24;
  static constexpr std::size_t kMaxRewind = 64;

  [[nodiscard]] bool operator==(const StateOptions&) const = default;
};

/// What a Mamba-2 layer has of a chunk whose tokens its ssm does not have yet.
struct ChunkMemory {
  float* x;         ///< (nheads, kChunk, headdim)
  float* B;         ///< (kChunk, ngroups * d_state)
  float* delta;     ///< (kChunk, nheads)
  float* since;     ///< (nheads, kChunk): see kernels::Decays
  float* entering;  ///< (nheads)
};

/// The last inputs of a convolution over time of each layer that has one.
struct WindowLayout {
  std::size_t layers = 0;
  std::size_t rows = 0;    ///< d_conv - 1
  std::size_t cols = 0;    ///< channels
  std::size_t offset = 0;  ///< bytes from the start: of (layers, rows, cols) floats
  std::size_t past = 0;  ///< the same: of (layers, rows + rewind, cols), where tokens can be taken
                         ///< back; the t'th input of all is row t % (rows + rewind)

  [[nodiscard]] std::size_t size() const noexcept { return rows * cols; }
  [[nodiscard]] bool operator==(const WindowLayout&) const = default;
};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
