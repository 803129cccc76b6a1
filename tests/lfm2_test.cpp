// SPDX-License-Identifier: Apache-2.0
// LFM2: what is not like in other hybrids.
#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mamba2/io/gguf.hpp"
#include "mamba2/io/gguf_checkpoint.hpp"
#include "mamba2/io/gguf_export.hpp"
#include "mamba2/io/gguf_writer.hpp"
#include "mamba2/linear/floats.hpp"
#include "mamba2/linear/int8.hpp"
#include "mamba2/model/model.hpp"
#include "mamba2/tokenizer/tokenizer.hpp"
#include "tests/hybrid_models.hpp"
#if defined(MAMBA2_SEPARATE)
#include "tools/models.hpp"
#endif

using tests::HybridModel;

namespace lfm2_tests {
namespace {

constexpr const char* kGolden = "lfm2";

/// A model whose channels are more than a task convolves.
HybridModel wide_model() {
  nlohmann::json config = reference::random_hybrid_config(reference::Writer::lfm2, 3);
  config["hidden_size"] = 12 * 46;
  config["num_attention_heads"] = 12;
  config["num_key_value_heads"] = 4;
  config["conv_L_cache"] = 3;
  const reference::Hybrid hybrid = reference::random_hybrid(config, 3);
  const reference::Checkpoint files = reference::write_hybrid(config, hybrid);
  HybridModel model{files.config_json, files.safetensors, {}, {}};
  model.tokens = reference::Random(4).tokens(50, hybrid.vocab_size);
  model.logits = reference::forward(hybrid, model.tokens);
  return model;
}

/// What is said of a GGUF file with the keys of a model, and what change(writer) sets.
template <class Change>
std::string gguf_error(Change change) {
  const HybridModel golden = tests::hybrid_golden(kGolden, "config.json").at(0);
  const mamba2::Config config =
      golden.open([](const auto& checkpoint) { return checkpoint.config(); });
  mamba2::GgufWriter writer;
  mamba2::set_gguf_config(writer, config, {}, mamba2::DType::F32);
  change(writer);
  std::vector<std::byte> file;
  writer
      .start([&](std::span<const std::byte> bytes) {
        file.insert(file.end(), bytes.begin(), bytes.end());
        return mamba2::Result<void>();
      })
      .value();
  writer.finish().value();
  const auto parsed = mamba2::Gguf::parse(file, "f").value();
  return mamba2::gguf_config(parsed).error().message;
}

}  // namespace

TEST_CASE("lfm2: channels of many tasks, with many tokens and with few") {
  const HybridModel hybrid = wide_model();
  const mamba2::AnyModel model = hybrid.load(mamba2::kPlan<mamba2::Fp32>, 2);
  const auto logits = [&](std::size_t threads, std::vector<std::size_t> pieces) {
    auto session =
        model.session({.kv = mamba2::KvPrecision::fp32, .workers = {.threads = threads}}).value();
    return tests::logits_in_pieces(session, hybrid.tokens, std::move(pieces));
  };
  const auto whole = logits(1, {50});
  CHECK(tests::deviation(whole, hybrid.logits) < 1e-4);
  CHECK(logits(2, {50}) == whole);
  CHECK(logits(5, {50}) == whole);
  for (const std::size_t first : std::vector<std::size_t>{1, 4, 5, 49}) {
    CAPTURE(first);
    CHECK(tests::deviation(logits(2, {first, 1, 1, 6}), hybrid.logits) < 1e-4);
  }
}

TEST_CASE("lfm2: a state is what convolutions and attention remember, whatever the tokens") {
  const HybridModel golden = tests::hybrid_golden(kGolden, "config.json").at(0);
  const mamba2::AnyModel model = golden.load(mamba2::kPlan<mamba2::Fp32>);
  const mamba2::StateLayout layout(model.config(), {.context = 100});
  CHECK(layout.short_conv().size() == 2 * 64);
  // 3 convolutions; the last row.
  CHECK(layout.fixed_bytes() == (3 * 2 * 64 + 64) * sizeof(float));
  CHECK(!layout.can_rewind());
  // A filter of one tap has no window.
  mamba2::Config config = model.config();
  config.short_conv.d_conv = 1;
  CHECK(mamba2::StateLayout(config, {}).can_rewind());
}

TEST_CASE("lfm2: texts begin and end as the file says") {
  const std::string file = MAMBA2_SOURCE_DIR "/tests/golden/hybrids_gguf/lfm2-q8_0/model.gguf";
  const auto ids = mamba2::Tokenizer::load(file).value().encode("a");
  REQUIRE(ids.size() == 2);
  CHECK(ids.front() == 1);
  const mamba2::Config config = mamba2::Checkpoint::open(file).value().config();
  CHECK(config.eos_token_ids == std::vector<mamba2::Token>{2});
}

TEST_CASE("lfm2: other models that call themselves so in GGUF are refused by key") {
  using Writer = mamba2::GgufWriter;
  CHECK(gguf_error([](Writer&) {}) ==
        "f: tensor \"token_embd.weight\" must be there with two dimensions, found none");
  CHECK(gguf_error([](Writer& w) { w.set_flag("lfm2.attention.causal", false); }) ==
        "f: lfm2.attention.causal must be true, found false");
  CHECK(gguf_error([](Writer& w) { w.set_integer("lfm2.attention.sliding_window", 64); }) ==
        "f: lfm2.attention.sliding_window must be 0, found 64");
  CHECK(gguf_error([](Writer& w) { w.set_integer("lfm2.embedding_length_out", 8); }) ==
        "f: lfm2.embedding_length_out must be absent, found 8");
  CHECK(gguf_error([](Writer& w) { w.set_integer("lfm2.decision.count", 2); }) ==
        "f: lfm2.decision.count must be absent, found 2");
  CHECK(gguf_error([](Writer& w) { w.set_number("lfm2.rope.scaling.factor", 4.0F); }) ==
        "f: lfm2.rope.scaling.factor must be 1, found 4");
  CHECK(gguf_error([](Writer& w) {
          w.set_integer("lfm2.shortconv.l_cache", 65);
        }).find("token_embd") != std::string::npos);
  CHECK(gguf_error([](Writer& w) { w.set_integer("lfm2.shortconv.l_cache", 0); }) ==
        "f: lfm2.shortconv.l_cache must be an integer of at least 1, found 0");
  CHECK(gguf_error([](Writer& w) {
          w.set_integers("lfm2.attention.head_count_kv", std::vector<std::int32_t>{0, 2});
        }) ==
        "f: lfm2.attention.head_count_kv must be a list of 5 integers, found a list of 2 int32");
}

}  // namespace lfm2_tests
