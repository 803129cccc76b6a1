// SPDX-License-Identifier: Apache-2.0
// Weights in place: those of a packed file, in .rodata or mapped, are used as they lie there.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
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

/// The matrices of a model in the order of PackedHeader::formats.
template <class Weights, class Body>
void for_each_packed_matrix(Weights& weights, Body body) {
  body(weights.embedding);
  body(weights.lm_head);
  for (auto& block : weights.blocks) {
    body(block.in_proj);
    body(block.out_proj);
  }
}

/// The format of a matrix, if its policy has several; else 0.
template <class Matrix>
[[nodiscard]] std::uint8_t packed_format(const Matrix& m) {
  if constexpr (requires { m.format; }) return static_cast<std::uint8_t>(m.format);
  return 0;
}

/// False if there is no such format, or not for this matrix.
template <class Matrix>
[[nodiscard]] bool set_packed_format(Matrix& m, std::uint8_t format) {
  if constexpr (requires { m.format; }) return m.set_format(format);
  return format == 0;
}

/// Whether the policy and the layout of a file are those of this program.
template <WeightPolicy WeightT>
[[nodiscard]] Result<void> check_packed_for(const PackedHeader& header, std::string_view name) {
  if (header.layout != layouts::Native::name) {
    const std::string_view cpu = layouts::cpu_of(header.layout);
    constexpr std::string_view kOwn = layouts::Native::cpu;
    return Error{ErrorCode::unsupported,
                 concat(name, ": is packed for CPUs like ",
                        cpu.empty() ? in_quotes(header.layout) : std::string(cpu),
                        ", but this program is compiled for CPUs like ", kOwn,
                        ": pack the model again with mamba2-quantize --pack ", kOwn)};
  }
  if (header.policy != WeightT::name) {
    return Error{ErrorCode::mismatch, concat(name, ": weights must be ", WeightT::name, ", found ",
                                             in_quotes(header.policy))};
  }
  return {};
}

/// The shapes and formats of a file's weights, without memory.
template <WeightPolicy WeightT>
[[nodiscard]] Result<Weights<WeightT>> plan_packed(const PackedHeader& header,
                                                   std::string_view name) {
  const auto malformed = [&](const auto&... parts) {
    return Error{ErrorCode::malformed, concat(name, ": ", parts...)};
  };
  // A block takes eight tensors, each a cache line or more: a file too small for its layers is
  // refused before there is a table of them.
  if (header.config.n_layer > header.weights_bytes / (8 * Carver::kAlignment)) {
    return malformed(header.config.n_layer, " layers must have more weights, found ",
                     header.weights_bytes, " bytes");
  }
  auto weights = Weights<WeightT>::planned(header.config);
  std::size_t i = 0;
  bool fit = true;
  for_each_packed_matrix(weights,
                         [&](auto& m) { fit = set_packed_format(m, header.formats[i++]) && fit; });
  if (!fit) return malformed("a matrix has a format that is not one of ", WeightT::name);
  const std::size_t d_inner = header.config.d_inner;
  for (std::size_t layer = 0; layer < weights.blocks.size(); ++layer) {
    const std::size_t rotation = header.rotations[layer];
    std::size_t& expected = weights.blocks[layer].rotation;
    const bool possible =
        std::has_single_bit(rotation) && kernels::hadamard_width(d_inner, rotation) == rotation;
    if (!possible || (WeightT::kRotation != kRotationAsStored && rotation != expected)) {
      return malformed("layer ", layer, ": rotation must be ", expected, ", found ", rotation);
    }
    expected = rotation;
  }
  if (const std::size_t bytes = weights.carve(nullptr); bytes != header.weights_bytes) {
    return malformed("weights must have ", bytes, " bytes, found ", header.weights_bytes);
  }
  return weights;
}

/// Error malformed: a number that is not finite, or an A above 0. Matrices are not looked at.
template <WeightPolicy WeightT>
[[nodiscard]] Result<void> check_packed_vectors(const Weights<WeightT>& weights,
                                                std::string_view name) {
  const Config& c = weights.config;
  const auto fine = [](const float* values, std::size_t count) {
    if (values == nullptr) return true;
    for (std::size_t i = 0; i < count; ++i) {
      if (!std::isfinite(values[i])) return false;
    }
    return true;
  };
  for (std::size_t layer = 0; layer < weights.blocks.size(); ++layer) {
    const BlockWeights<WeightT>& w = weights.blocks[layer];
    bool good = fine(w.norm, c.d_model) && fine(w.in_proj_bias, c.d_in_proj()) &&
                fine(w.conv_weight, c.d_conv * c.conv_dim()) && fine(w.conv_bias, c.conv_dim()) &&
                fine(w.dt_bias, c.nheads()) && fine(w.A, c.nheads()) && fine(w.D, c.d_ssm) &&
                fine(w.gated_norm, c.d_ssm) && fine(w.out_proj_bias, c.d_model);
    for (std::size_t h = 0; h < c.nheads(); ++h) good = good && w.A[h] <= 0.0F;
    if (!good) {
      return Error{ErrorCode::malformed,
                   concat(name, ": layer ", layer, " must have finite values, and A at most 0")};
    }
  }
  if (fine(weights.norm_f, c.d_model)) return {};
  return Error{ErrorCode::malformed, concat(name, ": norm_f must have finite values")};
}

}  // namespace detail

/// The weights of a packed file, which are used where they are: on a multiple of 64 bytes; the file
/// must outlive them. `name` stands for it in messages. Errors: malformed, for damage; unsupported,
/// for another version or another CPU's layout; mismatch, for another policy's weights;
/// invalid_argument, for a file that is not aligned.
template <WeightPolicy WeightT>
[[nodiscard]] Result<Weights<WeightT>> packed_weights(std::span<const std::byte> file,
                                                      std::string_view name = "packed model",
                                                      const PackedOptions& options = {}) {
  const Result<PackedFile> packed = PackedFile::parse(file, name);
  if (!packed) return packed.error();
  const auto fits = detail::check_packed_for<WeightT>(packed->header, name);
  if (!fits) return fits.error();
  auto weights = detail::plan_packed<WeightT>(packed->header, name);
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
/// Error io, besides.
template <WeightPolicy WeightT>
[[nodiscard]] Result<std::shared_ptr<const Weights<WeightT>>> open_packed_weights(
    const std::filesystem::path& path, const PackedOptions& options = {}) {
  struct Mapped {
    MappedFile file;
    Weights<WeightT> weights;
  };
  Result<MappedFile> file = MappedFile::open(path);
  if (!file) return std::move(file).error();
  auto weights = packed_weights<WeightT>(file->bytes(), path.native(), options);
  if (!weights) return std::move(weights).error();
  const auto both = std::make_shared<Mapped>(Mapped{*std::move(file), *std::move(weights)});
  return std::shared_ptr<const Weights<WeightT>>(both, &both->weights);
}

}  // namespace MAMBA2_ISA
}  // namespace mamba2
