// SPDX-License-Identifier: Apache-2.0
// Any text as a regular expression, and behind a NUL any bytes to search. What is found is in
// order, does not depend on what else is found, and in a text twice as long takes bounded work.
#include <algorithm>
#include <cstdint>
#include <mamba2/regex/regex.hpp>
#include <string>
#include <string_view>

namespace {

void expect(bool condition) {
  if (!condition) __builtin_trap();
}

void search(const mamba2::detail::Regex& regex, std::string_view text) {
  mamba2::detail::RegexMatches matches(regex, text);
  std::size_t last = 0;
  while (const auto match = matches.next()) {
    expect(last <= match->begin && match->begin <= match->end && match->end <= text.size());
    last = match->end;
    const auto again = regex.find(text, match->begin);
    expect(again == match);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const std::size_t length = std::min(size, all.find('\0'));
  const std::string_view text = all.substr(std::min(size, length + 1)).substr(0, 300);
  if (const auto regex = mamba2::detail::Regex::compile(all.substr(0, length))) {
    search(*regex, text);
    std::string repeated;
    for (int i = 0; i < 20; ++i) repeated += text;
    mamba2::detail::RegexMatches matches(*regex, repeated);
    while (matches.next()) {
    }
  }
  return 0;
}
