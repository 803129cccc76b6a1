// SPDX-License-Identifier: Apache-2.0
// Enormous input: an error, or it works, in memory that what is really there bounds.
#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "mamba2/io/config_json.hpp"
#include "mamba2/tokenizer/tokenizer.hpp"
#include "tests/io/gguf_writer.hpp"
#include "tests/io/safetensors_writer.hpp"
#include "tests/io/temp_dir.hpp"
#include "tests/memory/used.hpp"
#include "tests/model_helpers.hpp"
#include "tests/reference/random_weights.hpp"
#include "tests/tokenizer/tiny_tokenizer.hpp"

using mamba2::Checkpoint;
using mamba2::Config;
using mamba2::ErrorCode;
using mamba2::Token;

namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

// What an allocator may keep in reserve: that of AddressSanitizer gives nothing back.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::size_t kReserve = 256 * kMiB;
#else
constexpr std::size_t kReserve = 2 * kMiB;
#endif

/// In /proc/self/status, in bytes.
std::size_t status(const std::string& key) {
  std::ifstream file("/proc/self/status");
  std::string word;
  std::size_t kibibytes = 0;
  while (file >> word && word != key) {
  }
  file >> kibibytes;
  return kibibytes << 10;
}

/// By how much the memory of a process grew at most, in bytes.
struct Growth {
  std::size_t address_space;  ///< touched or not, and mapped files
  std::size_t resident;       ///< touched, pages of mapped files included
};

/// Under QEMU, resident memory is the emulator's, with its tables of what the program has mapped.
bool emulated() { return std::getenv("QEMU_CPU") != nullptr; }

/// Calls run() in a child process, whose peaks begin with the call. Nothing if run() says no, or
/// does not return.
template <class Run>
std::optional<Growth> growth(Run run) {
  std::fflush(nullptr);  // or the child may write it, too
  std::array<int, 2> ends{};
  REQUIRE(::pipe(ends.data()) == 0);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const std::size_t address_space = status("VmSize:");
    const std::size_t resident = status("VmRSS:");
    if (!run()) ::_exit(1);
    const Growth grown = {status("VmPeak:") - address_space, status("VmHWM:") - resident};
    ::_exit(::write(ends[1], &grown, sizeof grown) == sizeof grown ? 0 : 1);
  }
  Growth grown{};
  ::close(ends[1]);
  const bool complete = ::read(ends[0], &grown, sizeof grown) == sizeof grown;
  ::close(ends[0]);
  int result = 0;
  REQUIRE(::waitpid(child, &result, 0) == child);
  if (!complete || result != 0) return std::nullopt;
  return grown;
}

/// run() says yes, and takes so much memory at most, besides the allocator's reserve.
template <class Run>
void check_bounded(std::size_t bytes, Run run) {
  const auto grown = growth(run);
  REQUIRE(grown.has_value());
  CHECK(grown->address_space <= bytes + kReserve);
}

bool refused(const mamba2::Result<Checkpoint>& checkpoint, ErrorCode code) {
  return !checkpoint && checkpoint.error().code == code;
}

mamba2::Result<Checkpoint> from_bytes(std::string_view config, std::span<const std::byte> file) {
  return Checkpoint::from_bytes(config, std::span(&file, 1));
}

/// A config.json like that of a small model, but for one key.
std::string config_with(const std::string& key, std::uint64_t value) {
  nlohmann::json json = {{"d_model", 16},
                         {"n_layer", 2},
                         {"vocab_size", 32},
                         {"ssm_cfg", {{"layer", "Mamba2"}, {"headdim", 8}, {"d_state", 4}}}};
  json[key] = value;
  return json.dump();
}

/// A shape that every check lets pass, with the smallest amount of work for a token.
Config smallest_config() {
  Config c;
  c.d_model = 8;
  c.n_layer = 1;
  c.vocab_size = 300;
  c.d_inner = c.d_ssm = 8;
  c.headdim = 8;
  c.d_state = 1;
  return c;
}

}  // namespace

TEST_CASE("the measure sees what it should") {
  const auto nothing = growth([] { return true; });
  REQUIRE(nothing.has_value());
  CHECK(nothing->address_space < kReserve);
  CHECK(!growth([] { return false; }));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they reserve theirs before
  const auto reserved = growth([] {
    std::vector<char> none;
    none.reserve(301 * kMiB);  // more than is checked: a part may lie in pages that were there
    return tests::used(none.data()) != nullptr;
  });
  REQUIRE(reserved.has_value());
  CHECK(reserved->address_space >= 300 * kMiB);
  CHECK(reserved->resident < 16 * kMiB);
#endif
  const auto touched = growth([] {
    std::vector<char> some(64 * kMiB, 'x');
    return tests::used(some.data()) != nullptr;
  });
  REQUIRE(touched.has_value());
  CHECK(touched->resident >= 60 * kMiB);
}

