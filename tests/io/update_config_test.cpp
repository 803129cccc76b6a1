// SPDX-License-Identifier: Apache-2.0
// Members of a JSON object are set as in an nlohmann::ordered_json of its text.
#include "mamba2/io/update_config.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "mamba2/io/config_json.hpp"
#include "tests/reference/safetensors_lite.hpp"

using Ordered = nlohmann::ordered_json;

namespace {

std::string config_text(const std::string& path) {
  return reference::read_file(MAMBA2_SOURCE_DIR "/" + path).value();
}

/// A config with as many kinds of values as there are, and `last` at its end.
std::string config_with(const std::string& last) {
  return R"({"model_type": "mamba2", "zeta": {"b": [1, {"eos_token_id": 7, "tie_word_embeddings": 0}],
    "a": {}, "quantization_config": null}, "hidden_size": 64, "num_heads": 4, "head_dim": 32,
    "state_size": 16, "n_groups": 1, "vocab_size": 50, "num_hidden_layers": 2, "\u00e4\n": "\ud83d\ude00",
    "layer_norm_epsilon": 1e-05, "initializer_range": 0.1, "big": 18446744073709551615,
    "huge": 1e22, "small": -12, "one": 1.0, "alpha": [[], [[]], [true, false, null]])" +
         last + "}";
}

}  // namespace

TEST_CASE("update_config: a text of which nothing changes is written anew") {
  for (const std::string& text :
       {config_with(""), config_text("examples/models/llama-tales-14m/config.json"),
        config_text("tests/golden/transformers/plain/config.json")}) {
    const mamba2::Config same = mamba2::parse_config(text).value();
    CHECK(mamba2::update_config(text, same) == Ordered::parse(text).dump(2) + "\n");
  }
  const std::string broken = R"({"hidden_size": 64,)";
  CHECK(mamba2::update_config(broken, {}) == broken);
}

TEST_CASE("update_config: what changes stands where it stood, else at the end") {
  for (const std::string last :
       {"", R"(, "eos_token_id": 3, "x": 1)", R"(, "eos_token_id": [1, [2]], "x": {"y": 1})",
        R"(, "tie_word_embeddings": true, "eos_token_id": {"a": {"b": []}}, "z": 0)",
        R"(, "y": [0], "eos_token_id": null, "tie_word_embeddings": true)"}) {
    const std::string text = config_with(last);
    CAPTURE(text);
    mamba2::Config config = mamba2::parse_config(text).value();
    Ordered expected = Ordered::parse(text);
    config.tie_embeddings = !config.tie_embeddings;
    expected["tie_word_embeddings"] = config.tie_embeddings;
    config.eos_token_ids = {4, 9};
    expected["eos_token_id"] = {4, 9};
    CHECK(mamba2::update_config(text, config) == expected.dump(2) + "\n");
    config.eos_token_ids = {5};
    expected["eos_token_id"] = 5;
    CHECK(mamba2::update_config(text, config) == expected.dump(2) + "\n");
  }
}

TEST_CASE("set_quantization: in the place of another, else at the end") {
  const mamba2::Quantization quantization = {
      {"embedding", {mamba2::DType::INT8, 1}},
      {"layers.0.mixer.out_proj", {mamba2::DType::INT4_G64, 128}}};
  const Ordered value = Ordered::parse(R"({"quant_method": "mamba2", "version": 1, "matrices":
      {"embedding": {"bits": 8},
       "layers.0.mixer.out_proj": {"bits": 4, "group": 64, "rotation": 128}}})");
  for (const std::string last :
       {"", R"(, "quantization_config": {"quant_method": "x", "matrices": {"a": [1]}}, "z": 1)",
        R"(, "quantization_config": null)"}) {
    const std::string text = config_with(last);
    CAPTURE(text);
    Ordered expected = Ordered::parse(text);
    expected["quantization_config"] = value;
    CHECK(mamba2::set_quantization(text, quantization) == expected.dump(2) + "\n");
    expected["quantization_config"]["matrices"] = Ordered::object();
    CHECK(mamba2::set_quantization(text, {}) == expected.dump(2) + "\n");
  }
}
