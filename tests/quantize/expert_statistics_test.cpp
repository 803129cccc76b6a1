// SPDX-License-Identifier: Apache-2.0
// What the inputs of experts are like, of which each sees its own tokens.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "mamba2/core/executor.hpp"
#include "tests/hybrid_models.hpp"
#include "tools/quantize/rounding.hpp"
#if defined(MAMBA2_SEPARATE)
#include "tools/models.hpp"
#endif

namespace expert_statistics_tests {

using quantize::InputStatistics;
using quantize::Statistics;

/// A model at work on a random text.
struct Studied {
  explicit Studied(const tests::HybridModel& golden)
      : config(golden.open([](const mamba2::Checkpoint& c) { return c.config(); })),
        plan(config, mamba2::DType::INT4_G32,
             {mamba2::DType::INT4_G32, false, quantize::no_rotation}),
        model(golden.open([&](const mamba2::Checkpoint& checkpoint) {
          return quantize::ObservedModel::load(
                     checkpoint, plan, {.executor = std::make_shared<mamba2::SerialExecutor>()}, {})
              .value();
        })) {
    text.tokens = reference::Random(11).tokens(2 * quantize::Text::kWindow, config.vocab_size);
  }

  [[nodiscard]] Statistics statistics(Statistics::Wanted wanted,
                                      std::size_t max_bytes = Statistics::kMaxBytes) {
    return {*model, plan, text, wanted, [](std::size_t, std::size_t) { return true; }, max_bytes};
  }
  [[nodiscard]] std::size_t index(const std::string& tensor) const {
    return static_cast<std::size_t>(plan.find(tensor) - plan.targets().data());
  }

  mamba2::Config config;
  quantize::Plan plan;
  std::unique_ptr<quantize::ObservedModel> model;
  quantize::Text text;
};

/// "layers.I.moe." of the first layer with experts.
std::string first_experts(const mamba2::Config& config) {
  return "layers." + std::to_string(config.pattern.find('E')) + ".moe.";
}

TEST_CASE("statistics of experts: every token is seen by as many as it chooses") {
  for (const std::string name : {"granite_moe", "nemotron_moe", "lfm2_moe"}) {
    CAPTURE(name);
    Studied studied(tests::hybrid_golden(name, "config.json").at(0));
    Statistics statistics = studied.statistics(Statistics::Wanted::all);
    const mamba2::MoeConfig& moe = studied.config.moe;
    const std::string layer = first_experts(studied.config);
    std::size_t tokens = 0;
    std::vector<double> sums(studied.config.d_model);
    for (std::size_t e = 0; e < moe.num_experts; ++e) {
      const std::string expert = layer + "experts." + std::to_string(e);
      const InputStatistics& up = **statistics.of(studied.index(expert + ".up_proj.weight"));
      const InputStatistics& down = **statistics.of(studied.index(expert + ".down_proj.weight"));
      CHECK(up.tokens == down.tokens);
      CHECK(up.tokens < studied.text.tokens.size());
      tokens += up.tokens;
      for (std::size_t i = 0; i < sums.size(); ++i) {
        sums[i] += static_cast<double>(up.tokens) * double{up.squares[i]};
      }
    }
    CHECK(tokens == moe.num_experts_per_tok * studied.text.tokens.size());
    if (moe.d_shared == 0) continue;
    // The expert that all tokens pass sees the same rows, each once.
    const InputStatistics& all =
        **statistics.of(studied.index(layer + "shared_expert.up_proj.weight"));
    CHECK(all.tokens == studied.text.tokens.size());
    for (std::size_t i = 0; i < sums.size(); ++i) {
      const double expected = static_cast<double>(tokens) * double{all.squares[i]};
      CHECK(sums[i] == doctest::Approx(expected).epsilon(1e-5));
    }
  }
}

TEST_CASE("statistics come in any order, whatever fits in memory at a time") {
  Studied studied(tests::hybrid_golden("granite_moe", "config.json").at(0));
  Statistics at_once = studied.statistics(Statistics::Wanted::int4_hessians);
  // Of a few matrices: one has 64 * 64 floats or less.
  Statistics few = studied.statistics(Statistics::Wanted::int4_hessians, 50'000);
  const std::string layer = first_experts(studied.config);
  for (const char* matrix : {".gate_proj.weight", ".up_proj.weight"}) {  // of 4 bits
    for (std::size_t e = 0; e < studied.config.moe.num_experts; ++e) {
      const std::size_t index = studied.index(layer + "experts." + std::to_string(e) + matrix);
      const InputStatistics expected = **at_once.of(index);
      const InputStatistics& found = **few.of(index);
      CHECK(found.tokens == expected.tokens);
      CHECK(found.tokens > 0);
      CHECK(found.squares == expected.squares);
      CHECK(found.hessian == expected.hessian);
    }
  }
}

TEST_CASE("an expert that no token chooses is rounded as without a text, and that is known") {
  tests::HybridModel golden = tests::hybrid_golden("nemotron_moe", "config.json").at(0);
  auto file = reference::load_safetensors(MAMBA2_SOURCE_DIR
                                          "/tests/golden/hybrids/nemotron_moe/model.safetensors")
                  .value();
  // Sigmoids reach 1 at most: with -10 expert 2 is never among the best.
  const std::string bias = "backbone.layers.1.mixer.gate.e_score_correction_bias";
  std::vector<double> values = reference::to_double(file.tensors.at(bias));
  values.at(2) = -10.0;
  file.tensors[bias] = reference::f32_tensor({values.size()}, values);
  golden.safetensors = reference::write_safetensors(file);
  Studied studied(golden);
  for (const auto wanted : {Statistics::Wanted::int4, Statistics::Wanted::int4_hessians}) {
    Statistics statistics = studied.statistics(wanted);
    const quantize::Method method = {true, &statistics};
    for (std::size_t e = 0; e < studied.config.moe.num_experts; ++e) {
      for (const char* matrix : {".up_proj.weight", ".down_proj.weight"}) {
        const std::size_t index =
            studied.index("layers.1.moe.experts." + std::to_string(e) + matrix);
        if (!quantize::is_4_bits(studied.plan.targets()[index].format.dtype)) continue;
        const auto made = quantize::MatrixRounding::of(studied.plan, index, method).value();
        CHECK(made.unseen == (e == 2));
        CHECK(made.importance.empty() == (e == 2));
        const bool has_factor = made.gptq != nullptr;
        CHECK(has_factor == (e != 2 && wanted == Statistics::Wanted::int4_hessians));
      }
    }
  }
}

}  // namespace expert_statistics_tests
