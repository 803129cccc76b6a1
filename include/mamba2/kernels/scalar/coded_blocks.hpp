// SPDX-License-Identifier: Apache-2.0
// Products with weights of 4 or 5 bits as GGUF files have them, in blocks of 32, without any vector
// instruction: what the others are compared with.
#pragma once

#include <cstddef>
#include <cstdint>

#include "mamba2/core/half.hpp"
#include "mamba2/core/views.hpp"
#include "mamba2/kernels/group_layout.hpp"
#include "mamba2/kernels/packed_codes.hpp"
#include "mamba2/kernels/scalar/group_rows.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::scalar {

/// What codes may stand for: themselves, or signed numbers of 5 bits.
[[nodiscard]] constexpr int unsigned_code(int code) { return code; }
[[nodiscard]] constexpr int signed_code(int code) { return (code ^ 16) - 16; }

/// kBits: of a code, which kValue makes a number. kMins: whether there are minima.
template <std::size_t kBits, bool kMins, int (*kValue)(int code)>
struct CodedBlocks {
  static constexpr std::size_t kRows = 4;
  static constexpr int kBias = 0;

  /// y = x m^T: bands of a matrix m with `rows` rows, x made ready, y (x.tokens, rows).
  static void multiply(const GroupLayout& layout, const std::byte* bands, std::size_t rows,
                       const Inputs& x, MutableRows y) {
    multiply_groups<kRows>(layout, bands, rows, x, y, group);
  }

 private:
  static float group(const GroupLayout& layout, const std::byte* band, std::size_t r, std::size_t g,
                     const std::byte* input) {
    const std::size_t first = g * layout.group;
    const std::byte* chunk = band + first / layout.chunk() * layout.chunk_bytes(kRows);
    const std::size_t begin = first % layout.chunk();
    const auto* codes =
        reinterpret_cast<const std::uint8_t*>(chunk + layout.code_bytes(kRows, begin));
    const auto* halves =
        reinterpret_cast<const std::uint16_t*>(chunk + layout.code_bytes(kRows, layout.chunk())) +
        begin / layout.group * layout.halves * kRows + r;
    std::int32_t sum = 0;
    for (std::size_t k = 0; k < layout.group; ++k) {
      const int code = packed_code<kBits>(
          k, [&](std::size_t i) -> int { return codes[(i * kRows + r) * 4 + k % 4]; });
      sum += kValue(code) * GroupLayout::codes(input)[first + k];
    }
    const float products =
        fp16_to_float(halves[0]) * layout.scales(input)[g] * static_cast<float>(sum);
    if constexpr (!kMins) return products;
    return products + fp16_to_float(halves[kRows]) * layout.value_sums(input)[g];
  }
};

}  // namespace kernels::scalar
}  // namespace MAMBA2_ISA
}  // namespace mamba2
