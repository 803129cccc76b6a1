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

#include <chrono>
#include <cstdio>
#endif

namespace mamba2::inline MAMBA2_ISA {

/// A file that is written beside its place, as NAME.*.partial, and gets its name when it is
/// complete; a file of that name is replaced then. Until commit() has succeeded, the destructor
/// removes what was written. But what is no file (a device, a pipe, a link to somewhere else) stays
/// what it is and is written to, from the first write() on.
class AtomicFile {
 public:
  /// Error io: nothing could be written there.
  [[nodiscard]] static Result<AtomicFile> create(const std::filesystem::path& path);

  AtomicFile(AtomicFile&& other) noexcept
      : path_(std::move(other.path_)),
        temporary_(std::move(other.temporary_)),
        descriptor_(std::exchange(other.descriptor_, kDone)) {}
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
  static constexpr int kDone = -1;    // there is no file, or no more
  static constexpr int kNotYet = -2;  // it is written in place, but nothing was so far

  explicit AtomicFile(std::filesystem::path path) : path_(std::move(path)) {}

  [[nodiscard]] bool in_place() const { return temporary_.empty(); }

  /// Opens, if that was not done yet, what is written in place. Returns false, with the reason in
  /// errno, if there is nothing to write to.
  [[nodiscard]] bool opened();

  void discard() noexcept {
    const int descriptor = std::exchange(descriptor_, kDone);
    if (descriptor < 0) return;
    ::close(descriptor);
    if (!in_place()) ::unlink(temporary_.c_str());
  }

  /// Removes what was written, for the reason in errno.
  [[nodiscard]] Error failed() {
    const std::string reason = detail::errno_text(errno);
    discard();
    return {ErrorCode::io, detail::concat(path_.native(), ": cannot be written: ", reason)};
  }

  std::filesystem::path path_;
  std::filesystem::path temporary_;  // empty: written in place
  int descriptor_ = kDone;
};

#if MAMBA2_HAS_DEFINITIONS

namespace detail {

inline constexpr mode_t kNewFileMode = 0666;  // less what the umask takes away

/// Whether what is no file could be written to; errno says why not.
[[nodiscard]] inline bool can_write_in_place(const std::filesystem::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return errno == ENOENT;  // a link to what will be made
  if (!S_ISDIR(status.st_mode)) return ::access(path.c_str(), W_OK) == 0;
  errno = EISDIR;
  return false;
}

}  // namespace detail

MAMBA2_FUNCTION Result<AtomicFile> AtomicFile::create(const std::filesystem::path& path) {
  AtomicFile file(path);
  struct stat status {};
  if (::lstat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
    if (!detail::can_write_in_place(path)) return file.failed();
    file.descriptor_ = kNotYet;
    return file;
  }
  constexpr int kTries = 100;
  for (int i = 0; i < kTries; ++i) {
    // A name that nobody else has: of this process and this moment.
    const auto now = std::chrono::steady_clock::now().time_since_epoch().count();
    file.temporary_ = path;
    file.temporary_ += detail::concat(".", ::getpid(), "-", now, ".partial");
    constexpr int kNew = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
    file.descriptor_ = ::open(file.temporary_.c_str(), kNew, detail::kNewFileMode);
    if (file.descriptor_ >= 0) return file;
    if (errno != EEXIST) break;
  }
  return file.failed();
}

MAMBA2_FUNCTION bool AtomicFile::opened() {
  if (descriptor_ == kNotYet) {
    constexpr int kInPlace = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY;
    descriptor_ = ::open(path_.c_str(), kInPlace, detail::kNewFileMode);
  } else if (descriptor_ == kDone) {
    errno = EBADF;
  }
  return descriptor_ >= 0;
}

MAMBA2_FUNCTION Result<void> AtomicFile::write(std::span<const std::byte> bytes) {
  if (!opened()) return failed();
  while (!bytes.empty()) {
    const ::ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return failed();
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return {};
}

MAMBA2_FUNCTION Result<void> AtomicFile::commit() {
  if (!opened()) return failed();
  if (::fsync(descriptor_) != 0 && errno != EINVAL) return failed();  // EINVAL: it is no file
  if (!in_place() && std::rename(temporary_.c_str(), path_.c_str()) != 0) return failed();
  ::close(std::exchange(descriptor_, kDone));
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
