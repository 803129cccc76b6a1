// SPDX-License-Identifier: Apache-2.0
// Whole checkpoints, in memory and on disk: complete, consistent, or refused.
#include "mamba2/io/checkpoint.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "tests/io/safetensors_writer.hpp"
#include "tests/io/temp_dir.hpp"
#include "tests/io/toy_checkpoint.hpp"

using mamba2::Checkpoint;
using mamba2::Config;
using mamba2::DType;
using mamba2::ErrorCode;
using mamba2::Result;
using mamba2::TensorView;
using mamba2::detail::concat;
using mamba2_tests::TempDir;
using mamba2_tests::ToyCheckpoint;

namespace {

using Bytes = std::vector<std::byte>;
using Shape = std::vector<std::size_t>;

/// Opens shards that live as long as the caller's.
Result<Checkpoint> from_bytes(const std::string& config, const std::vector<Bytes>& shards) {
  const std::vector<std::span<const std::byte>> spans(shards.begin(), shards.end());
  return Checkpoint::from_bytes(config, spans);
}
Result<Checkpoint> from_toy(const ToyCheckpoint& toy) {
  return from_bytes(toy.config, {toy.bytes()});
}

/// It must be an error of this code, in one line that has all of these parts.
void check_refused(const Result<Checkpoint>& checkpoint, ErrorCode code,
                   std::initializer_list<std::string_view> parts) {
  REQUIRE(!checkpoint);
  const std::string& message = checkpoint.error().message;
  CAPTURE(message);
  CHECK(checkpoint.error().code == code);
  CHECK(message.find('\n') == std::string::npos);
  for (const std::string_view part : parts) {
    CAPTURE(part);
    CHECK(message.find(part) != std::string::npos);
  }
}

/// The index of tensors [0, split) in shard "a.safetensors" and the rest in "b.safetensors".
std::string index_of(const ToyCheckpoint& toy, std::size_t split) {
  std::string map;
  for (std::size_t t = 0; t < toy.tensors.size(); ++t) {
    map += concat(t == 0 ? "" : ",\n", "\"", toy.tensors[t].name, "\": \"", t < split ? "a" : "b",
                  ".safetensors\"");
  }
  return R"({"metadata": {"total_size": 1}, "weight_map": {)" + map + "}}";
}

/// A directory with a toy model in two shards.
struct ShardedToy {
  ToyCheckpoint toy = ToyCheckpoint::small();
  TempDir dir;
  std::string index = index_of(toy, 7);

  ShardedToy() {
    dir.write("config.json", toy.config);
    dir.write("a.safetensors", toy.bytes(0, 7));
    dir.write("b.safetensors", toy.bytes(7));
    dir.write("model.safetensors.index.json", index);
  }
  /// Opens it with a part of the index replaced.
  [[nodiscard]] Result<Checkpoint> with_index(std::string_view part, std::string_view by) const {
    std::string text = index;
    const std::size_t at = text.find(part);
    REQUIRE(at != std::string::npos);
    text.replace(at, part.size(), by);
    dir.write("model.safetensors.index.json", text);
    return Checkpoint::open(dir.path());
  }
};

}  // namespace

