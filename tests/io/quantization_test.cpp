// SPDX-License-Identifier: Apache-2.0
// Quantized checkpoints: what is written is read, what does not fit is refused by name.
#include "mamba2/io/quantization.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/io/checkpoint.hpp"
#include "mamba2/io/update_config.hpp"
#include "tests/io/quantized_model.hpp"
#include "tests/reference/random_weights.hpp"

using mamba2::DType;
using mamba2::ErrorCode;
using mamba2::StoredFormat;
using mamba2_tests::QuantizedModel;

namespace {

mamba2::Config quantized_config() {
  mamba2::Config c;
  c.d_model = 64;
  c.n_layer = 2;
  c.vocab_size = 17;
  c.d_inner = c.d_ssm = 128;
  c.headdim = 32;
  c.d_state = 5;
  c.tie_embeddings = false;
  return c;
}

QuantizedModel quantized_model() {
  return {quantized_config(), reference::random_weights(quantized_config(), 5),
          [](std::string_view name, std::size_t) -> StoredFormat {
            if (name == "lm_head") return {};
            if (name.ends_with("out_proj")) return {DType::INT4_G64, 128};
            return {name == "embedding" ? DType::INT8 : DType::INT4_G32};
          }};
}

/// The message for a model with one thing changed.
std::string refused_checkpoint(ErrorCode code, const std::function<void(QuantizedModel&)>& change) {
  QuantizedModel model = quantized_model();
  change(model);
  return model.open([code](const auto& checkpoint) -> std::string {
    REQUIRE(!checkpoint);
    CHECK(checkpoint.error().code == code);
    return checkpoint.error().message;
  });
}

/// The same for a change of the entry of one matrix.
std::string refused_entry(ErrorCode code, std::string_view matrix,
                          const std::function<void(nlohmann::json&)>& change) {
  return refused_checkpoint(code, [&](QuantizedModel& model) {
    model.change([&](nlohmann::json& all) { change(all["matrices"][std::string(matrix)]); });
  });
}

/// An element by the words of the format.
double element(const QuantizedModel::Tensor& codes, const QuantizedModel::Tensor& scales,
               std::size_t row, std::size_t col) {
  const bool is_8_bits = codes.dtype == "I8";
  const std::size_t in_row = codes.shape[1];
  if (is_8_bits) {
    float scale = 0.0F;
    std::memcpy(&scale, &scales.data[row * 4], 4);
    return double{scale} * static_cast<std::int8_t>(codes.data[row * in_row + col]);
  }
  const std::size_t groups = scales.shape[1];
  const std::size_t group = 2 * in_row / groups;
  std::uint16_t half = 0;
  std::memcpy(&half, &scales.data[(row * groups + col / group) * 2], 2);
  const auto both = static_cast<int>(codes.data[row * in_row + col / 2]);
  return double{mamba2::fp16_to_float(half)} * ((col % 2 == 0 ? both % 16 : both / 16) - 8);
}

}  // namespace

TEST_CASE("quantization: matrices are read as the format says, rotations undone") {
  QuantizedModel model = quantized_model();
  const std::vector<std::byte> file = model.bytes();
  const std::span<const std::byte> shard(file);
  const auto checkpoint =
      mamba2::Checkpoint::from_bytes(model.config, std::span(&shard, 1)).value();
  CHECK(checkpoint.tensors().size() == model.tensors.size() - 5);  // without those of scales
  for (const std::string name :
       {"embedding", "layers.1.mixer.in_proj", "layers.0.mixer.out_proj"}) {
    CAPTURE(name);
    const auto& tensor = checkpoint.tensor(name + ".weight");
    const auto& codes = model[name + ".weight"];
    const auto& scales = model[name + ".weight_scale"];
    const std::size_t cols = tensor.shape[1];
    REQUIRE(tensor.elements() == tensor.shape[0] * cols);
    std::vector<float> values(3 * cols);
    mamba2::read_floats(tensor, 5 * cols, values);
    const std::size_t width = name.ends_with("out_proj") ? 128 : 1;
    CHECK(tensor.rotation == width);
    for (std::size_t r = 0; r < 3; ++r) {
      for (std::size_t k = 0; k < cols; ++k) {
        double expected = 0.0;
        double squares = 0.0;
        for (std::size_t i = k / width * width; i < k / width * width + width; ++i) {
          const double stored = element(codes, scales, 5 + r, i);
          const int odd = __builtin_popcountll((k % width) & (i % width)) % 2;
          expected += (odd == 0 ? stored : -stored) / std::sqrt(static_cast<double>(width));
          squares += stored * stored;
        }
        // The product, a sum or difference for each doubling of the width, the norm: all FP32.
        const double bound = (width == 1 ? 1.0 : 9.0) * 0x1p-24 * std::sqrt(squares);
        CHECK(std::abs(double{values[r * cols + k]} - expected) <= bound);
      }
    }
  }
}

