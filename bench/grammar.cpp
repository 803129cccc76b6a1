// SPDX-License-Identifier: Apache-2.0
// bench-grammar: what it costs to hold a text to a JSON schema.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <iomanip>
#include <iostream>
#include <mamba2/grammar.hpp>
#include <mamba2/mamba2.hpp>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tools/cli.hpp"
#include "tools/weights.hpp"

namespace {

using Clock = std::chrono::steady_clock;

struct Arguments {
  std::string model;
  cli::WeightsOption weights = {.usual = std::string(mamba2::Int8::name)};
  std::size_t tokens = 2000;
  std::size_t vocabulary = 131072;
};

struct Schema {
  const char* name;
  const char* text;
};

constexpr std::array<Schema, 4> kSchemas = {{
    {"command", R"({"type": "object", "properties": {
      "action": {"enum": ["on", "off", "dim", "open", "close"]},
      "room": {"enum": ["kitchen", "hall", "bedroom", "bathroom", "garden"]},
      "level": {"type": "integer", "minimum": 0, "maximum": 100},
      "note": {"type": "string", "maxLength": 40}}, "required": ["action", "room"]})"},
    {"strings", R"({"type": "object", "properties": {
      "title": {"type": "string", "minLength": 20, "maxLength": 60},
      "body": {"type": "string", "minLength": 200, "maxLength": 400}},
      "required": ["title", "body"]})"},
    {"numbers", R"({"type": "array", "minItems": 20, "maxItems": 30,
      "items": {"type": "number", "minimum": -40, "maximum": 85.5}})"},
    {"any JSON", R"({"type": ["object", "array"]})"},
}};

/// Seconds of some work, the fastest of some times.
template <class Work>
double fastest(Work&& work) {
  double best = 1e9;
  for (int i = 0; i < 7; ++i) {
    const auto start = Clock::now();
    work();
    best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
  }
  return best;
}

