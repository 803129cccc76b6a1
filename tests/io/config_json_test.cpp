// SPDX-License-Identifier: Apache-2.0
// config.json in all dialects, with their defaults, traps and refusals.
#include "mamba2/io/config_json.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <initializer_list>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/mapped_file.hpp"
#include "mamba2/io/update_config.hpp"
#include "tests/constants.hpp"

using mamba2::Config;
using mamba2::ErrorCode;
using mamba2::parse_config;
using mamba2::Token;
using mamba2::detail::Json;
using tests::kInfinity;

namespace {

/// A small config of transformers, and one of the original code.
const std::string kTransformers = R"({"model_type": "mamba2", "hidden_size": 96, "num_heads": 6,
  "head_dim": 32, "num_hidden_layers": 3, "vocab_size": 50, "state_size": 16, "n_groups": 2,
  "eos_token_id": 0)";
const std::string kOriginal = R"({"d_model": 96, "n_layer": 3, "vocab_size": 50)";

/// The config with more keys; a key that is there already is replaced.
std::string with(const std::string& base, const std::string& more) {
  Json object = mamba2::detail::parse_json(base + "}", "base").value();
  const Json extra = mamba2::detail::parse_json("{" + more + "}", "more").value();
  object.update(extra);
  return object.dump();
}
std::string hf(const std::string& more) { return with(kTransformers, more); }
std::string original(const std::string& ssm_cfg, const std::string& more = "\"n_layer\": 3") {
  const std::string layer = R"("layer": "Mamba2", "headdim": 32)";
  return with(kOriginal, more + ", \"ssm_cfg\": " + with("{" + layer, ssm_cfg));
}

/// Parsing must fail with this code, and one line that names the file and has all of these parts.
void check_refused_config(std::string_view json, ErrorCode code,
                          std::initializer_list<std::string_view> parts) {
  CAPTURE(json);
  const auto config = parse_config(json, "dir/config.json");
  REQUIRE(!config);
  const std::string& message = config.error().message;
  CAPTURE(message);
  CHECK(config.error().code == code);
  CHECK(message.starts_with("dir/config.json: "));
  CHECK(message.find('\n') == std::string::npos);
  for (const std::string_view part : parts) {
    CAPTURE(part);
    CHECK(message.find(part) != std::string::npos);
  }
}

}  // namespace

TEST_CASE("config: the bundled model") {
  const auto text = mamba2::read_text_file(
      MAMBA2_SOURCE_DIR "/examples/models/llama-tales-14m/config.json", 10000);
  REQUIRE(text);
  const Config config = parse_config(*text).value();
  CHECK(config.d_model == 384);
  CHECK(config.n_layer == 12);
  CHECK(config.vocab_size == 8192);
  CHECK(config.d_inner == 768);
  CHECK(config.d_ssm == 768);
  CHECK(config.headdim == 64);
  CHECK(config.nheads() == 12);
  CHECK(config.d_state == 64);
  CHECK(config.ngroups == 1);
  CHECK(config.norm_eps == 1e-5F);
  CHECK(config.dt_min == 0.0F);
  CHECK(config.dt_max == 1e9F);
  CHECK(config.tie_embeddings);
  CHECK(config.eos_token_ids == std::vector<Token>{0});
}

TEST_CASE("config, transformers: the defaults of the class describe Codestral") {
  for (const auto* text : {R"({"model_type": "mamba2"})", R"({"hidden_size": 4096})",
                           R"({"architectures": ["Mamba2ForCausalLM"]})"}) {
    const Config config = parse_config(text).value();
    CHECK(config.d_model == 4096);
    CHECK(config.n_layer == 64);
    CHECK(config.vocab_size == 32768);
    CHECK(config.d_inner == 8192);
    CHECK(config.d_ssm == 8192);
    CHECK(config.headdim == 64);
    CHECK(config.d_state == 128);
    CHECK(config.ngroups == 8);
    CHECK(config.d_conv == 4);
    CHECK(config.norm_eps == 1e-5F);
    CHECK(config.dt_min == 0.0F);
    CHECK(config.dt_max == kInfinity);
    CHECK(!config.bias);
    CHECK(config.conv_bias);
    CHECK(config.rmsnorm);
    CHECK(!config.D_has_hdim);
    CHECK(!config.norm_before_gate);
    CHECK(!config.tie_embeddings);
    CHECK(config.eos_token_ids == std::vector<Token>{2});
  }
}

