// SPDX-License-Identifier: Apache-2.0
// The smallest reader and writer of safetensors that the tests' own, trusted files need.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/result.hpp"

namespace reference {

using mamba2::Error;
using mamba2::ErrorCode;
using mamba2::Result;

/// One tensor: row-major, little-endian bytes.
struct Tensor {
  std::string dtype;  ///< as safetensors names it: "F32", "BF16", "I32"…
  std::vector<std::size_t> shape;
  std::string bytes;

  [[nodiscard]] std::size_t size() const {
    return std::accumulate(shape.begin(), shape.end(), std::size_t{1}, std::multiplies<>());
  }
};

/// A file of tensors.
struct Safetensors {
  std::map<std::string, Tensor> tensors;
  std::map<std::string, std::string> metadata;
};

namespace detail {

inline std::size_t dtype_size(std::string_view dtype) {
  if (dtype == "F64" || dtype == "I64") return 8;
  if (dtype == "F32" || dtype == "I32") return 4;
  if (dtype == "F16" || dtype == "BF16") return 2;
  return 0;
}

inline double half_to_double(std::uint16_t bits) {
  const int exponent = (bits >> 10) & 31;
  const int mantissa = bits & 1023;
  const double magnitude = exponent == 0    ? std::ldexp(mantissa, -24)
                           : exponent == 31 ? (mantissa == 0 ? HUGE_VAL : std::nan(""))
                                            : std::ldexp(mantissa + 1024, exponent - 25);
  return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

inline double bfloat16_to_double(std::uint16_t bits) {
  return static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16));
}

template <class Stored, class Convert>
std::vector<double> convert(const std::string& bytes, Convert to_double) {
  std::vector<double> values(bytes.size() / sizeof(Stored));
  for (std::size_t i = 0; i < values.size(); ++i) {
    Stored stored;
    std::memcpy(&stored, bytes.data() + i * sizeof(Stored), sizeof(Stored));
    values[i] = to_double(stored);
  }
  return values;
}

}  // namespace detail

/// The values of a tensor. Every dtype above converts exactly.
inline std::vector<double> to_double(const Tensor& tensor) {
  const auto cast = [](auto v) { return static_cast<double>(v); };
  if (tensor.dtype == "F64") return detail::convert<double>(tensor.bytes, cast);
  if (tensor.dtype == "F32") return detail::convert<float>(tensor.bytes, cast);
  if (tensor.dtype == "I64") return detail::convert<std::int64_t>(tensor.bytes, cast);
  if (tensor.dtype == "I32") return detail::convert<std::int32_t>(tensor.bytes, cast);
  if (tensor.dtype == "F16") {
    return detail::convert<std::uint16_t>(tensor.bytes, detail::half_to_double);
  }
  return detail::convert<std::uint16_t>(tensor.bytes, detail::bfloat16_to_double);
}

/// An F32 tensor of the values, rounded to nearest.
inline Tensor f32_tensor(std::vector<std::size_t> shape, const std::vector<double>& values) {
  Tensor tensor{"F32", std::move(shape), {}};
  for (const double value : values) {
    const float rounded = static_cast<float>(value);
    char bytes[sizeof rounded];
    std::memcpy(bytes, &rounded, sizeof rounded);
    tensor.bytes.append(bytes, sizeof bytes);
  }
  return tensor;
}

inline Result<std::string> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return Error{ErrorCode::io, "cannot open " + path};
  std::ostringstream bytes;
  bytes << file.rdbuf();
  return std::move(bytes).str();
}

/// The tensors in the bytes of a safetensors file; `name` is for messages.
inline Result<Safetensors> parse_safetensors(const std::string& bytes, const std::string& name) {
  const auto malformed = [&name](const std::string& what) {
    return Error{ErrorCode::malformed, name + ": " + what};
  };
  std::uint64_t header_size = 0;
  if (bytes.size() < sizeof header_size) return malformed("shorter than 8 bytes");
  std::memcpy(&header_size, bytes.data(), sizeof header_size);
  if (header_size > bytes.size() - sizeof header_size) return malformed("header is cut off");
  const std::size_t data = sizeof header_size + header_size;
  const auto header = nlohmann::json::parse(bytes.data() + sizeof header_size, bytes.data() + data,
                                            nullptr, /*allow_exceptions=*/false);
  if (!header.is_object()) return malformed("header is not a JSON object");

  Safetensors out;
  for (const auto& [key, entry] : header.items()) {
    if (key == "__metadata__") {
      for (const auto& [k, v] : entry.items()) out.metadata[k] = v.get<std::string>();
      continue;
    }
    Tensor tensor{
        entry["dtype"].get<std::string>(), entry["shape"].get<std::vector<std::size_t>>(), {}};
    const auto begin = entry["data_offsets"][0].get<std::size_t>();
    const auto end = entry["data_offsets"][1].get<std::size_t>();
    const std::size_t width = detail::dtype_size(tensor.dtype);
    if (begin > end || end > bytes.size() - data || width == 0 ||
        tensor.size() * width != end - begin) {
      return malformed(key + ": dtype, shape and data_offsets do not fit");
    }
    tensor.bytes = bytes.substr(data + begin, end - begin);
    out.tensors[key] = std::move(tensor);
  }
  return out;
}

inline Result<Safetensors> load_safetensors(const std::string& path) {
  const Result<std::string> bytes = read_file(path);
  if (!bytes) return bytes.error();
  return parse_safetensors(*bytes, path);
}

/// The bytes of a safetensors file: tensors in the order of their names, the header padded so that
/// the data is aligned to 8 bytes.
inline std::string write_safetensors(const Safetensors& content) {
  nlohmann::json header = nlohmann::json::object();
  if (!content.metadata.empty()) header["__metadata__"] = content.metadata;
  std::string data;
  for (const auto& [name, tensor] : content.tensors) {
    header[name] = {{"dtype", tensor.dtype},
                    {"shape", tensor.shape},
                    {"data_offsets", {data.size(), data.size() + tensor.bytes.size()}}};
    data += tensor.bytes;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const std::uint64_t size = text.size();
  char prefix[sizeof size];
  std::memcpy(prefix, &size, sizeof size);
  return std::string(prefix, sizeof prefix) + text + data;
}

}  // namespace reference
