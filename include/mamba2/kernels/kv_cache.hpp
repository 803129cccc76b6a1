// SPDX-License-Identifier: Apache-2.0
// The keys and values of an attention layer: where they are in memory, and how they get there.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "mamba2/core/views.hpp"
#include "mamba2/kernels/hadamard.hpp"
#include "mamba2/kernels/quantize.hpp"
#include "mamba2/kernels/simd.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels {

/// How keys and values are stored. Arithmetic is FP32 either way.
enum class KvPrecision : std::uint8_t {
  fp16,  ///< values beyond 65504 are kept at that
  fp32,
  int8,  ///< a scale for each head and token; keys and queries are rotated (Hadamard)
};

/// The layout of one layer's cache, the same on every instruction set. Tokens come in blocks of
/// kBlock; in a block, one kv head after the other has its unit: keys, then values. Attention reads
/// a unit in the order of its memory, with tokens or channels as lanes of registers:
///
///   keys    a panel for every 16 tokens: (headdim, 16), where INT8 then their 16 scales
///   values  a panel for every 16 channels: (tokens, 16), and where INT8 the tokens' scales
///
/// Stored is float, std::uint16_t (FP16) or std::int8_t, as the precision says. A last block with
/// room for less than kBlock tokens has room for a multiple of 16. Panels start on multiples of 64
/// bytes. Whatever context and headdim are, bytes() must not overflow.
struct KvLayout {
  static constexpr std::size_t kPanel = 16;
  static constexpr std::size_t kBlock = 256;

  std::size_t kv_heads;
  std::size_t headdim;
  std::size_t context;  ///< tokens that there is room for, at least 1
  KvPrecision precision;

  [[nodiscard]] constexpr std::size_t element_bytes() const noexcept {
    return precision == KvPrecision::fp32 ? 4 : (precision == KvPrecision::fp16 ? 2 : 1);
  }
  [[nodiscard]] constexpr bool scaled() const noexcept { return precision == KvPrecision::int8; }

  /// Blocks that `tokens` tokens are in.
  [[nodiscard]] static constexpr std::size_t blocks(std::size_t tokens) noexcept {
    return (tokens + kBlock - 1) / kBlock;
  }
  /// Tokens that a block has room for.
  [[nodiscard]] constexpr std::size_t room(std::size_t block) const noexcept {
    return std::min(kBlock, detail::round_up(context - block * kBlock, kPanel));
  }

  [[nodiscard]] constexpr std::size_t key_panel_bytes() const noexcept {
    const std::size_t scales = scaled() ? kPanel * sizeof(float) : 0;
    return detail::round_up(kPanel * headdim * element_bytes() + scales, 64);
  }
  [[nodiscard]] constexpr std::size_t value_panels() const noexcept {
    return (headdim + kPanel - 1) / kPanel;
  }
  [[nodiscard]] constexpr std::size_t value_panel_bytes(std::size_t block) const noexcept {
    return room(block) * kPanel * element_bytes();
  }
  /// From the beginning of a unit to its values, and to the scales of these.
  [[nodiscard]] constexpr std::size_t values_offset(std::size_t block) const noexcept {
    return room(block) / kPanel * key_panel_bytes();
  }
  [[nodiscard]] constexpr std::size_t scales_offset(std::size_t block) const noexcept {
    return values_offset(block) + value_panels() * value_panel_bytes(block);
  }
  [[nodiscard]] constexpr std::size_t unit_bytes(std::size_t block) const noexcept {
    return scales_offset(block) + (scaled() ? room(block) * sizeof(float) : 0);
  }
  /// From the beginning of the cache to a unit.
  [[nodiscard]] constexpr std::size_t unit_offset(std::size_t block,
                                                  std::size_t head) const noexcept {
    return block * kv_heads * unit_bytes(0) + head * unit_bytes(block);
  }

  /// Bytes of the cache.
  [[nodiscard]] constexpr std::size_t bytes() const noexcept {
    return unit_offset(blocks(context) - 1, kv_heads);
  }

  /// Calls visit(offset, bytes) for all parts of the cache that `tokens` tokens are in, first to
  /// last: whole blocks are one part. What they hold, and in which order, does not depend on
  /// context: put together they can be kept, and taken apart again for a cache of another size.
  template <class Visit>
  constexpr void for_parts(std::size_t tokens, Visit visit) const {
    const std::size_t whole = tokens / kBlock;
    if (whole > 0) visit(std::size_t{0}, whole * kv_heads * unit_bytes(0));
    const std::size_t rest = tokens % kBlock;
    if (rest == 0) return;
    for (std::size_t head = 0; head < kv_heads; ++head) {
      const std::size_t unit = unit_offset(whole, head);
      visit(unit, detail::round_up(rest, kPanel) / kPanel * key_panel_bytes());
      for (std::size_t panel = 0; panel < value_panels(); ++panel) {
        visit(unit + values_offset(whole) + panel * value_panel_bytes(whole),
              rest * kPanel * element_bytes());
      }
      if (scaled()) visit(unit + scales_offset(whole), rest * sizeof(float));
    }
  }
  /// Bytes of all these parts.
  [[nodiscard]] constexpr std::size_t used_bytes(std::size_t tokens) const {
    std::size_t sum = 0;
    for_parts(tokens, [&](std::size_t, std::size_t bytes) { sum += bytes; });
    return sum;
  }

  [[nodiscard]] bool operator==(const KvLayout&) const = default;
};

