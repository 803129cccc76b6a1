// SPDX-License-Identifier: Apache-2.0
// The tests' own reader and writer of checkpoints.
#include "tests/reference/checkpoint.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/reference/compare.hpp"
#include "tests/reference/random_weights.hpp"

namespace {

using namespace reference;

TEST_CASE("safetensors_lite: every dtype converts exactly") {
  const auto values = [](const char* dtype, std::string bytes) {
    return to_double(Tensor{dtype, {}, bytes});
  };
  using std::string;
  const string halves("\x00\x3C\x00\xC0\xFF\x7B\x01\x00\x00\x04\x00\x80\x00\x7C", 14);
  CHECK(values("F16", halves) ==
        std::vector<double>{1.0, -2.0, 65504.0, 0x1p-24, 0x1p-14, -0.0, HUGE_VAL});
  CHECK(std::isnan(values("F16", string("\x01\x7C", 2))[0]));
  CHECK(values("BF16", string("\x80\x3F\x49\xC0\x01\x00", 6)) ==
        std::vector<double>{1.0, -3.140625, 0x1p-133});
  CHECK(values("F32", string("\xDB\x0F\x49\x40", 4)) == std::vector<double>{0x1.921FB6p1});
  CHECK(values("F64", string("\x18\x2D\x44\x54\xFB\x21\x09\x40", 8)) ==
        std::vector<double>{0x1.921FB54442D18p1});
  CHECK(values("I32", string("\xFE\xFF\xFF\xFF", 4)) == std::vector<double>{-2.0});
  CHECK(values("I64", string("\x03\0\0\0\0\0\0\0", 8)) == std::vector<double>{3.0});
}

TEST_CASE("safetensors_lite: the layout of the format") {
  Safetensors file;
  file.tensors["b"] = f32_tensor({1, 2}, {1.0, 2.0});
  file.tensors["a"] = f32_tensor({}, {3.0});
  const std::string bytes = write_safetensors(file);
  const std::string header = R"({"a":{"data_offsets":[0,4],"dtype":"F32","shape":[]},)"
                             R"("b":{"data_offsets":[4,12],"dtype":"F32","shape":[1,2]}})";
  const std::size_t padded = (header.size() + 7) / 8 * 8;
  REQUIRE(bytes.size() == 8 + padded + 12);
  CHECK(static_cast<std::size_t>(static_cast<unsigned char>(bytes[0])) == padded);
  CHECK(bytes.substr(8, header.size()) == header);
  CHECK(bytes.substr(bytes.size() - 4) == std::string("\x00\x00\x00\x40", 4));

  CHECK(parse_safetensors(bytes, "x"));
  CHECK_FALSE(parse_safetensors(bytes.substr(0, 7), "x"));
  CHECK_FALSE(parse_safetensors(bytes.substr(0, 8 + header.size() - 1), "x"));
  CHECK_FALSE(parse_safetensors(bytes.substr(0, bytes.size() - 1), "x"));
}

TEST_CASE("checkpoint: every variant is written with all its tensors") {
  for (const reference::Variant& variant : variants()) {
    CAPTURE(variant.name);
    const Config& config = variant.config;
    const reference::Weights weights = random_weights(config, 1);
    const reference::Checkpoint checkpoint = to_checkpoint(config, weights);
    const auto file = parse_safetensors(checkpoint.safetensors, variant.name);
    REQUIRE(file);
    reference::Weights read;
    read.blocks.resize(config.n_layer);
    std::size_t tensors = 0;
    for_each_tensor(
        config, read, "backbone.embedding.weight",
        [&](const std::string& key, std::vector<double>& values, const reference::Shape& shape) {
          CAPTURE(key);
          CHECK(take_tensor(*file, key, shape, values));
          ++tensors;
        });
    CHECK(tensors == file->tensors.size());
    const std::vector<Token> tokens = Random(2).tokens(3, config.vocab_size);
    CHECK(max_abs_difference(forward(config, read, tokens), forward(config, weights, tokens)) ==
          0.0);
  }
}

TEST_CASE("checkpoint: the config names what is not the default") {
  const auto ssm = [](const Config& config) {
    const auto json = nlohmann::json::parse(to_checkpoint(config,
                                                          [&] {
                                                            reference::Weights weights;
                                                            weights.blocks.resize(config.n_layer);
                                                            return weights;
                                                          }())
                                                .config_json,
                                            nullptr, false);
    REQUIRE(json.is_object());
    CHECK(json["d_model"] == 22);
    CHECK(json["vocab_size"] == 37);
    CHECK(json["pad_vocab_size_multiple"] == 1);
    CHECK(json["tie_embeddings"] == config.tie_embeddings);
    return json["ssm_cfg"];
  };
  const auto plain = ssm(variants().front().config);
  CHECK(plain["layer"] == "Mamba2");
  CHECK(plain["expand"] == 2);
  CHECK_FALSE(plain.contains("d_ssm"));
  CHECK_FALSE(plain.contains("dt_limit"));
  const auto everything = ssm(variants().back().config);
  CHECK(everything["expand"] == 4);
  CHECK(everything["d_ssm"] == 66);
  CHECK(everything["dt_limit"][0].get<float>() == 0.01F);
  CHECK(everything["norm_before_gate"] == true);
  CHECK(everything["conv_bias"] == false);
  for (const reference::Variant& variant : variants()) {
    if (variant.name == "expand 1.5") CHECK(ssm(variant.config)["expand"] == 1.5);
  }
}

TEST_CASE("checkpoint: a Hugging Face directory that does not fit is refused") {
  CHECK_FALSE(load_huggingface(MAMBA2_SOURCE_DIR "/tests/golden"));
}

}  // namespace
