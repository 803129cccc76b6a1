// SPDX-License-Identifier: Apache-2.0
// What a model has answered: thoughts, text, calls of tools.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/text/chat/chat_message.hpp"
#include "mamba2/text/chat/chat_style.hpp"
#include "mamba2/text/chat/chat_text.hpp"
#include "mamba2/text/chat/chat_writer.hpp"
#include "mamba2/text/chat/python_calls.hpp"
#include "mamba2/text/chat/python_json.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// A call out of {"name": ..., KEY: {...}}; nothing if it is no such object.
[[nodiscard]] inline std::optional<ToolCall> call_of(const PythonJson& object) {
  const PythonJson* name = object.find("name");
  const PythonJson* arguments = object.find("arguments");
  if (arguments == nullptr) arguments = object.find("parameters");
  if (name == nullptr || !name->is_string()) return std::nullopt;
  ToolCall call{name->text};
  if (const PythonJson* id = object.find("id"); id != nullptr && id->is_string())
    call.id = id->text;
  if (arguments == nullptr) return call;
  if (arguments->is_object()) {
    call.arguments = json_dumps(*arguments);
    return call;
  }
  // Some models write the object as a string.
  if (!arguments->is_string()) return std::nullopt;
  const auto inner = parse_python_json(arguments->text, "arguments");
  if (!inner || !inner->is_object()) return std::nullopt;
  call.arguments = json_dumps(*inner);
  return call;
}

/// Adds the call, or the list of calls, that a text is. False, and nothing is added: it is neither.
[[nodiscard]] inline bool add_json_calls(std::string_view text, std::vector<ToolCall>& calls) {
  const auto value = parse_python_json(text, "calls");
  if (!value) return false;
  std::vector<ToolCall> found;
  const std::size_t count = value->is_array() ? value->items.size() : 1;
  for (std::size_t i = 0; i < count; ++i) {
    auto call = call_of(value->is_array() ? value->items[i] : *value);
    if (!call) return false;
    found.push_back(*std::move(call));
  }
  calls.insert(calls.end(), found.begin(), found.end());
  return !found.empty();
}

/// Takes an answer apart as the form writes it.
class ReplyReader {
 public:
  ReplyReader(const ChatStyle& style, const ChatOptions& options) : style_(style) {
    if (style.calls != CallStyle::functions || options.tools.empty()) return;
    auto tools = parse_python_json(options.tools, "tools");
    if (tools) tools_ = *std::move(tools);
  }

  [[nodiscard]] ChatReply read(std::string_view text, bool begins_in_thoughts) {
    take_thoughts(text, begins_in_thoughts);
    if (style_.form == ChatForm::mistral && text.starts_with(style_.lead)) {
      text.remove_prefix(style_.lead.size());
    }
    switch (style_.calls) {
      case CallStyle::none:
        reply_.text += text;
        break;
      case CallStyle::hermes:
      case CallStyle::functions:
        take_marked(text, "<tool_call>", "</tool_call>");
        break;
      case CallStyle::list:
        take_marked(text, "<TOOLCALL>", "</TOOLCALL>");
        break;
      case CallStyle::python:
        take_marked(text, "<|tool_call_start|>", "<|tool_call_end|>");
        break;
      case CallStyle::object:
        take_object(text);
        break;
      case CallStyle::mistral:
      case CallStyle::named:
        take_mistral(text);
        break;
    }
    return std::move(reply_);
  }

 private:
  void take_thoughts(std::string_view& text, bool has_begun) {
    constexpr std::string_view kBegin = "<think>";
    constexpr std::string_view kEnd = "</think>";
    const std::string_view stripped = python_strip(text);
    if (stripped.starts_with(kBegin)) {
      text = stripped.substr(kBegin.size());
    } else if (!has_begun) {
      return;
    }
    const std::size_t end = text.find(kEnd);
    reply_.thinking = python_strip(text.substr(0, end));
    text = end == text.npos ? std::string_view() : python_strip(text.substr(end + kEnd.size()));
  }

  /// Calls between two marks; a last one may lack the second.
  void take_marked(std::string_view text, std::string_view begin, std::string_view end) {
    for (;;) {
      const std::size_t at = text.find(begin);
      if (at == text.npos) break;
      const std::string_view rest = text.substr(at + begin.size());
      const std::size_t stop = std::min(rest.find(end), rest.size());
      const bool is_read = add_call(python_strip(rest.substr(0, stop)));
      const std::size_t length = at + begin.size() + std::min(stop + end.size(), rest.size());
      reply_.text += text.substr(0, is_read ? at : length);
      text.remove_prefix(length);
    }
    reply_.text += text;
    if (!reply_.calls.empty()) reply_.text = std::string(python_strip(reply_.text));
  }

