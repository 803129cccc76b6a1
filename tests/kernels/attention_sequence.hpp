// SPDX-License-Identifier: Apache-2.0
// A sequence for tests of attention: random queries, keys and values, its cache, and ways to run
// it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "mamba2/core/executor.hpp"
#include "mamba2/core/half.hpp"
#include "mamba2/kernels/attend.hpp"
#include "mamba2/kernels/scalar/attention.hpp"
#include "tests/reference/attention_reference.hpp"
#include "tests/reference/random_weights.hpp"

namespace tests {

using mamba2::kernels::AttentionPart;
using mamba2::kernels::KvLayout;
using mamba2::kernels::KvPrecision;

inline constexpr KvPrecision kPrecisions[] = {KvPrecision::fp16, KvPrecision::fp32,
                                              KvPrecision::int8};

struct AttentionSequence {
  mamba2::kernels::Attention attention;
  KvLayout layout;
  std::vector<float> q, k, v;     ///< (tokens, heads or kv_heads, headdim)
  std::vector<std::byte> memory;  ///< of the cache, with a line behind it that stays as it is
  std::size_t tokens;

  static constexpr std::byte kBehind{0x5A};

  AttentionSequence(std::size_t heads, std::size_t kv_heads, std::size_t headdim,
                    KvPrecision precision, std::size_t token_count, std::size_t context = 0)
      : attention{heads, kv_heads, headdim, static_cast<float>(1.0 / std::sqrt(headdim))},
        layout{kv_heads, headdim, std::max(context, token_count), precision},
        memory(layout.bytes() + 128, std::byte{0}),
        tokens(token_count) {
    reference::Random random(heads * 1000 + headdim + token_count);
    q = reference::to_float(random.normals(tokens * heads * headdim, 0.0, 1.5));
    k = reference::to_float(random.normals(tokens * kv_heads * headdim, 0.0, 1.0));
    v = reference::to_float(random.normals(tokens * kv_heads * headdim, 0.0, 1.0));
    std::fill_n(cache() + layout.bytes(), 64, kBehind);
  }

  [[nodiscard]] std::byte* cache() {
    const auto address = reinterpret_cast<std::uintptr_t>(memory.data());
    return memory.data() + (64 - address % 64) % 64;
  }
  [[nodiscard]] bool intact() {
    return std::all_of(cache() + layout.bytes(), cache() + layout.bytes() + 64,
                       [](std::byte b) { return b == kBehind; });
  }
  [[nodiscard]] std::size_t width() const { return attention.heads * attention.headdim; }

  /// Bits of an element of the cache, found by what KvLayout says of it; as a number, scaled.
  [[nodiscard]] double key(std::size_t token, std::size_t head, std::size_t c) {
    const std::byte* panel = cache() + layout.unit_offset(token / 256, head) +
                             token % 256 / 16 * layout.key_panel_bytes();
    const double scale =
        layout.scaled() ? reinterpret_cast<const float*>(panel + 16 * layout.headdim)[token % 16]
                        : 1.0F;
    return scale * number(panel, c * 16 + token % 16);
  }
  [[nodiscard]] double value(std::size_t token, std::size_t head, std::size_t c) {
    const std::size_t block = token / 256;
    const std::byte* unit = cache() + layout.unit_offset(block, head);
    const std::byte* panel =
        unit + layout.values_offset(block) + c / 16 * layout.value_panel_bytes(block);
    const double scale =
        layout.scaled()
            ? reinterpret_cast<const float*>(unit + layout.scales_offset(block))[token % 256]
            : 1.0F;
    return scale * number(panel, token % 256 * 16 + c % 16);
  }

