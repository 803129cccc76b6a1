// SPDX-License-Identifier: Apache-2.0
// Models from quantized checkpoints: the codes and scales of the files, to the bit.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "mamba2/kernels/hadamard.hpp"
#include "mamba2/linear/int4.hpp"
#include "mamba2/linear/int8.hpp"
#include "mamba2/linear/mixed.hpp"
#include "tests/io/quantized_model.hpp"
#include "tests/model_helpers.hpp"
#include "tests/reference/compare.hpp"
#include "tests/reference/random_weights.hpp"

using mamba2::Config;
using mamba2::DType;
using mamba2::Mixed;
using mamba2::StoredFormat;
using mamba2_tests::QuantizedModel;

namespace {

/// Rows that fill no band, columns that fill no chunk; a rotation of 64.
Config groups_config() {
  Config c;
  c.d_model = 96;
  c.n_layer = 2;
  c.vocab_size = 71;
  c.d_inner = c.d_ssm = 192;
  c.headdim = 32;
  c.d_state = 23;
  return c;
}

/// Where nothing fits but scales for rows.
Config odd_config() {
  Config c;
  c.d_model = 37;
  c.n_layer = 2;
  c.vocab_size = 71;
  c.d_inner = 111;
  c.d_ssm = 57;
  c.headdim = 19;
  c.d_state = 7;
  c.bias = true;
  c.tie_embeddings = false;
  return c;
}

/// For every group.
Config wide_config() {
  Config c = groups_config();
  c.d_model = 128;
  c.d_inner = c.d_ssm = 256;
  return c;
}

QuantizedModel quantized(const Config& config, DType blocks, std::size_t rotation) {
  return {config, reference::random_weights(config, 17),
          [=](std::string_view name, std::size_t cols) -> StoredFormat {
            if (!name.ends_with("_proj")) return {DType::INT8};
            const bool is_out = name.ends_with("out_proj");
            const bool is_whole = mamba2::kernels::hadamard_base(rotation) > 1;
            const std::size_t width =
                is_whole ? rotation : mamba2::kernels::hadamard_width(cols, rotation);
            return {blocks, is_out ? width : 1};
          }};
}

template <class WeightT>
mamba2::Weights weights_of(const QuantizedModel& model) {
  return model.open([](const auto& checkpoint) {
    return mamba2::load_weights(checkpoint.value(), mamba2::kPlan<WeightT>,
                                {.workers = {.threads = 1}})
        .value();
  });
}

bool same_bands(const mamba2::Matrix& a, const mamba2::Matrix& b) {
  REQUIRE(a.bytes() == b.bytes());
  return std::memcmp(a.bands, b.bands, a.bytes()) == 0;
}

/// Whether the policy takes the file's codes as they are: packed like the original, which it rounds
/// to nearest itself.
template <class WeightT>
void check_packed_alike(const Config& config, DType blocks) {
  const auto original = tests::with_checkpoint(
      config, reference::random_weights(config, 17), [](const auto& checkpoint) {
        return mamba2::load_weights(checkpoint.value(), mamba2::kPlan<WeightT>,
                                    {.workers = {.threads = 1}})
            .value();
      });
  const auto found = weights_of<WeightT>(quantized(config, blocks, 256));
  CHECK(same_bands(found.embedding, original.embedding));
  CHECK(same_bands(found.lm_head, original.lm_head));
  for (std::size_t i = 0; i < config.n_layer; ++i) {
    CHECK(found.layers[i].mamba2().out_proj.rotation ==
          original.layers[i].mamba2().out_proj.rotation);
    CHECK(same_bands(found.layers[i].mamba2().in_proj, original.layers[i].mamba2().in_proj));
    CHECK(same_bands(found.layers[i].mamba2().out_proj, original.layers[i].mamba2().out_proj));
  }
}

template <class WeightT>
std::vector<float> quantized_logits(const QuantizedModel& model, std::size_t threads = 1) {
  const mamba2::Workers workers = {.threads = threads};
  const auto loaded = model.open([&](const auto& checkpoint) {
    return mamba2::Mamba2Model<WeightT>::load(checkpoint.value(), {.workers = workers}).value();
  });
  auto session = loaded.session({.workers = workers}).value();
  const auto tokens = reference::Random(12).tokens(30, loaded.config().vocab_size);
  std::vector<float> logits = tests::all_logits(session, tokens);
  const auto more = session.decode(mamba2::Token{3}).value();
  logits.insert(logits.end(), more.begin(), more.end());
  return logits;
}

/// The largest difference between the rows of two matrices, as a share of the largest value.
double row_error(const mamba2::Matrix& a, const mamba2::Matrix& b) {
  std::vector<float> row_a(a.cols);
  std::vector<float> row_b(a.cols);
  double worst = 0.0;
  double largest = 0.0;
  for (std::size_t r = 0; r < a.rows; ++r) {
    a.row(r, row_a.data());
    b.row(r, row_b.data());
    for (std::size_t k = 0; k < a.cols; ++k) {
      worst = reference::worse(worst, std::abs(double{row_a[k]} - double{row_b[k]}));
      largest = std::max(largest, std::abs(double{row_a[k]}));
    }
  }
  return worst / largest;
}

/// The message for a model whose weights have one thing wrong.
template <class WeightT, class Change>
std::string refused_weights(Change change) {
  QuantizedModel model = quantized(wide_config(), DType::INT4_G64, 256);
  change(model);
  return model.open([](const auto& checkpoint) {
    const auto loaded = mamba2::load_weights(checkpoint.value(), mamba2::kPlan<WeightT>);
    REQUIRE(!loaded);
    CHECK(loaded.error().code == mamba2::ErrorCode::malformed);
    return loaded.error().message;
  });
}

template <class Value>
void set_element(QuantizedModel::Tensor& tensor, std::size_t index, Value value) {
  std::memcpy(&tensor.data[index * sizeof value], &value, sizeof value);
}

}  // namespace

