// SPDX-License-Identifier: Apache-2.0
// The beginning of a GGUF file: its header and its metadata, keys with values.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/io/gguf_cursor.hpp"
#include "mamba2/io/gguf_value.hpp"
#include "mamba2/io/printable.hpp"
#include "mamba2/io/stand_in.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// Whether a file says of itself that it is GGUF.
[[nodiscard]] inline bool is_gguf(std::span<const std::byte> bytes) noexcept {
  constexpr std::string_view kMagic = "GGUF";
  return bytes.size() >= kMagic.size() &&
         std::string_view(reinterpret_cast<const char*>(bytes.data()), kMagic.size()) == kMagic;
}

/// The metadata of one file. Views into bytes that somebody else owns and that must outlive it.
class GgufMetadata {
 public:
  /// Checks every rule of the format that concerns this part: versions 2 and 3, little-endian. What
  /// follows is not looked at. Memory is proportional to the number of keys. `name` is the file's,
  /// for messages. Errors: malformed, unsupported (another version or byte order).
  [[nodiscard]] static Result<GgufMetadata> parse(std::span<const std::byte> bytes,
                                                  std::string_view name);

  /// The value of a key; nullptr if it is absent.
  [[nodiscard]] const GgufValue* find(std::string_view key) const;

  /// Calls visit(key, value) for every key, in their alphabetic order.
  template <class Visit>
  void for_each(Visit&& visit) const {
    for (const auto& [key, value] : entries_) visit(key, value);
  }

  [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }

  /// Tensors that the header announces.
  [[nodiscard]] std::uint64_t tensor_count() const noexcept { return tensor_count_; }
  /// Where the metadata ends and the directory of tensors begins.
  [[nodiscard]] std::size_t end() const noexcept { return end_; }
  [[nodiscard]] const std::string& file() const noexcept { return file_; }

 private:
  using Entry = std::pair<std::string_view, GgufValue>;

  std::vector<Entry> entries_;  // sorted by key
  std::uint64_t tensor_count_ = 0;
  std::size_t end_ = 0;
  std::string file_;
};

namespace detail {

[[nodiscard]] inline GgufType read_gguf_type(GgufCursor& cursor) {
  const auto type = cursor.number<std::uint32_t>("value type");
  if (type < kGgufTypeNames.size()) return static_cast<GgufType>(type);
  cursor.fail(ErrorCode::malformed, "value type must be in 0..", kGgufTypeNames.size() - 1,
              ", found ", type);
  return GgufType::uint8;
}

/// The type and the number of an array's elements, which follow.
[[nodiscard]] inline GgufValue read_array_start(GgufCursor& cursor) {
  GgufValue array;
  array.is_array = true;
  array.type = read_gguf_type(cursor);
  array.count = cursor.count("array length", gguf_type_size(array.type));
  return array;
}

/// Reads past values of a type. Arrays within arrays may be nested to a depth of 4.
inline void skip_values(GgufCursor& cursor, GgufType type, std::size_t count, int depth = 0) {
  constexpr int kMaxDepth = 4;
  if (type == GgufType::string) {
    for (std::size_t i = 0; i < count && !cursor.failed(); ++i) (void)cursor.string("string");
  } else if (type == GgufType::array) {
    if (depth == kMaxDepth) {
      cursor.fail(ErrorCode::unsupported, "arrays must be nested at most ", kMaxDepth, " deep");
    }
    for (std::size_t i = 0; i < count && !cursor.failed(); ++i) {
      const GgufValue array = read_array_start(cursor);
      skip_values(cursor, array.type, array.count, depth + 1);
    }
  } else {
    const auto values = cursor.bytes(count * gguf_type_size(type), gguf_type_name(type));
    const bool is_boolean = type == GgufType::boolean;
    const auto wrong = std::find_if(values.begin(), values.end(), [is_boolean](std::byte value) {
      return is_boolean && value > std::byte{1};
    });
    if (wrong != values.end()) {
      cursor.fail(ErrorCode::malformed, "a bool must be 0 or 1, found ",
                  std::to_integer<unsigned>(*wrong));
    }
  }
}

[[nodiscard]] inline GgufValue read_gguf_value(std::span<const std::byte> bytes,
                                               GgufCursor& cursor) {
  GgufValue value;
  value.type = read_gguf_type(cursor);
  if (value.type == GgufType::string) {
    value.data = std::as_bytes(std::span(cursor.string("string")));
    return value;
  }
  if (value.type == GgufType::array) value = read_array_start(cursor);
  const std::size_t begin = cursor.position();
  skip_values(cursor, value.type, value.count);
  value.data = bytes.subspan(begin, cursor.position() - begin);
  return value;
}

/// Whether a key is 1..65535 printable ASCII characters.
[[nodiscard]] inline bool is_gguf_key(std::string_view key) {
  constexpr std::size_t kMaxLength = 65535;
  return !key.empty() && key.size() <= kMaxLength &&
         std::all_of(key.begin(), key.end(), [](char c) { return c > ' ' && c < '\x7F'; });
}

/// Reads magic and version.
inline void read_gguf_version(std::span<const std::byte> bytes, GgufCursor& cursor) {
  if (const std::string_view instead = stand_in(bytes); !instead.empty()) {
    return cursor.fail(ErrorCode::malformed, instead);
  }
  (void)cursor.bytes(4, "\"GGUF\"");
  if (!cursor.failed() && !is_gguf(bytes)) {
    cursor.fail(ErrorCode::malformed, "the file must begin with \"GGUF\", found other bytes");
  }
  const auto version = cursor.number<std::uint32_t>("version");
  if (version == 2 || version == 3 || cursor.failed()) return;
  const bool is_swapped = version != 0 && (version & 0xFFFFU) == 0;
  cursor.fail(ErrorCode::unsupported,
              is_swapped ? concat("the byte order must be little-endian, found big-endian")
                         : concat("the version must be 2 or 3, found ", version));
}

}  // namespace detail

