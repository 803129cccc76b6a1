// SPDX-License-Identifier: Apache-2.0
// Models whose config ties the head to the embedding, and what is stored.
#include "mamba2/io/tied_head.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <fstream>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/io/checkpoint.hpp"
#include "mamba2/io/fingerprint.hpp"
#include "tests/io/quantized_model.hpp"
#include "tests/io/safetensors_writer.hpp"
#include "tests/io/temp_dir.hpp"
#include "tests/io/toy_checkpoint.hpp"
#include "tests/model_helpers.hpp"
#include "tests/reference/random_weights.hpp"

using mamba2::Checkpoint;
using mamba2::DType;
using mamba2::Result;
using mamba2_tests::TempDir;
using mamba2_tests::ToyCheckpoint;

namespace {

using Bytes = std::vector<std::byte>;

/// A matrix as it is stored; not at all without values.
struct StoredHead {
  std::vector<float> values;
  DType dtype = DType::F32;
};

constexpr std::size_t kRows = 11;
constexpr std::size_t kCols = 6;

/// Element i is i times this; so many bits make any type exact.
std::vector<float> multiples(float of) {
  std::vector<float> values(kRows * kCols);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i) * of;
  return values;
}

/// The toy model with these two matrices.
Bytes toy_with(const StoredHead& embedding, const StoredHead& head) {
  ToyCheckpoint toy = ToyCheckpoint::small();
  mamba2_tests::SafetensorsWriter writer;
  const auto add = [&](const char* name, const StoredHead& matrix) {
    if (matrix.values.empty()) return;
    writer.add(name, {matrix.values.size() / kCols, kCols}, matrix.values, matrix.dtype);
  };
  add("lm_head.weight", head);
  add("backbone.embeddings.weight", embedding);
  for (const auto& tensor : toy.tensors) {
    if (tensor.name.find("embeddings") != std::string::npos) continue;
    writer.add(tensor.name, tensor.shape, std::vector<float>{0.5F});
  }
  return writer.bytes();
}

Result<Checkpoint> open_toy(const Bytes& file, bool tied = true) {
  const std::span<const std::byte> shard(file);
  const auto toy = ToyCheckpoint::small(tied ? R"("tie_word_embeddings": true)"
                                             : R"("tie_word_embeddings": false)");
  return Checkpoint::from_bytes(toy.config, {&shard, 1});
}

std::vector<float> values_of(const Checkpoint& checkpoint, std::string_view name) {
  std::vector<float> values(checkpoint.tensor(name).elements());
  mamba2::read_floats(checkpoint.tensor(name), 0, values);
  return values;
}

void check_tied(const StoredHead& embedding, const StoredHead& head, bool tied) {
  const Bytes file = toy_with(embedding, head);
  const auto checkpoint = open_toy(file);
  REQUIRE(checkpoint);
  CHECK(checkpoint->config().tie_embeddings == tied);
  CHECK(values_of(*checkpoint, "embedding.weight") == embedding.values);
  if (tied) {
    CHECK(checkpoint->find("lm_head.weight") == nullptr);
    CHECK(checkpoint->notes().empty());
  } else {
    CHECK(values_of(*checkpoint, "lm_head.weight") == head.values);
    REQUIRE(checkpoint->notes().size() == 1);
    CHECK(checkpoint->notes()[0] ==
          "shard 1 of 1: tensors \"lm_head.weight\" and \"embedding.weight\" differ, though the "
          "config says that they are one: the head is \"lm_head.weight\"");
  }
}

/// A random model whose head is its own, and its files, of which the config says otherwise.
struct TwoMatrices {
  mamba2::Config config = [] {
    mamba2::Config c = reference::variants().front().config;
    c.tie_embeddings = false;
    return c;
  }();
  reference::Weights weights = reference::random_weights(config, 61);
  reference::Checkpoint files = reference::to_checkpoint(config, weights);

  TwoMatrices() {
    const std::string own = "\"tie_embeddings\": false";
    files.config_json.replace(files.config_json.find(own), own.size(), "\"tie_embeddings\": true");
  }
};

/// KiB of a mapped file that are in memory.
std::size_t resident_kib(const std::string& path) {
  std::ifstream maps("/proc/self/smaps");
  std::size_t sum = 0;
  bool inside = false;
  for (std::string line; std::getline(maps, line);) {
    std::istringstream words(line);
    std::string first;
    std::size_t kib = 0;
    words >> first;
    if (first.find('-') != std::string::npos) inside = line.ends_with(path);
    if (inside && first == "Rss:" && words >> kib) sum += kib;
  }
  return sum;
}

}  // namespace

TEST_CASE("tied head: equal matrices are one, in whatever types") {
  const auto values = multiples(0.25F);
  for (const DType a : {DType::F64, DType::F32, DType::F16, DType::BF16}) {
    for (const DType b : {DType::F64, DType::F32, DType::F16, DType::BF16}) {
      check_tied({values, a}, {values, b}, true);
    }
  }
}

