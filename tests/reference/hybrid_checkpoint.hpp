// SPDX-License-Identifier: Apache-2.0
// Between the oracle of hybrid models and checkpoints: the names of the tensors, reading, writing.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "tests/reference/checkpoint.hpp"
#include "tests/reference/hybrid_config.hpp"
#include "tests/reference/hybrid_reference.hpp"
#include "tests/reference/safetensors_lite.hpp"

namespace reference {

/// A tensor of a file: one array of the model, or several whose rows are stacked.
struct Stored {
  struct Part {
    std::vector<double>* values;
    std::size_t rows;
  };

  std::string name;
  std::vector<Part> parts;
  Shape row;                ///< the shape without its first dimension
  std::size_t stacked = 0;  ///< matrices one after the other: (stacked, rows of one, ...)

  [[nodiscard]] std::size_t row_size() const { return Tensor{"", row, ""}.size(); }
  [[nodiscard]] Shape shape() const {
    Shape all = {0};
    for (const Part& part : parts) all[0] += part.rows;
    if (stacked > 0) all = {stacked, all[0] / stacked};
    all.insert(all.end(), row.begin(), row.end());
    return all;
  }
};

namespace detail {

/// The names of one writer, in the order of the network. Each add() lists what a mixer consists of.
class StoredList {
 public:
  explicit StoredList(Writer writer) : writer_(writer) {}

  void add(const std::string& layer, MambaMixer& m) {
    const bool original = writer_ == Writer::state_spaces || writer_ == Writer::nemotron;
    const std::string prefix = layer + (original ? "mixer." : "mamba.");
    for_each_mixer_tensor(
        m.config, m.weights,
        [&](const std::string& name, std::vector<double>& values, const Shape& shape) {
          list.push_back(
              {prefix + name, {{&values, shape[0]}}, {shape.begin() + 1, shape.end()}, 0});
        });
  }

  /// The block and adapters of others are add_block()'s.
  void add(const std::string& layer, MambaAfterBlock& after) {
    linear(layer + "linear", {{&after.use.linear, after.mamba.config.d_model}},
           after.mamba.config.d_model);
    add(layer + "mamba_decoder.", after.mamba);
  }

  /// A block in the first layer that reads it, with the adapters of all that do, whose numbers are
  /// those of layers with blocks: (number, use).
  void add_block(const std::string& layer, SharedBlock& block, std::size_t d_model,
                 const std::vector<std::pair<std::size_t, SharedUse*>>& uses) {
    const std::string prefix = layer + "shared_transformer.";
    vector(prefix + "input_layernorm.weight", {{&block.norm, 2 * d_model}});
    vector(prefix + "pre_ff_layernorm.weight", {{&block.mlp_norm, d_model}});
    const std::string self_attn = prefix + "self_attn.", feed_forward = prefix + "feed_forward.";
    Attention& a = block.attention;
    Mlp& m = block.mlp;
    linear(self_attn + "q_proj", {{&a.q, a.q_dim()}}, a.d_model);
    linear(self_attn + "k_proj", {{&a.k, a.kv_dim()}}, a.d_model);
    linear(self_attn + "v_proj", {{&a.v, a.kv_dim()}}, a.d_model);
    linear(self_attn + "o_proj", {{&a.o, d_model}}, a.q_dim());
    linear(feed_forward + "gate_up_proj", {{&m.gate, m.width}, {&m.up, m.width}}, d_model);
    linear(feed_forward + "down_proj", {{&m.down, d_model}}, m.width);
    if (m.has_bias) {
      vector(feed_forward + "gate_up_proj.bias", {{&m.gate_bias, m.width}, {&m.up_bias, m.width}});
      vector(feed_forward + "down_proj.bias", {{&m.down_bias, d_model}});
    }
    for (const auto& [number, use] : uses) {
      const auto adapter = [&, j = std::to_string(number), rank = use->rank](
                               const std::string& name, Adapter& x, std::size_t in,
                               std::size_t out) {
        linear(name + "_adapter_list." + j + ".0", {{&x.A, rank}}, in);
        linear(name + "_adapter_list." + j + ".1", {{&x.B, out}}, rank);
      };
      adapter(feed_forward + "gate_up_proj", use->gate_up, d_model, 2 * m.width);
      if (!use->adapts_attention) continue;
      adapter(self_attn + "linear_q", use->q, a.d_model, a.q_dim());
      adapter(self_attn + "linear_k", use->k, a.d_model, a.kv_dim());
      adapter(self_attn + "linear_v", use->v, a.d_model, a.kv_dim());
    }
  }

