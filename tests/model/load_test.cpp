// SPDX-License-Identifier: Apache-2.0
#include "mamba2/model/load.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <string>
#include <vector>

#include "mamba2/linear/int4.hpp"
#include "mamba2/linear/int8.hpp"
#include "mamba2/linear/mixed.hpp"
#include "tests/io/gguf_model.hpp"
#include "tests/model_helpers.hpp"
#include "tests/reference/random_weights.hpp"

using mamba2::DType;
using mamba2::ErrorCode;

namespace {

using Bytes = std::vector<std::byte>;

const mamba2::Config& small_config() {
  static const mamba2::Config plain = reference::variants().front().config;
  return plain;
}

/// Of out_proj, rotations of 64.
const mamba2::Config& rotated_config() {
  static const mamba2::Config config = [] {
    mamba2::Config c = reference::variants().front().config;
    c.d_model = 32;
    c.d_inner = c.d_ssm = 64;
    c.headdim = 16;
    return c;
  }();
  return config;
}

/// Loads a model with some weights changed.
template <class WeightT, class Change>
mamba2::Result<mamba2::Mamba2Model<WeightT>> load_changed(const mamba2::Config& config,
                                                          Change change) {
  reference::Weights weights = reference::random_weights(config, 6);
  change(weights);
  return tests::try_load<WeightT>(config, weights);
}

/// The message for such a model.
template <class WeightT = mamba2::Fp32, class Change>
std::string load_refusal(Change change, const mamba2::Config& config = small_config()) {
  const auto outcome = load_changed<WeightT>(config, change);
  REQUIRE(!outcome);
  CHECK(outcome.error().code == ErrorCode::malformed);
  return outcome.error().message;
}

/// The weights of a GGUF model whose embedding is one block of this type after the other.
template <class WeightT>
mamba2::Result<mamba2::Weights> load_blocks(DType type, const Bytes& block) {
  mamba2::Config config = rotated_config();
  config.d_model = 256;
  const auto weights = reference::random_weights(config, 8);
  const Bytes file = tests::with_checkpoint(config, weights, [&](const auto& checkpoint) {
    mamba2_tests::GgufModel model(checkpoint.value());
    auto& embedding = model["token_embd.weight"];
    embedding.type = type;
    const std::size_t blocks = config.vocab_size * config.d_model / mamba2::dtype_block(type);
    for (std::size_t i = 0; i < blocks; ++i) {
      embedding.data.insert(embedding.data.end(), block.begin(), block.end());
    }
    return model.bytes();
  });
  return mamba2::load_weights(mamba2::Checkpoint::from_gguf(file, "f.gguf").value(),
                              mamba2::kPlan<WeightT>);
}

constexpr double kNanDouble = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinityDouble = std::numeric_limits<double>::infinity();

}  // namespace

TEST_CASE("weights that are not finite are refused, with their place") {
  CHECK(load_refusal([](auto& w) { w.embedding[38] = kNanDouble; }) ==
        "shard 1 of 1: tensor embedding.weight: element 38 must be a finite value, found nan");
  CHECK(load_refusal([](auto& w) {
          w.blocks[1].in_proj.back() = kInfinityDouble;
        }).find("layers.1.mixer.in_proj.weight: element") != std::string::npos);
  CHECK(load_refusal([](auto& w) {
          w.blocks[0].D[0] = -kInfinityDouble;
        }).find("layers.0.mixer.D: element 0 must be a finite value, found -inf") !=
        std::string::npos);
  CHECK(load_refusal([](auto& w) {
          w.blocks[0].conv_weight[3] = kNanDouble;
        }).find("conv1d.weight") != std::string::npos);
}

TEST_CASE("a decay that overflows is refused") {
  CHECK(load_refusal([](auto& w) { w.blocks[0].A_log[1] = 100.0; }) ==
        "shard 1 of 1: tensor layers.0.mixer.A_log: element 1 must be a value whose exponential "
        "is finite, found 100");
}

TEST_CASE("a weight that its format cannot hold is refused, with the limit") {
  const auto in_proj = [](double value) {
    return [value](reference::Weights& w) { w.blocks[1].in_proj[5] = value; };
  };
  const std::string element =
      "shard 1 of 1: tensor layers.1.mixer.in_proj.weight: element 5 must be at most ";
  const double kLargest = std::numeric_limits<float>::max();
  CHECK(load_changed<mamba2::Fp32>(small_config(), in_proj(kLargest)));

  CHECK(load_changed<mamba2::Fp16>(small_config(), in_proj(-65504.0)));
  CHECK(load_refusal<mamba2::Fp16>(in_proj(-65505.0)) ==
        element + "65504 in magnitude to be stored as fp16, found -65505");
  CHECK(load_refusal<mamba2::Fp16>(in_proj(kInfinityDouble))
            .find("must be a finite value, found inf") != std::string::npos);

  CHECK(load_changed<mamba2::Bf16>(small_config(), in_proj(0x1.FEp127)));
  CHECK(load_refusal<mamba2::Bf16>(in_proj(kLargest)) ==
        element + "3.3895314e+38 in magnitude to be stored as bf16, found 3.4028235e+38");

  CHECK(load_changed<mamba2::Int8>(small_config(), in_proj(kLargest / 128 * 127)));
  CHECK(load_refusal<mamba2::Int8>(in_proj(kLargest))
            .starts_with(element + "3.376239e+38 in magnitude to be stored as int8, found 3.4"));

  CHECK(load_changed<mamba2::Int4>(small_config(), in_proj(7 * 65504.0)));
  CHECK(load_refusal<mamba2::Int4>(in_proj(1e7)) ==
        element + "458528 in magnitude to be stored as int4, found 1e+07");
  // Of such a model the embedding is in INT8.
  CHECK(load_changed<mamba2::Int4>(small_config(), [](auto& w) { w.embedding[3] = 1e7; }));

  CHECK(load_changed<mamba2::Mixed>(small_config(), in_proj(kLargest)));  // FP32 as in the file
}

