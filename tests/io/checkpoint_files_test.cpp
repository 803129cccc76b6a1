// SPDX-License-Identifier: Apache-2.0
// Checkpoints on disk: which files they are made of, given which path.

#include <doctest/doctest.h>

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "mamba2/io/checkpoint.hpp"
#include "tests/io/checkpoint_refused.hpp"
#include "tests/io/temp_dir.hpp"
#include "tests/io/toy_checkpoint.hpp"

using mamba2::Checkpoint;
using mamba2::ErrorCode;
using mamba2::Result;
using mamba2::detail::concat;
using mamba2_tests::check_refused;
using mamba2_tests::TempDir;
using mamba2_tests::ToyCheckpoint;

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
  check_refused(Checkpoint::open(dir.write("model.pt", "PK\x03\x04")), ErrorCode::unsupported,
                {"model.pt: expected a folder with config.json and *.safetensors, one of these "
                 "files, a GGUF file, a model.bin of BitMamba-2 or a packed file of "
                 "mamba2-quantize --pack, found a pickle, "
                 "which must be converted to safetensors first"});
  std::filesystem::remove(dir.path() / "model.pt");
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

TEST_CASE("checkpoint: the path of a config stands for its folder") {
  const auto toy = ToyCheckpoint::small();
  const TempDir dir;
  const auto config = dir.write("config.json", toy.config);
  check_refused(Checkpoint::open(config), ErrorCode::io, {dir.path().native(), "found none"});
  const auto weights = dir.write("weights.safetensors", toy.bytes());
  const auto checkpoint = Checkpoint::open(config);
  REQUIRE(checkpoint);
  CHECK(checkpoint->tensors()[0].file == weights);
  check_refused(Checkpoint::open(dir.path() / "params.json"), ErrorCode::io,
                {"params.json: no such file"});
  // It is the config that is read, whatever else is there.
  check_refused(Checkpoint::open(dir.write("params.json", "{}")), ErrorCode::unsupported,
                {"/params.json: expected the keys of a Mamba-2 config"});
  check_refused(Checkpoint::open(dir.write("tokenizer.json", "{}")), ErrorCode::unsupported,
                {"/tokenizer.json: expected a folder with config.json"});
}

TEST_CASE("checkpoint: model.safetensors comes before an index, which is noted") {
  const auto toy = ToyCheckpoint::small();
  const TempDir dir;
  dir.write("config.json", toy.config);
  const auto whole = dir.write("model.safetensors", toy.bytes());
  CHECK(Checkpoint::open(dir.path()).value().notes().empty());
  const auto index = dir.write("model.safetensors.index.json", "not looked at");
  const auto checkpoint = Checkpoint::open(dir.path());
  REQUIRE(checkpoint);
  REQUIRE(checkpoint->notes().size() == 1);
  CHECK(checkpoint->notes()[0] ==
        index.native() + ": is passed over, as model.safetensors is there, too");
  CHECK(Checkpoint::open(whole).value().notes().empty());
  check_refused(Checkpoint::open(index), ErrorCode::malformed, {"index.json: line 1"});
}

TEST_CASE("checkpoint: folders without a model say what is there") {
  const auto toy = ToyCheckpoint::small();
  const TempDir dir;
  const auto refused = [&dir](ErrorCode code, std::initializer_list<std::string_view> parts) {
    check_refused(Checkpoint::open(dir.path()), code, parts);
  };
  std::filesystem::create_directory(dir.path() / "a");
  refused(ErrorCode::io, {"found none"});
  std::filesystem::create_directories(dir.path() / "b" / "c");
  dir.write("b/c/config.json", toy.config);
  refused(ErrorCode::io, {"found none"});
  dir.write("b/config.json", toy.config);
  refused(ErrorCode::io, {"found none, but a folder with a config: b"});
  std::filesystem::remove_all(dir.path() / "b");
  std::filesystem::create_directories(dir.path() / "snapshots" / "0a1b");
  dir.write("snapshots/0a1b/params.json", toy.config);
  refused(ErrorCode::io, {"found none, but a folder with a config: snapshots/0a1b"});
  dir.write("consolidated.00.pth", "pickle");
  refused(ErrorCode::unsupported, {"found consolidated.00.pth, a pickle, which must be"});
  dir.write("model-Q4_K_M.gguf", "GGUF");
  refused(ErrorCode::io, {"found model-Q4_K_M.gguf, which must be given by its own path"});
  // A link to nowhere, as a folder has it that was copied out of a cache of downloads.
  std::filesystem::create_symlink("nowhere", dir.path() / "model.safetensors");
  dir.write("config.json", toy.config);
  refused(ErrorCode::io, {"/model.safetensors: cannot open: no such file"});
}

TEST_CASE("checkpoint: an adapter is no model") {
  const auto toy = ToyCheckpoint::small();
  const std::string_view message =
      "expected a model, found an adapter (LoRA), which must be merged into its base model first";
  const TempDir dir;
  dir.write("adapter_config.json", "{}");
  check_refused(Checkpoint::open(dir.path()), ErrorCode::unsupported, {message});
  const auto adapter = dir.write("adapter_model.safetensors", toy.bytes());
  check_refused(Checkpoint::open(dir.path()), ErrorCode::unsupported, {message});
  dir.write("config.json", toy.config);
  check_refused(Checkpoint::open(dir.path()), ErrorCode::unsupported, {message});
  check_refused(Checkpoint::open(adapter), ErrorCode::unsupported,
                {"adapter_model.safetensors: ", message});
  // Beside a model it is nobody's business.
  dir.write("model.safetensors", toy.bytes());
  CHECK(Checkpoint::open(dir.path()));
}