TEST_CASE("config, transformers: every key arrives") {
  const Config config = parse_config(R"({"architectures": ["Mamba2ForCausalLM"],
    "model_type": "mamba2", "hidden_size": 100, "num_hidden_layers": 5, "vocab_size": 77,
    "expand": 1.5, "head_dim": 25, "num_heads": 6, "state_size": 9, "n_groups": 3, "conv_kernel": 3,
    "layer_norm_epsilon": 1e-06, "time_step_limit": [0.01, 0.1], "use_bias": true,
    "use_conv_bias": false, "hidden_act": "silu", "rms_norm": true, "residual_in_fp32": true,
    "tie_word_embeddings": true, "eos_token_id": [3, 76], "bos_token_id": null, "pad_token_id": 1,
    "chunk_size": 64, "time_step_rank": 256, "time_step_min": 0.001, "time_step_max": 0.1,
    "time_step_floor": 1e-4, "time_step_scale": NaN, "initializer_range": 0.1, "use_cache": true,
    "rescale_prenorm_residual": false, "torch_dtype": "float16", "dtype": "float16",
    "transformers_version": "5.0.0", "intermediate_size": 150, "norm_before_gate": true})")
                            .value();
  CHECK(config.d_model == 100);
  CHECK(config.n_layer == 5);
  CHECK(config.vocab_size == 77);
  CHECK(config.d_inner == 150);
  CHECK(config.d_ssm == 150);
  CHECK(config.headdim == 25);
  CHECK(config.nheads() == 6);
  CHECK(config.d_state == 9);
  CHECK(config.ngroups == 3);
  CHECK(config.d_conv == 3);
  CHECK(config.norm_eps == 1e-6F);
  CHECK(config.dt_min == 0.01F);
  CHECK(config.dt_max == 0.1F);
  CHECK(config.bias);
  CHECK(!config.conv_bias);
  CHECK(config.tie_embeddings);
  CHECK(config.eos_token_ids == std::vector<Token>{3, 76});
  CHECK(!config.norm_before_gate);  // the key is published, but the code never reads it
}

TEST_CASE("config, transformers: infinity in all its spellings") {
  for (const std::string limit :
       {"[0.0, Infinity]", "[0, Infinity]", R"([0.0, "Infinity"])", R"([{"__float__": "0"}, 1])",
        R"([0.0, {"__float__": "Infinity"}])", "null", "[0.0, 1e39]"}) {
    const std::string text = kTransformers + ", \"time_step_limit\": " + limit + "}";
    CAPTURE(text);
    const auto config = parse_config(text);
    if (limit.find("\"0\"") != std::string::npos) {
      CHECK(!config);  // only what is no JSON number may be written as a word
      continue;
    }
    REQUIRE(config);
    CHECK(config->dt_min == 0.0F);
    CHECK(config->dt_max == kInfinity);
  }
  for (const std::string limit :
       {"[0.0]", "[0.0, 1.0, 2.0]", "0.1", "[0.0, null]", "[0.0, \"inf\"]", "[Infinity, Infinity]",
        "[NaN, 1.0]", "[1e39, Infinity]", "{}", "[[0.0], 1.0]"}) {
    check_refused_config(kTransformers + ", \"time_step_limit\": " + limit + "}",
                         ErrorCode::malformed, {"time_step_limit"});
  }
  check_refused_config(hf(R"("time_step_limit": [0.2, 0.1])"), ErrorCode::invalid_argument,
                       {"dt_limit"});
  check_refused_config(kTransformers + R"(, "time_step_limit": [0.0, NaN]})",
                       ErrorCode::invalid_argument, {"dt_limit"});
}