inline Result<GgufMetadata> GgufMetadata::parse(std::span<const std::byte> bytes,
                                                std::string_view name) {
  constexpr std::size_t kMinTensor = 24;  // bytes of the shortest entry of the directory
  constexpr std::size_t kMinKey = 14;     // and of the shortest key with its value
  detail::GgufCursor cursor(bytes, name);
  detail::read_gguf_version(bytes, cursor);
  GgufMetadata metadata;
  metadata.file_ = name;
  metadata.tensor_count_ = cursor.count("tensor_count", kMinTensor);
  const std::size_t keys = cursor.count("metadata_kv_count", kMinKey);
  for (std::size_t i = 0; i < keys && !cursor.failed(); ++i) {
    cursor.enter(detail::concat("key ", i + 1, " of ", keys));
    const std::string_view key = cursor.string("key");
    cursor.enter("key", key);
    if (!detail::is_gguf_key(key)) {
      cursor.fail(ErrorCode::malformed, "a key must be 1..65535 printable ASCII characters, found ",
                  key.size(), " bytes");
    }
    metadata.entries_.emplace_back(key, detail::read_gguf_value(bytes, cursor));
  }
  if (cursor.error()) return *cursor.error();
  metadata.end_ = cursor.position();
  auto& entries = metadata.entries_;
  const auto before = [](const Entry& a, const Entry& b) { return a.first < b.first; };
  std::sort(entries.begin(), entries.end(), before);
  const auto twice =
      std::adjacent_find(entries.begin(), entries.end(),
                         [](const Entry& a, const Entry& b) { return a.first == b.first; });
  if (twice != entries.end()) {
    return Error{ErrorCode::malformed,
                 detail::concat(name, ": key ", detail::in_quotes(twice->first),
                                " must occur once, found it twice")};
  }
  return metadata;
}

inline const GgufValue* GgufMetadata::find(std::string_view key) const {
  const auto at = std::lower_bound(
      entries_.begin(), entries_.end(), key,
      [](const Entry& entry, std::string_view wanted) { return entry.first < wanted; });
  return at != entries_.end() && at->first == key ? &at->second : nullptr;
}

}  // namespace MAMBA2_ISA
}  // namespace mamba2
