// SPDX-License-Identifier: Apache-2.0
// GPTQ (arXiv 2210.17323): each column's rounding errors are made up for by the columns after it.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/kernels/simd.hpp"
#include "mamba2/kernels/unroll.hpp"
#include "mamba2/linear/int4_scale.hpp"
#include "mamba2/quantize/eigen.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// What GPTQ needs to know of a matrix' inputs: the upper triangular U with H^-1 = U^T U, of the
/// Hessian H = X^T X of the squared error of the outputs, with 1 % of its mean diagonal added to
/// the diagonal.
class GptqFactor {
 public:
  /// From X^T X (cols, cols), of which the lower triangle counts. Error malformed: it is not that
  /// of finite inputs.
  [[nodiscard]] static Result<GptqFactor> create(std::span<const float> hessian, std::size_t cols);

  /// What the squared error of a column costs, once all after it have made up for it: from column
  /// `first` on.
  [[nodiscard]] const float* importance(std::size_t first) const { return &importance_[first]; }

  /// Takes off the columns [first, first + kGroup) what those before have left to them. w: the
  /// group; errors: of all columns before `first`.
  template <std::size_t kGroup>
  void update(std::size_t first, const kernels::Floats* errors, kernels::Floats* w) const {
    constexpr std::size_t kTile = 8;  // sums in registers
    for (std::size_t k = 0; k < kGroup; k += kTile) {
      std::array<kernels::Floats, kTile> sums;
      std::copy_n(w + k, kTile, sums.begin());
      const float* U = column(first + k);
      for (std::size_t i = 0; i < first; ++i) {
        kernels::unroll<kTile>([&](auto j) MAMBA2_INLINE {
          sums[j] = kernels::multiply_add(-errors[i], kernels::Floats(U[j * cols_ + i]), sums[j]);
        });
      }
      std::copy_n(sums.begin(), kTile, w + k);
    }
  }

  /// Rounds a group column by column with the scales that it has, each after what its predecessors
  /// in the group have left to it, and notes the errors.
  template <std::size_t kGroup>
  void round(std::size_t first, kernels::Floats* errors, kernels::Floats* w,
             Int4Group<kGroup>& group) const {
    const kernels::Floats scale = kernels::load(group.scales.data());
    const kernels::Floats inverse = detail::inverse_of(scale);
    for (std::size_t k = 0; k < kGroup; ++k) {
      const float* U = column(first + k);
      for (std::size_t i = first; i < first + k; ++i) {
        w[k] = kernels::multiply_add(-errors[i], kernels::Floats(U[i]), w[k]);
      }
      const kernels::Floats code = detail::int4_code(w[k], inverse);
      errors[first + k] =
          kernels::divide(kernels::multiply_add(-scale, code, w[k]), kernels::Floats(U[first + k]));
      std::array<float, kernels::kLanes> rounded;
      kernels::store(code, rounded.data());
      for (std::size_t r = 0; r < kernels::kLanes; ++r) {
        group.codes[k][r] = static_cast<std::int8_t>(rounded[r]);
      }
    }
  }

 private:
  GptqFactor(std::vector<float> factor, std::size_t cols)
      : factor_(std::move(factor)), importance_(cols), cols_(cols) {
    for (std::size_t k = 0; k < cols; ++k) {
      importance_[k] = 1.0F / (column(k)[k] * column(k)[k]);
    }
  }

  /// Column k of U.
  [[nodiscard]] const float* column(std::size_t k) const { return &factor_[k * cols_]; }

  std::vector<float> factor_;      // (cols, cols), column after column
  std::vector<float> importance_;  // (cols)
  std::size_t cols_;
};

inline Result<GptqFactor> GptqFactor::create(std::span<const float> hessian, std::size_t cols) {
  using Dense = Eigen::MatrixXd;  // column after column
  constexpr double kDamping = 0.01;
  const auto n = static_cast<Eigen::Index>(cols);
  // With rows and columns in reverse order the Cholesky factor is upper triangular: H = R R^T, so
  // H^-1 = R^-T R^-1, and U = R^-1.
  Dense H(n, n);
  double trace = 0.0;
  for (Eigen::Index i = 0; i < n; ++i) {
    for (Eigen::Index j = 0; j <= i; ++j) {
      H(n - 1 - j, n - 1 - i) = static_cast<double>(hessian[static_cast<std::size_t>(i * n + j)]);
    }
    trace += H(n - 1 - i, n - 1 - i);
  }
  const double mean = trace / static_cast<double>(cols);
  // A matrix whose inputs are all 0 can be rounded in any way.
  H.diagonal().array() += mean > 0.0 ? kDamping * mean : 1.0;
  const Eigen::LLT<Eigen::Ref<Dense>> cholesky(H);  // in place
  const Error singular = {ErrorCode::malformed,
                          "the inputs of the matrix must be finite numbers, found others"};
  if (cholesky.info() != Eigen::Success || !std::isfinite(trace)) return singular;
  Dense inverse = Dense::Identity(n, n);
  H.triangularView<Eigen::Lower>().solveInPlace(inverse);
  std::vector<float> factor(cols * cols, 0.0F);
  for (std::size_t k = 0; k < cols; ++k) {
    for (std::size_t i = 0; i <= k; ++i) {
      const auto row = n - 1 - static_cast<Eigen::Index>(i);
      const auto col = n - 1 - static_cast<Eigen::Index>(k);
      factor[k * cols + i] = static_cast<float>(inverse(row, col));
    }
  }
  return GptqFactor(std::move(factor), cols);
}

}  // namespace MAMBA2_ISA
}  // namespace mamba2
