// SPDX-License-Identifier: Apache-2.0
// JSON as chat templates have it: objects keep the order of their keys, and values are written as
// Python writes them (json.dumps with ensure_ascii=False, str and repr).
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/io/json.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

struct PythonJson {
  enum class Kind { null, boolean, number, string, array, object };
  Kind kind = Kind::null;
  std::string text;               // of a string; of a number or a boolean as JSON writes it
  std::vector<std::string> keys;  // of an object
  std::vector<PythonJson> items;  // of an object, as many as keys; of an array

  [[nodiscard]] bool is_string() const noexcept { return kind == Kind::string; }
  [[nodiscard]] bool is_object() const noexcept { return kind == Kind::object; }
  [[nodiscard]] bool is_array() const noexcept { return kind == Kind::array; }

  /// What an object has at a key; nullptr if it has nothing there, or is no object.
  [[nodiscard]] const PythonJson* find(std::string_view key) const {
    const auto at = std::find(keys.begin(), keys.end(), key);
    return at == keys.end() ? nullptr : &items[static_cast<std::size_t>(at - keys.begin())];
  }
};

/// A float as Python's repr has it: the shortest digits, an exponent from 1e16 and below 1e-4.
[[nodiscard]] inline std::string python_float(double value) {
  char digits[40];
  const auto end =
      std::to_chars(digits, digits + sizeof digits, value, std::chars_format::scientific);
  std::string text(digits, end.ptr);
  const std::size_t e = text.find('e');
  if (e == std::string::npos) return text;
  int exponent = 0;
  const char* first = text.data() + e + (text[e + 1] == '+' ? 2 : 1);
  std::from_chars(first, text.data() + text.size(), exponent);
  if (exponent < -4 || exponent >= 16) return text;  // to_chars writes two digits at least, too
  char plain[64];
  const auto plain_end =
      std::to_chars(plain, plain + sizeof plain, value, std::chars_format::fixed);
  std::string fixed(plain, plain_end.ptr);
  if (fixed.find('.') == std::string::npos) fixed += ".0";
  return fixed;
}

/// Builds a PythonJson; of a key that occurs twice the last value stays, as in Python.
class PythonJsonBuilder : public JsonEvents {
 public:
  bool null() override { return place({}) != nullptr; }
  bool boolean(bool value) override {
    return place(scalar(PythonJson::Kind::boolean, value ? "true" : "false")) != nullptr;
  }
  bool number_integer(std::int64_t value) override { return number(concat(value)); }
  bool number_unsigned(std::uint64_t value) override { return number(concat(value)); }
  bool number_float(double value, const std::string& token) override {
    const bool is_integer = token.find_first_of(".eE") == std::string::npos;
    return number(is_integer ? token : python_float(value));
  }
  bool string(std::string& value) override {
    return place(scalar(PythonJson::Kind::string, std::move(value))) != nullptr;
  }
  bool start_object(std::size_t /*unknown*/) override { return descend(PythonJson::Kind::object); }
  bool start_array(std::size_t /*unknown*/) override { return descend(PythonJson::Kind::array); }
  bool end_object() override { return ascend(); }
  bool end_array() override { return ascend(); }

  bool key(std::string& value) override {
    PythonJson& object = *open_.back();
    const auto at = std::find(object.keys.begin(), object.keys.end(), value);
    slot_ = static_cast<std::size_t>(at - object.keys.begin());
    if (at != object.keys.end()) return true;
    object.keys.push_back(std::move(value));
    object.items.emplace_back();
    return true;
  }

  bool syntax_error(std::size_t /*position*/, bool /*number_overflow*/) override { return false; }

  PythonJson document;
  bool too_deep = false;

 private:
  static constexpr std::size_t kMaxDepth = 64;

  [[nodiscard]] static PythonJson scalar(PythonJson::Kind kind, std::string text) {
    PythonJson value;
    value.kind = kind;
    value.text = std::move(text);
    return value;
  }
  bool number(std::string text) {
    return place(scalar(PythonJson::Kind::number, std::move(text))) != nullptr;
  }

  // What is open stays where it is: a vector grows only at its end, where all of it is closed.
  PythonJson* place(PythonJson value) {
    PythonJson* at = &document;
    if (!open_.empty()) {
      PythonJson& parent = *open_.back();
      at = parent.is_array() ? &parent.items.emplace_back() : &parent.items[slot_];
    }
    *at = std::move(value);
    return at;
  }
  bool descend(PythonJson::Kind kind) {
    too_deep = open_.size() == kMaxDepth;
    if (too_deep) return false;
    open_.push_back(place(scalar(kind, {})));
    return true;
  }
  bool ascend() {
    open_.pop_back();
    return true;
  }

