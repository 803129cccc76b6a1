// SPDX-License-Identifier: Apache-2.0
// Reading the bytes of a GGUF file one after the other, and never past their end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "mamba2/core/result.hpp"
#include "mamba2/io/printable.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// Reads from a position on. After the first failure nothing is left to read, and every read
/// answers zero or nothing: a caller asks for the error once in a while.
class GgufCursor {
 public:
  /// @param file the file's name, for messages
  GgufCursor(std::span<const std::byte> bytes, std::string_view file, std::size_t position = 0)
      : rest_(bytes.subspan(position)), position_(position), file_(file) {}

  /// Names what is read next, for messages: key "general.name".
  void enter(std::string kind, std::string_view name = {}) {
    kind_ = std::move(kind);
    name_ = name;
  }

  [[nodiscard]] std::span<const std::byte> bytes(std::uint64_t count, std::string_view what) {
    if (count > rest_.size()) {
      fail(ErrorCode::malformed, "expected ", count, " bytes of ", what, ", found the end after ",
           rest_.size());
      return {};
    }
    const auto taken = rest_.first(static_cast<std::size_t>(count));
    rest_ = rest_.subspan(taken.size());
    position_ += taken.size();
    return taken;
  }

  template <class Number>
  [[nodiscard]] Number number(std::string_view what) {
    Number number{};
    const auto taken = bytes(sizeof number, what);
    if (!taken.empty()) std::memcpy(&number, taken.data(), sizeof number);
    return number;
  }

  /// A length in 64 bits and so many bytes. The view is one of the file.
  [[nodiscard]] std::string_view string(std::string_view what) {
    const auto taken = bytes(number<std::uint64_t>(what), what);
    return {reinterpret_cast<const char*>(taken.data()), taken.size()};
  }

  /// A count in 64 bits of things that take at least so many bytes each: no more than can follow,
  /// so that memory for them is in proportion to the file.
  [[nodiscard]] std::size_t count(std::string_view what, std::size_t min_bytes) {
    const auto count = number<std::uint64_t>(what);
    const std::size_t most = rest_.size() / min_bytes;
    if (count <= most) return static_cast<std::size_t>(count);
    fail(ErrorCode::malformed, what, " must be at most ", most, ", as the file ends there, found ",
         count);
    return 0;
  }

  template <class... Parts>
  void fail(ErrorCode code, const Parts&... reason) {
    if (error_) return;
    const std::string place = name_.empty() ? kind_ : concat(kind_, " ", in_quotes(name_));
    error_ = Error{code, concat(file_, ": ", place, place.empty() ? "" : ": ", reason...)};
    rest_ = {};
  }

  [[nodiscard]] const std::optional<Error>& error() const noexcept { return error_; }
  [[nodiscard]] bool failed() const noexcept { return error_.has_value(); }
  [[nodiscard]] std::size_t position() const noexcept { return position_; }

 private:
  std::span<const std::byte> rest_;
  std::size_t position_;
  std::string_view file_;
  std::string kind_;
  std::string_view name_;
  std::optional<Error> error_;
};

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
