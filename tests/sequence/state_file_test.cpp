// SPDX-License-Identifier: Apache-2.0
// State files: what comes back, and what is refused.
#include "mamba2/sequence/state_file.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "mamba2/linear/int8.hpp"
#include "tests/io/temp_dir.hpp"
#include "tests/io/toy_checkpoint.hpp"
#include "tests/model_helpers.hpp"
#include "tests/reference/random_weights.hpp"
#include "tests/sequence/saved_state.hpp"

using mamba2::ErrorCode;
using mamba2::Fp32;
using mamba2::Sampler;
using mamba2::StateFile;
using mamba2::StateHeader;
using mamba2::StatePrecision;
using mamba2::Token;
using mamba2_tests::FileBytes;
using mamba2_tests::refused_state;
using mamba2_tests::sample_on;
using mamba2_tests::Saved;
using mamba2_tests::saved_model;
using mamba2_tests::session_logits;
using mamba2_tests::state_bytes;
using mamba2_tests::with_state_header;

namespace {

template <class WeightT>
void check_resumed(StatePrecision precision) {
  const auto model = saved_model<WeightT>();
  auto session = model.session({.state = precision}).value();
  auto sampler = Sampler::create({.temperature = 0.9F,
                                  .top_k = 20,
                                  .top_p = 0.9F,
                                  .min_p = 0.01F,
                                  .repetition_penalty = 1.2F,
                                  .seed = 77},
                                 35)
                     .value();
  session.prefill(std::vector<Token>{1, 2, 3}).value();
  sample_on(session, sampler, 9);
  const FileBytes file = state_bytes(session, &sampler);

  // Of another thread count, another prefill_batch, with another text behind it.
  auto other =
      model.session({.prefill_batch = 3, .state = precision, .workers = {.threads = 2}}).value();
  other.prefill(std::vector<Token>{9, 9, 9, 9}).value();
  auto other_sampler = Sampler::create({.seed = 1}, 35).value();
  StateFile(other, &other_sampler).read(file).value();
  CHECK(other.state().tokens() == 12);
  CHECK(session_logits(other) == session_logits(session));
  CHECK(other_sampler.options().top_k == 20);
  CHECK(other_sampler.seen() == sampler.seen());
  CHECK(state_bytes(other, &other_sampler) == file);
  CHECK(sample_on(other, other_sampler, 20) == sample_on(session, sampler, 20));
  CHECK(session_logits(other) == session_logits(session));
  CHECK(state_bytes(other, &other_sampler) == state_bytes(session, &sampler));
}

}  // namespace

TEST_CASE("a saved sequence goes on bit for bit") {
  for (const auto precision : {StatePrecision::fp32, StatePrecision::fp16}) {
    check_resumed<Fp32>(precision);
    check_resumed<mamba2::Int8>(precision);
  }
}

TEST_CASE("what state files have no room for is not saved, and stays where one is loaded") {
  const auto model = saved_model<Fp32>();
  auto session = model.session().value();
  session.prefill(std::vector<Token>{1, 2, 3}).value();
  auto plain = Sampler::create({.top_k = 20, .seed = 77}, 35).value();
  const FileBytes file = state_bytes(session, &plain);

  mamba2::SamplerOptions options;
  options.logit_bias = {{5, 1000.0F}};
  options.presence_penalty = 0.5F;
  options.frequency_penalty = 0.25F;
  auto sampler = Sampler::create(options, 35).value();
  StateFile own(session, &sampler);
  const auto refusal = own.write([](std::span<const std::byte>) { return mamba2::Result<void>(); });
  REQUIRE(!refusal);
  CHECK(refusal.error().code == ErrorCode::unsupported);
  CHECK(refusal.error().message.find("logit_bias, presence_penalty") != std::string::npos);

  own.read(file).value();
  CHECK(sampler.options().top_k == 20);
  CHECK(sampler.options().seed == 77);
  CHECK(sampler.options().presence_penalty == 0.5F);
  CHECK(sampler.options().frequency_penalty == 0.25F);
  REQUIRE(sampler.options().logit_bias.size() == 1);
  CHECK(sample_on(session, sampler, 1) == std::vector<Token>{5});
}

TEST_CASE("a state file comes back for every shape of model") {
  for (const auto& variant : reference::variants()) {
    CAPTURE(variant.name);
    const auto model = tests::load(variant.config, reference::random_weights(variant.config, 2));
    auto session = model.session().value();
    session.prefill(std::vector<Token>{1, 2, 3}).value();
    auto other = model.session().value();
    StateFile(other).read(state_bytes(session)).value();
    CHECK(state_bytes(other) == state_bytes(session));
    session.decode(4).value();
    other.decode(4).value();
    CHECK(session_logits(other) == session_logits(session));
  }
}