TEST_CASE("config, transformers: expand may be a float and is rounded down after the product") {
  CHECK(parse_config(hf(R"("expand": 2.0)")).value().d_inner == 192);
  CHECK(parse_config(hf(R"("expand": 1.01, "num_heads": 3, "n_groups": 1)")).value().d_inner == 96);
  CHECK(parse_config(hf(R"("expand": 1, "num_heads": 3, "n_groups": 1)")).value().d_inner == 96);
  for (const std::string expand : {"0", "-2", "0.001", "1e300", "Infinity", "NaN", "\"2\"", "null",
                                   "true", "[2]", "4294967296"}) {
    check_refused_config(kTransformers + ", \"expand\": " + expand + "}", ErrorCode::malformed,
                         {"expand"});
  }
}

TEST_CASE("config, transformers: num_heads must fit") {
  check_refused_config(hf(R"("num_heads": 5)"), ErrorCode::malformed,
                       {"num_heads must be expand * hidden_size / head_dim = 192/32, found 5"});
  check_refused_config(hf(R"("expand": 1.5)"), ErrorCode::malformed,
                       {"num_heads", "144/32", "found 6"});
  check_refused_config(R"({"hidden_size": 96})", ErrorCode::malformed,
                       {"num_heads", "128 (the default)"});
  check_refused_config(hf(R"("n_groups": 4)"), ErrorCode::invalid_argument, {"ngroups"});
}

TEST_CASE("config: eos_token_id as a number, a list, null or absent") {
  const auto eos = [](const std::string& text) { return parse_config(text).value().eos_token_ids; };
  CHECK(eos(hf(R"("eos_token_id": 49)")) == std::vector<Token>{49});
  CHECK(eos(hf(R"("eos_token_id": [7, 0])")) == std::vector<Token>{7, 0});
  CHECK(eos(hf(R"("eos_token_id": [])")).empty());
  CHECK(eos(hf(R"("eos_token_id": null)")).empty());
  CHECK(eos(R"({"model_type": "mamba2"})") == std::vector<Token>{2});
  CHECK(eos(original("")) == std::vector<Token>{0});
  CHECK(eos(original("", R"("eos_token_id": 5)")) == std::vector<Token>{5});
  CHECK(eos(hf(R"("eos_token_id": [7, 0, 7, 49, 0])")) == std::vector<Token>{7, 0, 49});
}