TEST_CASE("tied head: of two that differ the head is the file's own") {
  const auto values = multiples(0.25F);
  for (const std::size_t at : {std::size_t{0}, kRows * kCols - 1}) {
    for (const DType dtype : {DType::F32, DType::BF16, DType::F64}) {
      auto other = values;
      other[at] += 0.5F;
      check_tied({values}, {other, dtype}, false);
    }
  }
  check_tied({values, DType::BF16}, {multiples(0.5F), DType::BF16}, false);

  // In another shape it is no head at all.
  const Bytes file = toy_with({values}, {multiples(0.25F)});
  std::vector<float> longer = values;
  longer.resize((kRows + 1) * kCols);
  const auto wrong = open_toy(toy_with({values}, {longer}));
  REQUIRE(!wrong);
  CHECK(wrong.error().code == mamba2::ErrorCode::mismatch);
  CHECK(wrong.error().message ==
        "shard 1 of 1: tensor \"lm_head.weight\": shape must be (11, 6), found (12, 6)");
}

TEST_CASE("tied head: where one is stored it is both") {
  const auto values = multiples(0.25F);
  const Bytes embedding_only = toy_with({values, DType::BF16}, {});
  const Bytes head_only = toy_with({}, {values, DType::BF16});
  const Checkpoint expected = open_toy(embedding_only).value();
  const Checkpoint found = open_toy(head_only).value();
  CHECK(found.config().tie_embeddings);
  CHECK(found.find("lm_head.weight") == nullptr);
  CHECK(found.tensor("embedding.weight").name == "embedding.weight");
  CHECK(values_of(found, "embedding.weight") == values);
  CHECK(mamba2::fingerprint(found, "fp32") == mamba2::fingerprint(expected, "fp32"));

  const auto untied = open_toy(head_only, false);
  REQUIRE(!untied);
  CHECK(untied.error().message ==
        "checkpoint: tensor \"embedding.weight\" must be there with shape (11, 6), found none");
  CHECK(!open_toy(toy_with({}, {})));
}

TEST_CASE("tied head: the logits of two matrices are those of the head") {
  const TwoMatrices two;
  const std::span<const std::byte> shard = std::as_bytes(std::span(two.files.safetensors));
  const auto checkpoint =
      Checkpoint::from_bytes(two.files.config_json, std::span(&shard, 1)).value();
  const auto logits = [](const auto& model) {
    auto session = model.session({.workers = {.threads = 1}}).value();
    return tests::all_logits(session, reference::Random(62).tokens(9, model.config().vocab_size));
  };
  const auto model = mamba2::Mamba2Model<mamba2::Fp32>::load(checkpoint).value();
  CHECK(logits(model) == logits(tests::load(two.config, two.weights)));
  CHECK(model.notes().size() == 1);

  mamba2::Config tied = two.config;
  tied.tie_embeddings = true;
  CHECK(logits(model) != logits(tests::load(tied, two.weights)));
}

TEST_CASE("tied head: codes and scales are compared") {
  mamba2::Config config = reference::variants().front().config;
  config.tie_embeddings = false;
  reference::Weights weights = reference::random_weights(config, 63);
  weights.lm_head = weights.embedding;
  mamba2_tests::QuantizedModel model(
      config, weights, [](std::string_view name, std::size_t) -> mamba2::StoredFormat {
        const bool is_one = name == "embedding" || name == "lm_head";
        return is_one ? mamba2::StoredFormat{DType::INT8} : mamba2::StoredFormat{};
      });
  const std::string own = "\"tie_embeddings\": false";
  model.config.replace(model.config.find(own), own.size(), "\"tie_embeddings\": true");
  const auto is_tied = [&model] {
    return model.open([](const auto& opened) { return opened.value().config().tie_embeddings; });
  };
  CHECK(is_tied());
  for (const std::string name : {"lm_head.weight", "lm_head.weight_scale"}) {
    CAPTURE(name);
    model[name].data.back() ^= std::byte{1};
    CHECK(!is_tied());
    model[name].data.back() ^= std::byte{1};
  }
  // As floats with the same values.
  std::vector<float> values(config.vocab_size * config.d_model);
  model.open([&values](const auto& opened) {
    mamba2::read_floats(opened.value().tensor("embedding.weight"), 0, values);
    return 0;
  });
  const auto bytes = std::as_bytes(std::span(values));
  model["lm_head.weight"] = {
      "lm_head.weight", "F32", {config.vocab_size, config.d_model}, {bytes.begin(), bytes.end()}};
  model.erase("lm_head.weight_scale");
  model.change([](nlohmann::json& all) { all["matrices"].erase("lm_head"); });
  CHECK(is_tied());
  model["lm_head.weight"].data[3] ^= std::byte{0x80};
  CHECK(!is_tied());
}

TEST_CASE("tied head: comparing leaves nothing of the file in memory") {
  mamba2::Config config = reference::variants().front().config;
  config.vocab_size = 100'000;
  config.tie_embeddings = false;
  reference::Weights weights = reference::random_weights(config, 64);
  for (const bool equal : {true, false}) {
    weights.lm_head = weights.embedding;
    if (!equal) weights.lm_head.back() += 1.0;
    const auto [json, file] = reference::to_checkpoint(config, weights);
    std::string tied = json;
    const std::string own = "\"tie_embeddings\": false";
    tied.replace(tied.find(own), own.size(), "\"tie_embeddings\": true");
    const TempDir dir;
    dir.write("config.json", tied);
    const auto path = dir.write("model.safetensors", file);
    const Checkpoint checkpoint = Checkpoint::open(dir.path()).value();
    CHECK(checkpoint.config().tie_embeddings == equal);
    const std::size_t in_file = checkpoint.tensor("embedding.weight").data.size() / 1024;
    const std::size_t left = resident_kib(path.native());
    CAPTURE(left);
    CHECK(left > 0);
    CHECK(left < in_file / 10);
  }
}
