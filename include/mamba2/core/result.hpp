// SPDX-License-Identifier: Apache-2.0
// Result<T>: a value or an Error. The useful subset of std::expected, for C++20.
#pragma once

#include <charconv>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "mamba2/core/platform.hpp"

#if defined(__cpp_exceptions)
#include <stdexcept>
#else
#include <cstdio>
#endif

namespace mamba2 {
inline namespace MAMBA2_ISA {

enum class ErrorCode {
  io,                ///< a file cannot be opened, read or written
  malformed,         ///< a file breaks the rules of its format
  unsupported,       ///< well-formed, but something that this library does not do
  mismatch,          ///< parts that do not fit each other: tensors and config, tokenizer and model
  invalid_argument,  ///< the caller's value is out of range
  out_of_memory,     ///< an allocation of known size failed
};

/// What went wrong, in one line: the file, the tensor or key, what was expected, what was found.
struct Error {
  ErrorCode code;
  std::string message;
};

namespace detail {

inline void append(std::string& out, std::string_view text) { out += text; }
inline void append(std::string& out, char c) { out += c; }

template <class Number>
requires std::is_arithmetic_v<Number>
void append(std::string& out, Number number) {
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof digits, number).ptr;
  out.append(digits, end);
}

/// Concatenates text and numbers, independent of the locale.
template <class... Parts>
[[nodiscard]] std::string concat(const Parts&... parts) {
  std::string out;
  (append(out, parts), ...);
  return out;
}

[[noreturn]] inline void raise(const Error& error) {
#if defined(__cpp_exceptions)
  throw std::runtime_error(error.message);
#else
  std::fputs(error.message.c_str(), stderr);
  std::fputc('\n', stderr);
  std::abort();
#endif
}

}  // namespace detail

/// A T, or the Error that kept it from being made. Test it before use, or call value() where an
/// error is the end of the program anyway.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}
  Result(Error error) : error_(std::move(error)) {}

  [[nodiscard]] bool has_value() const noexcept { return value_.has_value(); }
  explicit operator bool() const noexcept { return has_value(); }

  /// The value. On an error: throws std::runtime_error with the message, or, where exceptions are
  /// off, writes the message to stderr and aborts.
  T& value() & { return has_value() ? **this : (detail::raise(error()), **this); }
  const T& value() const& { return has_value() ? **this : (detail::raise(error()), **this); }
  T&& value() && {
    if (!has_value()) detail::raise(error());
    return std::move(**this);
  }

  /// The value; undefined on an error.
  [[nodiscard]] T& operator*() & noexcept { return *value_; }
  [[nodiscard]] const T& operator*() const& noexcept { return *value_; }
  [[nodiscard]] T&& operator*() && noexcept { return *std::move(value_); }
  [[nodiscard]] T* operator->() noexcept { return &*value_; }
  [[nodiscard]] const T* operator->() const noexcept { return &*value_; }

  /// The error; undefined where there is a value.
  [[nodiscard]] const Error& error() const& noexcept { return error_; }
  [[nodiscard]] Error&& error() && noexcept { return std::move(error_); }

 private:
  // Not a std::variant: what that takes to compile is a tenth of the library.
  std::optional<T> value_;
  Error error_ = {};
};

/// Success, or the Error.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}

  [[nodiscard]] bool has_value() const noexcept { return !error_.has_value(); }
  explicit operator bool() const noexcept { return has_value(); }

  void value() const {
    if (!has_value()) detail::raise(error());
  }
  [[nodiscard]] const Error& error() const& noexcept { return *error_; }
  [[nodiscard]] Error&& error() && noexcept { return *std::move(error_); }

 private:
  std::optional<Error> error_;
};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
