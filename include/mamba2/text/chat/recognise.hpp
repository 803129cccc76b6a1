// SPDX-License-Identifier: Apache-2.0
// Which form a chat template has, by its marks, and what is its own in it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "mamba2/core/result.hpp"
#include "mamba2/text/chat/chat_style.hpp"
#include "mamba2/text/chat/template_text.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// The texts of two tokens, by which templates may call them: bos_token, eos_token.
struct ChatTokens {
  std::string bos = {};
  std::string eos = {};
};

namespace detail {

/// Takes a template for one of the forms. Every find of a form rests on what the template writes,
/// spaces included: one that writes something else is none of them.
class Recogniser {
 public:
  Recogniser(std::string_view jinja, const ChatTokens& tokens)
      : text_(TemplateText::parse(jinja.size() <= kMaxBytes ? jinja : std::string_view())),
        tokens_(tokens) {}

  /// Real ones are far shorter; what takes longer than their length to look through stays quick.
  static constexpr std::size_t kMaxBytes = std::size_t{1} << 17;

  [[nodiscard]] std::optional<ChatStyle> find() {
    std::optional<ChatStyle> style;
    if (has("<|start_of_role|>")) style = granite();
    if (!style && has("<SPECIAL_10>System\n")) style = nemotron_v2();
    if (!style && has("<|im_start|>")) style = chatml_family();
    if (!style && has("<|start_header_id|>")) style = llama3();
    if (!style && has("[INST]")) style = mistral();
    return style;
  }

 private:
  [[nodiscard]] bool has(std::string_view pattern) const { return text_.has(pattern); }

  [[nodiscard]] ChatStyle begin(std::string_view name) const {
    ChatStyle style = *named_style(name);
    style.bos = has("\x04") ? tokens_.bos : "";
    style.eos = tokens_.eos;
    return style;
  }

  /// The words around the list of tools: the segments with these texts.
  [[nodiscard]] bool take_tools(ChatStyle& style, std::string_view first,
                                std::string_view last) const {
    const auto begin = text_.segment(first);
    const auto end = text_.segment(last);
    const auto is_text = [](const auto& segment) {
      return segment && segment->find_first_of("\x01\x03\x04\x05") == segment->npos;
    };
    if (!is_text(begin) || !is_text(end) || *begin == *end) return false;
    style.tools_begin = *begin;
    style.tools_end = *end;
    style.has_tools = true;
    return true;
  }

  [[nodiscard]] std::optional<ChatStyle> granite() const {
    if (!has("<|start_of_role|>\x01<|end_of_role|>\x01<|end_of_text|>\n")) return std::nullopt;
    if (!has("<|start_of_role|>assistant<|end_of_role|>")) return std::nullopt;
    ChatStyle style = begin("granite");
    style.system = text_.variable("default_system");
    const auto first = text_.variable("tools_system_message_prefix");
    const auto last = text_.variable("tools_system_message_suffix");
    if (first && last) {
      style.tools_begin = *first;
      style.tools_end = *last;
      style.has_tools = true;
    }
    return style;
  }

  [[nodiscard]] std::optional<ChatStyle> nemotron_v2() const {
    for (const char* mark : {"<SPECIAL_11>User\n", "<SPECIAL_11>Assistant\n", "\n<SPECIAL_12>\n",
                             "<think></think>", "<think>\n"}) {
      if (!has(mark)) return std::nullopt;
    }
    ChatStyle style = begin("nemotron-nano-v2");
    static_cast<void>(take_tools(style, "<AVAILABLE_TOOLS>[", "]</AVAILABLE_TOOLS>"));
    return style;
  }

  [[nodiscard]] std::optional<ChatStyle> chatml_family() const {
    if (has("<|im_start|>assistant\n<think>\n") && has("<|im_start|>assistant\n<think></think>")) {
      ChatStyle style = begin("nemotron-3");
      static_cast<void>(take_tools(style, "<tools>", "\n</tools>"));
      return style;
    }
    if (text_.has_literal("List of tools: ")) return lfm2();
    return chatml();
  }

