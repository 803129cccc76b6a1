// SPDX-License-Identifier: Apache-2.0
// How much of a thread's stack the library takes: measured on a stack that was painted before.
#include <doctest/doctest.h>
#include <pthread.h>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "mamba2/mamba2.hpp"
#include "tests/hybrid_models.hpp"
#include "tests/memory/small_model.hpp"
#include "tests/model_helpers.hpp"
#include "tests/reference/random_weights.hpp"

namespace {

/// What examples/embedding.md promises of optimised builds.
constexpr std::size_t kDecodeBytes = std::size_t{16} << 10;
constexpr std::size_t kPrefillBytes = std::size_t{48} << 10;
constexpr std::size_t kLoadingBytes = std::size_t{64} << 10;

constexpr std::byte kPaint{0xA5};

/// Bytes of stack that body() touches at most; no less than what the thread needs to end.
template <class Body>
std::size_t stack_of(Body body) {
  constexpr std::size_t kSize = std::size_t{1} << 20;
  std::vector<std::byte> room(kSize + 4096, kPaint);
  void* start = room.data();
  std::size_t space = room.size();
  std::align(4096, kSize, start, space);
  const std::span<std::byte> stack(static_cast<std::byte*>(start), kSize);
  pthread_attr_t attributes;
  ::pthread_attr_init(&attributes);
  ::pthread_attr_setstack(&attributes, stack.data(), stack.size());
  struct Run {
    Body& body;
    const std::byte* begin;  // of body()'s stack, which grows down
  } run = {body, nullptr};
  const auto call = [](void* argument) -> void* {
    Run& here = *static_cast<Run*>(argument);
    here.begin = static_cast<const std::byte*>(__builtin_frame_address(0));
    here.body();
    return nullptr;
  };
  pthread_t thread{};
  REQUIRE(::pthread_create(&thread, &attributes, call, &run) == 0);
  ::pthread_join(thread, nullptr);
  ::pthread_attr_destroy(&attributes);
  const auto changed = std::ranges::find_if(stack, [](std::byte b) { return b != kPaint; });
  return static_cast<std::size_t>(run.begin - &*changed);
}

void check_stack(const std::string& name, const mamba2::AnyModel& model) {
  const mamba2::Config& config = model.config();
  auto session = model.session({.workers = {.threads = 1}}).value();
  auto batch = model.batch({.workers = {.threads = 1}}).value();
  const auto tokens = reference::Random(6).tokens(150, config.vocab_size);
  mamba2::State state = session.state();
  bool good = true;
  const std::size_t decode = stack_of([&] {  // through the end of a chunk
    for (int i = 0; i < 17; ++i) good = session.decode(1).has_value() && good;
  });
  const std::size_t next = stack_of([&] {
    good = session.set_state(mamba2::State(session.state())) && good;
    good = !session.logits().empty() && good;
  });
  const std::size_t prefill = stack_of([&] { good = session.prefill(tokens).has_value() && good; });
  const std::size_t both = stack_of([&] {
    const mamba2::Reading reading = {&state, tokens, {}};
    good = batch.prefill(std::span(&reading, 1)).has_value() && good;
  });
  CHECK(good);
  MESSAGE(name, ": decode ", decode, " bytes of stack, prefill ", prefill, ", batch ", both);
  CHECK(std::max(decode, next) <= kDecodeBytes);
  CHECK(std::max(prefill, both) <= kPrefillBytes);
  CHECK(decode > 100);  // something was measured
}

template <class WeightT>
void check_stack(const std::string& name) {
  const auto config = tests::small_config();
  check_stack(name, tests::load<WeightT>(config, reference::random_weights(config, 5)));
}

}  // namespace

TEST_CASE("a stack that is touched is seen") {
  const std::size_t found = stack_of([] {
    volatile char big[20000];
    for (volatile char& c : big) c = 1;
  });
  CHECK(found >= 20000);
  CHECK(found < 30000);
}

TEST_CASE("stack for reading tokens") {
  check_stack<mamba2::Fp32>("fp32");
  check_stack<mamba2::Fp16>("fp16");
  check_stack<mamba2::Bf16>("bf16");
  check_stack<mamba2::Int8>("int8");
  check_stack<mamba2::Int4>("int4");
  check_stack<mamba2::Mixed>("mixed");
}

TEST_CASE("stack for reading tokens, hybrids") {
  for (const reference::Writer writer : tests::kWriters) {
    const auto hybrid = tests::random_hybrid(writer, 4);
    check_stack("fp32", hybrid.load(mamba2::kPlan<mamba2::Fp32>));
    check_stack("int8", hybrid.load(mamba2::kPlan<mamba2::Int8>));
  }
}

TEST_CASE("stack for loading") {
  const std::filesystem::path folder = MAMBA2_SOURCE_DIR "/examples/models/llama-tales-14m";
  bool good = true;
  const std::size_t model = stack_of([&] {
    good =
        mamba2::Mamba2Model<mamba2::Int4>::load(folder, {.workers = {.threads = 1}}).has_value() &&
        good;
  });
  const std::size_t tokenizer =
      stack_of([&] { good = mamba2::Tokenizer::load(folder).has_value() && good; });
  const std::size_t gguf = stack_of([&] {
    good = mamba2::Mamba2Model<mamba2::Mixed>::load(MAMBA2_SOURCE_DIR "/tests/golden/gguf/toy.gguf",
                                                    {.workers = {.threads = 1}})
               .has_value() &&
           good;
  });
  CHECK(good);
  MESSAGE("loading safetensors ", model, " bytes of stack, GGUF ", gguf, ", a tokenizer ",
          tokenizer);
  CHECK(std::max({model, tokenizer, gguf}) <= kLoadingBytes);
}
