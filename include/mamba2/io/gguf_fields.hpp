// SPDX-License-Identifier: Apache-2.0
// Typed, range-checked reads from the metadata of a GGUF file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/io/gguf_metadata.hpp"
#include "mamba2/io/gguf_value.hpp"
#include "mamba2/io/printable.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// Reads keys one after the other and remembers the first error, so that a caller asks once, at the
/// end. After an error a read answers the fallback.
class GgufFields {
 public:
  /// `metadata` must outlive this.
  explicit GgufFields(const GgufMetadata& metadata) : metadata_(metadata) {}

  [[nodiscard]] const GgufValue* find(std::string_view key) const { return metadata_.find(key); }

  /// An integer in 0..2^31-1, if there is the key.
  [[nodiscard]] std::optional<std::size_t> integer_if(std::string_view key) {
    const GgufValue* value = find(key);
    if (value == nullptr) return std::nullopt;
    const auto integer = value->integer();
    if (integer && *integer <= kMaxInteger) return static_cast<std::size_t>(*integer);
    refuse(key, concat("an integer in 0..", kMaxInteger), describe(*value));
    return std::nullopt;
  }

  /// An integer in 1..2^31-1 that must be there.
  [[nodiscard]] std::size_t integer(std::string_view key) {
    const auto value = integer_if(key);
    if (value && *value > 0) return *value;
    refuse(key, "an integer of at least 1", found(key));
    return 1;
  }

  /// A number that must be there.
  [[nodiscard]] double number(std::string_view key) {
    const GgufValue* value = find(key);
    const auto number = value == nullptr ? std::nullopt : value->number();
    if (!number) refuse(key, "a number", found(key));
    return number.value_or(0);
  }

  [[nodiscard]] bool flag(std::string_view key, bool fallback) {
    const GgufValue* value = find(key);
    if (value == nullptr) return fallback;
    const auto flag = value->flag();
    if (!flag) refuse(key, "true or false", describe(*value));
    return flag.value_or(fallback);
  }

  /// Refuses the file as another kind of it unless it has this text at the key.
  void require_text(std::string_view key, std::string_view text) {
    const GgufValue* value = find(key);
    if (value != nullptr && value->text() == text) return;
    refuse(key, in_quotes(text), found(key), ErrorCode::unsupported);
  }

  /// A list of this type that must be there; nullptr if it is not.
  [[nodiscard]] const GgufValue* list(std::string_view key, GgufType type) {
    const GgufValue* value = find(key);
    if (value != nullptr && value->is_array && value->type == type) return value;
    refuse(key, concat("a list of ", gguf_type_name(type)), found(key));
    return nullptr;
  }

  /// What stands at a key, for the "found" of a message.
  [[nodiscard]] std::string found(std::string_view key) const {
    const GgufValue* value = find(key);
    return value == nullptr ? "no such key" : describe(*value);
  }

  /// Refuses the file for what stands at `key`; only the first refusal is kept.
  void refuse(std::string_view key, std::string_view expected, std::string_view found,
              ErrorCode code = ErrorCode::malformed) {
    if (error_) return;
    error_ = Error{code, concat(file(), ": ", key, " must be ", expected, ", found ", found)};
  }

  /// Something that somebody may not expect: a line with the file.
  void note(std::string text) { notes_.push_back(std::move(text)); }
  [[nodiscard]] const std::vector<std::string>& notes() const noexcept { return notes_; }

  [[nodiscard]] const std::optional<Error>& error() const noexcept { return error_; }
  [[nodiscard]] const std::string& file() const noexcept { return metadata_.file(); }

 private:
  static constexpr std::uint64_t kMaxInteger = std::numeric_limits<std::int32_t>::max();

  const GgufMetadata& metadata_;
  std::optional<Error> error_;
  std::vector<std::string> notes_;
};

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
