// SPDX-License-Identifier: Apache-2.0
// Where in the memory of a sequence what is.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "mamba2/core/arena.hpp"
#include "mamba2/core/views.hpp"
#include "mamba2/kernels/kv_cache.hpp"
#include "mamba2/kernels/ssd.hpp"
#include "mamba2/layers/config.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// How the SSM state is stored. Arithmetic is FP32 either way.
enum class StatePrecision : std::uint8_t {
  fp32,
  fp16,  ///< half the memory and the traffic; values beyond 65504 are kept at that
};

using kernels::KvPrecision;

/// How a sequence is stored.
struct StateOptions {
  StatePrecision precision = StatePrecision::fp32;
  KvPrecision kv = KvPrecision::fp16;  ///< of keys and values
  std::size_t context = 0;             ///< tokens that attention has room for: at most kMaxContext;
                                       ///< 0: Config::default_context()
  std::size_t rewind = 0;              ///< tokens that can be taken back: at most kMaxRewind

  static constexpr std::size_t kMaxContext = std::size_t{1} << 24;
  static constexpr std::size_t kMaxRewind = 64;

  [[nodiscard]] bool operator==(const StateOptions&) const = default;
};

/// What a Mamba-2 layer has of a chunk whose tokens its ssm does not have yet.
struct ChunkMemory {
  float* x;         ///< (nheads, kChunk, headdim)
  float* B;         ///< (kChunk, ngroups * d_state)
  float* delta;     ///< (kChunk, nheads)
  float* since;     ///< (nheads, kChunk): see kernels::Decays
  float* entering;  ///< (nheads)
};

/// The last inputs of a convolution over time of each layer that has one.
struct WindowLayout {
  std::size_t layers = 0;
  std::size_t rows = 0;    ///< d_conv - 1
  std::size_t cols = 0;    ///< channels
  std::size_t offset = 0;  ///< bytes from the start: of (layers, rows, cols) floats
  std::size_t past = 0;  ///< the same: of (layers, rows + rewind, cols), where tokens can be taken
                         ///< back; the t'th input of all is row t % (rows + rewind)

  [[nodiscard]] std::size_t size() const noexcept { return rows * cols; }
  [[nodiscard]] bool operator==(const WindowLayout&) const = default;
};

/// The same for all States of a model with the same options. First the parts whose size does not
/// depend on the context: conv of all Mamba-2 layers, ssm of all, chunks of all, qkv_conv of all
/// attention layers, short_conv of all short convolutions, last, what taking back needs; then keys
/// and values, a layer after the other. A layer with both mixers is one of the Mamba-2 layers and
/// one of the attention layers.
class StateLayout {
 public:
  StateLayout(const Config& c, const StateOptions& options) : options_(options) {
    const std::size_t mamba2 = c.step_count(LayerKind::mamba2);
    const std::size_t attention = c.step_count(LayerKind::attention);
    if (attention == 0) options_.context = 0;
    if (attention > 0 && options.context == 0) options_.context = c.default_context();

    conv_ = {mamba2, mamba2 == 0 ? 0 : c.d_conv - 1, c.conv_dim()};
    const std::size_t qkv_convs = c.attention.d_conv == 0 ? 0 : attention;
    qkv_conv_ = {qkv_convs, qkv_convs == 0 ? 0 : c.attention.d_conv - 1, c.attention.qkv_dim()};
    const std::size_t short_convs = c.step_count(LayerKind::short_conv);
    short_conv_ = {short_convs, short_convs == 0 ? 0 : c.short_conv.d_conv - 1, c.d_model};
    ssm_size_ = mamba2 == 0 ? 0 : c.d_ssm * c.d_state;
    if (mamba2 > 0 && c.d_state > 1) {
      headdim_ = c.headdim;
      nheads_ = c.nheads();
      B_cols_ = c.ngroups * c.d_state;
    }
    last_size_ = c.d_model;
    kv_count_ = attention;
    kv_ = {c.attention.num_heads_kv, c.attention.head_dim, options_.context, options_.kv};

    std::size_t end = 0;
    const auto place = [&end](std::size_t bytes) {
      return std::exchange(end, aligned(end + bytes));
    };
    const auto place_window = [&](WindowLayout& window) {
      window.offset = place(window.layers * window.size() * sizeof(float));
    };
    place_window(conv_);
    ssm_offset_ = place(ssm_bytes());
    chunk_offset_ = place(mamba2 * chunk_slots() * chunk_size() * sizeof(float));
    place_window(qkv_conv_);
    place_window(short_conv_);
    last_offset_ = place(last_size_ * sizeof(float));
    for (WindowLayout* window : {&conv_, &qkv_conv_, &short_conv_}) {
      if (options_.rewind == 0) continue;
      window->past =
          place(window->layers * (window->rows + options_.rewind) * window->cols * sizeof(float));
    }
    ahead_offset_ = options_.rewind == 0 ? end : place(ssm_size_ * ssm_element());
    fixed_bytes_ = kv_offset_ = end;
    kv_bytes_ = attention == 0 ? 0 : aligned(kv_.bytes());
  }

