// SPDX-License-Identifier: Apache-2.0
// The directory of tensors in GGUF files, and where their data is.
#include "mamba2/io/gguf.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/io/gguf_refused.hpp"
#include "tests/io/gguf_writer.hpp"

using mamba2::DType;
using mamba2::ErrorCode;
using mamba2::Gguf;
using mamba2::TensorView;
using mamba2_tests::GgufBytes;
using mamba2_tests::GgufType;
using mamba2_tests::GgufWriter;

namespace {

using Bytes = std::vector<std::byte>;
using Shape = std::vector<std::size_t>;

void check_gguf_refused(const Bytes& bytes, ErrorCode code,
                        std::initializer_list<std::string_view> parts) {
  mamba2_tests::check_refused(Gguf::parse(bytes, "f.gguf"), code, parts);
}

/// A file with one entry in its directory and so many zeros for data.
Bytes one_tensor(std::string_view name, const std::vector<std::uint64_t>& dims, std::uint32_t type,
                 std::uint64_t offset, std::size_t bytes) {
  GgufWriter writer;
  writer.tensors = 1;
  writer.directory.string(name).number(static_cast<std::uint32_t>(dims.size()));
  for (const std::uint64_t dim : dims) writer.directory.number(dim);
  writer.directory.number(type).number(offset);
  writer.data.bytes.resize(bytes);
  return writer.bytes();
}

/// Three tensors, one of them quantized, and an alignment of its own.
GgufWriter three_tensors(std::size_t alignment = 16) {
  GgufWriter writer;
  writer.alignment = alignment;
  writer.add("general.alignment", static_cast<std::uint32_t>(alignment));
  const std::vector<float> numbers = {1, 2, 3, 4, 5, 6};
  writer.tensor("matrix", {2, 3}, numbers);
  GgufBytes blocks;
  for (std::size_t block = 0; block < 4; ++block) {
    blocks.number(std::uint16_t{0x3C00});  // 1
    for (int j = 0; j < 32; ++j)
      blocks.number(static_cast<std::int8_t>(static_cast<int>(block) * 32 + j));
  }
  writer.tensor("blocks", {2, 64}, 8, blocks.bytes);
  writer.tensor("scalar", {}, std::vector<float>{7});
  return writer;
}

}  // namespace

TEST_CASE("gguf: tensors, their shapes and their data") {
  for (const std::size_t alignment : {8U, 16U, 32U, 4096U}) {
    const Bytes bytes = three_tensors(alignment).bytes();
    const Gguf gguf = Gguf::parse(bytes, "f.gguf").value();
    REQUIRE(gguf.tensors().size() == 3);
    const TensorView& matrix = gguf.tensors()[0];
    CHECK(matrix.name == "matrix");
    CHECK(matrix.file == "f.gguf");
    CHECK(matrix.dtype == DType::F32);
    CHECK(matrix.shape == Shape{2, 3});
    std::vector<float> values(6);
    mamba2::read_floats(matrix, 0, values);
    CHECK(values == std::vector<float>{1, 2, 3, 4, 5, 6});

    const TensorView* blocks = gguf.find("blocks");
    REQUIRE(blocks != nullptr);
    CHECK(blocks->dtype == DType::Q8_0);
    CHECK(blocks->shape == Shape{2, 64});
    CHECK(blocks->elements() == 128);
    CHECK(blocks->part(32, 64).data() == blocks->data.data() + 34);
    CHECK(blocks->part(32, 64).size() == 68);
    values.resize(128);
    mamba2::read_floats(*blocks, 0, values);
    for (std::size_t i = 0; i < values.size(); ++i) CHECK(values[i] == static_cast<float>(i));

    CHECK(gguf.find("scalar")->shape.empty());
    CHECK(gguf.find("scalar")->elements() == 1);
    CHECK(gguf.find("other") == nullptr);
  }
}

