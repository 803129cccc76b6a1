// SPDX-License-Identifier: Apache-2.0
// Mapped files: contents, ownership, and what is refused.
#include "mamba2/core/mapped_file.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "tests/io/temp_dir.hpp"

using mamba2::ErrorCode;
using mamba2::MappedFile;
using mamba2_tests::TempDir;

namespace {

std::string text_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

/// Opening must fail as an io error that names the path and says this.
void check_refused_file(const std::filesystem::path& path, std::string_view reason) {
  CAPTURE(path.native());
  const auto file = MappedFile::open(path);
  REQUIRE(!file);
  CHECK(file.error().code == ErrorCode::io);
  CAPTURE(file.error().message);
  CHECK(file.error().message.starts_with(path.native() + ": "));
  CHECK(file.error().message.find(reason) != std::string::npos);
}

}  // namespace

TEST_CASE("mapped file: maps what is in the file") {
  const TempDir dir;
  std::string content(12345, 'x');
  content[0] = 'a';
  content[12344] = 'z';
  const auto file = MappedFile::open(dir.write("f", content));
  REQUIRE(file);
  CHECK(text_of(*file) == content);
}

TEST_CASE("mapped file: an empty file is an empty span") {
  const TempDir dir;
  const auto file = MappedFile::open(dir.write("empty", ""));
  REQUIRE(file);
  CHECK(file->bytes().empty());
}

TEST_CASE("mapped file: follows symbolic links") {
  const TempDir dir;
  dir.write("f", "content");
  std::filesystem::create_symlink("f", dir.path() / "link");
  const auto file = MappedFile::open(dir.path() / "link");
  REQUIRE(file);
  CHECK(text_of(*file) == "content");
}

TEST_CASE("mapped file: moves, and outlives the name of its file") {
  static_assert(!std::is_copy_constructible_v<MappedFile>);
  static_assert(std::is_nothrow_move_constructible_v<MappedFile>);
  const TempDir dir;
  auto first = MappedFile::open(dir.write("first", "one"));
  auto second = MappedFile::open(dir.write("second", "three"));
  REQUIRE(first);
  REQUIRE(second);
  const std::byte* address = first->bytes().data();
  MappedFile moved = *std::move(first);
  CHECK(moved.bytes().data() == address);
  CHECK(first->bytes().empty());
  std::filesystem::remove(dir.path() / "first");
  CHECK(text_of(moved) == "one");
  moved = *std::move(second);
  CHECK(text_of(moved) == "three");
  MappedFile& same = moved;
  moved = std::move(same);
  CHECK(text_of(moved) == "three");
}

TEST_CASE("mapped file: what is not a readable regular file is refused") {
  const TempDir dir;
  const auto file = dir.write("f", "content");
  check_refused_file(dir.path() / "missing", "no such file");
  check_refused_file(file / "below", "not a directory");
  check_refused_file(dir.path(), "found a directory");
  check_refused_file("/dev/null", "found a device or pipe");
  check_refused_file("", "no such file");
  check_refused_file(dir.path() / std::string(5000, 'n'), "too long");
  std::filesystem::create_symlink("loop", dir.path() / "loop");
  check_refused_file(dir.path() / "loop", "too many symbolic links");
  if (::geteuid() != 0) {
    REQUIRE(::chmod(file.c_str(), 0) == 0);
    check_refused_file(file, "permission denied");
  }
}

TEST_CASE("mapped file: a FIFO without a writer does not hang") {
  const TempDir dir;
  const auto fifo = dir.path() / "fifo";
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  check_refused_file(fifo, "found a device or pipe");
}

TEST_CASE("mapped file: descriptors are closed") {
  const TempDir dir;
  const auto path = dir.write("f", "content");
  const int before = ::dup(0);
  ::close(before);
  for (int i = 0; i < 10; ++i) {
    const auto file = MappedFile::open(path);
    const auto directory = MappedFile::open(dir.path());
    CHECK(file.has_value());
    CHECK(!directory.has_value());
  }
  const int after = ::dup(0);
  ::close(after);
  CHECK(after == before);
}

TEST_CASE("read_text_file: reads up to its limit") {
  const TempDir dir;
  const auto path = dir.write("f", std::string_view("a\0b\n", 4));
  const auto text = mamba2::read_text_file(path, 4);
  REQUIRE(text);
  CHECK(*text == std::string_view("a\0b\n", 4));
  const auto too_long = mamba2::read_text_file(path, 3);
  REQUIRE(!too_long);
  CHECK(too_long.error().code == ErrorCode::io);
  CHECK(too_long.error().message == path.native() + ": expected at most 3 bytes, found 4");
  const auto empty = mamba2::read_text_file(dir.write("empty", ""), 10);
  REQUIRE(empty);
  CHECK(empty->empty());
  CHECK(!mamba2::read_text_file(dir.path() / "missing", 10));
}
