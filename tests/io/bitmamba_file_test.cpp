// SPDX-License-Identifier: Apache-2.0
#include "mamba2/io/bitmamba_file.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "mamba2/linear/floats.hpp"
#include "tests/bitmamba_models.hpp"
#include "tests/io/temp_dir.hpp"

using mamba2::ErrorCode;
using reference::BitMambaWriter;

namespace {

/// 2 layers, d_model 8, 4 heads, 13 tokens.
BitMambaWriter tiny_bitmamba() {
  return BitMambaWriter(reference::random_bitmamba(13, 8, 2, 4, 1));
}

constexpr std::size_t kEmbedding = 0, kInNorm = 1, kInProj = 2, kConv = 3, kDtBias = 5;
constexpr std::size_t kOutProjOf1 = 18, kHead = 21;

template <class Number>
std::string with(std::string file, std::size_t at, Number number) {
  std::memcpy(&file[at], &number, sizeof number);
  return file;
}

mamba2::Result<mamba2::Checkpoint> open(const std::string& file) {
  return mamba2::Checkpoint::from_bitmamba(std::as_bytes(std::span(file)), "f.bin");
}

/// What is said of a file when it is opened or loaded.
std::string said_of(const std::string& file) {
  const auto checkpoint = open(file);
  if (!checkpoint) {
    CHECK(checkpoint.error().code == ErrorCode::malformed);
    return checkpoint.error().message;
  }
  const auto model = mamba2::AnyModel::load(*checkpoint, mamba2::kPlan<mamba2::Fp32>);
  if (model) return "a model";
  CHECK(model.error().code == ErrorCode::malformed);
  return model.error().message;
}

}  // namespace

TEST_CASE("a file of BitMamba-2 is Mamba-2 with one state a channel and a group a head") {
  const std::string file = tiny_bitmamba().bytes;
  const auto checkpoint = open(file);
  REQUIRE(checkpoint);
  const mamba2::Config& c = checkpoint->config();
  CHECK(c.d_model == 8);
  CHECK(c.d_ssm == 16);
  CHECK(c.headdim == 4);
  CHECK(c.ngroups == 4);
  CHECK(c.d_state == 1);
  CHECK(c.d_in_proj() == 4 * 8 + 3 * 4);
  CHECK(c.conv_dim() == 16);
  CHECK(c.eos_token_ids.empty());
  CHECK(checkpoint->tensors().size() == 2 * 9 + 4);
  CHECK(checkpoint->tensor("layers.1.mixer.out_proj.weight").dtype == mamba2::DType::TERNARY);
  CHECK(checkpoint->tensor("lm_head.norm.weight").shape == std::vector<std::size_t>{8});
  CHECK(checkpoint->file_bytes() == file.size());
  CHECK(said_of(file) == "a model");
}

TEST_CASE("files of BitMamba-2 that lie about sizes are refused, by name") {
  const BitMambaWriter w = tiny_bitmamba();
  const auto changed = [&w](std::size_t at, auto number) {
    return said_of(with(w.bytes, at, number));
  };
  const auto at = [&w](std::size_t tensor, std::size_t bytes) { return w.starts[tensor] + bytes; };
  CHECK(changed(0, 1) == "f.bin: expected a file of BitMamba-2, found something else");
  CHECK(changed(4, 0) == "f.bin: vocab_size must be at least 1, found 0");
  CHECK(changed(4, 1 << 30) == "f.bin: vocab_size must be in 1..16777216, found 1073741824");
  CHECK(changed(8, -8) == "f.bin: d_model must be at least 1, found -8");
  CHECK(changed(8, 6) == "f.bin: d_model must be a multiple of 4, found 6");
  CHECK(changed(8, 1 << 30) == "f.bin: d_model must be in 1..131072, found 1073741824");
  CHECK(changed(12, std::numeric_limits<std::int32_t>::max())
            .starts_with("f.bin: n_layer must be in 1..65536, found "));
  CHECK(changed(12, 3) == "f.bin: tensor \"layers.2.in_proj.weight\": type must be 2, found 0");
  CHECK(changed(12, 1).starts_with("f.bin: tensor \"lm_head.norm.weight\": type must be 0, found"));
  CHECK(changed(16, 5) == "f.bin: nheads must be a divisor of 2 * d_model 16, found 5");
  CHECK(changed(16, -1) == "f.bin: nheads must be at least 1, found -1");

  CHECK(changed(at(kEmbedding, 0), 2) == "f.bin: tensor \"embed.weight\": type must be 0, found 2");
  CHECK(changed(at(kEmbedding, 4), 3) ==
        "f.bin: tensor \"embed.weight\": number of dimensions must be 2, found 3");
  CHECK(changed(at(kEmbedding, 8), 14) ==
        "f.bin: tensor \"embed.weight\": dimension must be 13, found 14");
  CHECK(changed(at(kInNorm, 8), -8) ==
        "f.bin: tensor \"layers.0.in_proj.norm.weight\": dimension must be 8, found -8");
  CHECK(changed(at(kInProj, 0), 0) ==
        "f.bin: tensor \"layers.0.in_proj.weight\": type must be 2, found 0");
  CHECK(changed(at(kInProj, 4), 43) ==
        "f.bin: tensor \"layers.0.in_proj.weight\": rows must be 44, found 43");
  CHECK(changed(at(kHead, 8), 12) == "f.bin: tensor \"lm_head.weight\": cols must be 8, found 12");
  CHECK(changed(at(kConv, 16), 3) ==
        "f.bin: tensor \"layers.0.conv1d.weight\": dimension must be 4, found 3");
}