TEST_CASE("the bytes of a state file are what the header says, on every machine") {
  const auto toy = mamba2_tests::ToyCheckpoint::small();
  const FileBytes weights = toy.bytes();
  const std::span<const std::byte> shard = weights;
  const auto checkpoint = mamba2::Checkpoint::from_bytes(toy.config, std::span(&shard, 1)).value();
  const auto model = mamba2::Mamba2Model<Fp32>::load(checkpoint).value();
  const mamba2::Config& c = model.config();

  FileBytes expected;
  const auto put = [&](std::uint64_t number, std::size_t bytes) {
    for (std::size_t i = 0; i < bytes; ++i) {
      expected.push_back(static_cast<std::byte>(number >> (8 * i)));
    }
  };
  const auto put_text = [&](std::string_view text, std::size_t bytes) {
    for (std::size_t i = 0; i < bytes; ++i) {
      expected.push_back(static_cast<std::byte>(i < text.size() ? text[i] : '\0'));
    }
  };
  put_text("MAMBA2ST", 8);
  put(4, 4);
  put(1, 4);                    // FP16
  put(0x980EE00C4FEA44BDU, 8);  // as in fingerprint_test
  put_text("fp32", 16);
  const std::size_t conv = 2 * 2 * (12 + 2 * 2 * 5);
  const std::size_t ssm = 2 * 12 * 5;
  const std::size_t rows = 2;  // of the chunk at hand
  const std::size_t chunk = 4 * rows * 3 + rows * 10 + rows * 4;
  put(112 + 8 + conv * 4 + ssm * 2 + 2 * chunk * 4 + 6 * 4 + 2 + 8, 8);
  put(514, 8);  // tokens
  put(6, 4);    // d_model
  put(9, 4);    // tokens of the sampler
  put(6, 8);    // random: as seeded
  put(6, 8);
  put(40, 8);
  put(0x3F000000U, 4);  // 0.5
  put(0x3F800000U, 4);  // 1
  put(0, 4);
  put(0x40000000U, 4);  // 2
  put(mamba2::Hash::of(expected), 8);
  const std::size_t header = expected.size();
  auto state = mamba2::State::create(c, {.precision = StatePrecision::fp16}).value();
  put(rows, 8);
  for (std::size_t i = 0; i < conv; ++i) {
    const auto value = static_cast<float>(i + 1);
    state.conv(0)[i] = value;
    put(std::bit_cast<std::uint32_t>(value), 4);
  }
  for (std::size_t i = 0; i < ssm; ++i) {
    state.ssm<std::uint16_t>(0)[i] = static_cast<std::uint16_t>(1000 + i);
    put(1000 + i, 2);
  }
  for (std::size_t layer = 0; layer < 2; ++layer) {
    const mamba2::ChunkMemory memory = state.chunk(layer, 512 / 16);
    const auto fill = [&](float* values, std::size_t count) {
      for (std::size_t i = 0; i < count; ++i) {
        values[i] = static_cast<float>(expected.size());
        put(std::bit_cast<std::uint32_t>(values[i]), 4);
      }
    };
    for (std::size_t head = 0; head < 4; ++head) fill(memory.x + head * 16 * 3, rows * 3);
    fill(memory.B, rows * 10);
    fill(memory.delta, rows * 4);
  }
  state.count(514);
  for (std::size_t i = 0; i < 6; ++i) {
    const auto value = -static_cast<float>(i);
    state.new_last()[i] = value;
    put(std::bit_cast<std::uint32_t>(value), 4);
  }
  put(0x108, 2);  // tokens 3 and 8 were seen
  put(mamba2::Hash::of(std::span(expected).subspan(header)), 8);

  auto session = model.session({.state = StatePrecision::fp16}).value();
  session.set_state(state).value();
  auto sampler =
      Sampler::create(
          {.temperature = 0.5F, .top_k = 40, .top_p = 1.0F, .repetition_penalty = 2.0F, .seed = 6},
          9)
          .value();
  sampler.accept(3);
  sampler.accept(8);
  CHECK(state_bytes(session, &sampler) == expected);
}

