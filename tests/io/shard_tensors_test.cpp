// SPDX-License-Identifier: Apache-2.0
// Tensors that a config does not ask for: passed over if they change nothing, else refused.
#include "mamba2/io/shard_tensors.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mamba2/io/checkpoint.hpp"
#include "mamba2/io/tensor_view.hpp"
#include "tests/io/checkpoint_refused.hpp"
#include "tests/io/safetensors_writer.hpp"
#include "tests/io/toy_checkpoint.hpp"

using mamba2::Checkpoint;
using mamba2::ErrorCode;
using mamba2::TensorView;
using mamba2_tests::check_refused;
using mamba2_tests::ToyCheckpoint;

namespace {

using Shape = std::vector<std::size_t>;

/// A toy model, and in a second file some values more.
struct Surplus {
  ToyCheckpoint toy = ToyCheckpoint::small();
  mamba2_tests::SafetensorsWriter more = {};

  /// Calls use(Result<Checkpoint>).
  template <class Use>
  void open(Use use) const {
    const std::vector<std::byte> files[] = {toy.bytes(), more.bytes()};
    const std::span<const std::byte> shards[] = {files[0], files[1]};
    use(Checkpoint::from_bytes(toy.config, shards));
  }
  /// The notes, while all else is as without the second file.
  [[nodiscard]] std::vector<std::string> notes() const {
    std::vector<std::string> notes;
    open([&](const auto& checkpoint) {
      REQUIRE(checkpoint);
      CHECK(checkpoint->tensors().size() == toy.tensors.size());
      notes.assign(checkpoint->notes().begin(), checkpoint->notes().end());
    });
    return notes;
  }
  /// It must be refused, in a message with these parts.
  void check_mismatch(std::initializer_list<std::string_view> parts) const {
    open([&](const auto& checkpoint) { check_refused(checkpoint, ErrorCode::mismatch, parts); });
  }
  /// It must be refused for this tensor.
  void check_refused_for(const std::string& name) const {
    check_mismatch(
        {"shard 2 of 2: expected the tensors of the config only, found \"" + name + "\""});
  }
};

}  // namespace

TEST_CASE("surplus tensors: constants that a layer makes itself are passed over with one note") {
  const std::vector<float> values = {1.0F, 0.1F};
  Surplus one;
  one.more.add("backbone.layers.0.rotary_emb.inv_freq", {2}, values);
  CHECK(one.notes() ==
        std::vector<std::string>{"shard 2 of 2: tensor \"layers.0.rotary_emb.inv_freq\" is passed "
                                 "over, as it changes nothing"});
  Surplus three;
  three.more.add("backbone.layers.1.rotary_emb.inv_freq", {2}, values);
  three.more.add_bytes("bn.num_batches_tracked", {}, "I64", std::vector<std::byte>(8));
  three.more.add("backbone.layers.0.mixer.inv_freq", {2}, values);
  CHECK(three.notes() ==
        std::vector<std::string>{"shard 2 of 2: 3 tensors are passed over, as they change nothing, "
                                 "the first \"layers.1.rotary_emb.inv_freq\""});
  CHECK(Surplus().notes().empty());
}

TEST_CASE("surplus tensors: a bias of zeros is passed over, unless the config asks for it") {
  const std::string mixer = "layers.1.mixer.";
  const std::string without_conv_bias = R"("tie_word_embeddings": true, "use_conv_bias": false)";
  for (const std::string name : {"lm_head.bias", "layers.1.mixer.in_proj.bias",
                                 "layers.1.mixer.out_proj.bias", "layers.1.mixer.conv1d.bias"}) {
    CAPTURE(name);
    Surplus surplus{ToyCheckpoint::small(without_conv_bias)};
    Surplus other{ToyCheckpoint::small(without_conv_bias)};
    surplus.more.add(name, {4}, std::vector<float>(4));
    CHECK(surplus.notes().size() == 1);
    other.more.add(name, {4}, std::vector<float>{0.0F, 0.0F, 0.0F, 1e-30F});
    other.check_refused_for(name);
  }
  // Zeros that are asked for are there.
  Surplus asked{ToyCheckpoint::small(R"("tie_word_embeddings": true, "use_bias": true)")};
  asked.toy.erase(mixer + "in_proj.bias");
  asked.toy.erase(mixer + "conv1d.bias");
  asked.more.add(mixer + "in_proj.bias", {48}, std::vector<float>(48));
  asked.more.add(mixer + "conv1d.bias", {32}, std::vector<float>(32));
  asked.open([](const auto& opened) {
    CHECK(opened.value().notes().empty());
    CHECK(opened.value().tensor("layers.1.mixer.in_proj.bias").elements() == 48);
    CHECK(opened.value().tensor("layers.1.mixer.conv1d.bias").elements() == 32);
  });
}

