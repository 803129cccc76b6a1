// SPDX-License-Identifier: Apache-2.0
// Models of the published shapes with random weights: as fast as the real ones, without a file.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <mamba2/mamba2.hpp>
#include <map>
#include <random>
#include <type_traits>
#include <utility>
#include <vector>

namespace bench {

/// A handful of random bands, enough to fill matrices of any number of rows: packing as many values
/// as a model has would take minutes.
class RandomBands {
 public:
  /// Values with mean 0 and deviation 1 / sqrt(cols): a product keeps the size of its input.
  RandomBands(const mamba2::Format& format, std::size_t cols, std::mt19937& random)
      : bytes_(format.band_bytes(cols)), packed_(kBands * bytes_) {
    std::normal_distribution<float> normal(0.0F, 1.0F / std::sqrt(static_cast<float>(cols)));
    std::vector<float> rows(format.band_rows * cols);
    for (std::size_t band = 0; band < kBands; ++band) {
      for (float& value : rows) value = normal(random);
      format.pack_band({rows.data()}, cols, &packed_[band * bytes_]);
    }
  }

  /// Fills `count` bands with these in turn, from the first'th on.
  void fill(std::byte* bands, std::size_t count, std::size_t first = 0) const {
    for (std::size_t band = 0; band < count; ++band) {
      std::memcpy(bands + band * bytes_, &packed_[(first + band) % kBands * bytes_], bytes_);
    }
  }

 private:
  static constexpr std::size_t kBands = 7;

  std::size_t bytes_;
  std::vector<std::byte> packed_;
};

/// A value of a small tensor, as it is initialised for training.
[[nodiscard]] inline float random_value(mamba2::Role role, std::size_t cols, std::mt19937& random) {
  using mamba2::Role;
  const auto in = [&random](float least, float most) {
    return std::uniform_real_distribution<float>(least, most)(random);
  };
  switch (role) {
    case Role::router:  // scores of a deviation of 1
      return std::normal_distribution<float>(0.0F,
                                             1.0F / std::sqrt(static_cast<float>(cols)))(random);
    case Role::bias:
      return 0.0F;
    case Role::taps:
      return in(-0.5F, 0.5F);
    case Role::dt_bias:
      return std::log(std::expm1(in(0.01F, 0.1F)));  // the inverse of softplus
    case Role::decay:
      return -in(1.0F, 16.0F);
    default:
      return 1.0F;
  }
}

/// The weights of a model of this shape, always the same. Error: out_of_memory.
[[nodiscard]] inline mamba2::Result<mamba2::Weights> random_weights(const mamba2::Config& config,
                                                                    const mamba2::Plan& plan) {
  auto weights = mamba2::Weights::planned(config, plan);
  auto arena = mamba2::Arena::create(weights.carve(nullptr));
  if (!arena) return std::move(arena).error();
  weights.arena = *std::move(arena);
  weights.carve(weights.arena.data());

  std::mt19937 random(2405);
  std::map<std::pair<const mamba2::Format*, std::size_t>, RandomBands> bands;
  std::size_t first = 0;
  mamba2::all_tensors(weights, [&]<class Place>(const mamba2::Slot& slot, const Place& place) {
    if constexpr (std::is_same_v<Place, mamba2::Matrix>) {
      const std::pair key(place.format, place.cols);
      auto found = bands.find(key);
      if (found == bands.end()) {
        found = bands.emplace(key, RandomBands(*place.format, place.cols, random)).first;
      }
      found->second.fill(weights.writable(place.bands), place.band_count(), first++);
    } else {
      float* values = weights.writable(place);
      std::generate_n(values, slot.count(),
                      [&] { return random_value(slot.role, slot.cols, random); });
    }
  });
  return weights;
}

}  // namespace bench
