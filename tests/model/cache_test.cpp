// SPDX-License-Identifier: Apache-2.0
#include "mamba2/model/cache.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "mamba2/core/mapped_file.hpp"
#include "mamba2/mamba2.hpp"
#include "tests/io/temp_dir.hpp"
#include "tests/model_helpers.hpp"
#include "tests/reference/checkpoint.hpp"
#include "tests/reference/random_weights.hpp"

namespace fs = std::filesystem;
using mamba2::AnyModel;
using mamba2::CacheOptions;

namespace {
namespace caching {

struct CachedFolder {
  mamba2_tests::TempDir dir;
  fs::path model = dir.path() / "model";
  CacheOptions cache = {.folder = dir.path() / "made" / "cache"};

  explicit CachedFolder(std::uint64_t seed = 1) { write(seed); }

  void write(std::uint64_t seed) const {
    const mamba2::Config config = reference::variants().front().config;
    const auto files = reference::to_checkpoint(config, reference::random_weights(config, seed));
    fs::create_directories(model);
    (void)dir.write("model/config.json", files.config_json);
    (void)dir.write("model/model.safetensors", files.safetensors);
  }
  [[nodiscard]] mamba2::Result<AnyModel> try_load(
      const mamba2::Plan& plan = mamba2::kPlan<mamba2::Int8>) const {
    mamba2::LoadOptions options;
    options.workers.threads = 1;
    options.cache = cache;
    return AnyModel::load(model, plan, options);
  }
  [[nodiscard]] AnyModel load(const mamba2::Plan& plan = mamba2::kPlan<mamba2::Int8>) const {
    return try_load(plan).value();
  }
  [[nodiscard]] std::vector<fs::path> kept() const {
    std::vector<fs::path> files;
    if (!fs::exists(cache.folder)) return files;
    for (const auto& entry : fs::directory_iterator(cache.folder)) files.push_back(entry.path());
    return files;
  }
};

std::vector<float> some_logits(const AnyModel& model) {
  auto session = model.session({.workers = {.threads = 1}}).value();
  const auto logits = session.prefill(std::vector<mamba2::Token>{3, 1, 4, 1, 5}).value();
  return {logits.begin(), logits.end()};
}

std::vector<std::byte> bytes_of(const fs::path& path) {
  const auto file = mamba2::MappedFile::open(path).value();
  return {file.bytes().begin(), file.bytes().end()};
}

}  // namespace caching
}  // namespace

TEST_CASE("cache: the second start takes the weights of the first, in every policy") {
  using namespace caching;
  const CachedFolder folder;
  const CachedFolder other(2);
  std::size_t files = 0;
  for (const mamba2::Plan* plan : {&mamba2::kPlan<mamba2::Fp32>, &mamba2::kPlan<mamba2::Fp16>,
                                   &mamba2::kPlan<mamba2::Bf16>, &mamba2::kPlan<mamba2::Int8>,
                                   &mamba2::kPlan<mamba2::Int4>, &mamba2::kPlan<mamba2::Mixed>}) {
    CAPTURE(std::string(plan->name));
    const AnyModel packed = folder.load(*plan);
    CHECK(folder.kept().size() == ++files);
    const AnyModel again = folder.load(*plan);
    CHECK(folder.kept().size() == files);
    CHECK(some_logits(again) == some_logits(packed));
    CHECK(again.fingerprint() == packed.fingerprint());
    CHECK(again.weight_bytes() == packed.weight_bytes());
    CHECK(again.notes().empty());
  }
  // It is taken from there: here from the file of another model.
  const AnyModel expected = other.load();
  REQUIRE(other.kept().size() == 1);
  const CachedFolder swapped;
  (void)swapped.load();
  REQUIRE(swapped.kept().size() == 1);
  fs::copy_file(other.kept()[0], swapped.kept()[0], fs::copy_options::overwrite_existing);
  CHECK(some_logits(swapped.load()) == some_logits(expected));
}

TEST_CASE("cache: a model that has changed is packed anew") {
  using namespace caching;
  const CachedFolder folder;
  const auto before = some_logits(folder.load());
  folder.write(2);
  const auto after = some_logits(folder.load());
  CHECK(after != before);
  CHECK(folder.kept().size() == 2);
  CHECK(some_logits(folder.load()) == after);
  // By its time alone, too.
  const fs::path file = folder.model / "model.safetensors";
  fs::last_write_time(file, fs::last_write_time(file) - std::chrono::seconds(10));
  (void)folder.load();
  CHECK(folder.kept().size() == 3);
  // What ends a text is part of it.
  (void)folder.dir.write("model/generation_config.json", R"({"eos_token_id": 7})");
  const auto eos = folder.load().config().eos_token_ids;
  CHECK(std::ranges::count(eos, 7) == 1);
  CHECK(folder.kept().size() == 4);
  CHECK(folder.load().config().eos_token_ids == eos);
  // Layers that run more than once are another model.
  mamba2::LoadOptions repeating;
  repeating.cache = folder.cache;
  repeating.repeat = {.first = 0, .last = 1, .count = 1};
  (void)AnyModel::load(folder.model, mamba2::kPlan<mamba2::Int8>, repeating).value();
  CHECK(folder.kept().size() == 5);
}

