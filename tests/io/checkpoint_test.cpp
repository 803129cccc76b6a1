// SPDX-License-Identifier: Apache-2.0
// Whole checkpoints: complete, consistent, or refused.
#include "mamba2/io/checkpoint.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "tests/io/checkpoint_refused.hpp"
#include "tests/io/toy_checkpoint.hpp"

using mamba2::Checkpoint;
using mamba2::Config;
using mamba2::DType;
using mamba2::ErrorCode;
using mamba2::Result;
using mamba2::TensorView;
using mamba2_tests::check_refused;
using mamba2_tests::ToyCheckpoint;

namespace {

using Bytes = std::vector<std::byte>;
using Shape = std::vector<std::size_t>;

/// Opens shards that live as long as the caller's.
Result<Checkpoint> from_bytes(const std::string& config, const std::vector<Bytes>& shards) {
  const std::vector<std::span<const std::byte>> spans(shards.begin(), shards.end());
  return Checkpoint::from_bytes(config, spans);
}
Result<Checkpoint> from_toy(const ToyCheckpoint& toy) {
  return from_bytes(toy.config, {toy.bytes()});
}

}  // namespace

TEST_CASE("checkpoint: canonical names, in the order of the network, with their values") {
  static_assert(!std::is_copy_constructible_v<Checkpoint>);
  static_assert(std::is_move_constructible_v<Checkpoint>);
  auto toy = ToyCheckpoint::small("\"tie_word_embeddings\": false");
  toy["layers.1.mixer.in_proj.weight"].dtype = DType::F16;
  toy["layers.1.mixer.out_proj.weight"].dtype = DType::F64;
  std::vector<std::string> names;
  for (const auto& tensor : toy.tensors) names.push_back(mamba2::canonical_name(tensor.name));
  std::reverse(toy.tensors.begin(), toy.tensors.end());
  const Bytes bytes = toy.bytes();
  const std::span<const std::byte> shard = bytes;
  Checkpoint opened = Checkpoint::from_bytes(toy.config, {&shard, 1}).value();
  const TensorView* address = opened.tensors().data();
  const Checkpoint checkpoint = std::move(opened);
  CHECK(checkpoint.tensors().data() == address);
  CHECK(checkpoint.file_bytes() == bytes.size());
  CHECK(checkpoint.config().d_inner == 12);
  CHECK(!checkpoint.config().tie_embeddings);
  REQUIRE(checkpoint.tensors().size() == names.size());
  for (std::size_t t = 0; t < names.size(); ++t) {
    const TensorView& tensor = checkpoint.tensors()[t];
    CHECK(tensor.name == names[t]);
    CHECK(&checkpoint.tensor(names[t]) == &tensor);
    std::vector<float> values(tensor.elements());
    mamba2::read_floats(tensor, 0, values);
    CHECK(std::abs(values[0] - static_cast<float>(names.size() - 1 - t)) < 0.01F);
  }
  CHECK(checkpoint.tensor("embedding.weight").shape == Shape{11, 6});
  CHECK(checkpoint.tensor("lm_head.weight").shape == Shape{11, 6});
  CHECK(checkpoint.find("backbone.embeddings.weight") == nullptr);
  CHECK(checkpoint.find("layers.2.norm.weight") == nullptr);
  for (const std::string name : {"layers.2.norm.weight", "lm_head", ""}) {
    const TensorView& none = checkpoint.tensor(name);
    CHECK(none.name.empty());
    CHECK(none.shape.empty());
    CHECK(none.elements() == 0);
    CHECK(none.part(0, 0).empty());
  }
}

