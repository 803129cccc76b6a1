// SPDX-License-Identifier: Apache-2.0
// Answers what lm-evaluation-harness asks a model, in JSON.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <initializer_list>
#include <mamba2/mamba2.hpp>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tools/cli.hpp"
#include "tools/eval/encode.hpp"
#include "tools/eval/lines.hpp"
#include "tools/eval/model.hpp"
#include "tools/eval/tasks.hpp"
#include "tools/perplexity/windows.hpp"

namespace eval {

/// A line asks one thing of many texts, which share the passes over the weights:
///   {"loglikelihood": [{"context": "...", "continuation": "..."}, ...]}
///   {"loglikelihood_rolling": [{"text": "..."}, ...]}
///   {"generate_until": [{"context": "...", "until": ["...", ...], "max_gen_toks": 5}, ...]}
/// The answer has the same key and a list of as many answers, [log-likelihood, is_greedy], a
/// log-likelihood or a text; or it is {"error": "..."}.
class Server {
 public:
  /// Texts are read and written max_length tokens at a time, at most.
  Server(Evaluator& model, const mamba2::Tokenizer& tokenizer, std::size_t max_length)
      : model_(model),
        tokenizer_(tokenizer),
        empty_(end_of_text(model.config())),
        max_length_(max_length) {}

  /// place: "line 3".
  [[nodiscard]] std::string answer(const Line& line, const std::string& place) {
    Json answer;
    const Result<void> answered = cli::guarded([&]() -> Result<void> {
      auto result = try_answer(line, place);
      if (!result) return std::move(result).error();
      answer = *std::move(result);
      return {};
    });
    if (!answered) answer = Json{{"error", answered.error().message}};
    return answer.dump(-1, ' ', true, Json::error_handler_t::replace);
  }

 private:
  using List = Json::array_t;

  struct Kind {
    std::string_view name;
    Result<Json> (Server::*answer)(const List& list, const std::string& place);
  };

  [[nodiscard]] Result<Json> try_answer(const Line& line, const std::string& place) {
    static constexpr std::array<Kind, 3> kKinds = {
        {{"loglikelihood", &Server::log_likelihoods},
         {"loglikelihood_rolling", &Server::rolling_log_likelihoods},
         {"generate_until", &Server::texts}}};
    if (!line.whole) {
      return Error{ErrorCode::malformed, concat(place, " must have at most ", LineReader::kMaxBytes,
                                                " bytes, found more")};
    }
    const auto json = parse_line(line.text, place);
    if (!json) return json.error();
    const auto* call = json->get_ptr<const Json::object_t*>();
    if (call == nullptr || call->size() != 1) {
      return Error{ErrorCode::malformed,
                   concat(place, " must be an object with one key, found ",
                          call == nullptr ? mamba2::detail::describe(*json)
                                          : concat("one with ", call->size()))};
    }
    const auto& [name, value] = *call->begin();
    const auto* kind = std::ranges::find(kKinds, name, &Kind::name);
    if (kind == kKinds.end()) {
      return Error{ErrorCode::malformed,
                   concat(place,
                          ": the key must be loglikelihood, loglikelihood_rolling or "
                          "generate_until, found ",
                          mamba2::detail::in_quotes(name))};
    }
    const auto* list = value.get_ptr<const List*>();
    if (list == nullptr) {
      return Error{ErrorCode::malformed, concat(place, ": ", name, " must be a list, found ",
                                                mamba2::detail::describe(value))};
    }
    auto answers = (this->*kind->answer)(*list, concat(place, ": ", name));
    if (!answers) return std::move(answers).error();
    Json answer;
    answer[name] = *std::move(answers);
    return answer;
  }

  /// Calls read(fields, place) for each element, an object with these keys.
  template <class Read>
  [[nodiscard]] static Result<void> for_each(const List& list, const std::string& place,
                                             std::initializer_list<std::string_view> keys,
                                             Read&& read) {
    for (std::size_t i = 0; i < list.size(); ++i) {
      const std::string here = concat(place, " ", i);
      if (!list[i].is_object()) {
        return Error{ErrorCode::malformed,
                     concat(here, " must be an object, found ", mamba2::detail::describe(list[i]))};
      }
      LineFields fields(list[i], here);
      for (const auto& [key, value] : fields.entries()) {
        if (std::ranges::find(keys, key) == keys.end()) {
          fields.refuse(key, "left out: there is no such key", mamba2::detail::describe(value));
        }
      }
      Result<void> done = read(fields);
      if (fields.error()) return *fields.error();
      if (!done) {
        return Error{done.error().code, concat(here, ": ", done.error().message)};
      }
    }
    return {};
  }