  void add(const std::string& layer, Attention& a) {
    const std::size_t q = a.q_dim(), kv = a.kv_dim();
    if (writer_ == Writer::state_spaces) {
      const std::string prefix = layer + "mixer.";
      linear(prefix + "in_proj", {{&a.q, q}, {&a.k, kv}, {&a.v, kv}}, a.d_model);
      if (a.qkv_has_bias) {
        vector(prefix + "in_proj.bias", {{&a.q_bias, q}, {&a.k_bias, kv}, {&a.v_bias, kv}});
      }
      if (a.d_conv > 0) {
        list.push_back({prefix + "conv1d.weight", {{&a.conv, a.qkv_dim()}}, {1, a.d_conv}, 0});
        vector(prefix + "conv1d.bias", {{&a.conv_bias, a.qkv_dim()}});
      }
      linear(prefix + "out_proj", {{&a.o, a.d_model}}, q);
      if (a.o_has_bias) vector(prefix + "out_proj.bias", {{&a.o_bias, a.d_model}});
      return;
    }
    const std::string prefix = layer + (writer_ == Writer::nemotron ? "mixer." : "self_attn.");
    linear(prefix + "q_proj", {{&a.q, q}}, a.d_model);
    linear(prefix + "k_proj", {{&a.k, kv}}, a.d_model);
    linear(prefix + "v_proj", {{&a.v, kv}}, a.d_model);
    linear(prefix + (writer_ == Writer::lfm2 ? "out_proj" : "o_proj"), {{&a.o, a.d_model}}, q);
    if (a.qk_norm) {
      vector(prefix + "q_layernorm.weight", {{&a.q_norm, a.head_dim}});
      vector(prefix + "k_layernorm.weight", {{&a.k_norm, a.head_dim}});
    }
    if (a.qkv_has_bias) {
      vector(prefix + "q_proj.bias", {{&a.q_bias, q}});
      vector(prefix + "k_proj.bias", {{&a.k_bias, kv}});
      vector(prefix + "v_proj.bias", {{&a.v_bias, kv}});
    }
    if (a.o_has_bias) vector(prefix + "o_proj.bias", {{&a.o_bias, a.d_model}});
  }

  void add(const std::string& layer, ShortConv& s) {
    const std::string prefix = layer + "conv.";
    linear(prefix + "in_proj", {{&s.in, 3 * s.d_model}}, s.d_model);
    list.push_back({prefix + "conv.weight", {{&s.conv, s.d_model}}, {1, s.d_conv}, 0});
    linear(prefix + "out_proj", {{&s.out, s.d_model}}, s.d_model);
    if (s.has_bias) {
      vector(prefix + "in_proj.bias", {{&s.in_bias, 3 * s.d_model}});
      vector(prefix + "conv.bias", {{&s.conv_bias, s.d_model}});
      vector(prefix + "out_proj.bias", {{&s.out_bias, s.d_model}});
    }
  }

  void add(const std::string& layer, Parallel& both) {
    add(layer, both.mamba);
    add(layer, both.attention);
  }

  void add(const std::string& layer, Mlp& m) {
    switch (writer_) {
      case Writer::granite:  // the gate first
        linear(layer + "shared_mlp.input_linear", {{&m.gate, m.width}, {&m.up, m.width}},
               m.d_model);
        linear(layer + "shared_mlp.output_linear", {{&m.down, m.d_model}}, m.width);
        break;
      case Writer::state_spaces:  // the gate last
        linear(layer + "mlp.fc1", {{&m.up, m.width}, {&m.gate, m.width}}, m.d_model);
        linear(layer + "mlp.fc2", {{&m.down, m.d_model}}, m.width);
        break;
      case Writer::lfm2:
        linear(layer + "feed_forward.w1", {{&m.gate, m.width}}, m.d_model);
        linear(layer + "feed_forward.w3", {{&m.up, m.width}}, m.d_model);
        linear(layer + "feed_forward.w2", {{&m.down, m.d_model}}, m.width);
        break;
      case Writer::nemotron:  // no gate
        linear(layer + "mixer.up_proj", {{&m.up, m.width}}, m.d_model);
        linear(layer + "mixer.down_proj", {{&m.down, m.d_model}}, m.width);
        if (m.has_bias) {
          vector(layer + "mixer.up_proj.bias", {{&m.up_bias, m.width}});
          vector(layer + "mixer.down_proj.bias", {{&m.down_bias, m.d_model}});
        }
        break;
      case Writer::zamba:  // in blocks alone
        break;
      case Writer::bamba:
      case Writer::falcon:
        const std::string prefix = layer + "feed_forward.";
        linear(prefix + "gate_proj", {{&m.gate, m.width}}, m.d_model);
        linear(prefix + "up_proj", {{&m.up, m.width}}, m.d_model);
        linear(prefix + "down_proj", {{&m.down, m.d_model}}, m.width);
        if (m.has_bias) {
          vector(prefix + "gate_proj.bias", {{&m.gate_bias, m.width}});
          vector(prefix + "up_proj.bias", {{&m.up_bias, m.width}});
          vector(prefix + "down_proj.bias", {{&m.down_bias, m.d_model}});
        }
        break;
    }
  }

