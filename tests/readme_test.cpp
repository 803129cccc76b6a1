// SPDX-License-Identifier: Apache-2.0
// What README.md shows besides examples/hello.cpp: tests/build/readme.sh compares the lines.
#include <doctest/doctest.h>

#include <filesystem>
#include <mamba2/mamba2.hpp>
#include <string>
#include <vector>

#include "tests/io/temp_dir.hpp"
#include "tools/models.hpp"

TEST_CASE("the README's example of a State") {
  const std::string path = MAMBA2_SOURCE_DIR "/examples/models/llama-tales-14m";
  auto model = mamba2::Mamba2Model<mamba2::Int8>::load(path).value();
  auto tokenizer = mamba2::Tokenizer::load(path).value();

  // clang-format off
  auto session = model.session().value();
  auto logits = session.prefill(tokenizer.encode("It was a dark and stormy night;")).value();
  mamba2::State night = session.state();        // remember this place
  logits = session.decode(mamba2::Token{12}).value();
  session.set_state(night).value();             // and come back to it
  logits = session.logits();                    // those of the next token, as then
  // clang-format on

  auto alone = model.session().value();
  const auto expected = alone.prefill(tokenizer.encode("It was a dark and stormy night;")).value();
  CHECK(std::vector<float>(logits.begin(), logits.end()) ==
        std::vector<float>(expected.begin(), expected.end()));
  logits = session.decode(mamba2::Token{12}).value();
  const std::vector<float> first(logits.begin(), logits.end());
  session.set_state(night).value();
  logits = session.decode(mamba2::Token{12}).value();
  CHECK(std::vector<float>(logits.begin(), logits.end()) == first);
}

TEST_CASE("the README's example of a state file and a PrefixCache") {
  const std::string path = MAMBA2_SOURCE_DIR "/examples/models/llama-tales-14m";
  const auto model = mamba2::Mamba2Model<mamba2::Int8>::load(path).value();
  const auto tokenizer = mamba2::Tokenizer::load(path).value();
  auto session = model.session().value();
  auto sampler = mamba2::make_sampler({}, tokenizer, model.config()).value();
  (void)session.decode(mamba2::Token{5}).value();
  const mamba2_tests::TempDir dir;
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(dir.path());

  // clang-format off
  mamba2::StateFile file(session, &sampler);    // the sequence, its next logits, its sampler
  file.save("king.state").value();              // on the disk, as a whole or not at all
  file.load("king.state").value();              // perhaps tomorrow, in another process

  mamba2::PrefixCache cache(64 << 20);          // bytes, shared by threads and models
  auto logits = cache.prefill(session, tokenizer.encode("A king had a daughter who")).value();
  logits = cache.prefill(session, tokenizer.encode("A king had a daughter who was")).value();
  // clang-format on

  std::filesystem::current_path(before);
  CHECK(std::filesystem::exists(dir.path() / "king.state"));
  CHECK(!logits.empty());
  CHECK(cache.entries() == 2);
}

TEST_CASE("the README's example of a Batch") {
  const std::string path = MAMBA2_SOURCE_DIR "/examples/models/llama-tales-14m";
  const auto model = mamba2::Mamba2Model<mamba2::Int8>::load(path).value();
  auto alice = model.session().value();
  auto bob = model.session().value();

  // clang-format off
  auto batch = model.batch({.tokens = 32}).value();        // rows of scratch; it holds no sequence
  std::vector<mamba2::Session<mamba2::Int8>*> users = {&alice, &bob};
  std::vector<mamba2::Token> tokens = {12, 34};            // one each
  std::vector<float> logits(users.size() * model.config().vocab_size);
  batch.decode(users, tokens, logits).value();             // as alice.decode(12), bob.decode(34)
  // clang-format on

  auto alone = model.session().value();
  const auto expected = alone.decode(mamba2::Token{34}).value();
  CHECK(std::vector<float>(expected.begin(), expected.end()) ==
        std::vector<float>(logits.end() - static_cast<std::ptrdiff_t>(expected.size()),
                           logits.end()));
}
