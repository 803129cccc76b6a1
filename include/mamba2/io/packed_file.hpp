// SPDX-License-Identifier: Apache-2.0
// Packed models: the weights as a program has them in memory, in a file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mamba2/core/linkage.hpp"
#include "mamba2/core/result.hpp"
#include "mamba2/layers/config.hpp"

#if MAMBA2_HAS_DEFINITIONS
#include <algorithm>
#include <bit>
#include <utility>

#include "mamba2/core/hash.hpp"
#include "mamba2/core/mapped_file.hpp"
#include "mamba2/io/packed_fields.hpp"
#include "mamba2/io/printable.hpp"
#include "mamba2/layers/weights.hpp"
#endif

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// What a packed file says before the weights. All numbers are little-endian:
///
///     0   8 bytes "MAMBA2PK"
///     8   uint32  version, 2; of a hybrid 3; with changed_fields() 4
///    12   uint32  size of the header, N bytes
///    16   uint64  XXH64 of the N - 24 bytes that follow, up to the end of the header:
///    24   the members below in their order. Numbers and bools have the size of their types,
///         size_t has 8 bytes; strings and vectors have an uint32 with their length before them.
///
/// The weights follow at weights_offset, a multiple of 64, as Weights::carve lays them out for the
/// Config; then the text of a tokenizer.json, or nothing.
struct PackedHeader {
  std::string layout;  ///< of bands: layouts::Native::name
  std::string policy;  ///< WeightT::name
  Config config;       ///< its members in the order of fields(), from version 3 on also of
                  ///< hybrid_fields(); in version 4, as a vector of bytes, pack_changed_fields()
  std::uint64_t fingerprint = 0;  ///< Weights::fingerprint
  /// Of embedding, lm_head and the matrices of the layers, in their order: which of Plan::numbered
  /// they have; 0 where that is empty.
  std::vector<std::uint8_t> formats;
  std::vector<std::uint32_t> rotations;  ///< of the matrices that may be rotated, in their order
  std::uint64_t weights_offset = 0;      ///< from the start of the file
  std::uint64_t weights_bytes = 0;
  std::uint64_t weights_hash = 0;  ///< XXH64
  std::uint64_t tokenizer_offset = 0;
  std::uint64_t tokenizer_bytes = 0;  ///< 0: none
  std::uint64_t tokenizer_hash = 0;   ///< XXH64
};

/// Whether a file is a packed model, by its first bytes.
[[nodiscard]] bool is_packed(std::span<const std::byte> file) noexcept;

/// The same of a path.
[[nodiscard]] bool is_packed_file(const std::filesystem::path& path);

/// A packed file in memory.
struct PackedFile {
  PackedHeader header;
  std::span<const std::byte> weights;
  std::string_view tokenizer_json;

  /// Finds the parts of a file, which must outlive them; `name` stands for it in messages. Errors:
  /// malformed; unsupported, for another version. The header is checked by its hash and member by
  /// member; whether the weights are as long as the Config has them, and their hash, is for
  /// packed_weights() to say.
  [[nodiscard]] static Result<PackedFile> parse(std::span<const std::byte> file,
                                                std::string_view name = "packed model");
};

/// The header of a packed file, and the room up to the weights: header.weights_offset and all other
/// offsets are set.
[[nodiscard]] std::vector<std::byte> packed_header_bytes(PackedHeader& header);

#if MAMBA2_HAS_DEFINITIONS

namespace detail {

static_assert(std::endian::native == std::endian::little, "packed files are little-endian");

inline constexpr std::string_view kPackedMagic = "MAMBA2PK";
inline constexpr std::uint32_t kPackedVersion = 2;
inline constexpr std::uint32_t kPackedHybrid = 3;
inline constexpr std::uint32_t kPackedChanged = 4;
inline constexpr std::size_t kPackedPrefix = 24;
inline constexpr std::size_t kPackedAlignment = 64;

/// Calls each(member) for all members that are in the file, in their order there. changed: those
/// of pack_changed_fields().
template <class Fields, class Header, class Bytes>
void for_each_packed_field(Fields& each, Header& h, Bytes& changed, std::uint32_t version) {
  const auto all = [&each](auto&... members) { (each(members), ...); };
  const auto one = [&each](std::string_view, auto& member) { each(member); };
  all(h.layout, h.policy);
  mamba2::fields(h.config, one);
  if (version >= kPackedHybrid) hybrid_fields(h.config, one);
  if (version >= kPackedChanged) each(changed);
  all(h.fingerprint, h.formats, h.rotations);
  all(h.weights_offset, h.weights_bytes, h.weights_hash);
  all(h.tokenizer_offset, h.tokenizer_bytes, h.tokenizer_hash);
}

/// How many matrices a header tells of.
struct PackedMatrices {
  std::size_t formats = 2;  // embedding and head, tied or not
  std::size_t rotations = 0;

