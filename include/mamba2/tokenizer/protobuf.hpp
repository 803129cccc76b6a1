// SPDX-License-Identifier: Apache-2.0
// Reads the wire format of protocol buffers, of files that anybody may have written.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "mamba2/core/platform.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// A field of a message: its value is a number, or bytes.
struct ProtobufField {
  std::uint32_t number = 0;
  enum class Kind { varint, fixed64, bytes, fixed32 } kind = Kind::varint;
  std::uint64_t value = 0;
  std::string_view bytes;

  /// A 32-bit float; nothing if the field is of another kind.
  [[nodiscard]] std::optional<float> number_32() const noexcept {
    if (kind != Kind::fixed32) return std::nullopt;
    return std::bit_cast<float>(static_cast<std::uint32_t>(value));
  }
};

/// Goes through the fields of one message.
class ProtobufReader {
 public:
  explicit ProtobufReader(std::string_view message) : rest_(message) {}

  /// The next field; nothing at the end, and where the bytes are no field.
  [[nodiscard]] std::optional<ProtobufField> next() {
    if (rest_.empty() || failed_) return std::nullopt;
    const auto key = varint();
    ProtobufField field;
    if (key) field.number = static_cast<std::uint32_t>(*key >> 3 & 0x1FFFFFFF);
    if (!key || field.number == 0) return fail();
    using Kind = ProtobufField::Kind;
    switch (*key & 7) {
      case 0:
        field.kind = Kind::varint;
        return with_value(field, varint());
      case 1:
        field.kind = Kind::fixed64;
        return with_value(field, fixed(8));
      case 2: {
        field.kind = Kind::bytes;
        const auto size = varint();
        if (!size || *size > rest_.size()) return fail();
        field.bytes = rest_.substr(0, static_cast<std::size_t>(*size));
        rest_.remove_prefix(field.bytes.size());
        return field;
      }
      case 5:
        field.kind = Kind::fixed32;
        return with_value(field, fixed(4));
      default:
        return fail();
    }
  }

  /// Whether there was something that is no field.
  [[nodiscard]] bool failed() const noexcept { return failed_; }

 private:
  [[nodiscard]] std::optional<ProtobufField> fail() noexcept {
    failed_ = true;
    return std::nullopt;
  }

  [[nodiscard]] std::optional<ProtobufField> with_value(ProtobufField field,
                                                        std::optional<std::uint64_t> value) {
    if (!value) return fail();
    field.value = *value;
    return field;
  }

  [[nodiscard]] std::optional<std::uint64_t> varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const unsigned byte = static_cast<unsigned char>(rest_[0]);
      rest_.remove_prefix(1);
      value |= std::uint64_t{byte & 0x7F} << shift;
      if ((byte & 0x80) == 0) return value;
    }
    return std::nullopt;
  }

  [[nodiscard]] std::optional<std::uint64_t> fixed(std::size_t size) {
    if (rest_.size() < size) return std::nullopt;
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < size; ++i) {
      value |= std::uint64_t{static_cast<unsigned char>(rest_[i])} << 8 * i;
    }
    rest_.remove_prefix(size);
    return value;
  }

  std::string_view rest_;
  bool failed_ = false;
};

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