TEST_CASE("the largest weights come back as what they were") {
  const auto largest_of = [](auto policy, double value) {
    using WeightT = decltype(policy);
    reference::Weights weights = reference::random_weights(rotated_config(), 6);
    weights.blocks[0].in_proj[0] = value;
    weights.blocks[0].in_proj[1] = -value;
    const auto loaded =
        tests::with_checkpoint(rotated_config(), weights, [](const auto& checkpoint) {
          return mamba2::load_weights(checkpoint.value(), mamba2::kPlan<WeightT>).value();
        });
    std::vector<float> row(rotated_config().d_model);
    loaded.layers[0].mamba2().in_proj.row(0, row.data());
    CHECK(double{row[1]} == doctest::Approx(-value).epsilon(0.08));  // half a step of 1/7
    CHECK(double{row[0]} == doctest::Approx(value).epsilon(0.08));
  };
  largest_of(mamba2::Fp16(), 65504.0);
  largest_of(mamba2::Bf16(), 0x1.FEp127);
  largest_of(mamba2::Int8(), double{mamba2::max_encodable(DType::INT8)});
  largest_of(mamba2::Int4(), 7 * 65504.0);
}

TEST_CASE("rows that are rotated are checked once they are") {
  const auto out_proj = [](double value, std::size_t count) {
    return [=](reference::Weights& w) {
      auto row = w.blocks[1].out_proj.begin() + 64;  // the second one
      std::fill(row, row + 64, 0.0);
      std::fill(row, row + static_cast<std::ptrdiff_t>(count), value);
    };
  };
  // 64 equal values become one, 8 times as large; one becomes 64, each an eighth.
  CHECK(load_refusal<mamba2::Int4>(out_proj(1e5, 64), rotated_config()) ==
        "shard 1 of 1: tensor layers.1.mixer.out_proj.weight: element 64 must be at most 458528 in "
        "magnitude to be stored as int4 once its row is rotated, found 8e+05");
  CHECK(load_changed<mamba2::Int4>(rotated_config(), out_proj(1e6, 1)));
  CHECK(load_refusal<mamba2::Int8>(out_proj(1e38, 64), rotated_config())
            .find("to be stored as int8 once its row is rotated, found inf") != std::string::npos);
  CHECK(load_changed<mamba2::Fp16>(rotated_config(), out_proj(6e4, 64)));  // which is not rotated
}

TEST_CASE("types of GGUF that become others are checked, those that stay are not") {
  // 2^32 * 6, as MXFP4 has it.
  Bytes mxfp4(mamba2::dtype_size(DType::MXFP4), std::byte{0x77});
  mxfp4[0] = std::byte{159};
  CHECK(load_blocks<mamba2::Fp32>(DType::MXFP4, mxfp4));
  const auto refused = load_blocks<mamba2::Mixed>(DType::MXFP4, mxfp4);
  REQUIRE(!refused);
  CHECK(refused.error().message ==
        "f.gguf: tensor embedding.weight: element 0 must be at most 8319008 in magnitude to be "
        "stored as q8_0, found 25769803776");

  // 65504 * -128, and 65504 * -8.
  Bytes q8_0(mamba2::dtype_size(DType::Q8_0), std::byte{0x80});
  Bytes q4_0(mamba2::dtype_size(DType::Q4_0), std::byte{0});
  for (Bytes* block : {&q8_0, &q4_0}) {
    (*block)[0] = std::byte{0xFF};
    (*block)[1] = std::byte{0x7B};
  }
  std::vector<float> row(256);
  load_blocks<mamba2::Mixed>(DType::Q8_0, q8_0).value().embedding.row(3, row.data());
  CHECK(row == std::vector<float>(256, -65504.0F * 128.0F));
  load_blocks<mamba2::Mixed>(DType::Q4_0, q4_0).value().embedding.row(3, row.data());
  CHECK(row == std::vector<float>(256, -65504.0F * 8.0F));
  CHECK(!load_blocks<mamba2::Fp16>(DType::Q4_0, q4_0));
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
    (void)mamba2::load_weights(checkpoint, mamba2::kPlan<mamba2::Fp32>,
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
