// SPDX-License-Identifier: Apache-2.0
// Weights that other programs have quantized are refused by the name of what did it.
#include "mamba2/io/foreign_quantization.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/io/checkpoint.hpp"
#include "mamba2/io/quantization.hpp"
#include "tests/io/checkpoint_refused.hpp"
#include "tests/io/temp_dir.hpp"
#include "tests/io/toy_checkpoint.hpp"

using mamba2::Checkpoint;
using mamba2::ErrorCode;
using mamba2::parse_quantization;
using mamba2_tests::ToyCheckpoint;

TEST_CASE("foreign quantization: every spelling names its program") {
  const std::vector<std::pair<std::string, std::string>> kinds = {
      {R"("quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": true})",
       "bitsandbytes"},
      {R"("quantization_config": {"load_in_8bit": true})", "bitsandbytes"},
      {R"("quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 128})", "gptq"},
      {R"("quantization_config": {"quant_method": "awq"})", "awq"},
      {R"("quantization_config": {"quant_method": "compressed-tensors"})",
       "compressed-tensors (format none)"},
      {R"("quantization_config": {"config_groups": {}, "format": "pack-quantized"})",
       "compressed-tensors (no config_groups)"},
      {R"("compression_config": {"config_groups": {}, "format": "nvfp4-pack-quantized"})",
       "compressed-tensors (format \"nvfp4-pack-quantized\")"},
      {R"("quantization_config": {"format": "pack-quantized", "config_groups": {"group_0":
          {"weights": {"num_bits": 4, "type": "int", "symmetric": false}}}})",
       "compressed-tensors (weights of num_bits 4, type \"int\", symmetric false)"},
      {R"("quantization_config": {"format": "float-quantized", "config_groups": {"group_0":
          {"weights": {"num_bits": 8, "type": "float", "block_structure": [64, 64]}}}})",
       "compressed-tensors (block_structure a list of 2)"},
      {R"("quantization_config": {"format": "float-quantized", "config_groups": {"g": {}}})",
       "compressed-tensors (no weights in group \"g\")"},
      {R"("compression_config": {"sparsity": 1})", "another program"},
      {R"("quantization_config": {"quant_method": "fp8", "weight_block_size": [64, 128]})",
       "fp8 (weight_block_size a list of 2)"},
      {R"("quantization_config": {"quant_method": "modelopt", "quant_algo": "NVFP4"})",
       "modelopt (quant_algo \"NVFP4\")"},
      {R"("quantization_config": {"quant_method": "quanto"})", "quanto"},
      {R"("quantization_config": {"quant_method": "mxfp4"})", "mxfp4"},
      {R"("quantization_config": {"quant_method": "torchao"})", "torchao"},
      {R"("quantization_config": {"quant_method": "a\nb"})", "a\\x0ab"},
      {R"("quantization": {"group_size": 64, "bits": 4})", "MLX"},
      {R"("quantization": {"group_size": 64, "bits": 4},
          "quantization_config": {"group_size": 64, "bits": 4})",
       "MLX"},
      {R"("quantization_config": {"group_size": 64, "bits": 4})", "MLX"},
      {R"("quantization": {"quant_algo": "FP8"})", "FP8"},
      {R"("quantization": {"qformat_weight": "fp8_e4m3"})", "another program"},
  };
  for (const auto& kind : kinds) {
    const auto& keys = kind.first;
    const auto& name = kind.second;
    CAPTURE(keys);
    const auto parsed = parse_quantization("{" + keys + "}", "dir/config.json");
    REQUIRE(!parsed);
    CHECK(parsed.error().code == ErrorCode::unsupported);
    CAPTURE(parsed.error().message);
    CHECK(parsed.error().message.starts_with("dir/config.json: the weights are quantized by " +
                                             name + ", which is not supported; expected no "));
    CHECK(parsed.error().message.find('\n') == std::string::npos);
  }
  for (
      const std::string keys :
      {R"("quantization_config": {"quant_method": "modelopt", "quant_algo": "FP8"})",
       R"("quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]})",
       R"("quantization_config": {"quant_method": "fbgemm_fp8"})",
       R"("quantization_config": {"quant_method": "compressed-tensors", "format": "float-quantized",
           "config_groups": {"group_0": {"weights": {"num_bits": 8, "type": "float"}}}})",
       R"("quantization_config": {"quant_method": "compressed-tensors", "format": "pack-quantized",
           "config_groups": {"group_0": {"weights": {"num_bits": 4, "type": "int",
           "symmetric": true, "group_size": 128}}}})",
       R"("quantization": null)", R"("quantization": {})", R"("quantization": "none")",
       R"("compression_config": null)", R"("quantization_config": null)"}) {
    CAPTURE(keys);
    CHECK(parse_quantization("{" + keys + "}").value().empty());
    const bool is_read = keys.find("quant_method") != std::string::npos;
    CHECK(mamba2::detail::is_quantized_by_others("{" + keys + "}") == is_read);
  }
}

TEST_CASE("foreign quantization: it is said before anything about the tensors") {
  auto toy = ToyCheckpoint::small(
      R"("quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": true})");
  toy["in_proj.weight"].dtype = mamba2::DType::I8;
  toy.erase("layers.1.mixer.D");
  const std::vector<std::byte> bytes = toy.bytes();
  const std::span<const std::byte> shard = bytes;
  const std::string_view expected = "the weights are quantized by bitsandbytes, which is not";
  mamba2_tests::check_refused(Checkpoint::from_bytes(toy.config, {&shard, 1}),
                              ErrorCode::unsupported, {"config.json: ", expected});
  const mamba2_tests::TempDir dir;
  dir.write("config.json", toy.config);
  dir.write("model.safetensors", "types that nobody knows");
  mamba2_tests::check_refused(Checkpoint::open(dir.path()), ErrorCode::unsupported,
                              {dir.path().native() + "/config.json: ", expected});
}

TEST_CASE("foreign quantization: FP8 with scales is read, whoever wrote it") {
  for (const std::string keys :
       {R"("quantization_config": {"quant_method": "modelopt", "quant_algo": "FP8"},)",
        R"("quantization_config": {"quant_method": "fp8"},)", ""}) {
    CAPTURE(keys);
    auto toy = ToyCheckpoint::small(keys + "\"tie_word_embeddings\": true");
    toy["layers.1.mixer.out_proj.weight"].dtype = mamba2::DType::F8_E4M3;  // zeros
    toy["backbone.layers.1.mixer.out_proj.weight_scale"].shape = {1};
    toy["backbone.layers.1.mixer.out_proj.input_scale"].shape = {1};
    const std::vector<std::byte> bytes = toy.bytes();
    const std::span<const std::byte> shard = bytes;
    const auto checkpoint = Checkpoint::from_bytes(toy.config, {&shard, 1});
    REQUIRE(checkpoint);
    const auto& matrix = checkpoint->tensor("layers.1.mixer.out_proj.weight");
    CHECK(matrix.dtype == mamba2::DType::F8_E4M3);
    CHECK(matrix.scales.size() == sizeof(float));
    toy.erase("out_proj.weight_scale");
    const std::vector<std::byte> without = toy.bytes();
    const std::span<const std::byte> other = without;
    mamba2_tests::check_refused(Checkpoint::from_bytes(toy.config, {&other, 1}),
                                ErrorCode::unsupported,
                                {"out_proj.weight", "found F8_E4M3 without scales"});
  }
}
