// SPDX-License-Identifier: Apache-2.0
#include "mamba2/layers/config.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <limits>
#include <set>
#include <string>
#include <string_view>

using mamba2::Config;

namespace {

std::string problem(void (*change)(Config&)) {
  Config config;
  change(config);
  const auto outcome = config.validate();
  return outcome ? "none" : outcome.error().message;
}

/// Converts to a member of any type.
struct Any {
  template <class Member>
  operator Member() const;  // NOLINT(google-explicit-constructor): to initialise by
};

/// How many members an aggregate has.
template <class Aggregate, class... Members>
constexpr std::size_t count_members() {
  if constexpr (requires { Aggregate{Members()..., Any()}; }) {
    return count_members<Aggregate, Members..., Any>();
  } else {
    return sizeof...(Members);
  }
}

}  // namespace

TEST_CASE("fields(), hybrid_fields() and later_fields() list every member once") {
  const Config config;
  std::set<std::string_view> names;
  std::set<const void*> places;
  const auto visit = [&](std::string_view name, const auto& member) {
    names.insert(name);
    places.insert(&member);
  };
  mamba2::fields(config, visit);
  mamba2::hybrid_fields(config, visit);
  mamba2::later_fields(config, visit);
  const std::size_t members =
      count_members<Config>() - 6 + count_members<mamba2::AttentionConfig>() +
      count_members<mamba2::MlpConfig>() + count_members<mamba2::MoeConfig>() +
      count_members<mamba2::Mamba2Multipliers>() + count_members<mamba2::ShortConvConfig>() +
      count_members<mamba2::SharedBlockConfig>();
  CHECK(names.size() == members);
  CHECK(places.size() == members);
}

TEST_CASE("a hybrid is validated by the kinds of layers that it has") {
  const auto hybrid = [](auto change) {
    Config c;
    c.n_layer = 4;
    c.pattern = "M-*-";
    c.attention = {.num_heads = 12, .num_heads_kv = 4, .head_dim = 64, .rotary_emb_dim = 32};
    c.mlp.d_intermediate = 1000;
    change(c);
    const auto outcome = c.validate();
    return outcome ? std::string("none") : outcome.error().message;
  };
  CHECK(hybrid([](Config&) {}) == "none");
  CHECK(hybrid([](Config& c) { c.pattern = "M-*"; }) ==
        "pattern must be of n_layer 4 characters, found 3");
  CHECK(hybrid([](Config& c) { c.pattern = "M-X-"; }) ==
        "pattern must be of the characters M*-ECHS, found X");
  CHECK(hybrid([](Config& c) { c.attention.num_heads_kv = 5; }) ==
        "attention.num_heads_kv must be a divisor of attention.num_heads 12, found 5");
  CHECK(hybrid([](Config& c) { c.attention.num_heads_kv = 24; }) ==
        "attention.num_heads_kv must be in 1..12, found 24");
  CHECK(hybrid([](Config& c) { c.attention.rotary_emb_dim = 33; }) ==
        "attention.rotary_emb_dim must be even, found 33");
  CHECK(hybrid([](Config& c) { c.attention.rotary_emb_dim = 66; }) ==
        "attention.rotary_emb_dim must be in 0..64, found 66");
  CHECK(hybrid([](Config& c) { c.attention.head_dim = 1 << 16; }) ==
        "attention.head_dim must be at most 131072 / attention.num_heads 12, found 65536");
  CHECK(hybrid([](Config& c) { c.attention.softmax_scale = 0.0F; }) ==
        "attention.softmax_scale must be positive and finite, found 0");
  CHECK(hybrid([](Config& c) { c.attention.rotary_emb_base = -1.0F; }) ==
        "attention.rotary_emb_base must be positive and finite, found -1");
  CHECK(hybrid([](Config& c) { c.residual_multiplier = 0.0F; }) ==
        "residual_multiplier must be finite and not 0, and its inverse, too, found 0");
  CHECK(hybrid([](Config& c) { c.mlp.d_intermediate = 0; }) ==
        "mlp.d_intermediate must be in 1..131072, found 0");
  CHECK(hybrid([](Config& c) { c.ngroups = 7; }) ==
        "ngroups must be a divisor of nheads 80, found 7");
  CHECK(hybrid([](Config& c) { c.ssm_multipliers.B = 0.0F; }) ==
        "ssm_multipliers.B must be finite and not 0, and its inverse, too, found 0");
  CHECK(hybrid([](Config& c) {
          c.mlp.out_multiplier = 1e-39F;
        }).starts_with("mlp.out_multiplier must be finite and not 0"));
  CHECK(hybrid([](Config& c) { c.ssm_multipliers.B = 2.0F, c.d_ssm = 2560; }) ==
        "d_ssm must be d_inner 5120 where there are ssm_multipliers, found 2560");
  CHECK(hybrid([](Config& c) { c.pattern = "H-H-", c.attention.head_dim = 0; }) ==
        "attention.head_dim must be in 1..131072, found 0");
  CHECK(hybrid([](Config& c) { c.pattern = "H-H-", c.ngroups = 7; }) ==
        "ngroups must be a divisor of nheads 80, found 7");
  CHECK(hybrid([](Config& c) { c.pattern = "C-*-"; }) ==
        "short_conv.d_conv must be in 1..64, found 0");
  CHECK(hybrid([](Config& c) { c.pattern = "C-*-", c.short_conv.d_conv = 65; }) ==
        "short_conv.d_conv must be in 1..64, found 65");
  CHECK(hybrid([](Config& c) { c.pattern = "C-*-", c.short_conv.d_conv = 64; }) == "none");
  // What there is none of is not looked at.
  CHECK(hybrid([](Config& c) { c.pattern = "*-*-", c.ngroups = 7; }) == "none");
  CHECK(hybrid([](Config& c) { c.pattern = "M-M-", c.attention = {}; }) == "none");
  CHECK(hybrid([](Config& c) { c.pattern = "MM**", c.mlp = {}; }) == "none");
}

