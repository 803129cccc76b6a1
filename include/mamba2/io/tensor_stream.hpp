// SPDX-License-Identifier: Apache-2.0
// The data of many tensors on its way into one file.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/core/views.hpp"
#include "mamba2/formats/dtype.hpp"
#include "mamba2/io/printable.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// Takes the bytes of a file one after the other: into memory, or AtomicFile::write.
using ByteSink = std::function<Result<void>(std::span<const std::byte>)>;

namespace detail {

/// Counts the bytes of announced tensors as they pass, and pads each to a multiple.
class TensorStream {
 public:
  /// @param alignment what the data of a tensor is padded to, at most 64 bytes
  explicit TensorStream(std::size_t alignment) : alignment_(alignment) {}

  /// Announces a tensor. Returns where its data will begin.
  std::size_t add(std::string_view name, std::size_t bytes) {
    const std::size_t begin = end_;
    tensors_.push_back({std::string(name), bytes});
    end_ += round_up(bytes, alignment_);
    return begin;
  }

  [[nodiscard]] bool has(std::string_view name) const {
    return std::any_of(tensors_.begin(), tensors_.end(),
                       [name](const Tensor& tensor) { return tensor.name == name; });
  }

  /// What comes before the data; nothing can be announced after it.
  Result<void> start(ByteSink sink, std::span<const std::byte> header) {
    sink_ = std::move(sink);
    return sink_(header);
  }

  /// Data, in the order of the tensors; a call may bring a part of a tensor, or several.
  /// Errors: invalid_argument (more than was announced, or nothing was), those of the sink.
  Result<void> write(std::span<const std::byte> data) {
    while (!data.empty()) {
      if (!sink_ || next_ == tensors_.size()) {
        return Error{ErrorCode::invalid_argument,
                     concat("all tensors are written, found ", data.size(), " bytes more")};
      }
      const Tensor& tensor = tensors_[next_];
      const auto part = data.first(std::min(data.size(), tensor.bytes - written_));
      if (Result<void> sunk = sink_(part); !sunk) return sunk;
      written_ += part.size();
      data = data.subspan(part.size());
      if (written_ < tensor.bytes) continue;
      if (Result<void> padded = pad(tensor.bytes); !padded) return padded;
      written_ = 0;
      ++next_;
    }
    return {};
  }

  /// Error invalid_argument: data is missing.
  [[nodiscard]] Result<void> finish() const {
    if (next_ == tensors_.size()) return {};
    return Error{ErrorCode::invalid_argument,
                 concat("tensor ", in_quotes(tensors_[next_].name), " must have ",
                        tensors_[next_].bytes, " bytes, found ", written_)};
  }

 private:
  struct Tensor {
    std::string name;
    std::size_t bytes;  // at least 1
  };

  Result<void> pad(std::size_t bytes) {
    constexpr std::array<std::byte, 64> kZeros{};
    const std::size_t over = bytes % alignment_;
    return over == 0 ? Result<void>() : sink_(std::span(kZeros).first(alignment_ - over));
  }

  std::size_t alignment_;
  std::vector<Tensor> tensors_;
  std::size_t end_ = 0;      // of the data announced so far
  std::size_t next_ = 0;     // the tensor that is being written
  std::size_t written_ = 0;  // bytes of it
  ByteSink sink_;
};

/// Bytes of a tensor. Error invalid_argument: no elements, too many, or rows that are not whole
/// blocks.
[[nodiscard]] inline Result<std::size_t> announced_bytes(std::string_view name, DType dtype,
                                                         std::span<const std::size_t> shape) {
  const std::size_t block = dtype_block(dtype);
  const std::size_t row = shape.empty() ? 1 : shape.back();
  const auto elements = element_count(shape);
  const auto bytes = elements ? checked_product(*elements / block, dtype_size(dtype)) : elements;
  if (bytes && *bytes > 0 && row % block == 0) return *bytes;
  return Error{ErrorCode::invalid_argument,
               concat("tensor ", in_quotes(name), " must have whole blocks of ", dtype_name(dtype),
                      " in its rows, and less than 2^64 bytes, found shape ", shape_text(shape))};
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