  [[nodiscard]] std::optional<ChatStyle> lfm2() const {
    const bool is_first = text_.has_literal("<|tool_list_start|>");
    if (!is_first && !text_.has_literal("</think>")) return std::nullopt;
    ChatStyle style = begin(is_first ? "lfm2" : "lfm2.5");
    if (!is_first && text_.has_literal("<|tool_call_start|>[")) style.form = ChatForm::lfm25_calls;
    return style;
  }

  /// What the template has between the last value of a message and the next statement.
  [[nodiscard]] std::optional<std::string> chatml_end() const {
    const auto place = TemplateText::find_in(text_.written, "<|im_start|>\x01\n\x01<|im_end|>");
    if (!place) return std::nullopt;
    const char before = place->begin == 0 ? kStep : text_.written[place->begin - 1];
    const std::size_t end = std::min(text_.written.find(kStep, place->end), text_.written.size());
    std::string after = text_.written.substr(place->end, end - place->end);
    const bool is_plain = after.find_first_not_of('\n') == after.npos;
    if (!is_plain || (before != kStep && before != kBos)) return std::nullopt;
    return after;
  }

  /// A system text for conversations that have none, written in one go.
  [[nodiscard]] std::optional<std::string> default_system(std::string_view before,
                                                          std::string_view end) const {
    for (auto place = TemplateText::find_in(text_.written, before); place;
         place = TemplateText::find_in(text_.written, before, place->end)) {
      const std::size_t step = text_.written.find(kStep, place->end);
      const std::string text = text_.written.substr(place->end, step - place->end);
      const std::size_t stop = text.find(end);
      if (stop == text.npos || text.find_first_of("\x01\x03") < stop) continue;
      return text.substr(0, stop);
    }
    return std::nullopt;
  }

  /// Whether all that follows "system" in the template is a value, or a text that is whole.
  [[nodiscard]] bool knows_systems() const {
    constexpr std::string_view kSystem = "<|im_start|>system\n";
    for (auto place = TemplateText::find_in(text_.written, kSystem); place;
         place = TemplateText::find_in(text_.written, kSystem, place->end)) {
      const auto next = text_.written.find_first_not_of(kStep, place->end);
      if (next == text_.written.npos) return false;
      if (text_.written[next] == kValue || text_.written[next] == kTrimmed) continue;
      const std::size_t step = text_.written.find(kStep, next);
      if (text_.written.substr(next, step - next).find("<|im_end|>") == std::string::npos) {
        return false;
      }
    }
    return true;
  }

  [[nodiscard]] std::optional<ChatStyle> chatml() const {
    const auto end = chatml_end();
    if (!end || !has("<|im_start|>assistant\n")) return std::nullopt;
    if (has("<tools>\n[\x01]\n</tools>\n")) {
      ChatStyle style = begin("falcon-h1");
      if (*end != "\n" || !take_tools(style, "<tools>", "\n</tools>")) return std::nullopt;
      return style;
    }
    if (text_.has_literal("think>") || !knows_systems()) return std::nullopt;
    ChatStyle style = begin("chatml");
    style.after = *end;
    style.system = default_system("<|im_start|>system\n", "<|im_end|>");
    const bool has_calls =
        has("\n<tool_call>\n{\"name\": \"\x01\", \"arguments\": \x01}\n</tool_call>") &&
        has("\n<tool_response>\n\x01\n</tool_response>");
    if (has_calls && take_tools(style, "<tools>", "\n</tools>")) style.calls = CallStyle::hermes;
    return style;
  }

  /// Whether the last that is written is where an answer begins.
  [[nodiscard]] bool ends_with_llama_header() const {
    std::string_view end = text_.written;
    while (end.ends_with(kStep) || end.ends_with('\n')) end.remove_suffix(1);
    return end.ends_with("<|start_header_id|>assistant<|end_header_id|>") &&
           has("<|start_header_id|>assistant<|end_header_id|>\n\n");
  }

