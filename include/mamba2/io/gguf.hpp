// SPDX-License-Identifier: Apache-2.0
// The GGUF format: a header, metadata, a directory of tensors, their data.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/core/views.hpp"
#include "mamba2/io/gguf_cursor.hpp"
#include "mamba2/io/gguf_metadata.hpp"
#include "mamba2/io/gguf_types.hpp"
#include "mamba2/io/printable.hpp"
#include "mamba2/io/tensor_view.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// One parsed file. Views into bytes that somebody else owns and that must outlive it.
class Gguf {
 public:
  /// Checks every rule of the format: the tensors follow each other in the order of the directory,
  /// each begins on a multiple of general.alignment (32 if there is no such key) and lies inside
  /// the file. Shapes are turned round, the slowest dimension first. Memory is proportional to the
  /// directory. `name` is the file's, for messages. Errors: malformed, unsupported (another version
  /// or byte order, a type of tensor that read_floats cannot read).
  [[nodiscard]] static Result<Gguf> parse(std::span<const std::byte> bytes, std::string_view name);

  /// The same with the metadata of `bytes` parsed before.
  [[nodiscard]] static Result<Gguf> parse(std::span<const std::byte> bytes, GgufMetadata metadata);

  /// A file of this metadata with these tensors. Error malformed: one occurs twice.
  [[nodiscard]] static Result<Gguf> with_tensors(GgufMetadata metadata,
                                                 std::vector<TensorView> tensors);

  [[nodiscard]] const GgufMetadata& metadata() const noexcept { return metadata_; }

  /// The tensor of that name; nullptr if there is none.
  [[nodiscard]] const TensorView* find(std::string_view name) const { return table_.find(name); }

  /// All tensors in the order of their data.
  [[nodiscard]] std::span<const TensorView> tensors() const noexcept { return table_.tensors(); }

 private:
  Gguf(GgufMetadata metadata, TensorTable table)
      : metadata_(std::move(metadata)), table_(std::move(table)) {}

  GgufMetadata metadata_;
  TensorTable table_;
};

namespace detail {

/// Bytes of a tensor. Fails if its rows are not whole blocks, or it has 2^63 elements or more.
[[nodiscard]] inline std::uint64_t tensor_bytes(GgufCursor& cursor, DType dtype,
                                                std::span<const std::size_t> shape) {
  constexpr auto kMax = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  const std::size_t row = shape.empty() ? 1 : shape.back();
  if (row % dtype_block(dtype) != 0) {
    cursor.fail(ErrorCode::malformed, "rows of ", dtype_name(dtype), " must be a multiple of ",
                dtype_block(dtype), " long, found shape ", shape_text(shape));
  }
  std::uint64_t bytes = dtype_size(dtype);
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const std::size_t factor = i + 1 < shape.size() ? shape[i] : row / dtype_block(dtype);
    if (factor != 0 && bytes > kMax / factor) {
      cursor.fail(ErrorCode::malformed, "a tensor must have less than 2^63 bytes, found shape ",
                  shape_text(shape));
      return 0;
    }
    bytes *= factor;
  }
  return bytes;
}

/// An entry of the directory; its data is still to be found.
struct GgufEntry {
  TensorView tensor;
  std::uint64_t bytes = 0;
  std::uint64_t offset = 0;
};

[[nodiscard]] inline GgufEntry read_gguf_entry(GgufCursor& cursor, std::string_view file) {
  constexpr std::size_t kMaxName = 64;
  constexpr std::uint32_t kMaxDims = 4;
  GgufEntry entry;
  const std::string_view name = cursor.string("name");
  cursor.enter("tensor", name);
  if (name.size() > kMaxName) {
    cursor.fail(ErrorCode::malformed, "the name must have at most ", kMaxName, " bytes, found ",
                name.size());
  }
  const auto dims = cursor.number<std::uint32_t>("n_dims");
  if (dims > kMaxDims) {
    cursor.fail(ErrorCode::malformed, "n_dims must be at most ", kMaxDims, ", found ", dims);
  }
  for (std::uint32_t i = 0; i < dims && !cursor.failed(); ++i) {
    entry.tensor.shape.push_back(cursor.number<std::uint64_t>("dimensions"));
  }
  std::reverse(entry.tensor.shape.begin(), entry.tensor.shape.end());
  entry.tensor.name = name;
  entry.tensor.file = file;
  entry.tensor.dtype = read_tensor_type(cursor);
  entry.bytes = tensor_bytes(cursor, entry.tensor.dtype, entry.tensor.shape);
  entry.offset = cursor.number<std::uint64_t>("offset");
  return entry;
}

