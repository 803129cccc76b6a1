// SPDX-License-Identifier: Apache-2.0
// The forms of conversations, and what a template says of its own.
#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/text/chat/chat_text.hpp"
#include "mamba2/text/chat/python_json.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

enum class ChatForm {
  lines,        // a text before what a user says, and one between that and the answer
  chatml,       // also Zamba2
  granite,      // 4
  nemotron_v2,  // Nemotron Nano v2, Nemotron-H
  nemotron_3,
  falcon_h1,
  lfm2,
  lfm25,        // the calls of tools are in the text
  lfm25_calls,  // they are written by the template
  llama3,
  llama31,  // with dates
  mistral,
};

/// How tools are called.
enum class CallStyle {
  none,
  hermes,     // <tool_call>{"name": ..., "arguments": ...}</tool_call>
  functions,  // <tool_call><function=NAME><parameter=KEY>VALUE</parameter></function></tool_call>
  list,       // <TOOLCALL>[{"name": ..., "arguments": ...}]</TOOLCALL>
  python,     // <|tool_call_start|>[NAME(KEY='VALUE')]<|tool_call_end|>
  object,     // {"name": ..., "parameters": ...} is the whole answer
  mistral,    // [TOOL_CALLS] with a list of objects
  named,      // [TOOL_CALLS]NAME[CALL_ID]ID[ARGS]{...}
};

/// Where a system text stands that has no place of its own: before the first of the users' texts,
/// before the last, or before that if no other message follows it.
enum class SystemPlace { none, first, last, last_message };

/// What one template says: the marks of its form are in the code that writes it, texts and spaces
/// that differ from model to model are here.
struct ChatStyle {
  ChatForm form = ChatForm::chatml;
  std::string name;
  std::string bos = {};                    ///< before all; empty: nothing
  std::string eos = {};                    ///< mistral: ends an answer
  std::optional<std::string> system = {};  ///< where a conversation has none
  std::string before = {};                 ///< lines, mistral: before what a user says
  std::string between = {};                ///< lines, mistral: after it
  std::string after = "\n";                ///< chatml: behind <|im_end|>; lines: after an answer
  std::string lead = {};                   ///< mistral: before an answer
  bool trimmed = false;                    ///< llama3, mistral: whether texts lose their blanks
  CallStyle calls = CallStyle::none;
  bool has_tools = false;        ///< whether tools can be named
  std::string tools_begin = {};  ///< around them
  std::string tools_end = {};
  std::string dates = {};        ///< llama31: of the system's text, kValue: today
  std::string date_format = {};  ///< of strftime, or a date that stays the same
  SystemPlace system_place = SystemPlace::none;
  bool raw_strings = false;  ///< mistral: strings of tools are not escaped
  bool raw_results = false;  ///< mistral: nor what tools give
  /// mistral: tools before every text that equals the last user's, calls without a text, a lead
  /// before an empty answer
  bool is_of_transformers = false;
};

struct NamedForm {
  std::string_view name;
  ChatForm form;
};

/// For messages and --help, in this order.
inline constexpr std::array<NamedForm, 18> kChatForms = {{
    {"granite", ChatForm::granite},
    {"nemotron-3", ChatForm::nemotron_3},
    {"nemotron-nano-v2", ChatForm::nemotron_v2},
    {"falcon-h1", ChatForm::falcon_h1},
    {"lfm2", ChatForm::lfm2},
    {"lfm2.5", ChatForm::lfm25},
    {"zamba2", ChatForm::chatml},
    {"chatml", ChatForm::chatml},
    {"llama-3", ChatForm::llama3},
    {"llama-3.1", ChatForm::llama31},
    {"mistral-v1", ChatForm::mistral},
    {"mistral-v3", ChatForm::mistral},
    {"mistral-v3-tekken", ChatForm::mistral},
    {"mistral-v7", ChatForm::mistral},
    {"mistral-v7-tekken", ChatForm::mistral},
    {"mistral-v11", ChatForm::mistral},
    {"codestral", ChatForm::mistral},
    {"plain", ChatForm::lines},
}};

[[nodiscard]] inline std::string chat_form_names() {
  std::string names;
  for (const NamedForm& form : kChatForms) {
    names += concat(names.empty() ? "" : ", ", form.name);
  }
  return names;
}

