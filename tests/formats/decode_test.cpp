// SPDX-License-Identifier: Apache-2.0
// The quantized types of GGUF: blocks worked by hand, and blocks that the gguf package decoded.
#include "mamba2/formats/decode.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "mamba2/core/half.hpp"
#include "mamba2/core/mapped_file.hpp"
#include "mamba2/io/safetensors.hpp"
#include "mamba2/io/tensor_view.hpp"

using mamba2::DType;
using mamba2::TensorView;

namespace {

using Bytes = std::vector<std::byte>;

constexpr DType kQuantized[] = {DType::IQ4_XS, DType::Q4_0,  DType::Q4_1,   DType::Q5_0,
                                DType::Q5_1,   DType::Q8_0,  DType::IQ4_NL, DType::Q2_K,
                                DType::Q3_K,   DType::Q4_K,  DType::Q5_K,   DType::Q6_K,
                                DType::TQ1_0,  DType::TQ2_0, DType::MXFP4,  DType::NVFP4};

constexpr DType kOfGrids[] = {DType::IQ1_S, DType::IQ1_M,   DType::IQ2_XXS, DType::IQ2_XS,
                              DType::IQ2_S, DType::IQ3_XXS, DType::IQ3_S};

/// A block of zeros with some bytes set.
class Block {
 public:
  explicit Block(DType dtype) : dtype_(dtype), bytes_(mamba2::dtype_size(dtype)) {}

  Block& set(std::size_t at, int byte) {
    bytes_[at] = static_cast<std::byte>(byte);
    return *this;
  }
  Block& half(std::size_t at, float value) {
    const std::uint16_t bits = mamba2::float_to_fp16(value);
    return set(at, bits & 255).set(at + 1, bits >> 8);
  }
  [[nodiscard]] std::vector<float> floats() const {
    std::vector<float> out(mamba2::dtype_block(dtype_));
    mamba2::detail::read_quantized(dtype_, bytes_.data(), 0, out);
    return out;
  }

 private:
  DType dtype_;
  Bytes bytes_;
};

}  // namespace

TEST_CASE("quantized: sizes") {
  for (const DType dtype : kQuantized) {
    CHECK(mamba2::is_quantized(dtype));
    CHECK(mamba2::is_float(dtype));
    CHECK(!mamba2::parse_dtype(mamba2::dtype_name(dtype)));  // not in safetensors
  }
  CHECK(mamba2::dtype_block(DType::BF16) == 1);
  CHECK(!mamba2::is_quantized(DType::BOOL));
  CHECK(mamba2::dtype_name(DType::TQ2_0) == "TQ2_0");
  CHECK(mamba2::dtype_name(DType::IQ4_NL) == "IQ4_NL");
}

TEST_CASE("quantized: blocks of 32, by hand") {
  // Byte 3: low four bits for element 3, high ones for element 19.
  auto x = Block(DType::Q4_0).half(0, 0.5F).set(2 + 3, 0xF1).floats();
  CHECK(x[3] == 0.5F * (1 - 8));
  CHECK(x[19] == 0.5F * (15 - 8));
  CHECK(x[0] == 0.5F * -8);
  x = Block(DType::Q4_1).half(0, 0.5F).half(2, -2.0F).set(4 + 3, 0xF1).floats();
  CHECK(x[3] == 0.5F - 2.0F);
  CHECK(x[19] == 7.5F - 2.0F);
  CHECK(x[0] == -2.0F);
  x = Block(DType::Q5_0).half(0, 0.5F).set(2, 0x08).set(4, 0x08).set(6 + 3, 0xF1).floats();
  CHECK(x[3] == 0.5F * (17 - 16));
  CHECK(x[19] == 0.5F * (31 - 16));
  CHECK(x[0] == 0.5F * -16);
  x = Block(DType::Q5_1).half(0, 2.0F).half(2, 1.0F).set(7, 0x80).set(8 + 15, 0x21).floats();
  CHECK(x[15] == 2.0F * 1 + 1.0F);
  CHECK(x[31] == 2.0F * 18 + 1.0F);
  x = Block(DType::Q8_0).half(0, 0.25F).set(2 + 31, 0x80).set(2, 127).floats();
  CHECK(x[31] == -32.0F);
  CHECK(x[0] == 31.75F);
  x = Block(DType::IQ4_NL).half(0, 2.0F).set(2, 0xF0).set(3, 0x87).floats();
  CHECK(x[0] == -254.0F);
  CHECK(x[16] == 226.0F);
  CHECK(x[1] == -20.0F);
  CHECK(x[17] == 2.0F);
}

