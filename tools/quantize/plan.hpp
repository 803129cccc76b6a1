// SPDX-License-Identifier: Apache-2.0
// What every matrix of a model shall become.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <mamba2/io/quantization.hpp>
#include <mamba2/io/tensor_names.hpp>
#include <mamba2/kernels/hadamard.hpp>
#include <mamba2/mamba2.hpp>
#include <mamba2/quantize/quantize_rows.hpp>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace quantize {

using mamba2::DType;

/// Whether a type has codes of 4 bits that this program chooses.
[[nodiscard]] constexpr bool is_4_bits(DType dtype) {
  return dtype == DType::Q4_0 || (mamba2::has_scales(dtype) && dtype != DType::INT8);
}

/// A matrix and what it shall become.
struct Target {
  std::string name;  ///< canonical, without ".weight"
  std::size_t rows, cols;
  mamba2::StoredFormat format = {};
  bool kept = false;  ///< the user has chosen it
  bool may_rotate = false;

  [[nodiscard]] std::string tensor() const { return name + ".weight"; }
  [[nodiscard]] std::size_t bytes() const { return bytes_as(format.dtype); }
  [[nodiscard]] std::size_t bytes_as(DType dtype) const {
    const std::size_t codes = rows * cols / mamba2::dtype_block(dtype) * mamba2::dtype_size(dtype);
    return mamba2::has_scales(dtype) ? codes + mamba2::scales_bytes(dtype, rows, cols) : codes;
  }
};

/// "layers.3.mixer.in_proj" as people write it: "layers.3.in_proj".
[[nodiscard]] inline std::string short_name(std::string name) {
  constexpr std::string_view kMixer = "mixer.";
  if (const auto at = name.find(kMixer); at != std::string::npos) name.erase(at, kMixer.size());
  return name;
}

/// The widths that --rotation names.
[[nodiscard]] inline std::size_t usual_rotation(std::size_t cols) {
  return mamba2::kernels::hadamard_width(cols, mamba2::Int8::kRotation);
}
[[nodiscard]] inline std::size_t no_rotation(std::size_t) { return 1; }

/// Precisions as people write them.
struct Precisions {
  DType int4;    ///< INT4 with the groups that were asked for
  bool to_gguf;  ///< then the types are those of GGUF
  /// Of matrices that may be rotated: the width of the Hadamard blocks for so many columns.
  std::size_t (*rotation)(std::size_t cols);

  [[nodiscard]] std::optional<DType> parse(std::string_view name) const {
    if (name == "int4") return to_gguf ? DType::Q4_0 : int4;
    if (name == "int8") return to_gguf ? DType::Q8_0 : DType::INT8;
    if (name == "fp16") return DType::F16;
    if (name == "bf16") return DType::BF16;
    if (name == "fp32") return DType::F32;
    return std::nullopt;
  }
};

/// All matrices of a model, each with the precision of its kind.
class Plan {
 public:
  /// base: INT8 or INT4 (in GGUF Q8_0 or Q4_0). The embedding and the head are INT8 with either, as
  /// 4 bits destroy the embedding of a small model; in GGUF with Q4_0 the head is Q6_K.
  Plan(const mamba2::Config& config, DType base, const Precisions& precisions)
      : precisions_(precisions), tied_(config.tie_embeddings) {
    const DType head = *precisions.parse("int8");
    (void)mamba2::expected_tensors(config, [&](const mamba2::TensorSpec& spec) {
      constexpr std::size_t kSuffix = std::string_view(".weight").size();
      if (!mamba2::is_matrix(spec.role)) return mamba2::Result<void>();
      Target target = {spec.name.substr(0, spec.name.size() - kSuffix), spec.shape[0],
                       spec.shape[1]};
      target.may_rotate = spec.may_rotate;
      const bool is_head = spec.role == (tied_ ? mamba2::Role::embedding : mamba2::Role::head);
      const bool is_other = spec.role == mamba2::Role::matrix;
      const DType dtype = is_head && base == DType::Q4_0 ? DType::Q6_K : is_other ? base : head;
      target.format = format_of(target, dtype);
      by_tensor_.emplace(spec.name, targets_.size());
      targets_.push_back(std::move(target));
      return mamba2::Result<void>();
    });
  }

  /// "NAME=TYPE" for one kind of matrix, or one matrix. Error invalid_argument.
  [[nodiscard]] mamba2::Result<void> keep(std::string_view text) {
    const std::size_t equals = std::min(text.find('='), text.size());
    const std::string_view name = text.substr(0, equals);
    const auto dtype = precisions_.parse(text.substr(std::min(text.size(), equals + 1)));
    const auto failure = [&](std::string_view expected) {
      return mamba2::Error{mamba2::ErrorCode::invalid_argument,
                           mamba2::detail::concat("--keep ", text, ": expected ", expected)};
    };
    if (!dtype) return failure("NAME=TYPE with a type of int4, int8, fp16, bf16 or fp32");
    if (name == "lm_head" && tied_) return failure("embedding, which is this model's head, too");
    std::size_t found = 0;
    for (Target& target : targets_) {
      const std::string full = short_name(target.name);
      const bool is_kind = full.ends_with(name) && full.size() > name.size() &&
                           full[full.size() - name.size() - 1] == '.';
      if (full != name && target.name != name && !is_kind) continue;
      target.format = format_of(target, *dtype);
      target.kept = true;
      ++found;
    }
    if (found > 0) return {};
    return failure(
        "embedding, lm_head, in_proj, out_proj or one of a layer, layers.0.in_proj (a matrix has "
        "one precision: parts of one cannot be named)");
  }

  /// A matrix in this type, rotated where it can be; in another type if its rows are not whole
  /// groups: INT8; in GGUF Q8_0 for Q6_K, else F16.
  [[nodiscard]] mamba2::StoredFormat format_of(const Target& target, DType dtype) const {
    const auto fits = [&] { return target.cols % mamba2::dtype_block(dtype) == 0; };
    if (!fits() && dtype == DType::Q6_K) dtype = DType::Q8_0;
    if (!fits()) dtype = precisions_.to_gguf ? DType::F16 : DType::INT8;
    const bool rotated = mamba2::has_scales(dtype) && target.may_rotate;
    return {dtype, rotated ? precisions_.rotation(target.cols) : 1};
  }

  [[nodiscard]] std::vector<Target>& targets() { return targets_; }
  [[nodiscard]] const std::vector<Target>& targets() const { return targets_; }
  [[nodiscard]] const Precisions& precisions() const { return precisions_; }
  /// Whether the embedding is the head, too.
  [[nodiscard]] bool tied() const { return tied_; }

  /// The target of a tensor; nullptr if it is no matrix.
  [[nodiscard]] const Target* find(std::string_view tensor) const {
    const auto found = by_tensor_.find(tensor);
    return found == by_tensor_.end() ? nullptr : &targets_[found->second];
  }

  [[nodiscard]] mamba2::Quantization quantization() const {
    mamba2::Quantization all;
    for (const Target& target : targets_) {
      if (mamba2::has_scales(target.format.dtype)) all[target.name] = target.format;
    }
    return all;
  }

 private:
  Precisions precisions_;
  bool tied_;
  std::vector<Target> targets_;
  std::map<std::string, std::size_t, std::less<>> by_tensor_;  // there may be many: experts
};

}  // namespace quantize