TEST_CASE("every flipped bit and every missing byte of a state file is noticed") {
  Saved saved;
  const FileBytes before = saved.bytes();
  FileBytes file = before;
  std::size_t accepted = 0;
  for (std::size_t bit = 0; bit < 8 * file.size(); ++bit) {
    const std::byte mask = std::byte{1} << (bit % 8);
    file[bit / 8] ^= mask;
    if (StateFile(saved.session, &saved.sampler).read(file)) ++accepted;
    file[bit / 8] ^= mask;
  }
  for (std::size_t size = 0; size < file.size(); ++size) {
    if (StateFile(saved.session, &saved.sampler).read(std::span(file).first(size))) ++accepted;
  }
  CHECK(accepted == 0);
  CHECK(saved.bytes() == before);
  StateFile(saved.session, &saved.sampler).read(file).value();
}

TEST_CASE("state files that do not belong here are refused, by name") {
  Saved saved;
  const FileBytes before = saved.bytes();
  const auto header = [&](auto change) { return with_state_header(before, change); };
  constexpr auto kMalformed = ErrorCode::malformed;
  constexpr auto kMismatch = ErrorCode::mismatch;

  CHECK(refused_state(saved, {}, kMalformed) ==
        "x.state: expected a state file, found something else");
  CHECK(refused_state(saved, FileBytes(1000), kMalformed) ==
        "x.state: expected a state file, found something else");
  CHECK(refused_state(saved, std::span(before).first(50), kMalformed) ==
        "x.state: must have at least 112 bytes, found 50");
  CHECK(refused_state(saved, std::span(before).first(900), kMalformed) ==
        mamba2::detail::concat("x.state: must have ", before.size(), " bytes, found 900"));
  FileBytes file = before;
  file[200] ^= std::byte{4};
  CHECK(refused_state(saved, file, kMalformed) == "x.state: is damaged: its checksum is wrong");
  file = before;
  file[50] ^= std::byte{4};
  CHECK(refused_state(saved, file, kMalformed) ==
        "x.state: the header is damaged: its checksum is wrong");
  file = header([](auto& h) { h.version = 7; });
  CHECK(refused_state(saved, file, ErrorCode::unsupported) ==
        "x.state: version of the state file must be 1..4, found 7");
  file = header([](auto& h) { h.version = 0; });
  CHECK(refused_state(saved, file, ErrorCode::unsupported) ==
        "x.state: version of the state file must be 1..4, found 0");
  file.resize(12);  // whatever another version may look like
  CHECK(refused_state(saved, file, ErrorCode::unsupported).find("version") != std::string::npos);

  // Another model, another precision, another tokenizer.
  auto other = saved_model(12).session().value();
  auto own = Sampler::create({}, 30).value();
  CHECK(refused_state(saved, state_bytes(other, &own), kMismatch)
            .starts_with("x.state: the fingerprint of the model must be "));
  auto int8 = saved_model<mamba2::Int8>().session().value();
  CHECK(refused_state(saved, state_bytes(int8, &own), kMismatch) ==
        "x.state: the weights of the session that was saved must be fp32, found \"int8\"");
  auto half = saved.model.session({.state = StatePrecision::fp16}).value();
  CHECK(refused_state(saved, state_bytes(half, &own), kMismatch) ==
        "x.state: the precision of the state must be fp32, found fp16");
  CHECK(refused_state(saved, header([](auto& h) { h.precision = 9; }), kMismatch) ==
        "x.state: the precision of the state must be fp32, found something else");
  auto larger = Sampler::create({}, 31).value();
  CHECK(refused_state(saved, state_bytes(saved.session, &larger), kMismatch) ==
        "x.state: the number of tokens of the sampler must be 30, found 31");
  CHECK(refused_state(saved, state_bytes(saved.session), kMismatch) ==
        "x.state: the number of tokens of the sampler must be 30, found 0");
  CHECK(saved.bytes() == before);

  // One with a sampler, where none is asked for.
  StateFile(saved.session).read(before).value();
  CHECK(saved.bytes() == before);
}