  /// The shared expert has the names of an MLP.
  void add(const std::string& layer, Moe& m) {
    if (writer_ == Writer::lfm2) return add_lfm2(layer + "feed_forward.", m);
    if (writer_ == Writer::nemotron) return add_nemotron(layer + "mixer.", m);
    const std::string prefix = layer + "block_sparse_moe.";
    const std::size_t count = m.experts.size();
    linear(prefix + "router.layer", {{&m.router, count}}, m.d_model);
    std::vector<Stored::Part> in, out;
    for (Mlp& expert : m.experts) {  // the gate first
      in.push_back({&expert.gate, expert.width});
      in.push_back({&expert.up, expert.width});
      out.push_back({&expert.down, expert.d_model});
    }
    list.push_back({prefix + "input_linear.weight", in, {m.d_model}, count});
    list.push_back({prefix + "output_linear.weight", out, {m.experts[0].width}, count});
    if (m.shared.width > 0) add(layer, m.shared);
  }

  void add_lfm2(const std::string& prefix, Moe& m) {
    linear(prefix + "gate", {{&m.router, m.experts.size()}}, m.d_model);
    if (m.has_bias) {
      vector(prefix + "expert_bias", {{&m.router_bias, m.experts.size()}});
    }
    for (std::size_t e = 0; e < m.experts.size(); ++e) {
      const std::string expert = prefix + "experts." + std::to_string(e);
      Mlp& x = m.experts[e];
      linear(expert + ".w1", {{&x.gate, x.width}}, m.d_model);
      linear(expert + ".w3", {{&x.up, x.width}}, m.d_model);
      linear(expert + ".w2", {{&x.down, m.d_model}}, x.width);
    }
  }

  /// A matrix, or several stacked, of rows with `in` columns.
  void linear(const std::string& name, std::vector<Stored::Part> parts, std::size_t in) {
    list.push_back({name + ".weight", std::move(parts), {in}, 0});
  }
  void vector(const std::string& name, std::vector<Stored::Part> parts) {
    list.push_back({name, std::move(parts), {}, 0});
  }

  std::vector<Stored> list;

 private:
  void add_nemotron(const std::string& prefix, Moe& m) {
    linear(prefix + "gate", {{&m.router, m.experts.size()}}, m.d_model);
    vector(prefix + "gate.e_score_correction_bias", {{&m.router_bias, m.experts.size()}});
    if (m.latent > 0) {
      linear(prefix + "fc1_latent_proj", {{&m.latent_in, m.latent}}, m.d_model);
      linear(prefix + "fc2_latent_proj", {{&m.latent_out, m.d_model}}, m.latent);
    }
    const auto mlp = [&](const std::string& name, Mlp& e) {
      linear(name + ".up_proj", {{&e.up, e.width}}, e.d_model);
      linear(name + ".down_proj", {{&e.down, e.d_model}}, e.width);
    };
    for (std::size_t e = 0; e < m.experts.size(); ++e) {
      mlp(prefix + "experts." + std::to_string(e), m.experts[e]);
    }
    mlp(prefix + "shared_experts", m.shared);
  }

