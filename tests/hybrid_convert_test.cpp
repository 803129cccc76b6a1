// SPDX-License-Identifier: Apache-2.0
// Hybrids in other formats: what comes back is the same model, and what a format cannot say is
// refused.
#include <doctest/doctest.h>

#include <cstddef>
#include <nlohmann/json.hpp>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "mamba2/core/executor.hpp"
#include "mamba2/io/checkpoint.hpp"
#include "mamba2/io/config_json.hpp"
#include "mamba2/io/gguf.hpp"
#include "mamba2/io/gguf_export.hpp"
#include "mamba2/io/safetensors.hpp"
#include "mamba2/io/transformers_export.hpp"
#include "tests/hybrid_models.hpp"
#include "tests/io/temp_dir.hpp"
#include "tools/convert/copy_tensors.hpp"
#include "tools/convert/model_source.hpp"

using mamba2::Config;
using mamba2::DType;
using mamba2::ExportedTensor;
using tests::HybridModel;

namespace hybrid_convert_tests {
namespace {

using Bytes = std::vector<std::byte>;

/// The folder of a golden.
std::string golden_folder(const std::string& name) {
  return MAMBA2_SOURCE_DIR "/tests/golden/hybrids/" + name;
}

/// All of a file whose writer knows its keys.
template <class Writer>
Bytes write_all(const convert::ModelSource& source, const std::vector<ExportedTensor>& tensors,
                Writer& writer) {
  Bytes file;
  for (const ExportedTensor& tensor : tensors) {
    writer.add_tensor(tensor.name, tensor.dtype, tensor.shape).value();
  }
  writer
      .start([&](std::span<const std::byte> bytes) {
        file.insert(file.end(), bytes.begin(), bytes.end());
        return mamba2::Result<void>();
      })
      .value();
  mamba2::SerialExecutor executor;
  const auto report = [](std::size_t, std::size_t) { return true; };
  convert::TensorCopier(source, executor, writer).copy(tensors, report).value();
  writer.finish().value();
  return file;
}

Bytes gguf_of(const convert::ModelSource& source, DType matrices) {
  mamba2::GgufWriter writer;
  mamba2::set_gguf_config(writer, source.config(), {}, matrices);
  return write_all(source, mamba2::gguf_export(source.config(), matrices), writer);
}

/// The weights of a folder.
Bytes folder_of(const convert::ModelSource& source, DType matrices) {
  mamba2::SafetensorsWriter writer;
  return write_all(source, mamba2::transformers_export(source.config(), matrices), writer);
}

/// The weights of a golden.
Bytes read_bytes(const std::string& name) {
  const auto file = reference::read_file(golden_folder(name) + "/model.safetensors").value();
  const auto bytes = std::as_bytes(std::span(file));
  return {bytes.begin(), bytes.end()};
}

/// The names of all tensors of a safetensors file.
std::set<std::string> names_in(const Bytes& weights) {
  std::set<std::string> names;
  const auto file = mamba2::Safetensors::parse(weights, "file").value();
  for (const mamba2::TensorView& tensor : file.tensors()) names.insert(tensor.name);
  return names;
}

std::vector<float> logits_of(const mamba2::Checkpoint& checkpoint, const HybridModel& golden) {
  const auto model = mamba2::AnyModel::load(checkpoint, mamba2::kPlan<mamba2::Fp32>).value();
  auto session = model.session({.kv = mamba2::KvPrecision::fp32}).value();
  return tests::logits_in_pieces(session, golden.tokens, {golden.tokens.size()});
}

mamba2::Checkpoint open_folder(const Config& config, const Bytes& weights) {
  const std::string text = mamba2::transformers_config(config, {}, DType::BF16);
  const std::span<const std::byte> shard(weights);
  return mamba2::Checkpoint::from_bytes(text, std::span(&shard, 1)).value();
}

/// The names of the members in which two differ.
std::string differences(const Config& a, const Config& b) {
  std::string names;
  const auto compare = [&](auto list) {
    list(a, [&](std::string_view name, const auto& member) {
      list(b, [&](std::string_view other, const auto& its) {
        if constexpr (std::is_same_v<decltype(member), decltype(its)>) {
          if (name == other && !(member == its)) names += std::string(name) + " ";
        }
      });
    });
  };
  compare([](const Config& c, auto visit) { mamba2::fields(c, visit); });
  compare([](const Config& c, auto visit) { mamba2::hybrid_fields(c, visit); });
  compare([](const Config& c, auto visit) { mamba2::later_fields(c, visit); });
  return names;
}

void check_refused(const mamba2::Result<void>& outcome, std::string_view key) {
  CAPTURE(key);
  REQUIRE(!outcome);
  CAPTURE(outcome.error().message);
  CHECK(outcome.error().code == mamba2::ErrorCode::unsupported);
  CHECK(outcome.error().message.starts_with(std::string(key) + " must be "));
}

}  // namespace

TEST_CASE("hybrid convert: a folder of transformers is the same model") {
  for (const std::string name :
       {"granite_dense", "granite_rope", "granite_moe", "bamba", "nemotron_dense", "nemotron_moe",
        "nemotron_latent", "nemotron_small_dt", "falcon_h1", "falcon_h1_norm", "lfm2", "lfm2_moe",
        "zamba2", "mamba2attn_mlp"}) {
    CAPTURE(name);
    const auto source = convert::ModelSource::open(golden_folder(name)).value();
    mamba2::check_transformers_export(source.config()).value();
    const Bytes weights = folder_of(source, DType::BF16);
    if (name != "mamba2attn_mlp") CHECK(names_in(weights) == names_in(read_bytes(name)));
    const auto checkpoint = open_folder(source.config(), weights);
    CHECK(differences(checkpoint.config(), source.config()) == "");
    const HybridModel golden = tests::hybrid_golden(name, "config.json").at(0);
    CHECK(logits_of(checkpoint, golden) == logits_of(*source.checkpoint(), golden));
  }
}

TEST_CASE("hybrid convert: a GGUF file is the same model, and a folder made of that") {
  // The second has RoPE, and rows in llama.cpp's order; those of LFM2 stay in theirs.
  for (const std::string name :
       {"hybrids/granite_dense", "hybrids/granite_moe", "hybrids_gguf/granite-moe/model.gguf",
        "hybrids_gguf/bamba-q8_0/model.gguf", "hybrids/nemotron_dense", "hybrids/nemotron_moe",
        "hybrids/nemotron_latent", "hybrids_gguf/nemotron-moe/model.gguf",
        "hybrids/nemotron_small_dt", "hybrids_gguf/nemotron-q8_0/model.gguf", "hybrids/lfm2",
        "hybrids_gguf/lfm2-q8_0/model.gguf", "hybrids_gguf/lfm2moe-q8_0/model.gguf"}) {
    CAPTURE(name);
    const mamba2_tests::TempDir dir;
    const auto source =
        convert::ModelSource::open(MAMBA2_SOURCE_DIR "/tests/golden/" + name).value();
    HybridModel golden = tests::hybrid_golden("granite_dense", "config.json").at(0);
    for (auto& token : golden.tokens) {
      token %= static_cast<mamba2::Token>(source.config().vocab_size);
    }
    const auto logits = logits_of(*source.checkpoint(), golden);
    const std::vector<double> expected(logits.begin(), logits.end());
    const auto check = [&](const mamba2::Checkpoint& converted) {
      // A may have come back through its exponential and logarithm.
      CHECK(tests::deviation(logits_of(converted, golden), expected) < 2e-6);
    };
    mamba2::check_gguf_export(source.config()).value();
    const auto file = dir.write("model.gguf", gguf_of(source, DType::F32));
    const auto gguf = convert::ModelSource::open(file).value();
    CHECK(differences(gguf.config(), source.config()) == "");
    check(*gguf.checkpoint());

    const Bytes weights = folder_of(gguf, DType::F32);
    const auto folder = open_folder(gguf.config(), weights);
    const bool turns = source.config().attention.qk_interleaved;
    CHECK(differences(folder.config(), source.config()) ==
          (turns ? "attention.qk_interleaved " : ""));
    check(folder);

    dir.write("config.json", mamba2::transformers_config(gguf.config(), {}, DType::F32));
    dir.write("model.safetensors", weights);
    const auto again = convert::ModelSource::open(dir.path()).value();
    check(*convert::ModelSource::open(dir.write("again.gguf", gguf_of(again, DType::F32)))
               .value()
               .checkpoint());
  }
}

TEST_CASE("hybrid convert: models with attention alone are granite, in GGUF") {
  for (const char* position : {"nope", "rope"}) {
    CAPTURE(position);
    nlohmann::json json = reference::random_hybrid_config(reference::Writer::granite, 5);
    for (auto& type : json["layer_types"]) type = "attention";
    json["num_local_experts"] = 0;
    if (json["shared_intermediate_size"] == 0) json["shared_intermediate_size"] = 20;
    json["position_embedding_type"] = position;
    json["hidden_size"] = 48;  // as llama.cpp has it, a head of 12 channels
    json["num_attention_heads"] = 4;
    json["num_key_value_heads"] = 2;
    json.erase("head_dim");
    const reference::Hybrid hybrid = reference::random_hybrid(json, 5);
    const reference::Checkpoint files = reference::write_hybrid(json, hybrid);
    HybridModel model{files.config_json, files.safetensors, {}, {}};
    model.tokens = reference::Random(6).tokens(30, hybrid.vocab_size);
    const auto expected = reference::forward(hybrid, model.tokens);
    const mamba2_tests::TempDir dir;
    dir.write("config.json", files.config_json);
    dir.write("model.safetensors", files.safetensors);

    const auto source = convert::ModelSource::open(dir.path()).value();
    mamba2::check_gguf_export(source.config()).value();
    mamba2::check_transformers_export(source.config()).value();
    const auto file = dir.write("model.gguf", gguf_of(source, DType::F32));
    const auto gguf = convert::ModelSource::open(file).value();
    const auto bytes = gguf_of(source, DType::F32);
    const auto parsed = mamba2::Gguf::parse(bytes, "file").value();
    CHECK(parsed.metadata().find("general.architecture")->text() == "granite");
    CHECK(parsed.metadata().find("granite.attention.head_count_kv")->integer() == 2);
    CHECK(parsed.metadata().find("granite.ssm.inner_size") == nullptr);
    CHECK(tests::deviation(logits_of(*gguf.checkpoint(), model), expected) < 1e-5);
    const Bytes weights = folder_of(gguf, DType::F32);
    CHECK(tests::deviation(logits_of(open_folder(gguf.config(), weights), model), expected) < 1e-5);
  }
}

TEST_CASE("hybrid convert: Falcon-H1's factors are in the weights of a GGUF file") {
  for (const bool ties : {false, true}) {
    CAPTURE(ties);
    nlohmann::json json = reference::random_hybrid_config(reference::Writer::falcon, 3);
    json["tie_word_embeddings"] = ties;
    json["mamba_norm_before_gate"] = false;
    json["mamba_rms_norm"] = ties;
    json["mamba_conv_bias"] = true;
    for (const char* bias : {"mamba_proj_bias", "projectors_bias", "attention_bias", "mlp_bias"}) {
      json[bias] = false;
    }
    json["time_step_limit"] = {0.0, 1e30};
    const reference::Hybrid hybrid = reference::random_hybrid(json, 3);
    const reference::Checkpoint files = reference::write_hybrid(json, hybrid);
    HybridModel model{files.config_json, files.safetensors, {}, {}};
    model.tokens = reference::Random(6).tokens(30, hybrid.vocab_size);
    const auto expected = reference::forward(hybrid, model.tokens);
    const mamba2_tests::TempDir dir;
    dir.write("config.json", files.config_json);
    dir.write("model.safetensors", files.safetensors);
    const auto source = convert::ModelSource::open(dir.path()).value();
    mamba2::check_gguf_export(source.config()).value();
    const auto gguf =
        convert::ModelSource::open(dir.write("model.gguf", gguf_of(source, DType::F32))).value();
    const Config& c = gguf.config();
    CHECK(!c.tie_embeddings);
    CHECK(c.embedding_multiplier == 1.0F);
    CHECK(c.ssm_multipliers == mamba2::Mamba2Multipliers{});
    CHECK(gguf.checkpoint()->notes().empty());
    CHECK(tests::deviation(logits_of(*gguf.checkpoint(), model), expected) < 1e-5);
    const Bytes weights = folder_of(gguf, DType::F32);
    CHECK(tests::deviation(logits_of(open_folder(gguf.config(), weights), model), expected) < 1e-5);
  }
}

TEST_CASE("hybrid convert: GGUF files of Falcon-H1 that lack something") {
  const auto source = convert::ModelSource::open(golden_folder("falcon_h1")).value();
  const auto write = [&](const Config& config, auto more) {
    mamba2::GgufWriter writer;
    mamba2::set_gguf_config(writer, config, {}, DType::F32);
    more(writer);
    return write_all(source, mamba2::gguf_export(config, DType::F32), writer);
  };
  const Bytes old = write(source.config(), [](mamba2::GgufWriter& writer) {
    writer.set_flag("falcon-h1.ssm.has_mup", true);
  });
  const auto refused = mamba2::Checkpoint::from_gguf(old, "old.gguf");
  REQUIRE(!refused);
  CHECK(refused.error().code == mamba2::ErrorCode::unsupported);
  CHECK(refused.error().message.starts_with("old.gguf: falcon-h1.ssm.has_mup must be absent"));
  // A tied model, as llama.cpp's converter leaves it.
  Config tied = source.config();
  tied.tie_embeddings = true;
  tied.embedding_multiplier = tied.logits_multiplier = 1.0F;
  const auto opened =
      mamba2::Checkpoint::from_gguf(write(tied, [](mamba2::GgufWriter&) {})).value();
  CHECK(opened.config().tie_embeddings);
  REQUIRE(opened.notes().size() == 1);
  CHECK(opened.notes()[0].find("the factor of the head is lost") != std::string::npos);
}

TEST_CASE("hybrid convert: rows have the factors that they are written with") {
  ExportedTensor tensor{"t", "a", {4, 3}, DType::F32, mamba2::Role::matrix};
  tensor.set_factors({{1, 2.0F}, {2, 3.0F}, {1, 0.5F}});
  CHECK(!tensor.is_as_stored());
  std::vector<float> values(8, 1.0F);
  tensor.scale(2, values);
  CHECK(values == std::vector<float>{2.0F, 3.0F, 3.0F, 3.0F, 3.0F, 3.0F, 3.0F, 0.5F});
  tensor.set_factors({{4, 1.0F}});
  CHECK(tensor.is_as_stored());
}

TEST_CASE("hybrid convert: rows are put in order, whatever a row holds") {
  ExportedTensor tensor{"t", "a", {8, 3}, DType::F32, mamba2::Role::matrix};
  tensor.head_rows = 4;
  tensor.interleaves = true;
  std::vector<std::size_t> rows;
  for (std::size_t row = 0; row < 8; ++row) rows.push_back(tensor.source_row(row));
  CHECK(rows == std::vector<std::size_t>{0, 2, 1, 3, 4, 6, 5, 7});
  ExportedTensor back = tensor;
  back.interleaves = false;
  for (std::size_t row = 0; row < 8; ++row) {
    CHECK(back.source_row(tensor.source_row(row)) == row);
  }
  std::string pieces;
  const auto note = [&](const std::string& name, std::size_t begin, std::size_t count) {
    pieces += mamba2::detail::concat(name, begin, "+", count, " ");
  };
  tensor.for_each_piece(2, 6, note);  // from within the first row to within the third
  CHECK(pieces == "a2+1 a6+3 a3+2 ");
  ExportedTensor joined{"t", "a", {4, 3}, DType::F32, mamba2::Role::matrix, {"b"}};
  pieces.clear();
  joined.for_each_piece(5, 3, note);
  CHECK(pieces == "a5+1 b0+2 ");
}

TEST_CASE("hybrid convert: what cannot be said is refused by name") {
  const auto changed = [](const std::string& name, auto change) {
    Config config = convert::ModelSource::open(golden_folder(name)).value().config();
    change(config);
    return config;
  };
  const auto gguf = [&](std::string_view key, auto change, const char* name = "granite_dense") {
    check_refused(mamba2::check_gguf_export(changed(name, change)), key);
  };
  const auto folder = [&](std::string_view key, auto change, const char* name = "granite_dense") {
    check_refused(mamba2::check_transformers_export(changed(name, change)), key);
  };
  const auto as_it_is = [](Config&) {};
  gguf("attention.rotary_emb_dim", as_it_is, "bamba");
  gguf("bias", as_it_is, "granite_rope");
  const auto without_mlp = [](Config& c) {
    c.pattern = "MM*M";
    c.n_layer = 4;
  };
  gguf("embedding_multiplier", without_mlp);  // which Nemotron-H does not have
  folder("embedding_multiplier", without_mlp);
  const auto in_another_order = [](Config& c) { c.pattern.replace(0, 4, "--MM"); };
  gguf("the layers", in_another_order);
  folder("the layers", in_another_order);
  gguf("the layers", [](Config& c) { c.pattern = "M-M-M-M-"; });
  const auto convolution = [](Config& c) { c.attention.d_conv = 4; };
  gguf("attention.d_conv", convolution);
  folder("attention.d_conv", convolution);
  gguf("d_inner", [](Config& c) { c.d_inner = c.d_ssm = 3 * c.d_model; });
  gguf("attention.head_dim", [](Config& c) { c.attention.head_dim *= 2; });
  gguf("mlp.bias", [](Config& c) { c.mlp.bias = true; });
  gguf(
      "mlp.bias", [](Config& c) { c.mlp.bias = true; }, "nemotron_dense");
  gguf(
      "the layers", [](Config& c) { c.pattern = "M-M--"; }, "nemotron_dense");
  const auto turning = [](Config& c) { c.attention.rotary_emb_dim = 8; };
  gguf("attention.rotary_emb_dim", turning, "nemotron_dense");
  folder("attention.rotary_emb_dim", turning, "nemotron_dense");
  const auto with_bias = [](Config& c) { c.attention.out_proj_bias = true; };
  folder("attention.out_proj_bias", with_bias, "nemotron_dense");
  const auto norm_first = [](Config& c) { c.norm_before_gate = true; };
  gguf("norm_before_gate", norm_first, "falcon_h1_norm");
  gguf(
      "attention.qkv_proj_bias",
      [](Config& c) { c.attention.qkv_proj_bias = c.attention.out_proj_bias = true; }, "falcon_h1");
  folder(
      "the layers", [](Config& c) { c.pattern = "HH--"; }, "falcon_h1");
  folder(
      "attention.rotary_emb_dim", [](Config& c) { c.attention.rotary_emb_dim = 8; }, "falcon_h1");
  folder(
      "residual_multiplier", [](Config& c) { c.residual_multiplier = 0.5F; }, "falcon_h1");
  const auto sharper = [](Config& c) { c.attention.softmax_scale *= 2.0F; };
  folder("attention.softmax_scale", sharper, "nemotron_dense");
  gguf("dt_limit", [](Config& c) { c.dt_max = 0.1F; });
  const auto lfm2 = [&](std::string_view key, auto change) {
    gguf(key, change, "lfm2");
    folder(key, change, "lfm2");
  };
  lfm2("the layers", [](Config& c) { c.pattern = "C-M-*-C-*-"; });
  lfm2("residual_multiplier", [](Config& c) { c.residual_multiplier = 0.5F; });
  lfm2("mlp.bias", [](Config& c) { c.mlp.bias = true; });
  lfm2("attention.qk_norm", [](Config& c) { c.attention.qk_norm = false; });
  lfm2("attention.qkv_proj_bias", [](Config& c) { c.attention.qkv_proj_bias = true; });
  lfm2("attention.softmax_scale", [](Config& c) { c.attention.softmax_scale = 0.5F; });
  lfm2("attention.rotary_emb_dim", [](Config& c) { c.attention.rotary_emb_dim = 8; });
  gguf(
      "short_conv.bias", [](Config& c) { c.short_conv.bias = true; }, "lfm2");
  const auto experts = [&](std::string_view key, auto change) {
    gguf(key, change, "lfm2_moe");
    folder(key, change, "lfm2_moe");
  };
  experts("the layers", [](Config& c) { c.pattern = "CE*-CECE"; });
  experts("moe.sigmoid", [](Config& c) { c.moe.sigmoid = false; });
  experts("moe.d_shared", [](Config& c) { c.moe.d_shared = 8; });
  experts("moe.d_latent", [](Config& c) { c.moe.d_latent = 8; });
  experts("moe.norm_eps", [](Config& c) { c.moe.norm_eps = 1e-3F; });
  gguf(
      "moe.router_bias", [](Config& c) { c.moe.router_bias = false; }, "lfm2_moe");
  gguf(
      "moe.routed_scaling_factor", [](Config& c) { c.moe.routed_scaling_factor = 2.0F; },
      "lfm2_moe");
  gguf(
      "moe.norm_topk_prob", [](Config& c) { c.moe.norm_topk_prob = false; }, "lfm2_moe");
  gguf(
      "the layers", [](Config& c) { c.pattern = "*-*-*-*-*-"; }, "lfm2");
  gguf("the layers", as_it_is, "zamba2");
  const auto zamba = [&](std::string_view key, auto change) { folder(key, change, "zamba2"); };
  zamba("the layers", [](Config& c) { c.pattern = "MSS*"; });
  zamba("norm_eps", [](Config& c) { c.norm_eps = 1e-6F; });
  zamba("dt_limit", [](Config& c) { c.dt_max = 0.1F; });
  zamba("conv_bias", [](Config& c) { c.conv_bias = false; });
  zamba("d_inner", [](Config& c) { c.d_inner = c.d_ssm = c.d_model / 2; });
  zamba("mlp.activation", [](Config& c) { c.mlp.activation = mamba2::MlpActivation::swiglu; });
  zamba("mlp.bias", [](Config& c) { c.mlp.bias = true; });
  zamba("attention.head_dim", [](Config& c) { c.attention.head_dim = 8; });
  zamba("attention.rotary_emb_dim", [](Config& c) { c.attention.rotary_emb_dim = 8; });
  zamba("attention.softmax_scale", [](Config& c) { c.attention.softmax_scale = 0.5F; });
  zamba("attention.num_heads_kv", [](Config& c) { c.attention.num_heads_kv = 2; });
  zamba("attention.qkv_proj_bias", [](Config& c) { c.attention.qkv_proj_bias = true; });
  zamba("attention.qk_norm", [](Config& c) { c.attention.qk_norm = true; });
  zamba("residual_multiplier", [](Config& c) { c.residual_multiplier = 0.5F; });
  const auto gelu = [](Config& c) { c.mlp.activation = mamba2::MlpActivation::geglu; };
  for (const char* name : {"granite_dense", "bamba", "falcon_h1", "lfm2"}) {
    folder("mlp.activation", gelu, name);
  }
  gguf("mlp.activation", gelu);
  folder("d_inner", [](Config& c) { c.d_inner = c.d_ssm = c.d_model + c.d_model / 2; });
  folder("attention.out_proj_bias", [](Config& c) { c.attention.out_proj_bias = true; });
  folder("attention.rotary_emb_dim", [](Config& c) { c.attention.rotary_emb_dim = 4; });
  folder(
      "residual_multiplier", [](Config& c) { c.residual_multiplier = 0.5F; }, "bamba");
  folder(
      "attention.softmax_scale", [](Config& c) { c.attention.softmax_scale = 0.5F; }, "bamba");
}

}  // namespace hybrid_convert_tests
