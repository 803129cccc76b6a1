// SPDX-License-Identifier: Apache-2.0
// The words of a command line before CLI11 has them: it would take "-hello" for --help, pass over
// the "=" of "--system=" and write to a file called "--stats".
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstddef>
#include <mamba2/core/result.hpp>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "numbers.hpp"

namespace cli {

/// How many letters must be put in, left out, replaced or swapped with the next to make b of a.
[[nodiscard]] inline std::size_t edits(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before, last, row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    before = std::move(last);
    last = row;
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t other = a[i - 1] == b[j - 1] ? 0 : 1;
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + other});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
  }
  return row[b.size()];
}

/// The option that was meant by `name`: one that begins so, or the nearest in spelling; empty if
/// none is near.
[[nodiscard]] inline std::string nearest_option(const CLI::App& app, std::string_view name) {
  name.remove_prefix(std::min(name.find_first_not_of('-'), name.size()));
  std::string nearest;
  std::size_t fewest = 1 + name.size() / 6;  // edits that are still near
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& known : option->get_lnames()) {
      const bool begins_so = name.size() > 1 && known.starts_with(name);
      const std::size_t distance = begins_so ? 1 : edits(name, known);
      if (distance > fewest || (distance == fewest && !nearest.empty())) continue;
      fewest = distance;
      nearest = "--" + known;
    }
  }
  return nearest;
}

/// Splits a command line into words of which an option's value is one of its own, and checks the
/// options. Error invalid_argument: an option that does not exist, one that is given twice or has
/// no value, a flag that has one.
class Words {
 public:
  Words(const CLI::App& app, int argc, const char* const* argv)
      : app_(app), given_(argv, argv + argc) {}

  [[nodiscard]] mamba2::Result<std::vector<std::string>> read() {
    if (!given_.empty()) words_.push_back(given_[0]);
    std::size_t next = 1;
    while (next < given_.size() && given_[next] != "--") {
      const std::string& word = given_[next++];
      if (!looks_like_option(word)) {
        words_.push_back(word);
      } else if (auto added = add_option(word, next); !added) {
        return added.error();
      }
    }
    for (; next < given_.size(); ++next) words_.push_back(given_[next]);
    return std::move(words_);
  }

 private:
  [[nodiscard]] static bool looks_like_option(std::string_view word) {
    return word.size() > 1 && word.front() == '-';
  }
  [[nodiscard]] const CLI::Option* find(std::string_view name) const {
    return app_.get_option_no_throw(std::string(name));
  }
  [[nodiscard]] static bool is_flag(const CLI::Option& option) {
    return option.get_items_expected_max() == 0;
  }
  [[nodiscard]] static mamba2::Error refuse(std::string_view word, std::string_view why) {
    return {mamba2::ErrorCode::invalid_argument, mamba2::detail::concat(word, ": ", why)};
  }

  /// An option and its value, which may be the next word.
  mamba2::Result<void> add_option(const std::string& word, std::size_t& next) {
    const bool is_long = word.starts_with("--");
    const std::size_t end = is_long ? std::min(word.find('='), word.size()) : 2;
    const std::string name = word.substr(0, end);
    const CLI::Option* option = find(name);
    const bool has_value = end < word.size();
    // "-help" and "-temperature" are not -h and -t with a value.
    const bool one_dash = !is_long && has_value && find("-" + word) != nullptr;
    if (option == nullptr || one_dash || (!is_long && has_value && is_flag(*option))) {
      return unknown(is_long ? name : word);
    }
    if (is_flag(*option)) {
      if (has_value) return refuse(name, "takes no value, found " + shown(word.substr(end + 1)));
      words_.push_back(name);
      return {};
    }
    if (option->get_items_expected_max() == 1 && !seen_.insert(option).second) {
      return refuse(option->get_name(), "given twice");
    }
    words_.push_back(name);
    if (has_value) {
      words_.push_back(word.substr(is_long ? end + 1 : end));
    } else if (next == given_.size()) {
      return refuse(name, "needs a value");
    } else if (looks_like_option(given_[next]) && find(given_[next]) != nullptr) {
      return refuse(name, "needs a value, found the option " + given_[next]);
    } else {
      words_.push_back(given_[next++]);
    }
    return {};
  }

  [[nodiscard]] mamba2::Error unknown(const std::string& name) const {
    const std::string nearest = nearest_option(app_, name);
    const std::string cut = shown(name);
    return refuse(std::string_view(cut).substr(1, cut.size() - 2),
                  nearest.empty() ? "unknown option (--help lists them; text comes after --)"
                                  : "unknown option; did you mean " + nearest + "?");
  }

  const CLI::App& app_;
  std::vector<std::string> given_;
  std::vector<std::string> words_;
  std::set<const CLI::Option*> seen_;
};

/// What is wrong with a command line, in one line.
[[nodiscard]] inline std::string usage_error(const CLI::App& app, const CLI::ParseError& error) {
  if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) {
    for (const std::string& word : app.remaining()) {
      if (word != "--") return shown(word) + ": unexpected; a text with spaces needs quotes";
    }
  }
  constexpr std::size_t kMaxBytes = 300;
  std::string line = error.what();
  if (line.size() > kMaxBytes) line = line.substr(0, kMaxBytes) + "...";
  std::ranges::replace_if(
      line, [](unsigned char c) { return c < 0x20U; }, ' ');
  const bool is_missing = dynamic_cast<const CLI::RequiredError*>(&error) != nullptr;
  return is_missing ? line + " (--help tells more)" : line;
}

}  // namespace cli