TEST_CASE("quantization: what was set is parsed") {
  const mamba2::Quantization all = {{"embedding", {DType::INT8, 1}},
                                    {"layers.0.mixer.in_proj", {DType::INT4_G128, 1}},
                                    {"layers.0.mixer.out_proj", {DType::INT4_G32, 256}},
                                    {"layers.1.mixer.out_proj", {DType::INT8, 64}}};
  const std::string config = R"({"hidden_size": 6, "layer_norm_epsilon": 1e-05})";
  const std::string text = mamba2::set_quantization(config, all);
  CHECK(mamba2::parse_quantization(text).value() == all);
  CHECK(text.starts_with("{\n  \"hidden_size\": 6,\n  \"layer_norm_epsilon\": 1e-05,\n"));
  CHECK(mamba2::parse_quantization(config).value().empty());
  CHECK(mamba2::parse_quantization(R"({"quantization_config": null})").value().empty());
  CHECK(mamba2::set_quantization(text, {}).find("embedding") == std::string::npos);
}

TEST_CASE("quantization: a quantization_config that is not this library's is refused") {
  const auto message = [](const std::string& value) {
    const auto parsed = mamba2::parse_quantization("{\"quantization_config\": " + value + "}");
    REQUIRE(!parsed);
    return parsed.error().message;
  };
  CHECK(message("3") == "config.json: quantization_config must be an object, found 3");
  CHECK(message("{}") ==
        "config.json: quantization_config.quant_method must be given, found no such key");
  CHECK(message(R"({"quant_method": "gptq", "version": 1, "matrices": {}})") ==
        "config.json: the weights are quantized by gptq, which is not supported; expected no "
        "quantization_config (mamba2-quantize makes INT8 and INT4 of the original weights)");
  CHECK(message(R"({"quant_method": ["mamba2"], "version": 1, "matrices": {}})") ==
        "config.json: quantization_config.quant_method must be \"mamba2\", found a list of 1");
  CHECK(message(R"({"quant_method": "mamba2", "version": 2, "matrices": {}})") ==
        "config.json: quantization_config.version must be 1, found 2");
  CHECK(message(R"({"quant_method": "mamba2", "version": 1, "matrices": []})") ==
        "config.json: quantization_config.matrices must be an object, found a list of 0");
  CHECK(message(R"({"quant_method": "mamba2", "version": 1, "matrices": {"lm_head": 8}})")
            .ends_with("matrices.\"lm_head\" must be an object, found 8"));
}

