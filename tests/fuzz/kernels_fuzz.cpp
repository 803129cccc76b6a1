// SPDX-License-Identifier: Apache-2.0
// Products of any shape and of any finite values: every instruction set of the build against the
// scalar kernels and against double precision.
#define DOCTEST_CONFIG_DISABLE
#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <mamba2/mamba2.hpp>
#include <string>
#include <type_traits>
#include <vector>

#include "tests/linear/packed.hpp"
#include "tests/linear/random_blocks.hpp"

namespace {

using mamba2::DType;
using mamba2::kernels::GroupLayout;
using mamba2::kernels::Int8Layout;
using mamba2::kernels::KLayout;
using tests::Policy;
using tests::Product;
using tests::Variant;

void expect(bool condition) {
  if (!condition) __builtin_trap();
}

/// Numbers from the input, again from its beginning when it is used up.
class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}

  std::uint8_t byte() { return data_[used_++ % size_]; }
  /// In 1..most.
  std::size_t count(std::size_t most) { return byte() % most + 1; }
  /// (rows, cols), each row of magnitudes of its own between 2^-48 and 2^47, zeros among them.
  std::vector<float> matrix(std::size_t rows, std::size_t cols) {
    std::vector<float> values(rows * cols);
    for (std::size_t r = 0; r < rows; ++r) {
      const int exponent = byte() % 64 - 32;
      for (std::size_t k = 0; k < cols; ++k) {
        const auto low = byte();
        auto half = static_cast<std::uint16_t>(low | byte() << 8U);
        if ((half & 0x7C00U) == 0x7C00U) half &= 0x83FFU;  // neither infinite nor NaN
        values[r * cols + k] = std::ldexp(mamba2::fp16_to_float(half), exponent);
      }
      // Another beginning each time.
      if (size_ > 1 && used_ % size_ == 0) ++used_;
    }
    return values;
  }
  /// (rows, 256) in blocks of this type.
  tests::StoredMatrix blocks(DType type, std::size_t rows) {
    const std::size_t size = mamba2::dtype_size(type);
    const std::size_t count = rows * (256 / mamba2::dtype_block(type));
    tests::StoredMatrix m{std::vector<float>(rows * 256), type,
                          std::vector<std::byte>(count * size)};
    for (std::byte& place : m.data) place = std::byte{byte()};
    for (std::size_t i = 0; i < count; ++i) {
      for (const std::size_t at : tests::halves_of(type)) {
        std::byte& high = m.data[i * size + at + 1];
        if ((high & std::byte{0x7C}) == std::byte{0x7C}) high &= std::byte{0x83};  // finite
      }
    }
    return m;
  }

 private:
  const std::uint8_t* data_;
  std::size_t size_;
  std::size_t used_ = 0;
};

template <std::size_t kGroup>
Variant int8(std::size_t cols) {
  Variant all;
  tests::for_each_kernel([&]<class Kernels>() {
    using Kernel = typename Kernels::Int8;
    all.push_back(
        tests::policy<mamba2::BasicInt8<Kernel, kGroup, 0>, Kernel, &Int8Layout::group>("", cols));
  });
  return all;
}

template <std::size_t kGroup, bool kGroupedInputs>
Variant int4(std::size_t cols) {
  Variant all;
  tests::for_each_kernel([&]<class Kernels>() {
    using Kernel = typename Kernels::Int4;
    using W = mamba2::BasicInt4<Kernel, kGroup, kGroupedInputs, 0, mamba2::Int8>;
    all.push_back(tests::policy<W, Kernel, &GroupLayout::input_group>("", cols));
  });
  return all;
}

Variant q8_0(std::size_t cols) {
  Variant all;
  tests::for_each_kernel([&]<class Kernels>() {
    using Kernel = typename Kernels::Q8_0;
    using W = mamba2::BasicGroups<Kernel, 8>;
    all.push_back(tests::policy<W, Kernel, &GroupLayout::input_group>("", cols));
  });
  return all;
}

