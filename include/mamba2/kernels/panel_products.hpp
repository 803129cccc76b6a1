// SPDX-License-Identifier: Apache-2.0
// Products of rows with panels of 16 columns, as the keys and values of attention are stored.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "mamba2/kernels/kv_cache.hpp"
#include "mamba2/kernels/quantize.hpp"
#include "mamba2/kernels/running_rows.hpp"
#include "mamba2/kernels/scalars.hpp"
#include "mamba2/kernels/simd.hpp"
#include "mamba2/kernels/unroll.hpp"

#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

MAMBA2_INTRINSICS_BEGIN

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels {

/// Registers of a panel's row.
inline constexpr std::size_t kPanelRegisters = KvLayout::kPanel / kLanes;
static_assert(KvLayout::kPanel % kLanes == 0);

/// The largest tile of rows and panels: its sums leave registers for all else.
inline constexpr std::size_t kTilePanels = kLanes == 16 ? 2 : 1;
#if defined(__aarch64__)
inline constexpr std::size_t kTileRowsMost = 4;
#else
inline constexpr std::size_t kTileRowsMost = kLanes == 16 ? 12 : (kLanes == 8 ? 6 : 3);
#endif

using PanelRow = std::array<Floats, kPanelRegisters>;

template <class Stored>
[[nodiscard]] MAMBA2_INLINE inline PanelRow widen(const Stored* from) {
  PanelRow row;
  unroll<kPanelRegisters>([&](auto i) MAMBA2_INLINE { row[i] = load(from + i * kLanes); });
  return row;
}
[[nodiscard]] MAMBA2_INLINE inline PanelRow widen(const std::int8_t* from) {
  PanelRow row;
#if defined(__aarch64__)
  const int8x16_t codes = vld1q_s8(from);
  const int16x8_t low = vmovl_s8(vget_low_s8(codes));
  const int16x8_t high = vmovl_high_s8(codes);
  row[0] = vcvtq_f32_s32(vmovl_s16(vget_low_s16(low)));
  row[1] = vcvtq_f32_s32(vmovl_high_s16(low));
  row[2] = vcvtq_f32_s32(vmovl_s16(vget_low_s16(high)));
  row[3] = vcvtq_f32_s32(vmovl_high_s16(high));
#elif defined(__AVX2__) && !defined(__AVX512F__)
  unroll<kPanelRegisters>([&](auto i) MAMBA2_INLINE {
    row[i] = _mm256_cvtepi32_ps(
        _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from + i * kLanes))));
  });
#else
  unroll<kPanelRegisters>([&](auto i) MAMBA2_INLINE { row[i] = load_codes(from + i * kLanes); });
#endif
  return row;
}

/// Panels of (count, 16) Stored, `stride` bytes apart.
template <class Stored>
struct Panels {
  const std::byte* data;
  std::size_t stride;
  std::size_t count;

  [[nodiscard]] MAMBA2_INLINE const Stored* row(std::size_t panel, std::size_t k) const {
    return reinterpret_cast<const Stored*>(data + panel * stride) + k * KvLayout::kPanel;
  }
};

/// Sums of kRows rows and kPanels panels, one panel after the other.
template <std::size_t kRows, std::size_t kPanels>
using PanelSums = Floats[kRows][kPanels * kPanelRegisters];

/// sums += the columns [k, k + kColumns) of rows times those rows of the panels.
template <std::size_t kColumns, std::size_t kRows, std::size_t kPanels, class Stored>
MAMBA2_INLINE inline void add_panel_rows(const float* rows, std::size_t stride,
                                         const Panels<Stored>& panels, std::size_t k,
                                         PanelSums<kRows, kPanels>& sums) {
  std::array<Scalars<kColumns>, kRows> factors;
  unroll<kRows>([&](auto r)
                    MAMBA2_INLINE { factors[r] = Scalars<kColumns>(rows + r * stride, k); });
  std::size_t from = k;
  unroll<kColumns>([&](auto c) MAMBA2_INLINE {
    std::array<PanelRow, kPanels> row;
    unroll<kPanels>([&](auto p) MAMBA2_INLINE { row[p] = widen(panels.row(p, from + c)); });
    unroll<kRows>([&](auto r) MAMBA2_INLINE {
      const auto factor = factors[r].template get<c>();
      unroll<kPanels, kPanelRegisters>([&](auto p, auto i) MAMBA2_INLINE {
        Floats& sum = sums[r][p * kPanelRegisters + i];
        sum = multiply_add(row[p][i], factor, sum);
      });
    });
    if constexpr (kRows > 2 && c + 1 < kColumns) finish(sums, from);
  });
}

