// SPDX-License-Identifier: Apache-2.0
// Texts that keep to JSON schemas, for referee_json_schema.py:
//   referee_json_schema TOKENIZER [SEED]
// Reads lines {"schema": ..., "max_tokens": n, "texts": n, "bias": b} and answers each with a line
// {"texts": [...], "shortest": n, "bytes": n, "milliseconds": t} or {"error": "..."}. Tokens are
// drawn with random logits: normal, of a standard deviation that changes from text to text, so that
// some are nearly uniform and some follow a few tokens; b is added to those that end a JSON text.
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <nlohmann/json.hpp>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "mamba2/grammar.hpp"
#include "mamba2/sequence/sampler.hpp"
#include "mamba2/tokenizer/tokenizer.hpp"

namespace {

using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

class Writer {
 public:
  Writer(const mamba2::Tokenizer& tokenizer, std::uint64_t seed)
      : tokenizer_(tokenizer),
        tokens_(tokenizer),
        logits_(tokenizer.vocab_size()),
        random_(seed),
        sampler_(mamba2::Sampler::create({.temperature = 1.0F, .top_p = 1.0F, .seed = seed},
                                         tokenizer.vocab_size())
                     .value()) {}

  Json answer(const Json& line) {
    const auto start = Clock::now();
    const auto grammar = mamba2::json_schema_grammar(line.at("schema").dump(), tokens_);
    const std::chrono::duration<double, std::milli> spent = Clock::now() - start;
    if (!grammar) return {{"error", grammar.error().message}};
    mamba2::Constraint constraint(*grammar);
    Json texts = Json::array();
    for (int i = 0; i < line.value("texts", 1); ++i) {
      auto begun = constraint.begin(line.at("max_tokens").get<std::size_t>());
      if (!begun) return {{"error", begun.error().message}};
      texts.push_back(write(constraint, line.value("bias", 0.0)));
    }
    return {{"texts", texts},
            {"shortest", grammar->shortest()},
            {"bytes", grammar->bytes() + constraint.bytes()},
            {"milliseconds", spent.count()}};
  }

 private:
  /// Ends the program where a constraint is wrong: a token that is allowed must be accepted.
  std::string write(mamba2::Constraint& constraint, double bias) {
    const std::vector<mamba2::Token> ends = {0};
    std::normal_distribution<float> normal(0.0F, std::exp(3.0F * unit_(random_) - 1.0F));
    std::string text;
    while (!constraint.finished()) {
      for (float& logit : logits_) logit = normal(random_);
      for (const char* end : {"}", "]", "\"", "\"}"}) {
        if (const auto token = tokenizer_.find(end)) {
          logits_[static_cast<std::size_t>(*token)] += static_cast<float>(bias);
        }
      }
      const mamba2::Token token = sampler_.sample(
          logits_, [&](std::span<float> edited) { constraint.restrict(edited, ends); });
      if (!sampler_.had_choice()) {
        if (constraint.may_end()) break;
        std::cerr << "no token is allowed after " << text << '\n';
        std::exit(1);
      }
      if (token == ends[0]) break;
      if (!constraint.accept(token)) {
        std::cerr << "a token that was allowed is not accepted after " << text << '\n';
        std::exit(1);
      }
      text += tokenizer_.token_bytes(token);
    }
    return text;
  }

  const mamba2::Tokenizer& tokenizer_;
  mamba2::GrammarTokens tokens_;
  std::vector<float> logits_;
  std::mt19937_64 random_;
  std::uniform_real_distribution<float> unit_;
  mamba2::Sampler sampler_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: referee_json_schema TOKENIZER [SEED]\n";
    return 2;
  }
  const auto tokenizer = mamba2::Tokenizer::load(argv[1]);
  if (!tokenizer) {
    std::cerr << tokenizer.error().message << '\n';
    return 1;
  }
  Writer writer(*tokenizer, argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1);
  for (std::string line; std::getline(std::cin, line);) {
    std::cout << writer.answer(Json::parse(line)).dump() << std::endl;
  }
  return 0;
}
