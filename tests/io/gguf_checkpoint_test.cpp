// SPDX-License-Identifier: Apache-2.0
// Mamba-2 models in GGUF: complete, in all their forms, or refused.
#include "mamba2/io/gguf_checkpoint.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <limits>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/io/checkpoint.hpp"
#include "mamba2/tokenizer/tokenizer.hpp"
#include "tests/constants.hpp"
#include "tests/io/gguf_model.hpp"
#include "tests/io/temp_dir.hpp"
#include "tests/io/toy_checkpoint.hpp"
#include "tests/model_helpers.hpp"

using mamba2::Checkpoint;
using mamba2::Config;
using mamba2::ErrorCode;
using mamba2::Result;
using mamba2::TensorView;
using mamba2_tests::GgufModel;
using mamba2_tests::TempDir;
using mamba2_tests::ToyCheckpoint;

namespace {

using Bytes = std::vector<std::byte>;
using Shape = std::vector<std::size_t>;

/// The toy model of the tests for safetensors, with all bytes of its file.
struct Toy {
  explicit Toy(bool tied = true)
      : toy(ToyCheckpoint::small(tied ? "\"tie_word_embeddings\": true"
                                      : "\"tie_word_embeddings\": false")),
        bytes(toy.bytes()) {}
  [[nodiscard]] Checkpoint checkpoint() const {
    const std::span<const std::byte> shard = bytes;
    return Checkpoint::from_bytes(toy.config, {&shard, 1}).value();
  }
  [[nodiscard]] GgufModel gguf() const { return GgufModel(checkpoint()); }

  ToyCheckpoint toy;
  Bytes bytes;
};

void check_error(const Result<Checkpoint>& checkpoint, ErrorCode code,
                 std::initializer_list<std::string_view> parts) {
  REQUIRE(!checkpoint);
  const std::string& message = checkpoint.error().message;
  CAPTURE(message);
  CHECK(checkpoint.error().code == code);
  CHECK(message.find('\n') == std::string::npos);
  for (const std::string_view part : parts) {
    CAPTURE(part);
    CHECK(message.find(part) != std::string::npos);
  }
}
void check_gguf_refused(const GgufModel& model, ErrorCode code,
                        std::initializer_list<std::string_view> parts) {
  const Bytes bytes = model.bytes();
  check_error(Checkpoint::from_gguf(bytes, "f.gguf"), code, parts);
}

std::vector<float> values_of(const TensorView& tensor) {
  std::vector<float> values(tensor.elements());
  mamba2::read_floats(tensor, 0, values);
  return values;
}

}  // namespace

TEST_CASE("gguf checkpoint: the same config and tensors as from safetensors, A for A_log") {
  for (const bool tied : {true, false}) {
    const Toy toy(tied);
    const Checkpoint expected = toy.checkpoint();
    const Bytes bytes = toy.gguf().bytes();
    const Checkpoint found = Checkpoint::from_gguf(bytes).value();
    CHECK(found.file_bytes() == bytes.size());
    const Config& c = found.config();
    CHECK(c.d_model == 6);
    CHECK(c.n_layer == 2);
    CHECK(c.vocab_size == 11);
    CHECK(c.d_inner == 12);
    CHECK(c.d_ssm == 12);
    CHECK(c.headdim == 3);
    CHECK(c.d_state == 5);
    CHECK(c.ngroups == 2);
    CHECK(c.d_conv == 3);
    CHECK(c.norm_eps == 1e-5F);
    CHECK(c.dt_min == 0.0F);
    CHECK(c.dt_max == std::numeric_limits<float>::infinity());
    CHECK((!c.bias && c.conv_bias && !c.D_has_hdim && c.rmsnorm && !c.norm_before_gate));
    CHECK(c.tie_embeddings == tied);
    CHECK(c.eos_token_ids == std::vector<mamba2::Token>{0});
    REQUIRE(found.tensors().size() == expected.tensors().size());
    for (std::size_t t = 0; t < found.tensors().size(); ++t) {
      const TensorView& tensor = found.tensors()[t];
      std::string name = expected.tensors()[t].name;
      std::vector<float> values = values_of(expected.tensors()[t]);
      if (name.ends_with("A_log")) {
        name.resize(name.size() - 4);
        for (float& value : values) value = -std::exp(value);
      }
      CAPTURE(name);
      CHECK(tensor.name == name);
      CHECK(values_of(tensor) == values);
    }
    CHECK(found.find("layers.0.mixer.A_log") == nullptr);
  }
}