TEST_CASE("surplus tensors: whatever might count is refused by name") {
  for (const std::string name : {"norm_f.bias",         // of LayerNorm, which is computed otherwise
                                 "layers.0.norm.bias",  // likewise
                                 "layers.0.mixer.dt_proj.bias",   // of no such layer
                                 "layers.0.mixer.dt_bias2",       // unknown
                                 "layers.2.norm.weight",          // of a layer too many
                                 "layers.0.mixer.q_proj.weight",  // of attention
                                 "ema.norm_f.weight",             // which of both shall run?
                                 "optimizer.state.0.exp_avg",     // likewise
                                 "inv_freq_scale", "xinv_freq"}) {
    CAPTURE(name);
    Surplus surplus;
    surplus.more.add(name, {6}, std::vector<float>(6));  // even if it is zeros
    surplus.check_refused_for(name);
  }
}

TEST_CASE("checkpoint: the filters of the convolution without their middle dimension, or as MLX") {
  constexpr const char* kFilters = "layers.0.mixer.conv1d.weight";
  auto toy = ToyCheckpoint::small();
  for (const std::size_t d_conv : {std::size_t{3}, std::size_t{1}}) {
    const std::string kernel = "\"conv_kernel\": " + std::to_string(d_conv);
    toy = ToyCheckpoint::small();
    toy.config.replace(toy.config.find("\"conv_kernel\": 3"), kernel.size(), kernel);
    for (const std::string layer : {"0", "1"}) {
      toy["layers." + layer + ".mixer.conv1d.weight"].shape = {32, 1, d_conv};
    }
    for (const Shape& shape : {Shape{32, d_conv}, Shape{32, d_conv, 1}, Shape{32, 1, d_conv}}) {
      toy[kFilters].shape = shape;
      const std::vector<std::byte> bytes = toy.bytes();
      const std::span<const std::byte> shard = bytes;
      const auto checkpoint = Checkpoint::from_bytes(toy.config, {&shard, 1});
      REQUIRE(checkpoint);
      const TensorView& filters = checkpoint->tensor(kFilters);
      CHECK(filters.shape == Shape{32, 1, d_conv});
      std::vector<float> values(32 * d_conv);
      mamba2::read_floats(filters, 0, values);
      for (std::size_t i = 0; i < values.size(); ++i) {
        CHECK(values[i] == 3.0F + static_cast<float>(i) / 1024.0F);  // the fourth tensor's
      }
    }
    for (const Shape& shape :
         {Shape{d_conv, 32}, Shape{32, d_conv + 1}, Shape{32 * d_conv}, Shape{32, d_conv + 1, 1},
          Shape{1, 32, d_conv}, Shape{d_conv, 32, 1}, Shape{32, d_conv, 1, 1}}) {
      toy[kFilters].shape = shape;
      Surplus{toy}.check_mismatch({"conv1d.weight", "(32, 1, " + std::to_string(d_conv) + ")"});
    }
  }
  // Nothing else may have another shape.
  toy = ToyCheckpoint::small();
  toy["layers.0.mixer.out_proj.weight"].shape = {32, 3};
  Surplus{toy}.check_mismatch({"out_proj.weight", "(6, 12)"});
}
