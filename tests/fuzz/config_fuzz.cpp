// SPDX-License-Identifier: Apache-2.0
// Any text as a config.json: an error, or a Config whose sizes do not overflow and that comes out
// of its own config.json as it went in.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <mamba2/io/transformers_export.hpp>
#include <mamba2/mamba2.hpp>
#include <string>
#include <string_view>

namespace {

void expect(bool condition) {
  if (!condition) __builtin_trap();
}

void expect_same(const mamba2::Config& a, const mamba2::Config& b) {
  expect(a.d_model == b.d_model && a.n_layer == b.n_layer && a.vocab_size == b.vocab_size);
  expect(a.d_inner == b.d_inner && a.d_ssm == b.d_ssm && a.headdim == b.headdim);
  expect(a.d_state == b.d_state && a.ngroups == b.ngroups && a.d_conv == b.d_conv);
  expect(a.norm_eps == b.norm_eps && a.dt_min == b.dt_min);
  expect(std::min(a.dt_max, std::numeric_limits<float>::max()) ==
         std::min(b.dt_max, std::numeric_limits<float>::max()));  // JSON has no infinity
  expect(a.bias == b.bias && a.conv_bias == b.conv_bias && a.tie_embeddings == b.tie_embeddings);
  expect(a.eos_token_ids == b.eos_token_ids);
  expect(a.pattern == b.pattern && a.mlp == b.mlp && a.moe == b.moe);
  expect(a.short_conv == b.short_conv);
  expect(a.embedding_multiplier == b.embedding_multiplier);
  expect(a.residual_multiplier == b.residual_multiplier);
  expect(std::fabs(a.logits_multiplier / b.logits_multiplier - 1.0F) < 1e-6F);  // of 1 / (1 / x)
  expect(a.max_position_embeddings == b.max_position_embeddings);
  const mamba2::AttentionConfig& x = a.attention;
  const mamba2::AttentionConfig& y = b.attention;
  expect(x.num_heads == y.num_heads && x.num_heads_kv == y.num_heads_kv);
  expect(x.head_dim == y.head_dim && x.rotary_emb_dim == y.rotary_emb_dim);
  expect(x.rotary_emb_dim == 0 || x.rotary_emb_base == y.rotary_emb_base);
  // Of Falcon-H1, it is written as a factor of the usual one.
  expect(x.softmax_scale == y.softmax_scale ||
         std::fabs(x.softmax_scale / y.softmax_scale - 1.0F) < 1e-6F);
  expect(x.qkv_proj_bias == y.qkv_proj_bias);
  expect(x.in_multiplier == y.in_multiplier && x.out_multiplier == y.out_multiplier);
  expect(a.ssm_multipliers == b.ssm_multipliers);
  expect(a.rmsnorm == b.rmsnorm && a.norm_before_gate == b.norm_before_gate);
  expect(x.qk_norm == y.qk_norm);
  expect(a.shared_block == b.shared_block && a.mlp == b.mlp);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view json(reinterpret_cast<const char*>(data), size);
  static_cast<void>(mamba2::parse_quantization(json, "config.json"));
  const auto config = mamba2::parse_config(json);
  if (!config) {
    expect(config.error().message.starts_with("config.json"));
    return 0;
  }
  expect(config->validate().has_value());
  const std::size_t layers = config->count(mamba2::LayerKind::mamba2);
  const std::size_t elements = layers * config->d_ssm * config->d_state;
  expect(layers == 0 || elements / layers / config->d_ssm == config->d_state);
  expect(mamba2::State::bytes(*config) / sizeof(float) >= elements);
  expect(config->nheads() * config->headdim == config->d_ssm);
  if (mamba2::check_transformers_export(*config)) {
    const std::string text = mamba2::transformers_config(*config, {}, mamba2::DType::F32);
    const auto again = mamba2::parse_config(text);
    expect(again.has_value());
    expect_same(*config, *again);
  }
  return 0;
}