TEST_CASE("gguf checkpoint: shapes of older files") {
  GgufModel model = Toy().gguf();
  for (const Shape& heads : {Shape{4}, Shape{1, 4}, Shape{4, 1}, Shape{4, 1, 1}}) {
    model["blk.1.ssm_a"].shape = heads;
    model["blk.0.ssm_d"].shape = heads;
    CHECK(Checkpoint::from_gguf(model.bytes()));
  }
  for (const Shape& norm : {Shape{12}, Shape{2, 6}}) {
    model["blk.0.ssm_norm.weight"].shape = norm;
    CHECK(Checkpoint::from_gguf(model.bytes()));
  }
  model["blk.0.ssm_conv1d.weight"].shape = {32, 1, 3};
  CHECK(Checkpoint::from_gguf(model.bytes()));
  model["blk.0.ssm_norm.weight"] = {"blk.0.ssm_norm.weight", {11}, std::vector<float>(11)};
  check_gguf_refused(model, ErrorCode::mismatch,
                     {"layers.0.mixer.norm.weight", "(12)", "found (11)"});
}

TEST_CASE("gguf checkpoint: keys") {
  const GgufModel model = Toy().gguf();
  for (const std::string key :
       {"mamba2.embedding_length", "mamba2.block_count", "mamba2.ssm.conv_kernel",
        "mamba2.ssm.inner_size", "mamba2.ssm.state_size", "mamba2.ssm.time_step_rank",
        "mamba2.ssm.group_count", "mamba2.attention.layer_norm_rms_epsilon"}) {
    GgufModel wrong = model;
    wrong.keys.erase(key);
    check_gguf_refused(wrong, ErrorCode::malformed, {"f.gguf: " + key + " must be", "no such key"});
    wrong.keys[key] = "text";
    check_gguf_refused(wrong, ErrorCode::malformed, {key, "found \"text\""});
    if (key.ends_with("epsilon")) continue;
    wrong.keys[key] = std::uint32_t{0};
    check_gguf_refused(wrong, ErrorCode::malformed, {key, "at least 1, found 0"});
    wrong.keys[key] = 2.0F;
    check_gguf_refused(wrong, ErrorCode::malformed, {key, "an integer in 0..2147483647, found 2"});
    const std::vector<std::pair<GgufModel::Value, std::string>> values = {
        {std::uint32_t{4000000000}, "4000000000"},
        {std::int32_t{-1}, "-1"},
        {~std::uint64_t{0}, "18446744073709551615"},
        {tests::kNan, "nan"},
        {tests::kInfinity, "inf"},
        {1e300, "1e+300"}};
    for (const auto& [value, found] : values) {
      wrong.keys[key] = value;
      check_gguf_refused(wrong, ErrorCode::malformed,
                         {key, "an integer in 0..2147483647, found " + found});
    }
  }
  GgufModel wrong = model;
  wrong.keys["mamba2.ssm.time_step_rank"] = std::uint32_t{5};
  check_gguf_refused(wrong, ErrorCode::malformed,
                     {"a divisor of mamba2.ssm.inner_size 12, found 5"});
  wrong = model;
  wrong.keys["mamba2.ssm.group_count"] = std::uint32_t{3};
  check_gguf_refused(wrong, ErrorCode::invalid_argument, {"f.gguf: ngroups must be a divisor"});
  wrong = model;
  wrong.keys["mamba2.ssm.state_size"] = std::uint32_t{6};
  check_gguf_refused(wrong, ErrorCode::mismatch,
                     {"f.gguf: tensor \"layers.0.mixer.in_proj.weight\""});
}