/// Calls body(Stored{}) with the type that a precision stores.
template <class Body>
decltype(auto) with_stored(KvPrecision precision, Body body) {
  switch (precision) {
    case KvPrecision::fp32:
      return body(float{});
    case KvPrecision::int8:
      return body(std::int8_t{});
    default:
      return body(std::uint16_t{});
  }
}

/// What attention reads of one kv head and one block.
struct KvUnit {
  const std::byte* keys;
  std::size_t key_panel_bytes;
  const std::byte* values;
  std::size_t value_panel_bytes;
  const float* value_scales;  ///< nullptr where there are none
  std::size_t headdim;

  KvUnit(const KvLayout& layout, const std::byte* cache, std::size_t block,
         std::size_t head) noexcept
      : keys(cache + layout.unit_offset(block, head)),
        key_panel_bytes(layout.key_panel_bytes()),
        values(keys + layout.values_offset(block)),
        value_panel_bytes(layout.value_panel_bytes(block)),
        value_scales(layout.scaled()
                         ? reinterpret_cast<const float*>(keys + layout.scales_offset(block))
                         : nullptr),
        headdim(layout.headdim) {}

  /// The scales of a token's key and those that follow it in its panel, where keys have some.
  [[nodiscard]] const float* key_scales(std::size_t token) const noexcept {
    constexpr std::size_t kPanel = KvLayout::kPanel;
    const std::byte* panel = keys + token / kPanel * key_panel_bytes;
    return reinterpret_cast<const float*>(panel + kPanel * headdim) + token % kPanel;
  }
};

/// The first `count` <= kPanel values as they are stored; zeros follow. inverse: 127 / max|x| for
/// INT8, otherwise of no account.
template <class Stored>
[[nodiscard]] std::array<Stored, KvLayout::kPanel> encode(const float* x, std::size_t count,
                                                          float inverse) noexcept {
  std::array<float, KvLayout::kPanel> values{};
  std::copy_n(x, count, values.begin());
  std::array<Stored, KvLayout::kPanel> stored;
  if constexpr (std::is_same_v<Stored, std::int8_t>) {
    int8_codes(values.data(), values.size(), inverse, stored.data());
  } else {
    for (std::size_t i = 0; i < values.size(); i += kLanes) store(load(&values[i]), &stored[i]);
  }
  return stored;
}

/// Has the cache hold a kv head's key and value (headdim) for a token. key: where the keys are
/// rotated, it is.
template <class Stored>
void store_key_value(const KvLayout& layout, std::byte* cache, std::size_t token, std::size_t head,
                     float* key, const float* value) noexcept {
  constexpr std::size_t kPanel = KvLayout::kPanel;
  const std::size_t block = token / KvLayout::kBlock;
  const std::size_t at = token % KvLayout::kBlock;
  const std::size_t n = layout.headdim;
  std::byte* unit = cache + layout.unit_offset(block, head);
  std::byte* panel = unit + at / kPanel * layout.key_panel_bytes();
  float key_inverse = 0.0F;
  float value_inverse = 0.0F;
  if constexpr (std::is_same_v<Stored, std::int8_t>) {
    hadamard(key, n, hadamard_width(n, std::bit_floor(n)));
    const Int8Scale key_scale = int8_scale(key, n);
    const Int8Scale value_scale = int8_scale(value, n);
    key_inverse = key_scale.inverse;
    value_inverse = value_scale.inverse;
    reinterpret_cast<float*>(panel + kPanel * n)[at % kPanel] = key_scale.step;
    reinterpret_cast<float*>(unit + layout.scales_offset(block))[at] = value_scale.step;
  }
  auto* keys = reinterpret_cast<Stored*>(panel) + at % kPanel;
  std::byte* values = unit + layout.values_offset(block) + at * kPanel * sizeof(Stored);
  for (std::size_t c = 0; c < n; c += kPanel) {
    const std::size_t count = std::min(kPanel, n - c);
    const auto key_part = encode<Stored>(key + c, count, key_inverse);
    for (std::size_t i = 0; i < count; ++i) keys[(c + i) * kPanel] = key_part[i];
    const auto value_part = encode<Stored>(value + c, count, value_inverse);
    std::memcpy(values, value_part.data(), sizeof value_part);
    values += layout.value_panel_bytes(block);
  }
}

/// Takes the tokens [first, end) back: zeros what the parts of fewer tokens would still hold of
/// them, so that equal sequences have equal bytes in for_parts().
inline void forget(const KvLayout& layout, std::byte* cache, std::size_t first,
                   std::size_t end) noexcept {
  constexpr std::size_t kPanel = KvLayout::kPanel;
  const std::size_t bytes = layout.element_bytes();
  for (std::size_t token = first; token < end;) {
    const std::size_t lane = token % kPanel;
    const std::size_t count = std::min(kPanel - lane, end - token);
    const std::size_t panel = token % KvLayout::kBlock / kPanel * layout.key_panel_bytes();
    for (std::size_t head = 0; head < layout.kv_heads; ++head) {
      std::byte* keys = cache + layout.unit_offset(token / KvLayout::kBlock, head) + panel;
      for (std::size_t c = 0; c < layout.headdim; ++c) {
        std::memset(keys + (c * kPanel + lane) * bytes, 0, count * bytes);
      }
      std::byte* scales = keys + kPanel * layout.headdim;
      if (layout.scaled()) std::memset(scales + lane * sizeof(float), 0, count * sizeof(float));
    }
    token += count;
  }
}

}  // namespace kernels
}  // namespace MAMBA2_ISA
}  // namespace mamba2