  explicit PackedMatrices(const Config& c) {
    for (std::size_t i = 0; i < c.n_layer; ++i) {
      LayerWeights layer(c, i);
      layer_tensors(c, i, layer, [&](const Slot& slot, const auto&) {
        formats += is_matrix(slot.role) ? 1U : 0U;
        rotations += slot.may_rotate ? 1U : 0U;
      });
    }
  }
};

/// A part of a file; nothing if it does not lie in it.
[[nodiscard]] inline bool find_part(std::span<const std::byte> file, std::uint64_t offset,
                                    std::uint64_t size, std::span<const std::byte>& part) {
  if (offset > file.size() || size > file.size() - offset) return false;
  part = file.subspan(static_cast<std::size_t>(offset), static_cast<std::size_t>(size));
  return true;
}

[[nodiscard]] inline Result<PackedHeader> parse_packed_header(std::span<const std::byte> file,
                                                              std::string_view name) {
  const auto malformed = [&](const auto&... parts) {
    return Error{ErrorCode::malformed, concat(name, ": ", parts...)};
  };
  if (!is_packed(file)) {
    return malformed("expected a packed model, which begins with ", kPackedMagic, ", found ",
                     file.size(), " bytes of something else");
  }
  std::uint32_t version = 0;
  std::uint32_t size = 0;
  std::uint64_t hash = 0;
  const auto prefix = file.first(std::min(file.size(), kPackedPrefix)).subspan(kPackedMagic.size());
  PackedFieldReader fields(prefix);
  fields(version);
  fields(size);
  fields(hash);
  if (!fields.complete() || size < kPackedPrefix || size > file.size()) {
    return malformed("the file ends inside the header: found ", file.size(), " bytes of ",
                     std::max<std::size_t>(size, kPackedPrefix));
  }
  if (version < kPackedVersion || version > kPackedChanged) {
    return Error{ErrorCode::unsupported,
                 concat(name, ": version of a packed model must be in ", kPackedVersion, "..",
                        kPackedChanged, ", found ", version)};
  }
  const auto members = file.subspan(kPackedPrefix, size - kPackedPrefix);
  if (Hash::of(members) != hash) return malformed("the header is damaged: its hash does not fit");
  PackedHeader header;
  PackedFieldReader reader(members);
  std::vector<std::byte> changed;
  for_each_packed_field(reader, header, changed, version);
  const bool as_hybrid = version >= kPackedHybrid;
  if (!reader.complete() || !unpack_changed_fields(changed, header.config) ||
      (version < kPackedChanged && header.config.is_hybrid() != as_hybrid)) {
    return malformed("the header is not one of version ", version);
  }
  if (const auto valid = header.config.validate(); !valid) {
    return malformed(valid.error().message);
  }
  return header;
}

}  // namespace detail

MAMBA2_FUNCTION bool is_packed(std::span<const std::byte> file) noexcept {
  const std::string_view magic = detail::kPackedMagic;
  return file.size() >= magic.size() && std::memcmp(file.data(), magic.data(), magic.size()) == 0;
}

MAMBA2_FUNCTION bool is_packed_file(const std::filesystem::path& path) {
  const Result<MappedFile> file = MappedFile::open(path);
  return file && is_packed(file->bytes());
}

MAMBA2_FUNCTION Result<PackedFile> PackedFile::parse(std::span<const std::byte> file,
                                                     std::string_view name) {
  Result<PackedHeader> header = detail::parse_packed_header(file, name);
  if (!header) return std::move(header).error();
  PackedFile packed;
  packed.header = *std::move(header);
  const PackedHeader& h = packed.header;
  const auto malformed = [&](const auto&... parts) {
    return Error{ErrorCode::malformed, detail::concat(name, ": ", parts...)};
  };
  std::span<const std::byte> tokenizer;
  if (!detail::find_part(file, h.weights_offset, h.weights_bytes, packed.weights) ||
      !detail::find_part(file, h.tokenizer_offset, h.tokenizer_bytes, tokenizer)) {
    return malformed("the file must have ", h.weights_bytes, " bytes of weights at ",
                     h.weights_offset, " and ", h.tokenizer_bytes, " of a tokenizer at ",
                     h.tokenizer_offset, ", found ", file.size(), " bytes in all");
  }
  if (h.weights_offset % detail::kPackedAlignment != 0) {
    return malformed("weights must start at a multiple of ", detail::kPackedAlignment,
                     ", found them at ", h.weights_offset);
  }
  const detail::PackedMatrices matrices(h.config);
  if (h.formats.size() != matrices.formats || h.rotations.size() != matrices.rotations) {
    return malformed("for ", h.config.n_layer, " layers there must be ", matrices.formats,
                     " formats and ", matrices.rotations, " rotations, found ", h.formats.size(),
                     " and ", h.rotations.size());
  }
  if (Hash::of(tokenizer) != h.tokenizer_hash) {
    return malformed("the tokenizer is damaged: its hash does not fit");
  }
  packed.tokenizer_json = {reinterpret_cast<const char*>(tokenizer.data()), tokenizer.size()};
  return packed;
}

MAMBA2_FUNCTION std::vector<std::byte> packed_header_bytes(PackedHeader& header) {
  const std::vector<std::byte> changed = detail::pack_changed_fields(header.config);
  const std::uint32_t version = !changed.empty()            ? detail::kPackedChanged
                                : header.config.is_hybrid() ? detail::kPackedHybrid
                                                            : detail::kPackedVersion;
  const auto write = [&header, &changed, version] {
    std::vector<std::byte> bytes(detail::kPackedPrefix);
    detail::PackedFieldWriter fields(bytes);
    detail::for_each_packed_field(fields, std::as_const(header), changed, version);
    return bytes;
  };
  // Offsets have the same size whatever they are. A page: so that a mapped file's weights begin on
  // one.
  constexpr std::size_t kPage = 4096;
  header.weights_offset = (write().size() + kPage - 1) / kPage * kPage;
  header.tokenizer_offset = header.weights_offset + header.weights_bytes;
  std::vector<std::byte> bytes = write();
  std::vector<std::byte> prefix;
  detail::PackedFieldWriter fields(prefix);
  for (const char c : detail::kPackedMagic) fields(c);
  fields(version);
  fields(static_cast<std::uint32_t>(bytes.size()));
  fields(Hash::of(std::span(bytes).subspan(detail::kPackedPrefix)));
  std::copy(prefix.begin(), prefix.end(), bytes.begin());
  bytes.resize(static_cast<std::size_t>(header.weights_offset));
  return bytes;
}

#endif

}  // namespace MAMBA2_ISA
}  // namespace mamba2
