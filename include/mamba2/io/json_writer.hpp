// SPDX-License-Identifier: Apache-2.0
// Writes JSON with the keys of an object in the order in which they are set.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/linkage.hpp"
#include "mamba2/io/json.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// Appends value after value to a text that looks as Json::dump(indent) would write it.
class JsonWriter {
 public:
  /// @param indent spaces before a value for each level that it lies in; -1: all in one line
  explicit JsonWriter(int indent = 2) : indent_(indent) {}

  void start_object() { start('{'); }
  void end_object() { end('}'); }
  void start_array() { start('['); }
  void end_array() { end(']'); }

  /// The key of the next value. A key twice is written twice.
  void key(std::string_view key);

  /// What is not UTF-8 in strings becomes U+FFFD.
  void value(const Json& value);
  void member(std::string_view name, const Json& its_value) {
    key(name);
    value(its_value);
  }
  /// A value that another writer with this indent has written.
  void written(std::string_view text);

  [[nodiscard]] const std::string& text() const& noexcept { return text_; }
  [[nodiscard]] std::string text() && noexcept { return std::move(text_); }

 private:
  void start(char bracket);
  void end(char bracket);
  void new_line();
  /// What stands between a value, or a key with its value, and what is before it.
  void separate();

  int indent_;
  std::string text_;
  std::vector<bool> is_empty_;  // of each object and array that is not closed yet
  bool after_key_ = false;
};

#if MAMBA2_HAS_DEFINITIONS

MAMBA2_FUNCTION void JsonWriter::key(std::string_view key) {
  separate();
  text_ += Json(key).dump(-1, ' ', false, Json::error_handler_t::replace);
  text_ += indent_ < 0 ? ":" : ": ";
  after_key_ = true;
}

MAMBA2_FUNCTION void JsonWriter::value(const Json& value) {
  written(value.dump(indent_, ' ', false, Json::error_handler_t::replace));
}

MAMBA2_FUNCTION void JsonWriter::written(std::string_view text) {
  separate();
  for (const char c : text) {  // in strings, '\n' is escaped
    if (c == '\n') {
      new_line();
    } else {
      text_ += c;
    }
  }
}

MAMBA2_FUNCTION void JsonWriter::start(char bracket) {
  separate();
  text_ += bracket;
  is_empty_.push_back(true);
}

MAMBA2_FUNCTION void JsonWriter::end(char bracket) {
  const bool was_empty = is_empty_.back();
  is_empty_.pop_back();
  if (!was_empty) new_line();
  text_ += bracket;
}

MAMBA2_FUNCTION void JsonWriter::new_line() {
  if (indent_ < 0) return;
  text_ += '\n';
  text_.append(static_cast<std::size_t>(indent_) * is_empty_.size(), ' ');
}

MAMBA2_FUNCTION void JsonWriter::separate() {
  if (std::exchange(after_key_, false) || is_empty_.empty()) return;
  if (!is_empty_.back()) text_ += ',';
  is_empty_.back() = false;
  new_line();
}

#endif

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