TEST_CASE("gguf checkpoint: epsilon is a number in [0, 1)") {
  const std::string key = "mamba2.attention.layer_norm_rms_epsilon";
  GgufModel model = Toy().gguf();
  for (const GgufModel::Value& value :
       std::vector<GgufModel::Value>{tests::kNan, -tests::kNan, tests::kInfinity, -tests::kInfinity,
                                     -1e-5F, 1.0F, 1e300, std::int32_t{-1}}) {
    model.keys[key] = value;
    check_gguf_refused(model, ErrorCode::invalid_argument, {"f.gguf: norm_eps must be in [0, 1)"});
  }
  model.keys[key] = 1e-6;
  CHECK(Checkpoint::from_gguf(model.bytes()).value().config().norm_eps == 1e-6F);
}

TEST_CASE("gguf checkpoint: other models, and parts of models") {
  const GgufModel model = Toy().gguf();
  for (const std::string other : {"mamba", "llama", "jamba", ""}) {
    GgufModel wrong = model;
    wrong.keys["general.architecture"] = other;
    check_gguf_refused(wrong, ErrorCode::unsupported,
                       {"general.architecture must be \"mamba2\", found \"" + other + "\""});
  }
  GgufModel wrong = model;
  wrong.keys.erase("general.architecture");
  check_gguf_refused(wrong, ErrorCode::unsupported, {"general.architecture", "no such key"});
  for (const std::string key : {"mamba2.feed_forward_length", "mamba2.attention.head_count"}) {
    wrong = model;
    wrong.keys[key] = std::uint32_t{32};
    check_gguf_refused(wrong, ErrorCode::unsupported, {key, "must be 0, found 32"});
    wrong.keys.erase(key);
    CHECK(Checkpoint::from_gguf(wrong.bytes()));
  }
  wrong = model;
  wrong.keys["split.count"] = std::uint32_t{1};
  CHECK(Checkpoint::from_gguf(wrong.bytes()));
  wrong.keys["split.count"] = std::uint32_t{3};
  check_gguf_refused(wrong, ErrorCode::unsupported, {"split.count", "gguf-split", "found 3"});
}

TEST_CASE("gguf checkpoint: tokens that end a text") {
  GgufModel model = Toy().gguf();
  model.keys.erase("tokenizer.ggml.eos_token_id");
  CHECK(Checkpoint::from_gguf(model.bytes()).value().config().eos_token_ids.empty());
  model.keys["tokenizer.ggml.eos_token_id"] = std::uint32_t{3};
  model.keys["tokenizer.ggml.eot_token_id"] = std::uint32_t{10};
  CHECK(Checkpoint::from_gguf(model.bytes()).value().config().eos_token_ids ==
        std::vector<mamba2::Token>{3, 10});
  model.keys["tokenizer.ggml.eom_token_id"] = std::uint32_t{0};
  CHECK(Checkpoint::from_gguf(model.bytes()).value().config().eos_token_ids ==
        std::vector<mamba2::Token>{3, 10, 0});
  model.keys["tokenizer.ggml.eom_token_id"] = std::uint32_t{3};
  CHECK(Checkpoint::from_gguf(model.bytes()).value().config().eos_token_ids ==
        std::vector<mamba2::Token>{3, 10});
}

