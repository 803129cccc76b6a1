// SPDX-License-Identifier: Apache-2.0
// Adapters of BitMamba-2, and layers that run more than once.
#include "mamba2/io/lora_file.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "mamba2/linear/floats.hpp"
#include "tests/bitmamba_models.hpp"
#include "tests/hybrid_models.hpp"
#include "tests/io/temp_dir.hpp"

using mamba2::ErrorCode;

namespace {

constexpr double kMargin = 5e-5;
const mamba2::Plan& kFp32Plan = mamba2::kPlan<mamba2::Fp32>;

struct Adapted {
  reference::BitMamba model;
  std::string lora;
  std::vector<mamba2::Token> tokens;
  std::vector<double> logits;
};

/// 3 layers with an adapter, of which layers 1 and 2 run twice more if they are `repeated`; not
/// near to where rounding turns.
Adapted adapted(bool repeated) {
  for (std::uint64_t seed = 0;; ++seed) {
    Adapted a{reference::random_bitmamba(33, 20, 3, 8, seed), {}, {}, {}};
    a.lora = reference::add_adapter(a.model, 5, 8.0F, seed + 50);
    if (repeated) a.model.path = {0, 1, 2, 1, 2, 1, 2};
    a.tokens = reference::Random(seed + 100).tokens(20, 33);
    const auto expected = reference::forward(a.model, a.tokens);
    a.logits = expected.logits;
    if (expected.margin > kMargin) return a;
  }
}

std::vector<float> adapted_logits(const mamba2::AnyModel& model,
                                  const std::vector<mamba2::Token>& ids,
                                  const std::vector<std::size_t>& pieces, std::size_t threads = 1) {
  auto session = model.session({.workers = {.threads = threads}}).value();
  return tests::logits_in_pieces(session, ids, pieces);
}

}  // namespace

TEST_CASE("an adapter adds to in_proj and out_proj; layers run again with states of their own") {
  for (const bool repeated : {false, true}) {
    CAPTURE(repeated);
    const Adapted a = adapted(repeated);
    const mamba2_tests::TempDir dir;
    const auto path = dir.write("model.bin", reference::BitMambaWriter(a.model).bytes);
    mamba2::LoadOptions options;
    options.lora = dir.write("tuned.lora.bin", a.lora);
    if (repeated) options.repeat = {.first = 1, .last = 2, .count = 2};
    const auto model = mamba2::AnyModel::load(path, kFp32Plan, options).value();
    CHECK(model.config().n_step() == (repeated ? 7 : 3));
    for (const std::vector<std::size_t>& pieces : {std::vector<std::size_t>{1000}, {1}, {7, 1}}) {
      for (const std::size_t threads : {1U, 3U}) {
        CHECK(reference::max_abs_difference(adapted_logits(model, a.tokens, pieces, threads),
                                            a.logits) < 2e-5);
      }
    }
    // It is another model.
    CHECK(model.fingerprint() != mamba2::AnyModel::load(path, kFp32Plan).value().fingerprint());
    auto checkpoint = mamba2::Checkpoint::open(path).value();
    checkpoint.add_lora(options.lora).value();
    checkpoint.repeat(options.repeat).value();
    const auto required = mamba2::memory_required(mamba2::plan_weights(checkpoint, kFp32Plan), {});
    CHECK(required.weights == model.weight_bytes());
    CHECK(required.session() == model.session_bytes());
  }
}

TEST_CASE("adapters that do not fit, or lie about sizes, are refused by name") {
  reference::BitMamba model = reference::random_bitmamba(13, 8, 2, 4, 1);
  const std::string lora = reference::add_adapter(model, 3, 32.0F, 2);
  const std::string file = reference::BitMambaWriter(model).bytes;
  const auto said_of = [&file](const std::string& bytes) {
    auto checkpoint =
        mamba2::Checkpoint::from_bitmamba(std::as_bytes(std::span(file)), "f.bin").value();
    const auto added = checkpoint.add_lora(std::as_bytes(std::span(bytes)), "l.bin");
    if (!added) return added.error().message;
    const auto loaded = mamba2::AnyModel::load(checkpoint, kFp32Plan);
    return loaded ? std::string("a model") : loaded.error().message;
  };
  const auto with = [&](std::size_t at, auto number) {
    std::string changed = lora;
    std::memcpy(&changed[at], &number, sizeof number);
    return said_of(changed);
  };
  CHECK(said_of(lora) == "a model");
  CHECK(with(0, 1) == "l.bin: expected an adapter of BitMamba-2, found something else");
  CHECK(with(4, 2) == "l.bin: version must be 1, found 2");
  CHECK(with(8, 0) == "l.bin: rank must be at least 1, found 0");
  CHECK(with(8, 4) == "l.bin: tensor \"layers.0.in_proj\": rank must be 4, found 3");
  CHECK(with(8, 1 << 30) == "l.bin: lora_rank must be in 0..4096, found 1073741824");
  CHECK(with(12, std::numeric_limits<float>::infinity()) ==
        "l.bin: lora_scale must be finite, found inf");
  CHECK(with(16, 3) == "l.bin: layers must be 2, found 3");
  CHECK(with(20, 1) == "l.bin: targets must be 2, found 1");
  CHECK(with(24, 1) == "l.bin: tensor \"layers.0.in_proj\": layer must be 0, found 1");
  CHECK(with(28, 1) == "l.bin: tensor \"layers.0.in_proj\": target must be 0, found 1");
  CHECK(with(32, 43) == "l.bin: tensor \"layers.0.in_proj\": rows must be 44, found 43");
  CHECK(with(36, 9) == "l.bin: tensor \"layers.0.in_proj\": cols must be 8, found 9");
  CHECK(with(44, std::numeric_limits<float>::infinity()) ==
        "l.bin: tensor layers.0.mixer.in_proj.lora_A: element 0 must be a finite value, found inf");
  CHECK(said_of(lora + "x").starts_with("l.bin: must end after the last adapter, at "));
  for (std::size_t size = 0; size < lora.size(); ++size) {
    CHECK(said_of(lora.substr(0, size)).starts_with("l.bin: "));
  }

  auto checkpoint =
      mamba2::Checkpoint::from_bitmamba(std::as_bytes(std::span(file)), "f.bin").value();
  CHECK(checkpoint.repeat({.first = 0, .last = 2, .count = 1}).error().message ==
        "repeat_end must be in 0..1, found 2");
  CHECK(checkpoint.repeat({.first = 1, .last = 0, .count = 1}).error().message ==
        "repeat_start must be in 0..0, found 1");
  CHECK(checkpoint.repeat({.first = 0, .last = 1, .count = 65536}).error().message ==
        "repeat_count must be such that at most 65536 layers run, found 65536");
  CHECK(checkpoint.config().n_step() == 2);
}