TEST_CASE(
    "quantized checkpoints: codes and scales as they are, packed as the original's would be") {
  check_packed_alike<mamba2::Int8>(groups_config(), DType::INT8);
  check_packed_alike<mamba2::Int8>(odd_config(), DType::INT8);
  check_packed_alike<mamba2::Int4>(groups_config(), DType::INT4_G32);
  check_packed_alike<mamba2::Int4>(wide_config(), DType::INT4_G32);
  check_packed_alike<mamba2::Int4Groups<64>>(wide_config(), DType::INT4_G64);
  check_packed_alike<mamba2::Int4Groups<128>>(wide_config(), DType::INT4_G128);
}

TEST_CASE("quantized checkpoints: Mixed models are those of the policies, to the bit") {
  const QuantizedModel rows = quantized(odd_config(), DType::INT8, 256);
  CHECK(quantized_logits<Mixed>(rows) == quantized_logits<mamba2::Int8>(rows));
  const QuantizedModel even = quantized(groups_config(), DType::INT8, 256);
  CHECK(quantized_logits<Mixed>(even) == quantized_logits<mamba2::Int8>(even));
  const QuantizedModel groups = quantized(groups_config(), DType::INT4_G32, 256);
  CHECK(quantized_logits<Mixed>(groups) == quantized_logits<mamba2::Int4>(groups));
  CHECK(quantized_logits<Mixed>(groups, 3) == quantized_logits<Mixed>(groups));
  CHECK(weights_of<Mixed>(groups).layers[0].mamba2().out_proj.format ==
        &mamba2::kFormat<mamba2::Int4Groups<32>>);
  CHECK(weights_of<Mixed>(groups).layers[1].mamba2().out_proj.rotation == 64);
  CHECK(weights_of<Mixed>(quantized(groups_config(), DType::INT8, 1))
            .layers[1]
            .mamba2()
            .out_proj.rotation == 1);
}

TEST_CASE("quantized checkpoints: every other policy has their values, rotated as it rotates") {
  for (const std::size_t rotation : {std::size_t{1}, std::size_t{16}, std::size_t{256}}) {
    CAPTURE(rotation);
    const QuantizedModel model = quantized(wide_config(), DType::INT4_G128, rotation);
    const auto exact = weights_of<mamba2::Fp32>(model);
    const auto mixed = weights_of<Mixed>(model);
    const auto int8 = weights_of<mamba2::Int8>(model);
    CHECK(exact.layers[0].mamba2().out_proj.rotation == 1);
    CHECK(mixed.layers[0].mamba2().out_proj.rotation == rotation);
    CHECK(int8.layers[0].mamba2().out_proj.rotation == 256);
    CHECK(row_error(exact.embedding, mixed.embedding) == 0.0);
    CHECK(row_error(exact.layers[1].mamba2().in_proj, mixed.layers[1].mamba2().in_proj) == 0.0);
    CHECK(row_error(exact.layers[1].mamba2().in_proj, int8.layers[1].mamba2().in_proj) <
          0.5 / 127.0 + 1e-6);
    // Models that differ in the rounding of activations only, and of weights once more.
    const auto exact_logits = quantized_logits<mamba2::Fp32>(model);
    const std::vector<double> expected(exact_logits.begin(), exact_logits.end());
    const double size = reference::standard_deviation(expected);
    CHECK(reference::max_abs_difference(quantized_logits<Mixed>(model), expected) < 0.1 * size);
    CHECK(reference::max_abs_difference(quantized_logits<mamba2::Int8>(model), expected) <
          0.1 * size);
  }
}

