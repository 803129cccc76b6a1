// SPDX-License-Identifier: Apache-2.0
// Nemotron's files: what is passed over of them, and numbers of layers that differ.
#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/export.hpp"
#include "mamba2/io/gguf.hpp"
#include "mamba2/linear/floats.hpp"
#include "mamba2/model/model.hpp"
#include "tests/hybrid_models.hpp"
#if defined(MAMBA2_SEPARATE)
#include "tools/models.hpp"
#endif

using tests::HybridModel;

namespace nemotron_tests {

constexpr const char* kExperts =
    MAMBA2_SOURCE_DIR "/tests/golden/hybrids_gguf/nemotron-moe/model.gguf";

using Change = std::function<void(mamba2::GgufWriter&)>;
struct Extra {
  std::string name;
  std::vector<std::size_t> shape;
};

/// That file with other keys, and more tensors, of zeros.
std::string with(const Change& change, const std::vector<Extra>& extras = {}) {
  const std::string golden = reference::read_file(kExperts).value();
  const auto file = mamba2::Gguf::parse(std::as_bytes(std::span(golden)), "golden").value();
  mamba2::GgufWriter writer;
  file.metadata().for_each(
      [&](std::string_view key, const mamba2::GgufValue& value) { writer.set_value(key, value); });
  change(writer);
  for (const auto& tensor : file.tensors()) {
    writer.add_tensor(tensor.name, tensor.dtype, tensor.shape).value();
  }
  std::size_t zeros = 0;
  for (const Extra& extra : extras) {
    writer.add_tensor(extra.name, mamba2::DType::F32, extra.shape).value();
    std::size_t count = sizeof(float);
    for (const std::size_t n : extra.shape) count *= n;
    zeros += count;
  }
  std::string bytes;
  const auto sink = [&](std::span<const std::byte> part) {
    bytes.append(reinterpret_cast<const char*>(part.data()), part.size());
    return mamba2::Result<void>();
  };
  writer.start(sink).value();
  for (const auto& tensor : file.tensors()) writer.write(tensor.data).value();
  writer.write(std::vector<std::byte>(zeros)).value();
  writer.finish().value();
  return bytes;
}

std::string error_of(const std::string& file) {
  const auto checkpoint = mamba2::Checkpoint::from_gguf(std::as_bytes(std::span(file)), "f");
  return checkpoint ? "a model" : checkpoint.error().message;
}

std::vector<float> logits_of(const std::string& file) {
  const auto checkpoint =
      mamba2::Checkpoint::from_gguf(std::as_bytes(std::span(file)), "f").value();
  const auto model = mamba2::AnyModel::load(checkpoint, mamba2::kPlan<mamba2::Fp32>).value();
  auto session = model.session().value();
  return tests::logits_in_pieces(session, std::vector<mamba2::Token>{5, 1, 9, 2, 7}, {1000});
}

/// One block more, which guesses tokens.
void add_guessing_block(mamba2::GgufWriter& writer) {
  writer.set_integer("nemotron_h_moe.block_count", 6);
  writer.set_integer("nemotron_h_moe.nextn_predict_layers", 1);
  writer.set_integers("nemotron_h_moe.feed_forward_length",
                      std::vector<std::int32_t>{0, 32, 0, 0, 32, 48});
  writer.set_integers("nemotron_h_moe.attention.head_count_kv",
                      std::vector<std::int32_t>{0, 0, 2, 0, 0, 4});
}

TEST_CASE("Nemotron-H: what guesses tokens further on is passed over") {
  HybridModel golden = tests::hybrid_golden("nemotron_dense", "config.json").at(0);
  auto file = reference::load_safetensors(MAMBA2_SOURCE_DIR
                                          "/tests/golden/hybrids/nemotron_dense/model.safetensors")
                  .value();
  file.tensors["mtp.layers.0.norm.weight"] = reference::f32_tensor({2}, {1.0, 2.0});
  golden.safetensors = reference::write_safetensors(file);
  golden.open([](const mamba2::Checkpoint& checkpoint) {
    REQUIRE(checkpoint.notes().size() == 1);
    CHECK(checkpoint.notes()[0].find("mtp.layers.0.norm.weight") != std::string::npos);
    CHECK(checkpoint.find("mtp.layers.0.norm.weight") == nullptr);
  });
}

TEST_CASE("Nemotron-H: blocks that guess tokens further on are passed over in GGUF") {
  const std::vector<Extra> block = {{"blk.5.nextn.eh_proj.weight", {32, 64}},
                                    {"blk.5.nextn.enorm.weight", {32}},
                                    {"blk.5.attn_norm.weight", {32}},
                                    {"blk.5.attn_k.weight", {64, 32}},
                                    {"blk.5.ffn_up_exps.weight", {4, 48, 32}}};
  const std::string file = with(add_guessing_block, block);
  const auto checkpoint =
      mamba2::Checkpoint::from_gguf(std::as_bytes(std::span(file)), "f").value();
  CHECK(checkpoint.config().pattern == "ME*ME");
  REQUIRE(checkpoint.notes().size() == 1);
  CHECK(checkpoint.notes()[0] ==
        "f: the last 1 of 6 blocks guess tokens further on "
        "(nemotron_h_moe.nextn_predict_layers); they are passed over");
  CHECK(logits_of(file) == logits_of(with([](mamba2::GgufWriter&) {})));

  // Only those are.
  CHECK(error_of(with(add_guessing_block, {{"blk.6.nextn.enorm.weight", {32}}})) ==
        "f: expected the tensors of the model only, found \"blk.6.nextn.enorm.weight\"");
  CHECK(error_of(with([](mamba2::GgufWriter&) {}, block)) ==
        "f: expected the tensors of the model only, found \"blk.5.nextn.eh_proj.weight\"");
  const auto blocks = [](std::uint32_t guessing) {
    return error_of(with([=](mamba2::GgufWriter& writer) {
      writer.set_integer("nemotron_h_moe.nextn_predict_layers", guessing);
    }));
  };
  CHECK(blocks(5) ==
        "f: nemotron_h_moe.nextn_predict_layers must be less than nemotron_h_moe.block_count 5, "
        "found 5");
  CHECK(blocks(2147483647).find("nextn_predict_layers must be less than") != std::string::npos);
}

TEST_CASE("Nemotron-H: numbers of experts may be lists in GGUF, of the same number") {
  const auto used = [](std::vector<std::int32_t> numbers) {
    return with([numbers = std::move(numbers)](mamba2::GgufWriter& writer) {
      writer.set_integers("nemotron_h_moe.expert_used_count", numbers);
      writer.set_integers("nemotron_h_moe.expert_feed_forward_length",
                          std::vector<std::int32_t>{0, 32, 0, 0, 32});
    });
  };
  CHECK(logits_of(used({0, 2, 0, 0, 2})) == logits_of(with([](mamba2::GgufWriter&) {})));
  CHECK(error_of(used({0, 2, 0, 0, 3})) ==
        "f: nemotron_h_moe.expert_used_count must be the same number for all layers of a kind, "
        "else 0, found 3");
  CHECK(error_of(used({0, 2})) ==
        "f: nemotron_h_moe.expert_used_count must be a list of 5 integers, found a list of 2 "
        "int32");
  CHECK(error_of(with([](mamba2::GgufWriter& writer) {
          writer.set_integers("nemotron_h_moe.expert_feed_forward_length",
                              std::vector<std::int32_t>{0, 32, 0, 0, 16});
        })) ==
        "f: nemotron_h_moe.expert_feed_forward_length must be the same number for all layers "
        "of a kind, else 0, found 16");
}

}  // namespace nemotron_tests