  std::vector<PythonJson*> open_;
  std::size_t slot_ = 0;  // where the value of the last key belongs
};

/// Error malformed, naming `name`: no JSON, or more than 64 levels of nesting.
[[nodiscard]] inline Result<PythonJson> parse_python_json(std::string_view text,
                                                          std::string_view name) {
  PythonJsonBuilder builder;
  if (read_json(text, builder)) return std::move(builder.document);
  return Error{ErrorCode::malformed,
               concat(name, builder.too_deep ? ": expected at most 64 levels of nesting, found more"
                                             : ": expected JSON, found a syntax error")};
}

/// A string in double quotes.
inline void append_json_string(std::string_view text, std::string& out) {
  constexpr std::string_view kHex = "0123456789abcdef";
  constexpr std::string_view kPlain = "\"\\\n\r\t\b\f";
  constexpr std::string_view kLetters = "\"\\nrtbf";
  out += '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (const std::size_t at = kPlain.find(c); at != kPlain.npos) {
      (out += '\\') += kLetters[at];
    } else if (byte < 0x20) {
      ((out += "\\u00") += kHex[byte >> 4]) += kHex[byte & 15];
    } else {
      out += c;
    }
  }
  out += '"';
}

/// json.dumps; with an indent of so many blanks a line for each item, else all in one line.
inline void append_json(const PythonJson& value, std::string& out, std::size_t indent = 0,
                        std::size_t level = 0) {
  const auto begin_line = [&](std::size_t depth) {
    if (indent > 0) out.append(1, '\n').append(indent * depth, ' ');
  };
  if (value.kind == PythonJson::Kind::null) out += "null";
  if (value.is_string()) append_json_string(value.text, out);
  if (!value.is_array() && !value.is_object()) {
    if (!value.is_string()) out += value.text;
    return;
  }
  out += value.is_array() ? '[' : '{';
  for (std::size_t i = 0; i < value.items.size(); ++i) {
    if (i > 0) out += indent > 0 ? "," : ", ";
    begin_line(level + 1);
    if (value.is_object()) {
      append_json_string(value.keys[i], out);
      out += ": ";
    }
    append_json(value.items[i], out, indent, level + 1);
  }
  if (!value.items.empty()) begin_line(level);
  out += value.is_array() ? ']' : '}';
}

[[nodiscard]] inline std::string json_dumps(const PythonJson& value, std::size_t indent = 0) {
  std::string out;
  append_json(value, out, indent);
  return out;
}

/// A string in single quotes, or in double ones where it has a single quote and no double one.
/// (Of characters that are not printed Python escapes more: those of ASCII are what is escaped
/// here.)
inline void append_python_string(std::string_view text, std::string& out) {
  constexpr std::string_view kHex = "0123456789abcdef";
  const bool is_double = text.find('\'') != text.npos && text.find('"') == text.npos;
  const char quote = is_double ? '"' : '\'';
  out += quote;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const char letter = c == '\n' ? 'n' : c == '\r' ? 'r' : c == '\t' ? 't' : c;
    if (letter != c || c == quote || c == '\\') {
      (out += '\\') += letter;
    } else if (byte < 0x20 || byte == 0x7f) {
      ((out += "\\x") += kHex[byte >> 4]) += kHex[byte & 15];
    } else {
      out += c;
    }
  }
  out += quote;
}

/// repr(); of numbers and the like, and of strings within lists, what str() has, too.
inline void append_python(const PythonJson& value, std::string& out) {
  using Kind = PythonJson::Kind;
  if (value.is_string()) return append_python_string(value.text, out);
  if (value.kind == Kind::null) out += "None";
  if (value.kind == Kind::boolean) out += value.text == "true" ? "True" : "False";
  if (value.kind == Kind::number) out += value.text;
  if (!value.is_array() && !value.is_object()) return;
  out += value.is_array() ? '[' : '{';
  for (std::size_t i = 0; i < value.items.size(); ++i) {
    if (i > 0) out += ", ";
    if (value.is_object()) {
      append_python_string(value.keys[i], out);
      out += ": ";
    }
    append_python(value.items[i], out);
  }
  out += value.is_array() ? ']' : '}';
}

/// str(): a string as it is.
[[nodiscard]] inline std::string python_str(const PythonJson& value) {
  if (value.is_string()) return value.text;
  std::string out;
  append_python(value, out);
  return out;
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
