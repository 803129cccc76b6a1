// SPDX-License-Identifier: Apache-2.0
// How a matrix of a model is rounded, by what is known of its inputs.
#pragma once

#include <cstddef>
#include <mamba2/quantize.hpp>
#include <memory>
#include <utility>
#include <vector>

#include "tools/quantize/plan.hpp"
#include "tools/quantize/statistics.hpp"

namespace quantize {

/// How matrices are rounded.
struct Method {
  bool search = true;
  Statistics* statistics = nullptr;  ///< of their inputs, if known
};

/// The rounding of one matrix, and what it refers to.
struct MatrixRounding {
  std::vector<float> importance;
  std::unique_ptr<mamba2::GptqFactor> gptq;
  bool unseen = false;  ///< of an expert that no token of the text chose: as without a text

  [[nodiscard]] mamba2::Rounding rounding(const Method& method) const {
    return {method.search, importance, gptq.get()};
  }

  /// Of the plan's index'th matrix. Errors: those of Statistics and GptqFactor.
  [[nodiscard]] static mamba2::Result<MatrixRounding> of(const Plan& plan, std::size_t index,
                                                         const Method& method) {
    MatrixRounding made;
    if (method.statistics == nullptr || !is_4_bits(plan.targets()[index].format.dtype)) return made;
    const auto found = method.statistics->of(index);
    if (!found) return found.error();
    const InputStatistics& statistics = **found;
    made.unseen = statistics.tokens == 0;
    if (made.unseen) return made;
    if (!statistics.hessian.empty()) {
      auto factor = mamba2::GptqFactor::create(statistics.hessian, statistics.squares.size());
      if (!factor) return factor.error();
      made.gptq = std::make_unique<mamba2::GptqFactor>(*std::move(factor));
    }
    made.importance = statistics.importance();
    return made;
  }
};

}  // namespace quantize