TEST_CASE("a safetensors file that claims 100 GB") {
  const std::string config = config_with("d_model", 16);
  const std::string tensor =
      R"({"a":{"dtype":"F32","shape":[25000,1000000],"data_offsets":[0,100000000000]}})";
  check_bounded(0, [&] {
    return refused(from_bytes(config, mamba2_tests::raw_safetensors(tensor)), ErrorCode::malformed);
  });
  std::vector<std::byte> header = mamba2_tests::raw_safetensors("{}");
  const std::uint64_t length = 100'000'000'000U;
  std::memcpy(header.data(), &length, sizeof length);
  check_bounded(0, [&] { return refused(from_bytes(config, header), ErrorCode::malformed); });
}

TEST_CASE("a file of 100 GB with nothing in it") {
  const mamba2_tests::TempDir directory;
  directory.write("config.json", config_with("d_model", 16));
  // "{}", and as far as the claim goes zeros that take no space on the disk.
  for (const std::string name : {"model.safetensors", "model.gguf"}) {
    CAPTURE(name);
    const auto path = directory.write(name, mamba2_tests::raw_safetensors("{}"));
    std::error_code failed;
    std::filesystem::resize_file(path, 100'000'000'000U, failed);
    if (failed) {
      MESSAGE("not tested: the file system has no files of 100 GB: ", failed.message());
      continue;
    }
    const auto grown = growth([&] { return !Checkpoint::open(path); });
    REQUIRE(grown.has_value());
    if (!emulated()) CHECK(grown->resident < 2 * kMiB + kReserve);
  }
}

TEST_CASE("a GGUF file that claims 100 GB") {
  using mamba2_tests::GgufBytes;
  using mamba2_tests::GgufType;
  constexpr std::uint64_t kMuch = 100'000'000'000U;
  const auto start = [](std::uint64_t tensors, std::uint64_t keys) {
    GgufBytes file;
    file.raw("GGUF").number(std::uint32_t{3}).number(tensors).number(keys);
    return file;
  };
  std::vector<GgufBytes> files;
  files.push_back(start(kMuch, 0));
  files.push_back(start(0, kMuch));
  files.push_back(start(0, 1));
  files.back().number(kMuch).raw("key");  // the length of a key
  files.push_back(start(0, 1));
  files.back().string("key").type(GgufType::string).number(kMuch);
  for (const GgufType type : {GgufType::uint8, GgufType::float64, GgufType::string}) {
    files.push_back(start(0, 1));
    files.back().string("key").type(GgufType::array).type(type).number(kMuch);
  }
  files.push_back(start(1, 0));  // a tensor, F32, at offset 0
  files.back()
      .string("a")
      .number(std::uint32_t{2})
      .number(kMuch / 4000)
      .number(std::uint64_t{1000});
  files.back().number(std::uint32_t{0}).number(std::uint64_t{0});
  files.back().pad(32);
  for (std::size_t i = 0; i < files.size(); ++i) {
    CAPTURE(i);
    const std::span<const std::byte> bytes = files[i].bytes;
    check_bounded(0, [&] { return !Checkpoint::from_gguf(bytes); });
    check_bounded(0, [&] { return !mamba2::Tokenizer::from_gguf(bytes); });
  }
}

TEST_CASE("a config with a width of 2^31, a million layers, or no vocabulary") {
  const std::vector<std::byte> empty = mamba2_tests::raw_safetensors("{}");
  const std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
  for (const std::string key : {"d_model", "n_layer", "vocab_size"}) {
    for (const std::uint64_t value : {std::uint64_t{0}, std::uint64_t{1} << 31, most}) {
      CAPTURE(key);
      CAPTURE(value);
      check_bounded(0, [&] { return !from_bytes(config_with(key, value), empty); });
    }
  }
  check_bounded(0, [&] { return !from_bytes(config_with("n_layer", 1'000'000), empty); });
  // What a Config may be, without the tensors.
  for (const std::string key : {"d_model", "n_layer", "vocab_size"}) {
    CAPTURE(key);
    check_bounded(0, [&] {
      return refused(from_bytes(config_with(key, 65536), empty), ErrorCode::mismatch);
    });
  }
}

TEST_CASE("a state that no machine has the memory for is an error") {
  Config c;
  c.n_layer = 65536;
  c.d_model = c.d_inner = c.d_ssm = 131072;
  c.d_state = 65536;
  CHECK(c.validate());
  const auto state = mamba2::State::create(c);
  REQUIRE(!state);
  CHECK(state.error().code == ErrorCode::out_of_memory);
}

TEST_CASE("a tokenizer with an id of 2^31 - 1, and a JSON text nested a million deep") {
  for (const std::string place : {"vocab", "added_tokens"}) {
    CAPTURE(place);
    nlohmann::json json = tiny::tokenizer();
    const std::int64_t id = std::numeric_limits<Token>::max();
    if (place == "vocab") {
      json["model"]["vocab"]["he"] = id;
    } else {
      json["added_tokens"][0]["id"] = id;
    }
    const std::string text = json.dump();
    check_bounded(0, [&] { return !mamba2::Tokenizer::from_json(text); });
  }
  const std::string deep(1'000'000, '[');
  // A level is an object of the parser's, until it gives up.
  check_bounded(64 * deep.size(),
                [&] { return !mamba2::Tokenizer::from_json(deep) && !mamba2::parse_config(deep); });
}

TEST_CASE("a prompt of 10 MB") {
#if defined(MAMBA2_QUICK_TESTS)
  constexpr std::size_t kBytes = 500'000;  // slow builds get by with less
#else
  constexpr std::size_t kBytes = 10'000'000;
#endif
  // Tokens of 2, 4 ... 64 letters, and two words.
  nlohmann::json json = tiny::tokenizer();
  auto& vocab = json["model"]["vocab"];
  const auto merge = [&](const std::string& left, const std::string& right) {
    vocab[left + right] = vocab.size();
    json["model"]["merges"].push_back({left, right});
  };
  for (std::string letters = "a"; letters.size() < 64; letters += letters) merge(letters, letters);
  const std::string space = tiny::symbol(' ');
  merge(space, "hello");
  for (std::size_t length = 1; length < 5; ++length) {
    const std::string_view world = "world";
    merge(space + std::string(world.substr(0, length)), std::string(world.substr(length, 1)));
  }
  json["added_tokens"][0]["id"] = vocab.size();
  const auto tokenizer = mamba2::Tokenizer::from_json(json.dump()).value();
  const auto model =
      tests::load(smallest_config(), reference::random_weights(smallest_config(), 51));
  auto session = model.session({.workers = {.threads = 1}}).value();

  constexpr std::size_t kWord = kBytes / 5;
  std::string prompt(kWord, 'a');  // one word: nothing cuts it before the merges
  while (prompt.size() < kBytes) prompt += " hello world";
  const std::size_t words = (prompt.size() - kWord) / 6;
  const auto read = growth([&] {
    const auto tokens = tokenizer.encode(prompt);
    return tokens.size() == (kWord + 63) / 64 + words && session.prefill(tokens) &&
           session.state().tokens() == tokens.size();
  });
  REQUIRE(read.has_value());
  MESSAGE("address space: ", read->address_space / kBytes, " bytes for each of the prompt");
  CHECK(read->address_space < 16 * kBytes + kReserve);

  // Each byte becomes the three of U+FFFD, and none of them merge.
  const std::string not_utf8(kBytes, '\xC3');
  const auto replaced = growth([&] { return tokenizer.encode(not_utf8).size() == 3 * kBytes; });
  REQUIRE(replaced.has_value());
  MESSAGE("and if it is not text: ", replaced->address_space / kBytes);
  CHECK(replaced->address_space < 128 * kBytes + kReserve);
}

TEST_CASE("a thousand sessions of one model") {
  constexpr std::size_t kSessions = 1000;
  const Config config = reference::variants().front().config;
  const auto model = tests::load(config, reference::random_weights(config, 52));
  const mamba2::SessionOptions options = {
      .prefill_batch = 16, .workers = {.executor = std::make_shared<mamba2::SerialExecutor>()}};
  const auto needed = mamba2::Mamba2Model<mamba2::Fp32>::memory_required(config, options);
  const std::vector<Token> prompt = {3, 1, 4};
  const auto grown = growth([&] {
    std::vector<mamba2::Session<mamba2::Fp32>> sessions;
    std::vector<float> first;
    for (std::size_t i = 0; i < kSessions; ++i) {
      auto session = model.session(options);
      if (!session) return false;
      const auto logits = session->prefill(prompt).value();
      if (i == 0) first.assign(logits.begin(), logits.end());
      if (!std::equal(first.begin(), first.end(), logits.begin(), logits.end())) return false;
      sessions.push_back(*std::move(session));
    }
    return true;
  });
  REQUIRE(grown.has_value());
  MESSAGE("resident: ", grown->resident / kSessions, " bytes a session");
  // Each of the two blocks ends in the middle of a page; a mapping's entry in the page table.
  const std::size_t each = needed.state + needed.scratch + (std::size_t{24} << 10);
  if (!emulated()) CHECK(grown->resident < kSessions * each + kReserve);
}
