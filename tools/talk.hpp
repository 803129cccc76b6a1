// SPDX-License-Identifier: Apache-2.0
// A conversation, or a story, with a session: what was said is what the session has read.
#pragma once

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <functional>
#include <iostream>
#include <mamba2/chat.hpp>
#include <mamba2/mamba2.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "chat_format.hpp"

namespace cli {

/// Set by the program's handler of signals: what is under way is to stop.
inline volatile std::sig_atomic_t interrupted = 0;

class Talk {
 public:
  /// @param conversation nothing: a story, which begins with the text of `system`
  Talk(mamba2::AnySession& session, mamba2::Sampler& sampler, const mamba2::Tokenizer& tokenizer,
       std::optional<mamba2::ChatConversation> conversation, std::string system,
       mamba2::GenerateOptions options)
      : session_(session),
        sampler_(sampler),
        tokenizer_(tokenizer),
        begun_(conversation),
        conversation_(std::move(conversation)),
        system_(std::move(system)),
        options_(std::move(options)),
        mark_(session.state()) {
    if (conversation_) {
      for (std::string& stop : conversation_->form().stops()) {
        options_.stop.push_back(std::move(stop));
      }
    }
    if (conversation_ && session.state().tokens() > 0) conversation_->resume();
    options_.on_token = [this](const mamba2::GeneratedToken& generated) {
      tokens_.push_back(generated.token);
    };
  }
  Talk(const Talk&) = delete;
  Talk& operator=(const Talk&) = delete;

  /// Reads a line, of a user or of a tool that was called, and writes the answer to standard
  /// output. An interrupted answer counts as far as it was shown; a line that was not read to its
  /// end does not count at all.
  [[nodiscard]] mamba2::Result<void> turn(const std::string& line) {
    if (calls_.size() > 1) {  // others are to come before there is an answer
      conversation_->add(take_message(line));
      return {};
    }
    const auto reading = next_reading(line);
    if (!reading) return reading.error();
    const mamba2::State before = session_.state();
    const auto read = read_all(*reading);
    if (!read) return read.error();
    if (!*read) {
      if (conversation_) conversation_->take_back();
      return session_.set_state(before);
    }
    calls_.clear();
    return is_full_ ? mamba2::Result<void>() : answer();
  }

  /// An empty line.
  void begin_anew_if_full() {
    if (is_full_) {
      session_.reset();
      conversation_ = begun_;
      calls_.clear();
    }
    is_full_ = false;
  }

 private:
  [[nodiscard]] mamba2::ChatMessage take_message(const std::string& line) {
    if (calls_.empty()) return {mamba2::ChatRole::user, line};
    mamba2::ChatMessage message{mamba2::ChatRole::tool, line};
    message.call_id = calls_.front().id;
    calls_.erase(calls_.begin());
    return message;
  }

  [[nodiscard]] mamba2::Result<mamba2::ChatReading> next_reading(const std::string& line) {
    if (conversation_) {
      const auto calls = calls_;
      auto reading = conversation_->ask(take_message(line));
      calls_ = calls;  // until the line was read
      return reading;
    }
    const bool is_first = session_.state().tokens() == 0;
    mamba2::ChatReading reading;
    reading.pieces.push_back({(is_first ? system_ : ChatFormat::next(answer_, line)) + line});
    return reading;
  }

  /// Reads what is next, up to the answer, and sets the mark. False: it was interrupted.
  [[nodiscard]] mamba2::Result<bool> read_all(const mamba2::ChatReading& reading) {
    using From = mamba2::ChatReading::From;
    if (reading.from == From::beginning) session_.reset();
    if (reading.from == From::mark) {
      if (auto set = session_.set_state(mark_); !set) return set.error();
    }
    const bool is_plain = !conversation_ || conversation_->form().is_plain();
    const bool begins = session_.state().tokens() == 0;
    const auto pieces = mamba2::encode_chat(tokenizer_, reading.pieces, is_plain && begins);
    const auto opening = mamba2::encode_chat(tokenizer_, reading.opening);
    const auto& last = opening.empty() ? pieces : opening;
    options_.begins_text = !last.empty() && tokenizer_.is_special(last.back());
    if (pieces.size() + opening.size() > session_.state().room()) {
      note_full_context();
      return true;
    }
    const auto read = read_tokens(pieces, true);
    if (!read || !*read) return read;
    mark_ = session_.state();
    return read_tokens(opening, false);  // a few words; the mark has moved
  }