  [[nodiscard]] std::optional<ChatStyle> llama3() const {
    if (!ends_with_llama_header()) return std::nullopt;
    const bool trimmed = has("<|end_header_id|>\n\n\x03<|eot_id|>");
    const bool is_any = has("<|start_header_id|>\x01<|end_header_id|>\n\n\x01<|eot_id|>");
    const bool is_user = has("<|start_header_id|>user<|end_header_id|>\n\n\x01<|eot_id|>");
    if (!is_any && !is_user) return std::nullopt;
    const auto dates = text_.segment("Today Date: \x01");
    const auto system = text_.segment("<|start_header_id|>system<|end_header_id|>\n\n");
    if (system && !dates && !has("<|start_header_id|>system<|end_header_id|>\n\n\x01")) {
      return std::nullopt;  // a system text of another kind
    }
    ChatStyle style = begin(dates ? "llama-3.1" : "llama-3");
    style.trimmed = trimmed;
    if (!dates) return style;
    const std::size_t today = std::min(dates->find(kValue), dates->size() - 1);
    style.dates = dates->substr(0, dates->find_first_of("\x01\x03", today + 1));
    style.date_format = text_.variable("date").value_or("");
    for (const std::string& literal : text_.literals) {
      if (literal.starts_with('%')) style.date_format = literal;
    }
    const auto tools = text_.segment("<|start_header_id|>user<|end_header_id|>\n\n");
    if (tools && tools->find_first_of("\x01\x03") == tools->npos) {
      style.tools_begin = *tools;
      style.has_tools = true;
    }
    return style;
  }

  /// What is written in one go before or behind a mark, the mark included.
  [[nodiscard]] std::string around(std::string_view mark) const {
    const std::size_t at = text_.written.find(mark);
    if (at == std::string::npos) return "";
    constexpr std::string_view kEnds("\x01\x02\x03\x04\x05");
    const std::size_t before = text_.written.find_last_of(kEnds, at);
    const std::size_t begin = before == std::string::npos ? 0 : before + 1;
    const std::size_t end = std::min(text_.written.find_first_of(kEnds, at), text_.written.size());
    return text_.written.substr(begin, end - begin);
  }

  [[nodiscard]] bool says(std::string_view part) const {
    return text_.statements.find(part) != std::string::npos;
  }

  [[nodiscard]] std::optional<ChatStyle> mistral() const {
    if (text_.has_literal("[THINK]") || text_.has_literal("[MODEL_SETTINGS]")) return std::nullopt;
    const bool has_system = has("[SYSTEM_PROMPT]");
    const bool has_calls = has("[ARGS]");
    const bool has_tools = has("[AVAILABLE_TOOLS]");
    const std::string before = around("[INST]");
    const std::string between = around("[/INST]");
    const bool has_spaces = before.ends_with(' ');
    const bool is_v3 = has_tools && !has_system;
    ChatStyle style = begin(has_calls    ? "mistral-v11"
                            : has_system ? (has_spaces ? "mistral-v7" : "mistral-v7-tekken")
                            : is_v3      ? (has_spaces ? "mistral-v3" : "mistral-v3-tekken")
                                         : "mistral-v1");
    if (before.empty() || between.empty() || !has("\x05")) return std::nullopt;
    style.before = before;
    style.between = between;
    style.has_tools = has_tools;
    style.trimmed = has("\x03\x05");
    style.lead = says("add_space") || has("[/INST] ") || has(" \x01\x05") ? " " : "";
    // Tools at the beginning, as version 13 has them, are another form, and so are blanks behind
    // an answer.
    if ((has_calls && !has("[CALL_ID]")) || text_.written.find("\x05 ") != std::string::npos) {
      return std::nullopt;
    }
    style.raw_strings = has("{\"type\": \"function\", \"function\": {");
    style.raw_results = has("{\"content\": \x01");
    style.is_of_transformers = says("user_messages[-1]");
    style.system = text_.variable("default_system");
    if (style.system) {
      for (const std::string& literal : text_.literals) {
        if (literal.starts_with('%')) style.date_format = literal;
      }
    }
    if (!has_system) style.system_place = system_place();
    return style;
  }

  /// By the condition under which the system's text is written before a user's.
  [[nodiscard]] SystemPlace system_place() const {
    if (!has("\x01\n\n")) return SystemPlace::none;
    if (says("loop.index0 == 0 and system") || says("loop.first and system")) {
      return SystemPlace::first;
    }
    if (says("loop.last and system")) return SystemPlace::last_message;
    return says("max_idx_user) and system") ? SystemPlace::last : SystemPlace::none;
  }

  TemplateText text_;
  const ChatTokens& tokens_;
};

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