  [[nodiscard]] const StateOptions& options() const noexcept { return options_; }

  /// The windows of the convolutions: of the Mamba-2 layers, of the attention layers (where these
  /// have one), of the short convolutions.
  [[nodiscard]] const WindowLayout& conv() const noexcept { return conv_; }
  [[nodiscard]] const WindowLayout& qkv_conv() const noexcept { return qkv_conv_; }
  [[nodiscard]] const WindowLayout& short_conv() const noexcept { return short_conv_; }

  /// Elements of one layer.
  [[nodiscard]] std::size_t ssm_size() const noexcept { return ssm_size_; }
  [[nodiscard]] std::size_t last_size() const noexcept { return last_size_; }

  /// Chunks that there is room for in each layer: the one at hand, and those of tokens that may be
  /// taken back. The number'th of all is number % chunk_slots().
  [[nodiscard]] std::size_t chunk_slots() const noexcept {
    return has_chunks() ? 1 + (options_.rewind + kernels::kChunk - 1) / kernels::kChunk : 0;
  }
  /// The tokens that the ssm has to have, at least, of so many: there is room for the others'
  /// chunks.
  [[nodiscard]] std::uint64_t least_base(std::uint64_t tokens, std::uint64_t base) const noexcept {
    if (base == tokens || !has_chunks()) return base;
    const std::uint64_t end = (tokens - 1) / kernels::kChunk + 1;  // chunks
    const std::uint64_t first = end - std::min<std::uint64_t>(end, chunk_slots());
    return std::max(base, first * kernels::kChunk);
  }
  /// Whether there are chunks: Mamba-2 layers with a d_state other than 1.
  [[nodiscard]] bool has_chunks() const noexcept { return nheads_ > 0; }
  /// The number'th chunk of the index'th of the Mamba-2 layers, in the memory of a state.
  [[nodiscard]] ChunkMemory chunk(std::byte* memory, std::size_t index,
                                  std::uint64_t number) const noexcept {
    auto* x = reinterpret_cast<float*>(memory + chunk_offset(index, number));
    float* B = x + kernels::kChunk * nheads_ * headdim_;
    float* delta = B + kernels::kChunk * B_cols_;
    float* since = delta + kernels::kChunk * nheads_;
    return {x, B, delta, since, since + kernels::kChunk * nheads_};
  }

  /// Bytes from the start.
  [[nodiscard]] std::size_t ssm_offset() const noexcept { return ssm_offset_; }
  [[nodiscard]] std::size_t last_offset() const noexcept { return last_offset_; }
  /// Room for the ssm of one layer, for tokens beyond what may be taken back; where rewind > 0.
  [[nodiscard]] std::size_t ahead_offset() const noexcept { return ahead_offset_; }

  /// Keys and values of one layer; how many layers have some, and where.
  [[nodiscard]] const kernels::KvLayout& kv() const noexcept { return kv_; }
  [[nodiscard]] std::size_t kv_count() const noexcept { return kv_count_; }
  [[nodiscard]] std::size_t kv_offset(std::size_t index) const noexcept {
    return kv_offset_ + index * kv_bytes_;
  }

  /// Whether any number of tokens can be taken back: nothing but keys and values is kept of them.
  [[nodiscard]] bool can_rewind() const noexcept {
    return ssm_size_ == 0 && conv_.size() + qkv_conv_.size() + short_conv_.size() == 0;
  }

  /// Bytes of all parts before keys and values.
  [[nodiscard]] std::size_t fixed_bytes() const noexcept { return fixed_bytes_; }
  [[nodiscard]] std::size_t bytes() const noexcept {
    return kv_count_ == 0 ? fixed_bytes_ : kv_offset(kv_count_);
  }
  /// Bytes that `tokens` tokens are in.
  [[nodiscard]] std::size_t used_bytes(std::size_t tokens) const {
    return kv_count_ == 0 ? fixed_bytes_ : fixed_bytes_ + kv_count_ * kv_.used_bytes(tokens);
  }

  /// Bytes that decoding a token after so many others reads and writes, the mean of a chunk: the
  /// ssm is read with every token and written with a chunk's last, and a row of the chunk is
  /// written and read with all that follow; keys and values are read.
  [[nodiscard]] std::size_t moved_bytes(std::size_t tokens) const {
    const std::size_t rest =
        2 * (window_bytes() + last_size_ * sizeof(float)) + kv_count_ * kv_.used_bytes(tokens);
    if (!has_chunks()) return 2 * ssm_bytes() + rest;
    constexpr std::size_t kChunk = kernels::kChunk;
    const std::size_t row = nheads_ * headdim_ + B_cols_;
    const std::size_t rows = row + row * (kChunk + 1) / 2 + 2 * (kChunk + 1) * nheads_;
    return ssm_bytes() + ssm_bytes() / kChunk + conv_.layers * rows * sizeof(float) + rest;
  }
  /// Bytes of ssm and windows of all layers: what an engine keeps that has the state of every
  /// token.
  [[nodiscard]] std::size_t recurrent_bytes() const noexcept {
    return ssm_bytes() + window_bytes();
  }