TEST_CASE("cache: files that are damaged are written anew") {
  using namespace caching;
  CachedFolder folder;
  const auto expected = some_logits(folder.load());
  const fs::path kept = folder.kept().at(0);
  const std::vector<std::byte> whole = bytes_of(kept);
  const auto write = [&](std::span<const std::byte> bytes) {
    return folder.dir.write("made/cache/" + kept.filename().native(), bytes);
  };
  for (const std::size_t size : {std::size_t{0}, std::size_t{10}, whole.size() - 1}) {
    (void)write(std::span(whole).first(size));
    CHECK(some_logits(folder.load()) == expected);
    CHECK(bytes_of(kept) == whole);
  }
  std::vector<std::byte> damaged = whole;
  damaged[100] ^= std::byte{1};  // of the header
  (void)write(damaged);
  CHECK(some_logits(folder.load()) == expected);
  CHECK(bytes_of(kept) == whole);
  // Of the weights, where it is asked for.
  damaged = whole;
  damaged[whole.size() / 2] ^= std::byte{64};
  (void)write(damaged);
  folder.cache.check_hash = true;
  CHECK(some_logits(folder.load()) == expected);
  CHECK(bytes_of(kept) == whole);
}

TEST_CASE("cache: it keeps to its size, and to its own files") {
  using namespace caching;
  CachedFolder folder;
  CachedFolder second(2);
  CachedFolder third(3);
  (void)folder.load();
  const fs::path first = folder.kept().at(0);
  const std::uint64_t bytes = fs::file_size(first);
  const fs::path foreign = folder.dir.write("made/cache/letter.txt", "not of the cache");
  const auto was_used = [](const fs::path& file, int minutes_ago) {
    const auto now = fs::file_time_type::clock::now();
    fs::last_write_time(file, now - std::chrono::minutes(minutes_ago));
  };
  // What a program left that ended in the middle.
  const std::string name = "made/cache/" + first.filename().native();
  const fs::path left = folder.dir.write(name + ".17-99.partial", "MAMBA2");
  was_used(left, 61);
  const fs::path in_work = folder.dir.write(name + ".18-99.partial", "MAMBA2");
  was_used(first, 20);
  for (CachedFolder* each : {&folder, &second, &third}) {
    each->cache = {.folder = folder.cache.folder, .most_bytes = 2 * bytes + bytes / 2};
  }
  (void)second.load();
  CHECK(!fs::exists(left));
  CHECK(fs::remove(in_work));
  CHECK(folder.kept().size() == 3);
  for (const fs::path& file : folder.kept()) {
    if (file != first && file != foreign) was_used(file, 10);
  }
  (void)folder.load();  // used again: the second is now the one that has to go
  (void)third.load();
  CHECK(folder.kept().size() == 3);
  CHECK(fs::exists(first));
  CHECK(fs::exists(foreign));
  // One that is too large is not kept, and says so; the model runs.
  const CachedFolder small;
  mamba2::LoadOptions options;
  options.cache = {.folder = small.cache.folder, .most_bytes = 1000};
  const auto model_alone =
      AnyModel::load(small.model, mamba2::kPlan<mamba2::Int8>, options).value();
  REQUIRE(model_alone.notes().size() == 1);
  CHECK(model_alone.notes()[0].find("has room for 1000 bytes, and the weights have") !=
        std::string::npos);
  CHECK(small.kept().empty());
}

TEST_CASE("cache: where there can be none, the model runs, with a note") {
  using namespace caching;
  CachedFolder folder;
  folder.cache.folder = folder.dir.write("a_file", "in the way") / "cache";
  const AnyModel model = folder.load();
  REQUIRE(model.notes().size() == 1);
  CHECK(model.notes()[0].starts_with(folder.cache.folder.native() + ": cannot be made: "));
  CHECK(some_logits(model) == some_logits(CachedFolder().load()));
}

TEST_CASE("cache: memory of the application's own is filled, whatever is kept") {
  using namespace caching;
  const CachedFolder folder;
  const auto expected = some_logits(folder.load());
  alignas(64) static std::byte memory[1 << 20];
  mamba2::LoadOptions options;
  options.cache = folder.cache;
  options.memory = memory;
  const auto model = AnyModel::load(folder.model, mamba2::kPlan<mamba2::Int8>, options).value();
  CHECK(some_logits(model) == expected);
  CHECK(folder.kept().size() == 1);
}

TEST_CASE("cache: programs that start at once are not in each other's way") {
  using namespace caching;
  const CachedFolder folder;
  const auto expected = some_logits(CachedFolder().load());
  std::vector<std::vector<float>> found(4);
  {
    std::vector<std::jthread> starts;
    for (auto& logits : found) {
      starts.emplace_back([&] { logits = some_logits(folder.load()); });
    }
  }
  for (const auto& logits : found) CHECK(logits == expected);
  CHECK(folder.kept().size() == 1);
}