TEST_CASE("gguf: the padding of the last tensor may be missing, and more may follow") {
  Bytes bytes = three_tensors().bytes();
  bytes.resize(bytes.size() - 12);
  CHECK(Gguf::parse(bytes, "f"));
  bytes.resize(bytes.size() + 100);
  CHECK(Gguf::parse(bytes, "f"));
  CHECK(Gguf::parse(one_tensor("none", {4, 0}, 0, 0, 0), "f").value().tensors()[0].data.empty());
  GgufWriter no_tensors;
  no_tensors.add("k", "v");
  Bytes metadata_only = no_tensors.bytes();
  metadata_only.resize(24 + 9 + 12 + 1);
  CHECK(Gguf::parse(metadata_only, "f").value().tensors().empty());
}

TEST_CASE("gguf: alignment") {
  for (const std::uint32_t wrong : {0U, 1U, 4U, 24U, 33U, 0xFFFFFFFFU}) {
    GgufWriter writer;
    writer.add("general.alignment", wrong);
    check_gguf_refused(
        writer.bytes(), ErrorCode::malformed,
        {"general.alignment must be a power of two from 8 on", std::to_string(wrong)});
  }
  GgufWriter text;
  text.add("general.alignment", "32");
  check_gguf_refused(text.bytes(), ErrorCode::malformed, {"found \"32\""});
  GgufWriter wide;
  wide.add("general.alignment", GgufType::uint64, std::uint64_t{32});
  check_gguf_refused(wide.bytes(), ErrorCode::malformed, {"a uint32"});
  GgufWriter huge;
  huge.add("general.alignment", std::uint32_t{1} << 31);
  CHECK(Gguf::parse(huge.bytes(), "f"));
  huge.tensor("x", {1}, std::vector<float>{1});
  check_gguf_refused(huge.bytes(), ErrorCode::malformed,
                     {"tensor \"x\"", "end of the file after 0"});
}

TEST_CASE("gguf: names and dimensions") {
  CHECK(Gguf::parse(one_tensor(std::string(64, 'n'), {2}, 0, 0, 8), "f"));
  check_gguf_refused(one_tensor(std::string(65, 'n'), {2}, 0, 0, 8), ErrorCode::malformed,
                     {"at most 64 bytes, found 65"});
  CHECK(Gguf::parse(one_tensor("x", {1, 1, 1, 2}, 0, 0, 8), "f"));
  check_gguf_refused(one_tensor("x", {1, 1, 1, 1, 2}, 0, 0, 8), ErrorCode::malformed,
                     {"tensor \"x\": n_dims must be at most 4, found 5"});
  constexpr std::uint64_t kHuge = std::uint64_t{1} << 32;
  for (const std::vector<std::uint64_t>& dims : {std::vector<std::uint64_t>{kHuge, kHuge},
                                                 {kHuge << 31},
                                                 {~std::uint64_t{0}},
                                                 {kHuge, 2, kHuge, kHuge},
                                                 {(kHuge << 30) + 1, 2}}) {
    check_gguf_refused(one_tensor("x", dims, 0, 0, 8), ErrorCode::malformed,
                       {"tensor \"x\"", "less than 2^63 bytes, found shape ("});
  }
  check_gguf_refused(one_tensor("x", {1000}, 0, 0, 8), ErrorCode::malformed,
                     {"tensor \"x\": expected 4000 bytes of data", "end of the file after 8"});
  for (const std::uint64_t row : {1U, 31U, 33U}) {
    check_gguf_refused(one_tensor("x", {row, 32}, 8, 0, 1088), ErrorCode::malformed,
                       {"rows of Q8_0 must be a multiple of 32 long, found shape (32, "});
  }
  check_gguf_refused(one_tensor("x", {128}, 12, 0, 1088), ErrorCode::malformed,
                     {"rows of Q4_K must be a multiple of 256"});
}