TEST_CASE("checkpoint: canonical names, in the order of the network, with their values") {
  static_assert(!std::is_copy_constructible_v<Checkpoint>);
  static_assert(std::is_move_constructible_v<Checkpoint>);
  auto toy = ToyCheckpoint::small("\"tie_word_embeddings\": false");
  toy["layers.1.mixer.in_proj.weight"].dtype = DType::F16;
  toy["layers.1.mixer.out_proj.weight"].dtype = DType::F64;
  std::vector<std::string> names;
  for (const auto& tensor : toy.tensors) names.push_back(mamba2::canonical_name(tensor.name));
  std::reverse(toy.tensors.begin(), toy.tensors.end());
  const Bytes bytes = toy.bytes();
  const std::span<const std::byte> shard = bytes;
  Checkpoint opened = Checkpoint::from_bytes(toy.config, {&shard, 1}).value();
  const TensorView* address = opened.tensors().data();
  const Checkpoint checkpoint = std::move(opened);
  CHECK(checkpoint.tensors().data() == address);
  CHECK(checkpoint.file_bytes() == bytes.size());
  CHECK(checkpoint.config().d_inner == 12);
  CHECK(!checkpoint.config().tie_embeddings);
  REQUIRE(checkpoint.tensors().size() == names.size());
  for (std::size_t t = 0; t < names.size(); ++t) {
    const TensorView& tensor = checkpoint.tensors()[t];
    CHECK(tensor.name == names[t]);
    CHECK(&checkpoint.tensor(names[t]) == &tensor);
    std::vector<float> values(tensor.elements());
    mamba2::read_floats(tensor, 0, values);
    CHECK(std::abs(values[0] - static_cast<float>(names.size() - 1 - t)) < 0.01F);
  }
  CHECK(checkpoint.tensor("embedding.weight").shape == Shape{11, 6});
  CHECK(checkpoint.tensor("lm_head.weight").shape == Shape{11, 6});
  CHECK(checkpoint.find("backbone.embeddings.weight") == nullptr);
  CHECK(checkpoint.find("layers.2.norm.weight") == nullptr);
  for (const std::string name : {"layers.2.norm.weight", "lm_head", ""}) {
    const TensorView& none = checkpoint.tensor(name);
    CHECK(none.name.empty());
    CHECK(none.shape.empty());
    CHECK(none.elements() == 0);
    CHECK(none.part(0, 0).empty());
  }
}

TEST_CASE("checkpoint: every variant of the block") {
  for (const std::string more :
       {R"("use_bias": true)", R"("use_conv_bias": false)", R"("use_bias": true, "expand": 2.0)"}) {
    CHECK(from_toy(ToyCheckpoint::small(more)));
  }
  for (const std::string more :
       {R"("rmsnorm": false)", R"("D_has_hdim": true)", R"("d_ssm": 8, "D_has_hdim": true)",
        R"("bias": true, "conv_bias": false, "norm_before_gate": true)"}) {
    const auto toy = ToyCheckpoint(R"({"d_model": 6, "n_layer": 2, "vocab_size": 9,
        "ssm_cfg": {"layer": "Mamba2", "headdim": 4, "d_state": 3, )" +
                                   more + "}}");
    CAPTURE(toy.config);
    const auto checkpoint = from_toy(toy);
    REQUIRE(checkpoint);
    CHECK(checkpoint->tensor("embedding.weight").shape == Shape{16, 6});
  }
  // Each tensor belongs to its option: without it, the file of another variant does not fit.
  const auto with_bias = from_bytes(ToyCheckpoint::small().config,
                                    {ToyCheckpoint::small(R"("use_bias": true)").bytes()});
  check_refused(with_bias, ErrorCode::mismatch, {"found \"layers.0.mixer.in_proj.bias\""});
  const auto no_bias = from_bytes(ToyCheckpoint::small(R"("use_bias": true)").config,
                                  {ToyCheckpoint::small().bytes()});
  check_refused(no_bias, ErrorCode::mismatch,
                {"checkpoint: ", "\"layers.0.mixer.in_proj.bias\"", "(48)", "found none"});
}

TEST_CASE("checkpoint: all spellings of the names") {
  for (const std::string prefix : {"", "backbone.", "model.", "model.backbone."}) {
    for (const std::string embedding : {"embedding.weight", "embeddings.weight"}) {
      auto toy = ToyCheckpoint::small("\"tie_word_embeddings\": false");
      for (auto& tensor : toy.tensors) {
        const std::string name = mamba2::canonical_name(tensor.name);
        tensor.name = prefix + (name == "embedding.weight" ? embedding : name);
      }
      CHECK(from_toy(toy));
    }
  }
  auto twice = ToyCheckpoint::small();
  twice.tensors.push_back({"backbone.embedding.weight", {11, 6}});
  check_refused(from_toy(twice), ErrorCode::malformed,
                {"shard 1 of 1: tensor \"embedding.weight\" must occur once"});
}

