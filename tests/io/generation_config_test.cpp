// SPDX-License-Identifier: Apache-2.0
// generation_config.json beside a config.json: more ends of a text, and nothing that stops loading.
#include "mamba2/io/generation_config.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "mamba2/io/checkpoint.hpp"
#include "tests/io/temp_dir.hpp"
#include "tests/io/toy_checkpoint.hpp"

using mamba2::Checkpoint;
using mamba2::Token;
using mamba2_tests::TempDir;
using mamba2_tests::ToyCheckpoint;

namespace {

using Tokens = std::vector<Token>;
using Notes = std::vector<std::string>;

/// What is said of the ends of a text by a model with eos_token_id 4 and 2 of 11 tokens.
struct Ends {
  Tokens ids;
  Notes notes;
};

Ends ends_with(const std::string& generation_config) {
  const auto toy = ToyCheckpoint::small(R"("tie_word_embeddings": true, "eos_token_id": [4, 2])");
  const std::vector<std::byte> file = toy.bytes();
  const std::span<const std::byte> shard(file);
  const auto checkpoint =
      Checkpoint::from_bytes(toy.config, std::span(&shard, 1), generation_config).value();
  return {checkpoint.config().eos_token_ids,
          Notes(checkpoint.notes().begin(), checkpoint.notes().end())};
}

/// Nothing but the config's, and this note.
void check_passed_over(const std::string& generation_config, const std::string& note) {
  const Ends ends = ends_with(generation_config);
  CHECK(ends.ids == Tokens{4, 2});
  CHECK(ends.notes == Notes{"generation_config.json: " + note + ": passed over"});
}

}  // namespace

TEST_CASE("generation config: its tokens come after those of the config, each once") {
  CHECK(ends_with("").ids == Tokens{4, 2});
  CHECK(ends_with("{}").ids == Tokens{4, 2});
  CHECK(ends_with(R"({"eos_token_id": null})").ids == Tokens{4, 2});
  CHECK(ends_with(R"({"eos_token_id": 7})").ids == Tokens{4, 2, 7});
  CHECK(ends_with(R"({"eos_token_id": 2})").ids == Tokens{4, 2});
  const Ends ends = ends_with(R"({"eos_token_id": [10, 2, 0, 10, 4], "max_length": Infinity})");
  CHECK(ends.ids == Tokens{4, 2, 10, 0});
  CHECK(ends.notes.empty());
}

TEST_CASE("generation config: what is wrong is passed over") {
  const std::string key = "eos_token_id must be a token in 0..10, found ";
  check_passed_over(R"({"eos_token_id": 11})", key + "11");
  check_passed_over(R"({"eos_token_id": "2"})", key + "\"2\"");
  check_passed_over(R"({"eos_token_id": [[7]]})", key + "a list of 1");
  check_passed_over(R"({"eos_token_id": [-1, 1.5]})", key + "-1 and 1 more that cannot be");
  check_passed_over("[]", "expected a JSON object, found a list of 0");
  check_passed_over("{\"eos_token_id\": ",
                    "line 1 at the key \"eos_token_id\": expected JSON, found a syntax error");
  check_passed_over("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 12\n",
                    "is a pointer of Git LFS, not the file itself (git lfs pull fetches it)");
  const Ends some = ends_with(R"({"eos_token_id": [99, 7]})");
  CHECK(some.ids == Tokens{4, 2, 7});
  CHECK(some.notes.size() == 1);
}

TEST_CASE("generation config: the file beside the config") {
  const auto toy = ToyCheckpoint::small();
  const TempDir dir;
  dir.write("config.json", toy.config);
  const auto weights = dir.write("model.safetensors", toy.bytes());
  const auto ids = [&](const std::filesystem::path& path) {
    return Checkpoint::open(path).value().config().eos_token_ids;
  };
  const auto note = [&] {
    const Checkpoint checkpoint = Checkpoint::open(dir.path()).value();
    CHECK(checkpoint.config().eos_token_ids == Tokens{2});
    REQUIRE(checkpoint.notes().size() == 1);
    return checkpoint.notes()[0];
  };
  CHECK(ids(dir.path()) == Tokens{2});
  const auto path = dir.write("generation_config.json", R"({"eos_token_id": [3, 2]})");
  CHECK(ids(dir.path()) == Tokens{2, 3});
  CHECK(ids(weights) == Tokens{2, 3});
  dir.write("generation_config.json", std::string((1 << 20) + 1, ' '));
  CHECK(note() == path.native() + ": expected at most 1048576 bytes, found 1048577: passed over");
  dir.write("generation_config.json", "");
  CHECK(note() == path.native() + ": expected JSON, found nothing (0 bytes): passed over");
  std::filesystem::remove(path);
  std::filesystem::create_directory(path);
  CHECK(note() == path.native() + ": expected a file, found a directory: passed over");
}
