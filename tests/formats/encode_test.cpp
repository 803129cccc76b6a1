// SPDX-License-Identifier: Apache-2.0
// From floats to the types of checkpoints: as the gguf package writes them, to the byte, and back.
#include "mamba2/formats/encode.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "mamba2/core/mapped_file.hpp"
#include "mamba2/io/safetensors.hpp"
#include "mamba2/io/tensor_view.hpp"

using mamba2::DType;
using mamba2::TensorView;

namespace {

using Bytes = std::vector<std::byte>;

constexpr DType kEncodable[] = {DType::F32,  DType::F16,  DType::BF16,
                                DType::Q8_0, DType::Q4_0, DType::Q6_K};

Bytes encode(DType dtype, std::span<const float> values) {
  const std::size_t size = values.size() / mamba2::dtype_block(dtype) * mamba2::dtype_size(dtype);
  Bytes bytes(size + 1, std::byte{0xA5});  // one more, which must stay as it is
  mamba2::encode_floats(dtype, values, bytes.data());
  CHECK(bytes.back() == std::byte{0xA5});
  bytes.pop_back();
  return bytes;
}

/// What reading makes of the bytes.
std::vector<float> decode(DType dtype, const Bytes& bytes) {
  const TensorView tensor{"t", dtype, {}, bytes, "f"};
  std::vector<float> values(tensor.elements());
  mamba2::read_floats(tensor, 0, values);
  return values;
}

std::vector<float> random_values(std::size_t count, float deviation) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal(0.0F, deviation);
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

/// The mean squared error over the mean square.
double relative_error(DType dtype, std::span<const float> values) {
  const std::vector<float> found = decode(dtype, encode(dtype, values));
  double error = 0;
  double square = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    error += std::pow(double{found[i]} - values[i], 2);
    square += std::pow(double{values[i]}, 2);
  }
  return error / square;
}

}  // namespace

TEST_CASE("encode: which types") {
  for (const DType dtype : kEncodable) CHECK(mamba2::is_encodable(dtype));
  for (const DType dtype : {DType::F64, DType::I64, DType::Q4_1, DType::Q4_K, DType::TQ2_0}) {
    CHECK(!mamba2::is_encodable(dtype));
  }
}

TEST_CASE("encode: Q8_0 and Q4_0 as the gguf package, to the byte") {
  const auto file =
      mamba2::MappedFile::open(MAMBA2_SOURCE_DIR "/tests/golden/gguf/encoded.safetensors").value();
  const auto golden = mamba2::Safetensors::parse(file.bytes(), "golden").value();
  const TensorView* floats = golden.find("floats");
  REQUIRE(floats != nullptr);
  std::vector<float> values(floats->elements());
  mamba2::read_floats(*floats, 0, values);
  for (const DType dtype : {DType::Q8_0, DType::Q4_0}) {
    CAPTURE(mamba2::dtype_name(dtype));
    const TensorView* expected = golden.find(mamba2::dtype_name(dtype));
    REQUIRE(expected != nullptr);
    const Bytes found = encode(dtype, values);
    REQUIRE(found.size() == expected->data.size());
    const auto differs = std::mismatch(found.begin(), found.end(), expected->data.begin()).first;
    CHECK(differs - found.begin() == static_cast<std::ptrdiff_t>(found.size()));
  }
}

TEST_CASE("encode: floats of 16 and 32 bits are rounded to nearest") {
  const std::vector<float> values = {1.0F, -0.1F, 65504.0F, 0x1p-24F, 0x1.004p0F, 0.0F};
  CHECK(decode(DType::F32, encode(DType::F32, values)) == values);
  const auto half = decode(DType::F16, encode(DType::F16, values));
  CHECK(half == std::vector<float>{1.0F, -0x1.998p-4F, 65504.0F, 0x1p-24F, 0x1.004p0F, 0.0F});
  const auto bf16 = decode(DType::BF16, encode(DType::BF16, values));
  CHECK(bf16 == std::vector<float>{1.0F, -0x1.9Ap-4F, 65536.0F, 0x1p-24F, 1.0F, 0.0F});
}

TEST_CASE("encode: errors are those of the types, for values of any size") {
  for (const float deviation : {1e-3F, 0.02F, 1.0F, 300.0F}) {
    CAPTURE(deviation);
    const auto values = random_values(std::size_t{64} * 256, deviation);
    CHECK(relative_error(DType::Q8_0, values) < 4e-5);
    CHECK(relative_error(DType::Q4_0, values) < 0.0080);
    CHECK(relative_error(DType::Q6_K, values) < 0.00045);
  }
}

TEST_CASE("encode: Q6_K, by hand") {
  std::vector<float> values(256);
  CHECK(encode(DType::Q6_K, values) == Bytes(210));
  // One scale for all: codes -32..31 times 1/4, every one exact. The scale code is -128, as the
  // extreme has code -32.
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = 0.25F * static_cast<float>(static_cast<int>(i % 16) * 4 - 32);
  }
  const Bytes bytes = encode(DType::Q6_K, values);
  CHECK(decode(DType::Q6_K, bytes) == values);
  for (std::size_t j = 0; j < 16; ++j) CHECK(bytes[192 + j] == std::byte{0x80});
  // A sub-block of zeros beside others stays zero.
  std::fill_n(values.begin() + 32, 16, 0.0F);
  CHECK(decode(DType::Q6_K, encode(DType::Q6_K, values)) == values);
}

TEST_CASE("encode: what is finite stays finite up to the limit") {
  for (const DType dtype : kEncodable) {
    CAPTURE(mamba2::dtype_name(dtype));
    std::vector<float> values(256, 0.0F);
    const float most = mamba2::max_encodable(dtype);
    values[0] = most;
    values[40] = -most;
    for (const float value : decode(dtype, encode(dtype, values))) CHECK(std::isfinite(value));
  }
}
