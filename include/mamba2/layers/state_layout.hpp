// SPDX-License-Identifier: Apache-2.0
// Where in the memory of a sequence what is.
#pragma once

#include <cstddef>
#include <cstdint>

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

  static constexpr std::size_t kMaxContext = std::size_t{1} << 24;

  [[nodiscard]] bool operator==(const StateOptions&) const = default;
};

/// What a Mamba-2 layer has of the chunk at hand, whose tokens its ssm does not have yet.
struct ChunkMemory {
  float* x;         ///< (nheads, kChunk, headdim)
  float* B;         ///< (kChunk, ngroups * d_state)
  float* since;     ///< (nheads, kChunk): see kernels::Decays
  float* entering;  ///< (nheads)
};

/// The same for all States of a model with the same options. First the parts whose size does not
/// depend on the context: conv of all Mamba-2 layers, ssm of all, what the chunk at hand has of all
/// (ChunkMemory: x, B, since, entering), qkv_conv of all attention layers, short_conv of all short
/// convolutions, last; then keys and values, a layer after the other. A layer with both mixers is
/// one of the Mamba-2 layers and one of the attention layers.
class StateLayout {
 public:
  StateLayout(const Config& c, const StateOptions& options) : options_(options) {
    const std::size_t mamba2 = mamba2_count_ = c.step_count(LayerKind::mamba2);
    const std::size_t attention = c.step_count(LayerKind::attention);
    if (attention == 0) options_.context = 0;
    if (attention > 0 && options.context == 0) options_.context = c.default_context();

    conv_size_ = mamba2 == 0 ? 0 : (c.d_conv - 1) * c.conv_dim();
    ssm_size_ = mamba2 == 0 ? 0 : c.d_ssm * c.d_state;
    if (mamba2 > 0 && c.d_state > 1) {
      headdim_ = c.headdim;
      nheads_ = c.nheads();
      chunk_B_cols_ = c.ngroups * c.d_state;
    }
    qkv_conv_size_ = c.attention.d_conv == 0 || attention == 0
                         ? 0
                         : (c.attention.d_conv - 1) * c.attention.qkv_dim();
    short_conv_count_ = c.step_count(LayerKind::short_conv);
    short_conv_size_ = short_conv_count_ == 0 ? 0 : (c.short_conv.d_conv - 1) * c.d_model;
    last_size_ = c.d_model;
    kv_count_ = attention;
    kv_ = {c.attention.num_heads_kv, c.attention.head_dim, options_.context, options_.kv};

    const std::size_t element = options_.precision == StatePrecision::fp16 ? 2 : 4;
    ssm_offset_ = aligned(mamba2 * conv_size_ * sizeof(float));
    chunk_offset_ = aligned(ssm_offset_ + mamba2 * ssm_size_ * element);
    qkv_conv_offset_ = aligned(chunk_offset_ + mamba2 * chunk_size() * sizeof(float));
    short_conv_offset_ = aligned(qkv_conv_offset_ + attention * qkv_conv_size_ * sizeof(float));
    last_offset_ =
        aligned(short_conv_offset_ + short_conv_count_ * short_conv_size_ * sizeof(float));
    fixed_bytes_ = last_offset_ + last_size_ * sizeof(float);
    kv_offset_ = aligned(fixed_bytes_);
    kv_bytes_ = attention == 0 ? 0 : aligned(kv_.bytes());
  }

  [[nodiscard]] const StateOptions& options() const noexcept { return options_; }

  /// Elements of one layer, or of all.
  [[nodiscard]] std::size_t conv_size() const noexcept { return conv_size_; }
  [[nodiscard]] std::size_t ssm_size() const noexcept { return ssm_size_; }
  [[nodiscard]] std::size_t chunk_size() const noexcept {
    return kernels::kChunk * (nheads_ * (headdim_ + 1) + chunk_B_cols_) + nheads_;
  }
  [[nodiscard]] std::size_t qkv_conv_size() const noexcept { return qkv_conv_size_; }
  [[nodiscard]] std::size_t short_conv_size() const noexcept { return short_conv_size_; }
  [[nodiscard]] std::size_t last_size() const noexcept { return last_size_; }

  /// The chunk at hand of a layer in memory of its own: what its rows, and those to come, take.
  [[nodiscard]] ChunkMemory chunk(float* memory) const noexcept {
    float* B = memory + kernels::kChunk * nheads_ * headdim_;
    float* since = B + kernels::kChunk * chunk_B_cols_;
    return {memory, B, since, since + kernels::kChunk * nheads_};
  }
  /// Whether there are chunks: Mamba-2 layers with a d_state other than 1.
  [[nodiscard]] bool has_chunks() const noexcept { return nheads_ > 0; }

  /// Bytes from the start.
  [[nodiscard]] std::size_t ssm_offset() const noexcept { return ssm_offset_; }
  [[nodiscard]] std::size_t chunk_offset() const noexcept { return chunk_offset_; }
  [[nodiscard]] std::size_t qkv_conv_offset() const noexcept { return qkv_conv_offset_; }
  [[nodiscard]] std::size_t short_conv_offset() const noexcept { return short_conv_offset_; }
  [[nodiscard]] std::size_t last_offset() const noexcept { return last_offset_; }

