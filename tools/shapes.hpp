// SPDX-License-Identifier: Apache-2.0
// The shapes of the published models.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <mamba2/layers/config.hpp>
#include <string>
#include <string_view>
#include <vector>

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

/// Their names, for an option to choose from.
[[nodiscard]] inline std::vector<std::string> shape_names() {
  std::vector<std::string> names;
  for (const Shape& shape : kShapes) names.emplace_back(shape.name);
  return names;
}

/// The shape of that name, which must be one of them.
[[nodiscard]] inline const Shape& find_shape(std::string_view name) {
  return *std::find_if(kShapes.begin(), kShapes.end(),
                       [name](const Shape& shape) { return shape.name == name; });
}

}  // namespace cli
