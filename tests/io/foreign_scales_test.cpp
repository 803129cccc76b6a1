// SPDX-License-Identifier: Apache-2.0
// Matrices as other programs quantize them: what those make of them, or refused.
#include "mamba2/io/foreign_scales.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/mapped_file.hpp"
#include "mamba2/io/safetensors.hpp"

using mamba2::DType;
using mamba2::ErrorCode;
using mamba2::Result;
using mamba2::TensorTable;
using mamba2::TensorView;
using mamba2::detail::join_foreign_scales;

namespace {

/// Tensors in memory, to be joined.
class Stored {
 public:
  Stored& add(const std::string& name, DType dtype, std::vector<std::size_t> shape,
              std::vector<std::byte> data) {
    data_.push_back(std::move(data));
    tensors_.push_back({name, dtype, std::move(shape), data_.back(), "f"});
    return *this;
  }
  template <class Number>
  Stored& add(const std::string& name, DType dtype, std::vector<std::size_t> shape,
              const std::vector<Number>& numbers) {
    const auto bytes = std::as_bytes(std::span(numbers));
    return add(name, dtype, std::move(shape), std::vector(bytes.begin(), bytes.end()));
  }
  /// A matrix of FP8, all of them 1.
  Stored& fp8(std::size_t rows, std::size_t cols, const std::string& name = "X.weight") {
    return add(name, DType::F8_E4M3, {rows, cols}, std::vector(rows * cols, std::byte{0x38}));
  }
  /// A matrix of packed codes, each 8 + 1.
  Stored& packed(std::size_t rows, std::size_t cols) {
    return add("X.weight_packed", DType::I32, {rows, cols / 8},
               std::vector(rows * cols / 2, std::byte{0x99}))
        .add("X.weight_shape", DType::I64, {2},
             std::vector<std::int64_t>{static_cast<std::int64_t>(rows),
                                       static_cast<std::int64_t>(cols)});
  }
  Stored& scales(std::vector<std::size_t> shape, const std::string& name = "X.weight_scale") {
    std::size_t count = 1;
    for (const std::size_t size : shape) count *= size;
    std::vector<float> values(count);
    for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<float>(i + 1);
    return add(name, DType::F32, std::move(shape), values);
  }

  [[nodiscard]] Result<std::vector<TensorView>> joined() const {
    return join_foreign_scales(tensors_);
  }
  /// The matrix X.
  [[nodiscard]] std::vector<float> floats() const {
    const auto all = joined();
    REQUIRE(all);
    REQUIRE(all->size() == 1);
    CHECK(all->front().name == "X.weight");
    std::vector<float> values(all->front().elements());
    mamba2::read_floats(all->front(), 0, values);
    return values;
  }
  void check_refused(ErrorCode code, std::initializer_list<std::string_view> parts) const {
    const auto all = joined();
    REQUIRE(!all);
    CAPTURE(all.error().message);
    CHECK(all.error().code == code);
    CHECK(all.error().message.starts_with("f: tensor \""));
    for (const std::string_view part : parts) {
      CAPTURE(part);
      CHECK(all.error().message.find(part) != std::string::npos);
    }
  }

 private:
  std::vector<TensorView> tensors_;
  std::vector<std::vector<std::byte>> data_;
};

}  // namespace

