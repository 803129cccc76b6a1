// SPDX-License-Identifier: Apache-2.0
// Granite 4, Llama 3, and plain lines.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "mamba2/core/result.hpp"
#include "mamba2/text/chat/chat_writer.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// A text before what a user says, one between that and the answer, one after it.
[[nodiscard]] inline Result<ChatText> write_lines(ChatWriter w) {
  if (!w.system().empty()) w.out.said(w.system()).own("\n");
  for (std::size_t i = w.first(); i < w.messages.size(); ++i) {
    const ChatMessage& message = w.messages[i];
    if (message.role == ChatRole::user) {
      w.out.own(w.style.before).append(w.text_of(message)).own(w.style.between);
    } else if (message.role == ChatRole::assistant && message.calls.empty()) {
      w.out.append(w.text_of(message)).own(w.style.after);
    } else {
      return w.refuse(ErrorCode::unsupported, "has no tools, and one system text at its beginning");
    }
  }
  return std::move(w.out);
}

/// The calls of <tool_call>, each in a line of its own behind what comes before.
inline void write_hermes_calls(ChatWriter& w, std::size_t i, bool has_text) {
  const ChatMessage& message = w.messages[i];
  for (std::size_t k = 0; k < message.calls.size(); ++k) {
    if (k > 0 || has_text) w.out.own("\n");
    w.out.own("<tool_call>\n").said(call_object(message.calls[k], w.arguments[i][k]));
    w.out.own("\n</tool_call>");
  }
}

/// Begins and ends a turn of what tools have given, of which this is one.
inline void write_hermes_result(ChatWriter& w, std::size_t i, std::string_view begin,
                                std::string_view end) {
  if (i == 0 || !w.is_tool(i - 1)) w.out.own(begin);
  w.out.own("\n<tool_response>\n").append(w.text_of(w.messages[i])).own("\n</tool_response>");
  if (!w.is_tool(i + 1)) w.out.own(end);
}

[[nodiscard]] inline ChatText granite_system(const ChatWriter& w) {
  ChatText text;
  text.said(w.system());
  if (!w.tools.empty()) {
    if (w.has_system()) text.own("\n\n");
    text.own(w.style.tools_begin);
    for (const PythonJson& tool : w.tools) text.own("\n").said(json_dumps(tool));
    text.own(w.style.tools_end);
  }
  if (text.empty() && w.style.system) text.own(*w.style.system);
  return text;
}

[[nodiscard]] inline Result<ChatText> write_granite(ChatWriter w) {
  constexpr std::string_view kBegin = "<|start_of_role|>";
  constexpr std::string_view kText = "<|end_of_role|>";
  constexpr std::string_view kEnd = "<|end_of_text|>\n";
  const ChatText system = granite_system(w);
  if (!system.empty()) {
    w.out.own(kBegin).own("system").own(kText).append(system).own(kEnd);
  }
  for (std::size_t i = w.first(); i < w.messages.size(); ++i) {
    const ChatMessage& message = w.messages[i];
    if (message.role == ChatRole::tool) {
      write_hermes_result(w, i, "<|start_of_role|>user<|end_of_role|>", kEnd);
      continue;
    }
    w.out.own(kBegin).own(role_name(message.role)).own(kText).append(w.text_of(message));
    write_hermes_calls(w, i, !message.text.empty());
    w.out.own(kEnd);
  }
  if (w.is_to_answer) w.out.own(kBegin).own("assistant").own(kText);
  return std::move(w.out);
}

inline void write_llama_header(ChatText& out, std::string_view role) {
  out.own("<|start_header_id|>").own(role).own("<|end_header_id|>\n\n");
}

/// A message's text as the template has it.
[[nodiscard]] inline ChatText llama_text(const ChatWriter& w, const ChatMessage& message) {
  const ChatText text = w.text_of(message);
  return w.style.trimmed ? text.stripped() : text;
}

/// The system's text, which tells dates, and the first user's, which names the tools. Returns the
/// message to go on with.
[[nodiscard]] inline Result<std::size_t> write_llama_beginning(ChatWriter& w) {
  std::size_t i = w.first();
  if (w.style.form != ChatForm::llama31) return std::size_t{0};
  write_llama_header(w.out, "system");
  if (!w.tools.empty()) w.out.own("Environment: ipython\n");
  w.out.own(w.dated(w.style.dates));
  if (w.has_system()) w.out.append(llama_text(w, w.messages[0]));
  w.out.own("<|eot_id|>");
  if (w.tools.empty()) return i;
  if (i == w.messages.size()) {
    return w.refuse(ErrorCode::invalid_argument, "names tools in a user's text, found none");
  }
  w.out.own(w.style.tools_begin);
  for (const PythonJson& tool : w.tools) w.out.said(json_dumps(tool, 4)).own("\n\n");
  w.out.append(llama_text(w, w.messages[i])).own("<|eot_id|>");
  return i + 1;
}

[[nodiscard]] inline Result<ChatText> write_llama(ChatWriter w) {
  w.out.own(w.style.bos);
  const auto first = write_llama_beginning(w);
  if (!first) return first.error();
  for (std::size_t i = *first; i < w.messages.size(); ++i) {
    const ChatMessage& message = w.messages[i];
    if (message.role == ChatRole::tool || !message.calls.empty()) {
      if (w.style.form != ChatForm::llama31)
        return w.refuse(ErrorCode::unsupported, "has no tools");
      if (message.calls.size() > 1) {
        return w.refuse(ErrorCode::unsupported, "calls one tool at a time, found more");
      }
    }
    if (message.role == ChatRole::tool) {
      std::string quoted;
      append_json_string(message.text, quoted);
      write_llama_header(w.out, "ipython");
      w.out.said(quoted);
    } else if (!message.calls.empty()) {
      write_llama_header(w.out, "assistant");
      w.out.said(call_object(message.calls[0], w.arguments[i][0], "parameters"));
    } else {
      write_llama_header(w.out, role_name(message.role));
      w.out.append(llama_text(w, message));
    }
    w.out.own("<|eot_id|>");
  }
  if (w.is_to_answer) write_llama_header(w.out, "assistant");
  return std::move(w.out);
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
