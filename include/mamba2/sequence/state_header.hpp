// SPDX-License-Identifier: Apache-2.0
// What a state file says of itself.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "mamba2/core/hash.hpp"
#include "mamba2/core/result.hpp"
#include "mamba2/io/tensor_view.hpp"
#include "mamba2/layers/state.hpp"
#include "mamba2/sequence/sampler.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// The first bytes of a state file, little-endian. Behind them:
///   rows     U64: the last tokens, which ssm does not have
///   conv     (layers, d_conv - 1, conv_dim) F32: of the Mamba-2 layers, the last inputs of the
///            convolutions
///   ssm      (layers, nheads, d_state, headdim) F32 or F16: of the tokens before
///   chunks   F32: of each layer, the chunks of these rows; of each chunk, with n rows,
///            x (nheads, n, headdim), B (n, ngroups * d_state), delta (n, nheads): see ChunkMemory
///   qkv_conv (layers, d_conv - 1, qkv_dim) F32: of the attention layers
///   short_conv (layers, d_conv - 1, d_model) F32: of the short convolutions
///   kv       the parts of KvLayout::for_parts() for `tokens` tokens, layer after layer
///   next     (next) F32: what the logits of the next token are made of, State::last(), if it was
///            known
///   seen     a bit for each token of the sampler, the lowest of a byte first
///   checksum of these bytes (Hash), U64
/// Before version 4 there are no rows and no chunks: ssm is that of all tokens. In version 1, next
/// are the logits themselves. Versions 1 and 2 are of models of Mamba-2 layers alone, 3 of hybrids.
/// No byte depends on the machine that wrote them.
struct StateHeader {
  static constexpr std::array<char, 8> kMagic = {'M', 'A', 'M', 'B', 'A', '2', 'S', 'T'};
  static constexpr std::uint32_t kVersion = 4;
  static constexpr std::uint32_t kWithLogits = 1;  ///< the version that has logits

  std::array<char, 8> magic = kMagic;
  std::uint32_t version = kVersion;
  std::uint32_t precision = 0;       ///< precision_of()
  std::uint64_t fingerprint = 0;     ///< of the model
  std::array<char, 16> weights{};    ///< WeightT::name, filled up with zeros
  std::uint64_t file_bytes = 0;      ///< of the whole file
  std::uint64_t tokens = 0;          ///< read so far
  std::uint32_t next = 0;            ///< d_model (in version 1: vocab_size), or 0
  std::uint32_t sampler_tokens = 0;  ///< that a sampler chooses among; 0: no sampler, and
  std::uint64_t random = 0;          ///< zeros here. State of the random generator
  std::uint64_t seed = 0;            ///< SamplerOptions, from here on
  std::uint64_t top_k = 0;
  float temperature = 0.0F;
  float top_p = 0.0F;
  float min_p = 0.0F;
  float repetition_penalty = 0.0F;
  std::uint64_t checksum = 0;  ///< Hash of all bytes before

  /// StatePrecision of ssm; plus 256 (1 + KvPrecision) where there are keys and values.
  [[nodiscard]] static std::uint32_t precision_of(const StateLayout& layout) {
    const auto kv = static_cast<std::uint32_t>(layout.options().kv);
    return static_cast<std::uint32_t>(layout.options().precision) +
           (layout.kv_count() > 0 ? 256 * (1 + kv) : 0);
  }
  /// Bytes of rows.
  [[nodiscard]] std::size_t rows_bytes() const noexcept {
    return version == kVersion ? sizeof(std::uint64_t) : 0;
  }
  /// For messages.
  [[nodiscard]] std::string precision_name() const {
    constexpr std::array<std::string_view, 2> kState = {"fp32", "fp16"};
    constexpr std::array<std::string_view, 4> kKv = {
        "", ", keys and values fp16", ", keys and values fp32", ", keys and values int8"};
    const std::uint32_t state = precision % 256;
    const std::uint32_t kv = precision / 256;
    if (state >= kState.size() || kv >= kKv.size()) return "something else";
    return detail::concat(kState[state], kKv[kv]);
  }

  /// Sets weights.
  void set_weights(std::string_view name) {
    std::copy_n(name.data(), std::min(name.size(), weights.size()), weights.data());
  }
  [[nodiscard]] std::string_view weights_name() const {
    return {weights.data(),
            static_cast<std::size_t>(std::ranges::find(weights, '\0') - weights.begin())};
  }

  void set_options(const SamplerOptions& options) {
    seed = options.seed;
    top_k = options.top_k;
    temperature = options.temperature;
    top_p = options.top_p;
    min_p = options.min_p;
    repetition_penalty = options.repetition_penalty;
  }
  /// Those that are here, and the others as in `own`.
  [[nodiscard]] SamplerOptions options(SamplerOptions own = {}) const {
    own.temperature = temperature;
    own.top_k = static_cast<std::size_t>(top_k);
    own.top_p = top_p;
    own.min_p = min_p;
    own.repetition_penalty = repetition_penalty;
    own.seed = seed;
    return own;
  }

  /// Whether a file has all that a sampler with these options goes by: it has no logit_bias, and
  /// not how often each token was chosen, which the presence and frequency penalties ask for.
  [[nodiscard]] static bool holds(const SamplerOptions& options) {
    return options.logit_bias.empty() && options.presence_penalty == 0.0F &&
           options.frequency_penalty == 0.0F;
  }

  [[nodiscard]] std::uint64_t computed_checksum() const {
    return Hash::of(std::as_bytes(std::span(this, 1)).first(offsetof(StateHeader, checksum)));
  }

  /// The header of a file, whole and undamaged; what it says may still be wrong. `name` stands for
  /// the file in messages. Errors: malformed (another file, a damaged or cut one), unsupported
  /// (another version).
  [[nodiscard]] static Result<StateHeader> parse(std::span<const std::byte> file,
                                                 std::string_view name);
};
static_assert(std::is_trivially_copyable_v<StateHeader> && sizeof(StateHeader) == 112);

inline Result<StateHeader> StateHeader::parse(std::span<const std::byte> file,
                                              std::string_view name) {
  const auto failure = [&](ErrorCode code, const auto&... parts) {
    return Error{code, detail::concat(name, ": ", parts...)};
  };
  StateHeader header;
  const std::size_t some = std::min(file.size(), sizeof header);
  if (some > 0) std::memcpy(&header, file.data(), some);
  if (some < sizeof kMagic || header.magic != kMagic) {
    return failure(ErrorCode::malformed, "expected a state file, found something else");
  }
  if (some >= offsetof(StateHeader, precision) &&
      (header.version < kWithLogits || header.version > kVersion)) {
    return failure(ErrorCode::unsupported, "version of the state file must be ", kWithLogits, "..",
                   kVersion, ", found ", header.version);
  }
  if (some < sizeof header) {
    return failure(ErrorCode::malformed, "must have at least ", sizeof header, " bytes, found ",
                   some);
  }
  if (header.checksum != header.computed_checksum()) {
    return failure(ErrorCode::malformed, "the header is damaged: its checksum is wrong");
  }
  if (header.file_bytes != file.size()) {
    return failure(ErrorCode::malformed, "must have ", header.file_bytes, " bytes, found ",
                   file.size());
  }
  return header;
}

}  // namespace MAMBA2_ISA
}  // namespace mamba2
