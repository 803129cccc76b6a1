// SPDX-License-Identifier: Apache-2.0
// Models with random weights, made as they are read: always the same for a Config.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
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
    const auto is = [canonical](std::string_view end) { return canonical.ends_with(end); };
    if (is("in_proj.weight") || is("embedding.weight") || is("lm_head.weight")) {
      return fill(canonical, first, deviation(config_.d_model), out);
    }
    if (is("out_proj.weight")) return fill(canonical, first, deviation(config_.d_inner), out);
    if (is("conv1d.weight")) return fill(canonical, first, 0.3F, out);
    if (is(".bias")) return fill(canonical, first, 0.01F, out);
    fill(canonical, first, 0.5F, out);
    for (float& value : out) value = vector_element(canonical, value);
  }

 private:
  static constexpr std::size_t kPool = 1000003;  // a prime: rows do not repeat each other

  /// So that a product keeps the size of its input.
  [[nodiscard]] static float deviation(std::size_t cols) {
    return 1.0F / std::sqrt(static_cast<float>(cols));
  }

  /// Of a random number with deviation 1/2.
  [[nodiscard]] static float vector_element(std::string_view canonical, float random) {
    if (canonical.ends_with(".dt_bias")) return -3.0F + random;  // steps of about 0.05
    if (canonical.ends_with(".A_log")) return 1.5F + random;     // A about -4.5
    return 1.0F + 0.1F * random;                                 // norms and D
  }

  /// Random numbers of this deviation, of a pool that each tensor reads from another place on.
  void fill(std::string_view canonical, std::size_t first, float deviation,
            std::span<float> out) const {
    std::size_t at = (place(canonical) + first) % kPool;
    for (float& value : out) {
      value = deviation * normal_[at];
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
