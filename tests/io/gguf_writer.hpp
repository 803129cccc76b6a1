// SPDX-License-Identifier: Apache-2.0
// Makes GGUF files in memory, right or wrong.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mamba2/io/gguf_value.hpp"

namespace mamba2_tests {

using mamba2::GgufType;

/// Bytes one after the other, in the encodings of GGUF.
class GgufBytes {
 public:
  template <class Number>
  GgufBytes& number(Number number) {
    const auto* begin = reinterpret_cast<const std::byte*>(&number);
    bytes.insert(bytes.end(), begin, begin + sizeof number);
    return *this;
  }
  GgufBytes& type(GgufType type) { return number(static_cast<std::uint32_t>(type)); }
  GgufBytes& raw(std::span<const std::byte> data) {
    // Not insert(): GCC 12 then warns of an overflow that there is not.
    for (const std::byte byte : data) bytes.push_back(byte);
    return *this;
  }
  GgufBytes& raw(std::string_view text) { return raw(std::as_bytes(std::span(text))); }
  GgufBytes& string(std::string_view text) { return number(std::uint64_t{text.size()}).raw(text); }
  void pad(std::size_t alignment) {
    while (bytes.size() % alignment != 0) bytes.push_back(std::byte{0});
  }

  std::vector<std::byte> bytes;
};

/// Collects metadata and tensors, in the order of their data, and writes them out.
class GgufWriter {
 public:
  std::uint32_t version = 3;
  std::size_t alignment = 32;  // what is written; add general.alignment if it is another

  /// The bytes behind a key: value type and value.
  GgufBytes& key(std::string_view name) {
    ++keys;
    return metadata.string(name);
  }
  template <class Number>
  void add(std::string_view name, GgufType type, Number value) {
    key(name).type(type).number(value);
  }
  void add(std::string_view name, std::uint32_t value) { add(name, GgufType::uint32, value); }
  void add(std::string_view name, std::int32_t value) { add(name, GgufType::int32, value); }
  void add(std::string_view name, std::uint64_t value) { add(name, GgufType::uint64, value); }
  void add(std::string_view name, float value) { add(name, GgufType::float32, value); }
  void add(std::string_view name, double value) { add(name, GgufType::float64, value); }
  void add(std::string_view name, bool value) {
    add(name, GgufType::boolean, static_cast<std::uint8_t>(value));
  }
  void add(std::string_view name, std::string_view value) {
    key(name).type(GgufType::string).string(value);
  }
  void add(std::string_view name, const char* value) { add(name, std::string_view(value)); }
  void add(std::string_view name, std::span<const std::string> values) {
    GgufBytes& out = key(name).type(GgufType::array).type(GgufType::string);
    out.number(std::uint64_t{values.size()});
    for (const std::string& value : values) out.string(value);
  }
  void add(std::string_view name, std::span<const std::int32_t> values) {
    GgufBytes& out = key(name).type(GgufType::array).type(GgufType::int32);
    out.number(std::uint64_t{values.size()}).raw(std::as_bytes(values));
  }
  void add(std::string_view name, std::span<const float> values) {
    GgufBytes& out = key(name).type(GgufType::array).type(GgufType::float32);
    out.number(std::uint64_t{values.size()}).raw(std::as_bytes(values));
  }

  /// A tensor of a shape written as everywhere else, the slowest dimension first.
  void tensor(std::string_view name, const std::vector<std::size_t>& shape, std::uint32_t type,
              std::span<const std::byte> bytes) {
    ++tensors;
    directory.string(name).number(static_cast<std::uint32_t>(shape.size()));
    for (std::size_t i = shape.size(); i-- > 0;) directory.number(std::uint64_t{shape[i]});
    directory.number(type).number(std::uint64_t{data.bytes.size()});
    data.raw(bytes);
    data.pad(alignment);
  }
  void tensor(std::string_view name, const std::vector<std::size_t>& shape,
              std::span<const float> values) {
    tensor(name, shape, 0, std::as_bytes(values));
  }

  [[nodiscard]] std::vector<std::byte> bytes() const {
    GgufBytes file;
    file.raw("GGUF").number(version).number(tensors).number(keys);
    file.raw(metadata.bytes).raw(directory.bytes);
    file.pad(alignment);
    return file.raw(data.bytes).bytes;
  }

  std::uint64_t tensors = 0;
  std::uint64_t keys = 0;
  GgufBytes metadata;
  GgufBytes directory;
  GgufBytes data;
};

}  // namespace mamba2_tests
