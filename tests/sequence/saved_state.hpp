// SPDX-License-Identifier: Apache-2.0
// Sessions that have read something, and their state files in memory.
#pragma once

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "mamba2/sequence/state_file.hpp"
#include "tests/model_helpers.hpp"
#include "tests/reference/random_weights.hpp"

namespace mamba2_tests {

using FileBytes = std::vector<std::byte>;

template <class WeightT = mamba2::Fp32>
mamba2::Mamba2Model<WeightT> saved_model(std::uint64_t seed = 11) {
  const mamba2::Config config = reference::variants().front().config;
  return tests::load<WeightT>(config, reference::random_weights(config, seed));
}

inline FileBytes state_bytes(mamba2::AnySession& session, mamba2::Sampler* sampler = nullptr) {
  FileBytes file;
  mamba2::StateFile(session, sampler)
      .write([&](std::span<const std::byte> part) {
        file.insert(file.end(), part.begin(), part.end());
        return mamba2::Result<void>();
      })
      .value();
  return file;
}

/// Chooses and reads some tokens.
inline std::vector<mamba2::Token> sample_on(mamba2::AnySession& session, mamba2::Sampler& sampler,
                                            std::size_t count) {
  std::vector<mamba2::Token> chosen;
  for (std::size_t i = 0; i < count; ++i) {
    chosen.push_back(sampler.sample(session.logits()));
    session.decode(chosen.back()).value();
  }
  return chosen;
}

std::vector<float> session_logits(auto& session) {
  const std::span<const float> logits = session.logits();
  return {logits.begin(), logits.end()};
}

/// A session that has read something, and its sampler.
struct Saved {
  mamba2::Mamba2Model<mamba2::Fp32> model = saved_model();
  mamba2::Session<mamba2::Fp32> session = model.session().value();
  mamba2::Sampler sampler =
      mamba2::Sampler::create({.repetition_penalty = 1.3F, .seed = 4}, 30).value();
  Saved() {
    session.prefill(std::vector<mamba2::Token>{3, 1, 4, 1, 5}).value();
    sampler.accept(3);
    sample_on(session, sampler, 3);
  }
  FileBytes bytes() { return state_bytes(session, &sampler); }
};

/// The message of a refusal, which must have changed nothing.
inline std::string refused_state(Saved& saved, std::span<const std::byte> file,
                                 mamba2::ErrorCode code) {
  const auto outcome = mamba2::StateFile(saved.session, &saved.sampler).read(file, "x.state");
  REQUIRE(!outcome);
  CHECK(outcome.error().code == code);
  return outcome.error().message;
}

/// The same file with another header, whose checksum is right.
template <class Change>
FileBytes with_state_header(FileBytes file, Change change) {
  mamba2::StateHeader header;
  std::memcpy(&header, file.data(), sizeof header);
  change(header);
  header.checksum = header.computed_checksum();
  std::memcpy(file.data(), &header, sizeof header);
  return file;
}

}  // namespace mamba2_tests
