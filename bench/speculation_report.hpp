// SPDX-License-Identifier: Apache-2.0
// Measures what drafts can gain, and prints it.
#pragma once

#include <cstddef>
#include <cstdio>
#include <mamba2/mamba2.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "bench/measure.hpp"
#include "bench/report.hpp"
#include "bench/speculation.hpp"

namespace bench {

/// Prints tables, and collects the rows that a JSON file gets.
class SpeculationReport {
 public:
  SpeculationReport(const Request& request, std::string cpu)
      : request_(request), cpu_(std::move(cpu)) {}

  /// What the request asks for of a model that is loaded. Errors: those of Speculation, of
  /// read_texts() and of loading the tokenizer.
  [[nodiscard]] mamba2::Result<void> measure(Measurement& measurement, std::string_view weights) {
    std::vector<RepeatingText> texts;
    if (!request_.texts.empty()) {
      const auto tokenizer = mamba2::Tokenizer::load(request_.tokenizer);
      if (!tokenizer) return tokenizer.error();
      auto read = read_texts(request_.texts, *tokenizer, measurement.model().config().vocab_size);
      if (!read) return read.error();
      texts = *std::move(read);
    }
    return measurement.on_threads(
        [&](const Threads& threads, const mamba2::SessionOptions& options) -> mamba2::Result<void> {
          mamba2::SessionOptions with_rewind = options;
          with_rewind.rewind = mamba2::Speculator::kRewind;
          auto session = measurement.model().session(with_rewind);
          if (!session) return std::move(session).error();
          std::printf("%s %s, threads: %zu\n", measurement.name().c_str(),
                      std::string(weights).c_str(), threads.count);
          common_ = {{"model", measurement.name()}, {"weights", weights},
                     {"threads", threads.count},    {"repeat", request_.repeat},
                     {"isa", mamba2::isa()},        {"cpu", cpu_},
                     {"version", MAMBA2_VERSION}};
          Speculation speculation(*session, request_.repeat);
          auto outcome = request_.speculate ? passes(speculation) : mamba2::Result<void>();
          return outcome && !texts.empty() ? answers(speculation, texts) : outcome;
        });
  }

  [[nodiscard]] const nlohmann::ordered_json& rows() const { return rows_; }

 private:
  void add(const nlohmann::ordered_json& row) {
    nlohmann::ordered_json whole = common_;
    whole.update(row);
    rows_.push_back(whole);
  }

  [[nodiscard]] mamba2::Result<void> passes(Speculation& speculation) {
    const auto costs = speculation.pass_costs();
    if (!costs) return costs.error();
    std::printf("%6s %9s %7s %11s %9s %8s\n", "tokens", "ms", "of one", "taken back", "roof, ms",
                "of roof");
    for (const PassCost& pass : costs->passes) {
      const double roof = costs->roof(pass.tokens);
      std::printf("%6zu %9.2f %7.2f %11.2f %9.2f %8.2f\n", pass.tokens, 1e3 * pass.seconds,
                  pass.seconds / costs->passes.front().seconds, 1e3 * pass.after_rewind, 1e3 * roof,
                  pass.seconds / roof);
      add({{"phase", "pass"},
           {"tokens", pass.tokens},
           {"seconds", pass.seconds},
           {"seconds_after_rewind", pass.after_rewind},
           {"seconds_roof", roof}});
    }
    std::printf(
        "of one: in passes of one token. taken back: ms where all but one of the pass before "
        "were.\n"
        "roof: a pass of one, or the tokens at the speed of a prompt, %.1f tokens/s.\n\n",
        costs->prompt_tokens_per_s);
    return {};
  }

  [[nodiscard]] mamba2::Result<void> answers(Speculation& speculation,
                                             const std::vector<RepeatingText>& texts) {
    std::printf("%-44s %6s %6s %6s %6s %9s %8s %6s\n", "answers that are given", "prompt", "tokens",
                "a pass", "right", "tokens/s", "plainly", "ratio");
    std::vector<double> ratios;
    for (const RepeatingText& text : texts) {
      const auto speed = speculation.answer(text);
      if (!speed) return speed.error();
      const mamba2::SpeculatorStats& stats = speed->stats;
      const auto tokens = static_cast<double>(text.answer.size());
      const double per_pass = tokens / static_cast<double>(stats.passes);
      const double right = stats.drafted == 0 ? 0.0
                                              : static_cast<double>(stats.accepted) /
                                                    static_cast<double>(stats.drafted);
      ratios.push_back(speed->plain_seconds / speed->seconds);
      std::printf("%-44s %6zu %6zu %6.2f %4.0f %% %9.1f %8.1f %6.2f\n", text.name.c_str(),
                  text.prompt.size(), text.answer.size(), per_pass, 100.0 * right,
                  tokens / speed->seconds, tokens / speed->plain_seconds, ratios.back());
      add({{"phase", "answer"},
           {"text", text.name},
           {"tokens", text.answer.size()},
           {"tokens_per_pass", per_pass},
           {"accepted", right},
           {"tokens_per_s", tokens / speed->seconds},
           {"plain_tokens_per_s", tokens / speed->plain_seconds}});
    }
    std::printf("median of the ratios: %.2f\n\n", median(ratios));
    return {};
  }

  const Request& request_;
  std::string cpu_;
  nlohmann::ordered_json common_, rows_ = nlohmann::ordered_json::array();
};

}  // namespace bench
