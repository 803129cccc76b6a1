// SPDX-License-Identifier: Apache-2.0
// Element types, conversion to float, and tables of tensors.
#include "mamba2/io/tensor_view.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "mamba2/io/safetensors.hpp"
#include "tests/constants.hpp"
#include "tests/io/safetensors_writer.hpp"

using mamba2::DType;
using mamba2::TensorTable;
using mamba2::TensorView;

TEST_CASE("dtype: names and sizes") {
  CHECK(mamba2::dtype_name(DType::F64) == "F64");
  CHECK(mamba2::dtype_name(DType::BOOL) == "BOOL");
  CHECK(mamba2::dtype_size(DType::BF16) == 2);
  CHECK(mamba2::dtype_size(DType::I64) == 8);
  CHECK(mamba2::dtype_size(DType::BOOL) == 1);
  for (int i = 0; i <= static_cast<int>(DType::BOOL); ++i) {
    const auto dtype = static_cast<DType>(i);
    CHECK(mamba2::parse_dtype(mamba2::dtype_name(dtype)) == dtype);
  }
  for (const auto* wrong : {"", "f32", "F128", "F4", "F8_E8M0", "F32 "}) {
    CHECK(!mamba2::parse_dtype(wrong));
  }
  CHECK(mamba2::is_float(DType::F16));
  CHECK(!mamba2::is_float(DType::F8_E4M3));
  CHECK(!mamba2::is_float(DType::I32));
}

TEST_CASE("read_floats: every float type, at every alignment, any range") {
  std::vector<float> values(67);
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = (static_cast<float>(i) - 30.0F) * 0.125F;  // exact in each of the types
  }
  values[3] = std::numeric_limits<float>::infinity();
  values[4] = -0.0F;
  values[5] = 0x1p-24F;  // a subnormal fp16
  for (const DType dtype : {DType::F64, DType::F32, DType::F16, DType::BF16}) {
    CAPTURE(mamba2::dtype_name(dtype));
    for (std::size_t shift = 0; shift < 8; ++shift) {
      mamba2_tests::SafetensorsWriter writer;
      writer.add("x", {values.size()}, values, dtype);
      std::vector<std::byte> bytes = writer.bytes();
      bytes.insert(bytes.begin(), shift, std::byte{0});
      const auto file = mamba2::Safetensors::parse(std::span(bytes).subspan(shift), "f").value();
      const TensorView& tensor = file.tensors()[0];
      CHECK(tensor.elements() == values.size());
      for (const std::size_t first : {0U, 1U, 5U, 66U, 67U}) {
        std::vector<float> out(values.size() - first);
        mamba2::read_floats(tensor, first, out);
        CHECK(out == std::vector<float>(values.begin() + static_cast<std::ptrdiff_t>(first),
                                        values.end()));
      }
      std::vector<float> one(3, 9.0F);
      mamba2::read_floats(tensor, 4, std::span(one).first(1));
      CHECK((std::signbit(one[0]) && one[0] == 0.0F && one[1] == 9.0F));
    }
  }
}

TEST_CASE("read_floats: F64 is rounded, and infinite beyond the range of float") {
  const std::vector<double> values = {0.1, 1e300, -1e300, 1e-300, 3.4028235e38};
  mamba2_tests::SafetensorsWriter writer;
  writer.add_bytes("x", {values.size()}, "F64", std::as_bytes(std::span(values)));
  const std::vector<std::byte> bytes = writer.bytes();
  const auto file = mamba2::Safetensors::parse(bytes, "f").value();
  std::vector<float> out(values.size());
  mamba2::read_floats(file.tensors()[0], 0, out);
  CHECK(out == std::vector<float>{0.1F, tests::kInfinity, -tests::kInfinity, 0.0F,
                                  std::numeric_limits<float>::max()});
}

TEST_CASE("tensor table: finds by name, keeps the order, sees duplicates") {
  const auto named = [](std::string name, std::string file) {
    return TensorView{std::move(name), DType::F32, {}, {}, std::move(file)};
  };
  const TensorTable table({named("b", "1"), named("a", "2"), named("c", "3"), named("", "4")});
  CHECK(table.tensors()[0].name == "b");
  for (const TensorView& tensor : table.tensors()) CHECK(table.find(tensor.name) == &tensor);
  CHECK(table.find("d") == nullptr);
  CHECK(table.find("aa") == nullptr);
  CHECK(table.duplicate() == nullptr);
  CHECK(TensorTable().find("") == nullptr);

  const TensorTable twice({named("b", "1"), named("a", "2"), named("b", "3")});
  REQUIRE(twice.duplicate() != nullptr);
  CHECK(twice.duplicate()->file == "3");
  CHECK(twice.find("b")->file == "1");
}