TEST_CASE("config: what ends no text is passed over, with a note") {
  std::vector<std::string> notes;
  const auto eos = [&notes](const std::string& text) {
    notes.clear();
    return parse_config(text, "dir/config.json", &notes).value().eos_token_ids;
  };
  CHECK(eos(hf(R"("eos_token_id": [7, 0])")) == std::vector<Token>{7, 0});
  CHECK(notes.empty());
  const std::string expected = "dir/config.json: eos_token_id must be a token in 0..49, found ";
  const auto check = [&](const std::string& id, const std::string& found) {
    CAPTURE(id);
    CHECK(eos(hf("\"eos_token_id\": " + id)).empty());
    CHECK(notes == std::vector<std::string>{expected + found + ": passed over"});
    CHECK(parse_config(hf("\"eos_token_id\": " + id)));
  };
  check("50", "50");
  check("-1", "-1");
  check("2147483648", "2147483648");
  check("18446744073709551616", "18446744073709551616");
  check("1.0", "1");
  check("\"<|end|>\"", "\"<|end|>\"");
  check("true", "true");
  check("{}", "an object");
  check("[[0]]", "a list of 1");
  check("[null, 99, 100]", "null and 2 more that cannot be");
  CHECK(eos(hf(R"("eos_token_id": [3, "x", 50, 4])")) == std::vector<Token>{3, 4});
  CHECK(notes ==
        std::vector<std::string>{expected + "\"x\" and 1 more that cannot be: passed over"});

  // The default of the class, where there is no such token.
  CHECK(eos(R"({"hidden_size": 8, "head_dim": 4, "num_heads": 4, "n_groups": 1, "vocab_size": 2})")
            .empty());
  CHECK(notes.empty());
  // As many as there is room for, in good time.
  std::string many = "[0";
  for (int i = 0; i < 200'000; ++i) many += i % 2 == 0 ? ",-1" : "," + std::to_string(i % 50);
  CHECK(eos(hf("\"eos_token_id\": " + many + "]")).size() == 26);
  CHECK(notes.size() == 1);
  // A Config that an application makes is refused.
  Config config = parse_config(hf("")).value();
  config.eos_token_ids = {0, 50};
  CHECK(config.validate().error().message == "eos_token_id must be in 0..49, found 50");
}

TEST_CASE("config: a text after a checkpoint has decided otherwise") {
  const auto updated = [](const std::string& text, bool tied, std::vector<Token> eos) {
    Config config = parse_config(text).value();
    config.tie_embeddings = tied;
    config.eos_token_ids = std::move(eos);
    return mamba2::update_config(text, config);
  };
  const std::string limits = R"("tie_word_embeddings": true, "time_step_limit": )";
  for (const std::string infinity : {"[0.0, Infinity]", R"([0.0, {"__float__": "Infinity"}])"}) {
    const std::string text = kTransformers + ", " + limits + infinity + "}";
    const Config same = parse_config(updated(text, true, {0})).value();
    CHECK(same.tie_embeddings);
    CHECK(same.eos_token_ids == std::vector<Token>{0});
    const Config other = parse_config(updated(text, false, {4, 5})).value();
    CHECK(!other.tie_embeddings);
    CHECK(other.eos_token_ids == std::vector<Token>{4, 5});
    CHECK(other.dt_max == kInfinity);
    CHECK(other.d_state == 16);
    CHECK(parse_config(updated(text, false, {})).value().eos_token_ids.empty());
  }
  // In each dialect it is another key.
  const std::string text = original("", R"("tie_embeddings": true)");
  CHECK(!parse_config(updated(text, false, {0})).value().tie_embeddings);
  const std::string mistral = R"({"dim": 32, "n_layers": 1, "vocab_size": 9, "n_groups": 1,
      "pad_vocab_size_multiple": 1, "tie_embeddings": true})";
  CHECK(!parse_config(updated(mistral, false, {2})).value().tie_embeddings);
}

TEST_CASE("config: integers that are none, and out of range") {
  for (const std::string key : {"hidden_size", "num_hidden_layers", "vocab_size", "num_heads",
                                "head_dim", "state_size", "n_groups", "conv_kernel"}) {
    for (const std::string value : {"0", "-1", "-0", "2147483648", "18446744073709551616", "2.0",
                                    "1e3", "\"2\"", "null", "true", "[2]", "{}"}) {
      check_refused_config(hf("\"" + key + "\": " + value), ErrorCode::malformed,
                           {key + " must be"});
    }
    check_refused_config(kTransformers + ",\n\"" + key + "x\": 1,\n\"x" + key + "\": 1e400}",
                         ErrorCode::malformed, {"line 5", "\"x" + key + "\"", "out of range"});
  }
  check_refused_config(hf(R"("hidden_size": 2147483647, "expand": 1)"), ErrorCode::malformed,
                       {"num_heads"});
  check_refused_config(hf(R"("num_hidden_layers": 2147483647)"), ErrorCode::invalid_argument,
                       {"n_layer"});
  check_refused_config(hf(R"("conv_kernel": 65)"), ErrorCode::invalid_argument, {"d_conv"});
  for (const std::string key : {"use_bias", "use_conv_bias", "tie_word_embeddings", "rms_norm"}) {
    for (const std::string value : {"0", "1", "\"true\"", "null", "[]"}) {
      check_refused_config(hf("\"" + key + "\": " + value), ErrorCode::malformed,
                           {key, "true or false"});
    }
  }
  for (const std::string value : {"\"1e-5\"", "null", "true", "[1e-5]"}) {
    check_refused_config(hf("\"layer_norm_epsilon\": " + value), ErrorCode::malformed,
                         {"layer_norm_epsilon must be a number"});
  }
  for (const std::string value : {"-1e-5", "1", "NaN", "Infinity", "-Infinity", "1e39", "1e300",
                                  "\"NaN\"", "18446744073709551616"}) {
    check_refused_config(kTransformers + ", \"layer_norm_epsilon\": " + value + "}",
                         ErrorCode::invalid_argument, {"norm_eps"});
  }
}