TEST_CASE("scales, codes and values of BitMamba-2 that nothing can be made of are refused") {
  const BitMambaWriter w = tiny_bitmamba();
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const float bad : {0.0F, -1.0F, kInfinity, std::nanf(""), 1e-40F, 3e38F}) {
    CAPTURE(bad);
    const std::string said = said_of(with(w.bytes, w.starts[kOutProjOf1] + 12, bad));
    CHECK(
        said.starts_with("f.bin: tensor \"layers.1.out_proj.weight\": scale must be positive and "
                         "finite, and its inverse, too, found "));
  }
  // The third code of the fifth byte.
  std::string file = w.bytes;
  file[w.starts[kOutProjOf1] + 16 + 4] |= 0x30;
  CHECK(said_of(file) ==
        "f.bin: tensor layers.1.mixer.out_proj.weight: element 18 must be -1, 0 or 1, found 2");
  CHECK(said_of(with(w.bytes, w.starts[kDtBias] + 12 + 4, kInfinity)) ==
        "f.bin: tensor layers.0.mixer.dt_bias: element 1 must be a finite value, found inf");
  CHECK(said_of(with(w.bytes, w.starts[kEmbedding] + 16 + 8, kInfinity)) ==
        "f.bin: tensor embedding.weight: element 2 must be a finite value, found inf");
}

TEST_CASE("files of BitMamba-2 that are cut, or too long, are refused") {
  const BitMambaWriter w = tiny_bitmamba();
  for (std::size_t size = 0; size < w.bytes.size(); ++size) {
    const auto checkpoint = open(w.bytes.substr(0, size));
    REQUIRE(!checkpoint);
    CHECK(checkpoint.error().code == ErrorCode::malformed);
  }
  CHECK(said_of(w.bytes.substr(0, w.starts[kHead] + 20)) ==
        mamba2::detail::concat("f.bin: tensor \"lm_head.weight\": the file must have 26 bytes more "
                               "at ",
                               w.starts[kHead] + 16, ", found 4"));
  CHECK(said_of(w.bytes + "x") ==
        mamba2::detail::concat("f.bin: must end after the last tensor, at ", w.bytes.size(),
                               " bytes, found ", w.bytes.size() + 1));
}

TEST_CASE("what ends texts of BitMamba-2 is GPT-2's token, or what a config beside it says") {
  CHECK(mamba2::detail::bitmamba_config(50257, 1024, 24, 16).eos_token_ids ==
        std::vector<mamba2::Token>{50256});
  const mamba2_tests::TempDir dir;
  dir.write("model.bin", tiny_bitmamba().bytes);
  const auto eos = [&dir] {
    const auto checkpoint = mamba2::Checkpoint::open(dir.path());
    return std::pair(checkpoint.value().config().eos_token_ids, checkpoint->notes().size());
  };
  using Ids = std::vector<mamba2::Token>;
  CHECK(eos() == std::pair(Ids{}, std::size_t{0}));
  dir.write("config.json", R"({"model_type": "bitmamba2", "eos_token_id": 3})");
  CHECK(eos() == std::pair(Ids{3}, std::size_t{0}));
  dir.write("generation_config.json", R"({"eos_token_id": [5, 77]})");
  CHECK(eos() == std::pair(Ids{3, 5}, std::size_t{1}));
  dir.write("config.json", "nonsense");
  CHECK(eos() == std::pair(Ids{5}, std::size_t{2}));
}