  Writer writer_;
};

/// Who reads the number'th block: the numbers of layers among those with blocks.
inline std::vector<std::pair<std::size_t, SharedUse*>> uses_of(Hybrid& model, std::size_t number) {
  std::vector<std::pair<std::size_t, SharedUse*>> uses;
  std::size_t next = 0;
  for (std::vector<Branch>& layer : model.layers) {
    for (Branch& branch : layer) {
      auto* after = std::get_if<MambaAfterBlock>(&branch.mixer);
      if (after == nullptr) continue;
      if (after->use.block == number) uses.emplace_back(next, &after->use);
      ++next;
    }
  }
  return uses;
}

}  // namespace detail

/// Every tensor of the model under the name and in the shape that this writer gives it.
inline std::vector<Stored> stored_tensors(Writer writer, Hybrid& model) {
  struct Names {
    std::string root, embedding;
    std::string norms[2];
    std::string norm_f;
  };
  const auto names = [&]() -> Names {
    switch (writer) {
      case Writer::granite:
        return {"model.", "embed_tokens", {"input_layernorm", "post_attention_layernorm"}, "norm"};
      case Writer::bamba:
      case Writer::falcon:
        return {
            "model.", "embed_tokens", {"input_layernorm", "pre_ff_layernorm"}, "final_layernorm"};
      case Writer::lfm2:
        return {"model.", "embed_tokens", {"operator_norm", "ffn_norm"}, "embedding_norm"};
      case Writer::nemotron:
        return {"backbone.", "embeddings", {"norm", ""}, "norm_f"};
      case Writer::zamba:
        return {"model.", "embed_tokens", {"input_layernorm", ""}, "final_layernorm"};
      case Writer::state_spaces:
        break;
    }
    return {"backbone.", "embedding", {"norm", "norm2"}, "norm_f"};
  }();
  const std::size_t d_model = model.d_model, vocab_size = model.vocab_size;
  detail::StoredList tensors(writer);
  std::vector<std::size_t> uses;  // layers with blocks
  tensors.linear(names.root + names.embedding, {{&model.embedding, vocab_size}}, d_model);
  for (std::size_t l = 0; l < model.layers.size(); ++l) {
    const std::string layer = names.root + "layers." + std::to_string(l) + ".";
    for (std::size_t b = 0; b < model.layers[l].size(); ++b) {
      Branch& branch = model.layers[l][b];
      auto* after = std::get_if<MambaAfterBlock>(&branch.mixer);
      if (after != nullptr && uses.size() < model.blocks.size()) {
        tensors.add_block(layer, model.blocks[uses.size()], d_model,
                          detail::uses_of(model, uses.size()));
      }
      if (after != nullptr) uses.push_back(l);
      tensors.vector(
          layer + (after != nullptr ? "mamba_decoder." : "") + names.norms[b] + ".weight",
          {{&branch.norm, d_model}});
      std::visit([&](auto& mixer) { tensors.add(layer, mixer); }, branch.mixer);
    }
  }
  tensors.vector(names.root + names.norm_f + ".weight", {{&model.norm_f, d_model}});
  if (!model.tie_embeddings) tensors.linear("lm_head", {{&model.lm_head, vocab_size}}, d_model);
  return tensors.list;
}

/// The tensors of the file as a model of this config.json. Every tensor must be used.
inline Result<Hybrid> read_hybrid(const nlohmann::json& config, const Safetensors& file) {
  Hybrid model = read_hybrid_config(config);
  const std::vector<Stored> tensors = stored_tensors(writer_of(config), model);
  for (const Stored& stored : tensors) {
    std::vector<double> values;
    const Result<void> taken = take_tensor(file, stored.name, stored.shape(), values);
    if (!taken) return taken.error();
    auto next = values.cbegin();
    for (const Stored::Part& part : stored.parts) {
      const auto end = next + static_cast<std::ptrdiff_t>(part.rows * stored.row_size());
      part.values->assign(next, end);
      next = end;
    }
  }
  if (tensors.size() != file.tensors.size()) {
    return Error{ErrorCode::mismatch, "tensors that the config does not explain"};
  }
  return model;
}

/// A BF16 tensor of values that are exact in BF16.
inline Tensor bf16_tensor(std::vector<std::size_t> shape, const std::vector<double>& values) {
  Tensor tensor{"BF16", std::move(shape), {}};
  for (const double value : values) {
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(static_cast<float>(value)) >> 16;
    tensor.bytes += static_cast<char>(bits & 255U);
    tensor.bytes += static_cast<char>(bits >> 8);
  }
  return tensor;
}

/// The model as a checkpoint of this config.json, all tensors F32, or all BF16.
inline Checkpoint write_hybrid(const nlohmann::json& config, Hybrid model, bool bf16 = false) {
  Safetensors file;
  file.metadata["format"] = "pt";
  for (const Stored& stored : stored_tensors(writer_of(config), model)) {
    std::vector<double> values;
    for (const Stored::Part& part : stored.parts) {
      values.insert(values.end(), part.values->begin(), part.values->end());
    }
    file.tensors[stored.name] =
        bf16 ? bf16_tensor(stored.shape(), values) : f32_tensor(stored.shape(), values);
  }
  return {config.dump(2), write_safetensors(file)};
}

}  // namespace reference
