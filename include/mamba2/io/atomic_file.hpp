// SPDX-License-Identifier: Apache-2.0
// Files that appear under their names whole or not at all.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <utility>

#include "mamba2/core/linkage.hpp"
#include "mamba2/core/mapped_file.hpp"
#include "mamba2/core/result.hpp"

#if MAMBA2_HAS_DEFINITIONS
#include <sys/stat.h>

#include <atomic>
#include <cstdio>
#endif

namespace mamba2::inline MAMBA2_ISA {

/// A file that is written beside its place, as NAME.*.partial, and gets its name when it is
/// complete; a file of that name is replaced then. Until commit() has succeeded, the destructor
/// removes what was written.
class AtomicFile {
 public:
  /// Error io: the file could not be written there, or its name is taken by something that is not
  /// a regular file.
  [[nodiscard]] static Result<AtomicFile> create(const std::filesystem::path& path);

  AtomicFile(AtomicFile&& other) noexcept
      : path_(std::move(other.path_)),
        temporary_(std::move(other.temporary_)),
        descriptor_(std::exchange(other.descriptor_, -1)) {}
  AtomicFile& operator=(AtomicFile&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(temporary_, other.temporary_);
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile() { discard(); }

  /// Appends bytes. Error io (the disk is full), after which nothing is left of the file.
  [[nodiscard]] Result<void> write(std::span<const std::byte> bytes);

  /// Waits until the file is on the disk and gives it its name. Error io, as write.
  [[nodiscard]] Result<void> commit();

 private:
  AtomicFile(std::filesystem::path path, std::filesystem::path temporary, int descriptor)
      : path_(std::move(path)), temporary_(std::move(temporary)), descriptor_(descriptor) {}

  void discard() noexcept {
    if (descriptor_ < 0) return;
    ::close(std::exchange(descriptor_, -1));
    ::unlink(temporary_.c_str());
  }

  /// Removes what was written, for the reason in errno.
  [[nodiscard]] Error failed() {
    const std::string reason = detail::errno_text(descriptor_ < 0 ? EBADF : errno);
    discard();
    return {ErrorCode::io, detail::concat(path_.native(), ": cannot be written: ", reason)};
  }

  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int descriptor_;  // -1: there is no file, or no more
};

#if MAMBA2_HAS_DEFINITIONS

MAMBA2_FUNCTION Result<AtomicFile> AtomicFile::create(const std::filesystem::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
    return Error{ErrorCode::io,
                 detail::concat(path.native(), ": cannot be written: found a ",
                                S_ISDIR(status.st_mode) ? "directory" : "device", " of that name")};
  }
  static std::atomic<unsigned> count{0};
  std::filesystem::path temporary = path;
  temporary += detail::concat(".", ::getpid(), "-", ++count, ".partial");
  const auto open = [&temporary] {
    constexpr mode_t kReadWrite = 0666;  // less what the umask takes away
    return ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, kReadWrite);
  };
  int descriptor = open();
  // Left by a process of the same number that was killed.
  if (descriptor < 0 && errno == EEXIST && ::unlink(temporary.c_str()) == 0) descriptor = open();
  AtomicFile file(path, std::move(temporary), descriptor);
  if (descriptor >= 0) return file;
  return Error{ErrorCode::io,
               detail::concat(path.native(), ": cannot be written: ", detail::errno_text(errno))};
}

MAMBA2_FUNCTION Result<void> AtomicFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ::ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return failed();
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return {};
}

MAMBA2_FUNCTION Result<void> AtomicFile::commit() {
  if (::fsync(descriptor_) != 0) return failed();
  if (std::rename(temporary_.c_str(), path_.c_str()) != 0) return failed();
  ::close(std::exchange(descriptor_, -1));
  // So that the name, too, outlasts a loss of power; a file system that cannot do it is no error.
  const std::filesystem::path folder = path_.has_parent_path() ? path_.parent_path() : ".";
  const int directory = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory >= 0) {
    (void)::fsync(directory);
    ::close(directory);
  }
  return {};
}

#endif

}  // namespace mamba2::inline MAMBA2_ISA
