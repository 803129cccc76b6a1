// SPDX-License-Identifier: Apache-2.0
// The questions of a task, from JSON lines.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <mamba2/io/json_fields.hpp>
#include <mamba2/mamba2.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace eval {

using mamba2::Error;
using mamba2::ErrorCode;
using mamba2::Result;
using mamba2::detail::concat;
using mamba2::detail::Json;

/// A text and ways in which it might go on, each after a space.
struct Question {
  std::string place;  ///< "piqa.jsonl: line 3"
  Json id;
  std::string context;
  std::vector<std::string> choices;  ///< without the space
  std::size_t gold;                  ///< the right one
};

/// Fields of a line; the first error is kept.
class LineFields : public mamba2::detail::JsonFields {
 public:
  using JsonFields::JsonFields;

  [[nodiscard]] std::string text(std::string_view key) {
    const Json* value = find(key);
    const auto* text = value == nullptr ? nullptr : value->get_ptr<const std::string*>();
    if (text == nullptr) refuse(key, "a text", found(value));
    return text == nullptr ? std::string() : *text;
  }

  /// At least so many.
  [[nodiscard]] std::vector<std::string> texts(std::string_view key, std::size_t least) {
    constexpr std::size_t kMost = 100;
    const Json* value = find(key);
    const auto* list = value == nullptr ? nullptr : value->get_ptr<const Json::array_t*>();
    std::vector<std::string> texts;
    for (std::size_t i = 0; list != nullptr && list->size() <= kMost && i < list->size(); ++i) {
      if (const auto* text = (*list)[i].get_ptr<const std::string*>()) texts.push_back(*text);
    }
    if (list == nullptr || list->size() < least || texts.size() != list->size()) {
      refuse(key, concat("a list of ", least, " to ", kMost, " texts"),
             list != nullptr && texts.size() < list->size() && list->size() <= kMost
                 ? "one with something else in it"
                 : found(value));
    }
    return texts;
  }

  /// A number in 0..count-1.
  [[nodiscard]] std::size_t index(std::string_view key, std::size_t count) {
    const Json* value = find(key);
    const auto* index = value == nullptr ? nullptr : value->get_ptr<const std::uint64_t*>();
    if (index != nullptr && *index < count) return static_cast<std::size_t>(*index);
    refuse(key, concat("a whole number in 0..", count - 1), found(value));
    return 0;
  }

 private:
  [[nodiscard]] static std::string found(const Json* value) {
    return value == nullptr ? "no such key" : mamba2::detail::describe(*value);
  }
};

inline void read_arc(LineFields& line, Question& q) {
  q.context = concat("Question: ", line.text("question"), "\nAnswer:");
  q.choices = line.texts("choices", 2);
  q.gold = line.index("gold", q.choices.size());
}

inline void read_hellaswag(LineFields& line, Question& q) {
  q.context = line.text("query");
  q.choices = line.texts("choices", 2);
  q.gold = line.index("gold", q.choices.size());
}

/// All words but the last, which is the only choice: only the space U+0020 separates.
inline void read_lambada(LineFields& line, Question& q) {
  const std::string text = line.text("text");
  const std::size_t space = text.rfind(' ');
  const bool one_word = space == std::string::npos;
  q.context = one_word ? "" : text.substr(0, space);
  q.choices = {one_word ? text : text.substr(space + 1)};
  q.gold = 0;
}

inline void read_piqa(LineFields& line, Question& q) {
  q.context = concat("Question: ", line.text("goal"), "\nAnswer:");
  q.choices = {line.text("sol1"), line.text("sol2")};
  q.gold = line.index("label", 2);
}

/// A task of EleutherAI's lm-evaluation-harness, zero-shot.
struct Task {
  std::string_view name;
  bool chooses;  ///< among several choices; else it is to guess the only one, word for word
  void (*read)(LineFields& line, Question& question);
};

inline constexpr std::array<Task, 4> kTasks = {{{"arc_easy", true, read_arc},
                                                {"hellaswag", true, read_hellaswag},
                                                {"lambada_openai", false, read_lambada},
                                                {"piqa", true, read_piqa}}};

/// The task whose name a word begins with; nullptr if there is none.
[[nodiscard]] inline const Task* find_task(std::string_view word) {
  for (const Task& task : kTasks) {
    if (word.starts_with(task.name)) return &task;
  }
  return nullptr;
}

/// What a line holds. Error: malformed, naming the place.
[[nodiscard]] inline Result<Json> parse_line(std::string_view line, std::string_view place) {
  constexpr std::string_view kFirst = "x: line 1";
  auto json = mamba2::detail::parse_json(line, "x");
  if (json) return json;
  const std::string& message = json.error().message;  // it says "x: line 1 ...", or "x: ..."
  return Error{json.error().code,
               concat(place, std::string_view(message).substr(
                                 message.starts_with(kFirst) ? kFirst.size() : 1))};
}

/// One line of a file. Error: malformed, naming place and field.
[[nodiscard]] inline Result<Question> read_question(const Task& task, std::string_view line,
                                                    std::string place) {
  const auto json = parse_line(line, place);
  if (!json) return json.error();
  if (!json->is_object()) {
    return Error{ErrorCode::malformed,
                 concat(place, " must be an object, found ", mamba2::detail::describe(*json))};
  }
  LineFields fields(*json, place);
  Question question{.place = place, .id = {}, .context = {}, .choices = {}, .gold = 0};
  task.read(fields, question);
  if (const Json* id = fields.find("id")) {
    question.id = *id;
    if (!id->is_number_integer() && !id->is_string()) {
      fields.refuse("id", "a whole number or a text", mamba2::detail::describe(*id));
    }
  }
  if (fields.error()) return *fields.error();
  return question;
}

/// The first `limit` lines of a file, each a question; empty lines do not count. An id that a line
/// lacks is its number, from 0. Errors: malformed; no question at all.
[[nodiscard]] inline Result<std::vector<Question>> read_questions(const Task& task,
                                                                  std::string_view text,
                                                                  const std::string& name,
                                                                  std::size_t limit) {
  std::vector<Question> questions;
  for (std::size_t number = 1; !text.empty() && questions.size() < limit; ++number) {
    const std::size_t end = std::min(text.size(), text.find('\n'));
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(text.size(), end + 1));
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    auto question = read_question(task, line, concat(name, ": line ", number));
    if (!question) return std::move(question).error();
    if (question->id.is_null()) question->id = number - 1;
    questions.push_back(*std::move(question));
  }
  if (questions.empty()) return Error{ErrorCode::malformed, name + ": has no questions"};
  return questions;
}

}  // namespace eval
