// SPDX-License-Identifier: Apache-2.0
// State files of version 1: with the logits of the next token in place of what they are made of.
#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "mamba2/sequence/state_file.hpp"
#include "tests/sequence/saved_state.hpp"

using mamba2::ErrorCode;
using mamba2::Sampler;
using mamba2::StateFile;
using mamba2::StateHeader;
using mamba2_tests::FileBytes;
using mamba2_tests::refused_state;
using mamba2_tests::Saved;
using mamba2_tests::session_logits;
using mamba2_tests::state_bytes;
using mamba2_tests::with_state_header;

namespace {

/// The same file, of a chunk's end, in version 1.
FileBytes with_logits(const FileBytes& file, std::span<const float> logits) {
  StateHeader header;
  std::memcpy(&header, file.data(), sizeof header);
  const std::size_t seen = (header.sampler_tokens + 7) / 8;
  const std::size_t next = file.size() - sizeof(std::uint64_t) - seen - 4 * header.next;
  header.version = 1;
  header.next = static_cast<std::uint32_t>(logits.size());
  FileBytes old(sizeof header);
  const auto append = [&old](std::span<const std::byte> bytes) {
    old.insert(old.end(), bytes.begin(), bytes.end());
  };
  append(std::span(file).first(next).subspan(sizeof header + sizeof(std::uint64_t)));  // no rows
  append(std::as_bytes(logits));
  append(std::span(file).last(seen + sizeof(std::uint64_t)).first(seen));
  const std::uint64_t checksum = mamba2::Hash::of(std::span(old).subspan(sizeof header));
  append(std::as_bytes(std::span(&checksum, 1)));
  header.file_bytes = old.size();
  header.checksum = header.computed_checksum();
  std::memcpy(old.data(), &header, sizeof header);
  return old;
}

}  // namespace

TEST_CASE("state files of version 1, which have logits, are taken up") {
  Saved saved;
  (void)mamba2_tests::sample_on(saved.session, saved.sampler, 8);
  REQUIRE(saved.session.state().rows() == 0);
  const FileBytes file = saved.bytes();
  const std::vector<float> computed = session_logits(saved.session);
  std::vector<float> logits = computed;
  logits[3] += 0.5F;  // those of the file count, whatever the head would make here
  const FileBytes old = with_logits(file, logits);
  CHECK(old.size() == file.size() - 8 + 4 * logits.size() - 4 * saved.session.config().d_model);

  auto session = saved.model.session().value();
  auto sampler = Sampler::create({}, 30).value();
  StateFile(session, &sampler).read(old).value();
  CHECK(session.state().tokens() == saved.session.state().tokens());
  CHECK(session_logits(session) == logits);
  // What the logits are made of is not known: until the next token it is this file again, and a
  // fork of the state has none.
  CHECK(session.state().last().empty());
  CHECK(state_bytes(session, &sampler) == old);
  auto fork = saved.model.session().value();
  fork.set_state(session.state()).value();
  CHECK(fork.logits().empty());

  auto expected = saved.model.session().value();
  auto expected_sampler = Sampler::create({}, 30).value();
  StateFile(expected, &expected_sampler).read(file).value();
  CHECK(expected.state().last().size() == expected.config().d_model);
  CHECK(session_logits(expected) == computed);
  // From the next token on they are the same.
  for (auto* one : {&session, &expected}) one->decode(7).value();
  CHECK(session_logits(session) == session_logits(expected));
  CHECK(state_bytes(session, &sampler) == state_bytes(expected, &expected_sampler));

  // Without logits, too; then there are none.
  const FileBytes none = with_logits(file, {});
  StateFile(session, &sampler).read(none).value();
  CHECK(session.logits().empty());
  const auto refused = [&](FileBytes changed, std::uint32_t next) {
    changed = with_state_header(changed, [next](auto& h) { h.next = next; });
    CHECK(refused_state(saved, changed, ErrorCode::malformed) ==
          "x.state: the header contradicts itself");
  };
  refused(old, static_cast<std::uint32_t>(session.config().d_model));
  refused(file, static_cast<std::uint32_t>(logits.size()));
}

TEST_CASE("state files of version 2, whose state is that of all tokens, are taken up anywhere") {
  Saved saved;
  (void)mamba2_tests::sample_on(saved.session, saved.sampler, 8);
  const FileBytes file = saved.bytes();
  FileBytes old = file;
  StateHeader header;
  old.erase(old.begin() + sizeof header, old.begin() + sizeof header + sizeof(std::uint64_t));
  const std::size_t end = old.size() - sizeof(std::uint64_t);
  const std::uint64_t checksum = mamba2::Hash::of(std::span(old).first(end).subspan(sizeof header));
  std::memcpy(old.data() + end, &checksum, sizeof checksum);
  old = with_state_header(old, [&](StateHeader& h) {
    h.version = 2;
    h.file_bytes = old.size();
    h.tokens = 21;  // in the middle of a chunk
  });
  auto session = saved.model.session().value();
  auto sampler = Sampler::create({}, 30).value();
  StateFile(session, &sampler).read(old).value();
  CHECK(session.state().tokens() == 21);
  CHECK(session.state().rows() == 0);
  // It goes on as from the same state at a chunk's end, to rounding, through two ends of chunks.
  for (mamba2::Token token = 0; token < 30; ++token) {
    const std::span<const float> expected = saved.session.decode(token).value();
    const std::span<const float> found = session.decode(token).value();
    for (std::size_t i = 0; i < found.size(); ++i) {
      CHECK(found[i] == doctest::Approx(expected[i]).epsilon(1e-4));
    }
    CHECK(session.state().rows() == (session.state().tokens() < 32
                                         ? session.state().tokens() - 21
                                         : session.state().tokens() % 16));
    // Saved and taken up in the middle of a chunk.
    auto again = saved.model.session().value();
    auto other = Sampler::create({}, 30).value();
    const FileBytes bytes = state_bytes(session, &sampler);
    StateFile(again, &other).read(bytes).value();
    CHECK(state_bytes(again, &other) == bytes);
    CHECK(session_logits(again) == session_logits(session));
  }
}
