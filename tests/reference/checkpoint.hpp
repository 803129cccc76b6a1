// SPDX-License-Identifier: Apache-2.0
// Between the oracle's weights and checkpoints: writing the original dialect, reading Hugging
// Face's.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "mamba2/layers/config.hpp"
#include "tests/reference/mamba2_reference.hpp"
#include "tests/reference/safetensors_lite.hpp"

namespace reference {

using Shape = std::vector<std::size_t>;

/// Calls visit(name, values, shape) for each tensor that the mixer of this config has, under the
/// name that it has inside the original module. `Block` is BlockWeights, const or not.
template <class Block, class Visit>
void for_each_mixer_tensor(const Config& c, Block& b, Visit&& visit) {
  visit("in_proj.weight", b.in_proj, Shape{c.d_in_proj(), c.d_model});
  if (c.bias) visit("in_proj.bias", b.in_proj_bias, Shape{c.d_in_proj()});
  visit("conv1d.weight", b.conv_weight, Shape{c.conv_dim(), 1, c.d_conv});
  if (c.conv_bias) visit("conv1d.bias", b.conv_bias, Shape{c.conv_dim()});
  visit("dt_bias", b.dt_bias, Shape{c.nheads()});
  visit("A_log", b.A_log, Shape{c.nheads()});
  visit("D", b.D, Shape{c.D_has_hdim ? c.d_ssm : c.nheads()});
  if (c.rmsnorm) visit("norm.weight", b.gated_norm, Shape{c.d_ssm});
  visit("out_proj.weight", b.out_proj, Shape{c.d_model, c.d_inner});
  if (c.bias) visit("out_proj.bias", b.out_proj_bias, Shape{c.d_model});
}

/// The same for a whole model, in the order of the network; `weights.blocks` has its size already.
template <class Model, class Visit>
void for_each_tensor(const Config& c, Model& weights, const std::string& embedding_name,
                     Visit&& visit) {
  visit(embedding_name, weights.embedding, Shape{c.vocab_size, c.d_model});
  for (std::size_t i = 0; i < c.n_layer; ++i) {
    const std::string layer = "backbone.layers." + std::to_string(i) + ".";
    visit(layer + "norm.weight", weights.blocks[i].norm, Shape{c.d_model});
    for_each_mixer_tensor(c, weights.blocks[i],
                          [&](const std::string& name, auto& values, const Shape& shape) {
                            visit(layer + "mixer." + name, values, shape);
                          });
  }
  visit("backbone.norm_f.weight", weights.norm_f, Shape{c.d_model});
  if (!c.tie_embeddings) visit("lm_head.weight", weights.lm_head, Shape{c.vocab_size, c.d_model});
}

/// Takes values out of `file` as the tensor `name` of this shape.
inline Result<void> take_tensor(const Safetensors& file, const std::string& name,
                                const Shape& shape, std::vector<double>& values) {
  const auto found = file.tensors.find(name);
  if (found == file.tensors.end()) return Error{ErrorCode::mismatch, name + " is missing"};
  if (found->second.shape != shape) return Error{ErrorCode::mismatch, name + " has another shape"};
  values = to_double(found->second);
  return {};
}

/// A checkpoint in memory.
struct Checkpoint {
  std::string config_json;
  std::string safetensors;
};

/// The model as a checkpoint of the original implementation, all tensors F32. That dialect can say
/// everything that Config can, but norm_eps (always 1e-5) and eos_token_ids (none).
inline Checkpoint to_checkpoint(const Config& config, const Weights& weights) {
  nlohmann::json ssm = {{"layer", "Mamba2"},         {"d_state", config.d_state},
                        {"d_conv", config.d_conv},   {"headdim", config.headdim},
                        {"ngroups", config.ngroups}, {"D_has_hdim", config.D_has_hdim},
                        {"rmsnorm", config.rmsnorm}, {"norm_before_gate", config.norm_before_gate},
                        {"bias", config.bias},       {"conv_bias", config.conv_bias}};
  if (config.d_inner % config.d_model == 0) {
    ssm["expand"] = config.d_inner / config.d_model;
  } else {
    ssm["expand"] = static_cast<double>(config.d_inner) / static_cast<double>(config.d_model);
  }
  if (config.d_ssm != config.d_inner) ssm["d_ssm"] = config.d_ssm;
  // JSON has no infinity: an upper bound above every step says the same.
  constexpr float kLargest = std::numeric_limits<float>::max();
  if (config.dt_min > 0.0F || config.dt_max < std::numeric_limits<float>::infinity()) {
    ssm["dt_limit"] = {config.dt_min, std::min(config.dt_max, kLargest)};
  }
  const nlohmann::json json = {{"d_model", config.d_model},
                               {"d_intermediate", 0},
                               {"n_layer", config.n_layer},
                               {"vocab_size", config.vocab_size},
                               {"ssm_cfg", ssm},
                               {"attn_layer_idx", nlohmann::json::array()},
                               {"attn_cfg", nlohmann::json::object()},
                               {"rms_norm", true},
                               {"residual_in_fp32", true},
                               {"fused_add_norm", true},
                               {"pad_vocab_size_multiple", 1},
                               {"tie_embeddings", config.tie_embeddings}};
  Safetensors file;
  file.metadata["format"] = "pt";
  for_each_tensor(config, weights, "backbone.embedding.weight",
                  [&](const std::string& name, const std::vector<double>& values,
                      const Shape& shape) { file.tensors[name] = f32_tensor(shape, values); });
  return {json.dump(2), write_safetensors(file)};
}

/// A model with its hyper-parameters.
struct Model {
  Config config;
  Weights weights;
  bool norms_all_groups = false;  ///< the transformers that wrote it does, by mistake
};

/// Whether the transformers that wrote a config.json takes one gated norm over all groups, as it
/// did before 5.23.
inline bool norms_all_groups(const nlohmann::json& json) {
  const std::string version = json.value("transformers_version", "");
  std::pair<int, int> numbers;
  std::sscanf(version.c_str(), "%d.%d", &numbers.first, &numbers.second);
  return numbers < std::pair(5, 23);
}

/// The hyper-parameters in the config.json of a Hugging Face checkpoint.
inline Config huggingface_config(const nlohmann::json& json) {
  const auto size = [&json](const char* key) { return json[key].get<std::size_t>(); };
  // Newer writers spell an infinite bound {"__float__": "Infinity"}.
  const auto bound = [](const nlohmann::json& value) {
    return value.is_number() ? value.get<float>() : std::numeric_limits<float>::infinity();
  };
  Config config;
  config.d_model = size("hidden_size");
  config.n_layer = size("num_hidden_layers");
  config.vocab_size = size("vocab_size");
  config.d_inner = config.d_ssm = size("num_heads") * size("head_dim");
  config.headdim = size("head_dim");
  config.d_state = size("state_size");
  config.ngroups = size("n_groups");
  config.d_conv = size("conv_kernel");
  config.norm_eps = json["layer_norm_epsilon"].get<float>();
  config.dt_min = bound(json["time_step_limit"][0]);
  config.dt_max = bound(json["time_step_limit"][1]);
  config.bias = json["use_bias"].get<bool>();
  config.conv_bias = json["use_conv_bias"].get<bool>();
  config.tie_embeddings = json.value("tie_word_embeddings", false);
  return config;
}

/// Reads the model in a directory of a Hugging Face checkpoint: one model.safetensors, or shards
/// with their index. Every tensor must be used.
inline Result<Model> load_huggingface(const std::string& directory) {
  const Result<std::string> text = read_file(directory + "/config.json");
  if (!text) return text.error();
  const auto json = nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return Error{ErrorCode::malformed, directory + "/config.json"};

  std::set<std::string> shards = {"model.safetensors"};
  if (const auto index = read_file(directory + "/model.safetensors.index.json")) {
    shards.clear();
    const auto map = nlohmann::json::parse(*index, nullptr, /*allow_exceptions=*/false);
    for (const auto& entry : map["weight_map"].items()) {
      shards.insert(entry.value().get<std::string>());
    }
  }
  Safetensors all;
  for (const std::string& shard : shards) {
    Result<Safetensors> file = load_safetensors(directory + "/" + shard);
    if (!file) return file.error();
    all.tensors.merge(file->tensors);
  }

  Model model{huggingface_config(json), {}, norms_all_groups(json)};
  model.weights.blocks.resize(model.config.n_layer);
  Result<void> outcome;
  std::size_t used = 0;
  for_each_tensor(model.config, model.weights, "backbone.embeddings.weight",
                  [&](const std::string& name, std::vector<double>& values, const Shape& shape) {
                    if (outcome) outcome = take_tensor(all, name, shape, values);
                    ++used;
                  });
  if (!outcome) return outcome.error();
  if (used != all.tensors.size()) {
    return Error{ErrorCode::mismatch, directory + ": tensors that the config does not explain"};
  }
  return model;
}

}  // namespace reference
