// SPDX-License-Identifier: Apache-2.0
// A conversation that grows: what of it a session has read, and what it has to read next.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/text/chat_template.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// What a session reads next. A template may write what was said before in another way once more is
/// said (it drops thoughts, or moves a system text): then not all that was read can stay.
struct ChatReading {
  enum class From {
    here,      ///< from where the session is
    mark,      ///< from where it was when it had read all but `opening` of the reading before
    beginning  ///< anew
  };
  From from = From::here;
  std::vector<ChatPiece> pieces = {};   ///< up to the place that mark means from now on
  std::vector<ChatPiece> opening = {};  ///< what the template puts before the answer
};

/// Keeps the messages of a conversation and works out the least that is to be read for the next
/// answer. It knows texts only: the application has the session, a copy of its State at the mark,
/// and does what ChatReading says.
class ChatConversation {
 public:
  /// @param system the system text; empty: what the template has for such conversations
  ChatConversation(ChatTemplate form, ChatOptions options, std::string system)
      : form_(std::move(form)), options_(std::move(options)) {
    if (!system.empty()) messages_.push_back({ChatRole::system, std::move(system)});
  }

  [[nodiscard]] const ChatTemplate& form() const noexcept { return form_; }
  [[nodiscard]] const std::vector<ChatMessage>& messages() const noexcept { return messages_; }

  /// The session has read a conversation of this form that is not known here, up to the end of an
  /// answer: that is where the next reading goes on, and it cannot be written in another way.
  void resume() {
    is_known_ = false;
    messages_.push_back({ChatRole::user, "."});
    messages_.push_back({ChatRole::assistant, std::string(kPlace)});
  }

  /// A message to which there is no answer yet, as others are to come: all but the last of what
  /// several tools have given.
  void add(ChatMessage message) { messages_.push_back(std::move(message)); }

  /// A message of the user's or a tool's, to be answered. Errors: those of ChatTemplate::render,
  /// after which the conversation is as before.
  [[nodiscard]] Result<ChatReading> ask(ChatMessage message) {
    messages_.push_back(std::move(message));
    auto reading = next_reading();
    if (!reading) messages_.pop_back();
    return reading;
  }

  /// Forgets the message of the last ask(): the session is where it was before.
  void take_back() {
    messages_.pop_back();
    read_ = before_;
    mark_ = mark_before_;
  }

  /// The answer to it, all that was generated. What is returned is to be read instead of what was,
  /// from the mark on: where the history has the answer in another way, or not `is_whole`, the
  /// session having read something else than this. Errors: those of ask().
  [[nodiscard]] Result<std::optional<ChatReading>> answered(std::string_view text, bool is_whole) {
    ChatOptions as_asked = options_;
    as_asked.thinking = read_.text().ends_with("<think>\n");
    reply_ = form_.read(text, as_asked);
    ChatMessage message{ChatRole::assistant, reply_.text, reply_.thinking, reply_.calls};
    message.is_generated = true;
    messages_.push_back(std::move(message));
    read_.own(text);
    auto history = history_with_answer();
    if (!history) return std::move(history).error();
    std::optional<ChatReading> instead;
    const bool keeps_mark = history->text().starts_with(read_.text().substr(0, mark_));
    const bool is_same = history->text().starts_with(read_.text());
    if (is_same || !keeps_mark || !reply_.calls.empty()) {
      if (!is_whole) instead = ChatReading{ChatReading::From::mark, read_.from(mark_).pieces()};
      return instead;
    }
    instead = ChatReading{ChatReading::From::mark, history->from(mark_).pieces()};
    read_ = *std::move(history);
    return instead;
  }

  /// The last answer.
  [[nodiscard]] const ChatReply& reply() const noexcept { return reply_; }

 private:
  // Stands for an answer, or a message, whose place in the text is looked for.
  static constexpr std::string_view kPlace = "\x1A\x1Aplace\x1A";

  [[nodiscard]] Result<ChatReading> next_reading() {
    auto all = form_.write(messages_, options_, true);
    if (!all) return std::move(all).error();
    auto asked = form_.write(messages_, options_, false);
    if (!asked) return std::move(asked).error();
    const bool has_opening = all->text().starts_with(asked->text());
    std::size_t mark = has_opening ? asked->size() : all->size();
    ChatReading reading;
    std::size_t begin = 0;
    if (all->text().starts_with(read_.text()) && !(read_.empty() && !is_known_)) {
      begin = read_.size();
    } else if (mark_ > 0 && all->text().starts_with(read_.text().substr(0, mark_))) {
      reading.from = ChatReading::From::mark;
      begin = mark_;
    } else if (is_known_) {
      reading.from = ChatReading::From::beginning;
    } else {
      auto end = end_of_answer();
      if (!end) return std::move(end).error();
      begin = *end;
    }
    mark = std::max(mark, begin);
    reading.pieces = all->from(begin, mark - begin).pieces();
    reading.opening = all->from(mark).pieces();
    before_ = std::exchange(read_, *std::move(all));
    mark_before_ = std::exchange(mark_, mark);
    return reading;
  }

  /// Where the last answer ends in the text, whatever it was.
  [[nodiscard]] Result<std::size_t> end_of_answer() {
    std::size_t last = 0;
    for (std::size_t i = 0; i < messages_.size(); ++i) {
      if (messages_[i].role == ChatRole::assistant) last = i;
    }
    std::vector<ChatMessage> with_place = messages_;
    with_place[last] = {ChatRole::assistant, std::string(kPlace)};
    auto all = form_.write(messages_, options_, true);
    const auto marked = form_.write(with_place, options_, true);
    if (!all) return std::move(all).error();
    if (!marked) return marked.error();
    // What follows the answer is the same in both.
    const std::size_t place = marked->text().rfind(kPlace);
    if (place == std::string::npos) return std::size_t{0};
    const std::size_t behind = marked->size() - place - kPlace.size();
    return all->size() - std::min(behind, all->size());
  }

  /// The history up to the end of the last answer, as it is written when a user goes on.
  [[nodiscard]] Result<detail::ChatText> history_with_answer() {
    if (!reply_.calls.empty()) return read_;  // a tool goes on
    std::vector<ChatMessage> more = messages_;
    more.push_back({ChatRole::user, std::string(kPlace)});
    auto all = form_.write(more, options_, true);
    if (!all) return all;
    const std::size_t place = std::min(all->text().rfind(kPlace), all->size());
    const std::string closing = form_.closing();
    std::size_t end = all->text().rfind(closing, place);
    if (end == std::string::npos) end = place;
    return all->from(0, end);
  }

  ChatTemplate form_;
  ChatOptions options_;
  std::vector<ChatMessage> messages_;
  bool is_known_ = true;
  detail::ChatText read_;  // by the session, as far as it is known
  std::size_t mark_ = 0;   // a place in it
  detail::ChatText before_;
  std::size_t mark_before_ = 0;
  ChatReply reply_;
};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