Variant ternary(std::size_t cols) {
  Variant all;
  tests::for_each_kernel([&]<class Kernels>() {
    using Kernel = typename Kernels::Ternary;
    all.push_back(
        tests::policy<mamba2::BasicTernaryRows<Kernel>, Kernel, &Int8Layout::group>("", cols));
  });
  return all;
}

/// The kernels of GGUF's types of 2 bits. cols: a multiple of 64.
Variant q2_0(std::size_t cols) {
  Variant all;
  tests::for_each_kernel([&]<class Kernels>() {
    using Kernel = typename Kernels::Q2_0;
    using W = mamba2::BasicGroups<Kernel, 2>;
    all.push_back(tests::policy<W, Kernel, &GroupLayout::input_group>("", cols));
  });
  return all;
}

/// The kernels of GGUF's K-quants. cols: a multiple of 256.
template <DType kType>
Variant super_blocks(std::size_t cols) {
  Variant all;
  tests::for_each_kernel([&]<class Kernels>() {
    using Kernel = tests::SuperBlockKernel<kType, Kernels>;
    using W = mamba2::BasicSuperBlocks<Kernel, tests::kSuperBlockBits<kType>,
                                       kType != DType::Q6_K && kType != DType::IQ4_XS>;
    all.push_back(tests::policy<W, Kernel, &KLayout::input_group>("", cols));
  });
  return all;
}

/// The kernels of GGUF's blocks of 32. cols: a multiple of 32.
template <DType kType>
Variant coded_blocks(std::size_t cols) {
  Variant all;
  tests::for_each_kernel([&]<class Kernels>() {
    using Kernel = tests::BlockKernel<kType, Kernels>;
    using W = mamba2::BasicCodedBlocks<Kernel, kType>;
    all.push_back(tests::policy<W, Kernel, &GroupLayout::input_group>("", cols));
  });
  return all;
}

std::vector<double> float_values(const std::byte* input, std::size_t cols) {
  std::vector<float> values(cols);
  std::memcpy(values.data(), input, cols * sizeof(float));
  return {values.begin(), values.end()};
}

/// Weights and inputs that are floats, which every instruction set multiplies by the same code.
template <class W>
Variant floats(std::size_t cols) {
  Policy p = tests::policy_of<W>(cols);
  p.values = float_values;
  return {p};
}

/// Errors allowed, in units of 1e-6 of the products' magnitude. Sums of integers are exact, and few
/// are left to add; sums of floats may round at every step, always in the same direction.
double factor(const Policy& policy, std::size_t tokens, std::size_t cols) {
  if (policy.values != float_values) return 1.0;
  const bool rounds =
      policy.name == "bf16" && MAMBA2_BF16_DOT == 1 && tokens > mamba2::kernels::kFewTokens;
  return (rounds ? 0x1p-8 : 0x1p-24 * static_cast<double>(cols + 4)) / 1e-6;
}

/// A bound of what a block's number i, an FP16 one, counts for in an element.
double largest_factor(DType type, std::size_t i) {
  switch (type) {
    case DType::Q4_K:
      return i == 0 ? 63.0 * 15.0 : 63.0;
    case DType::Q5_K:
      return i == 0 ? 63.0 * 31.0 : 63.0;
    case DType::Q6_K:
      return 128.0 * 32.0;
    case DType::IQ4_XS:
      return 32.0 * 127.0;
    default:
      return i == 0 ? 127.0 : 1.0;
  }
}

/// Weights with minima are sums, and kernels multiply the two parts one by one: bounds of the parts
/// instead of the sums.
void bound_parts(const tests::StoredMatrix& w, const Product& product, const std::vector<float>& x,
                 std::vector<double>& bounds) {
  const std::size_t size = mamba2::dtype_size(w.type);
  const std::size_t blocks = 256 / mamba2::dtype_block(w.type);
  const std::vector<std::size_t> halves = tests::halves_of(w.type);
  for (std::size_t r = 0; r < product.rows(); ++r) {
    double largest = 0.0;
    for (std::size_t block = r * blocks; block < (r + 1) * blocks; ++block) {
      double most = 0.0;
      for (std::size_t i = 0; i < halves.size(); ++i) {
        std::uint16_t half = 0;
        std::memcpy(&half, &w.data[block * size + halves[i]], sizeof half);
        const auto scale = static_cast<double>(std::abs(mamba2::fp16_to_float(half)));
        most += scale * largest_factor(w.type, i);
      }
      largest = std::max(largest, most);
    }
    for (std::size_t t = 0; t < product.tokens(); ++t) {
      double inputs = 0.0;
      for (std::size_t k = 0; k < 256; ++k) inputs += std::abs(static_cast<double>(x[t * 256 + k]));
      bounds[t * product.stride() + r] = 1e-6 * largest * inputs;
    }
  }
}

