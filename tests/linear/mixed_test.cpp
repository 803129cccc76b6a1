// SPDX-License-Identifier: Apache-2.0
// Models whose matrices keep the types of their files.
#include "mamba2/linear/mixed.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "mamba2/core/half.hpp"
#include "mamba2/linear/ternary.hpp"
#include "tests/constants.hpp"
#include "tests/io/gguf_model.hpp"
#include "tests/linear/random_blocks.hpp"
#include "tests/model_helpers.hpp"
#include "tests/reference/compare.hpp"
#include "tests/reference/random_weights.hpp"

using mamba2::Checkpoint;
using mamba2::Config;
using mamba2::DType;
using mamba2::Mixed;
using mamba2::Token;
using mamba2_tests::GgufModel;
using reference::max_abs_difference;
using reference::standard_deviation;
using tests::StoredMatrix;

namespace {

/// Rows of whole super-blocks, tasks of several panels, two groups of heads.
Config mixed_config() {
  Config c;
  c.d_model = 256;
  c.n_layer = 2;
  c.vocab_size = 70;
  c.d_inner = c.d_ssm = 512;
  c.headdim = 32;
  c.d_state = 20;
  c.ngroups = 2;
  c.tie_embeddings = false;
  return c;
}

/// A matrix in a type of GGUF, its values with a deviation that keeps the size of an input.
StoredMatrix stored_matrix(DType type, std::size_t rows, std::size_t cols, std::uint64_t seed) {
  const double wanted = 1.0 / std::sqrt(static_cast<double>(cols));
  if (mamba2::is_quantized(type)) {
    const StoredMatrix probe = tests::random_blocks(type, rows, cols, seed);
    double squares = 0.0;
    for (const float value : probe.values) squares += std::pow(static_cast<double>(value), 2.0);
    const double found = std::sqrt(squares / static_cast<double>(probe.values.size()));
    return tests::random_blocks(type, rows, cols, seed, 0.01 * wanted / found);
  }
  StoredMatrix m{tests::normals(rows * cols, seed, wanted), type, {}};
  const std::size_t size = mamba2::dtype_size(type);
  m.data.resize(m.values.size() * size);
  for (std::size_t i = 0; i < m.values.size(); ++i) {
    const std::uint16_t bits = type == DType::F16 ? mamba2::float_to_fp16(m.values[i])
                                                  : mamba2::float_to_bf16(m.values[i]);
    if (type == DType::F32) {
      std::memcpy(&m.data[i * size], &m.values[i], size);
    } else {
      std::memcpy(&m.data[i * size], &bits, size);
      m.values[i] = type == DType::F16 ? mamba2::fp16_to_float(bits) : mamba2::bf16_to_float(bits);
    }
  }
  return m;
}

/// A model in GGUF with matrices of these types, and the oracle's weights of the same values.
struct StoredModel {
  Config config = mixed_config();
  reference::Weights weights = reference::random_weights(config, 31);
  std::vector<std::byte> file;

  StoredModel(DType blocks, DType embedding, DType head) {
    std::vector<GgufModel::Tensor> changed;
    const auto put = [&](const std::string& name, std::vector<double>& values, DType type,
                         std::size_t rows, std::size_t cols) {
      StoredMatrix m = stored_matrix(type, rows, cols, 40 + changed.size());
      values.assign(m.values.begin(), m.values.end());
      changed.push_back({name, {rows, cols}, m.values, type, m.data});
    };
    const Config& c = config;
    put("token_embd.weight", weights.embedding, embedding, c.vocab_size, c.d_model);
    put("output.weight", weights.lm_head, head, c.vocab_size, c.d_model);
    for (std::size_t i = 0; i < c.n_layer; ++i) {
      const std::string layer = "blk." + std::to_string(i) + ".";
      put(layer + "ssm_in.weight", weights.blocks[i].in_proj, blocks, c.d_in_proj(), c.d_model);
      put(layer + "ssm_out.weight", weights.blocks[i].out_proj, blocks, c.d_model, c.d_inner);
    }
    GgufModel model = tests::with_checkpoint(
        config, weights, [](const auto& checkpoint) { return GgufModel(checkpoint.value()); });
    for (GgufModel::Tensor& tensor : changed) model[tensor.name] = tensor;
    file = model.bytes();
  }
  explicit StoredModel(DType type) : StoredModel(type, type, type) {}