TEST_CASE("config: other models are refused by name") {
  for (const std::string type : {"mamba", "zamba", "jamba", "llama", ""}) {
    check_refused_config(
        hf("\"model_type\": \"" + type + "\""), ErrorCode::unsupported,
        {"model_type must be \"mamba2\", \"", " or \"zamba2\", found \"" + type + "\""});
  }
  for (const mamba2::Dialect* dialect : mamba2::known_dialects()) {
    const std::string name(dialect->name);  // of a hybrid of transformers its model_type
    const bool is_named = name != "state-spaces" && name != "mistral" && name != "transformers";
    CAPTURE(name);
    if (is_named) {
      check_refused_config(hf("\"model_type\": \"llama\""), ErrorCode::unsupported,
                           {"\"" + name + "\""});
    }
  }
  check_refused_config(hf(R"("model_type": 2)"), ErrorCode::unsupported, {"model_type"});
  CHECK(parse_config(hf(R"("model_type": null, "architectures": null)")));
  CHECK(parse_config(hf(R"("architectures": [])")));
  check_refused_config(hf(R"("architectures": ["BambaForCausalLM"])"), ErrorCode::unsupported,
                       {"architectures", "BambaForCausalLM"});
  check_refused_config(hf(R"("architectures": [7])"), ErrorCode::unsupported, {"architectures"});
  check_refused_config(hf(R"("architectures": "Mamba2ForCausalLM")"), ErrorCode::malformed,
                       {"architectures must be a list"});
  for (const std::string act : {"\"gelu\"", "\"Swish\"", "\"\"", "1", "null", "[\"swish\"]"}) {
    check_refused_config(hf("\"hidden_act\": " + act), ErrorCode::unsupported,
                         {"hidden_act must be \"silu\", found "});
  }
  CHECK(parse_config(hf(R"("hidden_act": "swish")")));
  CHECK(parse_config(hf(R"("architectures": ["Mamba2Model"])")));
  check_refused_config(hf(R"("architectures": ["MambaModel"])"), ErrorCode::unsupported,
                       {"architectures", "MambaModel"});
  for (const std::string& base : {hf(""), original("")}) {
    const std::string open = base.substr(0, base.size() - 1);
    check_refused_config(with(open, R"("rms_norm": false)"), ErrorCode::unsupported,
                         {"rms_norm", "LayerNorm"});
    CHECK(parse_config(with(open, R"("d_intermediate": 0, "attn_layer_idx": [], "attn_cfg": {})")));
  }
  // Keys of hybrids of the original code.
  check_refused_config(hf(R"("d_intermediate": 256)"), ErrorCode::unsupported,
                       {"d_intermediate", "256", "MLP"});
  check_refused_config(hf(R"("attn_layer_idx": [9, 18])"), ErrorCode::unsupported,
                       {"attn_layer_idx", "attention", "a list of 2"});
  check_refused_config(hf(R"("attn_layer_idx": 9)"), ErrorCode::unsupported, {"attn_layer_idx"});
  check_refused_config(original("", R"("architectures": ["MambaForCausalLM"])"),
                       ErrorCode::unsupported, {"architectures"});
  CHECK(parse_config(original("", R"("architectures": ["Mamba2ForCausalLM"])")));
  check_refused_config("{}", ErrorCode::unsupported, {"hidden_size", "d_model"});
  check_refused_config(R"({"n_embd": 768})", ErrorCode::unsupported, {"found neither"});
  check_refused_config("[]", ErrorCode::malformed, {"object", "a list of 0"});
  check_refused_config("", ErrorCode::malformed, {"expected JSON, found nothing (0 bytes)"});
  check_refused_config(" ", ErrorCode::malformed, {"line 1: expected JSON"});
}

