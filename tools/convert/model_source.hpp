// SPDX-License-Identifier: Apache-2.0
// Where the converter reads a model: a checkpoint, or random weights.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <mamba2/formats/dtype_range.hpp>
#include <mamba2/io/checked_read.hpp>
#include <mamba2/mamba2.hpp>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "tools/cli.hpp"
#include "tools/convert/random_model.hpp"

namespace convert {

/// The tensors of a model as floats, whatever they are stored as.
class ModelSource {
 public:
  /// Errors: those of Checkpoint::open.
  [[nodiscard]] static mamba2::Result<ModelSource> open(const std::filesystem::path& path) {
    auto checkpoint = mamba2::Checkpoint::open(path);
    if (!checkpoint) return std::move(checkpoint).error();
    cli::show_notes(checkpoint->notes());
    return ModelSource(*std::move(checkpoint));
  }
  [[nodiscard]] static ModelSource random(const mamba2::Config& config) {
    return ModelSource(RandomModel(config));
  }

  [[nodiscard]] const mamba2::Config& config() const {
    return checkpoint_ ? checkpoint_->config() : random_->config();
  }

  /// What the matrices are stored as.
  [[nodiscard]] mamba2::DType dtype() const {
    if (!checkpoint_) return mamba2::DType::F32;
    for (const mamba2::TensorView& tensor : checkpoint_->tensors()) {
      const auto spec = mamba2::expected_tensor(config(), tensor.name);
      if (spec && spec->role == mamba2::Role::matrix) return tensor.dtype;
    }
    return mamba2::DType::F32;
  }

  /// Whether a matrix has lost precision already.
  [[nodiscard]] bool is_quantized() const {
    if (!checkpoint_) return false;
    const auto tensors = checkpoint_->tensors();
    return std::any_of(tensors.begin(), tensors.end(), [](const auto& tensor) {
      return mamba2::is_quantized(tensor.dtype) || mamba2::is_fp8(tensor.dtype);
    });
  }

  /// The checkpoint; nullptr where weights are random.
  [[nodiscard]] const mamba2::Checkpoint* checkpoint() const {
    return checkpoint_ ? &*checkpoint_ : nullptr;
  }

  /// Reads the elements [first, first + out.size()) of a tensor. "mixer.A" is -exp of
  /// "mixer.A_log", whichever of both is stored. The range begins and ends with a block of whatever
  /// type the tensor is stored as: with a multiple of 256, or the end.
  void read(std::string_view canonical, std::size_t first, std::span<float> out) const {
    if (has(canonical)) return read_stored(canonical, first, out);
    constexpr std::string_view kLog = "_log";
    if (canonical.ends_with(kLog)) {
      read_stored(canonical.substr(0, canonical.size() - kLog.size()), first, out);
      for (float& value : out) value = static_cast<float>(std::log(-double{value}));
    } else {
      read_stored(mamba2::detail::concat(canonical, kLog), first, out);
      for (float& value : out) value = -std::exp(value);
    }
  }

  /// The elements of a tensor as they lie in the file, if they are of this type there; else
  /// nothing. The range as in read.
  [[nodiscard]] std::span<const std::byte> stored(std::string_view canonical, mamba2::DType dtype,
                                                  std::size_t first, std::size_t count) const {
    const mamba2::TensorView* tensor = checkpoint_ ? checkpoint_->find(canonical) : nullptr;
    if (tensor == nullptr || tensor->dtype != dtype) return {};
    return tensor->part(first, count);
  }

  /// The error for an element that cannot be written as this type.
  [[nodiscard]] mamba2::Error bad_element(std::string_view canonical, mamba2::DType dtype,
                                          const mamba2::detail::BadElement& bad) const {
    const mamba2::TensorView* tensor = checkpoint_ ? checkpoint_->find(canonical) : nullptr;
    const float most = mamba2::max_encodable(dtype);
    return {mamba2::ErrorCode::malformed,
            mamba2::detail::concat(tensor != nullptr ? tensor->file + ": " : "", "tensor ",
                                   canonical, ": element ", bad.index, " must be ",
                                   mamba2::detail::expected_of(bad, most, dtype_name(dtype)),
                                   ", found ", bad.value)};
  }

  /// Gives back the memory that reading took.
  void release(std::string_view canonical, std::size_t first, std::size_t count) const {
    const mamba2::TensorView* tensor = checkpoint_ ? checkpoint_->find(canonical) : nullptr;
    if (tensor != nullptr) checkpoint_->release(tensor->part(first, count));
  }

 private:
  explicit ModelSource(mamba2::Checkpoint checkpoint) : checkpoint_(std::move(checkpoint)) {}
  explicit ModelSource(RandomModel random) : random_(std::move(random)) {}

  [[nodiscard]] bool has(std::string_view canonical) const {
    return checkpoint_ ? checkpoint_->find(canonical) != nullptr : !canonical.ends_with(".A");
  }
  void read_stored(std::string_view canonical, std::size_t first, std::span<float> out) const {
    if (random_) return random_->read(canonical, first, out);
    mamba2::read_floats(checkpoint_->tensor(canonical), first, out);
  }

  std::optional<mamba2::Checkpoint> checkpoint_;
  std::optional<RandomModel> random_;
};

}  // namespace convert
