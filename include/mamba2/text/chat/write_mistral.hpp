// SPDX-License-Identifier: Apache-2.0
// Mistral's forms: [INST], with the spaces that each version has around its marks.
#pragma once

#include <charconv>
#include <cstddef>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "mamba2/core/result.hpp"
#include "mamba2/text/chat/chat_writer.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// What a tool has given as JSON: a number if it is written as Python would write it, else a
/// string.
[[nodiscard]] inline std::string mistral_result(std::string_view text) {
  const char* end = text.data() + text.size();
  long long integer = 0;
  const auto whole = std::from_chars(text.data(), end, integer);
  if (whole.ec == std::errc() && whole.ptr == end && concat(integer) == text) {
    return std::string(text);
  }
  double number = 0;
  const auto real = std::from_chars(text.data(), end, number);
  const bool is_number = real.ec == std::errc() && real.ptr == end && python_float(number) == text;
  if (is_number) return text == "nan" ? "NaN" : text == "inf" ? "Infinity" : std::string(text);
  std::string quoted;
  append_json_string(text, quoted);
  return quoted;
}

class MistralWriter {
 public:
  explicit MistralWriter(ChatWriter& writer)
      : w_(writer), space_(writer.style.before.ends_with(' ') ? " " : "") {}

  [[nodiscard]] Result<void> write() {
    if (auto ordered = check_order(); !ordered) return ordered;
    w_.out.own(w_.style.bos);
    if (has_system_prompt(w_.style) && !w_.has_system() && w_.style.system) {
      write_system(*w_.system_text());
    }
    const bool has_own_place = w_.style.system_place != SystemPlace::none;
    for (std::size_t i = has_own_place ? w_.first() : 0; i < w_.messages.size(); ++i) {
      const ChatMessage& message = w_.messages[i];
      if (message.role == ChatRole::system) write_system(w_.text_of(message));
      if (message.role == ChatRole::user) write_user(i);
      if (message.role == ChatRole::assistant) write_answer(i);
      if (message.role == ChatRole::tool) write_result(message);
    }
    return {};
  }

 private:
  /// Users and answers take turns, but for calls of tools and what these give.
  [[nodiscard]] Result<void> check_order() const {
    bool is_user_next = true;
    for (std::size_t i = 0; i < w_.messages.size(); ++i) {
      const ChatMessage& message = w_.messages[i];
      for (const ToolCall& call : message.calls) {
        if (!is_id(call.id)) return wrong_id();
      }
      if (message.role == ChatRole::tool && !is_id(message.call_id)) return wrong_id();
      if ((message.role == ChatRole::tool || !message.calls.empty()) && !w_.style.has_tools) {
        return w_.refuse(ErrorCode::unsupported, "has no calls of tools");
      }
      if (message.role == ChatRole::system) {
        const bool has_place =
            has_system_prompt(w_.style) || (i == 0 && w_.style.system_place != SystemPlace::none);
        if (!has_place) return w_.refuse(ErrorCode::unsupported, "has no place for a system text");
        continue;
      }
      if (message.role == ChatRole::tool || !message.calls.empty()) continue;
      if ((message.role == ChatRole::user) != is_user_next) {
        return w_.refuse(ErrorCode::invalid_argument,
                         "has users and answers in turn, found two of one kind");
      }
      is_user_next = !is_user_next;
    }
    return {};
  }

  [[nodiscard]] static bool is_id(std::string_view id) { return id.size() == 9; }
  [[nodiscard]] Error wrong_id() const {
    return w_.refuse(ErrorCode::invalid_argument,
                     "has ids of nine letters and digits for calls of tools, found another");
  }

  void write_system(const ChatText& text) {
    w_.out.own("[SYSTEM_PROMPT]").own(space_).append(text).own("[/SYSTEM_PROMPT]");
  }

  [[nodiscard]] bool is_last_user(std::size_t i) const {
    const std::size_t last = w_.last_user();
    return i == last ||
           (w_.style.is_of_transformers && w_.messages[i].text == w_.messages[last].text);
  }

