// SPDX-License-Identifier: Apache-2.0
// GGUF models in several files.
#include "mamba2/io/gguf_parts.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mamba2/io/checkpoint.hpp"
#include "mamba2/text/chat/template_files.hpp"
#include "tests/io/gguf_model.hpp"
#include "tests/io/temp_dir.hpp"
#include "tests/io/toy_checkpoint.hpp"

using mamba2::Checkpoint;
using mamba2::ErrorCode;
using mamba2::Result;
using mamba2::detail::GgufPartName;
using mamba2_tests::GgufModel;
using mamba2_tests::TempDir;
using mamba2_tests::ToyCheckpoint;

namespace {

using Bytes = std::vector<std::byte>;

GgufModel toy_model() {
  const ToyCheckpoint toy = ToyCheckpoint::small("\"tie_word_embeddings\": true");
  const Bytes bytes = toy.bytes();
  const std::span<const std::byte> shard = bytes;
  return GgufModel(Checkpoint::from_bytes(toy.config, {&shard, 1}).value());
}

std::uint32_t u32(std::size_t value) { return static_cast<std::uint32_t>(value); }

/// A model cut into parts: all metadata in the first.
struct Parts {
  static constexpr std::size_t kCount = 3;

  GgufModel whole = toy_model();
  std::vector<GgufModel> models;

  Parts() {
    whole.keys["tokenizer.chat_template"] = "{{ messages }}";
    const std::size_t size = whole.tensors.size();
    for (std::size_t i = 0; i < kCount; ++i) {
      GgufModel part = whole;
      if (i > 0) part.keys.clear();
      part.keys["split.no"] = u32(i);
      part.keys["split.count"] = u32(kCount);
      part.keys["split.tensors.count"] = static_cast<std::int32_t>(size);
      const auto at = [&](std::size_t n) {
        return whole.tensors.begin() + static_cast<std::ptrdiff_t>(n * size / kCount);
      };
      part.tensors.assign(at(i), at(i + 1));
      models.push_back(std::move(part));
    }
  }

  [[nodiscard]] static std::string name(std::size_t i) {
    return "model-0000" + std::to_string(i + 1) + "-of-00003.gguf";
  }
  void write(const TempDir& folder) const {
    for (std::size_t i = 0; i < models.size(); ++i) folder.write(name(i), models[i].bytes());
  }
};

void check_part_error(const Result<Checkpoint>& checkpoint, ErrorCode code,
                      std::initializer_list<std::string_view> parts) {
  REQUIRE(!checkpoint);
  const std::string& message = checkpoint.error().message;
  CAPTURE(message);
  CHECK(checkpoint.error().code == code);
  for (const std::string_view part : parts) {
    CAPTURE(part);
    CHECK(message.find(part) != std::string::npos);
  }
}

void check_same(const Checkpoint& found, const Checkpoint& expected) {
  CHECK(found.config().vocab_size == expected.config().vocab_size);
  REQUIRE(found.tensors().size() == expected.tensors().size());
  for (const mamba2::TensorView& tensor : expected.tensors()) {
    CAPTURE(tensor.name);
    const mamba2::TensorView& other = found.tensor(tensor.name);
    CHECK(other.shape == tensor.shape);
    CHECK(std::equal(other.data.begin(), other.data.end(), tensor.data.begin(), tensor.data.end()));
  }
}

}  // namespace

TEST_CASE("gguf parts: which file names are those of parts") {
  const auto name = GgufPartName::of("some/folder/model-00002-of-00012.gguf");
  REQUIRE(name);
  CHECK(name->stem == "model-");
  CHECK(name->count == 12);
  CHECK(name->part(0) == "model-00001-of-00012.gguf");
  CHECK(name->part(11) == "model-00012-of-00012.gguf");
  CHECK(GgufPartName::of("-00001-of-00002.gguf"));
  for (const std::string_view other :
       {"model.gguf", "model-00001-of-00001.gguf", "model-00000-of-00002.gguf",
        "model-00003-of-00002.gguf", "model-0001-of-00002.gguf", "model_00001-of-00002.gguf",
        "model-00001-of-0000x.gguf", "model-00001-of-00002.safetensors", "00001-of-00002.gguf"}) {
    CAPTURE(other);
    CHECK(!GgufPartName::of(other));
    CHECK(mamba2::detail::first_gguf_part(other) == other);
  }
  CHECK(mamba2::detail::first_gguf_part("a/m-00002-of-00003.gguf") == "a/m-00001-of-00003.gguf");
}