  /// False: interrupted, which only may be where it can be taken back.
  [[nodiscard]] mamba2::Result<bool> read_tokens(std::span<const mamba2::Token> tokens,
                                                 bool may_stop) {
    constexpr std::size_t kPiece = 512;
    while (!tokens.empty()) {
      if (may_stop && interrupted != 0) return false;
      const auto piece = tokens.first(std::min(kPiece, tokens.size()));
      const auto logits = session_.prefill(piece);
      if (!logits) return logits.error();
      for (const mamba2::Token token : piece) sampler_.accept(token);
      note_read(piece);
      tokens = tokens.subspan(piece.size());
    }
    return !may_stop || interrupted == 0;
  }

  /// The session has read these tokens.
  void note_read(std::span<const mamba2::Token> tokens) {
    if (options_.speculator == nullptr) return;
    options_.speculator->read(session_.state().tokens() - tokens.size(), tokens);
  }

  void note_full_context() {
    is_full_ = true;
    std::cerr << "\nthe context of " << session_.state().context()
              << " tokens is full: an empty line begins anew; --context has room for more\n";
  }

  [[nodiscard]] mamba2::Result<void> answer() {
    answer_.clear();
    tokens_.clear();
    const auto show = [this](std::string_view text) {
      if (interrupted != 0) return false;
      answer_ += text;
      std::cout << text << std::flush;
      return std::cout.good();
    };
    const auto done = mamba2::generate(session_, sampler_, tokenizer_, "", options_, show);
    if (!done) return done.error();
    using mamba2::StopReason;
    if (done->reason == StopReason::context_full) {
      note_full_context();
      return {};
    }
    const bool is_whole = done->reason == StopReason::eos || done->reason == StopReason::max_tokens;
    if (conversation_) return keep_answer(done->reason, is_whole);
    return is_whole ? mamba2::Result<void>() : read_instead({{answer_}});
  }

  [[nodiscard]] mamba2::Result<void> keep_answer(mamba2::StopReason reason, bool is_whole) {
    std::string text = answer_;  // what was shown
    if (reason != mamba2::StopReason::cancelled) {
      text = tokenizer_.decode(tokens_, {.skip_special = false, .at_start = false});
      for (const std::string& stop : options_.stop) {
        if (!stop.empty()) text.resize(std::min(text.find(stop), text.size()));
      }
    }
    const auto instead = conversation_->answered(text, is_whole);
    if (!instead) return instead.error();
    calls_ = conversation_->reply().calls;
    for (const mamba2::ToolCall& call : calls_) {
      std::cerr << "\nnote: calls " << call.name << ' ' << call.arguments
                << ": what it gives is the next line\n";
    }
    return *instead ? read_instead((*instead)->pieces) : mamba2::Result<void>();
  }

  /// The session has read on, into a stop string, say, or thoughts that the history does not have:
  /// back to the mark, and on from there.
  [[nodiscard]] mamba2::Result<void> read_instead(std::vector<mamba2::ChatPiece> pieces) {
    if (auto set = session_.set_state(mark_); !set) return set;
    const std::vector<mamba2::Token> tokens = mamba2::encode_chat(tokenizer_, pieces);
    if (tokens.empty()) return {};
    const auto logits = session_.prefill(tokens);
    if (!logits) return logits.error();
    note_read(tokens);
    return {};
  }

  mamba2::AnySession& session_;
  mamba2::Sampler& sampler_;
  const mamba2::Tokenizer& tokenizer_;
  std::optional<mamba2::ChatConversation> begun_;  // as it was before all
  std::optional<mamba2::ChatConversation> conversation_;
  std::string system_;
  mamba2::GenerateOptions options_;
  mamba2::State mark_;  // see ChatReading
  std::string answer_;  // as it was shown
  std::vector<mamba2::Token> tokens_;
  std::vector<mamba2::ToolCall> calls_;  // of the last answer, whose results are to come
  bool is_full_ = false;
};

}  // namespace cli