TEST_CASE("quantized: codes of 1 and 2 bits and floats of 4, by hand") {
  // Element 21: bit 5 of byte 2.
  auto x = Block(DType::Q1_0).half(0, 0.5F).set(2 + 2, 0x20).floats();
  CHECK(x[21] == 0.5F);
  CHECK(x[20] == -0.5F);
  CHECK(x[127] == -0.5F);
  // Elements 20 to 23: byte 5, the lowest bits first.
  x = Block(DType::Q2_0).half(0, 0.5F).set(2 + 5, 0xE4).floats();
  CHECK(x[20] == -0.5F);
  CHECK(x[21] == 0.0F);
  CHECK(x[22] == 0.5F);
  CHECK(x[23] == 1.0F);
  CHECK(x[63] == -0.5F);
  // Byte 3: elements 3 and 19. 2^-2 times 6 and -1.5.
  x = Block(DType::MXFP4).set(0, 125).set(1 + 3, 0xB7).floats();
  CHECK(x[3] == 0.25F * 6.0F);
  CHECK(x[19] == 0.25F * -1.5F);
  CHECK(x[0] == 0.0F);
  CHECK(Block(DType::MXFP4).set(0, 0).set(1, 0x02).floats()[0] == 0x1p-127F);
  CHECK(Block(DType::MXFP4).set(0, 254).set(1, 0x01).floats()[0] == 0x1p126F);
  // Part 2, its byte 3: elements 35 and 43. Scales 1.75 * 2^3 and 3 * 2^-9.
  x = Block(DType::NVFP4).set(2, 0x56).set(3, 0x03).set(4 + 19, 0xB7).set(4 + 24, 0x02).floats();
  CHECK(x[35] == 14.0F * 6.0F);
  CHECK(x[43] == 14.0F * -1.5F);
  CHECK(x[48] == 3.0F * 0x1p-9F);
  CHECK(Block(DType::NVFP4).set(0, 0x7F).set(4, 0x07).floats()[0] == 0.0F);
}

TEST_CASE("quantized: blocks of 256, by hand") {
  // Element 165 = 128 + 32 + 5: second half, second pair of bits of byte 32 + 5; scale 165/16 = 10.
  auto x =
      Block(DType::Q2_K).half(80, 0.5F).half(82, 1.0F).set(10, 0x23).set(16 + 37, 0x0C).floats();
  CHECK(x[165] == 0.5F * 3 * 3 - 2.0F);
  CHECK(x[164] == -2.0F);
  CHECK(x[159] == 0.0F);
  // Third bit of element 165: bit 5 of byte 5. Scale 10: high half of byte 2, bits 4 and 5 of
  // byte 10.
  x = Block(DType::Q3_K)
          .half(108, 0.5F)
          .set(5, 0x20)
          .set(32 + 37, 0x08)
          .set(96 + 2, 0x50)
          .set(96 + 10, 0x20)
          .floats();
  CHECK(x[165] == 0.5F * (37 - 32) * 2);
  CHECK(x[164] == 0.5F * (37 - 32) * -4);
  // Sub-block 6 of Q4_K: low bits in byte 10, high bits of scale and minimum in bytes 2 and 6.
  x = Block(DType::Q4_K)
          .half(0, 0.5F)
          .half(2, 2.0F)
          .set(4 + 10, 0x31)
          .set(4 + 2, 0x40)
          .set(4 + 6, 0x80)
          .set(16 + 96 + 7, 0xA5)
          .floats();
  CHECK(x[192 + 7] == 0.5F * 17 * 5 - 2.0F * 35);
  CHECK(x[192] == -70.0F);
  CHECK(x[224 + 7] == 0.0F);
  x = Block(DType::Q5_K)
          .half(0, 0.5F)
          .half(2, 2.0F)
          .set(4 + 1, 3)
          .set(4 + 5, 4)
          .set(16 + 9, 0x02)
          .set(48 + 9, 0x7F)
          .floats();
  CHECK(x[32 + 9] == 0.5F * 3 * (16 + 7) - 8.0F);
  CHECK(x[9] == 0.0F);
  // Element 165 of Q6_K: scale 10, low bits in byte 64 + 37, high bits 2 and 3 of byte 32 + 5.
  x = Block(DType::Q6_K)
          .half(208, 0.5F)
          .set(192 + 10, -3)
          .set(64 + 37, 0x0B)
          .set(128 + 37, 0x08)
          .floats();
  CHECK(x[165] == 0.5F * -3 * (43 - 32));
  CHECK(x[164] == 0.5F * -3 * -32);
  // Sub-block 5 of IQ4_XS: low bits of its scale in the high half of byte 2, high ones in bits 2
  // and 3 of the second byte; element 16 + 3 of it in the high half of byte 3 of its 16.
  x = Block(DType::IQ4_XS)
          .half(0, 0.5F)
          .set(3, 0x08)
          .set(4 + 2, 0x70)
          .set(8 + 5 * 16 + 3, 0xF0)
          .floats();
  CHECK(x[160 + 16 + 3] == 0.5F * (39 - 32) * 113);
  CHECK(x[160 + 3] == 0.5F * (39 - 32) * -127);
  CHECK(x[0] == 0.5F * -32 * -127);
  // Trits 2 0 1 2 1 = 178: ceil(178 * 256 / 243) = 188.
  x = Block(DType::TQ1_0).half(52, 0.5F).set(4, 188).set(32 + 4, 188).set(48 + 1, 188).floats();
  for (const std::size_t first : {4U, 160U + 4U, 240U + 1U}) {
    const std::size_t step = first < 160 ? 32 : first < 240 ? 16 : 4;
    CHECK(x[first] == 0.5F);
    CHECK(x[first + step] == -0.5F);
    CHECK(x[first + 2 * step] == 0.0F);
    CHECK(x[first + 3 * step] == 0.5F);
  }
  CHECK(x[4 + 4 * 32] == 0.0F);
  CHECK(x[0] == -0.5F);
  x = Block(DType::TQ2_0).half(64, 0.5F).set(37, 0x24).floats();
  CHECK(x[128 + 5] == -0.5F);
  CHECK(x[165] == 0.0F);
  CHECK(x[192 + 5] == 0.5F);
}

