// SPDX-License-Identifier: Apache-2.0
// A number that tells models apart.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "mamba2/core/hash.hpp"
#include "mamba2/formats/dtype.hpp"
#include "mamba2/io/checkpoint.hpp"
#include "mamba2/layers/config.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

inline void add_text(Hash& hash, std::string_view text) {
  hash.add(text.size());
  hash.add(std::as_bytes(std::span(text)));
}

/// All that a model computes with; not the tokens that end a text. What only hybrids have does not
/// count in other models, whose fingerprints are those of times before.
inline void add_config(Hash& hash, const Config& c) {
  const auto add = [&hash]<class Member>(std::string_view, const Member& member) {
    if constexpr (std::is_same_v<Member, float>) {
      hash.add(std::bit_cast<std::uint32_t>(member));
    } else if constexpr (std::is_integral_v<Member> || std::is_enum_v<Member>) {
      hash.add(static_cast<std::uint64_t>(member));
    } else if constexpr (std::is_same_v<Member, std::string>) {
      add_text(hash, member);
    } else {
      static_assert(std::is_same_v<Member, std::vector<Token>>,
                    "eos_token_ids, which does not count");
    }
  };
  fields(c, add);
  if (c.is_hybrid()) hybrid_fields(c, add);
  changed_fields(c, [&](std::string_view name, const auto& member) {
    add_text(hash, name);
    add(name, member);
  });
}

/// All bytes where they are few, else pieces from the first to the last: so that the time does not
/// grow with the model.
inline void add_sample(Hash& hash, std::span<const std::byte> bytes) {
  constexpr std::size_t kPieces = 16;
  constexpr std::size_t kPiece = 4096;
  hash.add(bytes.size());
  if (bytes.size() <= kPieces * kPiece) return hash.add(bytes);
  const std::uint64_t last = bytes.size() - kPiece;
  for (std::uint64_t i = 0; i < kPieces; ++i) {
    // As i * last / (kPieces - 1), which might overflow.
    const std::uint64_t at = last / (kPieces - 1) * i + last % (kPieces - 1) * i / (kPieces - 1);
    hash.add(bytes.subspan(static_cast<std::size_t>(at), kPiece));
  }
}

}  // namespace detail

/// The fingerprint of a model: of its config, of the names, types and bytes of its tensors (all
/// bytes of those up to 64 KiB, 64 KiB in 16 pieces of the others), and of the policy that its
/// weights are converted to (WeightT::name). The same checkpoint, whole or in shards, has the same
/// fingerprint on every machine; another training, another file type or another policy gives
/// another one, even where the numbers are the same. A few weights changed by hand may go unseen.
[[nodiscard]] inline std::uint64_t fingerprint(const Checkpoint& checkpoint,
                                               std::string_view policy) {
  Hash hash;
  detail::add_text(hash, policy);
  detail::add_config(hash, checkpoint.config());
  for (const TensorView& tensor : checkpoint.tensors()) {
    detail::add_text(hash, tensor.name);
    detail::add_text(hash, dtype_name(tensor.dtype));
    hash.add(tensor.rotation);
    for (const std::span<const std::byte> bytes : {tensor.data, tensor.scales}) {
      detail::add_sample(hash, bytes);
      checkpoint.release(bytes);  // with a page the system may map a whole MB of neighbours
    }
  }
  return hash.value();
}

}  // namespace MAMBA2_ISA
}  // namespace mamba2
