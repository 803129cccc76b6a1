// SPDX-License-Identifier: Apache-2.0
// Files that appear under their names whole or not at all.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <utility>

#include "mamba2/core/linkage.hpp"
#include "mamba2/core/mapped_file.hpp"
#include "mamba2/core/result.hpp"

#if MAMBA2_HAS_DEFINITIONS
#include <sys/file.h>
#include <sys/stat.h>

#include <chrono>
#include <cstdio>
#include <thread>
#endif

namespace mamba2 {
inline namespace MAMBA2_ISA {

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

  using MayReplace = std::function<Result<void>()>;

  /// Waits until the file is on the disk and gives it its name. Error io, as write. may_replace, if
  /// there is one, is called just before, and its error is that of commit(): of all who commit with
  /// one to the same folder, one at a time asks and gets the name. (On file systems without locks,
  /// and where somebody else has the folder locked for longer than a second, the check is all.)
  /// What is written in place is not asked for.
  [[nodiscard]] Result<void> commit(const MayReplace& may_replace = {});

 private:
  static constexpr int kDone = -1;    // there is no file, or no more
  static constexpr int kNotYet = -2;  // it is written in place, but nothing was so far

  explicit AtomicFile(std::filesystem::path path) : path_(std::move(path)) {}

  [[nodiscard]] bool in_place() const { return temporary_.empty(); }

  /// Opens, if that was not done yet, what is written in place. Returns false, with the reason in
  /// errno, if there is nothing to write to.
  [[nodiscard]] bool opened();

  /// Gives the file its name, if it may have it.
  [[nodiscard]] Result<void> get_name(const MayReplace& may_replace);

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

/// The folder of a file, open; or not, if it may not be read.
class FolderOf {
 public:
  explicit FolderOf(const std::filesystem::path& file) {
    const std::filesystem::path folder = file.has_parent_path() ? file.parent_path() : ".";
    descriptor_ = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  }
  FolderOf(const FolderOf&) = delete;
  FolderOf& operator=(const FolderOf&) = delete;
  ~FolderOf() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }

  /// For as long as a rename takes. Others' locks, which may last, are waited for a second at most:
  /// whoever has it may itself wait for this program.
  void lock() const {
    for (int i = 0; i < 1000 && ::flock(descriptor_, LOCK_EX | LOCK_NB) != 0; ++i) {
      if (errno != EWOULDBLOCK && errno != EINTR) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  void unlock() const { (void)::flock(descriptor_, LOCK_UN); }

  /// So that names in it, too, outlast a loss of power; a file system that cannot do it is no
  /// error.
  void sync() const { (void)::fsync(descriptor_); }

 private:
  int descriptor_;
};

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

MAMBA2_FUNCTION Result<void> AtomicFile::get_name(const MayReplace& may_replace) {
  if (may_replace) {
    if (Result<void> may = may_replace(); !may) {
      discard();
      return may;
    }
  }
  if (std::rename(temporary_.c_str(), path_.c_str()) != 0) return failed();
  return {};
}

MAMBA2_FUNCTION Result<void> AtomicFile::commit(const MayReplace& may_replace) {
  if (!opened()) return failed();
  if (::fsync(descriptor_) != 0 && errno != EINVAL) return failed();  // EINVAL: it is no file
  const detail::FolderOf folder(path_);
  if (!in_place()) {
    if (may_replace) folder.lock();
    Result<void> named = get_name(may_replace);
    if (may_replace) folder.unlock();
    if (!named) return named;
  }
  ::close(std::exchange(descriptor_, kDone));
  folder.sync();
  return {};
}

#endif

}  // namespace MAMBA2_ISA
}  // namespace mamba2