  /// What attention makes of what the cache holds, from the token `skip` on.
  [[nodiscard]] std::vector<double> expected(std::size_t skip = 0) {
    std::vector<double> queries = reference::to_double(q);
    if (layout.scaled()) rotate(queries);
    std::vector<double> keys;
    std::vector<double> values;
    for (std::size_t t = 0; t < tokens; ++t) {
      for (std::size_t h = 0; h < attention.kv_heads; ++h) {
        for (std::size_t c = 0; c < attention.headdim; ++c) {
          keys.push_back(key(t, h, c));
          values.push_back(value(t, h, c));
        }
      }
    }
    return reference::causal_attention(shape(), queries, keys, values, skip);
  }
  /// What it makes of keys and values that are not rounded.
  [[nodiscard]] std::vector<double> exact() const {
    return reference::causal_attention(shape(), reference::to_double(q), reference::to_double(k),
                                       reference::to_double(v));
  }

  [[nodiscard]] reference::AttentionShape shape() const {
    return {attention.heads, attention.kv_heads, attention.headdim,
            static_cast<double>(attention.scale)};
  }

  /// Reads its tokens [position, position + count); the results of others are left out. spare: so
  /// many running rows for each head beside those of the tokens.
  template <class Kernels = mamba2::kernels::NativeAttention>
  std::vector<float> read(std::size_t position, std::size_t count, mamba2::Executor& executor,
                          std::size_t spare = 64) {
    AttentionPart part = {cache(), layout, position, 0, count};
    std::vector<float> queries(count * width(), NAN);
    for (std::size_t t = 0; t < count; ++t) prepare(part, t, queries.data());
    return run<Kernels>(std::span(&part, 1), queries, executor, count, spare);
  }
  template <class Kernels = mamba2::kernels::NativeAttention>
  std::vector<float> read(std::size_t position, std::size_t count) {
    mamba2::SerialExecutor executor;
    return read<Kernels>(position, count, executor);
  }

  /// Makes a token of a part ready.
  void prepare(const AttentionPart& part, std::size_t t, float* queries) {
    const std::size_t kv = attention.kv_heads * attention.headdim;
    const std::size_t token = part.position + t;
    std::vector<float> query(&q[token * width()], &q[token * width()] + width());
    std::vector<float> key(&k[token * kv], &k[token * kv] + kv);
    mamba2::kernels::prepare_token(attention, part, t, query.data(), key.data(), &v[token * kv],
                                   queries);
  }

  /// Attention of parts whose tokens are ready, `count` together.
  template <class Kernels = mamba2::kernels::NativeAttention>
  [[nodiscard]] std::vector<float> run(std::span<AttentionPart> parts,
                                       const std::vector<float>& queries,
                                       mamba2::Executor& executor, std::size_t count,
                                       std::size_t spare) const {
    const std::size_t rows = attention.heads * (count + spare);
    // Unwritten memory must not count, whatever is in it.
    std::vector<float> running(rows * mamba2::kernels::RunningRows::stride(attention.headdim), NAN);
    std::vector<float> out(count * width(), NAN);
    mamba2::kernels::attend<Kernels>(executor, attention, parts, queries.data(), running.data(),
                                     rows, mamba2::MutableRows(out.data(), count, width()));
    return out;
  }

 private:
  [[nodiscard]] double number(const std::byte* panel, std::size_t i) const {
    switch (layout.precision) {
      case KvPrecision::fp32:
        return static_cast<double>(reinterpret_cast<const float*>(panel)[i]);
      case KvPrecision::fp16:
        return static_cast<double>(
            mamba2::fp16_to_float(reinterpret_cast<const std::uint16_t*>(panel)[i]));
      default:
        return reinterpret_cast<const std::int8_t*>(panel)[i];
    }
  }

  /// The Hadamard rotation of every head, in blocks of the largest power of two that divides it.
  void rotate(std::vector<double>& x) const {
    std::size_t block = 1;
    while (attention.headdim % (2 * block) == 0) block *= 2;
    std::vector<double> from = x;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const std::size_t first = i / block * block;
      double sum = 0.0;
      for (std::size_t j = 0; j < block; ++j) {
        const bool odd = __builtin_parityll((i - first) & j) != 0;
        sum += odd ? -from[first + j] : from[first + j];
      }
      x[i] = sum / std::sqrt(static_cast<double>(block));
    }
  }
};

}  // namespace tests
