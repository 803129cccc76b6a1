// SPDX-License-Identifier: Apache-2.0
// Models with random weights, made as they are read: always the same for a Config.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <mamba2/io/tensor_names.hpp>
#include <mamba2/layers/config.hpp>
#include <random>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace convert {

/// Weights of the size that a model begins its training with: its activations stay in range.
class RandomModel {
 public:
  explicit RandomModel(mamba2::Config config) : config_(std::move(config)), normal_(kPool) {
    std::mt19937 random(2405);
    std::normal_distribution<float> normal;
    for (float& value : normal_) value = normal(random);
  }

  [[nodiscard]] const mamba2::Config& config() const noexcept { return config_; }

  /// Elements from `first` on of a tensor with this canonical name.
  void read(std::string_view canonical, std::size_t first, std::span<float> out) const {
    const auto spec = mamba2::expected_tensor(config_, canonical);
    if (!spec) return;  // not asked for
    switch (spec->role) {
      case mamba2::Role::embedding:
      case mamba2::Role::head:
      case mamba2::Role::router:
      case mamba2::Role::matrix:  // so that a product keeps the size of its input
        return fill(canonical, first, 1.0F / std::sqrt(static_cast<float>(spec->shape.back())),
                    out);
      case mamba2::Role::taps:
        return fill(canonical, first, 0.3F, out);
      case mamba2::Role::bias:
        return fill(canonical, first, 0.01F, out);
      case mamba2::Role::dt_bias:  // steps of about 0.05
        return fill(canonical, first, 0.5F, out, -3.0F);
      case mamba2::Role::decay:  // A about -4.5
        return fill(canonical, first, 0.5F, out, 1.5F);
      default:  // norms and D
        return fill(canonical, first, 0.05F, out, 1.0F);
    }
  }

 private:
  static constexpr std::size_t kPool = 1000003;  // a prime: rows do not repeat each other

  /// Random numbers of this deviation and mean, of a pool that each tensor reads from another place
  /// on.
  void fill(std::string_view canonical, std::size_t first, float deviation, std::span<float> out,
            float mean = 0.0F) const {
    std::size_t at = (place(canonical) + first) % kPool;
    for (float& value : out) {
      value = mean + deviation * normal_[at];
      if (++at == kPool) at = 0;
    }
  }

  /// FNV-1a, the same everywhere.
  [[nodiscard]] static std::size_t place(std::string_view name) {
    std::uint64_t hash = 0xCBF29CE484222325;
    for (const char c : name) {
      hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3;
    }
    return static_cast<std::size_t>(hash % kPool);
  }

  mamba2::Config config_;
  std::vector<float> normal_;
};

}  // namespace convert
