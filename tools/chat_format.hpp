// SPDX-License-Identifier: Apache-2.0
// Conversations without a chat template: a form by hand, or a story.
#pragma once

#include <chrono>
#include <cstddef>
#include <ctime>
#include <string>
#include <string_view>

namespace cli {

/// The date of today where the program runs.
[[nodiscard]] inline std::chrono::year_month_day local_date() {
  const std::time_t now = std::time(nullptr);
  std::tm local = {};
  ::localtime_r(&now, &local);
  return std::chrono::year(local.tm_year + 1900) / (local.tm_mon + 1) / local.tm_mday;
}

/// The text around what is said: before the user's line, between it and the answer, and after that.
/// A story has none: lines and answers are one text.
struct ChatFormat {
  std::string before = {};
  std::string between = {};
  std::string after = {};

  /// A story if {user}, something and {assistant} are not there, in this order.
  [[nodiscard]] static ChatFormat parse(const std::string& text) {
    constexpr std::string_view kUser = "{user}";
    constexpr std::string_view kAssistant = "{assistant}";
    const std::size_t user = text.find(kUser);
    const std::size_t assistant = user == text.npos ? text.npos : text.find(kAssistant, user);
    if (assistant == text.npos) return {};
    const std::size_t line_end = user + kUser.size();
    return {text.substr(0, user), text.substr(line_end, assistant - line_end),
            text.substr(assistant + kAssistant.size())};
  }

  [[nodiscard]] bool is_story() const { return between.empty(); }

  /// What comes between what was written of a story and the next line. That begins a paragraph, but
  /// where a sentence has not ended, or a space says that the line goes on.
  [[nodiscard]] static std::string next(std::string_view answer, std::string_view line) {
    if (line.starts_with(' ') || answer.ends_with(' ') || answer.ends_with('\n')) return "";
    constexpr std::string_view kEnds = ".!?\"')";
    return answer.empty() || kEnds.find(answer.back()) != kEnds.npos ? "\n\n" : " ";
  }
};

}  // namespace cli