TEST_CASE("gguf checkpoint: what ends no text is passed over, with a note") {
  GgufModel model = Toy().gguf();
  const std::string key = "tokenizer.ggml.eos_token_id";
  const std::string expected = "f.gguf: " + key + " must be a token in 0..10, found ";
  model.keys["tokenizer.ggml.eot_token_id"] = std::uint32_t{10};
  const auto check = [&](const auto& value, const std::string& found) {
    model.keys[key] = value;
    const Bytes bytes = model.bytes();
    const Checkpoint checkpoint = Checkpoint::from_gguf(bytes, "f.gguf").value();
    CHECK(checkpoint.config().eos_token_ids == std::vector<mamba2::Token>{10});
    REQUIRE(checkpoint.notes().size() == 1);
    CHECK(checkpoint.notes()[0] == expected + found + ": passed over");
    const auto loaded = mamba2::Mamba2Model<mamba2::Fp32>::load(checkpoint).value();
    CHECK(std::vector(loaded.notes().begin(), loaded.notes().end()) ==
          std::vector(checkpoint.notes().begin(), checkpoint.notes().end()));
  };
  check(std::uint32_t{11}, "11");
  check(std::uint32_t{4294967295}, "4294967295");
  check(1.0F, "1");
  check(std::string("<|end|>"), "\"<|end|>\"");
}

TEST_CASE("gguf checkpoint: a head that is stored is the head") {
  GgufModel model = Toy(false).gguf();
  Bytes bytes = model.bytes();
  const Checkpoint own = Checkpoint::from_gguf(bytes).value();
  CHECK(!own.config().tie_embeddings);
  CHECK(values_of(own.tensor("lm_head.weight")) != values_of(own.tensor("embedding.weight")));
  CHECK(own.notes().empty());
  model.erase("output.weight");
  bytes = model.bytes();
  CHECK(Checkpoint::from_gguf(bytes).value().config().tie_embeddings);
}

TEST_CASE("gguf checkpoint: each tensor is needed, and no other") {
  const GgufModel model = Toy().gguf();
  for (const auto& tensor : model.tensors) {
    CAPTURE(tensor.name);
    GgufModel wrong = model;
    wrong.erase(tensor.name);
    check_gguf_refused(wrong, ErrorCode::mismatch,
                       {"f.gguf: tensor ", "must be there", "found none"});
    wrong = model;
    wrong[tensor.name].shape[0] += 1;
    wrong[tensor.name].values.resize(1000);
    CHECK(!Checkpoint::from_gguf(wrong.bytes()));
    wrong = model;
    wrong[tensor.name].name += "x";
    CHECK(!Checkpoint::from_gguf(wrong.bytes()));
  }
  for (const std::string name :
       {"blk.0.ssm_in.bias", "blk.0.ffn_up.weight", "x", "blk.", "blk.0", "rope_freqs.weight",
        "layers.0.norm.weight", "blk.0.ssm_a.weight"}) {
    GgufModel wrong = model;
    wrong[name];
    check_gguf_refused(wrong, ErrorCode::unsupported,
                       {"tensors of the model only, found \"" + name});
  }
  for (const std::string name : {"blk.2.ssm_a", "blk.00.ssm_a", "blk..ssm_a", "blk.x.ssm_a"}) {
    GgufModel wrong = model;
    wrong[name];
    check_gguf_refused(wrong, ErrorCode::unsupported,
                       {"tensors of the model only, found \"" + name});
  }
  GgufModel no_rows = model;
  no_rows["token_embd.weight"].shape = {66};
  check_gguf_refused(no_rows, ErrorCode::mismatch,
                     {"\"token_embd.weight\"", "two dimensions", "(66)"});
}

