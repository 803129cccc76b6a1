// SPDX-License-Identifier: Apache-2.0
// Any bytes as a state file: refused, or gone on from. Of a hybrid where their number is odd.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <mamba2/mamba2.hpp>
#include <span>
#include <vector>

namespace {

/// A model with all weights zero: of one layer, or with others beside it that remember.
mamba2::AnyModel tiny_model(bool is_hybrid) {
  mamba2::Config config;
  config.d_model = config.d_inner = config.d_ssm = 4;
  config.n_layer = config.d_state = 1;
  config.headdim = config.d_conv = 2;
  config.vocab_size = 9;
  if (is_hybrid) {
    config.pattern = "M*C";
    config.n_layer = 3;
    config.short_conv.d_conv = 3;
    config.attention.num_heads = config.attention.num_heads_kv = 1;
    config.attention.head_dim = 4;
    config.attention.d_conv = 2;
  }
  auto weights = mamba2::Weights::planned(config, mamba2::kPlan<mamba2::Fp32>);
  weights.arena = mamba2::Arena::create(weights.carve(nullptr)).value();
  weights.carve(weights.arena.data());
  weights.fingerprint = 1;
  return mamba2::AnyModel::from_weights(std::move(weights));
}

/// The checksums made right, so that what is behind them is reached.
void mend(std::span<std::byte> file) {
  mamba2::StateHeader header;
  if (file.size() < sizeof header + sizeof header.checksum) return;
  std::memcpy(&header, file.data(), sizeof header);
  header.checksum = header.computed_checksum();
  std::memcpy(file.data(), &header, sizeof header);
  const auto payload = file.subspan(sizeof header);
  const auto last = payload.size() - sizeof header.checksum;
  const std::uint64_t checksum = mamba2::Hash::of(payload.first(last));
  std::memcpy(&payload[last], &checksum, sizeof checksum);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto session_of = [](bool is_hybrid) {
    return tiny_model(is_hybrid).session({.context = 40, .workers = {.threads = 1}}).value();
  };
  static mamba2::AnySession sessions[] = {session_of(false), session_of(true)};
  mamba2::AnySession& session = sessions[size % 2];
  if (session.state().room() == 0) session.reset();
  auto sampler = mamba2::Sampler::create({}, 8).value();
  static_cast<void>(session.decode(1).value());

  const auto written = [&] {
    std::vector<std::byte> file;
    mamba2::StateFile(session, &sampler)
        .write([&](std::span<const std::byte> part) {
          file.insert(file.end(), part.begin(), part.end());
          return mamba2::Result<void>();
        })
        .value();
    return file;
  };
  // A file that is refused changes nothing.
  const auto read = [&](std::span<const std::byte> file) {
    const std::vector<std::byte> before = written();
    if (mamba2::StateFile(session, &sampler).read(file)) return true;
    if (written() != before) __builtin_trap();
    return false;
  };

  // The input is what differs from a file that is right.
  std::vector<std::byte> file = written();
  file.resize(std::max(file.size(), size));
  for (std::size_t i = 0; i < size; ++i) file[i] ^= std::byte{data[i]};

  static_cast<void>(read(file));
  mend(file);
  if (read(file) && session.state().room() > 0) {
    static_cast<void>(session.decode(sampler.sample(session.logits())).value());
  }
  return 0;
}
