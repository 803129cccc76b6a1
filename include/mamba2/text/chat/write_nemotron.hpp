// SPDX-License-Identifier: Apache-2.0
// Nemotron: an answer begins with thoughts, which the history does not keep.
#pragma once

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "mamba2/core/result.hpp"
#include "mamba2/text/chat/chat_writer.hpp"
#include "mamba2/text/chat/write_chatml.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// A value within tags: lists and objects as JSON, others as Python's str has them.
[[nodiscard]] inline std::string xml_value(const PythonJson& value) {
  return value.is_array() || value.is_object() ? json_dumps(value) : python_str(value);
}

/// <KEY>VALUE</KEY> for each key of an object but these.
inline void write_other_keys(const PythonJson* object, std::initializer_list<std::string_view> but,
                             std::string& out) {
  if (object == nullptr || !object->is_object()) return;
  for (std::size_t i = 0; i < object->keys.size(); ++i) {
    const std::string& key = object->keys[i];
    if (std::find(but.begin(), but.end(), key) != but.end()) continue;
    out += concat("\n<", key, ">", xml_value(object->items[i]), "</", key, ">");
  }
}

[[nodiscard]] inline std::string trimmed_str(const PythonJson& value) {
  return std::string(python_strip(python_str(value)));
}

inline void write_xml_parameter(const std::string& name, const PythonJson& fields,
                                std::string& out) {
  out += concat("\n<parameter>\n<name>", name, "</name>");
  if (const PythonJson* type = fields.find("type")) {
    out += concat("\n<type>", python_str(*type), "</type>");
  }
  if (const PythonJson* text = fields.find("description")) {
    out += concat("\n<description>", trimmed_str(*text), "</description>");
  }
  if (const PythonJson* values = fields.find("enum")) {
    out += concat("\n<enum>", json_dumps(*values), "</enum>");
  }
  write_other_keys(&fields, {"name", "type", "description", "enum"}, out);
  out += "\n</parameter>";
}

/// A tool as nested tags.
[[nodiscard]] inline std::string xml_tool(const PythonJson& tool) {
  std::string out = concat("\n<function>\n<name>", python_str(*tool.find("name")), "</name>");
  if (const PythonJson* text = tool.find("description")) {
    out += concat("\n<description>", trimmed_str(*text), "</description>");
  }
  out += "\n<parameters>";
  const PythonJson* parameters = tool.find("parameters");
  const PythonJson* properties = parameters == nullptr ? nullptr : parameters->find("properties");
  if (properties != nullptr && properties->is_object()) {
    for (std::size_t i = 0; i < properties->keys.size(); ++i) {
      write_xml_parameter(properties->keys[i], properties->items[i], out);
    }
  }
  write_other_keys(parameters, {"type", "properties", "required"}, out);
  const PythonJson* required = parameters == nullptr ? nullptr : parameters->find("required");
  if (required != nullptr) {
    out += concat("\n<required>", json_dumps(*required), "</required>");
  }
  out += "\n</parameters>";
  write_other_keys(&tool, {"type", "name", "description", "parameters"}, out);
  return out += "\n</function>";
}

inline void write_function_calls(ChatWriter& w, std::size_t i) {
  for (std::size_t k = 0; k < w.messages[i].calls.size(); ++k) {
    const PythonJson& arguments = w.arguments[i][k];
    w.out.own("<tool_call>\n<function=").said(w.messages[i].calls[k].name).own(">\n");
    for (std::size_t a = 0; a < arguments.items.size(); ++a) {
      w.out.own("<parameter=").said(arguments.keys[a]).own(">\n");
      w.out.said(xml_value(arguments.items[a])).own("\n</parameter>\n");
    }
    w.out.own("</function>\n</tool_call>\n");
  }
}

/// An answer of the history, with the thoughts of those after the last user's message only.
inline void write_nemotron_3_answer(ChatWriter& w, std::size_t i, bool is_kept) {
  const ChatMessage& message = w.messages[i];
  ChatText text;
  const bool has_marks = message.text.find("<think>") != std::string::npos ||
                         message.text.find("</think>") != std::string::npos;
  if (!python_strip(message.thinking).empty()) {
    text.own("<think>\n").said(message.thinking).own("\n</think>\n");
  } else if (!has_marks) {
    text.own("<think></think>");
  }
  text.append(w.text_of(message));
  begin_chatml(w.out, "assistant");
  if (message.calls.empty()) {
    if (!is_kept && text.contains("<think>") && text.contains("</think>")) {
      text = ChatText().own("<think></think>").append(text.after_last("</think>"));
    }
    w.out.append(text.stripped()).own("<|im_end|>\n");
    return;
  }
  text = text.stripped();
  if (!is_kept) {
    if (text.contains("</think>")) {
      text = text.after_last("</think>");
    } else if (text.contains("<think>")) {
      text = text.from(0, text.text().find("<think>"));
    }
    text = ChatText().own("<think></think>").append(text.stripped());
  }
  w.out.append(text).own("\n");
  write_function_calls(w, i);
  w.out.own("<|im_end|>\n");
}

