// SPDX-License-Identifier: Apache-2.0
// What a kind of layer says of each of its tensors.
#pragma once

#include <charconv>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "mamba2/core/arena.hpp"
#include "mamba2/core/result.hpp"
#include "mamba2/linear/plan.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// What begins the names of tensors of experts, before their number.
inline constexpr std::string_view kExperts = "moe.experts.";

/// A tensor of a model. The function that lists the tensors of a kind of layer calls
/// visit(slot, place) for each, where place is a Matrix, or a const float* for what is FP32
/// whatever the plan. All that plans, counts, loads, packs, exports or fills weights follows from
/// these calls and their order.
struct Slot {
  static constexpr std::size_t kNoLayer = static_cast<std::size_t>(-1);
  static constexpr std::size_t kNoExpert = static_cast<std::size_t>(-1);

  std::string_view name;  ///< in its layer: "mixer.in_proj.weight"; or in its expert
  Role role;
  std::size_t rows;         ///< in checkpoints (rows); a matrix (rows, cols),
  std::size_t cols = 1;     ///< taps (rows, 1, cols)
  std::size_t repeats = 1;  ///< of each value in memory, next to each other
  bool is_stored = true;    ///< checkpoints have it; otherwise it is zeros
  bool may_rotate = false;  ///< a matrix whose inputs have outliers
  std::size_t layer = kNoLayer;
  std::size_t expert = kNoExpert;

  /// The canonical name: "layers.3.mixer.in_proj.weight", "layers.1.moe.experts.5.up_proj.weight".
  [[nodiscard]] std::string full_name() const {
    if (layer == kNoLayer) return std::string(name);
    if (expert == kNoExpert) return detail::concat("layers.", layer, ".", name);
    return detail::concat("layers.", layer, ".", kExperts, expert, ".", name);
  }
  /// Values in memory, where it is no matrix.
  [[nodiscard]] std::size_t count() const noexcept { return rows * cols * repeats; }
  /// In checkpoints.
  [[nodiscard]] std::vector<std::size_t> shape() const {
    if (role == Role::taps) return {rows, 1, cols};
    return has_columns(role) ? std::vector{rows, cols} : std::vector{rows};
  }
};

/// The name of a tensor of an expert, without "layers.3.".
struct ExpertName {
  std::size_t expert;
  std::string_view name;  ///< in the expert
};

/// Nothing where it is another tensor's.
[[nodiscard]] inline std::optional<ExpertName> expert_name(std::string_view local) {
  if (!local.starts_with(kExperts)) return std::nullopt;
  local.remove_prefix(kExperts.size());
  std::size_t expert = 0;
  const auto [end, error] = std::from_chars(local.data(), local.data() + local.size(), expert);
  const auto digits = static_cast<std::size_t>(end - local.data());
  const bool is_odd = digits > 1 && local.front() == '0';  // another name of the same number
  if (error != std::errc() || is_odd || !local.substr(digits).starts_with('.')) return std::nullopt;
  return ExpertName{expert, local.substr(digits + 1)};
}

/// Takes memory for a tensor; only counts it where the carver has none.
inline void carve(Carver& carver, const Slot&, Matrix& m) {
  m.bands = carver.take<std::byte>(m.bytes());
}
inline void carve(Carver& carver, const Slot& slot, const float*& values) {
  values = carver.take<float>(slot.count());
}

}  // namespace MAMBA2_ISA
}  // namespace mamba2