TEST_CASE("quantized checkpoints: rows rotated over widths that are no power of two") {
  for (const std::size_t d_inner : {std::size_t{384}, std::size_t{640}}) {
    CAPTURE(d_inner);
    Config config = wide_config();
    config.d_inner = config.d_ssm = d_inner;
    const auto original = tests::load<mamba2::Fp32>(config, reference::random_weights(config, 17));
    auto session = original.session({.workers = {.threads = 1}}).value();
    const auto tokens = reference::Random(12).tokens(30, config.vocab_size);
    auto logits = tests::all_logits(session, tokens);
    const auto more = session.decode(mamba2::Token{3}).value();
    logits.insert(logits.end(), more.begin(), more.end());
    const std::vector<double> expected(logits.begin(), logits.end());
    const double size = reference::standard_deviation(expected);

    const QuantizedModel model = quantized(config, DType::INT8, d_inner);
    CHECK(weights_of<Mixed>(model).layers[0].mamba2().out_proj.rotation == d_inner);
    CHECK(reference::max_abs_difference(quantized_logits<mamba2::Fp32>(model), expected) <
          0.1 * size);
    CHECK(reference::max_abs_difference(quantized_logits<Mixed>(model), expected) < 0.1 * size);
    CHECK(quantized_logits<Mixed>(model, 3) == quantized_logits<Mixed>(model));
  }
}

TEST_CASE("quantized checkpoints: matrices of all kinds in one, the memory foretold") {
  const Config config = wide_config();
  const QuantizedModel model(config, reference::random_weights(config, 17),
                             [](std::string_view name, std::size_t) -> StoredFormat {
                               if (name == "embedding") return {DType::INT8};
                               if (name == "layers.0.mixer.in_proj") return {};
                               if (name == "layers.0.mixer.out_proj") return {DType::INT4_G32, 128};
                               if (name == "layers.1.mixer.in_proj") return {DType::INT4_G128};
                               return {DType::INT8};
                             });
  using Model = mamba2::Mamba2Model<Mixed>;
  model.open([](const auto& checkpoint) {
    CHECK(Model::memory_required(*checkpoint).weights ==
          Model::load(*checkpoint).value().weight_bytes());
  });
  const auto weights = weights_of<Mixed>(model);
  CHECK(weights.layers[0].mamba2().in_proj.format == &mamba2::kFormat<mamba2::Fp32>);
  CHECK(weights.layers[0].mamba2().out_proj.rotation == 128);
  CHECK(weights.layers[1].mamba2().in_proj.format == &mamba2::kFormat<mamba2::Int4Groups<128>>);
  CHECK(weights.layers[1].mamba2().out_proj.rotation == 1);
  const auto exact_logits = quantized_logits<mamba2::Fp32>(model);
  const std::vector<double> expected(exact_logits.begin(), exact_logits.end());
  const auto found = quantized_logits<Mixed>(model);
  CHECK(reference::max_abs_difference(found, expected) <
        0.1 * reference::standard_deviation(expected));
}

TEST_CASE("quantized checkpoints: a file of version 1 is the model that it was made of") {
  const std::string golden = MAMBA2_SOURCE_DIR "/tests/golden/";
  const auto checkpoint = mamba2::Checkpoint::open(golden + "quantized").value();
  const auto original = mamba2::Checkpoint::open(golden + "transformers/plain").value();
  CHECK(checkpoint.tensor("layers.1.mixer.in_proj.weight").dtype == DType::INT4_G32);
  CHECK(checkpoint.tensor("layers.1.mixer.out_proj.weight").rotation == 64);
  const auto found = mamba2::load_weights(checkpoint, mamba2::kPlan<mamba2::Fp32>).value();
  const auto expected = mamba2::load_weights(original, mamba2::kPlan<mamba2::Fp32>).value();
  CHECK(row_error(expected.embedding, found.embedding) < 0.5 / 127.0 + 1e-6);
  for (std::size_t i = 0; i < 2; ++i) {
    // Half a step, of which there are eight to the largest weight of a group, or what the search
    // has cut off that one; rotated, several of such errors.
    CHECK(row_error(expected.layers[i].mamba2().in_proj, found.layers[i].mamba2().in_proj) < 0.12);
    CHECK(row_error(expected.layers[i].mamba2().out_proj, found.layers[i].mamba2().out_proj) < 0.2);
  }
}

TEST_CASE_TEMPLATE("quantized checkpoints: bad codes and scales are refused", WeightT, mamba2::Fp32,
                   mamba2::Int8, mamba2::Int4Groups<64>, Mixed) {
  CHECK(refused_weights<WeightT>([](QuantizedModel& model) {
          set_element(model["embedding.weight"], 33 * 128 + 5, std::int8_t{-128});
        }) ==
        "shard 1 of 1: tensor embedding.weight: element 4229 must be in -127..127, found "
        "-128");
  const std::string scale =
      "element 33 must be a finite value, and its products with codes, found ";
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), 1e37F, -std::numeric_limits<float>::infinity()}) {
    CHECK(refused_weights<WeightT>([bad](QuantizedModel& model) {
            set_element(model["embedding.weight_scale"], 33, bad);
          }) ==
          mamba2::detail::concat("shard 1 of 1: tensor embedding.weight_scale: ", scale, bad));
  }
  CHECK(refused_weights<WeightT>([](QuantizedModel& model) {
          set_element(model["layers.1.mixer.out_proj.weight_scale"], 33, std::uint16_t{0xFC00});
        }) == "shard 1 of 1: tensor layers.1.mixer.out_proj.weight_scale: " + scale + "-inf");
}
