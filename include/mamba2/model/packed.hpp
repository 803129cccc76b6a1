// SPDX-License-Identifier: Apache-2.0
// Weights in place: those of a packed file, in .rodata or mapped, are used as they lie there.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "mamba2/core/hash.hpp"
#include "mamba2/core/mapped_file.hpp"
#include "mamba2/io/packed_file.hpp"
#include "mamba2/io/printable.hpp"
#include "mamba2/kernels/hadamard.hpp"
#include "mamba2/layers/weights.hpp"
#include "mamba2/linear/layouts.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

struct PackedOptions {
  /// Whether to read all weights once and compare their hash. Without it a file that was damaged
  /// gives wrong results, but does nothing worse; with it loading takes as long as reading does.
  bool check_hash = true;
};

namespace detail {

/// The matrices of a model in the order of PackedHeader::formats: embedding and head, tied or not,
/// and then those of the layers.
template <class AnyWeights, class Body>
void for_each_packed_matrix(AnyWeights& weights, Body body) {
  body(weights.embedding);
  body(weights.lm_head);
  all_matrices(weights, [&](const Slot& slot, auto& m) {
    if (slot.layer != Slot::kNoLayer) body(m);
  });
}

/// The number of a matrix's format where the plan has numbers, else 0.
[[nodiscard]] inline std::uint8_t packed_format(const Plan& plan, const Matrix& m) {
  const auto found = std::ranges::find(plan.numbered, m.format);
  return found == plan.numbered.end() ? std::uint8_t{0}
                                      : static_cast<std::uint8_t>(found - plan.numbered.begin());
}

/// False if there is no such format, or not for this matrix.
[[nodiscard]] inline bool set_packed_format(const Plan& plan, Matrix& m, std::uint8_t format) {
  if (plan.numbered.empty() || m.format == &kRowsOfFloats) return format == 0;
  if (format >= plan.numbered.size()) return false;
  m.format = plan.numbered[format];
  return m.cols % m.format->whole == 0;
}

/// Whether the policy and the layout of a file are those of this program.
[[nodiscard]] inline Result<void> check_packed_for(const PackedHeader& header, const Plan& plan,
                                                   std::string_view name) {
  if (header.layout != layouts::Native::name) {
    const std::string_view cpu = layouts::cpu_of(header.layout);
    constexpr std::string_view kOwn = layouts::Native::cpu;
    return Error{ErrorCode::unsupported,
                 concat(name, ": is packed for CPUs like ",
                        cpu.empty() ? in_quotes(header.layout) : std::string(cpu),
                        ", but this program is compiled for CPUs like ", kOwn,
                        ": pack the model again with mamba2-quantize --pack ", kOwn)};
  }
  if (header.policy != plan.name) {
    return Error{ErrorCode::mismatch, concat(name, ": weights must be ", plan.name, ", found ",
                                             in_quotes(header.policy))};
  }
  return {};
}

/// Sets the rotations of a file's matrices.
[[nodiscard]] inline Result<void> set_packed_rotations(const PackedHeader& header,
                                                       std::string_view name, Weights& weights) {
  Result<void> result;
  std::size_t i = 0;
  all_matrices(weights, [&](const Slot& slot, Matrix& m) {
    if (!slot.may_rotate || !result) return;
    const std::size_t rotation = header.rotations[i++];
    const bool possible =
        rotation > 0 && kernels::hadamard_base(rotation) != 0 && m.cols % rotation == 0;
    if (!possible || (weights.plan->rotation != kRotationAsStored && rotation != m.rotation)) {
      result =
          Error{ErrorCode::malformed, concat(name, ": layer ", slot.layer, ": rotation must be ",
                                             m.rotation, ", found ", rotation)};
    }
    m.rotation = rotation;
  });
  return result;
}

/// The shapes and formats of a file's weights, without memory.
[[nodiscard]] inline Result<Weights> plan_packed(const PackedHeader& header, const Plan& plan,
                                                 std::string_view name) {
  const auto malformed = [&](const auto&... parts) {
    return Error{ErrorCode::malformed, concat(name, ": ", parts...)};
  };
  // A layer takes eight tensors, each a cache line or more: a file too small for its layers is
  // refused before there is a table of them.
  if (header.config.n_layer > header.weights_bytes / (8 * Carver::kAlignment)) {
    return malformed(header.config.n_layer, " layers must have more weights, found ",
                     header.weights_bytes, " bytes");
  }
  Weights weights = Weights::planned(header.config, plan);
  std::size_t i = 0;
  bool fit = true;
  for_each_packed_matrix(
      weights, [&](Matrix& m) { fit = set_packed_format(plan, m, header.formats[i++]) && fit; });
  if (!fit) return malformed("a matrix has a format that is not one of ", plan.name);
  if (const auto set = set_packed_rotations(header, name, weights); !set) return set.error();
  if (const std::size_t bytes = weights.carve(nullptr); bytes != header.weights_bytes) {
    return malformed("weights must have ", bytes, " bytes, found ", header.weights_bytes);
  }
  return weights;
}

/// Error malformed: a number that is not finite, or an A above 0. Matrices are not looked at.
[[nodiscard]] inline Result<void> check_packed_vectors(const Weights& weights,
                                                       std::string_view name) {
  Result<void> result;
  const auto fine = [](const Slot& slot, const float* values) {
    for (std::size_t i = 0; i < slot.count(); ++i) {
      if (!std::isfinite(values[i])) return false;
      if (slot.role == Role::decay && values[i] > 0.0F) return false;
    }
    return true;
  };
  all_tensors(weights, [&]<class Place>(const Slot& slot, const Place& place) {
    if constexpr (!std::is_same_v<Place, Matrix>) {
      if (!result || fine(slot, place)) return;
      result = Error{ErrorCode::malformed,
                     concat(name, ": ", slot.full_name(), " must have finite values",
                            slot.role == Role::decay ? ", and A at most 0" : "")};
    }
  });
  return result;
}

}  // namespace detail