TEST_CASE("config, original: the published 130m") {
  const Config config = parse_config(R"({"d_model": 768, "d_intermediate": 0, "n_layer": 24,
    "vocab_size": 50277, "ssm_cfg": {"layer": "Mamba2"}, "attn_layer_idx": [], "attn_cfg": {},
    "rms_norm": true, "residual_in_fp32": true, "fused_add_norm": true,
    "pad_vocab_size_multiple": 16, "tie_embeddings": true})")
                            .value();
  CHECK(config.d_model == 768);
  CHECK(config.n_layer == 24);
  CHECK(config.vocab_size == 50288);
  CHECK(config.d_inner == 1536);
  CHECK(config.d_ssm == 1536);
  CHECK(config.nheads() == 24);
  CHECK(config.d_state == 128);
  CHECK(config.ngroups == 1);
  CHECK(config.conv_dim() == 1792);
  CHECK(config.d_in_proj() == 3352);
  CHECK(config.norm_eps == 1e-5F);
  CHECK(config.dt_max == kInfinity);
  CHECK(config.tie_embeddings);
  CHECK(config.eos_token_ids == std::vector<Token>{0});
}

TEST_CASE("config, original: absent keys have the defaults of its dataclass") {
  const Config config = parse_config(R"({"ssm_cfg": {"layer": "Mamba2"}})").value();
  CHECK(config.d_model == 2560);
  CHECK(config.n_layer == 64);
  CHECK(config.vocab_size == 50280);  // 50277 rounded up to a multiple of 8, not 16
  CHECK(config.tie_embeddings);
  const auto padded = [](const std::string& more) {
    return parse_config(original("", more)).value().vocab_size;
  };
  CHECK(padded(R"("vocab_size": 56)") == 56);
  CHECK(padded(R"("vocab_size": 57)") == 64);
  CHECK(padded(R"("vocab_size": 57, "pad_vocab_size_multiple": 1)") == 57);
  check_refused_config(original("", R"("pad_vocab_size_multiple": 0)"), ErrorCode::malformed,
                       {"pad_vocab_size_multiple"});
}

TEST_CASE("config, original: ssm_cfg") {
  const Config config = parse_config(original(R"("d_state": 9, "d_conv": 3, "expand": 3,
    "headdim": 16, "ngroups": 2, "d_ssm": 160, "D_has_hdim": true, "rmsnorm": false,
    "norm_before_gate": true, "dt_limit": [0.01, {"__float__": "Infinity"}], "bias": true,
    "conv_bias": false, "chunk_size": 32, "A_init_range": [1, 16], "dt_min": 0.001, "dt_max": 0.1,
    "dt_init_floor": 0.0001, "conv_init": null, "use_mem_eff_path": false, "process_group": null,
    "sequence_parallel": true)",
                                              R"("tie_embeddings": false)"))
                            .value();
  CHECK(config.d_state == 9);
  CHECK(config.d_conv == 3);
  CHECK(config.d_inner == 288);
  CHECK(config.d_ssm == 160);
  CHECK(config.d_mlp() == 128);
  CHECK(config.headdim == 16);
  CHECK(config.ngroups == 2);
  CHECK(config.D_has_hdim);
  CHECK(!config.rmsnorm);
  CHECK(config.norm_before_gate);
  CHECK(config.dt_min == 0.01F);
  CHECK(config.dt_max == kInfinity);
  CHECK(config.bias);
  CHECK(!config.conv_bias);
  CHECK(!config.tie_embeddings);
  CHECK(parse_config(original(R"("d_ssm": null)")).value().d_ssm == 192);

  check_refused_config(original(R"("layer": "Mamba1")"), ErrorCode::unsupported,
                       {"ssm_cfg.layer must be \"Mamba2\", found \"Mamba1\""});
  for (const std::string& text : {kOriginal + "}", kOriginal + R"(, "ssm_cfg": {}})",
                                  kOriginal + R"(, "ssm_cfg": {"d_state": 16}})"}) {
    check_refused_config(text, ErrorCode::unsupported, {"ssm_cfg.layer", "Mamba-1"});
  }
  check_refused_config(kOriginal + R"(, "ssm_cfg": null})", ErrorCode::malformed,
                       {"ssm_cfg must be an object"});
  check_refused_config(original(R"("activation": "gelu")"), ErrorCode::unsupported,
                       {"ssm_cfg.\"activation\"", "unknown argument"});
  check_refused_config(original(R"("d_ssm": 193)"), ErrorCode::invalid_argument, {"d_ssm"});
  check_refused_config(original(R"("d_ssm": 0)"), ErrorCode::malformed, {"ssm_cfg.d_ssm"});
  check_refused_config(original(R"("headdim": 7)"), ErrorCode::invalid_argument, {"headdim"});
  check_refused_config(original(R"("ngroups": 4)"), ErrorCode::invalid_argument, {"ngroups"});
  check_refused_config(original(R"("dt_limit": [0.0])"), ErrorCode::malformed,
                       {"ssm_cfg.dt_limit"});
  for (const std::string key : {"d_state", "d_conv", "headdim", "ngroups"}) {
    check_refused_config(original("\"" + key + "\": 2.0"), ErrorCode::malformed,
                         {"ssm_cfg." + key});
  }
  for (const std::string key : {"D_has_hdim", "rmsnorm", "norm_before_gate", "bias", "conv_bias"}) {
    check_refused_config(original("\"" + key + "\": 1"), ErrorCode::malformed, {"ssm_cfg." + key});
  }
}

