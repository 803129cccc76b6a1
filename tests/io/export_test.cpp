// SPDX-License-Identifier: Apache-2.0
// Models in other formats: what comes back is the same model; what a format cannot say is refused.
#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mamba2/io/checkpoint.hpp"
#include "mamba2/io/config_json.hpp"
#include "mamba2/io/gguf.hpp"
#include "mamba2/io/gguf_export.hpp"
#include "mamba2/io/tensor_names.hpp"
#include "mamba2/io/transformers_export.hpp"

using mamba2::Config;
using mamba2::DType;
using mamba2::ErrorCode;
using mamba2::ExportedTensor;
using mamba2::Result;

namespace {

using Shape = std::vector<std::size_t>;

/// Two groups, a head of its own.
Config two_groups() {
  Config config;
  config.d_model = 32;
  config.n_layer = 2;
  config.vocab_size = 24;
  config.d_inner = config.d_ssm = 64;
  config.headdim = 16;
  config.d_state = 8;
  config.ngroups = 2;
  config.d_conv = 3;
  config.norm_eps = 1e-6F;
  config.tie_embeddings = false;
  config.eos_token_ids = {3, 5, 4};
  return config;
}

void check_same(const Config& a, const Config& b) {
  CHECK(a.d_model == b.d_model);
  CHECK(a.n_layer == b.n_layer);
  CHECK(a.vocab_size == b.vocab_size);
  CHECK(a.d_inner == b.d_inner);
  CHECK(a.d_ssm == b.d_ssm);
  CHECK(a.headdim == b.headdim);
  CHECK(a.d_state == b.d_state);
  CHECK(a.ngroups == b.ngroups);
  CHECK(a.d_conv == b.d_conv);
  CHECK(a.norm_eps == b.norm_eps);
  CHECK(a.dt_min == b.dt_min);
  CHECK(a.dt_max == b.dt_max);
  CHECK(a.bias == b.bias);
  CHECK(a.conv_bias == b.conv_bias);
  CHECK(a.tie_embeddings == b.tie_embeddings);
  CHECK(a.eos_token_ids == b.eos_token_ids);
}

/// A GGUF file of zeros.
std::vector<std::byte> gguf_of(const Config& config, DType matrices) {
  std::vector<std::byte> file;
  mamba2::GgufWriter writer;
  mamba2::set_gguf_config(writer, config, {.bos = 1, .pad = 2}, matrices);
  std::size_t bytes = 0;
  for (const ExportedTensor& tensor : mamba2::gguf_export(config, matrices)) {
    writer.add_tensor(tensor.name, tensor.dtype, tensor.shape).value();
    bytes += mamba2::detail::announced_bytes(tensor.name, tensor.dtype, tensor.shape).value();
  }
  writer
      .start([&](std::span<const std::byte> part) {
        file.insert(file.end(), part.begin(), part.end());
        return Result<void>();
      })
      .value();
  writer.write(std::vector<std::byte>(bytes)).value();
  writer.finish().value();
  return file;
}

DType type_of(const Config& config, DType matrices, std::string_view name) {
  for (const ExportedTensor& tensor : mamba2::gguf_export(config, matrices)) {
    if (tensor.name == name) return tensor.dtype;
  }
  FAIL("no tensor of that name");
  return DType::F64;
}

void check_not_exported(const Result<void>& outcome, std::string_view key) {
  CAPTURE(key);
  REQUIRE(!outcome);
  CAPTURE(outcome.error().message);
  CHECK(outcome.error().code == ErrorCode::unsupported);
  CHECK(outcome.error().message.starts_with(std::string(key) + " must be "));
}

/// Refused by both formats when `change` is made.
template <class Change>
void check_refused_by_both(std::string_view key, Change change) {
  Config config = two_groups();
  change(config);
  check_not_exported(mamba2::check_gguf_export(config), key);
  check_not_exported(mamba2::check_transformers_export(config), key);
}

template <class Change>
void check_refused_by_gguf(std::string_view key, Change change) {
  Config config = two_groups();
  change(config);
  check_not_exported(mamba2::check_gguf_export(config), key);
  CHECK(mamba2::check_transformers_export(config));
}

}  // namespace