TEST_CASE("checkpoint: the head is tied if the file has none, whatever the config says") {
  for (const bool tied : {false, true}) {
    for (const bool has_head : {false, true}) {
      auto toy = ToyCheckpoint::small("\"tie_word_embeddings\": false");
      if (!has_head) toy.erase("lm_head.weight");
      if (tied) toy.config = ToyCheckpoint::small().config;
      const Bytes bytes = toy.bytes();
      const std::span<const std::byte> shard = bytes;
      const auto checkpoint = Checkpoint::from_bytes(toy.config, {&shard, 1});
      REQUIRE(checkpoint);
      CHECK(checkpoint->config().tie_embeddings == !has_head);
      CHECK((checkpoint->find("lm_head.weight") == nullptr) == !has_head);
      CHECK(checkpoint->notes().size() == (tied && has_head ? 1 : 0));
    }
  }
}

TEST_CASE("checkpoint: each tensor is needed, in its shape, in a float type") {
  const auto toy = ToyCheckpoint::small("\"use_bias\": true");
  for (std::size_t t = 0; t + 1 < toy.tensors.size(); ++t) {  // the last is the head
    const std::string name = mamba2::canonical_name(toy.tensors[t].name);
    CAPTURE(name);
    ToyCheckpoint missing = toy;
    missing.tensors.erase(missing.tensors.begin() + static_cast<std::ptrdiff_t>(t));
    check_refused(from_toy(missing), ErrorCode::mismatch,
                  {"checkpoint: tensor \"" + name + "\" must be there with shape (", "found none"});

    ToyCheckpoint wrong = toy;
    wrong.tensors[t].shape[0] += 1;
    check_refused(from_toy(wrong), ErrorCode::mismatch,
                  {"shard 1 of 1: tensor \"" + name + "\": shape must be (", "found ("});

    ToyCheckpoint transposed = toy;
    transposed.tensors[t].shape.push_back(1);
    check_refused(from_toy(transposed), ErrorCode::mismatch, {name, "shape must be ("});

    ToyCheckpoint renamed = toy;
    renamed.tensors[t].name += "x";
    CHECK(!from_toy(renamed));

    for (const DType dtype : {DType::I8, DType::U8, DType::F8_E4M3, DType::I64, DType::BOOL}) {
      ToyCheckpoint integers = toy;
      integers.tensors[t].dtype = dtype;
      check_refused(
          from_toy(integers), ErrorCode::unsupported,
          {name, "dtype must be F64, F32, F16 or BF16, found", mamba2::dtype_name(dtype)});
    }
  }
  ToyCheckpoint head = toy;
  head["lm_head.weight"].shape = {11, 7};
  check_refused(from_toy(head), ErrorCode::mismatch, {"\"lm_head.weight\"", "(11, 6)", "(11, 7)"});
}

TEST_CASE("checkpoint: the filters of the convolution may lack their middle dimension") {
  auto toy = ToyCheckpoint::small();
  toy["layers.0.mixer.conv1d.weight"].shape = {32, 3};
  CHECK(from_toy(toy));
  for (const Shape& shape :
       {Shape{3, 32}, Shape{32, 4}, Shape{96}, Shape{32, 3, 1}, Shape{1, 32, 3}}) {
    toy["layers.0.mixer.conv1d.weight"].shape = shape;
    check_refused(from_toy(toy), ErrorCode::mismatch, {"conv1d.weight", "(32, 1, 3)"});
  }
}

