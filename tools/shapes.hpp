// SPDX-License-Identifier: Apache-2.0
// The shapes of the published models.
#pragma once

#include <array>
#include <cstddef>
#include <mamba2/io/bitmamba_file.hpp>
#include <mamba2/layers/config.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "shapes/granite.hpp"
#include "shapes/layered.hpp"
#include "shapes/lfm2.hpp"
#include "shapes/zamba2.hpp"

namespace cli {

/// A published model: all else is as in Config's defaults.
struct Shape {
  std::string_view name;
  std::size_t d_model;
  std::size_t n_layer;

  [[nodiscard]] mamba2::Config config() const {
    mamba2::Config config;
    config.d_model = d_model;
    config.n_layer = n_layer;
    config.d_inner = config.d_ssm = 2 * d_model;
    return config;
  }
};

inline constexpr std::array<Shape, 5> kShapes = {{{"mamba2-130m", 768, 24},
                                                  {"mamba2-370m", 1024, 48},
                                                  {"mamba2-780m", 1536, 48},
                                                  {"mamba2-1.3b", 2048, 48},
                                                  {"mamba2-2.7b", 2560, 64}}};

/// A published BitMamba-2.
struct BitMambaShape {
  std::string_view name;
  std::size_t d_model, n_layer, nheads;

  [[nodiscard]] mamba2::Config config() const {
    return mamba2::detail::bitmamba_config(50257, d_model, n_layer, nheads);
  }
};

inline constexpr std::array<BitMambaShape, 2> kBitMambaShapes = {
    {{"bitmamba-255m", 1024, 24, 16}, {"bitmamba-1b", 2048, 32, 32}}};

/// A published model that is like no other here.
struct OtherShape {
  std::string_view name;
  mamba2::Config (*config)();
};

inline constexpr std::array<OtherShape, 1> kOtherShapes = {
    {{"nemotron-3-nano-30b-a3b", nemotron_3_nano}}};

/// The names of all shapes, for an option to choose from.
[[nodiscard]] inline std::vector<std::string> shape_names() {
  std::vector<std::string> names;
  for (const Shape& shape : kShapes) names.emplace_back(shape.name);
  for (const HybridShape& shape : kHybridShapes) names.emplace_back(shape.name);
  for (const Lfm2Shape& shape : kLfm2Shapes) names.emplace_back(shape.name);
  for (const Zamba2Shape& shape : kZamba2Shapes) names.emplace_back(shape.name);
  for (const BitMambaShape& shape : kBitMambaShapes) names.emplace_back(shape.name);
  for (const OtherShape& shape : kOtherShapes) names.emplace_back(shape.name);
  for (const LayeredShape& shape : kLayeredShapes) names.emplace_back(shape.name);
  return names;
}

/// The Config of the shape of that name, one of shape_names().
[[nodiscard]] inline mamba2::Config config_of_shape(std::string_view name) {
  mamba2::Config config;
  const auto look_in = [&](const auto& shapes) {
    for (const auto& shape : shapes) {
      if (shape.name == name) config = shape.config();
    }
  };
  look_in(kShapes);
  look_in(kHybridShapes);
  look_in(kLfm2Shapes);
  look_in(kZamba2Shapes);
  look_in(kBitMambaShapes);
  look_in(kOtherShapes);
  look_in(kLayeredShapes);
  return config;
}

}  // namespace cli