TEST_CASE("export: a GGUF file is the same model") {
  for (const bool tied : {false, true}) {
    Config config = two_groups();
    config.tie_embeddings = tied;
    CHECK(mamba2::check_gguf_export(config));
    const auto file = gguf_of(config, DType::Q8_0);
    const auto checkpoint = mamba2::Checkpoint::from_gguf(file);
    REQUIRE(checkpoint);
    check_same(checkpoint->config(), config);
  }
}

TEST_CASE("export: names, shapes and keys of GGUF, as llama.cpp has them") {
  const auto file = gguf_of(two_groups(), DType::F16);
  const auto gguf = mamba2::Gguf::parse(file, "file").value();
  const auto shape = [&gguf](std::string_view name) {
    const auto* tensor = gguf.find(name);
    return tensor == nullptr ? Shape{} : tensor->shape;
  };
  CHECK(gguf.tensors().size() == 3 + 2 * 9);
  CHECK(shape("token_embd.weight") == Shape{24, 32});
  CHECK(shape("output.weight") == Shape{24, 32});
  CHECK(shape("output_norm.weight") == Shape{32});
  CHECK(shape("blk.1.attn_norm.weight") == Shape{32});
  CHECK(shape("blk.1.ssm_in.weight") == Shape{64 + 96 + 4, 32});
  CHECK(shape("blk.1.ssm_conv1d.weight") == Shape{96, 3});
  CHECK(shape("blk.1.ssm_conv1d.bias") == Shape{96});
  CHECK(shape("blk.1.ssm_dt.bias") == Shape{4});
  CHECK(shape("blk.1.ssm_a") == Shape{4, 1});
  CHECK(shape("blk.1.ssm_d") == Shape{4, 1});
  CHECK(shape("blk.1.ssm_norm.weight") == Shape{2, 32});
  CHECK(shape("blk.1.ssm_out.weight") == Shape{32, 64});
  const auto number = [&gguf](std::string_view key) {
    const auto* value = gguf.metadata().find(key);
    return value == nullptr ? -1.0 : value->number().value_or(-2.0);
  };
  CHECK(number("mamba2.feed_forward_length") == 0);
  CHECK(number("mamba2.attention.head_count") == 0);
  CHECK(number("mamba2.context_length") == 1048576);
  CHECK(number("mamba2.vocab_size") == 24);
  CHECK(number("mamba2.ssm.time_step_rank") == 4);
  CHECK(number("general.file_type") == 1);
  CHECK(number("tokenizer.ggml.bos_token_id") == 1);
  CHECK(number("tokenizer.ggml.padding_token_id") == 2);
  CHECK(number("tokenizer.ggml.unknown_token_id") == -1);
  CHECK(gguf.metadata().find("tokenizer.ggml.model")->text() == "none");
}

TEST_CASE("export: types of tensors in GGUF") {
  Config config = two_groups();
  for (const DType matrices : {DType::F32, DType::F16, DType::BF16, DType::Q8_0, DType::Q4_0}) {
    CHECK(type_of(config, matrices, "blk.0.ssm_in.weight") == matrices);
    CHECK(type_of(config, matrices, "blk.0.ssm_out.weight") == matrices);
    CHECK(type_of(config, matrices, "token_embd.weight") == matrices);
    for (const std::string_view name : {"attn_norm.weight", "ssm_conv1d.weight", "ssm_conv1d.bias",
                                        "ssm_dt.bias", "ssm_a", "ssm_d", "ssm_norm.weight"}) {
      CHECK(type_of(config, matrices, "blk.0." + std::string(name)) == DType::F32);
    }
    CHECK(type_of(config, matrices, "output_norm.weight") == DType::F32);
  }
  // The head is Q6_K beside Q4_0, if its rows are whole blocks; the embedding if it is the head.
  CHECK(type_of(config, DType::Q4_0, "output.weight") == DType::Q8_0);
  config.d_model = 256;
  CHECK(type_of(config, DType::Q4_0, "output.weight") == DType::Q6_K);
  CHECK(type_of(config, DType::Q8_0, "output.weight") == DType::Q8_0);
  CHECK(type_of(config, DType::Q4_0, "token_embd.weight") == DType::Q4_0);
  config.tie_embeddings = true;
  CHECK(type_of(config, DType::Q4_0, "token_embd.weight") == DType::Q6_K);
  config.d_model = 40;
  CHECK(type_of(config, DType::Q4_0, "token_embd.weight") == DType::F16);
  CHECK(type_of(config, DType::Q4_0, "blk.0.ssm_in.weight") == DType::F16);
  CHECK(type_of(config, DType::Q8_0, "blk.0.ssm_out.weight") == DType::Q8_0);
}

