// SPDX-License-Identifier: Apache-2.0
// config.json files of hybrids: what is read of the published ones, and what is refused.
#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "mamba2/io/config_json.hpp"

using mamba2::Config;
using mamba2::ErrorCode;
using mamba2::LayerKind;
using mamba2::parse_config;

namespace {

/// The text of a config with other members in place of some, or more.
std::string with_members(const std::string& config, std::string_view more) {
  if (more.empty()) return config;
  auto json = nlohmann::json::parse(config);
  json.update(nlohmann::json::parse("{" + std::string(more) + "}"));
  return json.dump();
}

/// granite-4.0-h-350m as it was published.
std::string granite_config(std::string_view more = "") {
  std::string layers;
  for (std::size_t i = 0; i < 32; ++i) {
    const bool attends = i == 10 || i == 13 || i == 17 || i == 27;
    layers += std::string(i > 0 ? ", " : "") + (attends ? "\"attention\"" : "\"mamba\"");
  }
  const std::string config =
      R"({"model_type": "granitemoehybrid", "architectures": ["GraniteMoeHybridForCausalLM"],
    "vocab_size": 100352, "hidden_size": 768, "num_hidden_layers": 32, "layer_types": [)" +
      layers + R"(], "num_attention_heads": 12, "num_key_value_heads": 4,
    "shared_intermediate_size": 2048, "intermediate_size": 2048, "num_local_experts": 0,
    "mamba_n_heads": 48, "mamba_d_head": 32, "mamba_d_state": 128, "mamba_n_groups": 1,
    "mamba_d_conv": 4, "mamba_expand": 2, "mamba_conv_bias": true, "mamba_proj_bias": false,
    "rms_norm_eps": 1e-5, "position_embedding_type": "nope", "rope_theta": 10000,
    "rope_scaling": null, "embedding_multiplier": 12, "logits_scaling": 3,
    "residual_multiplier": 0.246, "attention_multiplier": 0.015625, "tie_word_embeddings": true,
    "eos_token_id": 100257, "time_step_limit": [0.0, )" +
      std::string(more.empty() ? "Infinity" : "1e30") + R"(], "hidden_act": "silu",
    "max_position_embeddings": 32768})";
  return with_members(config, more);
}

std::string bamba_config(std::string_view more = "") {
  return with_members(R"({"model_type": "bamba", "vocab_size": 128256, "hidden_size": 4096,
    "num_hidden_layers": 32, "attn_layer_indices": [9, 18, 27], "attn_rotary_emb": 64})",
                      more);
}

/// LFM2-1.2B in the keys that it was published with.
std::string lfm2_config(std::string_view more = "") {
  return with_members(R"({"model_type": "lfm2", "vocab_size": 65536, "hidden_size": 2048,
    "num_hidden_layers": 16, "full_attn_idxs": [2, 5, 8, 10, 12, 14], "block_ff_dim": 12288,
    "block_auto_adjust_ff_dim": true, "block_ffn_dim_multiplier": 1.0, "block_multiple_of": 256,
    "num_attention_heads": 32, "num_key_value_heads": 8, "norm_eps": 1e-05, "conv_L_cache": 3,
    "conv_bias": false, "rope_theta": 1000000.0, "max_position_embeddings": 128000,
    "eos_token_id": 7, "bos_token_id": 1, "pad_token_id": 0})",
                      more);
}

std::string mamba2attn_config(std::string_view more = "") {
  return with_members(R"({"d_model": 2560, "n_layer": 64, "d_intermediate": 0, "vocab_size": 50277,
    "ssm_cfg": {"layer": "Mamba2"}, "attn_layer_idx": [9, 18, 27, 36, 45, 56],
    "pad_vocab_size_multiple": 16, "tie_embeddings": true, "attn_cfg": {"causal": true,
    "d_conv": 4, "head_dim": 128, "num_heads": 30, "out_proj_bias": false, "qkv_proj_bias": false,
    "rotary_emb_dim": 64}})",
                      more);
}