  [[nodiscard]] bool add_call(std::string_view text) {
    if (style_.calls == CallStyle::functions) return add_function(text);
    if (style_.calls != CallStyle::python) return add_json_calls(text, reply_.calls);
    auto calls = PythonCalls::read(text);
    if (!calls) return false;
    reply_.calls.insert(reply_.calls.end(), calls->begin(), calls->end());
    return true;
  }

  /// <function=NAME> <parameter=KEY> VALUE </parameter> ... </function>
  [[nodiscard]] bool add_function(std::string_view text) {
    std::string_view name;
    if (!take_tag(text, "<function=", name)) return false;
    PythonJson arguments;
    arguments.kind = PythonJson::Kind::object;
    std::string_view key;
    while (take_tag(text, "<parameter=", key)) {
      const std::size_t end = text.find("</parameter>");
      if (end == text.npos) return false;
      std::string_view value = text.substr(0, end);
      if (value.starts_with('\n')) value.remove_prefix(1);
      if (value.ends_with('\n')) value.remove_suffix(1);
      arguments.keys.emplace_back(key);
      arguments.items.push_back(typed(name, key, value));
      text.remove_prefix(end + std::string_view("</parameter>").size());
    }
    if (!python_strip(text).starts_with("</function>")) return false;
    reply_.calls.push_back({std::string(name), json_dumps(arguments)});
    return true;
  }

  [[nodiscard]] static bool take_tag(std::string_view& text, std::string_view begin,
                                     std::string_view& name) {
    const std::string_view stripped = python_strip(text);
    const std::size_t end = stripped.find('>');
    if (!stripped.starts_with(begin) || end == stripped.npos) return false;
    name = stripped.substr(begin.size(), end - begin.size());
    text = stripped.substr(end + 1);
    return true;
  }

  /// A value that was written without quotes: a string if the tool says so, else what it is as JSON
  /// or in Python's words, else a string.
  [[nodiscard]] PythonJson typed(std::string_view tool, std::string_view key,
                                 std::string_view value) const {
    PythonJson text;
    text.kind = PythonJson::Kind::string;
    text.text = value;
    if (is_string_of(tool, key)) return text;
    if (value == "True" || value == "False" || value == "None") {
      value = value == "True" ? "true" : value == "False" ? "false" : "null";
    }
    auto parsed = parse_python_json(value, "value");
    return parsed ? *std::move(parsed) : text;
  }

  [[nodiscard]] bool is_string_of(std::string_view name, std::string_view key) const {
    for (const PythonJson& tool : tools_.items) {
      const PythonJson& function = ChatWriter::function_of(tool);
      const PythonJson* own_name = function.find("name");
      if (own_name == nullptr || own_name->text != name) continue;
      const PythonJson* at = function.find("parameters");
      for (const std::string_view step :
           {std::string_view("properties"), key, std::string_view("type")}) {
        if (at != nullptr) at = at->find(step);
      }
      return at != nullptr && at->text == "string";
    }
    return false;
  }

  void take_object(std::string_view text) {
    std::string_view body = python_strip(text);
    constexpr std::string_view kTag = "<|python_tag|>";
    if (body.starts_with(kTag)) body.remove_prefix(kTag.size());
    if (!body.starts_with('{') || !add_json_calls(body, reply_.calls)) reply_.text += text;
  }

  void take_mistral(std::string_view text) {
    constexpr std::string_view kMark = "[TOOL_CALLS]";
    const std::size_t at = std::min(text.find(kMark), text.size());
    std::string_view calls = text.substr(at);
    bool is_read = !calls.empty();
    while (is_read && !calls.empty()) {
      calls.remove_prefix(kMark.size());
      const std::size_t next = std::min(calls.find(kMark), calls.size());
      is_read = add_named(python_strip(calls.substr(0, next)));
      calls.remove_prefix(next);
    }
    if (!is_read) reply_.calls.clear();
    reply_.text += is_read ? text.substr(0, at) : text;
    for (std::size_t k = 0; k < reply_.calls.size(); ++k) {
      if (reply_.calls[k].id.size() == 9) continue;
      const std::string number = concat(k + 1);
      reply_.calls[k].id = std::string(9 - std::min<std::size_t>(number.size(), 9), '0') + number;
    }
  }

  /// NAME[CALL_ID]ID[ARGS]{...}, or a list of objects.
  [[nodiscard]] bool add_named(std::string_view text) {
    const std::size_t at = text.find("[ARGS]");
    if (at == text.npos) return add_json_calls(text, reply_.calls);
    const std::string_view head = text.substr(0, at);
    const std::size_t id = std::min(head.find("[CALL_ID]"), head.size());
    const auto arguments = parse_python_json(text.substr(at + 6), "arguments");
    if (!arguments || !arguments->is_object() || id == 0) return false;
    reply_.calls.push_back({std::string(head.substr(0, id)), json_dumps(*arguments),
                            std::string(head.substr(std::min(id + 9, head.size())))});
    return true;
  }

  const ChatStyle& style_;
  PythonJson tools_ = {};
  ChatReply reply_ = {};
};

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
