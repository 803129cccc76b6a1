// SPDX-License-Identifier: Apache-2.0
// A dialect of an application's own: one list of keys, one of names, and nothing that computes.
#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "mamba2/io/checkpoint.hpp"
#include "mamba2/io/dialects/dialect.hpp"
#include "mamba2/linear/floats.hpp"
#include "mamba2/model/model.hpp"
#include "tests/hybrid_models.hpp"

namespace {

using mamba2::LayerKind;
using mamba2::TensorRename;

/// "layers": "MA": a mixer each, and no MLPs; all else is called by letters.
mamba2::Config read_toy(mamba2::detail::JsonFields& fields) {
  mamba2::Config c;
  c.d_model = fields.integer("width", 0);
  c.vocab_size = fields.integer("tokens", 0);
  const auto* layers = fields.find("toy_layers");
  c.pattern = layers == nullptr ? "" : *layers->get_ptr<const std::string*>();
  c.n_layer = c.pattern.size();
  c.d_inner = c.d_ssm = 2 * c.d_model;
  c.headdim = c.d_state = 8;
  c.tie_embeddings = false;
  c.attention = {.num_heads = 2, .num_heads_kv = 1, .head_dim = 8};
  return c;
}

constexpr auto kToyOuter = std::to_array<TensorRename>(
    {{"E", "embedding.weight"}, {"H", "lm_head.weight"}, {"n", "norm_f.weight"}});
constexpr auto kToyLayers = std::to_array<TensorRename>(
    {{"n", "norm.weight"},
     {"m.", "mixer.", 0, LayerKind::mamba2},
     {"qkv.", "attention.q_proj.|attention.k_proj.|attention.v_proj.", 0, LayerKind::attention},
     {"o.", "attention.o_proj.", 0, LayerKind::attention}});

constexpr mamba2::Dialect kToy = {
    "toy",
    "Toy",
    [](const mamba2::detail::JsonFields& c) { return c.find("toy_layers") != nullptr; },
    read_toy,
    "tied",
    {kToyOuter, [](const mamba2::Config&) { return std::size_t{1}; }, kToyLayers}};

constexpr const char* kToyConfig = R"({"toy_layers": "M*M", "width": 16, "tokens": 21})";

/// Its tensors, with random values.
std::string toy_tensors() {
  reference::Random random(4);
  reference::Safetensors file;
  const auto add = [&](const std::string& name, std::vector<std::size_t> shape) {
    std::size_t count = 1;
    for (const std::size_t n : shape) count *= n;
    file.tensors[name] = reference::f32_tensor(std::move(shape), random.normals(count, 0.1, 0.2));
  };
  add("E", {21, 16});
  add("H", {21, 16});
  add("n", {16});
  for (const std::string layer : {"layers.0.", "layers.2."}) {
    add(layer + "n", {16});
    add(layer + "m.in_proj.weight", {2 * 32 + 2 * 8 + 4, 16});
    add(layer + "m.conv1d.weight", {48, 1, 4});
    add(layer + "m.conv1d.bias", {48});
    add(layer + "m.dt_bias", {4});
    add(layer + "m.A_log", {4});
    add(layer + "m.D", {4});
    add(layer + "m.norm.weight", {32});
    add(layer + "m.out_proj.weight", {16, 32});
  }
  add("layers.1.n", {16});
  add("layers.1.qkv.weight", {32, 16});
  add("layers.1.o.weight", {16, 16});
  return reference::write_safetensors(file);
}

}  // namespace

TEST_CASE("a dialect of an application's own is one among those that are tried") {
  const std::string file = toy_tensors();
  const std::span<const std::byte> shard = std::as_bytes(std::span(file));
  const std::array<const mamba2::Dialect*, 1> dialects = {&kToy};
  const auto checkpoint =
      mamba2::Checkpoint::from_bytes(kToyConfig, std::span(&shard, 1), {}, dialects);
  REQUIRE(checkpoint);
  CHECK(checkpoint->config().count(LayerKind::attention) == 1);
  CHECK(checkpoint->tensor("layers.1.attention.k_proj.weight").shape ==
        std::vector<std::size_t>{8, 16});
  const auto model =
      mamba2::AnyModel::load(*checkpoint, mamba2::kPlan<mamba2::Fp32>, {.workers = {.threads = 1}});
  auto session = model.value().session({.workers = {.threads = 1}}).value();
  CHECK(session.prefill(std::vector<mamba2::Token>{1, 2, 3}).value().size() == 21);
  // Not one of this library's.
  CHECK(!mamba2::Checkpoint::from_bytes(kToyConfig, std::span(&shard, 1)));
}

TEST_CASE("rows that do not add up to those of several tensors are refused") {
  reference::Safetensors file = reference::parse_safetensors(toy_tensors(), "toy").value();
  file.tensors["layers.1.qkv.weight"] =
      reference::f32_tensor({31, 16}, std::vector<double>(31 * 16));
  const std::string bytes = reference::write_safetensors(file);
  const std::span<const std::byte> shard = std::as_bytes(std::span(bytes));
  const std::array<const mamba2::Dialect*, 1> dialects = {&kToy};
  const auto checkpoint =
      mamba2::Checkpoint::from_bytes(kToyConfig, std::span(&shard, 1), {}, dialects);
  REQUIRE(!checkpoint);
  CHECK(checkpoint.error().message ==
        "shard 1 of 1: tensor \"layers.1.qkv.weight\" must have 32 rows, found the shape (31, 16)");
}