TEST_CASE("gguf: types of tensors") {
  struct Type {
    std::uint32_t number;
    DType dtype;
  };
  for (const Type& type :
       {Type{0, DType::F32},      Type{1, DType::F16},      Type{2, DType::Q4_0},
        Type{3, DType::Q4_1},     Type{6, DType::Q5_0},     Type{7, DType::Q5_1},
        Type{8, DType::Q8_0},     Type{10, DType::Q2_K},    Type{11, DType::Q3_K},
        Type{12, DType::Q4_K},    Type{13, DType::Q5_K},    Type{14, DType::Q6_K},
        Type{20, DType::IQ4_NL},  Type{23, DType::IQ4_XS},  Type{28, DType::F64},
        Type{30, DType::BF16},    Type{34, DType::TQ1_0},   Type{35, DType::TQ2_0},
        Type{39, DType::MXFP4},   Type{40, DType::NVFP4},   Type{41, DType::Q1_0},
        Type{42, DType::Q2_0},    Type{16, DType::IQ2_XXS}, Type{17, DType::IQ2_XS},
        Type{18, DType::IQ3_XXS}, Type{19, DType::IQ1_S},   Type{21, DType::IQ3_S},
        Type{22, DType::IQ2_S},   Type{29, DType::IQ1_M}}) {
    const std::size_t bytes =
        512 / mamba2::dtype_block(type.dtype) * mamba2::dtype_size(type.dtype);
    const Bytes file = one_tensor("x", {256, 2}, type.number, 0, bytes);
    const auto gguf = Gguf::parse(file, "f");
    REQUIRE(gguf);
    CHECK(gguf->tensors()[0].dtype == type.dtype);
    CHECK(gguf->tensors()[0].elements() == 512);
    CHECK(mamba2::is_float(type.dtype));
  }
  for (const auto& [number, name] : std::initializer_list<std::pair<std::uint32_t, const char*>>{
           {9, "Q8_1"},
           {15, "Q8_K"},
           {26, "I32"},
           {4, "number 4"},
           {31, "number 31"},
           {36, "number 36"},
           {4000000000, "number 4000000000"}}) {
    check_gguf_refused(one_tensor("x", {256}, number, 0, 4096), ErrorCode::unsupported,
                       {"tensor \"x\": type must be one of F32 F16 Q4_0 ", " Q2_0, found ", name});
  }
}

TEST_CASE("gguf: the tensors follow each other") {
  check_gguf_refused(one_tensor("x", {2}, 0, 32, 64), ErrorCode::malformed,
                     {"tensor \"x\": data must begin at offset 0", "found 32"});
  for (const std::size_t wrong : {0U, 24U, 31U, 33U, 64U}) {
    GgufWriter writer;
    writer.tensor("a", {6}, std::vector<float>(6));
    writer.tensor("b", {1}, std::vector<float>(1));
    const std::uint64_t offset = wrong;
    std::memcpy(&writer.directory.bytes[writer.directory.bytes.size() - 8], &offset, 8);
    check_gguf_refused(
        writer.bytes(), ErrorCode::malformed,
        {"tensor \"b\": data must begin at offset 32", "found ", std::to_string(wrong)});
  }
  GgufWriter twice;
  twice.tensor("a", {1}, std::vector<float>(1));
  twice.tensor("b", {1}, std::vector<float>(1));
  twice.tensor("a", {1}, std::vector<float>(1));
  check_gguf_refused(twice.bytes(), ErrorCode::malformed, {"tensor \"a\" must occur once"});
}

TEST_CASE("gguf: every truncation is an error, no flipped bit a crash") {
  const Bytes bytes = three_tensors().bytes();
  for (std::size_t n = 0; n + 12 < bytes.size(); ++n) {
    const Bytes cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(n));
    check_gguf_refused(cut, ErrorCode::malformed, {});
  }
  for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    Bytes flipped = bytes;
    flipped[bit / 8] ^= std::byte{1} << bit % 8;
    const auto gguf = Gguf::parse(flipped, "f");
    if (!gguf) continue;
    for (const TensorView& tensor : gguf->tensors()) {
      std::vector<float> values(tensor.elements());
      mamba2::read_floats(tensor, 0, values);
    }
  }
}