  /// Keys and values of one layer; how many layers have some, and where.
  [[nodiscard]] const kernels::KvLayout& kv() const noexcept { return kv_; }
  [[nodiscard]] std::size_t kv_count() const noexcept { return kv_count_; }
  [[nodiscard]] std::size_t kv_offset(std::size_t index) const noexcept {
    return kv_offset_ + index * kv_bytes_;
  }

  /// Whether tokens can be taken back: nothing but keys and values is kept of them.
  [[nodiscard]] bool can_rewind() const noexcept {
    return mamba2_count_ == 0 && qkv_conv_size_ == 0 && short_conv_size_ == 0;
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
    const std::size_t element = options_.precision == StatePrecision::fp16 ? 2 : 4;
    const std::size_t ssm = mamba2_count_ * ssm_size_ * element;
    const std::size_t chunks = qkv_conv_offset_ - chunk_offset_;
    const std::size_t rest = 2 * (fixed_bytes_ - ssm - chunks) + used_bytes(tokens) - fixed_bytes_;
    if (!has_chunks()) return 2 * ssm + rest;
    const std::size_t row = mamba2_count_ * (nheads_ * headdim_ + chunk_B_cols_) * sizeof(float);
    const std::size_t decays = mamba2_count_ * (kernels::kChunk + 1) * nheads_ * sizeof(float);
    return ssm + ssm / kernels::kChunk + row + row * (kernels::kChunk + 1) / 2 + 2 * decays + rest;
  }

  /// Calls visit(offset, bytes) for the parts that hold what layers remember of `tokens` tokens,
  /// the last `rows` of them those of a chunk: all but last. Put together they do not depend on the
  /// context.
  template <class Visit>
  void for_parts(std::size_t tokens, std::size_t rows, Visit visit) const {
    const std::size_t element = options_.precision == StatePrecision::fp16 ? 2 : 4;
    visit(std::size_t{0}, mamba2_count_ * conv_size_ * sizeof(float));
    visit(ssm_offset_, mamba2_count_ * ssm_size_ * element);
    if (rows > 0) for_chunks(rows, visit);
    visit(qkv_conv_offset_, kv_count_ * qkv_conv_size_ * sizeof(float));
    visit(short_conv_offset_, short_conv_count_ * short_conv_size_ * sizeof(float));
    for (std::size_t i = 0; i < kv_count_; ++i) {
      kv_.for_parts(tokens, [&](std::size_t offset, std::size_t bytes) {
        visit(kv_offset(i) + offset, bytes);
      });
    }
  }
  /// Bytes of all these parts.
  [[nodiscard]] std::size_t saved_bytes(std::size_t tokens, std::size_t rows) const {
    std::size_t sum = 0;
    for_parts(tokens, rows, [&sum](std::size_t, std::size_t bytes) { sum += bytes; });
    return sum;
  }

  [[nodiscard]] bool operator==(const StateLayout&) const = default;

 private:
  /// for_parts() of the chunks at hand.
  template <class Visit>
  void for_chunks(std::size_t rows, Visit visit) const {
    for (std::size_t i = 0; i < mamba2_count_; ++i) {
      const std::size_t first = chunk_offset_ + i * chunk_size() * sizeof(float);
      for (std::size_t head = 0; head < nheads_; ++head) {
        visit(first + head * kernels::kChunk * headdim_ * sizeof(float),
              rows * headdim_ * sizeof(float));
      }
      const std::size_t B = first + kernels::kChunk * nheads_ * headdim_ * sizeof(float);
      visit(B, rows * chunk_B_cols_ * sizeof(float));
      visit(B + kernels::kChunk * chunk_B_cols_ * sizeof(float),
            (kernels::kChunk + 1) * nheads_ * sizeof(float));
    }
  }

  [[nodiscard]] static std::size_t aligned(std::size_t bytes) noexcept {
    return detail::round_up(bytes, Carver::kAlignment);
  }

  StateOptions options_;
  kernels::KvLayout kv_{};
  std::size_t mamba2_count_ = 0;
  std::size_t conv_size_ = 0;
  std::size_t ssm_size_ = 0;
  std::size_t nheads_ = 0;  // these three: 0 where there are no chunks
  std::size_t headdim_ = 0;
  std::size_t chunk_B_cols_ = 0;
  std::size_t qkv_conv_size_ = 0;
  std::size_t short_conv_count_ = 0;
  std::size_t short_conv_size_ = 0;
  std::size_t last_size_ = 0;
  std::size_t ssm_offset_ = 0;
  std::size_t chunk_offset_ = 0;
  std::size_t qkv_conv_offset_ = 0;
  std::size_t short_conv_offset_ = 0;
  std::size_t last_offset_ = 0;
  std::size_t fixed_bytes_ = 0;
  std::size_t kv_count_ = 0;
  std::size_t kv_offset_ = 0;
  std::size_t kv_bytes_ = 0;
};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