TEST_CASE("checkpoint: surplus tensors are refused by name") {
  for (const std::string name :
       {"backbone.layers.2.norm.weight", "backbone.layers.0.mixer.dt_proj.weight", "lm_head.bias",
        "x", "backbone.layers.00.norm.weight"}) {
    auto toy = ToyCheckpoint::small();
    toy.tensors.push_back({name, {1}});
    check_refused(from_toy(toy), ErrorCode::mismatch,
                  {"shard 1 of 1: ", "found \"" + mamba2::canonical_name(name) + "\""});
  }
  ToyCheckpoint three = ToyCheckpoint(
      R"({"d_model": 6, "n_layer": 3, "vocab_size": 8, "ssm_cfg": {"layer": "Mamba2", "headdim": 4}})");
  three.config =
      R"({"d_model": 6, "n_layer": 2, "vocab_size": 8, "ssm_cfg": {"layer": "Mamba2", "headdim": 4}})";
  check_refused(from_toy(three), ErrorCode::mismatch, {"found \"layers.2.norm.weight\""});
}

TEST_CASE("checkpoint: a config that claims many layers costs nothing") {
  auto toy = ToyCheckpoint::small();
  toy.config.replace(toy.config.find("\"num_hidden_layers\": 2"), 22,
                     "\"num_hidden_layers\": 65536");
  check_refused(from_toy(toy), ErrorCode::mismatch, {"\"layers.2.norm.weight\"", "found none"});
}

TEST_CASE("checkpoint: shards in memory") {
  const auto toy = ToyCheckpoint::small();
  const std::vector<Bytes> shards = {toy.bytes(9), toy.bytes(0, 4), toy.bytes(4, 9)};
  const auto checkpoint = from_bytes(toy.config, shards);
  REQUIRE(checkpoint);
  CHECK(checkpoint->file_bytes() == shards[0].size() + shards[1].size() + shards[2].size());
  CHECK(checkpoint->tensors()[0].file == "shard 2 of 3");
  check_refused(from_bytes(toy.config, {shards[0], shards[1]}), ErrorCode::mismatch,
                {"found none"});
  check_refused(from_bytes(toy.config, {shards[0], shards[1], shards[2], shards[1]}),
                ErrorCode::malformed,
                {"shard 4 of 4: tensor", "once", "found it also in shard 2 of 4"});
  check_refused(from_bytes(toy.config, {}), ErrorCode::mismatch, {"\"embedding.weight\""});
  check_refused(from_bytes(toy.config, {shards[0], {}}), ErrorCode::malformed, {"shard 2 of 2"});
  check_refused(from_bytes("{}", shards), ErrorCode::unsupported, {"config.json"});
}

TEST_CASE("checkpoint: every truncation is an error, every flipped bit of the header an error") {
  auto toy = ToyCheckpoint::small();
  const std::string from = "\"num_hidden_layers\": 2";
  toy.config.replace(toy.config.find(from), from.size(), "\"num_hidden_layers\": 1");
  std::erase_if(toy.tensors,
                [](const auto& t) { return t.name.find("layers.1.") != std::string::npos; });
  for (auto& tensor : toy.tensors) tensor.dtype = DType::BF16;
  const Bytes bytes = toy.bytes();
  REQUIRE(from_bytes(toy.config, {bytes}));
  std::size_t header_end = 8;
  for (std::size_t byte = 0; byte < 8; ++byte) {
    header_end += std::to_integer<std::size_t>(bytes[byte]) << 8 * byte;
  }
  for (std::size_t n = 0; n < bytes.size(); n += n < header_end + 3 ? 1 : 7) {
    CHECK(!from_bytes(toy.config,
                      {Bytes(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(n))}));
  }
  CHECK(!from_bytes(toy.config, {Bytes(bytes.begin(), bytes.end() - 1)}));
  for (std::size_t bit = 0; bit < 8 * header_end; ++bit) {
    std::vector<Bytes> flipped = {bytes};
    flipped[0][bit / 8] ^= std::byte{1} << bit % 8;
    CAPTURE(bit);
    CHECK(!from_bytes(toy.config, flipped));
  }
}

