// SPDX-License-Identifier: Apache-2.0
// Writes GGUF files, version 3.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/linkage.hpp"
#include "mamba2/core/result.hpp"
#include "mamba2/core/views.hpp"
#include "mamba2/formats/dtype.hpp"
#include "mamba2/io/gguf_value.hpp"
#include "mamba2/io/tensor_stream.hpp"

#if MAMBA2_HAS_DEFINITIONS
#include "mamba2/io/gguf_types.hpp"
#endif

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// Bytes one after the other, in the encodings of GGUF.
class GgufBytes {
 public:
  GgufBytes& raw(std::span<const std::byte> data) {
    bytes_.insert(bytes_.end(), data.begin(), data.end());
    return *this;
  }
  template <class Number>
  GgufBytes& number(Number number) {
    return raw(std::as_bytes(std::span(&number, 1)));
  }
  GgufBytes& type(GgufType type) { return number(static_cast<std::uint32_t>(type)); }
  GgufBytes& string(std::string_view text) {
    return number(std::uint64_t{text.size()}).raw(std::as_bytes(std::span(text)));
  }
  GgufBytes& array(GgufType element, std::size_t count) {
    return type(GgufType::array).type(element).number(std::uint64_t{count});
  }
  void pad(std::size_t alignment) { bytes_.resize(round_up(bytes_.size(), alignment)); }

  [[nodiscard]] const std::vector<std::byte>& bytes() const noexcept { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

}  // namespace detail

/// Writes one file: set all keys and announce all tensors, start(), write() the tensors' data in
/// that order, finish(). The data is never in memory as a whole.
class GgufWriter {
 public:
  /// Sets a key, in place of what it had before. A key is 1..65535 printable ASCII characters.
  void set_integer(std::string_view key, std::uint32_t value) {
    encode(key, GgufType::uint32).number(value);
  }
  void set_number(std::string_view key, float value) {
    encode(key, GgufType::float32).number(value);
  }
  void set_flag(std::string_view key, bool value) {
    encode(key, GgufType::boolean).number(static_cast<std::uint8_t>(value));
  }
  void set_text(std::string_view key, std::string_view value) {
    encode(key, GgufType::string).string(value);
  }
  void set_texts(std::string_view key, std::span<const std::string> values) {
    detail::GgufBytes& bytes = encode(key).array(GgufType::string, values.size());
    for (const std::string& value : values) bytes.string(value);
  }
  void set_integers(std::string_view key, std::span<const std::int32_t> values) {
    encode(key).array(GgufType::int32, values.size()).raw(std::as_bytes(values));
  }
  void set_numbers(std::string_view key, std::span<const float> values) {
    encode(key).array(GgufType::float32, values.size()).raw(std::as_bytes(values));
  }
  /// A value as it lies in another file.
  void set_value(std::string_view key, const GgufValue& value);

  [[nodiscard]] bool has_key(std::string_view key) const {
    return std::any_of(keys_.begin(), keys_.end(),
                       [key](const Key& known) { return known.name == key; });
  }

  /// Announces a tensor; `shape` as everywhere in this library, the slowest dimension first. Errors
  /// invalid_argument: a name twice or longer than 63 bytes, more than 4 dimensions, no elements,
  /// rows that are not whole blocks, a type that the format does not have.
  [[nodiscard]] Result<void> add_tensor(std::string_view name, DType dtype,
                                        std::span<const std::size_t> shape);

  /// Writes the header. Errors of the sink.
  [[nodiscard]] Result<void> start(ByteSink sink);

  /// Data of the tensors: parts of one, or several, without padding. Errors: invalid_argument (more
  /// than was announced), those of the sink.
  [[nodiscard]] Result<void> write(std::span<const std::byte> data) { return stream_.write(data); }

  /// Error invalid_argument: data is missing.
  [[nodiscard]] Result<void> finish() const { return stream_.finish(); }

 private:
  static constexpr std::size_t kAlignment = 32;  // where general.alignment is absent

  struct Key {
    std::string name;
    detail::GgufBytes value;  // with its type
  };

  /// The place for the value of a key.
  detail::GgufBytes& encode(std::string_view key) {
    std::erase_if(keys_, [key](const Key& known) { return known.name == key; });
    return keys_.emplace_back(Key{std::string(key), {}}).value;
  }
  detail::GgufBytes& encode(std::string_view key, GgufType type) { return encode(key).type(type); }

  std::vector<Key> keys_;
  std::uint64_t tensor_count_ = 0;
  detail::GgufBytes directory_;
  detail::TensorStream stream_{kAlignment};
};

#if MAMBA2_HAS_DEFINITIONS

namespace detail {

/// The number of a type in files; nothing if the format does not have it.
[[nodiscard]] inline std::optional<std::uint32_t> ggml_type_number(DType dtype) noexcept {
  const auto at = std::find(kGgmlTypes.begin(), kGgmlTypes.end(), dtype_name(dtype));
  if (at == kGgmlTypes.end()) return std::nullopt;
  return static_cast<std::uint32_t>(at - kGgmlTypes.begin());
}

}  // namespace detail

MAMBA2_FUNCTION void GgufWriter::set_value(std::string_view key, const GgufValue& value) {
  detail::GgufBytes& bytes = encode(key);
  if (value.is_array) {
    bytes.array(value.type, value.count);
  } else {
    bytes.type(value.type);
    if (value.type == GgufType::string) bytes.number(std::uint64_t{value.data.size()});
  }
  bytes.raw(value.data);
}

MAMBA2_FUNCTION Result<void> GgufWriter::add_tensor(std::string_view name, DType dtype,
                                                    std::span<const std::size_t> shape) {
  constexpr std::size_t kMaxName = 63;
  constexpr std::size_t kMaxDims = 4;
  const auto failure = [name](const auto&... reason) {
    return Error{ErrorCode::invalid_argument,
                 detail::concat("tensor ", detail::in_quotes(name), reason...)};
  };
  const auto type = detail::ggml_type_number(dtype);
  if (!type) return failure(": GGUF has no type ", dtype_name(dtype));
  if (stream_.has(name)) return failure(" is announced twice");
  if (name.size() > kMaxName) return failure(": the name must have at most ", kMaxName, " bytes");
  if (shape.size() > kMaxDims) {
    return failure(": must have at most ", kMaxDims, " dimensions, found ", shape.size());
  }
  const Result<std::size_t> bytes = detail::announced_bytes(name, dtype, shape);
  if (!bytes) return bytes.error();
  directory_.string(name).number(static_cast<std::uint32_t>(shape.size()));
  for (std::size_t i = shape.size(); i-- > 0;) directory_.number(std::uint64_t{shape[i]});
  directory_.number(*type).number(std::uint64_t{stream_.add(name, *bytes)});
  ++tensor_count_;
  return {};
}

MAMBA2_FUNCTION Result<void> GgufWriter::start(ByteSink sink) {
  constexpr std::string_view kMagic = "GGUF";
  constexpr std::uint32_t kVersion = 3;
  detail::GgufBytes header;
  header.raw(std::as_bytes(std::span(kMagic))).number(kVersion);
  header.number(tensor_count_).number(std::uint64_t{keys_.size()});
  for (const Key& key : keys_) header.string(key.name).raw(key.value.bytes());
  header.raw(directory_.bytes()).pad(kAlignment);
  return stream_.start(std::move(sink), header.bytes());
}

#endif

}  // namespace MAMBA2_ISA
}  // namespace mamba2
