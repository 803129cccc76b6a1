// SPDX-License-Identifier: Apache-2.0
// Typed, range-checked reads from the keys of a JSON object.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/io/json.hpp"
#include "mamba2/io/printable.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// A number in any of the spellings that configs use: 1, 1e-5, "Infinity",
/// {"__float__": "Infinity"}. Nothing if it is something else.
[[nodiscard]] inline std::optional<double> number_of(const Json& value) {
  if (const auto* count = value.get_ptr<const std::uint64_t*>()) return static_cast<double>(*count);
  if (const auto* integer = value.get_ptr<const std::int64_t*>()) {
    return static_cast<double>(*integer);
  }
  if (const auto* number = value.get_ptr<const double*>()) return *number;
  const Json* word = &value;
  if (value.is_object() && value.size() == 1 && value.contains("__float__")) {
    word = &value.begin().value();
  }
  const auto* text = word->get_ptr<const std::string*>();
  if (text == nullptr) return std::nullopt;
  if (*text == "Infinity") return std::numeric_limits<double>::infinity();
  if (*text == "-Infinity") return -std::numeric_limits<double>::infinity();
  if (*text == "NaN") return std::numeric_limits<double>::quiet_NaN();
  return std::nullopt;
}

/// Whether a value is this text. (Comparing Json with a literal takes the compiler much longer.)
[[nodiscard]] inline bool is_text(const Json& value, std::string_view text) {
  const auto* found = value.get_ptr<const std::string*>();
  return found != nullptr && *found == text;
}

/// What a JSON value is, for the "found" of a message.
[[nodiscard]] inline std::string describe(const Json& value) {
  if (const auto* text = value.get_ptr<const std::string*>()) return in_quotes(*text);
  if (const auto* flag = value.get_ptr<const bool*>()) return *flag ? "true" : "false";
  // An unsigned number answers to both integer types: ask for the unsigned first.
  if (const auto* count = value.get_ptr<const std::uint64_t*>()) return concat(*count);
  if (const auto* integer = value.get_ptr<const std::int64_t*>()) return concat(*integer);
  if (const auto* number = value.get_ptr<const double*>()) return concat(*number);
  if (value.is_array()) return concat("a list of ", value.size());
  if (const auto number = number_of(value)) return concat(*number);  // NaN and its kind
  return value.is_null() ? "null" : "an object";
}

/// Reads keys one after the other and remembers the first error, so that a caller asks once, at
/// the end. After an error, and for an absent key, a read answers the fallback.
class JsonFields {
 public:
  /// `object` must be an object and outlive this. `name` is the file's; `prefix` stands before the
  /// keys in messages ("ssm_cfg.").
  JsonFields(const Json& object, std::string_view name, std::string_view prefix = "")
      : object_(object), name_(name), prefix_(prefix) {}

  /// The value of a key; nullptr if it is absent.
  [[nodiscard]] const Json* find(std::string_view key) const {
    const auto entry = entries().find(key);
    return entry == entries().end() ? nullptr : &entry->second;
  }

  /// As find, but a value of null counts as absent.
  [[nodiscard]] const Json* find_value(std::string_view key) const {
    const Json* value = find(key);
    return value == nullptr || value->is_null() ? nullptr : value;
  }

  /// An integer in min..2^31-1.
  [[nodiscard]] std::size_t integer(std::string_view key, std::size_t fallback,
                                    std::size_t min = 1) {
    const Json* value = find(key);
    if (value == nullptr) return fallback;
    const auto* count = value->get_ptr<const std::uint64_t*>();
    if (count != nullptr && *count >= min && *count <= kMaxInteger) {
      return static_cast<std::size_t>(*count);
    }
    refuse(key, concat("an integer in ", min, "..", kMaxInteger), describe(*value));
    return fallback;
  }

  [[nodiscard]] double number(std::string_view key, double fallback) {
    const Json* value = find(key);
    if (value == nullptr) return fallback;
    const std::optional<double> number = number_of(*value);
    if (!number) refuse(key, "a number", describe(*value));
    return number.value_or(fallback);
  }

  [[nodiscard]] bool flag(std::string_view key, bool fallback) {
    const Json* value = find(key);
    if (value == nullptr) return fallback;
    const auto* flag = value->get_ptr<const bool*>();
    if (flag == nullptr) refuse(key, "true or false", describe(*value));
    return flag != nullptr ? *flag : fallback;
  }

  /// Refuses the file unless each of the keys is there.
  void require(std::initializer_list<std::string_view> keys) {
    for (const std::string_view key : keys) {
      if (find(key) == nullptr) refuse(key, "given", "no such key");
    }
  }

  /// Refuses the file for what stands at `key`; only the first refusal is kept.
  void refuse(std::string_view key, std::string_view expected, std::string_view found,
              ErrorCode code = ErrorCode::malformed) {
    if (error_) return;
    error_ =
        Error{code, concat(name_, ": ", prefix_, key, " must be ", expected, ", found ", found)};
  }

  /// Takes over the error of a nested object, unless there is an earlier one.
  void adopt(const JsonFields& nested) {
    if (!error_) error_ = nested.error_;
  }

  [[nodiscard]] const Json::object_t& entries() const {
    return *object_.get_ptr<const Json::object_t*>();
  }
  /// Passes something over.
  void note(std::string text) { notes_.push_back(std::move(text)); }

  [[nodiscard]] const std::optional<Error>& error() const noexcept { return error_; }
  [[nodiscard]] const std::vector<std::string>& notes() const noexcept { return notes_; }
  [[nodiscard]] std::string_view name() const noexcept { return name_; }

 private:
  static constexpr std::uint64_t kMaxInteger = std::numeric_limits<std::int32_t>::max();

  const Json& object_;
  std::string_view name_;
  std::string_view prefix_;
  std::optional<Error> error_;
  std::vector<std::string> notes_;
};

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