TEST_CASE("gguf checkpoint: files") {
  const TempDir dir;
  const Bytes bytes = Toy().gguf().bytes();
  for (const char* name : {"model.gguf", "model", "blob.bin"}) {
    const auto path = dir.write(name, bytes);
    const auto checkpoint = Checkpoint::open(path);
    REQUIRE(checkpoint);
    CHECK(checkpoint->file_bytes() == bytes.size());
    CHECK(checkpoint->tensors()[0].file == path.native());
    CHECK(mamba2::Mamba2Model<mamba2::Fp32>::load(path));
  }
  check_error(Checkpoint::open(dir.path()), ErrorCode::io,
              {"model.gguf, which must be given by its own path"});
  check_error(Checkpoint::open(dir.write("text.gguf", "{}")), ErrorCode::unsupported,
              {"text.gguf: expected a folder with config.json and *.safetensors, one of these "
               "files, a GGUF file, a model.bin of BitMamba-2 or a packed file"});
  check_error(Checkpoint::open(dir.write("cut.gguf", std::span(bytes).first(bytes.size() / 2))),
              ErrorCode::malformed, {"cut.gguf: "});
}

TEST_CASE("gguf checkpoint: A is finite and not positive") {
  for (const float wrong :
       {1e-9F, std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    GgufModel model = Toy().gguf();
    model["blk.1.ssm_a"].values[2] = wrong;
    const Bytes bytes = model.bytes();
    const auto loaded =
        mamba2::Mamba2Model<mamba2::Fp32>::load(Checkpoint::from_gguf(bytes, "f.gguf").value());
    REQUIRE(!loaded);
    CHECK(loaded.error().code == ErrorCode::malformed);
    CHECK(loaded.error().message.starts_with("f.gguf: tensor layers.1.mixer.A: element 2 must be"));
  }
}

TEST_CASE("gguf checkpoint: every truncation is an error, no flipped bit a crash") {
  const Bytes bytes = Toy().gguf().bytes();
  for (std::size_t n = 0; n + 32 < bytes.size(); ++n) {
    CHECK(!Checkpoint::from_gguf(std::span(bytes).first(n)));
  }
  for (std::size_t byte = 0; byte < bytes.size(); ++byte) {
    Bytes flipped = bytes;
    flipped[byte] ^= std::byte{1} << byte % 8;
    (void)Checkpoint::from_gguf(flipped);
  }
}

TEST_CASE("gguf checkpoint: the bundled model has the same logits, bit by bit") {
  const Checkpoint original =
      Checkpoint::open(MAMBA2_SOURCE_DIR "/examples/models/llama-tales-14m").value();
  const Bytes bytes = GgufModel(original).bytes();
  const Checkpoint gguf = Checkpoint::from_gguf(bytes).value();
  std::vector<mamba2::Token> tokens(40);
  std::iota(tokens.begin(), tokens.end(), 300);
  const auto logits_of = [&](const Checkpoint& checkpoint) {
    auto model = mamba2::Mamba2Model<mamba2::Fp32>::load(checkpoint).value();
    auto session = model.session().value();
    return tests::all_logits(session, tokens);
  };
  CHECK(logits_of(gguf) == logits_of(original));
}

TEST_CASE("gguf checkpoint: a file that the gguf package wrote") {
  const std::string path = MAMBA2_SOURCE_DIR "/tests/golden/gguf/toy.gguf";
  const auto checkpoint = Checkpoint::open(path);
  REQUIRE(checkpoint);
  CHECK(checkpoint->config().vocab_size == 520);
  CHECK(checkpoint->config().nheads() == 4);
  CHECK(checkpoint->tensor("embedding.weight").dtype == mamba2::DType::Q8_0);
  CHECK(checkpoint->tensor("layers.1.mixer.in_proj.weight").dtype == mamba2::DType::Q4_0);
  CHECK(checkpoint->tensor("layers.1.mixer.A").shape == Shape{4});
  const auto model = mamba2::Mamba2Model<mamba2::Fp32>::load(*checkpoint);
  REQUIRE(model);
  auto session = model->session().value();
  const auto tokenizer = mamba2::Tokenizer::load(path);
  REQUIRE(tokenizer);
  CHECK(tokenizer->vocab_size() == 512);
  const auto logits = session.prefill(tokenizer->encode("the sea")).value();
  for (const float logit : logits) CHECK(std::isfinite(logit));
}