TEST_CASE("checkpoint: the bundled model, in two shards") {
  const auto opened = Checkpoint::open(MAMBA2_SOURCE_DIR "/examples/models/llama-tales-14m");
  REQUIRE(opened);
  CHECK(opened->config().n_layer == 12);
  CHECK(opened->config().tie_embeddings);
  CHECK(opened->tensors().size() == 110);
  CHECK(opened->file_bytes() == 15184272 + 13915512);
  const TensorView& embedding = opened->tensor("embedding.weight");
  CHECK(embedding.shape == Shape{8192, 384});
  CHECK(embedding.dtype == DType::BF16);
  CHECK(embedding.file.ends_with("llama-tales-14m/model-00001-of-00002.safetensors"));
  CHECK(opened->tensor("layers.11.mixer.in_proj.weight").shape == Shape{1676, 384});
  const TensorView& A_log = opened->tensor("layers.4.mixer.A_log");
  CHECK(A_log.dtype == DType::F32);
  CHECK(A_log.file.ends_with("model-00002-of-00002.safetensors"));
  std::size_t parameters = 0;
  for (const TensorView& tensor : opened->tensors()) {
    std::vector<float> values(tensor.elements());
    mamba2::read_floats(tensor, 0, values);
    CHECK(std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); }));
    parameters += values.size();
  }
  const std::size_t block = 1676 * 384 + 384 * 768 + 896 * 4 + 896 + 3 * 12 + 768 + 384;
  CHECK(parameters == 8192 * 384 + 12 * block + 384);
}

TEST_CASE("checkpoint: a bigger model, if it is there") {
  const std::filesystem::path path = MAMBA2_SOURCE_DIR "/../shared/models/books-73m";
  if (!std::filesystem::exists(path)) {
    MESSAGE("skipped: there is no books-73m");
    return;
  }
  const auto checkpoint = Checkpoint::open(path);
  REQUIRE(checkpoint);
  CHECK(checkpoint->tensor("embedding.weight").shape == Shape{16384, 768});
}

TEST_CASE("checkpoint: one file, under whatever name") {
  const auto toy = ToyCheckpoint::small();
  const TempDir dir;
  dir.write("config.json", toy.config);
  const auto path = dir.write("weights.safetensors", toy.bytes());
  CHECK(Checkpoint::open(dir.path()));
  CHECK(Checkpoint::open(dir.path().native() + "/"));
  const auto by_file = Checkpoint::open(path);
  REQUIRE(by_file);
  CHECK(by_file->tensors()[0].file == path.native());
  CHECK(by_file->file_bytes() == std::filesystem::file_size(path));

  dir.write("other.safetensors", "not looked at");
  check_refused(Checkpoint::open(dir.path()), ErrorCode::io,
                {"model.safetensors.index.json", "found 2 without an index"});
  CHECK(Checkpoint::open(path));
  dir.write("model.safetensors", toy.bytes());
  CHECK(Checkpoint::open(dir.path()));
  dir.write("model.safetensors", "broken");
  check_refused(Checkpoint::open(dir.path()), ErrorCode::malformed, {"/model.safetensors: "});
}

TEST_CASE("checkpoint: a relative path without a directory") {
  const auto toy = ToyCheckpoint::small();
  const TempDir dir;
  dir.write("config.json", toy.config);
  dir.write("m.safetensors", toy.bytes());
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(dir.path());
  const auto file = Checkpoint::open("m.safetensors");
  const auto here = Checkpoint::open(".");
  std::filesystem::current_path(before);
  CHECK(file.has_value());
  CHECK(here.has_value());
}

