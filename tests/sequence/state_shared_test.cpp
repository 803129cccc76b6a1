// SPDX-License-Identifier: Apache-2.0
// Two programs that go on from one state file: what one has saved is not lost to the other.
#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "mamba2/core/mapped_file.hpp"
#include "mamba2/sequence/state_file.hpp"
#include "tests/io/temp_dir.hpp"
#include "tests/sequence/saved_state.hpp"

using mamba2::ErrorCode;
using mamba2::StateFile;
using mamba2_tests::FileBytes;
using mamba2_tests::Saved;
using mamba2_tests::TempDir;
namespace fs = std::filesystem;

namespace {

FileBytes bytes_at(const fs::path& path) {
  const auto file = mamba2::MappedFile::open(path).value();
  return {file.bytes().begin(), file.bytes().end()};
}

std::ptrdiff_t files_at(const fs::path& folder) {
  return std::distance(fs::directory_iterator(folder), {});
}

/// A program: what it has in memory, and its StateFile.
struct Program : Saved {
  StateFile file{session, &sampler};

  /// Reads a token and saves.
  mamba2::Result<void> turn(const fs::path& path) {
    (void)session.decode(1).value();
    return file.save(path);
  }
};

/// A file that is not replaced stays as it is, and nothing is left of what was to replace it.
template <class Save>
void check_not_replaced(const fs::path& path, const std::string& why, Save save) {
  const FileBytes before = bytes_at(path);
  const std::ptrdiff_t files = files_at(path.parent_path());
  const mamba2::Result<void> saved = save();
  REQUIRE(!saved);
  CHECK(saved.error().code == ErrorCode::mismatch);
  CHECK(saved.error().message == path.native() + ": is not replaced: " + why);
  CHECK(bytes_at(path) == before);
  CHECK(files_at(path.parent_path()) == files);
}

constexpr const char* kChanged = "another program has changed it since it was loaded or saved here";

}  // namespace

TEST_CASE("a state file that another program has changed is not replaced") {
  const TempDir dir;
  const fs::path path = dir.path() / "x.state";
  Program one;
  Program two;
  const auto refused = [&](Program& program) {
    check_not_replaced(path, kChanged, [&] { return program.turn(path); });
  };
  one.turn(path).value();
  two.file.load(path).value();
  two.turn(path).value();
  two.turn(path).value();
  refused(one);
  refused(one);
  // By another name, or from what is there.
  one.file.save(dir.path() / "y.state").value();
  one.file.load(path).value();
  one.turn(path).value();
  refused(two);

  // By any name of the file.
  fs::create_symlink("x.state", dir.path() / "link.state");
  two.file.load(dir.path() / "link.state").value();
  two.turn(path).value();
  two.turn(dir.path() / "link.state").value();
  refused(one);

  // What is no state any more.
  dir.write("x.state", "short");
  refused(two);
  dir.write("x.state", std::string(5000, 'x'));
  refused(two);
  // One that has never seen it replaces whatever there is.
  Program three;
  three.turn(path).value();
  refused(two);
}

TEST_CASE("where nothing would be lost a state file is written") {
  const TempDir dir;
  const fs::path path = dir.path() / "x.state";
  Program one;
  one.turn(path).value();
  // The same content in another file.
  fs::copy_file(path, dir.path() / "copy");
  fs::rename(dir.path() / "copy", path);
  one.turn(path).value();
  // No file any more.
  fs::rename(path, dir.path() / "moved");
  one.turn(path).value();
  CHECK(bytes_at(path) == one.bytes());
  // Neither is what was not loaded, or was before too many others.
  Program two;
  two.turn(path).value();
  for (int i = 0; i < 15; ++i) one.turn(dir.path() / std::to_string(i)).value();
  check_not_replaced(path, kChanged, [&] { return one.turn(path); });
  one.turn(dir.path() / "15").value();
  one.turn(path).value();
}

TEST_CASE("a new state file is written where there is none") {
  const TempDir dir;
  const fs::path path = dir.path() / "x.state";
  constexpr const char* kThere = "a new file was to be written, and there is one already";
  Program one;
  Program two;
  one.file.save_new(path).value();
  CHECK(bytes_at(path) == one.bytes());
  check_not_replaced(path, kThere, [&] { return two.file.save_new(path); });
  check_not_replaced(path, kThere, [&] { return one.file.save_new(path); });
  one.turn(path).value();
  two.turn(path).value();
  two.turn(path).value();
  check_not_replaced(path, kChanged, [&] { return one.turn(path); });
  CHECK(two.file.save_new(dir.path()).error().code == ErrorCode::io);
}

TEST_CASE("of all who save to one file at the same time each goes on from the one before") {
  const TempDir dir;
  const fs::path path = dir.path() / "x.state";
  Program first;
  first.turn(path).value();
  const std::uint64_t begin = first.session.state().tokens();
  std::atomic<int> other_errors = 0;
  std::array<std::uint64_t, 4> saved{};
  std::vector<std::thread> threads;
  for (std::uint64_t& turns : saved) {
    threads.emplace_back([&] {
      Program mine;
      for (int i = 0; i < 20; ++i) {
        if (!mine.file.load(path)) ++other_errors;
        const auto outcome = mine.turn(path);
        if (outcome) ++turns;
        if (!outcome && outcome.error().code != ErrorCode::mismatch) ++other_errors;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(other_errors == 0);
  std::uint64_t turns = 0;
  for (const std::uint64_t some : saved) turns += some;
  CHECK(turns > 0);
  first.file.load(path).value();
  CHECK(first.session.state().tokens() == begin + turns);
  CHECK(files_at(dir.path()) == 1);
}
