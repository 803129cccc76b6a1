// SPDX-License-Identifier: Apache-2.0
// Calls as models of LFM2 write them: a list of Python calls with named literals.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/text/chat/chat_message.hpp"
#include "mamba2/text/chat/python_json.hpp"
#include "mamba2/unicode/utf8.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// Reads [name(key=value, ...), ...]. A value is a string, a number, True, False, None, a list or a
/// dictionary of these, or the same in JSON.
class PythonCalls {
 public:
  /// Nothing if the text is anything else.
  [[nodiscard]] static std::optional<std::vector<ToolCall>> read(std::string_view text) {
    PythonCalls reader(text);
    std::vector<ToolCall> calls;
    if (!reader.take('[')) return std::nullopt;
    do {
      auto call = reader.call();
      if (!call) return std::nullopt;
      calls.push_back(*std::move(call));
    } while (reader.take(','));
    if (!reader.take(']') || !reader.is_at_end()) return std::nullopt;
    return calls;
  }

 private:
  static constexpr int kMaxDepth = 64;

  explicit PythonCalls(std::string_view text) : rest_(text) {}

  void skip_space() {
    const std::size_t begin = rest_.find_first_not_of(" \t\r\n");
    rest_.remove_prefix(std::min(begin, rest_.size()));
  }
  [[nodiscard]] bool is_at_end() {
    skip_space();
    return rest_.empty();
  }
  [[nodiscard]] bool take(char c) {
    skip_space();
    if (!rest_.starts_with(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }

  /// Letters, digits and what names of tools have besides.
  [[nodiscard]] std::string_view word() {
    skip_space();
    const auto is_part = [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             c == '_' || c == '.' || c == '-' || c == '+' || static_cast<unsigned char>(c) >= 0x80;
    };
    const auto end = std::find_if_not(rest_.begin(), rest_.end(), is_part);
    const std::string_view found = rest_.substr(0, static_cast<std::size_t>(end - rest_.begin()));
    rest_.remove_prefix(found.size());
    return found;
  }

  [[nodiscard]] std::optional<ToolCall> call() {
    const std::string_view name = word();
    if (name.empty() || !take('(')) return std::nullopt;
    PythonJson arguments;
    arguments.kind = PythonJson::Kind::object;
    if (!take(')')) {
      do {
        const std::string_view key = word();
        if (key.empty() || !take('=')) return std::nullopt;
        auto given = value(1);
        if (!given) return std::nullopt;
        arguments.keys.emplace_back(key);
        arguments.items.push_back(*std::move(given));
      } while (take(','));
      if (!take(')')) return std::nullopt;
    }
    return ToolCall{std::string(name), json_dumps(arguments)};
  }

  [[nodiscard]] std::optional<PythonJson> value(int depth) {
    if (depth > kMaxDepth) return std::nullopt;
    skip_space();
    if (rest_.starts_with('\'') || rest_.starts_with('"')) return string();
    if (take('[')) return list(depth);
    if (take('{')) return dictionary(depth);
    return scalar();
  }

  [[nodiscard]] std::optional<PythonJson> scalar() {
    const std::string_view text = word();
    PythonJson out;
    if (text == "None" || text == "null") return out;
    out.kind = PythonJson::Kind::boolean;
    out.text = text == "True" || text == "true" ? "true" : "false";
    if (text == "True" || text == "true" || text == "False" || text == "false") return out;
    auto number = parse_python_json(text, "number");
    if (!number || number->kind != PythonJson::Kind::number) return std::nullopt;
    return *std::move(number);
  }

  [[nodiscard]] std::optional<PythonJson> list(int depth) {
    PythonJson out;
    out.kind = PythonJson::Kind::array;
    if (take(']')) return out;
    do {
      auto item = value(depth + 1);
      if (!item) return std::nullopt;
      out.items.push_back(*std::move(item));
    } while (take(','));
    if (!take(']')) return std::nullopt;
    return out;
  }

  [[nodiscard]] std::optional<PythonJson> dictionary(int depth) {
    PythonJson out;
    out.kind = PythonJson::Kind::object;
    if (take('}')) return out;
    do {
      skip_space();
      auto key = value(depth + 1);
      if (!key || !key->is_string() || !take(':')) return std::nullopt;
      auto item = value(depth + 1);
      if (!item) return std::nullopt;
      out.keys.push_back(std::move(key->text));
      out.items.push_back(*std::move(item));
    } while (take(','));
    if (!take('}')) return std::nullopt;
    return out;
  }

  /// A string with the escapes \n, \t, \r, \xHH, \uHHHH, and any other character for itself.
  [[nodiscard]] std::optional<PythonJson> string() {
    const char quote = rest_[0];
    PythonJson out;
    out.kind = PythonJson::Kind::string;
    std::size_t i = 1;
    while (i < rest_.size() && rest_[i] != quote) {
      if (rest_[i] != '\\' || i + 1 == rest_.size()) {
        out.text += rest_[i++];
        continue;
      }
      const char kind = rest_[i + 1];
      i += 2;
      const std::size_t digits = kind == 'x' ? 2 : kind == 'u' ? 4 : 0;
      std::uint32_t code = 0;
      const char* first = rest_.data() + std::min(i, rest_.size());
      const char* last = rest_.data() + std::min(i + digits, rest_.size());
      const bool is_code = digits > 0 && std::from_chars(first, last, code, 16).ptr == last &&
                           last == first + digits && (code < 0xD800 || code > 0xDFFF);
      if (is_code) {
        append_code_point(code, out.text);
        i += digits;
      } else {
        out.text += kind == 'n' ? '\n' : kind == 't' ? '\t' : kind == 'r' ? '\r' : kind;
      }
    }
    if (i >= rest_.size()) return std::nullopt;
    rest_.remove_prefix(i + 1);
    return out;
  }

  std::string_view rest_;
};

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
