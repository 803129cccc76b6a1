// SPDX-License-Identifier: Apache-2.0
// What is said in a conversation.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "mamba2/core/result.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

enum class ChatRole { system, user, assistant, tool };

/// A model's wish that a tool be used.
struct ToolCall {
  std::string name;
  std::string arguments = "{}";  ///< a JSON object
  std::string id = {};           ///< where the form has one (Mistral: nine letters and digits)
};

struct ChatMessage {
  ChatRole role = ChatRole::user;
  std::string text = {};
  std::string thinking = {};         ///< assistant: what it has thought before
  std::vector<ToolCall> calls = {};  ///< assistant: after the text
  std::string call_id = {};          ///< tool: ToolCall::id of what this is the result of
  /// Whether the text is what a model has written, so that names of special tokens in it are those.
  bool is_generated = false;
};

/// An answer, taken apart.
struct ChatReply {
  std::string text = {};
  std::string thinking = {};
  std::vector<ToolCall> calls = {};
};

struct ChatOptions {
  bool thinking = true;    ///< whether an answer begins with thoughts, where the form has a choice
  std::string tools = {};  ///< a JSON list of tools, as transformers takes them; empty: none
  /// For templates that tell the date.
  std::chrono::year_month_day today =
      std::chrono::floor<std::chrono::days>(std::chrono::system_clock::now());
};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
