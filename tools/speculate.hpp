// SPDX-License-Identifier: Apache-2.0
// Options that draft tokens.
#pragma once

#include <CLI/CLI.hpp>
#include <cstddef>
#include <iomanip>
#include <mamba2/mamba2.hpp>
#include <optional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "cli.hpp"
#include "weights.hpp"

namespace cli {

/// --speculate.
class SpeculateOption {
 public:
  void add(CLI::App& app) {
    app.add_option(
           "--speculate", by_,
           "Draft tokens, so that one pass over the weights gives several, with the text "
           "that there is without: lookup, by what followed in the text before; a MODEL, by "
           "a smaller one of the same vocabulary; may be given for both")
        ->default_str("")
        ->type_name("lookup|MODEL")
        ->allow_extra_args(false);
  }

  /// Error invalid_argument: more than a draft model and lookup.
  [[nodiscard]] mamba2::Result<void> check() const {
    std::size_t models = 0;
    for (const std::string& by : by_) models += by == kLookup ? 0U : 1U;
    if (models <= 1 && by_.size() - models <= 1) return {};
    return mamba2::Error{mamba2::ErrorCode::invalid_argument,
                         "--speculate: expected lookup and one draft model at most"};
  }

  /// SessionOptions::rewind.
  [[nodiscard]] std::size_t rewind() const { return by_.empty() ? 0 : mamba2::Speculator::kRewind; }

  /// What drafts for a session, if that was asked for. Errors: those of loading the draft model and
  /// of Speculator; mismatch, of one with other tokens.
  [[nodiscard]] mamba2::Result<std::optional<mamba2::Speculator>> start(
      const mamba2::AnySession& session, const mamba2::Tokenizer& tokenizer,
      const mamba2::SessionOptions& options) const {
    using Made = std::optional<mamba2::Speculator>;
    if (by_.empty()) return Made();
    mamba2::SpeculatorOptions wanted{.lookup = false};
    std::string path;
    for (const std::string& by : by_) by == kLookup ? wanted.lookup = true : !(path = by).empty();
    auto made = path.empty() ? mamba2::Speculator::create(session.config(), wanted)
                             : with_model(path, session.config(), tokenizer, options, wanted);
    if (!made) return std::move(made).error();
    if (auto checked = made->check(session); !checked) return checked.error();
    return Made(*std::move(made));
  }

  /// A line of what it has done.
  static void print_stats(std::ostream& out, const mamba2::SpeculatorStats& stats) {
    const auto ratio = [](double a, double b) { return b > 0.0 ? a / b : 0.0; };
    const auto tokens = static_cast<double>(stats.tokens);
    out << std::fixed << std::setprecision(2) << "drafts   "
        << ratio(tokens, static_cast<double>(stats.passes)) << " tokens a pass in " << stats.passes
        << " passes, " << std::setprecision(0)
        << 100.0 * ratio(static_cast<double>(stats.accepted), static_cast<double>(stats.drafted))
        << " % of " << stats.drafted << " drafts right, " << std::setprecision(2) << stats.speedup()
        << " times the speed without\n";
  }

 private:
  static constexpr const char* kLookup = "lookup";

  [[nodiscard]] static mamba2::Result<mamba2::Speculator> with_model(
      const std::string& path, const mamba2::Config& config, const mamba2::Tokenizer& tokenizer,
      const mamba2::SessionOptions& options, const mamba2::SpeculatorOptions& wanted) {
    const WeightsOption weights = {.usual = std::string(mamba2::Int8::name)};
    const auto model =
        mamba2::AnyModel::load(path, plan_named(weights.of(path)), {.workers = options.workers});
    if (!model) return model.error();
    const auto own = mamba2::Tokenizer::load(path);
    if (!own) return own.error();
    if (auto same = mamba2::check_same_tokens(tokenizer, *own); !same) {
      return mamba2::Error{same.error().code,
                           path + ": cannot draft for this model: " + same.error().message};
    }
    auto session = model->session(options);
    if (!session) return std::move(session).error();
    return mamba2::Speculator::create(config, *std::move(session), wanted);
  }

  std::vector<std::string> by_;
};

}  // namespace cli
