// SPDX-License-Identifier: Apache-2.0
// Random hybrid models: what occurs in them, that all of it matters, and that their checkpoints say
// the same.
#include "tests/reference/random_hybrid.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "tests/reference/compare.hpp"

namespace {

using namespace reference;

constexpr Writer kWriters[] = {Writer::granite,     Writer::bamba, Writer::falcon,
                               Writer::nemotron,    Writer::lfm2,  Writer::zamba,
                               Writer::state_spaces};

/// Calls check(config, model) for every writer and seed.
template <class Check>
void each_random_hybrid(Check check) {
  for (const Writer writer : kWriters) {
    for (std::uint64_t seed = 0; seed < kHybridSeeds; ++seed) {
      const nlohmann::json config = random_hybrid_config(writer, seed);
      const std::string text = config.dump();
      CAPTURE(seed);
      CAPTURE(text);
      CHECK(writer_of(config) == writer);
      check(config, random_hybrid(config, seed));
    }
  }
}

std::vector<Token> some_tokens(const Hybrid& model) {
  return Random(3).tokens(19, model.vocab_size);
}

TEST_CASE("random hybrids: their checkpoints hold the same model, in F32 and in BF16") {
  each_random_hybrid([](const nlohmann::json& config, const Hybrid& model) {
    const std::vector<Token> tokens = some_tokens(model);
    const std::vector<double> logits = forward(model, tokens);
    for (const bool bf16 : {false, true}) {
      const reference::Checkpoint checkpoint = write_hybrid(config, model, bf16);
      const auto file = parse_safetensors(checkpoint.safetensors, "model.safetensors").value();
      for (const auto& [name, tensor] : file.tensors) {
        CHECK(tensor.dtype == (bf16 ? "BF16" : "F32"));
      }
      const auto read = read_hybrid(nlohmann::json::parse(checkpoint.config_json), file).value();
      CHECK(max_abs_difference(forward(read, tokens), logits) == 0.0);
    }
  });
}

TEST_CASE("random hybrids: neither vanish nor explode, and every branch matters") {
  each_random_hybrid([](const nlohmann::json&, Hybrid model) {
    const std::vector<Token> tokens = some_tokens(model);
    const std::vector<double> logits = forward(model, tokens);
    const double unit = standard_deviation(logits);
    CHECK(unit > 0.1);
    CHECK(max_abs(logits) < 50.0);
    for (std::vector<Branch>& layer : model.layers) {
      for (Branch& branch : layer) {
        const double scale = branch.scale;
        branch.scale = 0.0;
        CHECK(max_abs_difference(forward(model, tokens), logits) > 0.05 * unit);
        branch.scale = scale;
        auto* after = std::get_if<MambaAfterBlock>(&branch.mixer);
        if (after == nullptr) continue;
        for (std::vector<double>* part :
             {&after->use.linear, &after->use.gate_up.A, &after->use.q.A, &after->use.v.A}) {
          const std::vector<double> values = *part;
          std::fill(part->begin(), part->end(), 0.0);
          if (!values.empty()) {
            CHECK(max_abs_difference(forward(model, tokens), logits) > 0.001 * unit);
          }
          *part = values;
        }
      }
    }
  });
}

TEST_CASE("random hybrids: a sequence may be cut anywhere") {
  each_random_hybrid([](const nlohmann::json&, const Hybrid& model) {
    const std::vector<Token> tokens = some_tokens(model);
    const std::vector<double> logits = forward(model, tokens);
    for (std::size_t cut = 1; cut < tokens.size(); cut += 3) {
      HybridState state(model);
      std::vector<double> parts = forward(model, std::span(tokens).first(cut), state);
      const auto rest = forward(model, std::span(tokens).subspan(cut), state);
      parts.insert(parts.end(), rest.begin(), rest.end());
      CHECK(max_abs_difference(parts, logits) < 1e-12);
    }
  });
}

bool has_experts(const Hybrid& model) {
  for (const std::vector<Branch>& layer : model.layers) {
    if (std::holds_alternative<Moe>(layer.back().mixer)) return true;
  }
  return false;
}

TEST_CASE("random hybrids: all that may differ occurs, and its opposite") {
  std::map<std::string, int> seen[2];
  each_random_hybrid([&seen](const nlohmann::json& config, const Hybrid& model) {
    const Writer writer = writer_of(config);
    const std::string who = writer == Writer::granite    ? "granite "
                            : writer == Writer::bamba    ? "bamba "
                            : writer == Writer::falcon   ? "falcon "
                            : writer == Writer::nemotron ? "nemotron "
                            : writer == Writer::lfm2     ? "lfm2 "
                            : writer == Writer::zamba    ? "zamba "
                                                         : "state-spaces ";
    const bool may_turn = writer == Writer::granite || writer == Writer::state_spaces;
    const auto note = [&](const char* what, bool is) { ++seen[is ? 1 : 0][who + what]; };
    note("tied", model.tie_embeddings);
    if (writer == Writer::zamba) {
      const auto* first = std::get_if<MambaAfterBlock>(&model.layers[0][0].mixer);
      std::size_t uses = 0;
      for (const std::vector<Branch>& layer : model.layers) {
        uses += std::holds_alternative<MambaAfterBlock>(layer[0].mixer) ? 1U : 0U;
      }
      note("first layer reads a block", first != nullptr);
      note("shared", model.blocks.size() < uses);
      note("one block", model.blocks.size() == 1);
      note("adapters of attention", config["use_shared_attention_adapter"].get<bool>());
      note("RoPE", model.blocks[0].attention.rope.width > 0);
      note("one key head",
           model.blocks[0].attention.kv_heads == 1 && model.blocks[0].attention.heads > 1);
    }
    if (writer != Writer::falcon && writer != Writer::zamba) {
      note("first layer is attention", std::holds_alternative<Attention>(model.layers[0][0].mixer));
    }
    if (writer == Writer::nemotron) note("newer", config.contains("layers_block_type"));
    if (writer == Writer::lfm2) {
      note("width as stated", !config["block_auto_adjust_ff_dim"].get<bool>());
      note("width not rounded", config["block_ffn_dim_multiplier"].is_null());
    }
    if (writer != Writer::nemotron && writer != Writer::state_spaces) {
      note("newer", config.contains("rope_parameters"));
    }
    if (writer == Writer::state_spaces) note("MLP", model.layers[0].size() == 2);
    if (writer == Writer::granite || writer == Writer::nemotron || writer == Writer::lfm2) {
      note("experts", has_experts(model));
    }
    for (const std::vector<Branch>& layer : model.layers) {
      for (const Branch& branch : layer) {
        const auto* both = std::get_if<Parallel>(&branch.mixer);
        const auto* after = std::get_if<MambaAfterBlock>(&branch.mixer);
        const auto* m = both != nullptr    ? &both->mamba
                        : after != nullptr ? &after->mamba
                                           : std::get_if<MambaMixer>(&branch.mixer);
        const auto* a = both != nullptr ? &both->attention : std::get_if<Attention>(&branch.mixer);
        const auto* mlp = std::get_if<Mlp>(&branch.mixer);
        if (m != nullptr) {
          REQUIRE(m->config.validate());
          note("groups", m->config.ngroups > 1);
          note("a group a head", m->config.ngroups == m->config.nheads());
          note("Mamba-2's bias", m->config.bias);
          if (writer != Writer::zamba) note("convolution's bias", m->config.conv_bias);
          if (writer != Writer::zamba) note("dt_limit", m->config.dt_min > 0.0F);
          if (writer == Writer::falcon) note("gated norm", m->config.rmsnorm);
          if (writer == Writer::falcon) note("norm first", m->config.norm_before_gate);
        }
        if (a != nullptr) {
          note("one key head", a->kv_heads == 1);
          note("a key head a head", a->kv_heads == a->heads);
          CHECK(a->qk_norm == (writer == Writer::lfm2));
          if (writer == Writer::lfm2) continue;
          if (writer != Writer::nemotron) note("biases of q, k, v", a->qkv_has_bias);
          if (writer != Writer::nemotron) note("bias of o", a->o_has_bias);
          if (writer != Writer::bamba && writer != Writer::falcon)
            note("odd heads", a->head_dim % 2 == 1);
          if (may_turn) note("RoPE", a->rope.width > 0);
          if (writer == Writer::state_spaces) {
            note("whole head turns", a->rope.width == a->head_dim);
            note("convolution", a->d_conv > 0);
          }
        }
        if (const auto* e = std::get_if<Moe>(&branch.mixer)) {
          if (writer == Writer::granite) note("shared expert", e->shared.width > 0);
          if (writer == Writer::nemotron) {
            note("latent space", e->latent > 0);
            note("groups of experts", e->groups > 1);
            note("normalized", e->normalized);
            note("factor", e->factor != 1.0);
          }
          if (writer == Writer::lfm2) {
            note("bias of the router", !e->router_bias.empty());
            note("divided by the sum", e->normalized);
            note("factor", e->factor != 1.0);
          }
          note("one expert", e->chosen == 1);
        }
        if (const auto* s = std::get_if<ShortConv>(&branch.mixer)) {
          note("one tap", s->d_conv == 1);
          note("three taps", s->d_conv == 3);
          note("the convolution's bias", s->has_bias);
        }
        if (mlp != nullptr && writer != Writer::granite && writer != Writer::lfm2 &&
            writer != Writer::state_spaces) {
          note("MLP's bias", mlp->has_bias);
        }
      }
    }
  });
  for (const bool is : {false, true}) {
    for (const auto& entry : seen[is ? 1 : 0]) {
      CAPTURE(entry.first);
      CHECK(seen[is ? 0 : 1].contains(entry.first));
    }
  }
}

TEST_CASE("random hybrids: the same everywhere") {
  const nlohmann::json config = random_hybrid_config(Writer::granite, 0);
  CHECK(config["vocab_size"] == 42);
  CHECK(config["layer_types"].dump() == R"(["attention","attention","mamba","mamba"])");
  const Hybrid model = random_hybrid(config, 7);
  CHECK(model.embedding[0] == -0.19921875);
  CHECK(model.norm_f.back() == 1.09375);
}

}  // namespace