[[nodiscard]] inline Result<ChatText> write_nemotron_3(ChatWriter w) {
  begin_chatml(w.out, "system");
  w.out.said(w.system());
  if (!w.tools.empty()) {
    if (!w.system().empty()) w.out.own("\n\n");
    w.out.own(w.style.tools_begin);
    for (const PythonJson& tool : w.tools) w.out.said(xml_tool(w.function_of(tool)));
    w.out.own(w.style.tools_end);
  }
  w.out.own("<|im_end|>\n");
  const std::size_t last_user = w.last_user();
  for (std::size_t i = w.first(); i < w.messages.size(); ++i) {
    const ChatMessage& message = w.messages[i];
    if (message.role == ChatRole::assistant) {
      write_nemotron_3_answer(w, i, last_user == w.messages.size() || i >= last_user);
    } else if (message.role == ChatRole::tool) {
      if (i > w.first() && !w.is_tool(i - 1)) begin_chatml(w.out, "user");
      w.out.own("<tool_response>\n").append(w.text_of(message)).own("\n</tool_response>\n");
      if (!w.is_tool(i + 1)) w.out.own("<|im_end|>\n");
    } else {
      begin_chatml(w.out, role_name(message.role));
      w.out.append(w.text_of(message)).own("<|im_end|>\n");
    }
  }
  if (w.is_to_answer) {
    begin_chatml(w.out, "assistant");
    w.out.own(w.options.thinking ? "<think>\n" : "<think></think>");
  }
  return std::move(w.out);
}

/// A text without the words that turn thoughts on and off, and without blanks around it.
[[nodiscard]] inline std::string without_switches(std::string text) {
  for (const std::string_view word : {"/think", "/no_think"}) {
    std::string rest;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t found = std::min(text.find(word, at), text.size());
      rest.append(text, at, found - at);
      at = found + word.size();
    }
    text = std::move(rest);
  }
  return std::string(python_strip(text));
}

/// Whether an answer begins with thoughts: the last word for it in what users and system say, or
/// else the option.
[[nodiscard]] inline bool is_thinking(const ChatWriter& w) {
  bool thinking = w.options.thinking;
  for (const ChatMessage& message : w.messages) {
    if (message.role != ChatRole::user && message.role != ChatRole::system) continue;
    if (message.text.find("/think") != std::string::npos) {
      thinking = true;
    } else if (message.text.find("/no_think") != std::string::npos) {
      thinking = false;
    }
  }
  return thinking;
}

inline void write_nemotron_v2_message(ChatWriter& w, std::size_t i) {
  const ChatMessage& message = w.messages[i];
  if (message.role == ChatRole::user) {
    w.out.own("<SPECIAL_11>User\n").said(without_switches(message.text)).own("\n");
  } else if (message.role == ChatRole::tool) {
    if (i == w.first() || !w.is_tool(i - 1)) w.out.own("<SPECIAL_11>User\n<TOOL_RESPONSE>[");
    w.out.append(w.text_of(message)).own(w.is_tool(i + 1) ? ", " : "]</TOOL_RESPONSE>");
  } else if (message.role == ChatRole::assistant) {
    ChatText text = text_with_thoughts(w, message);
    if (const std::size_t end = text.text().find("</think>"); end != std::string::npos) {
      const std::size_t begin = end + 8;
      text = text.from(begin, text.text().find("</think>", begin) - begin);
    }
    text = text.stripped();
    w.out.own("<SPECIAL_11>Assistant\n").append(text);
    if (!message.calls.empty()) w.out.own(text.empty() ? "<TOOLCALL>[" : "\n<TOOLCALL>[");
    for (std::size_t k = 0; k < message.calls.size(); ++k) {
      w.out.own(k > 0 ? ", " : "").said(call_object(message.calls[k], w.arguments[i][k]));
    }
    w.out.own(message.calls.empty() ? "\n<SPECIAL_12>\n" : "]</TOOLCALL>\n<SPECIAL_12>\n");
  }
}

[[nodiscard]] inline Result<ChatText> write_nemotron_v2(ChatWriter w) {
  if (w.messages.back().role == ChatRole::assistant) {
    return w.refuse(ErrorCode::invalid_argument, "ends with a user or a tool, found an answer");
  }
  const std::string system = without_switches(std::string(w.system()));
  w.out.own("<SPECIAL_10>System\n").said(system);
  if (!w.tools.empty()) {
    if (!system.empty()) w.out.own("\n\n");
    w.out.own(w.style.tools_begin);
    for (std::size_t k = 0; k < w.tools.size(); ++k) {
      w.out.own(k > 0 ? ", " : "").said(json_dumps(w.function_of(w.tools[k])));
    }
    w.out.own(w.style.tools_end);
  }
  w.out.own("\n\n");
  for (std::size_t i = w.first(); i < w.messages.size(); ++i) write_nemotron_v2_message(w, i);
  if (w.is_to_answer) {
    w.out.own("<SPECIAL_11>Assistant\n").own(is_thinking(w) ? "<think>\n" : "<think></think>");
  }
  return std::move(w.out);
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