TEST_CASE("checkpoint: Mistral's params.json stands in for config.json") {
  const auto toy = ToyCheckpoint(R"({"dim": 32, "n_layers": 1, "vocab_size": 9,
      "n_groups": 1, "pad_vocab_size_multiple": 1, "tie_embeddings": false, "model_type": "mamba"})");
  const TempDir dir;
  dir.write("params.json", toy.config);
  dir.write("consolidated.safetensors", toy.bytes());
  const auto checkpoint = Checkpoint::open(dir.path());
  REQUIRE(checkpoint);
  CHECK(!checkpoint->config().tie_embeddings);
  dir.write("config.json", "{}");
  check_refused(Checkpoint::open(dir.path()), ErrorCode::unsupported, {"/config.json: "});
}

TEST_CASE("checkpoint: files that are not there or not what they should be") {
  const auto toy = ToyCheckpoint::small();
  const TempDir dir;
  check_refused(Checkpoint::open(dir.path() / "missing"), ErrorCode::io, {"missing: no such file"});
  check_refused(Checkpoint::open(""), ErrorCode::io, {"no such file"});
  check_refused(Checkpoint::open(dir.path()), ErrorCode::io, {dir.path().native(), "found none"});
  check_refused(Checkpoint::open(dir.write("model.pt", "PK")), ErrorCode::unsupported,
                {"model.pt: expected a directory, a .safetensors file or a GGUF file"});
  dir.write("pytorch_model.bin", "pickle");
  dir.write("config.json", toy.config);
  check_refused(Checkpoint::open(dir.path()), ErrorCode::unsupported,
                {"pytorch_model.bin", "must be converted to safetensors first"});
  dir.write("model.safetensors", toy.bytes());
  CHECK(Checkpoint::open(dir.path()));
  std::filesystem::remove(dir.path() / "config.json");
  check_refused(Checkpoint::open(dir.path()), ErrorCode::io,
                {"/config.json: cannot open: no such file"});
  dir.write("config.json", std::string(2000000, ' '));
  check_refused(Checkpoint::open(dir.path()), ErrorCode::io,
                {"/config.json: expected at most 1048576 bytes"});
  std::filesystem::remove(dir.path() / "config.json");
  std::filesystem::create_directory(dir.path() / "config.json");
  check_refused(Checkpoint::open(dir.path()), ErrorCode::io,
                {"/config.json: expected a file, found a directory"});
}

TEST_CASE("checkpoint: shards and their index") {
  const ShardedToy sharded;
  const auto checkpoint = Checkpoint::open(sharded.dir.path());
  REQUIRE(checkpoint);
  CHECK(checkpoint->tensors().size() == sharded.toy.tensors.size());
  CHECK(checkpoint->tensor("embedding.weight").file == sharded.dir.path() / "a.safetensors");
  CHECK(checkpoint->tensor("norm_f.weight").file == sharded.dir.path() / "b.safetensors");
  CHECK(sharded.with_index("{\"total_size\": 1}", "null"));
  CHECK(sharded.with_index("\"metadata\": {\"total_size\": 1}, ", ""));
  // Shards that the index does not name are nobody's business.
  sharded.dir.write("c.safetensors", "unrelated");
  CHECK(Checkpoint::open(sharded.dir.path()));
}