  [[nodiscard]] Checkpoint checkpoint() const { return Checkpoint::from_gguf(file).value(); }
};

template <class WeightT>
std::vector<float> logits_of(const Checkpoint& checkpoint, std::size_t threads = 1) {
  const mamba2::Workers workers = {.threads = threads};
  const auto model = mamba2::Mamba2Model<WeightT>::load(checkpoint, {.workers = workers}).value();
  auto session = model.session({.workers = workers}).value();
  const auto tokens = reference::Random(12).tokens(40, checkpoint.config().vocab_size);
  std::vector<float> logits = tests::all_logits(session, tokens);
  for (const Token token : {Token{1}, Token{2}, Token{3}}) {
    const auto more = session.decode(token).value();
    logits.insert(logits.end(), more.begin(), more.end());
  }
  return logits;
}

/// The largest difference of a matrix from values, as a share of the largest of them.
double error_of(const mamba2::Matrix& m, const std::vector<double>& values) {
  std::vector<float> row(m.cols);
  double worst = 0.0;
  for (std::size_t r = 0; r < m.rows; ++r) {
    m.row(r, row.data());
    for (std::size_t k = 0; k < m.cols; ++k) {
      worst =
          reference::worse(worst, std::abs(static_cast<double>(row[k]) - values[r * m.cols + k]));
    }
  }
  return worst / reference::max_abs(values);
}

/// Whether a type has minima and no format of its own, so that none holds its values.
bool is_rounded(DType type) { return type == DType::Q2_K; }

std::vector<DType> all_types() {
  std::vector<DType> types = {DType::F32, DType::F16, DType::BF16};
  types.insert(types.end(), std::begin(tests::kQuantizedTypes), std::end(tests::kQuantizedTypes));
  return types;
}

}  // namespace

TEST_CASE("Mixed says what it makes of each type") {
  const auto format = [](DType type) { return Mixed::format_for(type).name; };
  CHECK(format(DType::F64) == "fp32");
  CHECK(format(DType::F16) == "fp16");
  CHECK(format(DType::BF16) == "bf16");
  for (const DType type : {DType::Q8_0, DType::Q2_K, DType::MXFP4, DType::NVFP4}) {
    CHECK(format(type) == "q8_0");
  }
  CHECK(format(DType::Q4_1) == "q4_1");
  CHECK(format(DType::Q5_0) == "q5_0");
  CHECK(format(DType::Q5_1) == "q5_1");
  CHECK(format(DType::IQ4_NL) == "iq4_nl");
  CHECK(format(DType::IQ4_XS) == "iq4_xs");
  CHECK(format(DType::Q5_K) == "q5_k");
  CHECK(format(DType::Q4_0) == "q4_0");
  for (const DType type : {DType::Q1_0, DType::Q2_0, DType::TQ1_0, DType::TQ2_0}) {
    CHECK(format(type) == "q2_0");
  }
  CHECK(format(DType::Q4_K) == "q4_k");
  for (const DType type : {DType::Q6_K, DType::Q3_K}) CHECK(format(type) == "q6_k");
}

TEST_CASE("Mixed models keep the weights of their files, and agree with the oracle") {
  for (const DType type : all_types()) {
    const std::string name(mamba2::dtype_name(type));
    CAPTURE(name);
    const StoredModel model(type);
    const Checkpoint checkpoint = model.checkpoint();
    const auto weights =
        mamba2::load_weights(checkpoint, mamba2::kPlan<Mixed>, {.workers = {.threads = 1}}).value();
    // Rounded ones: half a step of 127 to the largest of a group.
    const double bound = is_rounded(type) ? 0.5 / 127.0 + 0x1p-10 : 0.0;
    CHECK(error_of(weights.embedding, model.weights.embedding) <= bound);
    CHECK(error_of(weights.lm_head, model.weights.lm_head) <= bound);
    for (std::size_t i = 0; i < model.config.n_layer; ++i) {
      CHECK(error_of(weights.layers[i].mamba2().in_proj, model.weights.blocks[i].in_proj) <= bound);
      CHECK(error_of(weights.layers[i].mamba2().out_proj, model.weights.blocks[i].out_proj) <=
            bound);
    }

    const auto tokens = reference::Random(12).tokens(40, model.config.vocab_size);
    const auto expected = reference::forward(model.config, model.weights, tokens);
    std::vector<float> found = logits_of<Mixed>(checkpoint);
    found.resize(expected.size());
    const double difference = max_abs_difference(found, expected) / standard_deviation(expected);
    MESSAGE(name, ": ", difference, " standard deviations of the logits");
    // F32 and F16 take the activations as they are, BF16 rounds them where the CPU multiplies BF16;
    // the others quantize them to 8 bits, and blocks of random scales make the most of that.
    CHECK(difference < (type == DType::F32 || type == DType::F16 ? 2e-4 : 1.5e-1));
  }
}

TEST_CASE("Mixed models of F32, F16 and BF16 are those of the policies, to the bit") {
  CHECK(logits_of<Mixed>(StoredModel(DType::F32).checkpoint()) ==
        logits_of<mamba2::Fp32>(StoredModel(DType::F32).checkpoint()));
  CHECK(logits_of<Mixed>(StoredModel(DType::F16).checkpoint()) ==
        logits_of<mamba2::Fp16>(StoredModel(DType::F16).checkpoint()));
  CHECK(logits_of<Mixed>(StoredModel(DType::BF16).checkpoint()) ==
        logits_of<mamba2::Bf16>(StoredModel(DType::BF16).checkpoint()));
  const auto safetensors =
      Checkpoint::open(MAMBA2_SOURCE_DIR "/tests/golden/transformers/bfloat16").value();
  CHECK(mamba2::Mamba2Model<Mixed>::load(safetensors).value().weight_bytes() ==
        mamba2::Mamba2Model<mamba2::Bf16>::load(safetensors).value().weight_bytes());
  CHECK(logits_of<Mixed>(safetensors) == logits_of<mamba2::Bf16>(safetensors));
}