/// What the beginning of each tensor is a multiple of.
[[nodiscard]] inline Result<std::size_t> gguf_alignment(const GgufMetadata& metadata) {
  constexpr std::string_view kKey = "general.alignment";
  const GgufValue* value = metadata.find(kKey);
  if (value == nullptr) return std::size_t{32};
  const std::uint64_t alignment =
      value->type == GgufType::uint32 ? value->integer().value_or(0) : 0;
  if (alignment >= 8 && (alignment & (alignment - 1)) == 0) {
    return static_cast<std::size_t>(alignment);
  }
  return Error{ErrorCode::malformed,
               concat(metadata.file(), ": ", kKey, " must be a power of two from 8 on, a uint32, ",
                      "found ", describe(*value))};
}

/// Gives each tensor its data. `data` begins where that of the first tensor does.
[[nodiscard]] inline Result<std::vector<TensorView>> place_tensors(std::vector<GgufEntry> entries,
                                                                   std::span<const std::byte> data,
                                                                   std::size_t alignment) {
  std::vector<TensorView> tensors;
  tensors.reserve(entries.size());
  std::size_t end = 0;  // of the data placed so far, padding included
  for (GgufEntry& entry : entries) {
    TensorView& tensor = entry.tensor;
    const auto failure = [&](const auto&... reason) {
      return Error{ErrorCode::malformed,
                   concat(tensor.file, ": tensor ", in_quotes(tensor.name), ": ", reason...)};
    };
    if (entry.offset != end) {
      return failure("data must begin at offset ", end, " behind the data before it, found ",
                     entry.offset);
    }
    const std::size_t left = data.size() - std::min(end, data.size());
    if (entry.bytes > left) {
      return failure("expected ", entry.bytes, " bytes of data, found the end of the file after ",
                     left);
    }
    // A tensor without elements may stand at the very end, behind padding that is not there.
    tensor.data = data.subspan(std::min(end, data.size()), static_cast<std::size_t>(entry.bytes));
    end += round_up(tensor.data.size(), alignment);
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

}  // namespace detail

inline Result<Gguf> Gguf::parse(std::span<const std::byte> bytes, std::string_view name) {
  Result<GgufMetadata> metadata = GgufMetadata::parse(bytes, name);
  if (!metadata) return std::move(metadata).error();
  return parse(bytes, *std::move(metadata));
}

inline Result<Gguf> Gguf::parse(std::span<const std::byte> bytes, GgufMetadata metadata) {
  const Result<std::size_t> alignment = detail::gguf_alignment(metadata);
  if (!alignment) return alignment.error();

  const std::string& name = metadata.file();
  detail::GgufCursor cursor(bytes, name, metadata.end());
  const auto count = static_cast<std::size_t>(metadata.tensor_count());
  std::vector<detail::GgufEntry> entries;  // not reserved: the count may lie
  for (std::size_t i = 0; i < count && !cursor.failed(); ++i) {
    cursor.enter(detail::concat("tensor ", i + 1, " of ", count));
    entries.push_back(detail::read_gguf_entry(cursor, name));
  }
  if (cursor.error()) return *cursor.error();
  const std::size_t begin = detail::round_up(cursor.position(), *alignment);
  const auto data = bytes.subspan(std::min(begin, bytes.size()));
  Result<std::vector<TensorView>> tensors =
      detail::place_tensors(std::move(entries), data, *alignment);
  if (!tensors) return std::move(tensors).error();
  return with_tensors(std::move(metadata), *std::move(tensors));
}

inline Result<Gguf> Gguf::with_tensors(GgufMetadata metadata, std::vector<TensorView> tensors) {
  TensorTable table(std::move(tensors));
  if (const TensorView* twice = table.duplicate()) {
    return Error{ErrorCode::malformed,
                 detail::concat(twice->file, ": tensor ", detail::in_quotes(twice->name),
                                " must occur once, found it twice")};
  }
  return Gguf(std::move(metadata), std::move(table));
}

}  // namespace MAMBA2_ISA
}  // namespace mamba2
