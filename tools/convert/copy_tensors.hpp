// SPDX-License-Identifier: Apache-2.0
// From a model's tensors to the bytes of a file, a few megabytes at a time.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <mamba2/export.hpp>
#include <mamba2/io/checked_read.hpp>
#include <mamba2/mamba2.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tools/convert/model_source.hpp"

namespace convert {

/// Told the elements written so far and all there are; answers whether to go on.
using Report = std::function<bool(std::size_t done, std::size_t total)>;

/// Makes a buffer at least so large; what was in it may be lost. Memory is touched once, and no
/// more of it than the largest piece needs.
template <class Element>
void grow(std::vector<Element>& buffer, std::size_t count) {
  if (buffer.size() >= count) return;
  buffer.clear();
  buffer.resize(count);
}

/// Writes the data of tensors that a writer has announced. To be kept from one to the next: its
/// buffers are as large as the largest needed.
/// @tparam Writer GgufWriter or SafetensorsWriter
template <class Writer>
class TensorCopier {
 public:
  TensorCopier(const ModelSource& source, mamba2::Executor& executor, Writer& writer)
      : source_(source), executor_(executor), writer_(writer) {}

  /// Errors: malformed (a value that is not finite, or too large for its type), those of the
  /// writer, io (interrupted).
  mamba2::Result<void> copy(std::span<const mamba2::ExportedTensor> tensors, const Report& report) {
    std::size_t done = 0;
    std::size_t total = 0;
    for (const auto& tensor : tensors) total += tensor.elements();
    for (const auto& tensor : tensors) {
      const std::size_t elements = tensor.elements();
      for (std::size_t first = 0; first < elements; first += kTasks * kTask) {
        const std::size_t count = std::min(kTasks * kTask, elements - first);
        if (auto copied = copy_slab(tensor, first, count); !copied) return copied;
        tensor.for_each_piece(first, count,
                              [&](const std::string& canonical, std::size_t begin, std::size_t n) {
                                source_.release(canonical, begin, n);
                              });
        done += count;
        if (!report(done, total)) {
          return mamba2::Error{mamba2::ErrorCode::io, "interrupted"};
        }
      }
    }
    return {};
  }

 private:
  // Elements of a task: whole blocks of every type. Tasks of a slab: enough for many threads.
  static constexpr std::size_t kTask = std::size_t{1} << 16;
  static constexpr std::size_t kTasks = 64;

  mamba2::Result<void> copy_slab(const mamba2::ExportedTensor& tensor, std::size_t first,
                                 std::size_t count) {
    const std::size_t tasks = (count + kTask - 1) / kTask;
    // As they lie in the file: written from there.
    const auto stored = tensor.is_as_stored()
                            ? source_.stored(tensor.canonical, tensor.dtype, first, count)
                            : std::span<const std::byte>();
    grow(floats_, count);
    if (stored.empty()) grow(bytes_, bytes_of(tensor.dtype, count));
    bad_.resize(tasks);
    executor_.run(tasks, [&](std::size_t i) {
      const std::size_t begin = i * kTask;
      std::byte* out = stored.empty() ? bytes_.data() + bytes_of(tensor.dtype, begin) : nullptr;
      bad_[i] = copy_task(tensor, first + begin,
                          std::span(floats_).subspan(begin, std::min(kTask, count - begin)), out);
    });
    for (std::size_t i = 0; i < tasks; ++i) {
      if (bad_[i]) return source_.bad_element(bad_[i]->canonical, tensor.dtype, bad_[i]->element);
    }
    return writer_.write(stored.empty() ? std::span(bytes_).first(bytes_of(tensor.dtype, count))
                                        : stored);
  }

  struct Bad {
    std::string canonical;
    mamba2::detail::BadElement element;
  };

  /// Checks the elements of a tensor from `first` on, and writes them to `out` unless it is
  /// nullptr.
  std::optional<Bad> copy_task(const mamba2::ExportedTensor& tensor, std::size_t first,
                               std::span<float> floats, std::byte* out) {
    std::optional<Bad> bad;
    std::size_t at = first;
    tensor.for_each_piece(
        first, floats.size(), [&](const std::string& canonical, std::size_t begin, std::size_t n) {
          const auto values = floats.first(n);
          floats = floats.subspan(n);
          if (bad) return;
          const auto stored = tensor.factors.empty()
                                  ? source_.stored(canonical, tensor.dtype, begin, n)
                                  : std::span<const std::byte>();
          source_.read(canonical, begin, values);
          tensor.scale(at, values);
          at += n;
          // What is copied has lost nothing, whatever the codes that this program would choose.
          const float most =
              stored.empty() ? mamba2::max_encodable(tensor.dtype) : mamba2::detail::kNoLimit;
          if (const auto found = mamba2::detail::find_bad(values, begin, most)) {
            bad = Bad{canonical, *found};
          } else if (out != nullptr && stored.empty()) {
            mamba2::encode_floats(tensor.dtype, values, out);
          } else if (out != nullptr) {
            std::copy(stored.begin(), stored.end(), out);
          }
          if (out != nullptr) out += bytes_of(tensor.dtype, n);
        });
    return bad;
  }

  [[nodiscard]] static std::size_t bytes_of(mamba2::DType dtype, std::size_t count) {
    return count / mamba2::dtype_block(dtype) * mamba2::dtype_size(dtype);
  }

  const ModelSource& source_;
  mamba2::Executor& executor_;
  Writer& writer_;
  std::vector<float> floats_;
  std::vector<std::byte> bytes_;
  std::vector<std::optional<Bad>> bad_;  // one for each task
};

}  // namespace convert