TEST_CASE("foreign scales: matrices are what the program makes of them that wrote them") {
  const auto file =
      mamba2::MappedFile::open(MAMBA2_SOURCE_DIR "/tests/golden/foreign/matrices.safetensors")
          .value();
  const auto golden = mamba2::Safetensors::parse(file.bytes(), "golden").value();
  const TensorTable table(
      join_foreign_scales({golden.tensors().begin(), golden.tensors().end()}).value());
  const std::vector<std::pair<std::string, DType>> kinds = {
      {"e4m3", DType::F8_E4M3},         {"e5m2", DType::F8_E5M2},
      {"fp8_tensor", DType::F8_E4M3},   {"fp8_channel", DType::F8_E4M3},
      {"fp8_group", DType::F8_E4M3},    {"fp8_block", DType::F8_E4M3},
      {"int4_g32", DType::INT4_G32},    {"int4_g64", DType::INT4_G64},
      {"int4_g128", DType::INT4_G128},  {"int4_g256", DType::INT4_G128},
      {"int4_channel", DType::INT4_G64}};
  CHECK(table.tensors().size() == 2 * kinds.size());
  for (const auto& kind : kinds) {
    const std::string& name = kind.first;
    CAPTURE(name);
    const TensorView* matrix = table.find(name + ".weight");
    const TensorView* floats = table.find(name + ".floats");
    REQUIRE(matrix != nullptr);
    REQUIRE(floats != nullptr);
    CHECK(matrix->dtype == kind.second);
    CHECK(matrix->shape == floats->shape);
    CHECK(matrix->is_readable());
    std::vector<float> expected(floats->elements());
    mamba2::read_floats(*floats, 0, expected);
    std::vector<float> found(expected.size());
    mamba2::read_floats(*matrix, 0, found);
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < found.size(); ++i) {
      const bool same = std::isnan(expected[i]) ? std::isnan(found[i]) : found[i] == expected[i];
      if (!same) ++wrong;
    }
    CHECK(wrong == 0);
    // Rows from the middle on, and of a part of the matrix.
    const std::size_t cols = matrix->shape[1];
    const std::size_t row = matrix->shape[0] / 2;
    const TensorView part = matrix->row_range(row, matrix->shape[0] - row);
    std::vector<float> rest((matrix->shape[0] - row) * cols);
    mamba2::read_floats(part, 0, rest);
    std::vector<float> middle(rest.size());
    mamba2::read_floats(*matrix, row * cols, middle);
    wrong = 0;
    for (std::size_t i = 0; i < rest.size(); ++i) {
      for (const float value : {rest[i], middle[i]}) {
        const float wanted = found[row * cols + i];
        if (std::isnan(wanted) ? !std::isnan(value) : value != wanted) ++wrong;
      }
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("foreign scales: which elements share one") {
  CHECK(Stored().fp8(2, 3).scales({}).floats() == std::vector<float>(6, 1.0F));
  CHECK(Stored().fp8(2, 3).scales({1, 1}).floats() == std::vector<float>(6, 1.0F));
  CHECK(Stored().fp8(2, 2).scales({2}).floats() == std::vector<float>{1, 1, 2, 2});
  CHECK(Stored().fp8(2, 2).scales({2, 1}, "X.weight_scale_inv").floats() ==
        std::vector<float>{1, 1, 2, 2});
  CHECK(Stored().fp8(1, 4).scales({1, 2}).floats() == std::vector<float>{1, 1, 2, 2});
  const auto blocks = Stored().fp8(130, 129).scales({2, 1, 2, 1}).floats();
  CHECK(blocks[0] == 1.0F);
  CHECK(blocks[128] == 2.0F);
  CHECK(blocks[127 * 129] == 1.0F);
  CHECK(blocks[128 * 129] == 3.0F);
  CHECK(blocks[129 * 129 + 128] == 4.0F);
  // A stack of two matrices (2, 1), with a scale each, or one for each row.
  const auto ones = std::vector(4, std::byte{0x38});
  CHECK(Stored().add("X.weight", DType::F8_E4M3, {2, 2, 1}, ones).scales({2, 1, 1}).floats() ==
        std::vector<float>{1, 1, 2, 2});
  CHECK(Stored().add("X.weight", DType::F8_E4M3, {2, 2, 1}, ones).scales({2, 2, 1}).floats() ==
        std::vector<float>{1, 2, 3, 4});
  const auto int4 = Stored().packed(2, 64).scales({2, 1}).floats();
  CHECK(int4[63] == 1.0F);
  CHECK(int4[64] == 2.0F);
}

TEST_CASE("foreign scales: those of activations and of caches are left out, all else stays") {
  Stored stored;
  stored.fp8(2, 2)
      .scales({})
      .scales({}, "X.input_scale")
      .scales({}, "k_proj.k_scale")
      .scales({2}, "Y.weight_scale")
      .scales({4}, "norm.weight");
  const auto all = stored.joined();
  REQUIRE(all);
  REQUIRE(all->size() == 3);
  CHECK((*all)[0].name == "X.weight");
  CHECK((*all)[1].name == "Y.weight_scale");
  CHECK((*all)[2].name == "norm.weight");
  // Where nothing is of such a kind, nothing is left out.
  CHECK(Stored().scales({}, "X.input_scale").joined().value().size() == 1);
}

TEST_CASE("foreign scales: what does not fit is refused") {
  CHECK(!Stored().fp8(2, 2).joined().value().front().is_readable());
  Stored().fp8(4, 4).scales({3}).check_refused(ErrorCode::unsupported,
                                               {"X.weight_scale", "(4, 4)", "found (3)"});
  Stored().fp8(4, 4).scales({4, 3}).check_refused(ErrorCode::unsupported, {"found (4, 3)"});
  Stored().fp8(4, 4).scales({4, 0}).check_refused(ErrorCode::unsupported, {"found (4, 0)"});
  Stored().fp8(0, 4).scales({1}).check_refused(ErrorCode::unsupported, {"(0, 4)"});
  Stored()
      .add("X.weight", DType::F8_E5M2, {4}, std::vector(4, std::byte{}))
      .scales({1})
      .check_refused(ErrorCode::unsupported, {"F8_E5M2", "must be a matrix", "(4)"});
  Stored()
      .fp8(2, 2)
      .add("X.weight_scale", DType::F64, {1}, std::vector<double>{1.0})
      .check_refused(ErrorCode::unsupported, {"must be F32, F16 or BF16, found F64"});
  Stored()
      .fp8(2, 2)
      .add("X.weight_scale", DType::F32, {2}, std::vector<float>{1.0F, INFINITY})
      .check_refused(ErrorCode::malformed, {"X.weight_scale", "element 1", "finite"});
  Stored().packed(2, 64).check_refused(ErrorCode::mismatch, {"X.weight_packed", "_scale"});
  Stored().packed(2, 64).scales({2, 3}).check_refused(ErrorCode::unsupported, {"found (2, 3)"});
  Stored().packed(2, 64).scales({2, 4}).check_refused(ErrorCode::unsupported, {"found (2, 4)"});
  Stored().packed(2, 64).scales({2, 0}).check_refused(ErrorCode::unsupported, {"found (2, 0)"});
  Stored().packed(2, 8).scales({2}).check_refused(ErrorCode::unsupported, {"found (2)"});
  Stored()
      .packed(1, 64)
      .add("X.weight_scale", DType::F32, {1}, std::vector<float>{1e-9F})
      .check_refused(ErrorCode::unsupported, {"element 0", "FP16"});
  Stored()
      .packed(1, 64)
      .add("X.weight_scale", DType::F32, {1}, std::vector<float>{1e9F})
      .check_refused(ErrorCode::unsupported, {"element 0", "FP16"});
  Stored()
      .add("X.weight_packed", DType::I32, {1, 8}, std::vector<std::int32_t>(8))
      .scales({1})
      .check_refused(ErrorCode::mismatch, {"X.weight_packed", "_shape"});
  Stored()
      .add("X.weight_packed", DType::U8, {1, 8}, std::vector(8, std::byte{}))
      .check_refused(ErrorCode::unsupported, {"must be I32", "U8"});
  for (const std::int64_t cols : {32, 128, -64, 0}) {
    Stored()
        .add("X.weight_packed", DType::I32, {1, 8}, std::vector<std::int32_t>(8))
        .add("X.weight_shape", DType::I64, {2}, std::vector<std::int64_t>{1, cols})
        .scales({1})
        .check_refused(ErrorCode::unsupported, {"codes of 4 bits", "(1, 8)"});
  }
  Stored()
      .packed(1, 64)
      .add("X.weight_zero_point", DType::I32, {1}, std::vector<std::int32_t>(1))
      .scales({1})
      .check_refused(ErrorCode::unsupported, {"X.weight_zero_point", "symmetric"});
  Stored()
      .packed(1, 64)
      .add("X.weight_g_idx", DType::I32, {64}, std::vector<std::int32_t>(64))
      .scales({1})
      .check_refused(ErrorCode::unsupported, {"X.weight_g_idx"});
}