TEST_CASE("quantization: formats that there are not are refused") {
  const std::string in_proj = "layers.0.mixer.in_proj";
  const std::string out_proj = "layers.0.mixer.out_proj";
  const std::string prefix = "config.json: quantization_config.matrices.\"" + in_proj + "\".";
  const auto format = [&](const nlohmann::json& entry) {
    return refused_entry(ErrorCode::unsupported, in_proj, [&](auto& was) { was = entry; });
  };
  const std::string bits = prefix + "bits must be 8, or 4 with a group of 32, 64 or 128, found ";
  CHECK(format({{"bits", 3}, {"group", 32}}) == bits + "3 with a group of 32");
  CHECK(format({{"bits", 4}}) == bits + "4 with a group of 0");
  CHECK(format({{"bits", 4}, {"group", 16}}) == bits + "4 with a group of 16");
  CHECK(format({{"bits", 8}, {"group", 32}}) == bits + "8 with a group of 32");
  CHECK(format(nlohmann::json::object()) == bits + "0 with a group of 0");
  const std::string huge = "18446744073709551615";
  const auto numbers = std::to_array<std::pair<nlohmann::json, std::string>>(
      {{-8, "-8"}, {8.0, "8"}, {1e300, "1e+300"}, {~std::uint64_t{0}, huge}, {"8", "\"8\""}});
  for (const auto& [value, found] : numbers) {
    for (const char* key : {"bits", "group", "rotation"}) {
      nlohmann::json entry = {{"bits", 4}, {"group", 32}, {"rotation", 1}};
      entry[key] = value;
      const std::string message =
          refused_entry(ErrorCode::malformed, in_proj, [&](auto& was) { was = entry; });
      CHECK(message.starts_with(prefix + key + " must be an integer in "));
      CHECK(message.ends_with("..2147483647, found " + found));
    }
  }
  const auto malformed = [&](const std::string& matrix, const nlohmann::json& rotation) {
    return refused_entry(ErrorCode::malformed, matrix,
                         [&](auto& entry) { entry["rotation"] = rotation; });
  };
  for (const char* name : {"norm_f", "layers.0.mixer.conv1d", "layers.9.mixer.in_proj", "x"}) {
    CHECK(refused_entry(ErrorCode::mismatch, name,
                        [](auto& entry) {
                          entry = {{"bits", 8}};
                        }) == "config.json: quantization_config.matrices.\"" + std::string(name) +
                                  "\" must be a matrix of the model");
  }
  CHECK(malformed(in_proj, 2) ==
        prefix + "rotation must be 1, as this matrix is not rotated, found 2");
  const std::string rotation = "rotation must be a power of two, or 12 or 40 times one, ";
  CHECK(malformed(out_proj, 36).ends_with(rotation + "found 36"));
  CHECK(malformed(out_proj, 7168).ends_with(rotation + "found 7168"));
  CHECK(malformed(out_proj, 0).ends_with("must be an integer in 1..2147483647, found 0"));
  CHECK(malformed(out_proj, "x").ends_with("found \"x\""));
  CHECK(
      refused_entry(ErrorCode::mismatch, out_proj, [](auto& entry) { entry["rotation"] = 256; }) ==
      "shard 1 of 1: tensor \"layers.0.mixer.out_proj.weight\": must have columns in whole "
      "groups of 64 and rotations of 256, found 128");
  CHECK(refused_entry(ErrorCode::mismatch, in_proj, [](auto& entry) {
          entry["group"] = 128;
        }).ends_with("must have columns in whole groups of 128 and rotations of 1, found 64"));
}

TEST_CASE("quantization: tensors that are missing or do not fit are refused") {
  const std::string weight = "layers.1.mixer.in_proj.weight";
  const std::string scale = weight + "_scale";
  const auto mismatch = [](const auto& change) {
    return refused_checkpoint(ErrorCode::mismatch, change);
  };
  const std::string prefix = "shard 1 of 1: tensor \"" + weight + "\"";
  CHECK(mismatch([&](auto& m) { m.erase(scale); }) ==
        prefix + " must have its \"_scale\" tensor, found none");
  CHECK(mismatch([&](auto& m) { m.erase(weight); }) ==
        "config.json: tensor \"" + weight + "\" of quantization_config must be there, found none");
  CHECK(mismatch([&](auto& m) { m[weight].dtype = "I8"; }) ==
        prefix +
            ": as quantization_config has it, must be U8 with two dimensions, found I8 (270, "
            "32)");
  CHECK(mismatch([&](auto& m) { m[weight].shape = {270 * 32}; }).ends_with("found U8 (8640)"));
  CHECK(mismatch([&](auto& m) {
          m[weight].shape = {90, 96};
        }).ends_with("must be F16 (90, 6), found F16 (270, 2)"));
  CHECK(mismatch([&](auto& m) {
          m[weight].shape = {90, 96};
          m[scale].shape = {90, 6};
        }).ends_with("shape must be (270, 64), found (90, 192)"));
  CHECK(mismatch([&](auto& m) {
          m[scale].dtype = "BF16";
        }).ends_with("must be F16 (270, 2), found BF16 (270, 2)"));
  CHECK(mismatch([&](auto& m) {
          m["embedding.weight_scale"].shape = {17, 1};
        }).ends_with("must be F32 (17), found F32 (17, 1)"));
  // Without an entry the codes are no weights, and scales belong to nothing.
  CHECK(mismatch([&](auto& model) {
          model.erase(weight);
          model.erase(scale);
        })
            .ends_with("\"layers.1.mixer.in_proj.weight\" of quantization_config must be there, "
                       "found none"));
  const auto forgotten = [](auto& m) {
    m.change([](auto& all) { all["matrices"].erase("embedding"); });
  };
  CHECK(refused_checkpoint(ErrorCode::unsupported, forgotten)
            .ends_with("dtype must be F64, F32, F16 or BF16, found I8"));
  CHECK(mismatch([&](auto& m) {
          m.tensors.push_back(m[scale]);
          m.tensors.back().name = "lm_head.weight_scale";
        }).ends_with("expected the tensors of the config only, found \"lm_head.weight_scale\""));
}
