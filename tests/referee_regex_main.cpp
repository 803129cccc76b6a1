// SPDX-License-Identifier: Apache-2.0
// Regular expressions as a filter, for referee_regex.py:
//   referee_regex
// Reads records (uint32 length, bytes) until the end of the input and answers each with a record.
// The first byte says what is asked: P pattern -> why it is refused, or nothing; T text -> uint32
// ends of the pieces into which the last pattern's matches cut it; L text -> the text in lower
// case.
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "mamba2/regex/regex.hpp"
#include "mamba2/tokenizer/normalization_forms.hpp"
#include "mamba2/unicode/case.hpp"
#include "tests/referee_records.hpp"

namespace {

using mamba2::detail::NormalizationForm;
using mamba2::detail::NormalizationWriter;
using mamba2::detail::Regex;
using mamba2::detail::RegexMatches;
using tests::read_record;
using tests::write_record;

std::vector<std::uint32_t> piece_ends(const Regex& regex, std::string_view text) {
  std::vector<std::uint32_t> out;
  const auto add = [&](std::size_t end) {
    const std::uint32_t last = out.empty() ? 0 : out.back();
    if (end != last) out.push_back(static_cast<std::uint32_t>(end));
  };
  RegexMatches matches(regex, text);
  while (const auto match = matches.next()) {
    add(match->begin);
    add(match->end);
  }
  add(text.size());
  return out;
}

}  // namespace

int main() {
  const NormalizationWriter nfc(NormalizationForm::nfc);
  const NormalizationWriter nfd(NormalizationForm::nfd);
  const NormalizationWriter nfkc(NormalizationForm::nfkc);
  const NormalizationWriter nfkd(NormalizationForm::nfkd);
  std::optional<Regex> regex;
  while (const auto record = read_record()) {
    const std::string_view rest = std::string_view(*record).substr(1);
    std::string answer;
    switch ((*record)[0]) {
      case 'P': {
        auto compiled = Regex::compile(rest);
        regex.reset();
        if (compiled) {
          regex = *std::move(compiled);
        } else {
          answer = compiled.error().message;
        }
        break;
      }
      case 'T': {
        if (!regex) return 1;
        const auto ends = piece_ends(*regex, rest);
        write_record(ends.data(), ends.size() * sizeof ends[0]);
        continue;
      }
      case 'L':
        mamba2::detail::append_lower(rest, answer);
        break;
      case 'C':
        nfc.append(rest, answer);
        break;
      case 'D':
        nfd.append(rest, answer);
        break;
      case 'c':
        nfkc.append(rest, answer);
        break;
      case 'd':
        nfkd.append(rest, answer);
        break;
      default:
        return 1;
    }
    write_record(answer.data(), answer.size());
  }
  return 0;
}
