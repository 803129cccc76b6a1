// SPDX-License-Identifier: Apache-2.0
// Experts that no token chooses stay on the disk, in a packed file that is used in place.
#include <doctest/doctest.h>

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>

#include "mamba2/linear/int8.hpp"
#include "mamba2/model/model.hpp"
#include "mamba2/quantize/pack.hpp"
#include "tests/hybrid_models.hpp"
#include "tests/io/temp_dir.hpp"
#include "tests/resident.hpp"
#if defined(MAMBA2_SEPARATE)
#include "tools/models.hpp"
#endif

namespace unread_experts_tests {

constexpr std::size_t kExperts = 32;
constexpr std::size_t kWidth = 512;

/// One layer of Mamba-2 and one of experts, of which a token passes one: 786 kB of INT8 each.
nlohmann::json config_of_wide_experts() {
  return {{"model_type", "granitemoehybrid"},
          {"hidden_size", kWidth},
          {"num_hidden_layers", 1},
          {"layer_types", nlohmann::json::array({"mamba"})},
          {"num_attention_heads", 4},
          {"num_key_value_heads", 4},
          {"mamba_expand", 2},
          {"mamba_n_heads", 16},
          {"mamba_d_head", 64},
          {"mamba_d_state", 16},
          {"mamba_n_groups", 1},
          {"mamba_d_conv", 4},
          {"mamba_conv_bias", true},
          {"mamba_proj_bias", false},
          {"attention_bias", false},
          {"hidden_act", "silu"},
          {"rms_norm_eps", 1e-5},
          {"rope_theta", 10000.0},
          {"rope_scaling", nullptr},
          {"embedding_multiplier", 12},
          {"logits_scaling", 3},
          {"residual_multiplier", 0.246},
          {"attention_multiplier", 0.015625},
          {"num_local_experts", kExperts},
          {"num_experts_per_tok", 1},
          {"intermediate_size", kWidth},
          {"shared_intermediate_size", 0},
          {"position_embedding_type", "nope"},
          {"tie_word_embeddings", true},
          {"vocab_size", 64}};
}

TEST_CASE("experts that no token chooses stay unread in a packed file") {
  const nlohmann::json config = config_of_wide_experts();
  const auto files = reference::write_hybrid(config, reference::random_hybrid(config, 3));
  const tests::HybridModel hybrid{files.config_json, files.safetensors, {}, {}};
  const mamba2_tests::TempDir dir;
  const std::string path = dir.path() / "experts.packed";
  hybrid.open([&](const mamba2::Checkpoint& checkpoint) {
    mamba2::pack(checkpoint, "int8", "native", path).value();
  });
  const auto load = [&](bool check_hash) {
    mamba2::LoadOptions options = {.workers = {.threads = 1}};
    options.check_hash = check_hash;
    return mamba2::AnyModel::load(path, mamba2::kPlan<mamba2::Int8>, options).value();
  };
  constexpr std::size_t kExpert = 3 * kWidth * kWidth;
  // Pages may come 2 MB at a time: at both ends of the expert, and of the rest.
  constexpr std::size_t kAround = std::size_t{4} << 21;
  const mamba2::AnyModel model = load(false);
  const std::size_t all = model.weight_bytes();
  REQUIRE(all > kExperts * kExpert);
  const std::size_t others = all - kExperts * kExpert;
  auto session = model.session({.workers = {.threads = 1}}).value();
  session.decode(mamba2::Token{5}).value();
  const std::size_t after_one = tests::resident_bytes("experts.packed");
  CHECK(after_one > 0);
  CHECK(after_one <= others + kExpert + kAround);
  CHECK(after_one < all / 2);
  // Others are read when they are chosen.
  for (mamba2::Token token = 0; token < 64; ++token) session.decode(token).value();
  CHECK(tests::resident_bytes("experts.packed") > after_one + 4 * kExpert);
  // A hash is of all bytes.
  const mamba2::AnyModel checked = load(true);
  CHECK(tests::resident_bytes("experts.packed") > all);
}

}  // namespace unread_experts_tests
