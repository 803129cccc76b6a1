// SPDX-License-Identifier: Apache-2.0
// The oracle of hybrid models against the float64 logits of others' implementations, and mistakes
// that such a comparison must see.
#include "tests/reference/hybrid_reference.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "tests/reference/compare.hpp"
#include "tests/reference/hybrid_checkpoint.hpp"

namespace {

using namespace reference;

constexpr double kHybridBound = 1e-12;  // logits up to 47

const std::string kHybrids = MAMBA2_SOURCE_DIR "/tests/golden/hybrids/";

constexpr const char* kHybridNames[] = {"granite_dense",
                                        "granite_rope",
                                        "granite_moe",
                                        "bamba",
                                        "nemotron_dense",
                                        "nemotron_moe",
                                        "nemotron_latent",
                                        "nemotron_small_dt",
                                        "falcon_h1",
                                        "falcon_h1_norm",
                                        "lfm2",
                                        "lfm2_moe",
                                        "zamba2",
                                        "mamba2attn",
                                        "mamba2attn_mlp"};

struct HybridGolden {
  Hybrid model;
  std::vector<Token> ids;
  std::vector<double> logits;  ///< (ids, vocab_size)
  std::vector<double> hidden;  ///< (layers + 1, ids, d_model), or empty
};

HybridGolden hybrid_golden(const std::string& name, const std::string& config = "config.json") {
  const std::string text = read_file(kHybrids + name + "/" + config).value();
  const Safetensors weights = load_safetensors(kHybrids + name + "/model.safetensors").value();
  Safetensors file = load_safetensors(kHybrids + name + "/expected.safetensors").value();
  HybridGolden golden{read_hybrid(parse_hybrid_config(text), weights).value(), {}, {}, {}};
  for (const double id : to_double(file.tensors.at("ids"))) {
    golden.ids.push_back(static_cast<Token>(id));
  }
  golden.logits = to_double(file.tensors.at("logits"));
  if (file.tensors.contains("hidden")) golden.hidden = to_double(file.tensors.at("hidden"));
  return golden;
}

void append(std::vector<double>& all, const std::vector<double>& more) {
  all.insert(all.end(), more.begin(), more.end());
}

TEST_CASE("hybrids: the oracle gives the golden logits in both spellings of the config") {
  std::size_t compared = 0;
  for (const std::string name : kHybridNames) {
    for (const std::string config : {"config.json", "config_published_style.json"}) {
      if (!read_file(kHybrids + name + "/" + config)) continue;
      CAPTURE(name);
      CAPTURE(config);
      const HybridGolden golden = hybrid_golden(name, config);
      CHECK(golden.ids.size() == 37);
      CHECK(standard_deviation(golden.logits) > 0.2);
      CHECK(max_abs_difference(forward(golden.model, golden.ids), golden.logits) < kHybridBound);
      ++compared;
    }
  }
  CHECK(compared == 28);  // the original implementation has one spelling
}

TEST_CASE("hybrids: a prompt may be read in parts") {
  for (const std::string name : kHybridNames) {
    CAPTURE(name);
    const HybridGolden golden = hybrid_golden(name);
    const std::span<const Token> ids(golden.ids);
    HybridState single(golden.model);
    std::vector<double> one_by_one;
    for (const Token& id : ids) append(one_by_one, forward(golden.model, {&id, 1}, single));
    CHECK(max_abs_difference(one_by_one, golden.logits) < kHybridBound);
    for (const std::size_t cut : {1U, 2U, 3U, 17U, 36U}) {
      CAPTURE(cut);
      HybridState state(golden.model);
      std::vector<double> parts = forward(golden.model, ids.first(cut), state);
      append(parts, forward(golden.model, ids.subspan(cut), state));
      CHECK(max_abs_difference(parts, golden.logits) < kHybridBound);
    }
  }
}

TEST_CASE("hybrids: the residual stream after every layer") {
  std::size_t compared = 0;
  for (const std::string name : kHybridNames) {
    CAPTURE(name);
    const HybridGolden golden = hybrid_golden(name);
    std::vector<std::vector<double>> hidden;
    forward(golden.model, golden.ids, &hidden);
    REQUIRE(hidden.size() == golden.model.layers.size() + 1);
    if (golden.hidden.empty()) continue;
    std::vector<double> all;
    for (const std::vector<double>& layer : hidden) append(all, layer);
    CHECK(max_abs_difference(all, golden.hidden) < 1e-7 * max_abs(golden.hidden));  // floats
    ++compared;
  }
  CHECK(compared == 10);
}

/// Calls change(mixer) for each mixer of the kind.
template <class Kind, class Change>
void each(Hybrid& model, Change change) {
  for (std::vector<Branch>& layer : model.layers) {
    for (Branch& branch : layer) {
      if (auto* mixer = std::get_if<Kind>(&branch.mixer)) change(*mixer);
      auto* both = std::get_if<Parallel>(&branch.mixer);
      auto* after = std::get_if<MambaAfterBlock>(&branch.mixer);
      if constexpr (std::is_same_v<Kind, MambaMixer>) {
        if (both != nullptr) change(both->mamba);
        if (after != nullptr) change(after->mamba);
      } else if constexpr (std::is_same_v<Kind, Attention>) {
        if (both != nullptr) change(both->attention);
      }
    }
  }
}

/// What is in blocks that layers share.
template <class Kind, class Change>
void each_in_blocks(Hybrid& model, Change change) {
  for (SharedBlock& block : model.blocks) {
    if constexpr (std::is_same_v<Kind, Attention>) change(block.attention);
    if constexpr (std::is_same_v<Kind, Mlp>) change(block.mlp);
  }
}

/// Puts the rows in another order: row i becomes what row from[i] was. Nothing where there is none.
void reorder_rows(std::vector<double>& matrix, const std::vector<std::size_t>& from) {
  const std::vector<double> old = matrix;
  const std::size_t width = old.size() / from.size();
  for (std::size_t i = 0; i < old.size(); ++i) {
    matrix[i] = old[from[i / width] * width + i % width];
  }
}

void reorder_columns(std::vector<double>& matrix, const std::vector<std::size_t>& from) {
  const std::vector<double> old = matrix;
  for (std::size_t i = 0; i < old.size(); ++i) {
    matrix[i] = old[i / from.size() * from.size() + from[i % from.size()]];
  }
}

void reverse_taps(std::vector<double>& weight, std::size_t taps) {
  std::vector<std::size_t> from;
  for (std::size_t k = taps; k > 0; --k) from.push_back(k - 1);
  if (taps > 0) reorder_columns(weight, from);
}

/// Queries in such an order that head h reads the keys that were meant for head h % kv_heads.
void wrong_heads(Attention& a) {
  const std::size_t share = a.heads / a.kv_heads;
  std::vector<std::size_t> from;
  for (std::size_t h = 0; h < a.heads; ++h) {
    const std::size_t head = h % share * a.kv_heads + h / share;
    for (std::size_t i = 0; i < a.head_dim; ++i) from.push_back(head * a.head_dim + i);
  }
  reorder_rows(a.q, from);
  reorder_rows(a.q_bias, from);
  reorder_columns(a.o, from);
}

/// Queries and keys in such an order that RoPE turns the channels 2 i and 2 i + 1 together.
void interleaved_rope(Attention& a) {
  const std::size_t half = a.rope.width / 2;
  std::vector<std::size_t> q, k, qkv;
  for (std::size_t i = 0; i < a.qkv_dim(); ++i) {
    const std::size_t c = i % a.head_dim, head = i - c;
    const std::size_t from = c < half           ? head + 2 * c
                             : c < a.rope.width ? head + 2 * (c - half) + 1
                                                : i;
    if (i < a.q_dim()) q.push_back(from);
    if (i < a.kv_dim()) k.push_back(from);
    qkv.push_back(i < a.q_dim() + a.kv_dim() ? from : i);
  }
  reorder_rows(a.q, q);
  reorder_rows(a.q_bias, q);
  reorder_rows(a.k, k);
  reorder_rows(a.k_bias, k);
  reorder_rows(a.conv, qkv);
  reorder_rows(a.conv_bias, qkv);
  k.resize(a.qk_norm ? a.head_dim : 0);  // of a head
  if (a.qk_norm) reorder_rows(a.q_norm, k);
  if (a.qk_norm) reorder_rows(a.k_norm, k);
}

/// The first and the second of the three parts of in_proj's rows in each other's place.
void swap_gates(ShortConv& s) {
  const auto part = static_cast<std::ptrdiff_t>(s.in.size() / 3);
  std::swap_ranges(s.in.begin(), s.in.begin() + part, s.in.begin() + part);
}

template <class Change>
void each_use(Hybrid& model, Change change) {
  for (std::vector<Branch>& layer : model.layers) {
    for (Branch& branch : layer) {
      if (auto* after = std::get_if<MambaAfterBlock>(&branch.mixer)) change(after->use);
    }
  }
}

/// A mistake, and how far another implementation that makes it is from the golden logits of the
/// first kMistakenTokens tokens, in standard deviations of all golden logits.
struct Mistake {
  std::string what;
  std::function<void(Hybrid&)> make;
  struct Move {
    std::string golden;
    double expected;
  };
  std::vector<Move> moves;
};

template <class Kind, class Change>
std::function<void(Hybrid&)> in_each(Change change) {
  return [change](Hybrid& model) {
    each<Kind>(model, change);
    each_in_blocks<Kind>(model, change);
  };
}

std::vector<Mistake> mistakes() {
  const auto root = [](std::size_t n) { return std::sqrt(static_cast<double>(n)); };
  const auto scale_branches = [](Hybrid& model) {
    for (auto& layer : model.layers) {
      for (Branch& branch : layer) branch.scale = 1.0;
    }
  };
  const auto no_conv_bias = [](Hybrid& model) {
    each<MambaMixer>(model, [](MambaMixer& m) { m.weights.conv_bias.clear(); });
    each<Attention>(model, [](Attention& a) { a.conv_bias.clear(); });
  };
  const auto taps = [](Hybrid& model) {
    each<MambaMixer>(model,
                     [](MambaMixer& m) { reverse_taps(m.weights.conv_weight, m.config.d_conv); });
    each<Attention>(model, [](Attention& a) { reverse_taps(a.conv, a.d_conv); });
    each<ShortConv>(model, [](ShortConv& s) { reverse_taps(s.conv, s.d_conv); });
  };
  return {
      {"embedding_multiplier 1",
       [](Hybrid& m) { m.embedding_scale = 1.0; },
       {{"granite_dense", 2.09}, {"falcon_h1", 2.39}, {"falcon_h1_norm", 3.39}}},
      {"residual_multiplier 1", scale_branches, {{"granite_dense", 1.36}}},
      {"logits_scaling 1", [](Hybrid& m) { m.logits_scale = 1.0; }, {{"granite_dense", 14.8}}},
      {"attention scale 1/sqrt(head_dim)",
       in_each<Attention>([root](Attention& a) { a.scale = 1.0 / root(a.head_dim); }),
       {{"granite_dense", 0.0731}, {"granite_rope", 0.0870}, {"zamba2", 1.63}}},
      {"query head h reads key head h % KV",
       in_each<Attention>(wrong_heads),
       {{"granite_dense", 0.167},
        {"bamba", 1.86},
        {"nemotron_dense", 1.73},
        {"falcon_h1", 2.66},
        {"lfm2", 3.23}}},
      {"no RoPE",
       in_each<Attention>([](Attention& a) { a.rope.width = 0; }),
       {{"granite_rope", 0.0453},
        {"bamba", 0.775},
        {"falcon_h1", 1.01},
        {"lfm2", 0.986},
        {"zamba2", 3.08},
        {"mamba2attn", 1.13}}},
      {"RoPE of neighbours",
       in_each<Attention>(interleaved_rope),
       {{"granite_rope", 0.0458},
        {"bamba", 2.00},
        {"falcon_h1", 0.984},
        {"lfm2", 0.978},
        {"mamba2attn", 1.70}}},
      {"RoPE over the whole head",
       in_each<Attention>([](Attention& a) { a.rope.width = a.head_dim; }),
       {{"bamba", 1.49}}},
      {"no convolution over q, k, v",
       in_each<Attention>([](Attention& a) { a.d_conv = 0; }),
       {{"mamba2attn", 3.85}}},
      {"taps reversed",
       taps,
       {{"granite_dense", 0.329},
        {"bamba", 4.35},
        {"nemotron_dense", 4.03},
        {"falcon_h1", 0.163},
        {"falcon_h1_norm", 2.74},
        {"zamba2", 5.03},
        {"mamba2attn", 3.92}}},
      {"no QK norm",
       in_each<Attention>([](Attention& a) { a.qk_norm = false; }),
       {{"lfm2", 1.16}, {"lfm2_moe", 1.66}}},
      {"expert bias ignored",
       in_each<Moe>([](Moe& m) { m.router_bias.clear(); }),
       {{"lfm2_moe", 2.05}}},
      {"what experts count not divided by its sum",
       in_each<Moe>([](Moe& m) { m.normalized = false; }),
       {{"lfm2_moe", 2.38}}},
      {"b and c swapped", in_each<ShortConv>(swap_gates), {{"lfm2", 3.95}}},
      {"no bias of the convolutions",
       no_conv_bias,
       {{"granite_dense", 0.0659}, {"bamba", 1.68}, {"zamba2", 2.99}, {"mamba2attn", 2.88}}},
      {"no D",
       in_each<MambaMixer>([](MambaMixer& m) { m.weights.D.assign(m.weights.D.size(), 0.0); }),
       {{"granite_dense", 0.374},
        {"bamba", 4.36},
        {"nemotron_dense", 3.48},
        {"falcon_h1", 0.140},
        {"zamba2", 4.86},
        {"mamba2attn", 3.77}}},
      {"norm before gate",
       in_each<MambaMixer>([](MambaMixer& m) { m.config.norm_before_gate = true; }),
       {{"zamba2", 3.04}}},
      {"gelu by tanh",
       in_each<Mlp>([](Mlp& m) { m.kind = Mlp::Kind::tanh; }),
       {{"zamba2", 0.00179}}},
      {"no adapters of MLPs",
       [](Hybrid& m) { each_use(m, [](SharedUse& use) { use.gate_up = {}; }); },
       {{"zamba2", 2.30}}},
      {"no adapters of queries",
       [](Hybrid& m) { each_use(m, [](SharedUse& use) { use.q = {}; }); },
       {{"zamba2", 2.97}}},
      {"attention_in_multiplier 1",
       in_each<Attention>([](Attention& a) { a.in_scale = 1.0; }),
       {{"falcon_h1", 0.696}, {"falcon_h1_norm", 0.752}}},
      {"attention_out_multiplier 1",
       in_each<Attention>([](Attention& a) { a.out_scale = 1.0; }),
       {{"falcon_h1", 0.147}, {"falcon_h1_norm", 0.161}}},
      {"key_multiplier 1",
       in_each<Attention>([](Attention& a) { a.key_scale = 1.0; }),
       {{"falcon_h1", 1.19}, {"falcon_h1_norm", 1.39}}},
      {"ssm_in_multiplier 1",
       in_each<MambaMixer>([](MambaMixer& m) { m.in_scale = 1.0; }),
       {{"falcon_h1", 0.0596}, {"falcon_h1_norm", 0.276}}},
      {"ssm_out_multiplier 1",
       in_each<MambaMixer>([](MambaMixer& m) { m.out_scale = 1.0; }),
       {{"falcon_h1", 0.0373}, {"falcon_h1_norm", 0.483}}},
      {"ssm_multipliers[4] 1",
       in_each<MambaMixer>([](MambaMixer& m) {
         std::vector<double>& scale = m.weights.in_proj_scale;
         std::fill(scale.end() - static_cast<std::ptrdiff_t>(m.config.nheads()), scale.end(), 1.0);
       }),
       {{"falcon_h1", 0.00239}, {"falcon_h1_norm", 0.0410}}},
      {"mlp_multipliers[0] 1",
       in_each<Mlp>([](Mlp& m) { m.gate_scale = 1.0; }),
       {{"falcon_h1", 0.188}}},
      {"mlp_multipliers[1] 1",
       in_each<Mlp>([](Mlp& m) { m.out_scale = 1.0; }),
       {{"falcon_h1", 0.741}}},
      {"dt at least time_step_min",
       in_each<MambaMixer>([](MambaMixer& m) { m.config.dt_min = 0.001F; }),
       {{"nemotron_small_dt", 0.118}}},
      {"gate and up swapped",
       in_each<Mlp>([](Mlp& m) { std::swap(m.gate, m.up); }),
       {{"granite_dense", 0.320}, {"zamba2", 3.42}, {"mamba2attn_mlp", 3.39}}},
      {"gate and up of experts swapped",
       in_each<Moe>([](Moe& m) {
         std::swap(m.shared.gate, m.shared.up);
         for (Mlp& expert : m.experts) std::swap(expert.gate, expert.up);
       }),
       {{"granite_moe", 0.199}}},
      {"weights of experts not normalised",
       in_each<Moe>([](Moe& m) { m.normalized = false; }),
       {{"nemotron_moe", 2.52}, {"nemotron_latent", 1.35}}},
      {"routed_scaling_factor 1",
       in_each<Moe>([](Moe& m) { m.factor = 1.0; }),
       {{"nemotron_moe", 3.13}, {"nemotron_latent", 3.02}}},
      {"no correction bias",
       in_each<Moe>([](Moe& m) { m.router_bias.assign(m.router_bias.size(), 0.0); }),
       {{"nemotron_moe", 3.73}, {"nemotron_latent", 4.18}}},
  };
}

TEST_CASE("hybrids: mistakes move the logits, and as far as others' same mistakes do") {
  constexpr std::size_t kMistakenTokens = 20;
  for (const Mistake& mistake : mistakes()) {
    CAPTURE(mistake.what);
    for (const Mistake::Move& move : mistake.moves) {
      CAPTURE(move.golden);
      HybridGolden golden = hybrid_golden(move.golden);
      const double unit = standard_deviation(golden.logits);
      golden.ids.resize(kMistakenTokens);
      golden.logits.resize(kMistakenTokens * golden.model.vocab_size);
      mistake.make(golden.model);
      const std::vector<double> logits = forward(golden.model, golden.ids);
      const double moved = max_abs_difference(logits, golden.logits) / unit;
      CHECK(moved == doctest::Approx(move.expected).epsilon(0.005));  // it has three digits
    }
  }
}

}  // namespace
