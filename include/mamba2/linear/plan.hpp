// SPDX-License-Identifier: Apache-2.0
// Which format each tensor of a model has.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>

#include "mamba2/formats/dtype.hpp"
#include "mamba2/linear/matrix.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// What a tensor is for.
enum class Role : std::uint8_t {
  embedding,     ///< a matrix with a row for each token
  head,          ///< a matrix that makes logits
  matrix,        ///< any other
  lora_A,        ///< (rank, cols) of an adapter, FP32
  lora_B,        ///< (rows, rank) of an adapter, FP32: in memory (rank, rows)
  router,        ///< scores experts: a row for each, FP32 whatever the plan
  norm,          ///< the weights of an RMSNorm
  grouped_norm,  ///< of one that takes groups of channels apart
  bias,
  taps,     ///< filters of a causal convolution: (channels, 1, taps) in checkpoints
  dt_bias,  ///< added to step sizes
  decay,    ///< A_log: in memory A = -exp(A_log)
  skip,     ///< D
};

/// Whether it is a Matrix; otherwise it is FP32.
[[nodiscard]] constexpr bool is_matrix(Role role) noexcept { return role <= Role::matrix; }
/// Whether checkpoints store it as a matrix.
[[nodiscard]] constexpr bool has_columns(Role role) noexcept { return role <= Role::router; }

inline constexpr std::size_t kRotationAsStored = std::numeric_limits<std::size_t>::max();

/// How the weights of a model are stored: what a weight policy stands for. See kPlan.
struct Plan {
  std::string_view name;  ///< what users call it: "int8"
  /// Width of the Hadamard blocks that matrices whose inputs have outliers are rotated by at most;
  /// 0: not rotated; kRotationAsStored: as the checkpoint has it.
  std::size_t rotation;
  /// The format of a matrix that a checkpoint stores in this type.
  const Format& (*format)(Role role, DType stored);
  /// Where the stored type matters: all formats, by their numbers in packed files.
  std::span<const Format* const> numbered;
  /// Whether a matrix may be stored in this type; nullptr: in every type.
  bool (*takes)(Role role, DType stored) = nullptr;
};

/// A weight policy: a class without state that users name.
///   name       what they call it: "int8"
///   Head       the format of the embedding and the head of such a model
///   kRotation  see Plan
/// and the members of a MatrixFormat, if it has one format for all other matrices; else kPlan has a
/// specialisation.
template <class W>
concept WeightPolicy = requires {
  { W::name } -> std::convertible_to<std::string_view>;
  typename W::Head;
  { W::kRotation } -> std::convertible_to<std::size_t>;
};

namespace detail {

template <WeightPolicy W>
[[nodiscard]] const Format& planned_format(Role role, DType) {
  return role == Role::matrix ? kFormat<W> : kFormat<typename W::Head>;
}

}  // namespace detail

template <WeightPolicy W>
inline constexpr Plan kPlan = {W::name, W::kRotation, &detail::planned_format<W>, {}};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