TEST_CASE("checkpoint: every variant of the block") {
  for (const std::string more :
       {R"("use_bias": true)", R"("use_conv_bias": false)", R"("use_bias": true, "expand": 2.0)"}) {
    CHECK(from_toy(ToyCheckpoint::small(more)));
  }
  for (const std::string more :
       {R"("rmsnorm": false)", R"("D_has_hdim": true)", R"("d_ssm": 8, "D_has_hdim": true)",
        R"("bias": true, "conv_bias": false, "norm_before_gate": true)"}) {
    const auto toy = ToyCheckpoint(R"({"d_model": 6, "n_layer": 2, "vocab_size": 9,
        "ssm_cfg": {"layer": "Mamba2", "headdim": 4, "d_state": 3, )" +
                                   more + "}}");
    CAPTURE(toy.config);
    const auto checkpoint = from_toy(toy);
    REQUIRE(checkpoint);
    CHECK(checkpoint->tensor("embedding.weight").shape == Shape{16, 6});
  }
  // Each tensor belongs to its option: without it, the file of another variant does not fit.
  const auto with_bias = from_bytes(ToyCheckpoint::small().config,
                                    {ToyCheckpoint::small(R"("use_bias": true)").bytes()});
  check_refused(with_bias, ErrorCode::mismatch, {"found \"layers.0.mixer.in_proj.bias\""});
  const auto no_bias = from_bytes(ToyCheckpoint::small(R"("use_bias": true)").config,
                                  {ToyCheckpoint::small().bytes()});
  check_refused(no_bias, ErrorCode::mismatch,
                {"checkpoint: ", "\"layers.0.mixer.in_proj.bias\"", "(48)", "found none"});
}

TEST_CASE("checkpoint: all spellings of the names") {
  for (const std::string prefix : {"", "backbone.", "model.", "model.backbone.", "module.",
                                   "module._orig_mod.backbone.", "_orig_mod.model.backbone."}) {
    for (const std::string embedding : {"embedding.weight", "embeddings.weight"}) {
      auto toy = ToyCheckpoint::small("\"tie_word_embeddings\": false");
      for (auto& tensor : toy.tensors) {
        const std::string name = mamba2::canonical_name(tensor.name);
        tensor.name = prefix + (name == "embedding.weight" ? embedding : name);
      }
      CHECK(from_toy(toy));
    }
  }
  auto twice = ToyCheckpoint::small();
  twice.tensors.push_back({"backbone.embedding.weight", {11, 6}});
  check_refused(from_toy(twice), ErrorCode::malformed,
                {"shard 1 of 1: tensor \"embedding.weight\" must occur once"});
  auto wrapped = ToyCheckpoint::small();
  wrapped.tensors.push_back({"module.backbone.norm_f.weight", {6}});
  check_refused(from_toy(wrapped), ErrorCode::malformed,
                {"shard 1 of 1: tensor \"norm_f.weight\" must occur once"});
}

TEST_CASE("checkpoint: a bare Mamba2Model, whose head is the embedding") {
  auto toy = ToyCheckpoint::small(R"("architectures": ["Mamba2Model"])");
  toy.erase("lm_head.weight");
  for (auto& tensor : toy.tensors) tensor.name.erase(0, std::string_view("backbone.").size());
  REQUIRE(toy.tensors[0].name == "embeddings.weight");
  const Bytes bytes = toy.bytes();
  const std::span<const std::byte> shard = bytes;
  const auto checkpoint = Checkpoint::from_bytes(toy.config, {&shard, 1});
  REQUIRE(checkpoint);
  CHECK(checkpoint->config().tie_embeddings);
  CHECK(checkpoint->tensor("layers.1.mixer.A_log").elements() == 4);
}

TEST_CASE("checkpoint: the head is tied if the file has none, whatever the config says") {
  for (const bool tied : {false, true}) {
    for (const bool has_head : {false, true}) {
      auto toy = ToyCheckpoint::small("\"tie_word_embeddings\": false");
      if (!has_head) toy.erase("lm_head.weight");
      if (tied) toy.config = ToyCheckpoint::small().config;
      const Bytes bytes = toy.bytes();
      const std::span<const std::byte> shard = bytes;
      const auto checkpoint = Checkpoint::from_bytes(toy.config, {&shard, 1});
      REQUIRE(checkpoint);
      CHECK(checkpoint->config().tie_embeddings == !has_head);
      CHECK((checkpoint->find("lm_head.weight") == nullptr) == !has_head);
      CHECK(checkpoint->notes().size() == (tied && has_head ? 1 : 0));
    }
  }
}

