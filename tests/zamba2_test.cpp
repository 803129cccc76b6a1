// SPDX-License-Identifier: Apache-2.0
// Zamba2: what is not like in other hybrids, blocks that layers share.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "mamba2/io/update_config.hpp"
#include "mamba2/linear/floats.hpp"
#include "mamba2/linear/int8.hpp"
#include "mamba2/model/model.hpp"
#include "tests/hybrid_models.hpp"
#include "tools/shapes.hpp"
#if defined(MAMBA2_SEPARATE)
#include "tools/models.hpp"
#endif

using mamba2::Config;
using mamba2::Token;
using reference::Hybrid;
using reference::MambaAfterBlock;
using tests::HybridModel;

namespace zamba2_tests {
namespace {

const std::string kBlock1 = "model.layers.1.shared_transformer.";
const std::string kBlock3 = "model.layers.3.shared_transformer.";

HybridModel golden() { return tests::hybrid_golden("zamba2", "config.json").at(0); }

/// The golden's tensors: its layers 1 and 3 share a block, layer 2 has one of its own.
reference::Safetensors golden_tensors() {
  return reference::load_safetensors(MAMBA2_SOURCE_DIR
                                     "/tests/golden/hybrids/zamba2/model.safetensors")
      .value();
}

HybridModel with_tensors(const reference::Safetensors& file) {
  HybridModel model = golden();
  model.safetensors = reference::write_safetensors(file);
  return model;
}

/// What is said of the golden with other tensors, or another config.
std::string refusal(const reference::Safetensors& file,
                    const std::string& config = golden().config) {
  const std::string bytes = reference::write_safetensors(file);
  const std::span<const std::byte> shard = std::as_bytes(std::span(bytes));
  const auto checkpoint = mamba2::Checkpoint::from_bytes(config, std::span(&shard, 1));
  return checkpoint ? std::string("a model") : checkpoint.error().message;
}

std::vector<float> logits_of(const mamba2::AnyModel& model, const std::vector<Token>& tokens) {
  auto session =
      model.session({.kv = mamba2::KvPrecision::fp32, .workers = {.threads = 1}}).value();
  return tests::logits_in_pieces(session, tokens, {1000});
}

std::vector<float> logits_of(const HybridModel& model) {
  return logits_of(model.load(mamba2::kPlan<mamba2::Fp32>), model.tokens);
}

std::vector<std::string> notes_of(const HybridModel& model) {
  return model.open([](const mamba2::Checkpoint& checkpoint) {
    return std::vector<std::string>(checkpoint.notes().begin(), checkpoint.notes().end());
  });
}

/// Copies of the first block in the third hybrid layer, its adapters included.
void copy_block(reference::Safetensors& file) {
  const auto tensors = file.tensors;
  for (const auto& [name, tensor] : tensors) {
    if (!name.starts_with(kBlock1)) continue;
    file.tensors[kBlock3 + name.substr(kBlock1.size())] = tensor;
  }
}

/// Another value in place of the first of a BF16 tensor.
void change(reference::Tensor& tensor) { tensor.bytes[1] = 0x40; }

/// A model whose matrices are several tasks wide.
HybridModel wide_model() {
  nlohmann::json config = reference::random_hybrid_config(reference::Writer::zamba, 3);
  config["hidden_size"] = 4 * 45;
  config["num_attention_heads"] = config["num_key_value_heads"] = 4;
  config["n_mamba_heads"] = 4;
  config["mamba_ngroups"] = 2;
  config["intermediate_size"] = 333;
  config["adapter_rank"] = 37;
  config["use_shared_attention_adapter"] = config["use_mem_rope"] = true;
  config["num_mem_blocks"] = 2;
  config["layers_block_type"] = {"hybrid", "mamba", "hybrid", "hybrid"};
  config["num_hidden_layers"] = 4;
  const Hybrid hybrid = reference::random_hybrid(config, 3);
  const reference::Checkpoint files = reference::write_hybrid(config, hybrid);
  HybridModel model{files.config_json, files.safetensors, {}, {}};
  model.tokens = reference::Random(4).tokens(50, hybrid.vocab_size);
  model.logits = reference::forward(hybrid, model.tokens);
  return model;
}

}  // namespace

TEST_CASE("zamba2: matrices of many tasks, with many tokens and with few") {
  const HybridModel hybrid = wide_model();
  for (const mamba2::Plan* plan : {&mamba2::kPlan<mamba2::Fp32>, &mamba2::kPlan<mamba2::Int8>}) {
    const mamba2::AnyModel model = hybrid.load(*plan, 2);
    const auto logits = [&](std::size_t threads, std::vector<std::size_t> pieces) {
      auto session =
          model.session({.kv = mamba2::KvPrecision::fp32, .workers = {.threads = threads}}).value();
      return tests::logits_in_pieces(session, hybrid.tokens, std::move(pieces));
    };
    const bool is_exact = plan == &mamba2::kPlan<mamba2::Fp32>;
    const auto whole = logits(1, {50});
    CHECK(tests::deviation(whole, hybrid.logits) < (is_exact ? 1e-4 : 1.0));
    CHECK(logits(2, {50}) == whole);
    CHECK(logits(5, {50}) == whole);
    const auto single = logits(1, {1});
    CHECK(logits(3, {1}) == single);
    for (const std::size_t first : std::vector<std::size_t>{1, 4, 5, 49}) {
      CHECK(tests::deviation(logits(2, {first, 1, 1, 6}), hybrid.logits) < (is_exact ? 1e-4 : 1.0));
    }
  }
}

TEST_CASE("zamba2: a block is in memory once, and read as often as there are layers with it") {
  const HybridModel hybrid = golden();
  hybrid.open([&](const mamba2::Checkpoint& checkpoint) {
    const mamba2::Weights weights =
        mamba2::load_weights(checkpoint, mamba2::kPlan<mamba2::Int8>).value();
    const auto block = [&](std::size_t layer) -> const mamba2::SharedBlockWeights& {
      return std::get<mamba2::SharedBlockWeights>(weights.layers[layer].mixer);
    };
    CHECK(block(1).owns_block);
    CHECK(block(2).owns_block);
    CHECK(!block(3).owns_block);
    CHECK(block(3).block.attention.q_proj.bands == block(1).block.attention.q_proj.bands);
    CHECK(block(3).block.mlp_norm == block(1).block.mlp_norm);
    CHECK(block(2).block.attention.q_proj.bands != block(1).block.attention.q_proj.bands);
    CHECK(block(3).qkv_A[0].bands != block(1).qkv_A[0].bands);
    std::size_t bytes = 0;
    mamba2::block_tensors(weights.config, block(1).block, [&](const auto&, const auto& place) {
      if constexpr (std::is_same_v<std::remove_cvref_t<decltype(place)>, mamba2::Matrix>) {
        bytes += place.bytes();
      }
    });
    CHECK(weights.reread_bytes() == bytes);
    return 0;
  });
  const mamba2::AnyModel model = hybrid.load(mamba2::kPlan<mamba2::Fp32>);
  CHECK(model.bytes_of_weights(1) > model.weight_bytes());
  // Every layer has keys and values of its own.
  const mamba2::StateLayout layout(model.config(), {.context = 100});
  CHECK(layout.kv_count() == 3);
  CHECK(!layout.can_rewind());
}

TEST_CASE("zamba2: published shapes have the sizes that are known") {
  struct Known {
    const char* name;
    double parameters, read;  // 1e9; those of a token
  };
  for (const Known known : {Known{"zamba2-1.2b", 1.205, 1.75}, Known{"zamba2-2.7b", 2.662, 3.855},
                            Known{"zamba2-7b", 7.357, 11.03}}) {
    CAPTURE(known.name);
    const Config config = cli::config_of_shape(known.name);
    config.validate().value();
    double parameters = 0.0;
    mamba2::expected_tensors(config, [&](const mamba2::TensorSpec& spec) {
      double values = 1.0;
      for (const std::size_t size : spec.shape) values *= static_cast<double>(size);
      parameters += values;
      return mamba2::Result<void>();
    }).value();
    CHECK(parameters == doctest::Approx(known.parameters * 1e9).epsilon(0.001));
    const auto planned = mamba2::Weights::planned(config, mamba2::kPlan<mamba2::Bf16>);
    const double read = parameters + static_cast<double>(planned.reread_bytes()) / 2.0;
    CHECK(read == doctest::Approx(known.read * 1e9).epsilon(0.002));
  }
}

TEST_CASE("zamba2: copies of a block are passed over, with a note") {
  auto file = golden_tensors();
  copy_block(file);
  const HybridModel model = with_tensors(file);
  CHECK(logits_of(model) == logits_of(golden()));
  const auto notes = notes_of(model);
  REQUIRE(notes.size() == 2);
  // Of adapters the layer's own count; the same values here.
  CHECK(notes[0].find("tensors are passed over, in place of which layers have their own") !=
        std::string::npos);
  CHECK(notes[1].find("tensors are passed over, which the first layers have, too: "
                      "\"layers.3.") != std::string::npos);
  CHECK(model.open([](const auto& checkpoint) {
    return checkpoint.config().shared_block.num_blocks;
  }) == 2);
}

TEST_CASE("zamba2: a layer whose block differs has its own") {
  for (const std::string changed :
       {"self_attn.k_proj.weight", "feed_forward.gate_up_proj.weight", "pre_ff_layernorm.weight"}) {
    CAPTURE(changed);
    auto file = golden_tensors();
    copy_block(file);
    change(file.tensors.at(kBlock3 + changed));
    const HybridModel model = with_tensors(file);
    // The oracle: three blocks, the last one changed.
    auto own = golden_tensors();
    auto json = nlohmann::json::parse(golden().config);
    json["num_mem_blocks"] = 3;
    copy_block(own);
    for (const std::string& block : {kBlock1, kBlock3}) {
      const std::string other = block == kBlock1 ? "2" : "0";
      std::erase_if(own.tensors, [&](const auto& entry) {
        return entry.first.starts_with(block) &&
               entry.first.find("_list." + other + ".") != std::string::npos;
      });
    }
    change(own.tensors.at(kBlock3 + changed));
    const Hybrid hybrid = reference::read_hybrid(json, own).value();
    const auto expected = reference::forward(hybrid, model.tokens);
    CHECK(tests::deviation(logits_of(model), expected) < 1e-4);
    CHECK(reference::max_abs_difference(expected, golden().logits) > 1e-3);
    const auto notes = notes_of(model);
    REQUIRE(notes.size() == 2);
    CHECK(notes[1].find("differ, though the config says that they are one") != std::string::npos);
    CHECK(model.open([](const auto& checkpoint) {
      return checkpoint.config().shared_block.num_blocks;
    }) == 3);
    // What it has no copy of is the first's.
    file.tensors.erase(kBlock3 + "self_attn.o_proj.weight");
    file.tensors.erase(kBlock3 + "feed_forward.down_proj.weight");
    CHECK(logits_of(with_tensors(file)) == logits_of(model));
  }
}

TEST_CASE("zamba2: adapters count where their layer is, or else where its block is") {
  const std::string list = "feed_forward.gate_up_proj_adapter_list.2.0.weight";
  auto file = golden_tensors();
  const auto whole = logits_of(golden());
  // Moved, it is the same model.
  file.tensors[kBlock3 + list] = file.tensors.at(kBlock1 + list);
  file.tensors.erase(kBlock1 + list);
  CHECK(logits_of(with_tensors(file)) == whole);
  CHECK(notes_of(with_tensors(file)).empty());
  // One in the first layer, with another one in its own.
  file = golden_tensors();
  file.tensors[kBlock3 + list] = file.tensors.at(kBlock1 + list);
  change(file.tensors.at(kBlock1 + list));
  CHECK(logits_of(with_tensors(file)) == whole);
  REQUIRE(notes_of(with_tensors(file)).size() == 1);
  CHECK(notes_of(with_tensors(file))[0] ==
        "shard 1 of 1: 1 tensor is passed over, in place of which layers have their own: "
        "\"layers.1.shared_transformer." +
            list + "\"");
  // One of another layer, in neither.
  const std::string other = "feed_forward.gate_up_proj_adapter_list.1.0.weight";
  file = golden_tensors();
  file.tensors[kBlock3 + other] = file.tensors.at("model.layers.2.shared_transformer." + other);
  change(file.tensors.at(kBlock3 + other));
  CHECK(logits_of(with_tensors(file)) == whole);
}

TEST_CASE("zamba2: files that lack something, or have more, are refused by name") {
  const auto without = [](const std::string& name) {
    auto file = golden_tensors();
    REQUIRE(file.tensors.erase(name) == 1);
    return refusal(file);
  };
  CHECK(without(kBlock1 + "feed_forward.gate_up_proj_adapter_list.2.0.weight") ==
        "checkpoint: tensor \"layers.3.mlp.adapter.A.weight\" must be there with shape (4, 48), "
        "found none");
  CHECK(
      without(kBlock1 + "feed_forward.gate_up_proj_adapter_list.0.1.weight")
          .starts_with("checkpoint: tensor \"layers.1.mlp.gate_adapter.B.weight\" must be there"));
  CHECK(without(kBlock1 + "self_attn.linear_v_adapter_list.2.1.weight")
            .starts_with("checkpoint: tensor \"layers.3.attention.v_adapter.B.weight\" must be"));
  CHECK(without(kBlock1 + "self_attn.o_proj.weight")
            .starts_with("checkpoint: tensor \"layers.1.attention.o_proj.weight\" must be there"));
  CHECK(without(kBlock1 + "input_layernorm.weight") ==
        "checkpoint: tensor \"layers.1.block.norm.weight\" must be there with shape (96), found "
        "none");
  CHECK(without("model.layers.3.linear.weight")
            .starts_with("checkpoint: tensor \"layers.3.block.linear.weight\" must be there"));
  const auto shaped = [](const std::string& name, const std::vector<std::size_t>& shape) {
    auto file = golden_tensors();
    std::size_t count = 1;
    for (const std::size_t size : shape) count *= size;
    file.tensors.at(name) = reference::bf16_tensor(shape, std::vector<double>(count, 0.5));
    return refusal(file);
  };
  CHECK(shaped(kBlock1 + "self_attn.q_proj.weight", {96, 48})
            .find("shape must be (96, 96), found (96, 48)") != std::string::npos);
  CHECK(shaped(kBlock1 + "feed_forward.gate_up_proj_adapter_list.0.1.weight", {95, 4})
            .find("must have 96 rows, found the shape (95, 4)") != std::string::npos);
  CHECK(shaped(kBlock1 + "feed_forward.gate_up_proj.weight", {48, 48}).find("must have 96 rows") !=
        std::string::npos);
  CHECK(shaped(kBlock1 + "self_attn.linear_q_adapter_list.2.0.weight", {3, 96})
            .find("shape must be (4, 96), found (3, 96)") != std::string::npos);
  const auto with = [](const std::string& name) {
    auto file = golden_tensors();
    file.tensors[name] = reference::bf16_tensor({2}, {1.0, 2.0});
    return refusal(file);
  };
  for (const std::string& name :
       {kBlock1 + "feed_forward.gate_up_proj_adapter_list.3.0.weight",
        kBlock1 + "feed_forward.gate_up_proj_adapter_list.02.0.weight",
        kBlock1 + "feed_forward.gate_up_proj_adapter_list.99999999999999999999.0.weight",
        kBlock1 + "self_attn.q_norm.weight", std::string("model.layers.0.linear.weight"),
        std::string("model.layers.1.mamba.A_log")}) {
    CAPTURE(name);
    CHECK(with(name).find("expected the tensors of the config only, found \"layers.") !=
          std::string::npos);
  }
  auto json = nlohmann::json::parse(golden().config);
  json["adapter_rank"] = 5;
  CHECK(refusal(golden_tensors(), json.dump()).find("shape must be (5, 96), found (4, 96)") !=
        std::string::npos);
  json["adapter_rank"] = 4;
  json["use_shared_attention_adapter"] = false;
  CHECK(refusal(golden_tensors(), json.dump()).find("expected the tensors of the config only") !=
        std::string::npos);
}

TEST_CASE("zamba2: damaged headers are refused, or models all the same") {
  const HybridModel whole = golden();
  std::size_t refused = 0;
  reference::Random random(3);
  std::uint64_t header = 0;
  std::memcpy(&header, whole.safetensors.data(), sizeof header);
  for (std::size_t i = 0; i < 500; ++i) {
    std::string damaged = whole.safetensors;
    const auto at = static_cast<std::size_t>(random.uniform(8.0, static_cast<double>(header)));
    damaged[at] = static_cast<char>(damaged[at] ^ (1 << i % 7));
    const std::span<const std::byte> shard = std::as_bytes(std::span(damaged));
    const auto checkpoint = mamba2::Checkpoint::from_bytes(whole.config, std::span(&shard, 1));
    if (!checkpoint) CHECK(!checkpoint.error().message.empty());
    refused += checkpoint ? 0U : 1U;
  }
  CHECK(refused > 400);
}

}  // namespace zamba2_tests
