// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <span>
#include <vector>

#include "mamba2/layers/state.hpp"
#include "mamba2/linear/floats.hpp"
#include "mamba2/model/model.hpp"
#include "tests/hybrid_models.hpp"
#if defined(MAMBA2_SEPARATE)
#include "tools/models.hpp"
#endif

using tests::HybridModel;

namespace {

/// What a state remembers.
std::vector<std::byte> remembered(const mamba2::State& state) {
  std::vector<std::byte> bytes;
  state.for_parts([&](std::span<const std::byte> part) {
    bytes.insert(bytes.end(), part.begin(), part.end());
  });
  return bytes;
}

}  // namespace

TEST_CASE("rewind: tokens are taken back where attention alone remembers them") {
  nlohmann::json config = reference::random_hybrid_config(reference::Writer::granite, 5);
  for (auto& type : config["layer_types"]) type = "attention";
  const reference::Hybrid hybrid = reference::random_hybrid(config, 5);
  const reference::Checkpoint files = reference::write_hybrid(config, hybrid);
  const HybridModel attending{files.config_json, files.safetensors, {}, {}};
  const auto tokens = reference::Random(6).tokens(60, hybrid.vocab_size);
  const std::span<const mamba2::Token> all(tokens);
  const auto model = attending.load(mamba2::kPlan<mamba2::Fp32>);
  for (const auto kv : {mamba2::KvPrecision::fp16, mamba2::KvPrecision::int8}) {
    auto session = model.session({.kv = kv}).value();
    auto straight = model.session({.kv = kv}).value();
    for (auto* each : {&session, &straight}) (void)each->prefill(all.first(20)).value();
    (void)session.prefill(all.subspan(30)).value();
    session.rewind(20).value();
    CHECK(session.state().tokens() == 20);
    CHECK(session.logits().empty());
    CHECK(remembered(session.state()) == remembered(straight.state()));
    const auto found = session.prefill(all.subspan(20, 10)).value();
    const auto expected = straight.prefill(all.subspan(20, 10)).value();
    CHECK(std::ranges::equal(found, expected));
    session.rewind(30).value();  // nothing is taken back: the logits stay
    CHECK(std::ranges::equal(session.logits(), expected));
    CHECK(session.rewind(31).error().message == "rewind: the tokens must be at most 30, found 31");
    session.rewind(0).value();
    CHECK(session.state().tokens() == 0);
  }
  for (const char* golden : {"granite_dense", "lfm2"}) {  // of a convolution's window
    CAPTURE(golden);
    auto other =
        tests::hybrid_golden(golden, "config.json").at(0).load(mamba2::kPlan<mamba2::Fp32>);
    auto session = other.session().value();
    (void)session.prefill(all.first(1)).value();
    const auto refused = session.rewind(0);
    REQUIRE(!refused);
    CHECK(refused.error().code == mamba2::ErrorCode::unsupported);
    CHECK(session.state().tokens() == 1);
  }
}