/// A vocabulary of so many entries: all bytes, and two or three tokens of another one each.
mamba2::Result<mamba2::Tokenizer> larger(const mamba2::Tokenizer& from, std::size_t size) {
  std::mt19937 random(1);
  std::set<std::string> texts;
  nlohmann::json vocab = nlohmann::json::object();
  const auto add = [&](std::string_view bytes) {
    if (!texts.emplace(bytes).second) return;
    std::string text;
    for (const char c : bytes) {
      const auto byte = static_cast<unsigned char>(c);
      mamba2::detail::append_code_point(mamba2::detail::kByteToChar[byte], text);
    }
    vocab[text] = vocab.size();
  };
  for (int byte = 0; byte < 256; ++byte) add(std::string(1, static_cast<char>(byte)));
  while (vocab.size() < size) {
    std::string text;
    for (std::size_t parts = 1 + random() % 3; parts > 0; --parts) {
      text += from.token_bytes(static_cast<mamba2::Token>(random() % from.vocab_size()));
    }
    if (!text.empty() && text.size() < 24) add(text);
  }
  const nlohmann::json level = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}};
  const nlohmann::json json = {
      {"version", "1.0"},
      {"added_tokens", nlohmann::json::array()},
      {"normalizer", nullptr},
      {"pre_tokenizer", level},
      {"post_processor", nullptr},
      {"decoder", {{"type", "ByteLevel"}}},
      {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", nlohmann::json::array()}}}};
  return mamba2::Tokenizer::from_json(json.dump(), "larger");
}

/// Times of the parts of a token, in seconds.
struct Spent {
  double decode = 0.0, restrict = 0.0, accept = 0.0, sample = 0.0;
  std::size_t tokens = 0;
};

/// Writes texts until there are so many tokens. next(token) -> logits.
template <class Next>
mamba2::Result<Spent> write(mamba2::Constraint& constraint, mamba2::Sampler& sampler,
                            std::size_t tokens, Next&& next) {
  Spent spent;
  auto logits = next(mamba2::Token{1});
  auto last = Clock::now();
  const auto lap = [&](double& sum) {
    const auto now = Clock::now();
    sum += std::chrono::duration<double>(now - last).count();
    last = now;
  };
  while (spent.tokens < tokens) {
    if (auto begun = constraint.begin(400); !begun) return begun.error();
    while (!constraint.finished()) {
      last = Clock::now();
      const mamba2::Token token = sampler.sample(logits, [&](std::span<float> edited) {
        lap(spent.sample);
        constraint.restrict(edited);
        lap(spent.restrict);
      });
      lap(spent.sample);
      if (!sampler.had_choice() || !constraint.accept(token)) break;
      lap(spent.accept);
      logits = next(token);
      lap(spent.decode);
      ++spent.tokens;
    }
  }
  return spent;
}

void print(const char* name, const Spent& spent) {
  const auto micro = [&](double seconds) {
    return 1e6 * seconds / static_cast<double>(spent.tokens);
  };
  const double constraint = micro(spent.restrict + spent.accept);
  std::cout << std::left << std::setw(10) << name << std::right << std::fixed
            << std::setprecision(1) << std::setw(9) << micro(spent.restrict) << std::setw(9)
            << micro(spent.accept) << std::setw(9) << micro(spent.sample);
  if (spent.decode > 0.0) {
    std::cout << std::setw(9) << micro(spent.decode) << std::setw(8)
              << 100.0 * constraint / (constraint + micro(spent.sample + spent.decode)) << " %";
  }
  std::cout << '\n';
}

/// A table for one vocabulary.
template <class Next>
mamba2::Result<void> measure(const mamba2::Tokenizer& tokenizer, std::size_t count, Next&& next,
                             bool decodes) {
  const mamba2::GrammarTokens tokens(tokenizer);
  std::cout << tokenizer.vocab_size() << " tokens: GrammarTokens takes " << std::fixed
            << std::setprecision(1)
            << 1e3 * fastest([&] { (void)mamba2::GrammarTokens(tokenizer); }) << " ms, "
            << static_cast<double>(tokens.bytes()) / 1e6 << " MB\n";
  std::cout << "us a token: restrict   accept   sample" << (decodes ? "   decode   share" : "")
            << '\n';
  for (const Schema& schema : kSchemas) {
    const auto grammar = mamba2::json_schema_grammar(schema.text, tokens);
    if (!grammar) return grammar.error();
    mamba2::Constraint constraint(*grammar);
    auto sampler =
        mamba2::Sampler::create({.temperature = 1.0F, .seed = 1}, tokenizer.vocab_size());
    if (!sampler) return sampler.error();
    auto spent = write(constraint, *sampler, count, next);
    if (!spent) return spent.error();
    if (!decodes) spent->decode = 0.0;
    print(schema.name, *spent);
    std::cout << "          compiled in " << std::setprecision(2)
              << 1e3 * fastest([&] { (void)mamba2::json_schema_grammar(schema.text, tokens); })
              << " ms; " << static_cast<double>(grammar->bytes()) / 1e3 << " kB, a Constraint "
              << static_cast<double>(constraint.bytes()) / 1e3 << " kB\n";
  }
  return {};
}

mamba2::Result<void> run(const Arguments& a) {
  const mamba2::Plan& plan = cli::plan_named(a.weights.of(a.model));
  const auto model = mamba2::AnyModel::load(a.model, plan, {.workers = {.threads = 1}});
  if (!model) return model.error();
  const auto tokenizer = mamba2::Tokenizer::load(a.model);
  if (!tokenizer) return tokenizer.error();
  auto session = model->session({.workers = {.threads = 1}});
  if (!session) return session.error();
  const auto decode = [&](mamba2::Token token) { return session->decode(token).value(); };
  if (auto done = measure(*tokenizer, a.tokens, decode, true); !done) return done;
  if (a.vocabulary == 0) return {};

  const auto large = larger(*tokenizer, a.vocabulary);
  if (!large) return large.error();
  std::mt19937 random(2);
  std::normal_distribution<float> normal(0.0F, 3.0F);
  std::vector<float> logits(large->vocab_size());
  const auto draw = [&](mamba2::Token) {
    for (int i = 0; i < 1000; ++i) logits[random() % logits.size()] = normal(random);
    return std::span<const float>(logits);
  };
  return measure(*large, a.tokens, draw, false);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app;
  Arguments arguments;
  app.description(
      "Measures what it costs to hold a text to a JSON schema: to prepare the tokens, to compile "
      "a\n"
      "schema, and for each token beside decoding it with one thread; and without a model for a\n"
      "larger vocabulary.");
  app.footer("Exit status: 0 done, 1 something failed, 2 wrong usage.");
  app.option_defaults()->always_capture_default();
  app.add_option("MODEL", arguments.model, cli::kModelHelp)->required();
  arguments.weights.add(app);
  app.add_option("-n,--tokens", arguments.tokens, "Tokens to write for each schema")
      ->transform(cli::whole(1));
  app.add_option("--vocabulary", arguments.vocabulary, "Entries of the larger one; 0: none")
      ->transform(cli::whole(0, 1 << 20));
  return cli::run(app, argc, argv, [&] { return run(arguments); });
}
