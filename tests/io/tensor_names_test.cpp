// SPDX-License-Identifier: Apache-2.0
// Canonical names, and which tensors a config needs.
#include "mamba2/io/tensor_names.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "mamba2/io/printable.hpp"
#include "mamba2/layers/config.hpp"

using mamba2::canonical_name;
using mamba2::Config;
using mamba2::Result;
using mamba2::TensorSpec;

namespace {

/// Every expected tensor as "name shape".
std::vector<std::string> names(const Config& config) {
  std::vector<std::string> out;
  const Result<void> result = mamba2::expected_tensors(config, [&out](const TensorSpec& spec) {
    out.push_back(spec.name + " " + mamba2::detail::shape_text(spec.shape));
    return Result<void>{};
  });
  CHECK(result.has_value());
  return out;
}

Config small() {
  Config config;
  config.d_model = 10;
  config.n_layer = 1;
  config.vocab_size = 7;
  config.d_inner = 21;
  config.d_ssm = 18;
  config.headdim = 3;
  config.d_state = 5;
  config.ngroups = 2;
  config.d_conv = 4;
  return config;
}

}  // namespace

TEST_CASE("canonical names") {
  for (const std::string prefix : {"", "backbone.", "model.", "model.backbone."}) {
    CHECK(canonical_name(prefix + "embedding.weight") == "embedding.weight");
    CHECK(canonical_name(prefix + "embeddings.weight") == "embedding.weight");
    CHECK(canonical_name(prefix + "layers.3.mixer.D") == "layers.3.mixer.D");
    CHECK(canonical_name(prefix + "lm_head.weight") == "lm_head.weight");
  }
  CHECK(canonical_name("backbone.model.norm_f.weight") == "model.norm_f.weight");
  CHECK(canonical_name("model.model.norm_f.weight") == "model.norm_f.weight");
  // Wrappers for training, in any order and number, of the model and of its parts.
  for (const std::string prefix :
       {"module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "module.module.",
        "module.backbone.", "_orig_mod.model.backbone._orig_mod.", "model.module.backbone.module.",
        "_fsdp_wrapped_module.backbone.", "model._checkpoint_wrapped_module."}) {
    CAPTURE(prefix);
    CHECK(canonical_name(prefix + "embeddings.weight") == "embedding.weight");
    CHECK(canonical_name(prefix + "layers.3.mixer.D") == "layers.3.mixer.D");
    CHECK(canonical_name(prefix + "lm_head.weight") == "lm_head.weight");
  }
  CHECK(canonical_name("backbone.layers.0._orig_mod.mixer.D") == "layers.0.mixer.D");
  CHECK(canonical_name("backbone.layers.0.mixer.in_proj._fsdp_wrapped_module.weight") ==
        "layers.0.mixer.in_proj.weight");
  // Nothing that only looks like one.
  CHECK(canonical_name("modules.norm_f.weight") == "modules.norm_f.weight");
  CHECK(canonical_name("ema.module.norm_f.weight") == "ema.norm_f.weight");
  CHECK(canonical_name("module") == "module");
  CHECK(canonical_name("norm_f.module") == "norm_f.module");
  CHECK(canonical_name("module.") == "module.");
  CHECK(canonical_name("a..b.") == "a..b.");
  CHECK(canonical_name("embeddings.bias") == "embeddings.bias");
  CHECK(canonical_name("") == "");
}

TEST_CASE("expected tensors: the plain model, tied") {
  CHECK(names(small()) == std::vector<std::string>{
                              "embedding.weight (7, 10)",
                              "layers.0.norm.weight (10)",
                              "layers.0.mixer.in_proj.weight (68, 10)",
                              "layers.0.mixer.conv1d.weight (38, 1, 4)",
                              "layers.0.mixer.conv1d.bias (38)",
                              "layers.0.mixer.dt_bias (6)",
                              "layers.0.mixer.A_log (6)",
                              "layers.0.mixer.D (6)",
                              "layers.0.mixer.norm.weight (18)",
                              "layers.0.mixer.out_proj.weight (10, 21)",
                              "norm_f.weight (10)",
                          });
}

TEST_CASE("expected tensors: every option") {
  Config config = small();
  config.n_layer = 2;
  config.bias = true;
  config.conv_bias = false;
  config.D_has_hdim = true;
  config.rmsnorm = false;
  config.tie_embeddings = false;
  const std::vector<std::string> all = names(config);
  const std::vector<std::string> layer(all.begin() + 10, all.begin() + 19);
  CHECK(layer == std::vector<std::string>{
                     "layers.1.norm.weight (10)",
                     "layers.1.mixer.in_proj.weight (68, 10)",
                     "layers.1.mixer.in_proj.bias (68)",
                     "layers.1.mixer.conv1d.weight (38, 1, 4)",
                     "layers.1.mixer.dt_bias (6)",
                     "layers.1.mixer.A_log (6)",
                     "layers.1.mixer.D (18)",
                     "layers.1.mixer.out_proj.weight (10, 21)",
                     "layers.1.mixer.out_proj.bias (10)",
                 });
  CHECK(all.size() == 1 + 9 + 9 + 2);
  CHECK(all.back() == "lm_head.weight (7, 10)");
}

TEST_CASE("expected tensors: stops at the first error, before layers that are never asked for") {
  Config config = small();
  config.n_layer = ~std::size_t{0};
  config.tie_embeddings = false;
  for (const std::size_t stop : {1U, 2U, 11U, 12U, 40U}) {
    std::size_t visits = 0;
    const Result<void> result = mamba2::expected_tensors(config, [&](const TensorSpec& spec) {
      if (++visits < stop) return Result<void>{};
      return Result<void>(mamba2::Error{mamba2::ErrorCode::mismatch, spec.name});
    });
    CHECK(visits == stop);
    REQUIRE(!result);
    if (stop == 12) CHECK(result.error().message == "layers.1.mixer.in_proj.weight");
  }
  config.n_layer = 1;
  int visits = 0;
  const Result<void> result = mamba2::expected_tensors(config, [&](const TensorSpec& spec) {
    ++visits;
    return spec.name == "norm_f.weight"
               ? Result<void>(mamba2::Error{mamba2::ErrorCode::mismatch, spec.name})
               : Result<void>{};
  });
  CHECK(visits == 11);
  CHECK(!result);
}
