// SPDX-License-Identifier: Apache-2.0
// Pointers of Git LFS, web pages and empty files in place of each file of a model.
#include "mamba2/io/stand_in.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/io/checkpoint.hpp"
#include "mamba2/tokenizer/tokenizer.hpp"
#include "tests/io/temp_dir.hpp"
#include "tests/io/toy_checkpoint.hpp"

using mamba2::Checkpoint;
using mamba2::ErrorCode;
using mamba2::Tokenizer;
using mamba2::detail::stand_in;
using mamba2_tests::ToyCheckpoint;

namespace {

constexpr std::string_view kPointer =
    "version https://git-lfs.github.com/spec/v1\noid sha256:0123456789abcdef\nsize 123456789\n";
constexpr std::string_view kIsPointer =
    "is a pointer of Git LFS, not the file itself (git lfs pull fetches it)";
constexpr std::string_view kIsPage =
    "is a web page, not the file itself, which must be downloaded anew";

/// What is there instead of a file, and what a message says of it.
const std::vector<std::pair<std::string, std::string_view>> kStandIns = {
    {std::string(kPointer), kIsPointer},
    {"<!DOCTYPE html><html><body>Not found</body></html>", kIsPage},
    {" \r\n\t<!doctype HTML>\n", kIsPage},
    {"\xEF\xBB\xBF<HTML lang=en>", kIsPage},
};

/// It must be an error that says this of this file.
template <class T>
void check_says(const mamba2::Result<T>& result, const std::filesystem::path& file,
                std::string_view what) {
  REQUIRE(!result);
  CHECK(result.error().code == ErrorCode::malformed);
  CHECK(result.error().message == file.native() + ": " + std::string(what));
}

}  // namespace

TEST_CASE("stand-ins: by their beginning") {
  for (const auto& [text, what] : kStandIns) CHECK(stand_in(std::string_view(text)) == what);
  CHECK(stand_in(std::string_view()) == "is empty");
  for (const std::string_view text :
       {" ", "\n\n", "{}", "version 2", "<", "<ht", "<!doctype", "<!doctype xml", "html", "GGUF",
        "x <html>", "\xEF\xBB\xBF", "\xEF\xBB<html>"}) {
    CAPTURE(text);
    CHECK(stand_in(text).empty());
  }
}

TEST_CASE("stand-ins: in place of each file of a checkpoint") {
  const auto toy = ToyCheckpoint::small();
  for (const auto& [text, what] : kStandIns) {
    const mamba2_tests::TempDir dir;
    const auto config = dir.write("config.json", toy.config);
    const auto weights = dir.write("model.safetensors", text);
    check_says(Checkpoint::open(dir.path()), weights, what);
    check_says(Checkpoint::open(weights), weights, what);
    dir.write("model.safetensors", toy.bytes());
    dir.write("config.json", text);
    check_says(Checkpoint::open(dir.path()), config, what);
    dir.write("config.json", toy.config);
    std::filesystem::remove(weights);
    const auto index = dir.write("model.safetensors.index.json", text);
    check_says(Checkpoint::open(dir.path()), index, what);
    const auto gguf = dir.write("model.gguf", text);
    check_says(Checkpoint::open(gguf), gguf, what);
    check_says(Tokenizer::load(gguf), gguf, what);
    const auto tokenizer = dir.write("tokenizer.json", text);
    check_says(Tokenizer::load(tokenizer), tokenizer, what);
    check_says(Tokenizer::load(dir.path()), tokenizer, what);
    check_says(Checkpoint::from_gguf(std::as_bytes(std::span(text)), "g"), "g", what);
  }
}

TEST_CASE("stand-ins: empty files") {
  const mamba2_tests::TempDir dir;
  const auto config = dir.write("config.json", "");
  const auto weights = dir.write("model.safetensors", "");
  check_says(Checkpoint::open(dir.path()), config, "expected JSON, found nothing (0 bytes)");
  dir.write("config.json", ToyCheckpoint::small().config);
  check_says(Checkpoint::open(dir.path()), weights, "is empty");
  const auto gguf = dir.write("model.gguf", "");
  check_says(Checkpoint::open(gguf), gguf, "is empty");
  check_says(Tokenizer::load(gguf), gguf, "is empty");
  const auto tokenizer = dir.write("tokenizer.json", "");
  check_says(Tokenizer::load(dir.path()), tokenizer, "expected JSON, found nothing (0 bytes)");
}
