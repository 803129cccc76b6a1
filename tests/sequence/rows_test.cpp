// SPDX-License-Identifier: Apache-2.0
// Rows in place of tokens, and rows of what the layers make.
#include <doctest/doctest.h>

#include <array>
#include <limits>
#include <string>
#include <vector>

#include "mamba2/linear/floats.hpp"
#include "mamba2/sequence/batch.hpp"
#include "mamba2/sequence/prefix_cache.hpp"
#include "mamba2/sequence/session.hpp"
#include "tests/hybrid_models.hpp"

using mamba2::AnyModel;
using mamba2::kRow;
using mamba2::Prompt;
using mamba2::Token;

namespace {

std::vector<float> kept(std::span<const float> values) { return {values.begin(), values.end()}; }

/// A hybrid with an embedding multiplier, and what enters its first layer for each token of a
/// prompt.
struct Embedded {
  tests::HybridModel files;
  AnyModel model;
  std::vector<float> rows;  // (tokens, d_model)
  std::size_t d_model;

  explicit Embedded(std::uint64_t seed = 3)
      : files(tests::random_hybrid(reference::Writer::granite, seed)),
        model(files.load(mamba2::kPlan<mamba2::Fp32>)),
        d_model(model.config().d_model) {
    files.open([&](const mamba2::Checkpoint& checkpoint) {
      const mamba2::TensorView& embedding = checkpoint.tensor("embedding.weight");
      for (const Token token : files.tokens) {
        std::vector<float> row(d_model);
        mamba2::read_floats(embedding, static_cast<std::size_t>(token) * d_model, row);
        for (const float x : row) rows.push_back(x * model.config().embedding_multiplier);
      }
    });
  }

  [[nodiscard]] mamba2::AnySession session(std::size_t prefill_batch = 192) const {
    return model.session({.prefill_batch = prefill_batch}).value();
  }
};

}  // namespace

TEST_CASE("rows of the embedding give the bits of their tokens, alone and among tokens") {
  const Embedded embedded;
  const std::span<const Token> tokens(embedded.files.tokens);
  CHECK(embedded.model.config().embedding_multiplier != 1.0F);
  for (const std::size_t prefill_batch : {std::size_t{192}, std::size_t{7}}) {
    CAPTURE(prefill_batch);
    auto session = embedded.session(prefill_batch);
    const auto expected = kept(session.prefill(tokens).value());
    CHECK(reference::max_abs_difference(
              expected, std::span(embedded.files.logits).last(expected.size())) < 1e-3);

    // All rows; every third; one at the end, in a sequence that goes on.
    session.reset();
    const std::vector<Token> all(tokens.size(), kRow);
    CHECK(kept(session.prefill({all, embedded.rows}).value()) == expected);
    CHECK(session.state().tokens() == tokens.size());

    std::vector<Token> some(tokens.begin(), tokens.end());
    std::vector<float> rows;
    for (std::size_t i = 1; i < some.size(); i += 3) {
      some[i] = kRow;
      const auto row = std::span(embedded.rows).subspan(i * embedded.d_model, embedded.d_model);
      rows.insert(rows.end(), row.begin(), row.end());
    }
    session.reset();
    CHECK(kept(session.prefill({some, rows}).value()) == expected);

    session.reset();
    (void)session.prefill(tokens.first(tokens.size() - 1)).value();
    const auto by_token = session.state().copy().value();
    const auto last = kept(session.decode(tokens.back()).value());
    session.set_state(by_token).value();
    const auto row = std::span(embedded.rows).last(embedded.d_model);
    CHECK(kept(session.prefill({std::span(&kRow, 1), row}).value()) == last);
  }
}