/// A Nemotron-Nano-9B-v2 as it was published.
std::string nemotron_config(std::string_view more = "") {
  return with_members(R"({"model_type": "nemotron_h", "architectures": ["NemotronHForCausalLM"],
    "vocab_size": 131072, "hidden_size": 4480, "num_hidden_layers": 56, "hybrid_override_pattern":
    "M-M-M-MM-M-M-M*-M-M-M*-M-M-M-M*-M-M-M-M*-M-MM-M-M-M-M-M-", "num_attention_heads": 40,
    "num_key_value_heads": 8, "attention_head_dim": 128, "head_dim": 128, "intermediate_size": 15680,
    "mamba_num_heads": 128, "mamba_head_dim": 80, "ssm_state_size": 128, "n_groups": 8,
    "conv_kernel": 4, "expand": 2, "use_conv_bias": true, "use_bias": false, "mlp_bias": false,
    "mlp_hidden_act": "relu2", "mamba_hidden_act": "silu", "layer_norm_epsilon": 1e-5,
    "time_step_min": 0.001, "time_step_limit": [0.0, 1e30], "sliding_window": null,
    "tie_word_embeddings": false, "eos_token_id": [2, 11, 12], "max_position_embeddings": 131072})",
                      more);
}

/// Falcon-H1-0.5B as it was published.
std::string falcon_config(std::string_view more = "") {
  return with_members(R"({"model_type": "falcon_h1", "architectures": ["FalconH1ForCausalLM"],
    "vocab_size": 32784, "hidden_size": 1024, "num_hidden_layers": 36, "intermediate_size": 2048,
    "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 64, "mamba_d_ssm": 1536,
    "mamba_n_heads": 24, "mamba_d_head": 64, "mamba_n_groups": 1, "mamba_d_state": 128,
    "mamba_d_conv": 4, "mamba_expand": 2, "mamba_conv_bias": true, "mamba_proj_bias": false,
    "projectors_bias": false, "attention_bias": false, "mlp_bias": false, "mamba_rms_norm": false,
    "mamba_norm_before_gate": false, "rms_norm_eps": 1e-5, "rope_theta": 100000000000.0,
    "rope_scaling": null, "tie_word_embeddings": false, "eos_token_id": 11, "hidden_act": "silu",
    "embedding_multiplier": 5.656854249492381, "lm_head_multiplier": 0.0390625,
    "attention_in_multiplier": 1.0, "attention_out_multiplier": 0.9375,
    "key_multiplier": 0.39062499999999994, "mlp_multipliers": [0.8838834764831844, 0.5859375],
    "ssm_in_multiplier": 1.25, "ssm_out_multiplier": 0.23570226039551587, "ssm_multipliers":
    [0.3535533905932738, 0.25, 0.3535533905932738, 0.5, 0.3535533905932738],
    "attn_layer_indices": null, "mamba_use_mlp": true, "max_position_embeddings": 16384})",
                      more);
}

/// Zamba2-1.2B as it was published.
std::string zamba_config(std::string_view more = "") {
  std::string layers;
  for (std::size_t i = 0; i < 38; ++i) {
    layers += std::string(i > 0 ? ", " : "") + (i % 6 == 5 ? "\"hybrid\"" : "\"mamba\"");
  }
  const std::string config =
      R"({"model_type": "zamba2", "architectures": ["Zamba2ForCausalLM"], "vocab_size": 32000,
    "hidden_size": 2048, "num_hidden_layers": 38, "layers_block_type": [)" +
      layers +
      R"(], "num_attention_heads": 32, "num_key_value_heads": 32, "attention_head_dim": 128,
    "attention_hidden_size": 4096, "kv_channels": 64, "intermediate_size": 8192, "hidden_act": "gelu",
    "n_mamba_heads": 64, "mamba_headdim": 64, "mamba_d_state": 64, "mamba_ngroups": 1,
    "mamba_d_conv": 4, "mamba_expand": 2, "add_bias_linear": false, "num_mem_blocks": 1,
    "adapter_rank": 128, "use_shared_attention_adapter": true, "use_mem_rope": true,
    "use_long_context": false, "rms_norm_eps": 1e-05, "rope_theta": 10000, "time_step_min": 0.001,
    "time_step_floor": 0.0001, "max_position_embeddings": 4096, "eos_token_id": 2})";
  return with_members(config, more);
}

/// Refused, in a message with this in it.
void check_refused_hybrid(const std::string& json, ErrorCode code, std::string_view part) {
  const auto config = parse_config(json, "config.json");
  CAPTURE(part);
  REQUIRE(!config);
  CAPTURE(config.error().message);
  CHECK(config.error().code == code);
  CHECK(config.error().message.find(part) != std::string::npos);
}

}  // namespace

