// SPDX-License-Identifier: Apache-2.0
#include "mamba2/load_weights.hpp"

#include <doctest/doctest.h>

#include <limits>
#include <string>

#include "tests/model_helpers.hpp"
#include "tests/reference/random_weights.hpp"

using mamba2::ErrorCode;

namespace {

const mamba2::Config& small_config() {
  static const mamba2::Config plain = reference::variants().front().config;
  return plain;
}

/// The message for a model with one weight changed.
template <class Change>
std::string refusal(Change change) {
  reference::Weights weights = reference::random_weights(small_config(), 6);
  change(weights);
  const auto outcome = tests::try_load(small_config(), weights);
  REQUIRE(!outcome);
  CHECK(outcome.error().code == ErrorCode::malformed);
  return outcome.error().message;
}

constexpr double kNanDouble = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinityDouble = std::numeric_limits<double>::infinity();

}  // namespace

TEST_CASE("weights that are not finite are refused, with their place") {
  CHECK(refusal([](auto& w) { w.embedding[38] = kNanDouble; }) ==
        "shard 1 of 1: tensor embedding.weight: element 38 must be a finite value, found nan");
  CHECK(refusal([](auto& w) {
          w.blocks[1].in_proj.back() = kInfinityDouble;
        }).find("layers.1.mixer.in_proj.weight: element") != std::string::npos);
  CHECK(refusal([](auto& w) {
          w.blocks[0].D[0] = -kInfinityDouble;
        }).find("layers.0.mixer.D: element 0 must be a finite value, found -inf") !=
        std::string::npos);
  CHECK(refusal([](auto& w) { w.blocks[0].conv_weight[3] = kNanDouble; }).find("conv1d.weight") !=
        std::string::npos);
}

TEST_CASE("a decay that overflows is refused") {
  CHECK(refusal([](auto& w) { w.blocks[0].A_log[1] = 100.0; }) ==
        "shard 1 of 1: tensor layers.0.mixer.A_log: element 1 must be a value whose exponential "
        "is finite, found 100");
}

TEST_CASE("progress counts every tensor once") {
  for (const auto& named : reference::variants()) {
    CAPTURE(named.name);
    const auto& variant = named.config;
    const auto [json, file] =
        reference::to_checkpoint(variant, reference::random_weights(variant, 7));
    const std::span<const std::byte> shard = std::as_bytes(std::span(file));
    const auto checkpoint = mamba2::Checkpoint::from_bytes(json, std::span(&shard, 1)).value();
    std::size_t calls = 0;
    std::size_t total = 0;
    (void)mamba2::load_weights<mamba2::Fp32>(checkpoint,
                                             {.progress =
                                                  [&](std::size_t done, std::size_t of) {
                                                    CHECK(done == ++calls);
                                                    total = of;
                                                  }})
        .value();
    CHECK(calls == checkpoint.tensors().size());
    CHECK(total == calls);
  }
}