/// Forms of Mistral with a system text of its own: from version 7 on.
[[nodiscard]] inline bool has_system_prompt(const ChatStyle& style) {
  return style.name.starts_with("mistral-v7") || style.name.starts_with("mistral-v11");
}

inline void set_mistral_style(ChatStyle& style) {
  const bool is_old = style.name == "mistral-v1";
  const bool has_spaces = is_old || style.name == "mistral-v3" || style.name == "mistral-v7";
  style.before = is_old ? " [INST] " : has_spaces ? "[INST] " : "[INST]";
  style.between = is_old ? " [/INST]" : "[/INST]";
  style.lead = has_spaces ? " " : "";
  style.has_tools = !is_old;
  style.calls = is_old                        ? CallStyle::none
                : style.name == "mistral-v11" ? CallStyle::named
                                              : CallStyle::mistral;
  if (has_system_prompt(style)) return;
  style.system_place = is_old ? SystemPlace::first : SystemPlace::last;
}

/// A form by its name, with the tokens that its models have, as far as that needs no text of
/// theirs: tools can be named in it only where the template brings the words for it.
[[nodiscard]] inline std::optional<ChatStyle> named_style(std::string_view name) {
  const auto found = std::find_if(kChatForms.begin(), kChatForms.end(),
                                  [name](const NamedForm& form) { return form.name == name; });
  if (found == kChatForms.end()) return std::nullopt;
  ChatStyle style;
  style.form = found->form;
  style.name = name == "codestral" ? "mistral-v3" : std::string(name);
  switch (style.form) {
    case ChatForm::lines:
      style.before = "User: ";
      style.between = "\nAssistant:";
      break;
    case ChatForm::granite:
      style.calls = CallStyle::hermes;
      break;
    case ChatForm::nemotron_v2:
      style.calls = CallStyle::list;
      break;
    case ChatForm::nemotron_3:
      style.calls = CallStyle::functions;
      break;
    case ChatForm::falcon_h1:
      style.calls = CallStyle::hermes;
      break;
    case ChatForm::lfm2:
    case ChatForm::lfm25:
    case ChatForm::lfm25_calls: {
      style.bos = "<|startoftext|>";
      const bool is_first = style.form == ChatForm::lfm2;
      style.tools_begin = is_first ? "List of tools: <|tool_list_start|>[" : "List of tools: [";
      style.tools_end = is_first ? "]<|tool_list_end|>" : "]";
      style.calls = CallStyle::python;
      style.has_tools = true;
      break;
    }
    case ChatForm::llama3:
    case ChatForm::llama31:
      style.bos = "<|begin_of_text|>";
      style.trimmed = true;
      style.calls = style.form == ChatForm::llama31 ? CallStyle::object : CallStyle::none;
      break;
    case ChatForm::mistral:
      style.bos = "<s>";
      style.eos = "</s>";
      set_mistral_style(style);
      break;
    case ChatForm::chatml:
      break;
  }
  return style;
}

/// What ends an answer, before what comes between turns.
[[nodiscard]] inline std::string closing_of(const ChatStyle& style) {
  switch (style.form) {
    case ChatForm::lines:
      return style.after;
    case ChatForm::granite:
      return "<|end_of_text|>";
    case ChatForm::nemotron_v2:
      return "\n<SPECIAL_12>";
    case ChatForm::llama3:
    case ChatForm::llama31:
      return "<|eot_id|>";
    case ChatForm::mistral:
      return style.eos;
    default:
      return "<|im_end|>";
  }
}

/// Texts that end an answer.
[[nodiscard]] inline std::vector<std::string> stops_of(const ChatStyle& style) {
  if (style.form == ChatForm::lines) {
    const auto trimmed = [](const std::string& text) {
      return text.substr(0, text.find_last_not_of(" \n\t") + 1);
    };
    const std::string end = trimmed(style.after);
    return {end.empty() ? trimmed(style.after + style.before) : end};
  }
  if (style.form == ChatForm::nemotron_v2) return {"<SPECIAL_12>"};
  std::vector<std::string> stops = {closing_of(style)};
  if (style.form == ChatForm::llama31) stops.emplace_back("<|eom_id|>");
  return stops;
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