  [[nodiscard]] Result<Json> log_likelihoods(const List& list, const std::string& place) {
    std::vector<Request> requests;
    const auto add = [&](LineFields& fields) -> Result<void> {
      const std::string context = fields.text("context");
      const std::string continuation = fields.text("continuation");
      auto request = encode_pair(tokenizer_, empty_, context, continuation, max_length_);
      if (!request) return std::move(request).error();
      requests.push_back(*std::move(request));
      return {};
    };
    if (Result<void> read = for_each(list, place, {"context", "continuation"}, add); !read) {
      return read.error();
    }
    if (Result<void> scored = score(requests); !scored) return scored.error();
    Json answers = Json::array();
    for (const Request& request : requests) {
      answers.push_back(Json::array({request.score.log_likelihood, request.score.is_greedy}));
    }
    return answers;
  }

  [[nodiscard]] Result<Json> rolling_log_likelihoods(const List& list, const std::string& place) {
    std::vector<Request> windows;
    std::vector<std::size_t> counts;  // of windows, for each text
    const auto add = [&](LineFields& fields) -> Result<void> {
      std::vector<Token> tokens = tokenizer_.encode(fields.text("text"), kAsHarness);
      tokens.insert(tokens.begin(), empty_);
      counts.push_back(0);
      for (const perplexity::Window& window : perplexity::rolling(tokens, max_length_)) {
        const auto first = window.tokens.begin() + static_cast<std::ptrdiff_t>(window.first);
        windows.push_back({{window.tokens.begin(), first}, {first, window.tokens.end()}});
        ++counts.back();
      }
      return {};
    };
    if (Result<void> read = for_each(list, place, {"text"}, add); !read) return read.error();
    if (Result<void> scored = score(windows); !scored) return scored.error();
    Json answers = Json::array();
    auto window = windows.begin();
    for (const std::size_t count : counts) {
      double sum = 0.0;
      for (std::size_t i = 0; i < count; ++i) sum += (window++)->score.log_likelihood;
      answers.push_back(sum);
    }
    return answers;
  }

  [[nodiscard]] Result<void> score(std::span<Request> requests) {
    if (Result<void> scored = model_.score(requests); !scored) return scored;
    const auto is_finite = [](const Request& r) { return std::isfinite(r.score.log_likelihood); };
    if (std::ranges::all_of(requests, is_finite)) return {};
    return Error{ErrorCode::malformed, "the model gives logits that are not finite"};
  }

  [[nodiscard]] Result<Json> texts(const List& list, const std::string& place) {
    std::vector<Prompt> prompts;
    const auto add = [&](LineFields& fields) -> Result<void> {
      Prompt prompt{.context = tokenizer_.encode(fields.text("context"), kAsHarness),
                    .until = fields.texts("until", 0),
                    .max_tokens = fields.index("max_gen_toks", max_length_)};
      if (prompt.max_tokens == 0) fields.refuse("max_gen_toks", "at least 1", "0");
      if (fields.error()) return {};
      // The harness does not count the token that is not read.
      const std::size_t room = max_length_ - prompt.max_tokens;
      auto& context = prompt.context;
      if (context.empty()) context = {empty_};
      prompt.until.emplace_back(tokenizer_.token_bytes(empty_));
      context.erase(context.begin(),
                    context.end() - static_cast<std::ptrdiff_t>(std::min(room, context.size())));
      prompts.push_back(std::move(prompt));
      return {};
    };
    if (auto read = for_each(list, place, {"context", "until", "max_gen_toks"}, add); !read) {
      return read.error();
    }
    if (Result<void> written = model_.write(tokenizer_, prompts); !written) return written.error();
    Json answers = Json::array();
    for (Prompt& prompt : prompts) answers.push_back(std::move(prompt.text));
    return answers;
  }

  Evaluator& model_;
  const mamba2::Tokenizer& tokenizer_;
  Token empty_;
  std::size_t max_length_;
};

}  // namespace eval