namespace {

/// Of types in a file of random blocks and of floats that the package made of them.
void check_golden_blocks(const std::string& path, std::span<const DType> types) {
  const auto file = mamba2::MappedFile::open(path).value();
  const auto golden = mamba2::Safetensors::parse(file.bytes(), "golden").value();
  for (const DType dtype : types) {
    const std::string name(mamba2::dtype_name(dtype));
    CAPTURE(name);
    const TensorView* blocks = golden.find(name + ".blocks");
    const TensorView* floats = golden.find(name + ".floats");
    REQUIRE(blocks != nullptr);
    REQUIRE(floats != nullptr);
    std::vector<float> expected(floats->elements());
    mamba2::read_floats(*floats, 0, expected);
    const std::size_t block = mamba2::dtype_block(dtype);
    for (const std::size_t shift : {0U, 1U}) {
      Bytes bytes(shift);
      bytes.insert(bytes.end(), blocks->data.begin(), blocks->data.end());
      const TensorView tensor{name, dtype, {expected.size()}, std::span(bytes).subspan(shift), "f"};
      REQUIRE(tensor.elements() == expected.size());
      for (const std::size_t first :
           {std::size_t{0}, std::size_t{1}, block - 1, block, block + 7}) {
        for (const std::size_t count : {std::size_t{0}, std::size_t{1}, block - 1, block, block + 3,
                                        expected.size() - first}) {
          std::vector<float> out(count + 1, 99.0F);
          mamba2::read_floats(tensor, first, std::span(out).first(count));
          CHECK(std::equal(out.begin(), out.end() - 1,
                           expected.begin() + static_cast<std::ptrdiff_t>(first)));
          CHECK(out[count] == 99.0F);
        }
      }
    }
  }
}

}  // namespace

TEST_CASE("quantized: as the gguf package decodes them, any range, at any alignment") {
  const std::string folder = MAMBA2_SOURCE_DIR "/tests/golden/gguf/";
  check_golden_blocks(folder + "blocks.safetensors", kQuantized);
  check_golden_blocks(folder + "iq_blocks.safetensors", kOfGrids);
}

TEST_CASE("quantized: every row of every grid") {
  const auto file =
      mamba2::MappedFile::open(MAMBA2_SOURCE_DIR "/tests/golden/gguf/iq_blocks.safetensors")
          .value();
  const auto golden = mamba2::Safetensors::parse(file.bytes(), "golden").value();
  for (const DType dtype : kOfGrids) {
    if (dtype == DType::IQ1_M) continue;  // the grid of IQ1_S
    const std::string name(mamba2::dtype_name(dtype));
    CAPTURE(name);
    const TensorView* blocks = golden.find(name + ".grid_blocks");
    const TensorView* eighths = golden.find(name + ".grid");
    REQUIRE(blocks != nullptr);
    REQUIRE(eighths != nullptr);
    const TensorView tensor{name, dtype, {eighths->elements()}, blocks->data, "f"};
    std::vector<float> found(tensor.elements());
    mamba2::read_floats(tensor, 0, found);
    for (std::size_t i = 0; i < found.size(); ++i) {
      CHECK(8.0F * found[i] == static_cast<float>(static_cast<std::int8_t>(eighths->data[i])));
    }
  }
}
