// SPDX-License-Identifier: Apache-2.0
// Quantized checkpoints in memory, right or with one thing wrong.
#pragma once

#include <cstddef>
#include <functional>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mamba2/io/checkpoint.hpp"
#include "mamba2/io/export.hpp"
#include "mamba2/io/quantization.hpp"
#include "mamba2/io/update_config.hpp"
#include "mamba2/kernels/hadamard.hpp"
#include "mamba2/quantize/quantize_rows.hpp"
#include "tests/io/safetensors_writer.hpp"
#include "tests/model_helpers.hpp"

namespace mamba2_tests {

/// The files of a model whose matrices are rounded to nearest.
struct QuantizedModel {
  struct Tensor {
    std::string name;
    std::string dtype;
    std::vector<std::size_t> shape;
    std::vector<std::byte> data;
  };
  /// What a matrix of this name (without ".weight") and width shall be.
  using Choice = std::function<mamba2::StoredFormat(std::string_view name, std::size_t cols)>;

  std::string config;
  std::vector<Tensor> tensors;

  QuantizedModel(const mamba2::Config& model, const reference::Weights& weights,
                 const Choice& choose) {
    const auto files = reference::to_checkpoint(model, weights);
    const std::span<const std::byte> shard = std::as_bytes(std::span(files.safetensors));
    const auto original =
        mamba2::Checkpoint::from_bytes(files.config_json, std::span(&shard, 1)).value();
    mamba2::Quantization quantization;
    for (const mamba2::TensorView& tensor : original.tensors()) {
      constexpr std::string_view kWeight = ".weight";
      const std::string stem = tensor.name.substr(0, tensor.name.size() - kWeight.size());
      mamba2::StoredFormat format;
      const mamba2::Role role = mamba2::expected_tensor(model, tensor.name)->role;
      if (mamba2::is_matrix(role)) format = choose(stem, tensor.shape[1]);
      if (mamba2::has_scales(format.dtype)) {
        quantization[stem] = format;
        add_quantized(tensor, format);
      } else {
        tensors.push_back(
            {tensor.name, "F32", tensor.shape, {tensor.data.begin(), tensor.data.end()}});
      }
    }
    config = mamba2::set_quantization(files.config_json, quantization);
  }

  [[nodiscard]] Tensor& operator[](std::string_view name) {
    for (Tensor& tensor : tensors) {
      if (tensor.name == name) return tensor;
    }
    return tensors.emplace_back();
  }

  void erase(std::string_view name) {
    std::erase_if(tensors, [name](const Tensor& tensor) { return tensor.name == name; });
  }

  /// Changes the quantization_config.
  void change(const std::function<void(nlohmann::json&)>& with) {
    auto json = nlohmann::json::parse(config);
    with(json["quantization_config"]);
    config = json.dump();
  }

  [[nodiscard]] std::vector<std::byte> bytes() const {
    SafetensorsWriter writer;
    for (const Tensor& t : tensors) writer.add_bytes(t.name, t.shape, t.dtype, t.data);
    return writer.bytes();
  }

  /// Calls use(Result<Checkpoint>).
  template <class Use>
  auto open(Use use) const {
    const std::vector<std::byte> file = bytes();
    const std::span<const std::byte> shard(file);
    return use(mamba2::Checkpoint::from_bytes(config, std::span(&shard, 1)));
  }

 private:
  void add_quantized(const mamba2::TensorView& tensor, const mamba2::StoredFormat& format) {
    const std::size_t rows = tensor.shape[0];
    const std::size_t cols = tensor.shape[1];
    std::vector<float> values(rows * cols);
    mamba2::read_floats(tensor, 0, values);
    if (format.rotation > 1) {
      for (std::size_t r = 0; r < rows; ++r) {
        mamba2::kernels::hadamard_of_weights(&values[r * cols], cols, format.rotation);
      }
    }
    const bool is_8_bits = format.dtype == mamba2::DType::INT8;
    const std::size_t groups = cols / mamba2::dtype_block(format.dtype);
    Tensor codes{tensor.name, is_8_bits ? "I8" : "U8", {rows, is_8_bits ? cols : cols / 2}, {}};
    Tensor scales{tensor.name + "_scale", is_8_bits ? "F32" : "F16", {rows}, {}};
    if (!is_8_bits) scales.shape.push_back(groups);
    codes.data.resize(mamba2::code_bytes(format.dtype, rows * cols));
    scales.data.resize(mamba2::scales_bytes(format.dtype, rows, cols));
    mamba2::quantize_rows(format.dtype, values.data(), rows, cols, {}, codes.data.data(),
                          scales.data.data());
    tensors.push_back(codes);
    tensors.push_back(scales);
  }
};

}  // namespace mamba2_tests
