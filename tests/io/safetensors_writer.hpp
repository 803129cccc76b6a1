// SPDX-License-Identifier: Apache-2.0
// Makes safetensors files in memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mamba2/core/half.hpp"
#include "mamba2/core/result.hpp"
#include "mamba2/io/tensor_view.hpp"

namespace mamba2_tests {

/// Header length, header and data as they are given, right or wrong.
inline std::vector<std::byte> raw_safetensors(std::string_view header,
                                              std::span<const std::byte> data = {}) {
  const std::uint64_t length = header.size();
  std::vector<std::byte> file(sizeof length + header.size() + data.size());
  std::memcpy(file.data(), &length, sizeof length);
  if (!header.empty()) std::memcpy(&file[sizeof length], header.data(), header.size());
  if (!data.empty()) std::memcpy(&file[sizeof length + header.size()], data.data(), data.size());
  return file;
}

/// Collects tensors, in the order of their data, and writes them out.
class SafetensorsWriter {
 public:
  /// Adds a tensor of one of the float types, rounded to nearest even. `values` must hold as many
  /// as `shape` says; or it holds one, which fills the tensor.
  void add(std::string_view name, const std::vector<std::size_t>& shape,
           std::span<const float> values, mamba2::DType dtype = mamba2::DType::F32) {
    std::size_t count = 1;
    for (const std::size_t dim : shape) count *= dim;
    std::vector<std::byte> data;
    for (std::size_t i = 0; i < count; ++i) {
      append(data, values[values.size() == 1 ? 0 : i], dtype);
    }
    add_bytes(name, shape, mamba2::dtype_name(dtype), data);
  }

  /// Adds a tensor whose type and data are not checked.
  void add_bytes(std::string_view name, const std::vector<std::size_t>& shape,
                 std::string_view dtype, std::span<const std::byte> data) {
    using mamba2::detail::concat;
    std::string dims;
    for (const std::size_t dim : shape) dims += concat(dims.empty() ? "" : ",", dim);
    entries_ +=
        concat(entries_.empty() ? "" : ",", "\"", name, "\":{\"dtype\":\"", dtype, "\",\"shape\":[",
               dims, "],\"data_offsets\":[", data_.size(), ",", data_.size() + data.size(), "]}");
    data_.insert(data_.end(), data.begin(), data.end());
  }

  /// The header of the file, padded with spaces to a multiple of `align`: 8 as usual, or 1.
  [[nodiscard]] std::string header(std::size_t align = 8) const {
    std::string text = "{" + entries_ + "}";
    while (text.size() % align != 0) text += ' ';
    return text;
  }

  [[nodiscard]] std::vector<std::byte> bytes(std::size_t align = 8) const {
    return raw_safetensors(header(align), data_);
  }

 private:
  template <class Stored>
  static void append_stored(std::vector<std::byte>& out, Stored stored) {
    out.resize(out.size() + sizeof stored);
    std::memcpy(out.data() + out.size() - sizeof stored, &stored, sizeof stored);
  }
  static void append(std::vector<std::byte>& out, float value, mamba2::DType dtype) {
    if (dtype == mamba2::DType::F64) return append_stored(out, double{value});
    if (dtype == mamba2::DType::F16) return append_stored(out, mamba2::float_to_fp16(value));
    if (dtype == mamba2::DType::BF16) return append_stored(out, mamba2::float_to_bf16(value));
    append_stored(out, value);
  }

  std::string entries_;
  std::vector<std::byte> data_;
};

}  // namespace mamba2_tests