TEST_CASE("export: config.json of transformers is the same model") {
  const auto check = [](const Config& config) {
    const auto text = mamba2::transformers_config(config, {.bos = 1}, DType::F16);
    CAPTURE(text);
    CHECK(text.find("\"model_type\": \"mamba2\"") != std::string::npos);
    CHECK(text.find("\"bos_token_id\": 1") != std::string::npos);
    CHECK(text.find("\"pad_token_id\": null") != std::string::npos);
    CHECK(text.find("\"torch_dtype\": \"float16\"") != std::string::npos);
    CHECK(text.find("Infinity") == std::string::npos);
    check_same(mamba2::parse_config(text).value(), config);
  };
  Config config = two_groups();
  CHECK(mamba2::check_transformers_export(config));
  check(config);
  config.tie_embeddings = true;
  config.bias = true;
  config.conv_bias = false;
  config.eos_token_ids = {7};
  config.dt_min = 0.001F;
  config.dt_max = 0.1F;
  check(config);
  config.eos_token_ids.clear();
  config.dt_min = 0.0F;
  config.dt_max = 1e9F;
  check(config);
  // expand with a fraction: int(expand * hidden_size) must give d_inner back.
  config.headdim = 1;
  config.ngroups = 1;
  for (std::size_t d_model = 1; d_model < 60; ++d_model) {
    config.d_model = d_model;
    config.d_inner = config.d_ssm = 2 * d_model + 1;
    check(config);
  }
  config.dt_min = 0.5F;
  config.dt_max = std::numeric_limits<float>::infinity();
  const auto text = mamba2::transformers_config(config, {}, DType::F32);
  CHECK(mamba2::parse_config(text).value().dt_max == std::numeric_limits<float>::max());
}

TEST_CASE("export: names and types in transformers") {
  std::vector<std::string> names;
  for (const ExportedTensor& tensor : mamba2::transformers_export(two_groups(), DType::BF16)) {
    CHECK(mamba2::canonical_name(tensor.name) == tensor.canonical);
    CHECK(tensor.dtype == (mamba2::is_matrix(tensor.role) ? DType::BF16 : DType::F32));
    names.push_back(tensor.name);
  }
  CHECK(names.size() == 3 + 2 * 9);
  CHECK(names.front() == "backbone.embeddings.weight");
  CHECK(names[2] == "backbone.layers.0.mixer.in_proj.weight");
  CHECK(names.back() == "lm_head.weight");
}

TEST_CASE("export: what cannot be said is refused by name") {
  check_refused_by_both("norm_before_gate", [](Config& c) { c.norm_before_gate = true; });
  check_refused_by_both("rmsnorm", [](Config& c) { c.rmsnorm = false; });
  check_refused_by_both("D_has_hdim", [](Config& c) { c.D_has_hdim = true; });
  check_refused_by_both("d_ssm", [](Config& c) { c.d_ssm = 32; });
  check_refused_by_gguf("bias", [](Config& c) { c.bias = true; });
  check_refused_by_gguf("conv_bias", [](Config& c) { c.conv_bias = false; });
  check_refused_by_gguf("dt_limit", [](Config& c) { c.dt_max = 0.1F; });
  check_refused_by_gguf("dt_limit", [](Config& c) { c.dt_min = 0.001F; });
  check_refused_by_gguf("eos_token_id", [](Config& c) { c.eos_token_ids = {1, 2, 3, 4}; });
  Config config = two_groups();
  config.dt_max = 1e9F;  // written for infinity
  CHECK(mamba2::check_gguf_export(config));
}
