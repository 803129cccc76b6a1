// SPDX-License-Identifier: Apache-2.0
// ChatML and the families that have a form of it without thoughts in the prompt: Falcon-H1, LFM2.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "mamba2/core/result.hpp"
#include "mamba2/text/chat/chat_writer.hpp"
#include "mamba2/text/chat/write_forms.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

inline void begin_chatml(ChatText& out, std::string_view role) {
  out.own("<|im_start|>").own(role).own("\n");
}

/// The thoughts of an answer where they are part of its text.
[[nodiscard]] inline ChatText text_with_thoughts(const ChatWriter& w, const ChatMessage& message) {
  ChatText text;
  if (!message.thinking.empty()) text.own("<think>").said(message.thinking).own("</think>");
  return text.append(w.text_of(message));
}

/// The system's part: its text, and tools. (With tools the template's own words end it.)
inline void write_chatml_system(ChatWriter& w) {
  const auto system = w.system_text();
  if (w.tools.empty()) {
    if (!system) return;
    begin_chatml(w.out, "system");
    w.out.append(*system).own("<|im_end|>").own(w.style.after);
    return;
  }
  begin_chatml(w.out, "system");
  if (system) w.out.append(*system);
  w.out.own(w.style.tools_begin);
  for (const PythonJson& tool : w.tools) w.out.own("\n").said(json_dumps(tool));
  w.out.own(w.style.tools_end);
}

[[nodiscard]] inline Result<ChatText> write_chatml(ChatWriter w) {
  const std::string end = "<|im_end|>" + w.style.after;
  w.out.own(w.style.bos);
  write_chatml_system(w);
  for (std::size_t i = w.first(); i < w.messages.size(); ++i) {
    const ChatMessage& message = w.messages[i];
    const bool is_plain = message.role != ChatRole::tool && message.calls.empty();
    if (w.style.calls == CallStyle::none && !message.calls.empty()) {
      return w.refuse(ErrorCode::unsupported, "has no calls of tools");
    }
    if (is_plain || w.style.calls == CallStyle::none) {
      begin_chatml(w.out, role_name(message.role));
      w.out.append(w.text_of(message)).own(end);
    } else if (message.role == ChatRole::tool) {
      write_hermes_result(w, i, "<|im_start|>user", end);
    } else {
      w.out.own("<|im_start|>").own(role_name(message.role));
      if (!message.text.empty()) w.out.own("\n").append(w.text_of(message));
      write_hermes_calls(w, i, true);
      w.out.own(end);
    }
  }
  if (w.is_to_answer) begin_chatml(w.out, "assistant");
  return std::move(w.out);
}

/// With tools the system's part has no end, in the template as here. Calls are part of the text, in
/// the template's eyes: those of a message come after its text.
[[nodiscard]] inline Result<ChatText> write_falcon(ChatWriter w) {
  w.out.own(w.style.bos);
  if (!w.tools.empty()) {
    begin_chatml(w.out, "system");
    if (w.has_system()) w.out.said(w.system()).own("\n\n");
    w.out.own(w.style.tools_begin);
    for (const PythonJson& tool : w.tools) w.out.own("[").said(json_dumps(tool)).own("]");
    w.out.own(w.style.tools_end);
  } else if (w.has_system()) {
    begin_chatml(w.out, "system");
    w.out.said(w.system()).own("<|im_end|>\n");
  }
  for (std::size_t i = 0; i < w.messages.size(); ++i) {
    const ChatMessage& message = w.messages[i];
    if (message.role == ChatRole::system) continue;
    begin_chatml(w.out, role_name(message.role));
    w.out.append(w.text_of(message));
    write_hermes_calls(w, i, !message.text.empty());
    w.out.own("<|im_end|>\n");
  }
  if (w.is_to_answer) begin_chatml(w.out, "assistant");
  return std::move(w.out);
}

/// [NAME(KEY='VALUE', ...), ...] between marks, strings without escapes, as the template has them.
inline void write_python_calls(ChatWriter& w, std::size_t i) {
  const ChatMessage& message = w.messages[i];
  if (message.calls.empty()) return;
  w.out.own("<|tool_call_start|>[");
  for (std::size_t k = 0; k < message.calls.size(); ++k) {
    const PythonJson& arguments = w.arguments[i][k];
    std::string call = (k > 0 ? ", " : "") + message.calls[k].name + "(";
    for (std::size_t a = 0; a < arguments.items.size(); ++a) {
      const PythonJson& value = arguments.items[a];
      call += concat(a > 0 ? ", " : "", arguments.keys[a], "=");
      call += value.is_string()   ? "'" + value.text + "'"
              : value.is_object() ? json_dumps(value)
                                  : python_str(value);
    }
    w.out.said(call + ")");
  }
  w.out.own("]<|tool_call_end|>");
}

/// An answer in the history. Of LFM2.5's, the thoughts of all but the newest are gone.
inline void write_lfm2_answer(ChatWriter& w, std::size_t i, bool is_kept) {
  const ChatMessage& message = w.messages[i];
  const bool is_late = w.style.form == ChatForm::lfm25_calls;  // the template's own calls
  if (!is_late) write_python_calls(w, i);
  ChatText text = is_late ? w.text_of(message) : text_with_thoughts(w, message);
  if (is_late && is_kept && !message.thinking.empty()) {
    w.out.own("<think>").said(message.thinking).own("</think>");
  }
  if (w.style.form != ChatForm::lfm2 && !is_kept && text.contains("</think>")) {
    text = text.after_last("</think>").stripped();
  }
  w.out.append(text);
  if (is_late) write_python_calls(w, i);
}

[[nodiscard]] inline Result<ChatText> write_lfm2(ChatWriter w) {
  w.out.own(w.style.bos);
  ChatText system;
  system.said(w.system());
  if (!w.tools.empty()) {
    system.own(system.empty() ? "" : "\n").own(w.style.tools_begin);
    for (std::size_t k = 0; k < w.tools.size(); ++k) {
      system.own(k > 0 ? ", " : "").said(json_dumps(w.tools[k]));
    }
    system.own(w.style.tools_end);
  }
  if (!system.empty()) {
    begin_chatml(w.out, "system");
    w.out.append(system).own("<|im_end|>\n");
  }
  std::size_t newest = w.messages.size();  // answers from here on keep their thoughts
  for (std::size_t i = 0; i < w.messages.size(); ++i) {
    const bool by_user = w.style.form == ChatForm::lfm25_calls;
    if (w.messages[i].role == (by_user ? ChatRole::user : ChatRole::assistant)) newest = i;
  }
  for (std::size_t i = w.first(); i < w.messages.size(); ++i) {
    const ChatMessage& message = w.messages[i];
    const bool is_marked = message.role == ChatRole::tool && w.style.form == ChatForm::lfm2;
    begin_chatml(w.out, role_name(message.role));
    if (is_marked) w.out.own("<|tool_response_start|>");
    if (message.role == ChatRole::assistant) {
      write_lfm2_answer(w, i, newest == w.messages.size() || i >= newest);
    } else {
      w.out.append(w.text_of(message));
    }
    if (is_marked) w.out.own("<|tool_response_end|>");
    w.out.own("<|im_end|>\n");
  }
  if (w.is_to_answer) begin_chatml(w.out, "assistant");
  return std::move(w.out);
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