TEST_CASE("checkpoint: an index names files beside it, and nothing else") {
  const ShardedToy sharded;
  std::filesystem::create_directory(sharded.dir.path() / "sub");
  sharded.dir.write("sub/a.safetensors", sharded.toy.bytes(0, 7));
  for (const std::string_view name :
       {"sub/a.safetensors", "./a.safetensors", "../x/a.safetensors", "/a.safetensors", "..", ".",
        "", "sub\\\\a.safetensors", "a..safetensors", "a.safetensors\\u0000", "\\na.safetensors"}) {
    check_refused(
        sharded.with_index("\"a.safetensors\"", concat("\"", name, "\"")), ErrorCode::malformed,
        {"model.safetensors.index.json: weight_map: tensor \"backbone.embeddings.weight\" "
         "must be in a file beside the index, found \""});
  }
  for (const std::string_view value : {"null", "1", "[]", "{}"}) {
    check_refused(sharded.with_index("\"a.safetensors\"", value), ErrorCode::malformed,
                  {"must be in a file beside the index, found"});
  }
  check_refused(sharded.with_index("\"weight_map\"", "\"weights\""), ErrorCode::malformed,
                {"weight_map must be an object, found no such key"});
  check_refused(sharded.with_index("{\"metadata\"", "[{\"metadata\""), ErrorCode::malformed,
                {"line "});
  check_refused(sharded.with_index(sharded.index, "[]"), ErrorCode::malformed,
                {"index.json: expected an object"});
  check_refused(sharded.with_index(sharded.index, "{\"weight_map\": []}"), ErrorCode::malformed,
                {"weight_map must be an object, found a list of 0"});
  check_refused(sharded.with_index(sharded.index, "{\"weight_map\": {}}"), ErrorCode::mismatch,
                {"\"embedding.weight\" must be there"});
  check_refused(sharded.with_index(sharded.index, std::string(9000000, ' ')), ErrorCode::io,
                {"at most 8388608 bytes"});
}

TEST_CASE("checkpoint: the index and the shards agree") {
  const ShardedToy sharded;
  const std::string& first = sharded.toy.tensors[0].name;
  const std::string entry = concat("\"", first, "\": \"a.safetensors\",");
  check_refused(
      sharded.with_index(entry, ""), ErrorCode::malformed,
      {"/a.safetensors: tensor \"" + first, "index.json says, in no file, found it here"});
  check_refused(sharded.with_index(entry, concat("\"", first, "\": \"b.safetensors\",")),
                ErrorCode::malformed,
                {"/a.safetensors: tensor \"" + first, "in \"b.safetensors\", found it here"});
  check_refused(
      sharded.with_index(entry, entry + "\"extra\": \"b.safetensors\","), ErrorCode::malformed,
      {"index.json: tensor \"extra\" must be in \"b.safetensors\", found no such tensor there"});
  check_refused(sharded.with_index(entry, entry + entry), ErrorCode::malformed, {"occurs twice"});
  check_refused(sharded.with_index(entry, concat("\"", first, "\": \"c.safetensors\",")),
                ErrorCode::io, {"/c.safetensors: cannot open: no such file"});

  sharded.dir.write("model.safetensors.index.json", sharded.index);
  sharded.dir.write("b.safetensors", sharded.toy.bytes(6));
  check_refused(
      Checkpoint::open(sharded.dir.path()), ErrorCode::malformed,
      {"/b.safetensors: tensor \"" + sharded.toy.tensors[6].name, "in \"a.safetensors\""});
  sharded.dir.write("b.safetensors", sharded.toy.bytes(8));
  check_refused(
      Checkpoint::open(sharded.dir.path()), ErrorCode::malformed,
      {"index.json: tensor \"" + sharded.toy.tensors[7].name, "found no such tensor there"});
  std::filesystem::remove(sharded.dir.path() / "b.safetensors");
  check_refused(Checkpoint::open(sharded.dir.path()), ErrorCode::io,
                {"/b.safetensors: cannot open"});
}

TEST_CASE("checkpoint: outlives the names of its files") {
  const auto toy = ToyCheckpoint::small();
  const TempDir dir;
  dir.write("config.json", toy.config);
  dir.write("model.safetensors", toy.bytes());
  auto opened = Checkpoint::open(dir.path());
  REQUIRE(opened);
  std::filesystem::remove_all(dir.path());
  const Checkpoint checkpoint = *std::move(opened);
  float last = 0;
  mamba2::read_floats(checkpoint.tensor("embedding.weight"), 65, std::span(&last, 1));
  CHECK(last == 65.0F / 1024.0F);
}