TEST_CASE("checkpoint: each tensor is needed, in its shape, in a float type") {
  const auto toy = ToyCheckpoint::small("\"use_bias\": true");
  for (std::size_t t = 0; t + 1 < toy.tensors.size(); ++t) {  // the last is the head
    const std::string name = mamba2::canonical_name(toy.tensors[t].name);
    CAPTURE(name);
    ToyCheckpoint missing = toy;
    missing.tensors.erase(missing.tensors.begin() + static_cast<std::ptrdiff_t>(t));
    check_refused(from_toy(missing), ErrorCode::mismatch,
                  {"checkpoint: tensor \"" + name + "\" must be there with shape (", "found none"});

    ToyCheckpoint wrong = toy;
    wrong.tensors[t].shape[0] += 1;
    check_refused(from_toy(wrong), ErrorCode::mismatch,
                  {"shard 1 of 1: tensor \"" + name + "\": shape must be (", "found ("});

    ToyCheckpoint transposed = toy;
    transposed.tensors[t].shape.push_back(1);
    check_refused(from_toy(transposed), ErrorCode::mismatch, {name, "shape must be ("});

    ToyCheckpoint renamed = toy;
    renamed.tensors[t].name += "x";
    CHECK(!from_toy(renamed));

    for (const DType dtype : {DType::I8, DType::U8, DType::F8_E4M3, DType::I64, DType::BOOL}) {
      ToyCheckpoint integers = toy;
      integers.tensors[t].dtype = dtype;
      check_refused(
          from_toy(integers), ErrorCode::unsupported,
          {name, "dtype must be F64, F32, F16 or BF16, found", mamba2::dtype_name(dtype)});
    }
  }
  ToyCheckpoint head = toy;
  head["lm_head.weight"].shape = {11, 7};
  check_refused(from_toy(head), ErrorCode::mismatch, {"\"lm_head.weight\"", "(11, 6)", "(11, 7)"});
}

TEST_CASE("checkpoint: surplus tensors are refused by name") {
  for (const std::string name :
       {"backbone.layers.2.norm.weight", "backbone.layers.0.mixer.dt_proj.weight", "lm_head.bias",
        "x", "backbone.layers.00.norm.weight"}) {
    auto toy = ToyCheckpoint::small();
    toy.tensors.push_back({name, {1}});
    check_refused(from_toy(toy), ErrorCode::mismatch,
                  {"shard 1 of 1: ", "found \"" + mamba2::canonical_name(name) + "\""});
  }
  ToyCheckpoint three = ToyCheckpoint(
      R"({"d_model": 6, "n_layer": 3, "vocab_size": 8, "ssm_cfg": {"layer": "Mamba2", "headdim": 4}})");
  three.config =
      R"({"d_model": 6, "n_layer": 2, "vocab_size": 8, "ssm_cfg": {"layer": "Mamba2", "headdim": 4}})";
  check_refused(from_toy(three), ErrorCode::mismatch, {"found \"layers.2.norm.weight\""});
}

TEST_CASE("checkpoint: a config that claims many layers costs nothing") {
  auto toy = ToyCheckpoint::small();
  toy.config.replace(toy.config.find("\"num_hidden_layers\": 2"), 22,
                     "\"num_hidden_layers\": 65536");
  check_refused(from_toy(toy), ErrorCode::mismatch, {"\"layers.2.norm.weight\"", "found none"});
}

TEST_CASE("checkpoint: shards in memory") {
  const auto toy = ToyCheckpoint::small();
  const std::vector<Bytes> shards = {toy.bytes(9), toy.bytes(0, 4), toy.bytes(4, 9)};
  const auto checkpoint = from_bytes(toy.config, shards);
  REQUIRE(checkpoint);
  CHECK(checkpoint->file_bytes() == shards[0].size() + shards[1].size() + shards[2].size());
  CHECK(checkpoint->tensors()[0].file == "shard 2 of 3");
  check_refused(from_bytes(toy.config, {shards[0], shards[1]}), ErrorCode::mismatch,
                {"found none"});
  check_refused(from_bytes(toy.config, {shards[0], shards[1], shards[2], shards[1]}),
                ErrorCode::malformed,
                {"shard 4 of 4: tensor", "once", "found it also in shard 2 of 4"});
  check_refused(from_bytes(toy.config, {}), ErrorCode::mismatch, {"\"embedding.weight\""});
  check_refused(from_bytes(toy.config, {shards[0], {}}), ErrorCode::malformed, {"shard 2 of 2"});
  check_refused(from_bytes("{}", shards), ErrorCode::unsupported, {"config.json"});
}

