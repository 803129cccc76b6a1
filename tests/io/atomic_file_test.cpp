// SPDX-License-Identifier: Apache-2.0
// Files that appear whole or not at all.
#include "mamba2/io/atomic_file.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "mamba2/core/mapped_file.hpp"
#include "tests/io/temp_dir.hpp"

using mamba2::AtomicFile;
using mamba2::ErrorCode;
using mamba2_tests::TempDir;
namespace fs = std::filesystem;

namespace {

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

std::string content_of(const fs::path& path) {
  return mamba2::read_text_file(path, 1 << 20).value();
}

std::size_t files_in(const TempDir& dir) {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator(dir.path())) ++count;
  return count;
}

void check_io(const mamba2::Error& error, const fs::path& path, std::string_view reason) {
  CAPTURE(error.message);
  CHECK(error.code == ErrorCode::io);
  CHECK(error.message.starts_with(path.native() + ": cannot be written: "));
  CHECK(error.message.find(reason) != std::string::npos);
}

/// While it lives, files cannot grow beyond so many bytes: as if the disk were full.
class SizeLimit {
 public:
  explicit SizeLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit = {bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  SizeLimit(const SizeLimit&) = delete;
  SizeLimit& operator=(const SizeLimit&) = delete;
  ~SizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int);
};

}  // namespace

TEST_CASE("atomic_file: nothing before commit, all after it") {
  const TempDir dir;
  const fs::path path = dir.path() / "out";
  auto file = AtomicFile::create(path).value();
  file.write(bytes_of("one ")).value();
  CHECK(!fs::exists(path));
  file.write(bytes_of("two")).value();
  file.write({}).value();
  file.commit().value();
  CHECK(content_of(path) == "one two");
  CHECK(files_in(dir) == 1);
  check_io(file.write(bytes_of("more")).error(), path, "errno");  // it is done
  check_io(file.commit().error(), path, "errno");
  CHECK(content_of(path) == "one two");
}

TEST_CASE("atomic_file: a file is replaced at the end; given up, it stays") {
  const TempDir dir;
  const fs::path path = dir.write("out", "old");
  {
    auto file = AtomicFile::create(path).value();
    file.write(bytes_of("new")).value();
    CHECK(files_in(dir) == 2);
  }
  CHECK(content_of(path) == "old");
  CHECK(files_in(dir) == 1);
  auto first = AtomicFile::create(path).value();
  auto second = AtomicFile::create(path).value();  // at the same time
  first.write(bytes_of("first")).value();
  second.write(bytes_of("second")).value();
  first.commit().value();
  CHECK(content_of(path) == "first");
  second.commit().value();
  CHECK(content_of(path) == "second");
  CHECK(files_in(dir) == 1);
}

TEST_CASE("atomic_file: moves") {
  static_assert(!std::is_copy_constructible_v<AtomicFile>);
  const TempDir dir;
  auto a = AtomicFile::create(dir.path() / "a").value();
  auto moved = std::move(a);
  moved.write(bytes_of("a")).value();
  auto b = AtomicFile::create(dir.path() / "b").value();
  std::swap(moved, b);
  b.commit().value();
  CHECK(content_of(dir.path() / "a") == "a");
  CHECK(!fs::exists(dir.path() / "b"));
}

TEST_CASE("atomic_file: a full disk leaves nothing") {
  const TempDir dir;
  const fs::path path = dir.path() / "out";
  auto file = AtomicFile::create(path).value();
  {
    const SizeLimit limit(1000);
    const std::vector<std::byte> much(5000);
    file.write(std::span(much).first(800)).value();
    const auto written = file.write(much);
    REQUIRE(!written);
    check_io(written.error(), path, "too large");
  }
  CHECK(files_in(dir) == 0);
  CHECK(!file.commit());
  CHECK(files_in(dir) == 0);
}

TEST_CASE("atomic_file: what cannot be written") {
  const TempDir dir;
  fs::path path = dir.path() / "missing" / "out";
  check_io(AtomicFile::create(path).error(), path, "no such file or directory");
  path = dir.write("file", "x") / "out";
  check_io(AtomicFile::create(path).error(), path, "not a directory");
  check_io(AtomicFile::create(dir.path()).error(), dir.path(), "it is a directory");
  path = dir.path() / "link to a directory";
  fs::create_symlink(".", path);
  check_io(AtomicFile::create(path).error(), path, "it is a directory");
  path = dir.path() / std::string(300, 'x');
  check_io(AtomicFile::create(path).error(), path, "too long");
  CHECK(files_in(dir) == 2);
}