/// The weights of a packed file, which are used where they are: on a multiple of 64 bytes; the file
/// must outlive them. `name` stands for it in messages. Errors: malformed, for damage; unsupported,
/// for another version or another CPU's layout; mismatch, for another policy's weights;
/// invalid_argument, for a file that is not aligned.
[[nodiscard]] inline Result<Weights> packed_weights(std::span<const std::byte> file,
                                                    const Plan& plan,
                                                    std::string_view name = "packed model",
                                                    const PackedOptions& options = {}) {
  const Result<PackedFile> packed = PackedFile::parse(file, name);
  if (!packed) return packed.error();
  const auto fits = detail::check_packed_for(packed->header, plan, name);
  if (!fits) return fits.error();
  auto weights = detail::plan_packed(packed->header, plan, name);
  if (!weights) return weights;
  Result<Arena> arena = Arena::of_constants(packed->weights, name);
  if (!arena) return std::move(arena).error();
  if (options.check_hash && Hash::of(packed->weights) != packed->header.weights_hash) {
    return Error{ErrorCode::malformed,
                 detail::concat(name, ": the weights are damaged: their hash does not fit")};
  }
  weights->arena = *std::move(arena);
  weights->fingerprint = packed->header.fingerprint;
  weights->carve(weights->arena.data());
  const auto checked = detail::check_packed_vectors(*weights, name);
  if (!checked) return checked.error();
  return weights;
}

/// The same of a file, which stays mapped as long as the weights are there: it must not change.
/// notes: what was to be said when it was packed. Error io, besides.
[[nodiscard]] inline Result<std::shared_ptr<const Weights>> open_packed_weights(
    const std::filesystem::path& path, const Plan& plan, const PackedOptions& options = {},
    std::span<const std::string> notes = {}) {
  struct Mapped {
    MappedFile file;
    Weights weights;
  };
  Result<MappedFile> file = MappedFile::open(path);
  if (!file) return std::move(file).error();
  auto weights = packed_weights(file->bytes(), plan, path.native(), options);
  if (!weights) return std::move(weights).error();
  weights->notes.assign(notes.begin(), notes.end());
  const auto both = std::make_shared<Mapped>(Mapped{*std::move(file), *std::move(weights)});
  return std::shared_ptr<const Weights>(both, &both->weights);
}

}  // namespace MAMBA2_ISA
}  // namespace mamba2