  /// Calls visit(offset, bytes) for the parts that hold what layers remember of `tokens` tokens, of
  /// which the ssm has the first `base`: all but last and what is for taking back. Put together
  /// they depend neither on the context nor on rewind. After those of a chunk it calls
  /// end_chunk(index, number, rows): in a layout with fewer chunk_slots() than there are chunks, a
  /// later one is in the same place.
  template <class Visit, class EndChunk>
  void for_parts(std::uint64_t tokens, std::uint64_t base, Visit visit, EndChunk end_chunk) const {
    const auto visit_window = [&](const WindowLayout& window) {
      visit(window.offset, window.layers * window.size() * sizeof(float));
    };
    visit_window(conv_);
    visit(ssm_offset_, ssm_bytes());
    if (has_chunks()) for_chunks(tokens, base, visit, end_chunk);
    visit_window(qkv_conv_);
    visit_window(short_conv_);
    for (std::size_t i = 0; i < kv_count_; ++i) {
      kv_.for_parts(static_cast<std::size_t>(tokens), [&](std::size_t offset, std::size_t bytes) {
        visit(kv_offset(i) + offset, bytes);
      });
    }
  }
  template <class Visit>
  void for_parts(std::uint64_t tokens, std::uint64_t base, Visit visit) const {
    for_parts(tokens, base, visit, [](std::size_t, std::uint64_t, std::size_t) {});
  }
  /// Bytes of all these parts.
  [[nodiscard]] std::size_t saved_bytes(std::uint64_t tokens, std::uint64_t base) const {
    std::size_t sum = 0;
    for_parts(tokens, base, [&sum](std::size_t, std::size_t bytes) { sum += bytes; });
    return sum;
  }

  [[nodiscard]] bool operator==(const StateLayout&) const = default;

 private:
  [[nodiscard]] std::size_t ssm_element() const noexcept {
    return options_.precision == StatePrecision::fp16 ? 2 : 4;
  }
  [[nodiscard]] std::size_t ssm_bytes() const noexcept {
    return conv_.layers * ssm_size_ * ssm_element();
  }
  [[nodiscard]] std::size_t window_bytes() const noexcept {
    std::size_t floats = 0;
    for (const WindowLayout* window : {&conv_, &qkv_conv_, &short_conv_}) {
      floats += window->layers * window->size();
    }
    return floats * sizeof(float);
  }
  /// Floats of a chunk of one layer.
  [[nodiscard]] std::size_t chunk_size() const noexcept {
    return kernels::kChunk * (nheads_ * (headdim_ + 2) + B_cols_) + nheads_;
  }

  /// Bytes from the start.
  [[nodiscard]] std::size_t chunk_offset(std::size_t index, std::uint64_t number) const noexcept {
    const auto slot = static_cast<std::size_t>(number % chunk_slots());
    return chunk_offset_ + (index * chunk_slots() + slot) * chunk_size() * sizeof(float);
  }

  /// for_parts() of the chunks.
  template <class Visit, class EndChunk>
  void for_chunks(std::uint64_t tokens, std::uint64_t base, Visit visit, EndChunk end_chunk) const {
    constexpr std::size_t kChunk = kernels::kChunk;
    for (std::size_t i = 0; i < conv_.layers; ++i) {
      for (std::uint64_t begin = base; begin < tokens;) {
        const std::uint64_t number = begin / kChunk;
        const std::uint64_t end = std::min<std::uint64_t>(tokens, (number + 1) * kChunk);
        const std::size_t rows = static_cast<std::size_t>(end - begin);
        std::size_t offset = chunk_offset(i, number);
        const auto part = [&](std::size_t used, std::size_t room) {
          visit(offset, used * sizeof(float));
          offset += room * sizeof(float);
        };
        for (std::size_t h = 0; h < nheads_; ++h) part(rows * headdim_, kChunk * headdim_);
        part(rows * B_cols_, kChunk * B_cols_);
        part(rows * nheads_, kChunk * nheads_);
        end_chunk(i, number, rows);
        begin = end;
      }
    }
  }

  [[nodiscard]] static std::size_t aligned(std::size_t bytes) noexcept {
    return detail::round_up(bytes, Carver::kAlignment);
  }

  StateOptions options_;
  kernels::KvLayout kv_{};
  WindowLayout conv_;
  WindowLayout qkv_conv_;
  WindowLayout short_conv_;
  std::size_t ssm_size_ = 0;
  std::size_t nheads_ = 0;  // these three: 0 where there are no chunks
  std::size_t headdim_ = 0;
  std::size_t B_cols_ = 0;
  std::size_t last_size_ = 0;
  std::size_t ssm_offset_ = 0;
  std::size_t chunk_offset_ = 0;
  std::size_t last_offset_ = 0;
  std::size_t ahead_offset_ = 0;
  std::size_t fixed_bytes_ = 0;
  std::size_t kv_count_ = 0;
  std::size_t kv_offset_ = 0;
  std::size_t kv_bytes_ = 0;
};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