TEST_CASE("Ternary models are Mixed ones whose matrices all have 2 bits or less") {
  for (const DType type : {DType::TQ1_0, DType::TQ2_0, DType::Q1_0, DType::Q2_0}) {
    CAPTURE(mamba2::dtype_name(type));
    const StoredModel model(type, DType::Q6_K, type);
    CHECK(logits_of<mamba2::Ternary>(model.checkpoint()) == logits_of<Mixed>(model.checkpoint()));
  }
  const StoredModel head(DType::Q2_0, DType::Q6_K, DType::Q6_K);
  const auto refused = mamba2::Mamba2Model<mamba2::Ternary>::load(head.checkpoint());
  REQUIRE(!refused);
  CHECK(refused.error().code == mamba2::ErrorCode::unsupported);
  CHECK(
      refused.error().message.ends_with("tensor lm_head.weight: is stored as Q6_K, which ternary "
                                        "weights cannot hold; mixed ones can"));
  CHECK(!mamba2::Mamba2Model<mamba2::Ternary>::load(StoredModel(DType::F32).checkpoint()));
}

TEST_CASE("Ternary models of a shape have 2 bits a weight, and an embedding of FP32") {
  const auto weights = mamba2::Weights::planned(mixed_config(), mamba2::kPlan<mamba2::Ternary>);
  CHECK(weights.embedding.format == &mamba2::kFormat<mamba2::Fp32>);
  CHECK(weights.lm_head.format == &mamba2::kFormat<mamba2::TernaryRows>);
  CHECK(weights.layers[0].mamba2().in_proj.format == &mamba2::kFormat<mamba2::TernaryRows>);
}

TEST_CASE("Mixed models have a format for each matrix, the same bits with any number of threads") {
  const StoredModel model(DType::Q4_0, DType::F16, DType::Q6_K);
  const Checkpoint checkpoint = model.checkpoint();
  const auto weights = mamba2::load_weights(checkpoint, mamba2::kPlan<Mixed>).value();
  CHECK(weights.embedding.format == &mamba2::kFormat<mamba2::Fp16>);
  CHECK(weights.lm_head.format == &mamba2::kFormat<mamba2::Q6_K>);
  CHECK(weights.layers[1].mamba2().out_proj.format == &mamba2::kFormat<mamba2::Q4_0>);
  for (const auto& stored : {StoredModel(DType::Q4_0, DType::F16, DType::Q6_K),
                             StoredModel(DType::Q4_K, DType::Q8_0, DType::BF16),
                             StoredModel(DType::Q5_0, DType::Q5_1, DType::IQ4_NL),
                             StoredModel(DType::Q5_K, DType::IQ4_NL, DType::Q4_1)}) {
    const Checkpoint mixed = stored.checkpoint();
    const auto expected = logits_of<Mixed>(mixed);
    for (const std::size_t threads : tests::all_or_last({2, 7, 3})) {
      CAPTURE(threads);
      CHECK(logits_of<Mixed>(mixed, threads) == expected);
    }
  }
}

TEST_CASE("Mixed models take the memory that was foretold of their checkpoint") {
  const StoredModel stored_small(DType::Q4_K);
  const Checkpoint small = stored_small.checkpoint();
  using Model = mamba2::Mamba2Model<Mixed>;
  CHECK(Model::memory_required(small).weights == Model::load(small).value().weight_bytes());
  CHECK(Model::memory_required(small).weights < Model::memory_required(mixed_config()).weights / 4);
  const StoredModel stored_plain(DType::F32);
  const Checkpoint plain = stored_plain.checkpoint();
  CHECK(Model::memory_required(plain).weights == Model::memory_required(mixed_config()).weights);
}

TEST_CASE("Mixed models refuse blocks that are not finite, with their place") {
  for (const DType type : tests::kQuantizedTypes) {
    CAPTURE(mamba2::dtype_name(type));
    const StoredModel model(type);
    const Checkpoint good = model.checkpoint();
    const auto& tensor = good.tensor("layers.1.mixer.in_proj.weight");
    const std::size_t size = mamba2::dtype_size(type);
    constexpr std::size_t kBlock = 5;
    std::vector<std::byte> file = model.file;
    const auto at = static_cast<std::size_t>(tensor.data.data() - model.file.data()) +
                    kBlock * size + tests::halves_of(type).front();
    file[at] = std::byte{0x01};
    file[at + 1] = std::byte{0x7E};  // NaN
    const auto loaded =
        mamba2::Mamba2Model<Mixed>::load(Checkpoint::from_gguf(file, "model.gguf").value());
    REQUIRE(!loaded);
    CHECK(loaded.error().code == mamba2::ErrorCode::malformed);
    CHECK(loaded.error().message == "model.gguf: tensor layers.1.mixer.in_proj.weight: element " +
                                        std::to_string(kBlock * mamba2::dtype_block(type)) +
                                        " must be a finite value, found nan");
  }
}