void check(const Variant& variant, const tests::StoredMatrix& w, const std::vector<float>& x,
           std::size_t cols) {
  std::vector<float> scalar;
  for (const Policy& policy : variant) {
    Product product(policy, w, x, cols);
    Product::Expected expected = product.expected();
    if (!w.data.empty() && w.type != DType::Q2_0) bound_parts(w, product, x, expected.bounds);
    for (double& bound : expected.bounds) {
      // Sums of products below the smallest normal number may lose all their digits.
      if (bound > 0.0) {
        bound = bound * factor(policy, product.tokens(), cols) +
                double{std::numeric_limits<float>::min()};
      }
    }
    const std::vector<float> y = product.multiply();
    if (scalar.empty()) scalar = y;
    expect(tests::worst_error(y, expected.y, expected.bounds) <= 1.0);
    expect(tests::worst_error(y, scalar, expected.bounds) <= 1.0);
    // The last band alone: the same bits.
    const std::size_t last = product.band_count() - 1;
    const std::vector<float> part = product.multiply(0, product.tokens(), last, 1);
    for (std::size_t i = 0; i < y.size(); ++i) {
      const std::size_t row = i % product.stride();
      const bool in_part = row >= last * policy.band_rows && row < product.rows();
      expect(part[i] == (in_part ? y[i] : Product::kUntouched));
    }
  }
}

constexpr auto kVariants = std::to_array<Variant (*)(std::size_t cols)>(
    {int8<0>, int8<32>, int4<32, true>, int4<128, false>, q8_0, floats<mamba2::Fp32>,
     floats<mamba2::Fp16>, floats<mamba2::Bf16>, floats<mamba2::Int8A32>, ternary});

struct OfBlocks {
  DType type;
  Variant (*variant)(std::size_t cols);
};
/// Weights that are blocks of a file.
constexpr auto kOfBlocks = std::to_array<OfBlocks>({{DType::Q4_K, super_blocks<DType::Q4_K>},
                                                    {DType::Q6_K, super_blocks<DType::Q6_K>},
                                                    {DType::Q5_K, super_blocks<DType::Q5_K>},
                                                    {DType::IQ4_XS, super_blocks<DType::IQ4_XS>},
                                                    {DType::Q4_1, coded_blocks<DType::Q4_1>},
                                                    {DType::Q5_0, coded_blocks<DType::Q5_0>},
                                                    {DType::Q5_1, coded_blocks<DType::Q5_1>},
                                                    {DType::IQ4_NL, coded_blocks<DType::IQ4_NL>},
                                                    {DType::Q2_0, q2_0}});

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 8) return 0;
  Input input(data, size);
  const std::size_t kind = input.byte() % (kVariants.size() + kOfBlocks.size());
  const std::size_t rows = input.count(40);
  const std::size_t tokens = input.count(26);
  const bool plain = kind < kVariants.size();
  const std::size_t cols = plain ? input.count(160) : 256;
  const OfBlocks* of_blocks = plain ? nullptr : &kOfBlocks[kind - kVariants.size()];
  const tests::StoredMatrix w =
      plain ? tests::StoredMatrix{input.matrix(rows, cols)} : input.blocks(of_blocks->type, rows);
  const std::vector<float> x = input.matrix(tokens, cols);
  check(plain ? kVariants[kind](cols) : of_blocks->variant(cols), w, x, cols);
  return 0;
}
