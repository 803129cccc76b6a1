// SPDX-License-Identifier: Apache-2.0
// Tensors of experts: alone, or all in one.
#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include "mamba2/io/dialects/granite.hpp"
#include "mamba2/io/dialects/names.hpp"
#include "mamba2/io/tensor_names.hpp"

using mamba2::Config;
using mamba2::LayerKind;
using mamba2::TensorView;

namespace expert_names_tests {
namespace {

constexpr std::size_t kModel = 4, kInner = 2, kExperts = 3;

Config some_config() {
  Config config;
  config.pattern = "MEME";
  config.n_layer = 4;
  config.d_model = kModel;
  config.moe = {
      .num_experts = kExperts, .num_experts_per_tok = 1, .d_intermediate = kInner, .d_shared = 5};
  return config;
}

std::vector<std::byte> numbered(std::size_t count) {
  std::vector<std::byte> bytes(count);
  for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>(i);
  return bytes;
}

std::string outcome(const std::string& name, std::vector<std::size_t> shape) {
  std::size_t size = 2;
  for (const std::size_t n : shape) size *= n;
  const auto bytes = numbered(size);
  TensorView tensor{name, mamba2::DType::F16, std::move(shape), bytes, "file"};
  std::vector<TensorView> tensors;
  const auto added =
      mamba2::detail::add_renamed(mamba2::kGranite.names, some_config(), tensor, tensors);
  return added ? "fine" : added.error().message;
}

}  // namespace

TEST_CASE("a stack of experts is taken apart, expert by expert") {
  const std::vector<std::byte> bytes = numbered(kExperts * 2 * kInner * kModel * 2);
  const TensorView stack{"layers.1.block_sparse_moe.input_linear.weight",
                         mamba2::DType::F16,
                         {kExperts, 2 * kInner, kModel},
                         bytes,
                         "file"};
  std::vector<TensorView> tensors;
  mamba2::detail::add_renamed(mamba2::kGranite.names, some_config(), stack, tensors).value();
  REQUIRE(tensors.size() == 2 * kExperts);
  constexpr std::size_t kBytes = kInner * kModel * 2;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    CHECK(tensors[i].name == "layers.3.moe.experts." + std::to_string(i / 2) +
                                 (i % 2 == 0 ? ".gate_proj.weight" : ".up_proj.weight"));
    CHECK(tensors[i].shape == std::vector{kInner, kModel});
    CHECK(tensors[i].data.data() == bytes.data() + i * kBytes);
    CHECK(tensors[i].data.size() == kBytes);
  }
}

TEST_CASE("stacks of another shape are refused") {
  const std::string name = "layers.0.block_sparse_moe.output_linear.weight";
  CHECK(outcome(name, {3, 4, 2}) == "fine");
  CHECK(
      outcome(name, {2, 6, 2}) ==
      "file: tensor \"layers.0.block_sparse_moe.output_linear.weight\" must have the matrices of 3 "
      "experts, found the shape (2, 6, 2)");
  CHECK(outcome(name, {12, 2}).find("the matrices of 3 experts") != std::string::npos);
  CHECK(outcome(name, {3, 5, 2}).find("must have 4 rows to an expert") != std::string::npos);
}

TEST_CASE("the names of experts, there and back") {
  const auto renames = std::to_array<mamba2::TensorRename>(
      {{"mlp.experts.*.w1.", "moe.experts.*.gate_proj.", 0, LayerKind::moe},
       {"mlp.downs.", "moe.experts.*.down_proj.", 0, LayerKind::moe}});
  const mamba2::DialectNames names = {{}, [](const Config&) { return std::size_t{1}; }, renames};
  const Config config = some_config();
  const auto here = [&](const std::string& name) {
    return mamba2::detail::canonical_names(names, config, name);
  };
  CHECK(here("layers.1.mlp.experts.2.w1.weight").names ==
        std::vector<std::string>{"layers.1.moe.experts.2.gate_proj.weight"});
  for (const std::string odd :
       {"layers.1.mlp.experts.02.w1.weight", "layers.1.mlp.experts.w1.weight",
        "layers.0.mlp.experts.2.w1.weight", "layers.1.mlp.experts.2w1.weight"}) {
    CHECK(here(odd).names == std::vector{odd});
  }
  CHECK(here("layers.3.mlp.downs.weight").is_stack);
  CHECK(here("layers.3.mlp.downs.weight").names.size() == kExperts);
  const auto there = [&](const std::string& name) {
    return mamba2::detail::tensor_in(names, config, name).value();
  };
  CHECK(there("layers.1.moe.experts.2.gate_proj.weight").name ==
        "layers.1.mlp.experts.2.w1.weight");
  CHECK(there("layers.1.moe.experts.2.gate_proj.weight").experts == 0);
  CHECK(there("layers.3.moe.experts.0.down_proj.weight").canonical.size() == kExperts);
  CHECK(there("layers.3.moe.experts.1.down_proj.weight").canonical ==
        std::vector<std::string>{"layers.3.moe.experts.0.down_proj.weight"});
  CHECK(there("layers.3.moe.experts.1.down_proj.weight").experts == kExperts);
  CHECK(!mamba2::detail::tensor_in(names, config, "layers.1.moe.router.weight"));
}

TEST_CASE("a tensor of an expert is expected, if there is the expert") {
  const Config config = some_config();
  const auto spec = mamba2::expected_tensor(config, "layers.1.moe.experts.2.down_proj.weight");
  REQUIRE(spec);
  CHECK(spec->name == "layers.1.moe.experts.2.down_proj.weight");
  CHECK(spec->shape == std::vector{kModel, kInner});
  CHECK(spec->may_rotate);
  CHECK(mamba2::expected_tensor(config, "layers.1.moe.router.weight")->role ==
        mamba2::Role::router);
  for (const char* none :
       {"layers.1.moe.experts.3.down_proj.weight", "layers.1.moe.experts.02.down_proj.weight",
        "layers.01.moe.experts.2.down_proj.weight", "layers.1.moe.experts.2.down_proj.bias",
        "layers.0.moe.experts.2.down_proj.weight", "layers.1.moe.experts..down_proj.weight",
        "layers.1.moe.experts.2", "layers.1", "layers.1.down_proj.weight", "layers.1."}) {
    CHECK(!mamba2::expected_tensor(config, none));
  }
}

}  // namespace expert_names_tests
