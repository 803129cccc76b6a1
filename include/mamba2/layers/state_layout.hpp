// SPDX-License-Identifier: Apache-2.0
// Where in the memory of a sequence what is.
#pragma once

#include <cstddef>
#include <cstdint>

#include "mamba2/core/arena.hpp"
#include "mamba2/core/views.hpp"
#include "mamba2/kernels/kv_cache.hpp"
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

/// The same for all States of a model with the same options. First the parts whose size does not
/// depend on the context: conv of all Mamba-2 layers, ssm of all, qkv_conv of all attention layers,
/// short_conv of all short convolutions, last; then keys and values, a layer after the other. A
/// layer with both mixers is one of the Mamba-2 layers and one of the attention layers.
class StateLayout {
 public:
  StateLayout(const Config& c, const StateOptions& options) : options_(options) {
    const std::size_t mamba2 = mamba2_count_ = c.step_count(LayerKind::mamba2);
    const std::size_t attention = c.step_count(LayerKind::attention);
    if (attention == 0) options_.context = 0;
    if (attention > 0 && options.context == 0) options_.context = c.default_context();

    conv_size_ = mamba2 == 0 ? 0 : (c.d_conv - 1) * c.conv_dim();
    ssm_size_ = mamba2 == 0 ? 0 : c.d_ssm * c.d_state;
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
    qkv_conv_offset_ = aligned(ssm_offset_ + mamba2 * ssm_size_ * element);
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
  [[nodiscard]] std::size_t qkv_conv_size() const noexcept { return qkv_conv_size_; }
  [[nodiscard]] std::size_t short_conv_size() const noexcept { return short_conv_size_; }
  [[nodiscard]] std::size_t last_size() const noexcept { return last_size_; }

  /// Bytes from the start.
  [[nodiscard]] std::size_t ssm_offset() const noexcept { return ssm_offset_; }
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

  /// Calls visit(offset, bytes) for the parts that hold what layers remember of `tokens` tokens:
  /// all but last. Put together they do not depend on the context.
  template <class Visit>
  void for_parts(std::size_t tokens, Visit visit) const {
    const std::size_t element = options_.precision == StatePrecision::fp16 ? 2 : 4;
    visit(std::size_t{0}, mamba2_count_ * conv_size_ * sizeof(float));
    visit(ssm_offset_, mamba2_count_ * ssm_size_ * element);
    visit(qkv_conv_offset_, kv_count_ * qkv_conv_size_ * sizeof(float));
    visit(short_conv_offset_, short_conv_count_ * short_conv_size_ * sizeof(float));
    for (std::size_t i = 0; i < kv_count_; ++i) {
      kv_.for_parts(tokens, [&](std::size_t offset, std::size_t bytes) {
        visit(kv_offset(i) + offset, bytes);
      });
    }
  }
  /// Bytes of all these parts.
  [[nodiscard]] std::size_t saved_bytes(std::size_t tokens) const {
    std::size_t sum = 0;
    for_parts(tokens, [&sum](std::size_t, std::size_t bytes) { sum += bytes; });
    return sum;
  }

  [[nodiscard]] bool operator==(const StateLayout&) const = default;

 private:
  [[nodiscard]] static std::size_t aligned(std::size_t bytes) noexcept {
    return detail::round_up(bytes, Carver::kAlignment);
  }

  StateOptions options_;
  kernels::KvLayout kv_{};
  std::size_t mamba2_count_ = 0;
  std::size_t conv_size_ = 0;
  std::size_t ssm_size_ = 0;
  std::size_t qkv_conv_size_ = 0;
  std::size_t short_conv_count_ = 0;
  std::size_t short_conv_size_ = 0;
  std::size_t last_size_ = 0;
  std::size_t ssm_offset_ = 0;
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
