// SPDX-License-Identifier: Apache-2.0
// Checkpoints of several files and an index.

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

namespace {

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
                ErrorCode::io,
                {"index.json: expected the 3 files that it names beside it, found 2, without "
                 "\"c.safetensors\""});

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
                {"index.json: expected the 2 files", "found 1, without \"b.safetensors\""});
}

TEST_CASE("checkpoint: a shard, or the index, stands for the model") {
  const ShardedToy sharded;
  const std::filesystem::path& folder = sharded.dir.path();
  for (const char* name :
       {"a.safetensors", "b.safetensors", "model.safetensors.index.json", "config.json"}) {
    CAPTURE(name);
    const auto checkpoint = Checkpoint::open(folder / name);
    REQUIRE(checkpoint);
    CHECK(checkpoint->tensors().size() == sharded.toy.tensors.size());
    CHECK(checkpoint->tensor("embedding.weight").file == folder / "a.safetensors");
    CHECK(checkpoint->tensor("norm_f.weight").file == folder / "b.safetensors");
    CHECK(checkpoint->notes().empty());
  }
  // The index of another model in the folder does not matter, nor one beside model.safetensors.
  const auto other = sharded.dir.write("other.safetensors", sharded.toy.bytes());
  const auto whole = sharded.dir.write("model.safetensors", sharded.toy.bytes());
  CHECK(Checkpoint::open(other).value().tensor("norm_f.weight").file == other);
  CHECK(Checkpoint::open(whole).value().tensor("norm_f.weight").file == whole);
  const auto renamed = sharded.dir.write("x.safetensors.index.json", sharded.index);
  CHECK(Checkpoint::open(renamed).value().tensor("norm_f.weight").file == folder / "b.safetensors");
  sharded.dir.write("model.safetensors.index.json", "{");
  CHECK(Checkpoint::open(whole));
  check_refused(Checkpoint::open(folder / "a.safetensors"), ErrorCode::malformed,
                {"model.safetensors.index.json: line 1"});
  std::filesystem::remove(folder / "model.safetensors.index.json");
  check_refused(Checkpoint::open(folder / "a.safetensors"), ErrorCode::mismatch, {"found none"});
}
