// SPDX-License-Identifier: Apache-2.0
// Writes safetensors files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/linkage.hpp"
#include "mamba2/core/result.hpp"
#include "mamba2/core/views.hpp"
#include "mamba2/formats/dtype.hpp"
#include "mamba2/io/tensor_stream.hpp"

#if MAMBA2_HAS_DEFINITIONS
#include "mamba2/io/json_writer.hpp"
#include "mamba2/io/printable.hpp"
#endif

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// Writes one file: announce all tensors, start(), write() their data in that order, finish(). The
/// data is never in memory as a whole.
class SafetensorsWriter {
 public:
  /// Announces a tensor; `shape` as in PyTorch. Errors invalid_argument: a name twice, no
  /// elements, a type that the format does not have.
  [[nodiscard]] Result<void> add_tensor(std::string_view name, DType dtype,
                                        std::span<const std::size_t> shape);

  /// Writes the header, with "format": "pt" as its metadata, which transformers asks for. Errors of
  /// the sink.
  [[nodiscard]] Result<void> start(ByteSink sink);

  /// Data of the tensors, little-endian: parts of one, or several. Errors: invalid_argument (more
  /// than was announced), those of the sink.
  [[nodiscard]] Result<void> write(std::span<const std::byte> data) { return stream_.write(data); }

  /// Error invalid_argument: data is missing.
  [[nodiscard]] Result<void> finish() const { return stream_.finish(); }

 private:
  struct Entry {
    std::string name;
    DType dtype;
    std::vector<std::size_t> shape;
    std::size_t begin, end;  // of its data
  };

  std::vector<Entry> entries_;
  detail::TensorStream stream_{1};  // the format has no room for padding
};

#if MAMBA2_HAS_DEFINITIONS

MAMBA2_FUNCTION Result<void> SafetensorsWriter::add_tensor(std::string_view name, DType dtype,
                                                           std::span<const std::size_t> shape) {
  const auto failure = [name](const auto&... reason) {
    return Error{ErrorCode::invalid_argument,
                 detail::concat("tensor ", detail::in_quotes(name), reason...)};
  };
  if (is_quantized(dtype)) return failure(": safetensors has no type ", dtype_name(dtype));
  if (stream_.has(name)) return failure(" is announced twice");
  const Result<std::size_t> bytes = detail::announced_bytes(name, dtype, shape);
  if (!bytes) return bytes.error();
  const std::size_t begin = stream_.add(name, *bytes);
  entries_.push_back(
      {std::string(name), dtype, {shape.begin(), shape.end()}, begin, begin + *bytes});
  return {};
}

MAMBA2_FUNCTION Result<void> SafetensorsWriter::start(ByteSink sink) {
  detail::JsonWriter header(-1);
  header.start_object();
  header.key("__metadata__");
  header.start_object();
  header.member("format", "pt");
  header.end_object();
  for (const Entry& entry : entries_) {
    header.key(entry.name);
    header.start_object();
    header.member("dtype", dtype_name(entry.dtype));
    header.member("shape", entry.shape);
    header.member("data_offsets", {entry.begin, entry.end});
    header.end_object();
  }
  header.end_object();
  std::string text = std::move(header).text();
  text.resize(detail::round_up(text.size(), 8), ' ');  // so that data is aligned
  const std::uint64_t length = text.size();
  std::vector<std::byte> bytes(sizeof length + text.size());
  std::memcpy(bytes.data(), &length, sizeof length);
  std::memcpy(bytes.data() + sizeof length, text.data(), text.size());
  return stream_.start(std::move(sink), bytes);
}

#endif

}  // namespace MAMBA2_ISA
}  // namespace mamba2