TEST_CASE("hybrid config: granite-4.0-h-350m") {
  const Config c = parse_config(granite_config()).value();
  CHECK(c.n_layer == 64);
  CHECK(c.count(LayerKind::mamba2) == 28);
  CHECK(c.count(LayerKind::attention) == 4);
  CHECK(c.count(LayerKind::mlp) == 32);
  CHECK(c.kind(20) == LayerKind::attention);
  CHECK(c.kind(21) == LayerKind::mlp);
  CHECK(c.d_inner == 1536);
  CHECK(c.nheads() == 48);
  CHECK(c.mlp.d_intermediate == 2048);
  CHECK(c.attention.head_dim == 64);
  CHECK(c.attention.rotary_emb_dim == 0);
  CHECK(c.attention.softmax_scale == 1.0F / 64);
  CHECK(c.embedding_multiplier == 12.0F);
  CHECK(c.residual_multiplier == 0.246F);
  CHECK(c.logits_multiplier == 1.0F / 3);
  CHECK(c.default_context() == 4096);
  CHECK(c.dt_max == std::numeric_limits<float>::infinity());
}

TEST_CASE("hybrid config: granite models of attention alone, or without it") {
  const Config attention =
      parse_config(granite_config(R"("layer_types": ["full_attention", "attention"],
      "position_embedding_type": "rope", "rope_parameters": {"rope_theta": 1e7, "rope_type":
      "default"}, "max_position_embeddings": 1000)"))
          .value();
  CHECK(attention.pattern == "*-*-");
  CHECK(attention.attention.rotary_emb_dim == 64);
  CHECK(attention.attention.rotary_emb_base == 1e7F);
  CHECK(attention.default_context() == 1000);
  const Config mamba =
      parse_config(granite_config(R"("layer_types": null, "num_hidden_layers": 3)")).value();
  CHECK(mamba.pattern == "M-M-M-");
  CHECK(mamba.default_context() == 0);
}

TEST_CASE("hybrid config: granite with experts") {
  const Config c = parse_config(granite_config(R"("num_local_experts": 62, "num_experts_per_tok": 6,
      "intermediate_size": 512, "shared_intermediate_size": 1024)"))
                       .value();
  CHECK(c.count(LayerKind::moe) == 32);
  CHECK(c.count(LayerKind::mlp) == 0);
  CHECK(c.moe.num_experts == 62);
  CHECK(c.moe.num_experts_per_tok == 6);
  CHECK(c.moe.d_intermediate == 512);
  CHECK(c.moe.d_shared == 1024);
  CHECK(!c.moe.sigmoid);
  CHECK(parse_config(granite_config(R"("num_local_experts": 4, "shared_intermediate_size": 0)"))
            .value()
            .moe.d_shared == 0);
}

TEST_CASE("hybrid config: bamba and mamba2attn") {
  const Config b = parse_config(bamba_config()).value();
  CHECK(b.count(LayerKind::attention) == 3);
  CHECK(b.attention.num_heads_kv == 8);
  CHECK(b.attention.rotary_emb_dim == 64);
  CHECK(b.attention.softmax_scale == 1.0F / std::sqrt(128.0F));
  CHECK(b.mlp.d_intermediate == 14336);
  CHECK(b.nheads() == 128);
  const Config o = parse_config(mamba2attn_config()).value();
  CHECK(o.n_layer == 64);
  CHECK(o.kind(9) == LayerKind::attention);
  CHECK(o.attention.qkv_dim() == 3 * 30 * 128);
  CHECK(o.attention.d_conv == 4);
  CHECK(!o.attention.qkv_proj_bias);
  const Config with_mlps = parse_config(mamba2attn_config(R"("d_intermediate": 70)")).value();
  CHECK(with_mlps.n_layer == 128);
  CHECK(with_mlps.mlp.d_intermediate == 128);
}

TEST_CASE("hybrid config: lfm2 in older and newer keys") {
  const Config c = parse_config(lfm2_config()).value();
  CHECK(c.pattern == "C-C-*-C-C-*-C-C-*-C-*-C-*-C-*-C-");
  CHECK(c.mlp.d_intermediate == 8192);
  CHECK(c.short_conv.d_conv == 3);
  CHECK(!c.short_conv.bias);
  CHECK(c.attention.qk_norm);
  CHECK(c.attention.head_dim == 64);
  CHECK(c.attention.num_heads_kv == 8);
  CHECK(c.attention.rotary_emb_dim == 64);
  CHECK(c.attention.rotary_emb_base == 1e6F);
  CHECK(c.tie_embeddings);
  CHECK(c.eos_token_ids == std::vector<mamba2::Token>{7});
  const auto with = [](std::string_view more) { return parse_config(lfm2_config(more)).value(); };
  CHECK(with(R"("layer_types": ["conv", "full_attention"])").pattern == "C-*-");
  CHECK(with(R"("layer_types": ["conv", "conv"], "num_hidden_layers": 9)").pattern == "C-C-");
  CHECK(with(R"("full_attn_idxs": null, "num_hidden_layers": 2)").pattern == "*-*-");
  CHECK(with(R"("full_attn_idxs": [], "num_hidden_layers": 2)").pattern == "C-C-");
  // How wide MLPs are.
  CHECK(with(R"("block_ff_dim": 6656)").mlp.d_intermediate == 4608);
  CHECK(with(R"("block_ff_dim": 6656, "intermediate_size": 9)").mlp.d_intermediate == 4608);
  CHECK(with(R"("block_ff_dim": null, "intermediate_size": 6656)").mlp.d_intermediate == 4608);
  CHECK(with(R"("block_auto_adjust_ff_dim": false)").mlp.d_intermediate == 12288);
  CHECK(with(R"("block_ffn_dim_multiplier": null, "block_ff_dim": 101)").mlp.d_intermediate == 67);
  CHECK(with(R"("block_ffn_dim_multiplier": 1.3, "block_ff_dim": 100, "block_multiple_of": 4)")
            .mlp.d_intermediate == 88);  // 66, 85, 88
  // RoPE and the head.
  CHECK(with(R"("rope_parameters": {"rope_theta": 5e5})").attention.rotary_emb_base == 5e5F);
  CHECK(with(R"("rope_theta": null)").attention.rotary_emb_base == 1e6F);
  CHECK(!with(R"("tie_word_embeddings": false)").tie_embeddings);
  CHECK(with(R"("tie_word_embeddings": false, "tie_embedding": true)").tie_embeddings);
}

TEST_CASE("hybrid config: lfm2_moe") {
  const auto with = [](const std::string& more) {
    return parse_config(lfm2_config(R"("model_type": "lfm2_moe")" + more)).value();
  };
  const Config c = with("");
  CHECK(c.pattern == "C-C-*ECECE*ECECE*ECE*ECE*ECE*ECE");
  CHECK(c.mlp.d_intermediate == 7168);
  CHECK(c.moe.num_experts == 32);
  CHECK(c.moe.num_experts_per_tok == 4);
  CHECK(c.moe.d_intermediate == 1792);
  CHECK(c.moe.d_shared == 0);
  CHECK(c.moe.sigmoid);
  CHECK(c.moe.router_bias);
  CHECK(c.moe.norm_topk_prob);
  CHECK(c.moe.norm_eps == 1e-6F);
  CHECK(c.moe.routed_scaling_factor == 1.0F);
  CHECK(with(R"(, "num_dense_layers": 99)").count(LayerKind::moe) == 0);
  CHECK(with(R"(, "num_dense_layers": 0)").count(LayerKind::mlp) == 0);
  CHECK(with(R"(, "norm_topk_prob": false)").moe.norm_eps == 0.0F);
}

TEST_CASE("hybrid config: nemotron") {
  const Config c = parse_config(nemotron_config()).value();
  CHECK(c.n_layer == 56);
  CHECK(c.count(LayerKind::mamba2) == 27);
  CHECK(c.count(LayerKind::mlp) == 25);
  CHECK(c.count(LayerKind::attention) == 4);
  CHECK(c.d_inner == 128 * 80);  // not expand * hidden_size
  CHECK(c.ngroups == 8);
  CHECK(c.dt_min == 0.0F);
  CHECK(!c.mlp.has_gate());
  CHECK(c.mlp.d_intermediate == 15680);
  CHECK(c.attention.head_dim == 128);
  CHECK(c.attention.q_dim() == 5120);
  CHECK(c.attention.rotary_emb_dim == 0);
  CHECK(c.attention.softmax_scale == 1.0F / std::sqrt(128.0F));
  // Other names, and the list in place of the text.
  const Config other = parse_config(nemotron_config(R"("layers_block_type": ["mamba",
      "linear_attention", "attention", "full_attention", "mlp"], "num_hidden_layers": null,
      "head_dim": null, "attention_head_dim": 96, "num_key_value_heads": null, "n_groups": null,
      "mamba_n_groups": 4, "conv_kernel": null, "mamba_d_conv": 3, "use_conv_bias": null,
      "mamba_conv_bias": false)"))
                           .value();
  CHECK(other.pattern == "MM**-");
  CHECK(other.attention.head_dim == 96);
  CHECK(other.attention.num_heads_kv == 8);
  CHECK(other.ngroups == 4);
  CHECK(other.d_conv == 3);
  CHECK(!other.conv_bias);
  std::vector<std::string> notes;
  const auto fewer = nemotron_config(R"("hybrid_override_pattern": "M*-")");
  CHECK(parse_config(fewer, "config.json", &notes).value().n_layer == 3);
  REQUIRE(notes.size() == 1);
  CHECK(notes[0] ==
        "config.json: num_hidden_layers is 56, but hybrid_override_pattern has 3 layers, which "
        "count");
}

TEST_CASE("hybrid config: falcon") {
  const Config c = parse_config(falcon_config()).value();
  CHECK(c.n_layer == 72);
  CHECK(c.kind(0) == LayerKind::parallel);
  CHECK(c.kind(1) == LayerKind::mlp);
  CHECK(c.count(LayerKind::mamba2) == 36);
  CHECK(c.count(LayerKind::attention) == 36);
  CHECK(c.d_inner == 1536);
  CHECK(!c.rmsnorm);
  CHECK(!c.norm_before_gate);
  CHECK(c.attention.rotary_emb_dim == 64);
  CHECK(c.attention.rotary_emb_base == 1e11F);
  CHECK(c.attention.softmax_scale == 0.390625F / 8);
  CHECK(c.attention.out_multiplier == 0.9375F);
  CHECK(c.embedding_multiplier == 5.656854249492381F);
  CHECK(c.logits_multiplier == 0.0390625F);
  CHECK(c.ssm_multipliers == mamba2::Mamba2Multipliers{1.25F, 0.3535533905932738F, 0.25F,
                                                       0.3535533905932738F, 0.5F,
                                                       0.3535533905932738F, 0.23570226039551587F});
  CHECK(c.mlp.gate_multiplier == 0.8838834764831844F);
  CHECK(c.mlp.out_multiplier == 0.5859375F);
  CHECK(c.default_context() == 4096);
  const Config wide = parse_config(falcon_config(R"("mamba_d_ssm": null, "mamba_d_head": "auto",
      "mamba_n_heads": 32, "mamba_rms_norm": true, "ssm_multipliers": null, "head_dim": null,
      "num_key_value_heads": null)"))
                          .value();
  CHECK(wide.d_inner == 2048);
  CHECK(wide.rmsnorm);
  CHECK(wide.ssm_multipliers.z == 1.0F);
  CHECK(wide.attention.head_dim == 128);
  CHECK(wide.attention.num_heads_kv == 8);
}

TEST_CASE("hybrid config: zamba2") {
  const Config c = parse_config(zamba_config()).value();
  CHECK(c.n_layer == 38);
  CHECK(c.count(LayerKind::shared_block) == 6);
  CHECK(c.kind(5) == LayerKind::shared_block);
  CHECK(c.count(LayerKind::mamba2) == 38);
  CHECK(c.count(LayerKind::attention) == 6);
  CHECK(c.d_inner == 4096);
  CHECK(c.headdim == 64);
  CHECK(c.d_state == 64);
  CHECK(c.conv_bias);
  CHECK(!c.bias);
  CHECK(c.dt_min == 0.0F);
  CHECK(c.tie_embeddings);
  CHECK(c.attention.head_dim == 128);
  CHECK(c.attention.rotary_emb_dim == 128);
  CHECK(c.attention.softmax_scale == 0.125F);  // of half a head
  CHECK(c.mlp.activation == mamba2::MlpActivation::geglu);
  CHECK(c.mlp.d_intermediate == 8192);
  CHECK(c.shared_block == mamba2::SharedBlockConfig{1, 128, true});
  CHECK(c.default_context() == 4096);
  // What head dimensions the file names is not looked at.
  const Config other = parse_config(zamba_config(R"("attention_head_dim": 7, "mamba_headdim": 3,
      "num_key_value_heads": null, "intermediate_size": null, "use_mem_rope": false,
      "num_mem_blocks": 9, "use_shared_attention_adapter": false, "add_bias_linear": true,
      "layers_block_type": ["linear_attention", "hybrid", "mamba", "hybrid"],
      "num_hidden_layers": null, "rope_parameters": {"rope_type": "default", "rope_theta": 500})"))
                           .value();
  CHECK(other.pattern == "MSMS");
  CHECK(other.attention.num_heads_kv == 32);
  CHECK(other.attention.head_dim == 128);
  CHECK(other.attention.rotary_emb_dim == 0);
  CHECK(other.mlp.d_intermediate == 8192);
  CHECK(other.bias);
  CHECK(other.mlp.bias);
  CHECK(other.shared_block == mamba2::SharedBlockConfig{2, 128, false});  // no more than there are
  // The usual layers are those of Zamba2-2.7B.
  const Config usual = parse_config(R"({"model_type": "zamba2", "n_mamba_heads": 80})").value();
  CHECK(usual.pattern == "MMMMMMSMMMMMSMMMMMSMMMMMSMMMMMSMMMMMSMMMMMSMMMMSMMMSMM");
  CHECK(usual.attention.head_dim == 160);
  CHECK(usual.mlp.d_intermediate == 10240);
  std::vector<std::string> notes;
  CHECK(parse_config(zamba_config(R"("num_hidden_layers": 3)"), "config.json", &notes));
  REQUIRE(notes.size() == 1);
  CHECK(notes[0] ==
        "config.json: num_hidden_layers is 3, but layers_block_type has 38 layers, which count");
  // Without blocks it is Mamba-2.
  const Config plain =
      parse_config(zamba_config(R"("layers_block_type": ["mamba", "mamba"])")).value();
  CHECK(!plain.has(LayerKind::attention));
}

TEST_CASE("hybrid config: what Zamba2 does not have is refused by key") {
  const auto refused = [](const char* more, ErrorCode code, std::string_view part) {
    check_refused_hybrid(zamba_config(more), code, part);
  };
  const auto unsupported = ErrorCode::unsupported;
  const auto malformed = ErrorCode::malformed;
  const auto invalid = ErrorCode::invalid_argument;
  refused(R"("hidden_act": "gelu_pytorch_tanh")", unsupported,
          "hidden_act must be \"gelu\", found \"gelu_pytorch_tanh\"");
  refused(R"("hidden_act": "silu")", unsupported, "hidden_act");
  refused(R"("use_long_context": true)", unsupported, "use_long_context must be false, found true");
  refused(R"("rms_norm_eps": 1e-6)", unsupported, "rms_norm_eps must be 1e-5");
  refused(R"("rope_scaling": {"type": "yarn"})", unsupported, "rope_scaling.type");
  refused(R"("rope_parameters": {"rope_type": "linear"})", unsupported,
          "rope_parameters.rope_type");
  refused(R"("layers_block_type": ["mamba", "attention"])", unsupported,
          "layers_block_type must be of \"mamba\" and \"hybrid\", found \"attention\"");
  refused(R"("layers_block_type": [])", malformed, "layers_block_type must be of 1..65536 layers");
  refused(R"("layers_block_type": "hybrid")", malformed, "layers_block_type must be a list");
  refused(R"("layers_block_type": null)", malformed,
          "num_hidden_layers must be 54 without layers_block_type, found 38");
  refused(R"("n_mamba_heads": 63)", malformed,
          "n_mamba_heads must be a divisor of mamba_expand * hidden_size 4096, found 63");
  refused(R"("n_mamba_heads": 5000)", malformed, "n_mamba_heads");
  refused(R"("num_attention_heads": 7)", malformed,
          "num_attention_heads must be a divisor of 2 * hidden_size 4096, found 7");
  refused(R"("num_attention_heads": 5000)", malformed, "num_attention_heads");
  refused(R"("num_attention_heads": 4096)", invalid, "attention.rotary_emb_dim must be even");
  refused(R"("num_key_value_heads": 5)", invalid, "attention.num_heads_kv");
  refused(R"("num_mem_blocks": 0)", malformed, "num_mem_blocks");
  refused(R"("adapter_rank": 0)", malformed, "adapter_rank");
  refused(R"("adapter_rank": 5000)", invalid, "shared_block.adapter_rank must be in 1..4096");
  refused(R"("hidden_size": 65568)", invalid, "d_model must be in 1..65536, found 65568");
  refused(R"("use_mem_rope": 1)", malformed, "use_mem_rope");
  check_refused_hybrid(
      R"({"model_type": "zamba2", "lora_rank": 128, "state_size": 64, "ffn_hidden_size": 8192})",
      unsupported, "mamba_d_state must be given, found ffn_hidden_size, of an older form");
}

TEST_CASE("hybrid config: what Nemotron-H and Falcon-H1 do not have is refused by key") {
  const auto unsupported = ErrorCode::unsupported;
  const auto malformed = ErrorCode::malformed;
  const auto nemotron = [](const char* more, ErrorCode code, std::string_view part) {
    check_refused_hybrid(nemotron_config(more), code, part);
  };
  nemotron(R"("hybrid_override_pattern": "M|M")", unsupported,
           "hybrid_override_pattern must be of M, *, - and E");
  nemotron(R"("hybrid_override_pattern": null)", malformed, "hybrid_override_pattern");
  nemotron(R"("hybrid_override_pattern": "")", malformed, "of 1..65536 layers, found 0");
  nemotron(R"("layers_block_type": ["mamba", "conv"])", unsupported, "layers_block_type");
  nemotron(R"("layers_block_type": "mamba")", malformed, "layers_block_type must be a list");
  nemotron(R"("mlp_hidden_act": "silu")", unsupported, "mlp_hidden_act must be \"relu2\"");
  nemotron(R"("mamba_hidden_act": "gelu")", unsupported, "mamba_hidden_act");
  nemotron(R"("sliding_window": 4096)", unsupported, "sliding_window must be null, found 4096");
  nemotron(R"("n_groups": 7)", ErrorCode::invalid_argument, "ngroups must be a divisor");
  nemotron(R"("mamba_head_dim": 2000000000)", ErrorCode::invalid_argument, "d_inner must be in");
  const auto falcon = [](const char* more, ErrorCode code, std::string_view part) {
    check_refused_hybrid(falcon_config(more), code, part);
  };
  falcon(R"("ssm_multipliers": [1, 1, 1, 1])", malformed,
         "ssm_multipliers must be a list of 5 numbers, found a list of 4");
  falcon(R"("ssm_multipliers": [1, 1, 1, 1, "x"])", malformed, "ssm_multipliers must be a list");
  falcon(R"("mlp_multipliers": 2)", malformed, "mlp_multipliers must be a list of 2 numbers");
  falcon(R"("key_multiplier": 0)", ErrorCode::invalid_argument, "attention.softmax_scale");
  falcon(R"("lm_head_multiplier": 1e-60)", ErrorCode::invalid_argument, "logits_multiplier");
  falcon(R"("projectors_bias": true)", unsupported, "projectors_bias must be as mamba_proj_bias");
  falcon(R"("mamba_n_heads": 25)", malformed, "mamba_n_heads must be mamba_d_ssm / mamba_d_head");
  falcon(R"("num_hidden_layers": 40000)", ErrorCode::invalid_argument, "n_layer");
  falcon(R"("hidden_act": "gelu")", unsupported, "hidden_act");
}

TEST_CASE("hybrid config: what is not supported, or wrong, is refused by key") {
  const auto unsupported = ErrorCode::unsupported;
  const auto malformed = ErrorCode::malformed;
  check_refused_hybrid(granite_config(R"("num_local_experts": 6, "num_experts_per_tok": 7)"),
                       ErrorCode::invalid_argument,
                       "moe.num_experts_per_tok must be in 1..6, found 7");
  check_refused_hybrid(granite_config(R"("num_local_experts": -1)"), malformed,
                       "num_local_experts");
  check_refused_hybrid(granite_config(R"("layer_types": ["conv"])"), unsupported, "layer_types");
  check_refused_hybrid(granite_config(R"("layer_types": 3)"), malformed,
                       "layer_types must be a list");
  check_refused_hybrid(granite_config(R"("layer_types": [])"), ErrorCode::invalid_argument,
                       "n_layer");
  check_refused_hybrid(granite_config(R"("layer_types": null, "num_hidden_layers": 2000000000)"),
                       malformed, "num_hidden_layers must be in 1..65536");
  check_refused_hybrid(granite_config(R"("hidden_act": "gelu")"), unsupported, "hidden_act");
  check_refused_hybrid(granite_config(R"("mamba_n_heads": 47)"), malformed, "mamba_n_heads");
  check_refused_hybrid(granite_config(R"("logits_scaling": 0)"), ErrorCode::invalid_argument,
                       "logits_multiplier must be finite and not 0");
  check_refused_hybrid(granite_config(R"("num_key_value_heads": 5)"), ErrorCode::invalid_argument,
                       "attention.num_heads_kv");
  check_refused_hybrid(granite_config(R"("attention_multiplier": "x")"), malformed,
                       "attention_multiplier");
  check_refused_hybrid(
      granite_config(R"("position_embedding_type": "rope", "rope_scaling": {"type": "yarn"})"),
      unsupported, "rope_scaling.type must be \"default\", found \"yarn\"");
  check_refused_hybrid(granite_config(R"("position_embedding_type": "rope", "rope_parameters": 3)"),
                       malformed, "rope_parameters must be an object");
  check_refused_hybrid(bamba_config(R"("attn_layer_indices": [32])"), malformed,
                       "attn_layer_indices must be a list of integers in 0..31, found 32");
  check_refused_hybrid(bamba_config(R"("attn_layer_indices": "9")"), malformed,
                       "attn_layer_indices");
  check_refused_hybrid(bamba_config(R"("num_hidden_layers": 70000)"), malformed,
                       "num_hidden_layers");
  check_refused_hybrid(lfm2_config(R"("layer_types": ["conv", "sliding_attention"])"), unsupported,
                       "layer_types must be of \"conv\" and \"full_attention\"");
  check_refused_hybrid(lfm2_config(R"("layer_types": {})"), malformed,
                       "layer_types must be a list");
  check_refused_hybrid(lfm2_config(R"("full_attn_idxs": [16])"), malformed,
                       "full_attn_idxs must be a list of integers in 0..15, found 16");
  check_refused_hybrid(lfm2_config(R"("conv_L_cache": 65)"), ErrorCode::invalid_argument,
                       "short_conv.d_conv must be in 1..64, found 65");
  for (const char* factor : {"0", "-1.5", "1e300", "\"NaN\""}) {
    CAPTURE(factor);
    check_refused_hybrid(
        lfm2_config(R"("block_ffn_dim_multiplier": )" + std::string(factor)), malformed,
        "block_ffn_dim_multiplier must be positive, with a width of MLPs in 1..2^31-1");
  }
  check_refused_hybrid(lfm2_config(R"("block_ff_dim": 2147483647)"), ErrorCode::invalid_argument,
                       "mlp.d_intermediate must be in 1..131072");
  check_refused_hybrid(lfm2_config(R"("model_type": "lfm3")"), unsupported, "model_type");
  check_refused_hybrid(lfm2_config(R"("model_type": "lfm2_moe", "num_experts_per_tok": 33)"),
                       ErrorCode::invalid_argument,
                       "moe.num_experts_per_tok must be in 1..32, found 33");
  check_refused_hybrid(lfm2_config(R"("model_type": "lfm2_moe", "num_dense_layers": -1)"),
                       malformed, "num_dense_layers");
  check_refused_hybrid(lfm2_config(R"("rope_parameters": {"rope_type": "yarn"})"), unsupported,
                       "rope_parameters.rope_type");
  check_refused_hybrid(mamba2attn_config(R"("attn_layer_idx": [64])"), malformed, "attn_layer_idx");
  check_refused_hybrid(mamba2attn_config(R"("attn_cfg": null)"), malformed,
                       "attn_cfg must be an object");
  check_refused_hybrid(mamba2attn_config(R"("attn_cfg": {})"), malformed,
                       "attn_cfg.num_heads must be given");
  check_refused_hybrid(mamba2attn_config(R"("attn_cfg": {"num_heads": 20, "causal": false})"),
                       unsupported, "attn_cfg.causal");
  check_refused_hybrid(
      mamba2attn_config(R"("attn_cfg": {"num_heads": 20, "causal": true, "mlp_dim": 8})"),
      unsupported, "attn_cfg.mlp_dim");
  check_refused_hybrid(
      mamba2attn_config(R"("attn_cfg": {"num_heads": 20, "rotary_emb_interleaved": true})"),
      unsupported, "attn_cfg.rotary_emb_interleaved");
  check_refused_hybrid(mamba2attn_config(R"("rms_norm": false)"), unsupported, "rms_norm");
}