TEST_CASE("hidden rows are those of which the head makes logits") {
  const Embedded embedded;
  const std::span<const Token> tokens(embedded.files.tokens);
  auto session = embedded.session(7);
  std::vector<float> hidden(tokens.size() * embedded.d_model);
  const auto logits = kept(session.prefill({.tokens = tokens, .hidden = hidden}).value());
  CHECK(kept(session.state().last()) == kept(std::span(hidden).last(embedded.d_model)));
  CHECK(kept(session.logits()) == logits);

  // Each is what is last where the text ends there; fewer are the last ones.
  for (const std::size_t count : {std::size_t{1}, std::size_t{9}, tokens.size() - 1}) {
    session.reset();
    (void)session.prefill(tokens.first(count)).value();
    const auto found = std::span(hidden).subspan((count - 1) * embedded.d_model, embedded.d_model);
    CHECK(reference::max_abs_difference(session.state().last(),
                                        std::vector<double>(found.begin(), found.end())) < 1e-4);
  }
  session.reset();
  std::vector<float> few(3 * embedded.d_model);
  (void)session.prefill({.tokens = tokens, .hidden = few}).value();
  CHECK(few == kept(std::span(hidden).last(few.size())));
}

TEST_CASE("a batch reads rows and gives hidden rows, with the bits of a session") {
  const Embedded embedded;
  const std::span<const Token> tokens(embedded.files.tokens);
  const std::size_t vocab_size = embedded.model.config().vocab_size;
  const std::vector<Token> all(tokens.size(), kRow);
  auto session = embedded.session();
  std::vector<float> hidden(tokens.size() * embedded.d_model);
  const auto logits = kept(session.prefill({.tokens = tokens, .hidden = hidden}).value());

  auto batch = embedded.model.batch({.tokens = 64}).value();
  std::vector<mamba2::State> states(2, mamba2::State::create(embedded.model.config()).value());
  std::vector<float> found(vocab_size);
  std::vector<float> found_hidden(hidden.size());
  const std::array<mamba2::Reading, 2> readings = {
      mamba2::Reading{&states[0], tokens.first(5), {}, {}, {}},
      mamba2::Reading{&states[1], all, found, embedded.rows, found_hidden}};
  batch.prefill(readings).value();
  CHECK(found == logits);
  CHECK(found_hidden == hidden);
}

TEST_CASE("rows that do not fit a prompt are refused, and nothing changes") {
  const Embedded embedded;
  const std::size_t d_model = embedded.d_model;
  auto session = embedded.session();
  std::vector<float> rows(2 * d_model);
  const auto refused = [&](const Prompt& prompt, const std::string& message) {
    const auto outcome = session.prefill(prompt);
    REQUIRE(!outcome);
    CHECK(outcome.error().code == mamba2::ErrorCode::invalid_argument);
    CHECK(outcome.error().message == "prefill: " + message);
    CHECK(session.state().tokens() == 0);
  };
  const std::vector<Token> one = {1, kRow, 2};
  const auto number = [](std::size_t n) { return std::to_string(n); };
  const std::string last = number(embedded.model.config().vocab_size - 1);
  refused({one}, "token 1 must be in 0.." + last + ", found -1");
  refused({one, rows}, "rows must hold 1 x " + number(d_model) +
                           " values, for 1 tokens that are kRow, found " + number(2 * d_model));
  const std::vector<Token> none = {1, 2};
  refused({none, rows}, "rows must hold 0 x " + number(d_model) +
                            " values, for 0 tokens that are kRow, found " + number(2 * d_model));
  const std::vector<Token> two = {kRow, kRow};
  rows[d_model + 4] = std::numeric_limits<float>::infinity();
  refused({two, rows}, "row 1 must be finite, found inf at 4");
  refused({std::vector<Token>{-2}, rows}, "token 0 must be in 0.." + last + ", found -2");
  std::vector<float> hidden(3 * d_model);
  refused({.tokens = none, .hidden = hidden},
          "hidden must hold n x " + number(d_model) +
              " values for n of the tokens, of which there are 2, found " + number(3 * d_model));
  refused({.tokens = none, .hidden = std::span(hidden).first(d_model - 1)},
          "hidden must hold n x " + number(d_model) +
              " values for n of the tokens, of which there are 2, found " + number(d_model - 1));

  // Rows have no ids by which to remember them.
  mamba2::PrefixCache cache(1 << 20);
  CHECK(!cache.prefill(session, one));
  CHECK(!cache.insert(1, one, session.state()));
  CHECK(cache.entries() == 0);
}