TEST_CASE("shared blocks are validated") {
  const auto blocks = [](auto change) {
    Config c;
    c.n_layer = 5;
    c.pattern = "MSMSS";
    c.attention = {.num_heads = 32, .num_heads_kv = 32, .head_dim = 160};
    c.mlp = {.d_intermediate = 1000, .activation = mamba2::MlpActivation::geglu};
    c.shared_block = {.num_blocks = 2, .adapter_rank = 128};
    change(c);
    const auto outcome = c.validate();
    return outcome ? std::string("none") : outcome.error().message;
  };
  CHECK(blocks([](Config& c) {
          CHECK(c.count(mamba2::LayerKind::mamba2) == 5);
          CHECK(c.count(mamba2::LayerKind::attention) == 3);
          CHECK(c.count(mamba2::LayerKind::mlp) == 3);
          CHECK(c.layer_of_use(2) == 4);
          CHECK(c.layer_of_use(3) == 5);
          CHECK(c.use_of_block(3) == 1);
          CHECK(c.owns_block(3));
          CHECK(!c.owns_block(4));
          CHECK(!c.owns_block(0));
        }) == "none");
  CHECK(blocks([](Config& c) { c.shared_block.num_blocks = 0; }) ==
        "shared_block.num_blocks must be in 1..3, found 0");
  CHECK(blocks([](Config& c) { c.shared_block.num_blocks = 4; }) ==
        "shared_block.num_blocks must be in 1..3, found 4");
  CHECK(blocks([](Config& c) { c.shared_block.adapter_rank = 0; }) ==
        "shared_block.adapter_rank must be in 1..4096, found 0");
  CHECK(blocks([](Config& c) { c.d_model = (1 << 16) + 1; }) ==
        "d_model must be in 1..65536, found 65537");
  CHECK(blocks([](Config& c) { c.mlp.activation = mamba2::MlpActivation::relu2; }) ==
        "mlp.activation must be swiglu (0) or geglu (2) in shared blocks, found 1");
  CHECK(blocks([](Config& c) { c.mlp.activation = static_cast<mamba2::MlpActivation>(3); }) ==
        "mlp.activation must be swiglu (0), relu2 (1) or geglu (2), found 3");
  CHECK(blocks([](Config& c) { c.mlp.d_intermediate = 0; }) ==
        "mlp.d_intermediate must be in 1..131072, found 0");
  CHECK(blocks([](Config& c) { c.attention.head_dim = 0; }) ==
        "attention.head_dim must be in 1..131072, found 0");
  CHECK(blocks([](Config& c) { c.ngroups = 7; }) ==
        "ngroups must be a divisor of nheads 80, found 7");
  CHECK(blocks([](Config& c) { c.lora_rank = 2; }) ==
        "lora_rank must be 0 where layers have several mixers, found 2");
}