/// What a running row and a block's row count for where the two are merged.
struct MergeFactors {
  float before;
  float block;
};

/// Rows of floats, `stride` apart.
template <class Float>
struct FloatRows {
  Float* data;
  std::size_t stride;
};

/// Products of rows, of panels.count numbers each, with panels: stored to `to`, or, where there are
/// factors (kRows), merged with what is there. Each sum is one chain, whatever the tile: its bits
/// do not depend on what is computed beside it. `ahead`: is asked for meanwhile, as many bytes as
/// the panels have.
template <std::size_t kRows, std::size_t kPanels, class Stored>
[[gnu::noinline]] void panel_products(FloatRows<const float> rows, Panels<Stored> panels,
                                      const std::byte* ahead, const MergeFactors* factors,
                                      FloatRows<float> to) noexcept {
  constexpr std::size_t kColumns = 4 / kPanels;
  constexpr std::size_t kLine = 64;
  constexpr std::size_t kLines = kColumns * kPanels * KvLayout::kPanel * sizeof(Stored) / kLine;
  PanelSums<kRows, kPanels> sums;
  unroll<kRows, kPanels * kPanelRegisters>([&](auto r, auto i)
                                               MAMBA2_INLINE { sums[r][i] = Floats(0.0F); });
  std::size_t k = 0;
  for (; k + kColumns <= panels.count; k += kColumns, ahead += kLines * kLine) {
    unroll<kLines>([&](auto i) MAMBA2_INLINE { prefetch<kIntoL2>(ahead + i * kLine); });
    add_panel_rows<kColumns, kRows, kPanels>(rows.data, rows.stride, panels, k, sums);
  }
  for (; k < panels.count; ++k) {
    add_panel_rows<1, kRows, kPanels>(rows.data, rows.stride, panels, k, sums);
  }
  const auto place = [&](auto r, auto i) { return to.data + r * to.stride + i * kLanes; };
  if (factors == nullptr) {
    unroll<kRows, kPanels * kPanelRegisters>([&](auto r, auto i)
                                                 MAMBA2_INLINE { store(sums[r][i], place(r, i)); });
  } else {
    unroll<kRows, kPanels * kPanelRegisters>([&](auto r, auto i) MAMBA2_INLINE {
      const Floats before(factors[r].before);
      store(merged(load(place(r, i)), before, sums[r][i], Floats(factors[r].block)), place(r, i));
    });
  }
}

/// Whether there are tiles of so many rows, for kPanels panels: fewer sizes where they are needed
/// for the last panel at most.
template <std::size_t kPanels>
[[nodiscard]] constexpr bool has_tile(std::size_t rows) {
  if (kPanels != kTilePanels) return rows == 1 || rows == 4;
  return rows <= kTileRowsMost && (rows <= 6 || rows == 8 || rows == 12);
}

/// Calls body(Constant<rows>, first) for tiles that cover 0..rows-1, as even as possible: the
/// panels cost a tile the same, however few rows it has.
template <std::size_t kPanels, class Body>
void for_row_tiles(std::size_t rows, Body body) {
  for (std::size_t first = 0; first < rows;) {
    const std::size_t left = rows - first;
    const std::size_t tiles = (left + kTileRowsMost - 1) / kTileRowsMost;
    std::size_t size = (left + tiles - 1) / tiles;
    if (!has_tile<kPanels>(size))
      size = kPanels == kTilePanels ? (size + 1) / 2 : (left < 4 ? 1 : 4);
    unroll<kTileRowsMost>([&](auto i) {
      if constexpr (has_tile<kPanels>(i + 1)) {
        if (size == i + 1) body(Constant<i + 1>(), first);
      }
    });
    first += size;
  }
}

}  // namespace kernels
}  // namespace MAMBA2_ISA
}  // namespace mamba2

MAMBA2_INTRINSICS_END
