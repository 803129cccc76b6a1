// SPDX-License-Identifier: Apache-2.0
// What the writers of all forms have in common.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/text/chat/chat_message.hpp"
#include "mamba2/text/chat/chat_style.hpp"
#include "mamba2/text/chat/chat_text.hpp"
#include "mamba2/text/chat/python_json.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

[[nodiscard]] inline std::string_view role_name(ChatRole role) noexcept {
  switch (role) {
    case ChatRole::system:
      return "system";
    case ChatRole::user:
      return "user";
    case ChatRole::assistant:
      return "assistant";
    case ChatRole::tool:
      return "tool";
  }
  return {};
}

/// A date by a format of strftime, of which the conversions that templates use are known; in
/// English, whatever the locale.
[[nodiscard]] inline std::string format_date(std::string_view format,
                                             std::chrono::year_month_day date) {
  constexpr std::string_view kMonths =
      "January  February March    April    May      June     July     August   SeptemberOctober  "
      "November December ";
  const unsigned month_number = static_cast<unsigned>(date.month());
  std::string_view month = kMonths.substr(9 * (date.month().ok() ? month_number - 1 : 0), 9);
  month = month.substr(0, month.find(' '));
  const auto two = [](unsigned number) { return concat(number < 10 ? "0" : "", number); };
  std::string out;
  for (std::size_t i = 0; i < format.size(); ++i) {
    const char kind = format[i] == '%' && i + 1 < format.size() ? format[i + 1] : '\0';
    if (kind == 'Y') out += concat(static_cast<int>(date.year()));
    if (kind == 'm') out += two(month_number);
    if (kind == 'd') out += two(static_cast<unsigned>(date.day()));
    if (kind == 'B') out += month;
    if (kind == 'b') out += month.substr(0, 3);
    constexpr std::string_view kKnown("YmdBb");
    if (kind != '\0' && kKnown.find(kind) != kKnown.npos) {
      ++i;
    } else {
      out += format[i];
    }
  }
  return out;
}

/// A conversation on its way to text: what is said, checked, and what is written of it so far.
class ChatWriter {
 public:
  /// Errors: those of ChatTemplate::render that all forms have.
  [[nodiscard]] static Result<ChatWriter> create(const ChatStyle& style,
                                                 std::span<const ChatMessage> messages,
                                                 const ChatOptions& options, bool is_to_answer) {
    ChatWriter writer(style, messages, options, is_to_answer);
    if (messages.empty()) {
      return Error{ErrorCode::invalid_argument, "a chat must have a message, found none"};
    }
    if (auto read = writer.read_tools(); !read) return std::move(read).error();
    if (auto read = writer.read_arguments(); !read) return std::move(read).error();
    return writer;
  }

  /// An error that names the form.
  [[nodiscard]] Error refuse(ErrorCode code, std::string_view what) const {
    return Error{code, concat("the chat form ", style.name, " ", what)};
  }

  /// Whether the first message is the system's.
  [[nodiscard]] bool has_system() const { return messages[0].role == ChatRole::system; }
  [[nodiscard]] std::string_view system() const {
    return has_system() ? std::string_view(messages[0].text) : std::string_view();
  }

  /// The number of the first message that is not that of has_system().
  [[nodiscard]] std::size_t first() const { return has_system() ? 1 : 0; }

  [[nodiscard]] bool is_tool(std::size_t i) const {
    return i < messages.size() && messages[i].role == ChatRole::tool;
  }

  /// The last user's message; the number of messages if there is none.
  [[nodiscard]] std::size_t last_user() const {
    std::size_t last = messages.size();
    for (std::size_t i = 0; i < messages.size(); ++i) {
      if (messages[i].role == ChatRole::user) last = i;
    }
    return last;
  }

  /// The text of a message, whoever has written it.
  [[nodiscard]] static ChatText text_of(const ChatMessage& message) {
    ChatText text;
    return message.is_generated ? text.own(message.text) : text.said(message.text);
  }

  /// The date of today, as the template wants it.
  [[nodiscard]] std::string today() const { return format_date(style.date_format, options.today); }

  /// What is said in the conversation's own system text, or else the template's.
  [[nodiscard]] std::optional<ChatText> system_text() const {
    ChatText text;
    if (has_system()) return text.said(system());
    if (!style.system) return std::nullopt;
    return text.own(dated(*style.system));
  }

  /// A text of the template's with the date in its place.
  [[nodiscard]] std::string dated(std::string_view text) const {
    std::string text_now;
    for (const char c : text) {
      if (c == '\x01' || c == '\x03') {
        text_now += today();
      } else {
        text_now += c;
      }
    }
    return text_now;
  }

  const ChatStyle& style;
  std::span<const ChatMessage> messages;
  const ChatOptions& options;
  bool is_to_answer;
  std::vector<PythonJson> tools;                   // as they were given
  std::vector<std::vector<PythonJson>> arguments;  // of each message's calls
  ChatText out = {};

 private:
  ChatWriter(const ChatStyle& form, std::span<const ChatMessage> said, const ChatOptions& chosen,
             bool to_answer)
      : style(form), messages(said), options(chosen), is_to_answer(to_answer) {}

  [[nodiscard]] Result<void> read_tools() {
    if (options.tools.empty()) return {};
    auto list = parse_python_json(options.tools, "tools");
    if (!list) return std::move(list).error();
    if (!list->is_array()) {
      return Error{ErrorCode::malformed, "tools: expected a JSON list, found something else"};
    }
    tools = std::move(list->items);
    for (const PythonJson& tool : tools) {
      const PythonJson* name = function_of(tool).find("name");
      if (name != nullptr && name->is_string()) continue;
      return Error{ErrorCode::malformed,
                   "tools: expected objects with the name of a function, found another"};
    }
    if (tools.empty() || style.has_tools) return {};
    return refuse(ErrorCode::unsupported, "has no words for tools, or its template brings none");
  }

  [[nodiscard]] Result<void> read_arguments() {
    for (const ChatMessage& message : messages) {
      std::vector<PythonJson>& list = arguments.emplace_back();
      for (const ToolCall& call : message.calls) {
        auto value = parse_python_json(call.arguments.empty() ? "{}" : call.arguments,
                                       "arguments of a tool");
        if (!value) return std::move(value).error();
        if (!value->is_object()) {
          return Error{ErrorCode::malformed,
                       "arguments of a tool: expected a JSON object, found something else"};
        }
        list.push_back(*std::move(value));
      }
    }
    return {};
  }

 public:
  /// {"type": "function", "function": F} and F are both ways to name a tool.
  [[nodiscard]] static const PythonJson& function_of(const PythonJson& tool) {
    const PythonJson* function = tool.find("function");
    return function != nullptr && function->is_object() ? *function : tool;
  }
};

/// {"name": ..., "arguments": ...}, as templates write it: the name as it is.
[[nodiscard]] inline std::string call_object(const ToolCall& call, const PythonJson& arguments,
                                             std::string_view key = "arguments") {
  return concat("{\"name\": \"", call.name, "\", \"", key, "\": ", json_dumps(arguments), "}");
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