TEST_CASE("a header with a right checksum is not believed either") {
  Saved saved;
  const FileBytes before = saved.bytes();
  const auto contradicts = [&](auto change) {
    const FileBytes file = with_state_header(before, change);
    CHECK(refused_state(saved, file, ErrorCode::malformed) ==
          "x.state: the header contradicts itself");
    // Without a sampler, too, where fewer things are compared.
    CHECK(!StateFile(saved.session).read(file));
  };
  contradicts([](auto& h) { h.next = 0; });
  contradicts([](auto& h) { h.next = 5; });
  contradicts([](auto& h) { h.next = std::numeric_limits<std::uint32_t>::max(); });
  contradicts([](auto& h) { h.version = 1; });
  // Chunks of so many tokens could not be counted.
  contradicts([](auto& h) { h.tokens = std::numeric_limits<std::uint64_t>::max(); });
  contradicts([](auto& h) { h.tokens = (std::uint64_t{1} << 62) + 1; });
  contradicts([](auto& h) { h.tokens = 0; });  // fewer than its rows
  for (const std::uint32_t tokens : {0U, 38U, 0xFFFFFFFFU}) {
    CHECK(!StateFile(saved.session).read(with_state_header(before, [&](auto& h) {
      h.sampler_tokens = tokens;
    })));
  }
  using Member = std::pair<float StateHeader::*, std::string>;
  for (const Member& wrong :
       std::to_array<Member>({{&StateHeader::temperature, "temperature"},
                              {&StateHeader::top_p, "top_p"},
                              {&StateHeader::min_p, "min_p"},
                              {&StateHeader::repetition_penalty, "repetition_penalty"}})) {
    constexpr float kInfinite = std::numeric_limits<float>::infinity();
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), kInfinite, -1.0F}) {
      const FileBytes file = with_state_header(before, [&](auto& h) { h.*(wrong.first) = bad; });
      CHECK(refused_state(saved, file, ErrorCode::malformed)
                .starts_with("x.state: sampler: " + wrong.second + " must be "));
    }
  }
  CHECK(refused_state(saved,
                      with_state_header(before, [](auto& h) { h.file_bytes = 100'000'000'000; }),
                      ErrorCode::malformed)
            .starts_with("x.state: must have 100000000000 bytes, found "));
  CHECK(saved.bytes() == before);
}

TEST_CASE("state files on the disk: replaced as a whole, or not at all") {
  Saved saved;
  const mamba2_tests::TempDir dir;
  const auto path = dir.path() / "x.state";
  StateFile(saved.session, &saved.sampler).save(path).value();
  auto session = saved.model.session().value();
  auto sampler = Sampler::create({}, 30).value();
  StateFile(session, &sampler).load(path).value();
  CHECK(state_bytes(session, &sampler) == saved.bytes());

  session.decode(1).value();
  StateFile(session, &sampler).save(path).value();
  StateFile(saved.session, &saved.sampler).load(path).value();
  CHECK(state_bytes(session, &sampler) == saved.bytes());
  CHECK(std::distance(std::filesystem::directory_iterator(dir.path()), {}) == 1);

  // Through a link, too: who has the old file open still has it.
  const auto link = dir.path() / "link.state";
  std::filesystem::create_symlink("x.state", link);
  const auto old = mamba2::MappedFile::open(path).value();
  const FileBytes before(old.bytes().begin(), old.bytes().end());
  session.decode(2).value();
  StateFile(session, &sampler).save(link).value();
  CHECK(std::filesystem::is_symlink(link));
  CHECK(std::ranges::equal(old.bytes(), before));
  StateFile(saved.session, &saved.sampler).load(path).value();
  CHECK(state_bytes(session, &sampler) == saved.bytes());

  const auto missing = StateFile(session).load(dir.path() / "missing");
  REQUIRE(!missing);
  CHECK(missing.error().code == ErrorCode::io);
  CHECK(!StateFile(session).load(dir.path()));
  CHECK(!StateFile(session).save(dir.path() / "no-such-folder" / "x.state"));
  CHECK(!StateFile(session).save(dir.path()));

  // 100 GB of zeros behind it are not looked at.
  std::error_code failed;
  std::filesystem::resize_file(path, 100'000'000'000, failed);
  if (!failed) {
    const auto large = StateFile(session, &sampler).load(path);
    REQUIRE(!large);
    CHECK(large.error().message.ends_with(" bytes, found 100000000000"));
  }
}

TEST_CASE("an error of a sink ends the writing, and a model needs a fingerprint") {
  Saved saved;
  int calls = 0;
  const auto outcome = StateFile(saved.session).write([&](std::span<const std::byte>) {
    return ++calls < 3 ? mamba2::Result<void>() : mamba2::Error{ErrorCode::io, "full"};
  });
  REQUIRE(!outcome);
  CHECK(outcome.error().message == "full");
  CHECK(calls == 3);

  const mamba2::Config config = reference::variants().front().config;
  auto weights = tests::with_checkpoint(
      config, reference::random_weights(config, 1), [](const auto& checkpoint) {
        return mamba2::load_weights(*checkpoint, mamba2::kPlan<Fp32>).value();
      });
  weights.fingerprint = 0;
  auto unknown = mamba2::Mamba2Model<Fp32>::from_weights(std::move(weights)).session().value();
  const auto refusal =
      StateFile(unknown).write([](std::span<const std::byte>) { return mamba2::Result<void>(); });
  REQUIRE(!refusal);
  CHECK(refusal.error().code == ErrorCode::invalid_argument);
}
