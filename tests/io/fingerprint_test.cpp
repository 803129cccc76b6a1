// SPDX-License-Identifier: Apache-2.0
#include "mamba2/io/fingerprint.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "mamba2/model/model.hpp"
#include "tests/io/toy_checkpoint.hpp"
#include "tests/resident.hpp"
#include "tools/models.hpp"

using mamba2::Checkpoint;
using mamba2_tests::ToyCheckpoint;

namespace {

using Bytes = std::vector<std::byte>;

std::uint64_t fingerprint_of(const std::string& config, const std::vector<Bytes>& files,
                             std::string_view policy = "fp32") {
  std::vector<std::span<const std::byte>> shards(files.begin(), files.end());
  return mamba2::fingerprint(Checkpoint::from_bytes(config, shards).value(), policy);
}

std::uint64_t fingerprint_of(const ToyCheckpoint& toy) {
  return fingerprint_of(toy.config, {toy.bytes()});
}

/// With every byte of a file in turn changed that belongs to a tensor's data.
std::vector<std::uint64_t> fingerprints_of_changed(const ToyCheckpoint& toy) {
  std::vector<std::uint64_t> found;
  const Bytes file = toy.bytes();
  std::uint64_t header = 0;
  std::memcpy(&header, file.data(), sizeof header);
  for (std::size_t i = sizeof header + header; i < file.size(); i += 4) {
    Bytes changed = file;
    changed[i] ^= std::byte{1};
    found.push_back(fingerprint_of(toy.config, {changed}));
  }
  return found;
}

}  // namespace

TEST_CASE("a fingerprint is the same on every machine") {
  CHECK(fingerprint_of(ToyCheckpoint::small()) == 0x980EE00C4FEA44BDU);
  const auto bundled =
      Checkpoint::open(MAMBA2_SOURCE_DIR "/examples/models/llama-tales-14m").value();
  CHECK(mamba2::fingerprint(bundled, mamba2::Fp32::name) == 0xFB6D97B1C08BB387U);
  CHECK(mamba2::fingerprint(bundled, mamba2::Int4::name) == 0xB8DC87D4DE0CCF50U);
}

TEST_CASE("a fingerprint belongs to the tensors, whole or in shards") {
  const ToyCheckpoint toy = ToyCheckpoint::small();
  const std::uint64_t whole = fingerprint_of(toy);
  for (const std::size_t cut : {1U, 7U}) {
    CHECK(fingerprint_of(toy.config, {toy.bytes(0, cut), toy.bytes(cut)}) == whole);
  }
  std::vector<std::uint64_t> all = fingerprints_of_changed(toy);
  all.push_back(whole);
  CHECK(all.size() > 500);
  std::ranges::sort(all);
  CHECK(std::ranges::adjacent_find(all) == all.end());
}

TEST_CASE("a fingerprint belongs to the config, the types and the policy") {
  const ToyCheckpoint toy = ToyCheckpoint::small();
  const std::uint64_t plain = fingerprint_of(toy);
  const std::string tied = "\"tie_word_embeddings\": true, ";
  CHECK(fingerprint_of(ToyCheckpoint::small(tied + "\"layer_norm_epsilon\": 1e-6")) != plain);
  CHECK(fingerprint_of(ToyCheckpoint::small(tied + "\"time_step_limit\": [0.0, 9.0]")) != plain);
  CHECK(fingerprint_of(ToyCheckpoint::small("\"tie_word_embeddings\": false")) != plain);
  CHECK(fingerprint_of(ToyCheckpoint::small(tied + "\"eos_token_id\": 5")) == plain);
  CHECK(fingerprint_of(toy.config, {toy.bytes()}, "int8") != plain);
  ToyCheckpoint half = toy;
  half["norm_f.weight"].dtype = mamba2::DType::F16;
  CHECK(fingerprint_of(half) != plain);
}

TEST_CASE("of large tensors a fingerprint takes pieces, the ends among them") {
  const std::uint64_t plain = [] {
    mamba2::Hash hash;
    mamba2::detail::add_sample(hash, Bytes(70001));
    return hash.value();
  }();
  std::size_t seen = 0;
  Bytes bytes(70001);
  for (std::byte& byte : bytes) {
    byte = std::byte{1};
    mamba2::Hash hash;
    mamba2::detail::add_sample(hash, bytes);
    const bool differs = hash.value() != plain;
    if (&byte == &bytes.front() || &byte == &bytes.back()) CHECK(differs);
    if (differs) ++seen;
    byte = std::byte{0};
  }
  CHECK(seen == 16 * 4096);
  mamba2::Hash shorter;
  mamba2::detail::add_sample(shorter, Bytes(70000));
  CHECK(shorter.value() != plain);
}

TEST_CASE("models have the fingerprints of their checkpoints") {
  const ToyCheckpoint toy = ToyCheckpoint::small();
  const Bytes file = toy.bytes();
  const std::span<const std::byte> shard = file;
  const auto checkpoint = Checkpoint::from_bytes(toy.config, std::span(&shard, 1)).value();
  for (const std::size_t threads : {1U, 3U}) {
    const auto model =
        mamba2::Mamba2Model<mamba2::Fp32>::load(checkpoint, {.workers = {.threads = threads}})
            .value();
    CHECK(model.fingerprint() == fingerprint_of(toy));
    CHECK(model.session().value().fingerprint() == model.fingerprint());
  }
  const auto int8 = mamba2::Mamba2Model<mamba2::Int8>::load(checkpoint).value();
  CHECK(int8.fingerprint() == mamba2::fingerprint(checkpoint, "int8"));
  CHECK(mamba2::Int4Groups<64>::name != mamba2::Int4::name);
}

TEST_CASE("a fingerprint leaves little of a file in memory") {
  const auto checkpoint =
      Checkpoint::open(MAMBA2_SOURCE_DIR "/examples/models/llama-tales-14m").value();
  REQUIRE(mamba2::fingerprint(checkpoint, "fp32") != 0);
  CHECK(tests::resident_bytes("llama-tales-14m/model-") <= checkpoint.file_bytes() / 16);
}
