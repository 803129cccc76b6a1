// SPDX-License-Identifier: Apache-2.0
// Models as GGUF files, right or with one thing wrong.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "mamba2/io/checkpoint.hpp"
#include "mamba2/io/gguf_types.hpp"
#include "tests/io/gguf_writer.hpp"

namespace mamba2_tests {

/// A model as llama.cpp's converter writes it, all tensors F32 at first.
struct GgufModel {
  struct Tensor {
    std::string name;
    std::vector<std::size_t> shape;
    std::vector<float> values;
    mamba2::DType type = mamba2::DType::F32;
    std::vector<std::byte> data = {};  // of another type than F32
  };

  using Value =
      std::variant<std::uint32_t, float, std::string, std::int32_t, std::uint64_t, double>;

  std::map<std::string, Value> keys;
  std::vector<Tensor> tensors;

  explicit GgufModel(const mamba2::Checkpoint& checkpoint) {
    const mamba2::Config& c = checkpoint.config();
    const auto u32 = [](std::size_t value) { return static_cast<std::uint32_t>(value); };
    keys = {{"general.architecture", "mamba2"},
            {"general.name", "a model of the tests"},
            {"mamba2.context_length", u32(1048576)},
            {"mamba2.embedding_length", u32(c.d_model)},
            {"mamba2.feed_forward_length", u32(0)},
            {"mamba2.attention.head_count", u32(0)},
            {"mamba2.block_count", u32(c.n_layer)},
            {"mamba2.ssm.conv_kernel", u32(c.d_conv)},
            {"mamba2.ssm.inner_size", u32(c.d_inner)},
            {"mamba2.ssm.state_size", u32(c.d_state)},
            {"mamba2.ssm.time_step_rank", u32(c.nheads())},
            {"mamba2.ssm.group_count", u32(c.ngroups)},
            {"mamba2.attention.layer_norm_rms_epsilon", c.norm_eps},
            {"tokenizer.ggml.eos_token_id", u32(0)}};
    add(checkpoint, "embedding.weight", "token_embd.weight");
    for (std::size_t i = 0; i < c.n_layer; ++i) add_block(checkpoint, i);
    add(checkpoint, "norm_f.weight", "output_norm.weight");
    if (!c.tie_embeddings) add(checkpoint, "lm_head.weight", "output.weight");
  }

  /// The tensor of that name.
  Tensor& operator[](std::string_view name) {
    for (Tensor& tensor : tensors) {
      if (tensor.name == name) return tensor;
    }
    return tensors.emplace_back(Tensor{std::string(name), {1}, {0.0F}});
  }

  void erase(std::string_view name) {
    std::erase_if(tensors, [name](const Tensor& tensor) { return tensor.name == name; });
  }

  [[nodiscard]] std::vector<std::byte> bytes() const {
    GgufWriter writer;
    for (const auto& [key, value] : keys) {
      std::visit([&, name = key](const auto& v) { writer.add(name, v); }, value);
    }
    for (const Tensor& tensor : tensors) {
      if (tensor.type == mamba2::DType::F32) {
        writer.tensor(tensor.name, tensor.shape, tensor.values);
      } else {
        writer.tensor(tensor.name, tensor.shape, number_of(tensor.type), tensor.data);
      }
    }
    return writer.bytes();
  }

 private:
  static std::uint32_t number_of(mamba2::DType type) {
    const auto& names = mamba2::detail::kGgmlTypes;
    const auto at = std::find(names.begin(), names.end(), mamba2::dtype_name(type));
    return static_cast<std::uint32_t>(at - names.begin());
  }

  void add_block(const mamba2::Checkpoint& checkpoint, std::size_t layer) {
    const mamba2::Config& c = checkpoint.config();
    const std::string from = "layers." + std::to_string(layer) + ".";
    const std::string to = "blk." + std::to_string(layer) + ".";
    const auto add_one = [&](const char* name, const char* gguf) -> Tensor& {
      return add(checkpoint, from + name, to + gguf);
    };
    add_one("norm.weight", "attn_norm.weight");
    add_one("mixer.in_proj.weight", "ssm_in.weight");
    add_one("mixer.conv1d.weight", "ssm_conv1d.weight").shape = {c.conv_dim(), c.d_conv};
    add_one("mixer.conv1d.bias", "ssm_conv1d.bias");
    add_one("mixer.dt_bias", "ssm_dt.bias");
    Tensor& A = add_one("mixer.A_log", "ssm_a");
    A.shape = {c.nheads(), 1};
    for (float& value : A.values) value = -std::exp(value);
    add_one("mixer.D", "ssm_d").shape = {c.nheads(), 1};
    add_one("mixer.norm.weight", "ssm_norm.weight").shape = {c.ngroups, c.d_ssm / c.ngroups};
    add_one("mixer.out_proj.weight", "ssm_out.weight");
  }

  Tensor& add(const mamba2::Checkpoint& checkpoint, const std::string& name,
              const std::string& gguf) {
    const mamba2::TensorView& tensor = checkpoint.tensor(name);
    std::vector<float> values(tensor.elements());
    mamba2::read_floats(tensor, 0, values);
    return tensors.emplace_back(Tensor{gguf, tensor.shape, std::move(values)});
  }
};

}  // namespace mamba2_tests