TEST_CASE("gguf parts: any of them stands for all") {
  const Parts parts;
  const TempDir folder;
  parts.write(folder);
  const Bytes whole = parts.whole.bytes();
  const Checkpoint expected = Checkpoint::from_gguf(whole).value();
  std::size_t bytes = 0;
  for (const GgufModel& part : parts.models) bytes += part.bytes().size();
  for (std::size_t i = 0; i < Parts::kCount; ++i) {
    const std::filesystem::path path = folder.path() / Parts::name(i);
    const Result<Checkpoint> found = Checkpoint::open(path);
    REQUIRE(found);
    check_same(*found, expected);
    CHECK(found->file_bytes() == bytes);
    const auto templates = mamba2::detail::ModelTemplates::read(path).value();
    REQUIRE(templates.chosen() != nullptr);
    CHECK(templates.place.find(Parts::name(0)) != std::string::npos);
  }

  std::vector<Bytes> files;
  for (const GgufModel& part : parts.models) files.push_back(part.bytes());
  std::vector<Checkpoint::GgufPart> in_memory;
  for (const Bytes& file : files) in_memory.push_back({file, "part"});
  check_same(Checkpoint::from_gguf(in_memory).value(), expected);
}

TEST_CASE("gguf parts: one that is not there, or is no part of this model") {
  const TempDir folder;
  const auto open = [&](const Parts& parts) {
    parts.write(folder);
    return Checkpoint::open(folder.path() / Parts::name(1));
  };
  Parts wrong;
  wrong.models[2].keys["split.no"] = u32(1);
  check_part_error(open(wrong), ErrorCode::mismatch,
                   {Parts::name(2), "split.no must be 2, found 1"});
  wrong = Parts();
  wrong.models[1].keys["split.count"] = u32(4);
  check_part_error(open(wrong), ErrorCode::mismatch,
                   {Parts::name(1), "split.count must be 3, found 4"});
  wrong = Parts();
  wrong.models[1].keys.erase("split.count");
  check_part_error(open(wrong), ErrorCode::mismatch,
                   {Parts::name(1), "split.count", "no such key"});
  wrong = Parts();
  wrong.models[0].keys["split.no"] = "first";
  check_part_error(open(wrong), ErrorCode::malformed,
                   {Parts::name(0), "split.no must be an integer"});
  wrong = Parts();
  wrong.models[2].tensors.pop_back();
  check_part_error(open(wrong), ErrorCode::mismatch,
                   {Parts::name(0), "split.tensors.count must be"});
  wrong = Parts();
  wrong.models[2].tensors.back() = wrong.models[1].tensors.front();
  check_part_error(open(wrong), ErrorCode::malformed,
                   {Parts::name(2), wrong.models[1].tensors.front().name, "twice"});
  wrong = Parts();
  wrong.models[0].keys["general.architecture"] = "llama";
  check_part_error(open(wrong), ErrorCode::unsupported, {Parts::name(0), "general.architecture"});

  Parts().write(folder);
  CHECK(Checkpoint::open(folder.path() / Parts::name(0)));
  folder.write(Parts::name(2), "something else");
  check_part_error(Checkpoint::open(folder.path() / Parts::name(0)), ErrorCode::unsupported,
                   {Parts::name(2)});
  std::filesystem::remove(folder.path() / Parts::name(2));
  check_part_error(Checkpoint::open(folder.path() / Parts::name(0)), ErrorCode::io,
                   {Parts::name(0), "expected the 3 parts", "found no", Parts::name(2)});
}

TEST_CASE("gguf parts: one alone is refused") {
  const Parts parts;
  const TempDir folder;
  check_part_error(Checkpoint::from_gguf(parts.models[0].bytes(), "f.gguf"), ErrorCode::unsupported,
                   {"f.gguf: split.count must be 1", "found 3"});
  folder.write("renamed.gguf", parts.models[0].bytes());
  check_part_error(Checkpoint::open(folder.path() / "renamed.gguf"), ErrorCode::unsupported,
                   {"split.count", "gguf-split"});
  check_part_error(Checkpoint::from_gguf(std::span<const Checkpoint::GgufPart>()),
                   ErrorCode::invalid_argument, {"no file"});
}
