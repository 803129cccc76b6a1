// SPDX-License-Identifier: Apache-2.0
// Small random models of every variant, the same on every machine.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "mamba2/layers/config.hpp"
#include "tests/reference/checkpoint.hpp"
#include "tests/reference/mamba2_reference.hpp"

namespace reference {

/// Random numbers (SplitMix64) by integer arithmetic, additions and multiplications alone.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    std::uint64_t bits = state_ += 0x9E3779B97F4A7C15U;
    bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9U;
    bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EBU;
    return bits ^ (bits >> 31);
  }
  /// Uniform in [low, high).
  double uniform(double low, double high) {
    return low + (high - low) * (static_cast<double>(next() >> 11) * 0x1p-53);
  }
  /// Nearly normal with mean 0 and deviation 1: the sum of twelve uniform numbers.
  double normal() {
    double sum = 0.0;
    for (int i = 0; i < 12; ++i) sum += uniform(-0.5, 0.5);
    return sum;
  }
  std::vector<double> normals(std::size_t size, double mean, double deviation) {
    std::vector<double> values(size);
    for (double& value : values) value = mean + deviation * normal();
    return values;
  }
  std::vector<double> uniforms(std::size_t size, double low, double high) {
    std::vector<double> values(size);
    for (double& value : values) value = uniform(low, high);
    return values;
  }
  std::vector<Token> tokens(std::size_t size, std::size_t vocab_size) {
    std::vector<Token> ids(size);
    for (Token& id : ids) id = static_cast<Token>(next() % vocab_size);
    return ids;
  }

 private:
  std::uint64_t state_;
};

inline std::vector<float> to_float(const std::vector<double>& values) {
  std::vector<float> out;
  for (const double value : values) out.push_back(static_cast<float>(value));
  return out;
}

inline std::vector<double> to_double(const std::vector<float>& values) {
  return {values.begin(), values.end()};
}

/// Rounds every weight to the nearest float, so that oracle and library can have the same.
inline void round_to_float(const Config& config, Weights& weights) {
  for_each_tensor(config, weights, "",
                  [](const std::string&, std::vector<double>& values, const Shape&) {
                    values = to_double(to_float(values));
                  });
}

/// Weights, exact in float, at the scales of a trained model: the residual stays near 1, decays
/// and step sizes spread as they are initialised for training (A in 1..16, steps in 1e-3..1e-1),
/// and every tensor matters. (Cold, as variants() is: for size, since many test files have it.)
[[gnu::cold]] inline Weights random_weights(const Config& config, std::uint64_t seed) {
  Random random(seed);
  const auto projection = [&random](std::size_t out, std::size_t in) {
    return random.normals(out * in, 0.0, 1.0 / std::sqrt(static_cast<double>(in)));
  };
  Weights weights;
  weights.embedding = random.normals(config.vocab_size * config.d_model, 0.0, 1.0);
  for (std::size_t i = 0; i < config.n_layer; ++i) {
    BlockWeights b;
    b.norm = random.normals(config.d_model, 1.0, 0.2);
    b.in_proj = projection(config.d_in_proj(), config.d_model);
    if (config.bias) b.in_proj_bias = random.normals(config.d_in_proj(), 0.0, 0.2);
    b.conv_weight = projection(config.conv_dim(), config.d_conv);
    if (config.conv_bias) b.conv_bias = random.normals(config.conv_dim(), 0.0, 0.2);
    b.dt_bias = random.uniforms(config.nheads(), -6.9, -2.25);  // softplus: 1e-3..1e-1
    b.A_log = random.uniforms(config.nheads(), 0.0, 2.77);      // exp: 1..16
    b.D = random.normals(config.D_has_hdim ? config.d_ssm : config.nheads(), 1.0, 0.5);
    if (config.rmsnorm) b.gated_norm = random.normals(config.d_ssm, 1.0, 0.2);
    b.out_proj = projection(config.d_model, config.d_inner);
    if (config.bias) b.out_proj_bias = random.normals(config.d_model, 0.0, 0.2);
    weights.blocks.push_back(std::move(b));
  }
  weights.norm_f = random.normals(config.d_model, 1.0, 0.2);
  if (!config.tie_embeddings) weights.lm_head = projection(config.vocab_size, config.d_model);
  round_to_float(config, weights);
  return weights;
}

/// A hyper-parameter set with a name for messages.
struct Variant {
  std::string name;
  Config config;
};

/// One small config for each thing that a Mamba-2 model may do differently, at odd sizes, and one
/// that does it all at once.
[[gnu::cold]] inline std::vector<Variant> variants() {
  Config plain;
  plain.d_model = 22;
  plain.n_layer = 2;
  plain.vocab_size = 37;
  plain.d_inner = plain.d_ssm = 44;
  plain.headdim = 11;
  plain.d_state = 13;
  std::vector<Variant> all;
  const auto add = [&](const char* name, auto change) {
    all.push_back({name, plain});
    change(all.back().config);
  };
  add("plain", [](Config&) {});
  add("ngroups", [](Config& c) { c.ngroups = 2; });
  add("norm_before_gate", [](Config& c) { c.norm_before_gate = true; });
  add("no rmsnorm", [](Config& c) { c.rmsnorm = false; });
  add("dt_limit", [](Config& c) { c.dt_min = 0.01F, c.dt_max = 0.1F; });
  add("d_ssm", [](Config& c) { c.d_ssm = 22; });
  add("bias", [](Config& c) { c.bias = true; });
  add("no conv_bias", [](Config& c) { c.conv_bias = false; });
  add("D_has_hdim", [](Config& c) { c.D_has_hdim = true; });
  add("untied", [](Config& c) { c.tie_embeddings = false; });
  add("d_conv 2", [](Config& c) { c.d_conv = 2; });
  add("d_conv 1", [](Config& c) { c.d_conv = 1; });
  add("expand 1.5", [](Config& c) { c.d_inner = c.d_ssm = 33; });
  add("headdim 1", [](Config& c) { c.headdim = 1, c.d_state = 1; });
  add("one head", [](Config& c) { c.headdim = 44; });
  // A multiple of the lanes of any register, as real models have: long prompts pass in chunks.
  add("headdim 16", [](Config& c) { c.d_inner = c.d_ssm = 64, c.headdim = 16, c.ngroups = 2; });
  add("everything", [](Config& c) {
    c.d_inner = 88, c.d_ssm = 66, c.ngroups = 3, c.bias = c.D_has_hdim = true;
    c.tie_embeddings = c.conv_bias = false, c.norm_before_gate = true;
    c.dt_min = 0.01F, c.dt_max = 0.1F, c.d_conv = 5;
  });
  return all;
}

}  // namespace reference