TEST_CASE("atomic_file: what is no file stays what it is, and is written to") {
  const TempDir dir;
  const fs::path target = dir.write("target", "old content");
  const fs::path link = dir.path() / "link";
  fs::create_symlink("target", link);
  CHECK(AtomicFile::create(link));  // as nothing was written, nothing happens
  CHECK(content_of(target) == "old content");
  auto file = AtomicFile::create(link).value();
  file.write(bytes_of("new")).value();
  file.commit().value();
  CHECK(fs::is_symlink(link));
  CHECK(content_of(target) == "new");
  check_io(file.write(bytes_of("more")).error(), link, "errno");

  const fs::path dangling = dir.path() / "dangling";
  fs::create_symlink("made", dangling);
  AtomicFile::create(dangling).value().commit().value();
  CHECK(content_of(dir.path() / "made").empty());
  fs::create_symlink("missing/file", dir.path() / "astray");
  auto astray = AtomicFile::create(dir.path() / "astray").value();
  check_io(astray.write({}).error(), dir.path() / "astray", "no such file");

  auto null = AtomicFile::create("/dev/null").value();
  null.write(bytes_of("text")).value();
  null.commit().value();
  CHECK(fs::is_character_file("/dev/null"));
  if (fs::is_character_file("/dev/full")) {
    auto full = AtomicFile::create("/dev/full").value();
    check_io(full.write(bytes_of("text")).error(), "/dev/full", "the disk is full");
    CHECK(!full.commit());
    CHECK(fs::is_character_file("/dev/full"));
  }
  CHECK(files_in(dir) == 5);
}

TEST_CASE("atomic_file: asks before a file is replaced") {
  const TempDir dir;
  const fs::path path = dir.write("out", "old");
  const auto commit = [&](const AtomicFile::MayReplace& may_replace) {
    auto file = AtomicFile::create(path).value();
    file.write(bytes_of("new")).value();
    return file.commit(may_replace);
  };
  int asked = 0;
  const auto no = [&]() -> mamba2::Result<void> {
    ++asked;
    return mamba2::Error{ErrorCode::mismatch, "stays"};
  };
  const auto refused = commit(no);
  REQUIRE(!refused);
  CHECK(refused.error().code == ErrorCode::mismatch);
  CHECK(refused.error().message == "stays");
  CHECK(content_of(path) == "old");
  CHECK(files_in(dir) == 1);
  CHECK(asked == 1);

  // Nobody else can have the folder meanwhile, and afterwards everybody can.
  const int folder = ::open(dir.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  REQUIRE(folder >= 0);
  const auto yes = [&]() -> mamba2::Result<void> {
    ++asked;
    CHECK(::flock(folder, LOCK_EX | LOCK_NB) != 0);
    return {};
  };
  commit(yes).value();
  CHECK(content_of(path) == "new");
  // Somebody who keeps it locked is not waited for for ever.
  CHECK(::flock(folder, LOCK_EX | LOCK_NB) == 0);
  CHECK(!commit(no));
  CHECK(commit([] { return mamba2::Result<void>(); }));
  ::close(folder);
  CHECK(asked == 3);

  auto null = AtomicFile::create("/dev/null").value();
  null.commit(no).value();
  CHECK(asked == 3);
}

TEST_CASE("atomic_file: a pipe has one reader, who sees all of it and nothing else") {
  const TempDir dir;
  const fs::path path = dir.path() / "pipe";
  REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  CHECK(AtomicFile::create(path));  // neither waits for a reader nor lets one go
  std::string read;
  std::thread reader([&] {
    std::ifstream in(path);
    read.assign(std::istreambuf_iterator<char>(in), {});
  });
  auto file = AtomicFile::create(path).value();
  file.write(bytes_of("one ")).value();
  file.write(bytes_of("two")).value();
  file.commit().value();
  reader.join();
  CHECK(read == "one two");
  CHECK(fs::is_fifo(path));
}
