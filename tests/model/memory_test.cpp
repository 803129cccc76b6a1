// SPDX-License-Identifier: Apache-2.0
// Models, sessions, batches and states in memory that the application gives, of exactly the size
// that memory_required() says. (Sanitizers find what touches more.)
#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <span>
#include <string>
#include <vector>

#include "mamba2/io/checkpoint.hpp"
#include "mamba2/linear/floats.hpp"
#include "mamba2/linear/int4.hpp"
#include "mamba2/linear/int8.hpp"
#include "mamba2/linear/mixed.hpp"
#include "tests/memory/small_model.hpp"
#include "tests/model_helpers.hpp"
#include "tests/reference/random_weights.hpp"

using mamba2::ErrorCode;
using mamba2::Mamba2Model;
using mamba2::StatePrecision;
using mamba2::Token;

namespace {

/// Memory that starts on a multiple of 64, and is not zero.
class Memory {
 public:
  explicit Memory(std::size_t size)
      : data_(static_cast<std::byte*>(::operator new (size, std::align_val_t{64}))), size_(size) {
    std::memset(data_, 0xA5, size);
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory() { ::operator delete (data_, std::align_val_t{64}); }

  [[nodiscard]] std::span<std::byte> bytes() const { return {data_, size_}; }
  [[nodiscard]] bool holds(const void* place) const {
    const auto first = reinterpret_cast<std::uintptr_t>(data_);
    const auto at = reinterpret_cast<std::uintptr_t>(place);
    return at >= first && at < first + size_;
  }

 private:
  std::byte* data_;
  std::size_t size_;
};

constexpr std::size_t kPieceInMemory = 40;

mamba2::SessionOptions session_in(std::span<std::byte> memory,
                                  StatePrecision state = StatePrecision::fp32) {
  return {
      .prefill_batch = kPieceInMemory, .state = state, .workers = {.threads = 1}, .memory = memory};
}
mamba2::BatchOptions batch_in(std::span<std::byte> memory) {
  return {
      .tokens = 50, .prefill_batch = kPieceInMemory, .workers = {.threads = 1}, .memory = memory};
}

template <class WeightT>
mamba2::Result<Mamba2Model<WeightT>> load_in(std::span<std::byte> memory) {
  return tests::with_checkpoint(
      tests::small_config(), reference::random_weights(tests::small_config(), 3),
      [&](const auto& checkpoint) {
        return Mamba2Model<WeightT>::load(checkpoint.value(),
                                          {.workers = {.threads = 1}, .memory = memory});
      });
}

std::vector<float> copied(std::span<const float> values) { return {values.begin(), values.end()}; }

/// Everything in the application's memory gives the bits of everything in the system's.
template <class WeightT>
void check_given_memory(StatePrecision state) {
  CAPTURE(std::string(WeightT::name));
  const auto config = tests::small_config();
  const auto required = Mamba2Model<WeightT>::memory_required(config, session_in({}, state));
  const Memory weights(required.weights);
  const Memory one(required.session());
  const Memory many(Mamba2Model<WeightT>::batch_bytes(config, batch_in({})));
  const auto given = load_in<WeightT>(weights.bytes()).value();
  const auto own = load_in<WeightT>({}).value();
  CHECK(given.weight_bytes() == required.weights);

  auto session = given.session(session_in(one.bytes(), state)).value();
  auto expected = own.session(session_in({}, state)).value();
  CHECK(one.holds(session.state().conv(0)));
  const auto tokens = reference::Random(4).tokens(90, config.vocab_size);
  CHECK(tests::all_logits(session, tokens) == tests::all_logits(expected, tokens));
  CHECK(copied(session.decode(7).value()) == copied(expected.decode(7).value()));

  auto batch = given.batch(batch_in(many.bytes())).value();
  mamba2::State fork = session.state();
  CHECK_FALSE(one.holds(fork.conv(0)));
  std::vector<float> logits(config.vocab_size);
  const mamba2::Reading reading = {&fork, tokens, logits};
  REQUIRE(batch.prefill(std::span(&reading, 1)));
  CHECK(logits == copied(expected.prefill(tokens).value()));
  session.set_state(fork).value();
  CHECK(copied(session.logits()) == logits);
}

/// One byte less is refused, and so is memory that is not aligned: with the numbers.
template <class Make>
void check_memory_refused(const std::string& what, std::size_t bytes, Make make) {
  const Memory memory(bytes + 64);
  CHECK(make(memory.bytes().first(bytes)).has_value());
  const auto short_of = make(memory.bytes().first(bytes - 1));
  REQUIRE_FALSE(short_of);
  CHECK(short_of.error().code == ErrorCode::invalid_argument);
  CHECK(short_of.error().message == what + ": memory must have at least " + std::to_string(bytes) +
                                        " bytes, found " + std::to_string(bytes - 1));
  const auto empty = make(memory.bytes().first(0));
  REQUIRE_FALSE(empty);
  CHECK(empty.error().message.ends_with("found 0"));
  for (const std::size_t past : {std::size_t{1}, std::size_t{32}}) {
    const auto crooked = make(memory.bytes().subspan(past, bytes));
    REQUIRE_FALSE(crooked);
    CHECK(crooked.error().code == ErrorCode::invalid_argument);
    CHECK(crooked.error().message == what +
                                         ": memory must start on a multiple of 64 bytes, found " +
                                         std::to_string(past) + " bytes past one");
  }
}

}  // namespace

TEST_CASE("models and sequences in the application's memory") {
  check_given_memory<mamba2::Fp32>(StatePrecision::fp32);
  check_given_memory<mamba2::Fp16>(StatePrecision::fp16);
  check_given_memory<mamba2::Bf16>(StatePrecision::fp32);
  check_given_memory<mamba2::Int8>(StatePrecision::fp16);
  check_given_memory<mamba2::Int4>(StatePrecision::fp32);
  check_given_memory<mamba2::Mixed>(StatePrecision::fp32);
}

TEST_CASE("memory that is too small or not aligned is refused with the numbers") {
  using Model = Mamba2Model<mamba2::Int8>;
  const auto config = tests::small_config();
  const auto required = Model::memory_required(config, session_in({}));
  const auto model = load_in<mamba2::Int8>({}).value();
  using Memory = std::span<std::byte>;
  check_memory_refused("weights", required.weights, load_in<mamba2::Int8>);
  check_memory_refused("session", required.session(),
                       [&](Memory memory) { return model.session(session_in(memory)); });
  check_memory_refused("batch", Model::batch_bytes(config, batch_in({})),
                       [&](Memory memory) { return model.batch(batch_in(memory)); });
  check_memory_refused("state", mamba2::State::bytes(config, {.precision = StatePrecision::fp16}),
                       [&](Memory memory) {
                         return mamba2::State::create(config, {.precision = StatePrecision::fp16},
                                                      memory);
                       });
}

TEST_CASE("a State in the application's memory is a value") {
  const auto config = tests::small_config();
  const Memory memory(mamba2::State::bytes(config));
  mamba2::State state =
      mamba2::State::create(config, {.precision = StatePrecision::fp32}, memory.bytes()).value();
  CHECK(state.conv(0)[0] == 0.0F);
  state.conv(0)[0] = 1.0F;
  mamba2::State fork = state;
  CHECK_FALSE(memory.holds(fork.conv(0)));
  fork.conv(0)[0] = 2.0F;
  CHECK(state.conv(0)[0] == 1.0F);
  state = fork;  // into the same memory
  CHECK(memory.holds(state.conv(0)));
  CHECK(state.conv(0)[0] == 2.0F);
}

// What examples/embedding.md shows: tests/build/readme.sh compares the lines.
TEST_CASE("all memory of the application's, in one piece") {
  using Model = mamba2::Mamba2Model<mamba2::Int4>;
  const auto checkpoint =
      mamba2::Checkpoint::open(MAMBA2_SOURCE_DIR "/tests/golden/quantized").value();
  const Memory memory(std::size_t{2} << 20);
  const std::span<std::byte> region = memory.bytes();

  // clang-format off
  mamba2::SessionOptions options = {.prefill_batch = 16, .workers = {.threads = 1}};
  const auto need = Model::memory_required(checkpoint, options);
  auto model = Model::load(checkpoint, {.memory = region.first(need.weights)}).value();
  options.memory = region.subspan(need.weights, need.session());
  auto session = model.session(options).value();
  auto logits = session.decode(12).value();
  // clang-format on

  CHECK(memory.holds(session.state().conv(0)));
  CHECK(memory.holds(logits.data()));
}
