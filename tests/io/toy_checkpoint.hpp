// SPDX-License-Identifier: Apache-2.0
// A tiny model whose files a test can build, right or with one thing wrong.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/io/config_json.hpp"
#include "mamba2/io/tensor_names.hpp"
#include "mamba2/io/tensor_view.hpp"
#include "mamba2/layers/config.hpp"
#include "tests/io/safetensors_writer.hpp"

namespace mamba2_tests {

/// The config and the tensors of a model, all under the names of transformers. Element i of tensor
/// number t is t + i / 1024.
struct ToyCheckpoint {
  struct Tensor {
    std::string name;
    std::vector<std::size_t> shape;
    mamba2::DType dtype = mamba2::DType::F32;
  };

  std::string config;
  std::vector<Tensor> tensors;

  /// The tensors that this config.json asks for.
  explicit ToyCheckpoint(std::string json) : config(std::move(json)) {
    const mamba2::Config parsed = mamba2::parse_config(config).value();
    (void)mamba2::expected_tensors(parsed, [this](const mamba2::TensorSpec& spec) {
      tensors.push_back({name_in_transformers(spec.name), spec.shape});
      return mamba2::Result<void>{};
    });
  }

  /// Two layers, d_model 6, four heads of 3 channels in two groups; `more` adds to the config.
  static ToyCheckpoint small(const std::string& more = "\"tie_word_embeddings\": true") {
    return ToyCheckpoint(R"({"model_type": "mamba2", "hidden_size": 6, "head_dim": 3,
        "num_heads": 4, "n_groups": 2, "state_size": 5, "conv_kernel": 3, "vocab_size": 11,
        "num_hidden_layers": 2, )" +
                         more + "}");
  }

  /// The tensor whose name ends so.
  Tensor& operator[](std::string_view end) {
    for (Tensor& tensor : tensors) {
      if (std::string_view(tensor.name).ends_with(end)) return tensor;
    }
    return tensors.emplace_back(Tensor{std::string(end), {}});
  }

  void erase(std::string_view end) {
    std::erase_if(tensors,
                  [end](const Tensor& t) { return std::string_view(t.name).ends_with(end); });
  }

  /// The tensors [first, last) as a file.
  [[nodiscard]] std::vector<std::byte> bytes(std::size_t first = 0,
                                             std::size_t last = ~std::size_t{0}) const {
    SafetensorsWriter writer;
    for (std::size_t t = first; t < tensors.size() && t < last; ++t) {
      const Tensor& tensor = tensors[t];
      std::size_t count = 1;
      for (const std::size_t dim : tensor.shape) count *= dim;
      if (mamba2::is_float(tensor.dtype)) {
        std::vector<float> values(count);
        for (std::size_t i = 0; i < count; ++i) {
          values[i] = static_cast<float>(t) + static_cast<float>(i) / 1024.0F;
        }
        writer.add(tensor.name, tensor.shape, values, tensor.dtype);
      } else {
        const std::vector<std::byte> data(count * mamba2::dtype_size(tensor.dtype));
        writer.add_bytes(tensor.name, tensor.shape, mamba2::dtype_name(tensor.dtype), data);
      }
    }
    return writer.bytes();
  }

 private:
  static std::string name_in_transformers(const std::string& name) {
    if (name == "lm_head.weight") return name;
    return "backbone." + (name == "embedding.weight" ? "embeddings.weight" : name);
  }
};

}  // namespace mamba2_tests
