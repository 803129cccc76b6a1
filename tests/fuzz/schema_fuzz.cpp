// SPDX-License-Identifier: Apache-2.0
// Any text as a JSON schema, and behind a NUL any bytes as choices among the tokens that its
// grammar allows.
#include <algorithm>
#include <cstdint>
#include <mamba2/grammar.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "tests/text/grammar/grammar_tokens.hpp"

namespace {

void expect(bool condition) {
  if (!condition) __builtin_trap();
}

/// The n-th of the tokens that are left, counted round; -1: none is.
mamba2::Token choose(mamba2::Constraint& constraint, std::vector<float>& logits, std::size_t n) {
  logits.assign(constraint.vocab_size(), 1.0F);
  constraint.restrict(logits);
  std::vector<mamba2::Token> left;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] == 1.0F) left.push_back(static_cast<mamba2::Token>(i));
  }
  return left.empty() ? -1 : left[n % left.size()];
}

/// A text that the bytes choose: it must end in time, and be JSON.
void write(mamba2::Constraint& constraint, std::size_t limit, std::string_view choices) {
  if (!constraint.begin(limit)) return;
  std::string text;
  std::vector<float> logits;
  for (std::size_t used = 0; !constraint.finished(); ++used) {
    const auto byte = static_cast<unsigned char>(used < choices.size() ? choices[used] : 0);
    const mamba2::Token token = choose(constraint, logits, byte * std::size_t{7});
    if (token < 0) break;
    expect(used < limit);
    expect(constraint.accept(token));
    text += grammar_tests::tokenizer().token_bytes(token);
  }
  expect(constraint.may_end());
  expect(nlohmann::json::accept(text));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kLongest = 300;
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const std::size_t length = std::min(size, all.find('\0'));
  const auto grammar = mamba2::json_schema_grammar(all.substr(0, length), grammar_tests::tokens());
  if (!grammar) {
    expect(grammar.error().message.find('\n') == std::string::npos);
    return 0;
  }
  const std::string_view choices = all.substr(std::min(size, length + 1));
  mamba2::Constraint constraint(*grammar);
  for (const std::size_t more : {std::size_t{0}, choices.size()}) {
    if (grammar->shortest() + more <= kLongest) {
      write(constraint, grammar->shortest() + more, choices);
    }
  }
  return 0;
}