TEST_CASE("checkpoint: every truncation is an error, every flipped bit of the header an error") {
  auto toy = ToyCheckpoint::small();
  const std::string from = "\"num_hidden_layers\": 2";
  toy.config.replace(toy.config.find(from), from.size(), "\"num_hidden_layers\": 1");
  std::erase_if(toy.tensors,
                [](const auto& t) { return t.name.find("layers.1.") != std::string::npos; });
  for (auto& tensor : toy.tensors) tensor.dtype = DType::BF16;
  const Bytes bytes = toy.bytes();
  REQUIRE(from_bytes(toy.config, {bytes}));
  std::size_t header_end = 8;
  for (std::size_t byte = 0; byte < 8; ++byte) {
    header_end += std::to_integer<std::size_t>(bytes[byte]) << 8 * byte;
  }
  for (std::size_t n = 0; n < bytes.size(); n += n < header_end + 3 ? 1 : 7) {
    CHECK(!from_bytes(toy.config,
                      {Bytes(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(n))}));
  }
  CHECK(!from_bytes(toy.config, {Bytes(bytes.begin(), bytes.end() - 1)}));
  for (std::size_t bit = 0; bit < 8 * header_end; ++bit) {
    std::vector<Bytes> flipped = {bytes};
    flipped[0][bit / 8] ^= std::byte{1} << bit % 8;
    CAPTURE(bit);
    CHECK(!from_bytes(toy.config, flipped));
  }
}

TEST_CASE("checkpoint: the bundled model, in two shards") {
  const auto opened = Checkpoint::open(MAMBA2_SOURCE_DIR "/examples/models/llama-tales-14m");
  REQUIRE(opened);
  CHECK(opened->config().n_layer == 12);
  CHECK(opened->config().tie_embeddings);
  CHECK(opened->tensors().size() == 110);
  CHECK(opened->file_bytes() == 15184272 + 13915512);
  const TensorView& embedding = opened->tensor("embedding.weight");
  CHECK(embedding.shape == Shape{8192, 384});
  CHECK(embedding.dtype == DType::BF16);
  CHECK(embedding.file.ends_with("llama-tales-14m/model-00001-of-00002.safetensors"));
  CHECK(opened->tensor("layers.11.mixer.in_proj.weight").shape == Shape{1676, 384});
  const TensorView& A_log = opened->tensor("layers.4.mixer.A_log");
  CHECK(A_log.dtype == DType::F32);
  CHECK(A_log.file.ends_with("model-00002-of-00002.safetensors"));
  std::size_t parameters = 0;
  for (const TensorView& tensor : opened->tensors()) {
    std::vector<float> values(tensor.elements());
    mamba2::read_floats(tensor, 0, values);
    CHECK(std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); }));
    parameters += values.size();
  }
  const std::size_t block = 1676 * 384 + 384 * 768 + 896 * 4 + 896 + 3 * 12 + 768 + 384;
  CHECK(parameters == 8192 * 384 + 12 * block + 384);
}

TEST_CASE("checkpoint: a bigger model, if it is there") {
  const std::filesystem::path path = MAMBA2_SOURCE_DIR "/../shared/models/books-73m";
  if (!std::filesystem::exists(path)) {
    MESSAGE("skipped: there is no books-73m");
    return;
  }
  const auto checkpoint = Checkpoint::open(path);
  REQUIRE(checkpoint);
  CHECK(checkpoint->tensor("embedding.weight").shape == Shape{16384, 768});
}