TEST_CASE("config: a converted config with keys of the original left in it is of transformers") {
  const Config config = parse_config(hf(R"("d_model": 7, "n_layer": 9, "ssm_cfg": {})")).value();
  CHECK(config.d_model == 96);
  CHECK(config.n_layer == 3);
}

TEST_CASE("config: Mistral's params.json") {
  const std::string codestral = R"({"dim": 4096, "n_layers": 64, "vocab_size": 32768, "n_groups": 8,
    "rms_norm": true, "residual_in_fp32": true, "fused_add_norm": true,
    "pad_vocab_size_multiple": 1, "tie_embeddings": false, "model_type": "mamba")";
  const Config config = parse_config(codestral + "}").value();
  CHECK(config.d_model == 4096);
  CHECK(config.n_layer == 64);
  CHECK(config.vocab_size == 32768);
  CHECK(config.ngroups == 8);
  CHECK(config.nheads() == 128);
  CHECK(config.d_in_proj() == 18560);
  CHECK(config.conv_dim() == 10240);
  CHECK(!config.tie_embeddings);
  CHECK(config.eos_token_ids == std::vector<Token>{2});
  check_refused_config(with(codestral, R"("model_type": "transformer")"), ErrorCode::unsupported,
                       {"model_type"});
  check_refused_config(R"({"dim": 4096, "n_layers": 64})", ErrorCode::malformed,
                       {"vocab_size must be given"});
}

TEST_CASE("config: hostile text") {
  check_refused_config(hf("").insert(1, R"("hidden_size": 8, )"), ErrorCode::malformed,
                       {"\"hidden_size\" occurs twice"});
  check_refused_config(std::string(1000000, '['), ErrorCode::malformed, {"nesting"});
  check_refused_config(hf("\"model_type\": \"" + std::string(5000, 'x') + "\\n\""),
                       ErrorCode::unsupported, {"xxx...\""});
  const std::string text = hf(R"("time_step_limit": [0.0, 1.0])");
  REQUIRE(parse_config(text));
  for (std::size_t n = 0; n < text.size(); ++n) CHECK(!parse_config(text.substr(0, n)));
  for (std::size_t bit = 0; bit < 8 * text.size(); ++bit) {
    std::string flipped = text;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    const auto config = parse_config(flipped);
    if (config) CHECK(config->validate().has_value());
  }
}
