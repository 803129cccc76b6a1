// SPDX-License-Identifier: Apache-2.0
// Sets the precisions of a plan so that the file has a given size.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <mamba2/mamba2.hpp>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "tools/quantize/budget.hpp"

namespace quantize {

/// Bytes of a file but for the matrices that are to be chosen: at most.
[[nodiscard]] inline std::size_t other_bytes(const mamba2::Config& config, const Plan& plan) {
  constexpr std::size_t kHeader = 160;  // of each tensor: a name, a type, a shape, offsets
  std::size_t bytes = 0;
  (void)mamba2::expected_tensors(config, [&](const mamba2::TensorSpec& spec) {
    const Target* target = plan.find(spec.name);
    bytes += 2 * kHeader;  // scales are a tensor of their own
    if (target == nullptr) {
      bytes += sizeof(float) * std::accumulate(spec.shape.begin(), spec.shape.end(), std::size_t{1},
                                               std::multiplies<>());
    } else if (target->kept) {
      bytes += target->bytes();
    }
    return mamba2::Result<void>();
  });
  return bytes;
}

/// A name of a precision for people.
[[nodiscard]] inline std::string precision_name(DType dtype) {
  return std::string(mamba2::Mixed::format_for(dtype).name);
}

inline void print_choices(const Plan& plan, std::span<const Choices> all) {
  std::puts(
      "KL divergence, in thousandths of a nat, with one matrix changed: int4 measured, int8 "
      "estimated");
  std::printf("  %-22s %9s %9s   %-9s %9s\n", "matrix", "int4", "int8", "choice", "MB");
  for (const Choices& choices : all) {
    const auto nats = [&choices](bool is_int8) {
      for (const Choice& choice : choices.all) {
        const bool fits = is_int8 ? choice.dtype == DType::INT8 : is_4_bits(choice.dtype);
        if (fits) return mamba2::detail::concat(choice.divergence * 1e3).substr(0, 7);
      }
      return std::string("-");
    };
    const Choice& taken = choices.all[choices.taken];
    std::printf("  %-22s %9s %9s   %-9s %9.2f\n",
                short_name(plan.targets()[choices.index].name).c_str(), nats(false).c_str(),
                nats(true).c_str(), precision_name(taken.dtype).c_str(),
                static_cast<double>(taken.bytes) / 1e6);
  }
}

/// Chooses the precision of each matrix that the user has not, for the least divergence on a text,
/// such that model.safetensors has at most so many bytes, and prints what it found. Errors: those
/// of Sensitivity; invalid_argument (there is no room).
inline mamba2::Result<void> fit_budget(const convert::ModelSource& source, ObservedModel& model,
                                       Plan& plan, const Text& text, std::size_t bytes,
                                       const Report& report) {
  constexpr std::size_t kTokens = 2048;  // whose predictions are kept
  const std::size_t others = other_bytes(source.config(), plan);
  Statistics statistics(model, plan, text, Statistics::Wanted::all, report);
  auto predictions = Predictions::of(model, text.some(kTokens));
  if (!predictions) return predictions.error();
  Sensitivity sensitivity(source, model, plan, *predictions, statistics);
  auto choices = sensitivity.measure(report);
  if (!choices) return choices.error();
  const std::size_t room = bytes - std::min(bytes, others);
  const std::size_t used = choose(*choices, room);
  if (used > room) {
    return mamba2::Error{
        mamba2::ErrorCode::invalid_argument,
        mamba2::detail::concat("--budget must be at least ", (used + others + 999999) / 1000000,
                               " (MB), found ", bytes / 1000000)};
  }
  double expected = 0.0;
  for (const Choices& matrix : *choices) {
    Target& target = plan.targets()[matrix.index];
    target.format = plan.format_of(target, matrix.all[matrix.taken].dtype);
    expected += matrix.all[matrix.taken].divergence;
  }
  const auto measured = sensitivity.measure_plan();
  if (!measured) return measured.error();
  print_choices(plan, *choices);
  std::printf("together: %.5f nats measured, %.5f as the sum of the above; %.2f MB of %.2f\n",
              *measured, expected, static_cast<double>(used + others) / 1e6,
              static_cast<double>(bytes) / 1e6);
  return {};
}

}  // namespace quantize