  [[nodiscard]] bool has_system_text(std::size_t i) const {
    switch (w_.style.system_place) {
      case SystemPlace::none:
        return false;
      case SystemPlace::first:
        return i == w_.first();
      case SystemPlace::last:
        return i == w_.last_user();
      case SystemPlace::last_message:
        return i + 1 == w_.messages.size();
    }
    return false;
  }

  void write_user(std::size_t i) {
    if (!w_.tools.empty() && is_last_user(i)) write_tools();
    w_.out.own(w_.style.before);
    const auto system = w_.system_text();
    const bool is_any = w_.style.system_place == SystemPlace::last_message;  // even an empty one
    if (has_system_text(i) && system && (is_any || !system->empty())) {
      w_.out.append(*system).own("\n\n");
    }
    w_.out.append(w_.text_of(w_.messages[i])).own(w_.style.between);
  }

  void write_tools() {
    w_.out.own("[AVAILABLE_TOOLS]").own(space_).own("[");
    for (std::size_t k = 0; k < w_.tools.size(); ++k) {
      w_.out.own(k > 0 ? ", " : "");
      w_.out.said(w_.style.raw_strings ? raw_tool(w_.tools[k]) : json_dumps(w_.tools[k]));
    }
    w_.out.own("][/AVAILABLE_TOOLS]");
  }

  /// A function key by key, strings as they are.
  [[nodiscard]] static std::string raw_tool(const PythonJson& tool) {
    const PythonJson& function = ChatWriter::function_of(tool);
    std::string out;
    for (std::size_t i = 0; i < function.keys.size(); ++i) {
      if (function.keys[i] == "return") continue;
      const PythonJson& value = function.items[i];
      out += concat(out.empty() ? "" : ", ", "\"", function.keys[i], "\": ");
      out += value.is_string() ? concat("\"", value.text, "\"") : json_dumps(value);
    }
    return concat("{\"type\": \"function\", \"function\": {", out, "}}");
  }

  void write_answer(std::size_t i) {
    const ChatMessage& message = w_.messages[i];
    const bool is_strict = w_.style.is_of_transformers;
    const bool has_both = has_system_prompt(w_.style) && !is_strict;
    const bool has_text = is_strict || !message.text.empty();
    if (has_text && (message.calls.empty() || has_both)) {
      const ChatText text = w_.text_of(message);
      w_.out.own(w_.style.lead).append(w_.style.trimmed ? text.stripped() : text);
    }
    const bool is_named = w_.style.calls == CallStyle::named;
    if (!message.calls.empty() && !is_named) w_.out.own("[TOOL_CALLS]").own(space_).own("[");
    for (std::size_t k = 0; k < message.calls.size(); ++k) {
      const ToolCall& call = message.calls[k];
      const PythonJson& arguments = w_.arguments[i][k];
      if (is_named) {
        w_.out.own("[TOOL_CALLS]").said(call.name).own("[CALL_ID]").said(call.id);
        w_.out.own("[ARGS]").said(json_dumps(arguments));
        continue;
      }
      std::string object = call_object(call, arguments);
      object.pop_back();
      w_.out.own(k > 0 ? ", " : "").said(concat(object, ", \"id\": \"", call.id, "\"}"));
    }
    if (!message.calls.empty() && !is_named) w_.out.own("]");
    w_.out.own(w_.style.eos);
  }

  void write_result(const ChatMessage& message) {
    w_.out.own("[TOOL_RESULTS]").own(space_);
    if (has_system_prompt(w_.style)) {
      w_.out.said(message.call_id).own("[TOOL_CONTENT]").own(space_).append(w_.text_of(message));
    } else {
      const std::string result = w_.style.raw_results ? message.text : mistral_result(message.text);
      w_.out.said(concat("{\"content\": ", result, ", \"call_id\": \"", message.call_id, "\"}"));
    }
    w_.out.own("[/TOOL_RESULTS]");
  }

  ChatWriter& w_;
  std::string_view space_;
};

[[nodiscard]] inline Result<ChatText> write_mistral(ChatWriter w) {
  if (auto written = MistralWriter(w).write(); !written) return std::move(written).error();
  return std::move(w.out);
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
