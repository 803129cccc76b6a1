// SPDX-License-Identifier: Apache-2.0
// Weights as a packed file.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "mamba2/core/hash.hpp"
#include "mamba2/core/result.hpp"
#include "mamba2/io/atomic_file.hpp"
#include "mamba2/io/packed_file.hpp"
#include "mamba2/layers/weights.hpp"
#include "mamba2/model/packed.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// The parts of a packed file, which follow each other.
struct PackedParts {
  std::vector<std::byte> header;
  std::span<const std::byte> weights;
  std::span<const std::byte> tokenizer;
};

/// The packed file of weights that are in memory in this layout; they and the text must outlive it.
[[nodiscard]] inline PackedParts packed_parts(const Weights& weights, std::string_view layout,
                                              std::string_view tokenizer_json = {}) {
  const std::span<const std::byte> bytes(weights.arena.data(), weights.arena.size());
  const auto tokenizer = std::as_bytes(std::span(tokenizer_json));
  PackedHeader header;
  header.layout = layout;
  header.policy = weights.plan->name;
  header.config = weights.config;
  header.fingerprint = weights.fingerprint;
  detail::for_each_packed_matrix(weights, [&](const Matrix& m) {
    header.formats.push_back(detail::packed_format(*weights.plan, m));
  });
  all_matrices(weights, [&](const Slot& slot, const Matrix& m) {
    if (slot.may_rotate) header.rotations.push_back(static_cast<std::uint32_t>(m.rotation));
  });
  header.weights_bytes = bytes.size();
  header.weights_hash = Hash::of(bytes);
  header.tokenizer_bytes = tokenizer.size();
  header.tokenizer_hash = Hash::of(tokenizer);
  return {packed_header_bytes(header), bytes, tokenizer};
}

namespace detail {

/// Writes that file, whole or not at all. go_on is asked between pieces; false gives it up. Errors:
/// those of AtomicFile; io (interrupted).
[[nodiscard]] inline Result<void> write_packed_file(const Weights& weights, std::string_view layout,
                                                    const std::filesystem::path& out,
                                                    std::string_view tokenizer_json = {},
                                                    const std::function<bool()>& go_on = {}) {
  auto file = AtomicFile::create(out);
  if (!file) return file.error();
  const PackedParts parts = packed_parts(weights, layout, tokenizer_json);
  for (auto part : {std::span<const std::byte>(parts.header), parts.weights, parts.tokenizer}) {
    while (!part.empty()) {
      if (go_on && !go_on()) return Error{ErrorCode::io, "interrupted"};
      const auto piece = part.first(std::min(part.size(), std::size_t{1} << 24));
      if (auto written = file->write(piece); !written) return written;
      part = part.subspan(piece.size());
    }
  }
  return file->commit();
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