TEST_CASE("a mixture of experts is validated") {
  const auto experts = [](auto change) {
    Config c;
    c.n_layer = 4;
    c.pattern = "MEME";
    c.moe = {.num_experts = 12, .num_experts_per_tok = 4, .d_intermediate = 64, .sigmoid = true};
    change(c.moe);
    const auto outcome = c.validate();
    return outcome ? std::string("none") : outcome.error().message;
  };
  using Moe = mamba2::MoeConfig;
  CHECK(experts([](Moe&) {}) == "none");
  CHECK(experts([](Moe& m) { m.num_experts = 0; }) ==
        "moe.num_experts must be in 1..65536, found 0");
  CHECK(experts([](Moe& m) { m.num_experts = 65537; }) ==
        "moe.num_experts must be in 1..65536, found 65537");
  CHECK(experts([](Moe& m) { m.num_experts_per_tok = 13; }) ==
        "moe.num_experts_per_tok must be in 1..12, found 13");
  CHECK(experts([](Moe& m) { m.d_intermediate = 0; }) ==
        "moe.d_intermediate must be in 1..131072, found 0");
  CHECK(experts([](Moe& m) { m.d_shared = 131073; }) ==
        "moe.d_shared must be in 0..131072, found 131073");
  CHECK(experts([](Moe& m) { m.d_latent = 131073; }) ==
        "moe.d_latent must be in 0..131072, found 131073");
  CHECK(experts([](Moe& m) { m.n_group = 5; }) ==
        "moe.n_group must be a divisor of moe.num_experts 12 with at least 2 experts to a group, "
        "found 5");
  CHECK(experts([](Moe& m) {
          m.n_group = 12;
        }).starts_with("moe.n_group must be a divisor of moe.num_experts 12"));
  CHECK(experts([](Moe& m) { m.n_group = 2, m.topk_group = 3; }) ==
        "moe.topk_group must be in 1..2, found 3");
  CHECK(experts([](Moe& m) { m.n_group = 4; }) ==
        "moe.num_experts_per_tok must be at most 3, the experts of moe.topk_group 1 groups, found "
        "4");
  CHECK(experts([](Moe& m) { m.n_group = 4, m.topk_group = 2; }) == "none");
  CHECK(experts([](Moe& m) { m.sigmoid = false, m.router_bias = true; }) ==
        "moe.sigmoid must be true where there are groups or a bias of the router, found false");
  CHECK(experts([](Moe& m) { m.norm_eps = 1.0F; }) == "moe.norm_eps must be in [0, 1), found 1");
  CHECK(experts([](Moe& m) { m.routed_scaling_factor = std::numeric_limits<float>::infinity(); }) ==
        "moe.routed_scaling_factor must be finite, found inf");
  CHECK(experts([](Moe& m) { m.activation = static_cast<mamba2::MlpActivation>(2); }) ==
        "moe.activation must be swiglu (0) or relu2 (1), found 2");
}

TEST_CASE("the defaults are mamba2-2.7b") {
  const Config config;
  CHECK(config.validate());
  CHECK(config.nheads() == 80);
  CHECK(config.conv_dim() == 5376);
  CHECK(config.d_in_proj() == 10576);
  CHECK(config.d_mlp() == 0);
}

TEST_CASE("validate names the key, what was expected and what was found") {
  CHECK(problem([](Config&) {}) == "none");
  CHECK(problem([](Config& c) { c.vocab_size = 0; }) ==
        "vocab_size must be in 1..16777216, found 0");
  CHECK(problem([](Config& c) { c.headdim = 7; }) ==
        "headdim must be a divisor of d_ssm 5120, found 7");
  CHECK(problem([](Config& c) { c.ngroups = 3; }) ==
        "ngroups must be a divisor of nheads 80, found 3");
  CHECK(problem([](Config& c) { c.d_ssm = 5184; }) ==
        "d_ssm must be at most d_inner 5120, found 5184");
  CHECK(problem([](Config& c) { c.d_model = std::size_t{1} << 31; }).find("d_model") !=
        std::string::npos);
  CHECK(problem([](Config& c) { c.n_layer = 1000000; }).find("n_layer") != std::string::npos);
  CHECK(problem([](Config& c) { c.d_conv = 0; }).find("d_conv") != std::string::npos);
  CHECK(problem([](Config& c) { c.dt_min = 0.2F, c.dt_max = 0.1F; }) ==
        "dt_limit must be 0 <= min <= max, found 0.2..0.1");
  CHECK(problem([](Config& c) { c.norm_eps = -1.0F; }).find("norm_eps") != std::string::npos);
  CHECK(problem([](Config& c) { c.eos_token_ids = {50288}; }) ==
        "eos_token_id must be in 0..50287, found 50288");
}
