// SPDX-License-Identifier: Apache-2.0
// Files as bytes in memory.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <utility>

#include "mamba2/core/result.hpp"
#include "mamba2/core/views.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

namespace detail {

/// The reason behind an errno, without the locale and the static buffer of strerror.
inline std::string errno_text(int code) {
  switch (code) {
    case ENOENT:
      return "no such file or directory";
    case EACCES:
      return "permission denied";
    case EISDIR:
      return "it is a directory";
    case ENOTDIR:
      return "a part of the path is not a directory";
    case ENAMETOOLONG:
      return "the name is too long";
    case ELOOP:
      return "too many symbolic links";
    case EMFILE:
    case ENFILE:
      return "too many open files";
    case ENOMEM:
      return "not enough memory";
    case ENOSPC:
    case EDQUOT:
      return "the disk is full";
    case EFBIG:
      return "the file would be too large";
    case EROFS:
      return "the file system is read-only";
    case EIO:
      return "the disk failed";
    default:
      return concat("errno ", code);
  }
}

}  // namespace detail

/// A regular file mapped read-only into memory; the pages are read when they are touched. The file
/// must not shrink while it is mapped: touching a page that is gone ends the process (SIGBUS).
class MappedFile {
 public:
  /// Maps the whole file. Error io: missing, unreadable, or not a regular file (a FIFO does not
  /// block). An empty file has an empty span.
  [[nodiscard]] static Result<MappedFile> open(const std::filesystem::path& path);

  MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
  MappedFile& operator=(MappedFile&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile() {
    if (!bytes_.empty()) ::munmap(bytes_.data(), bytes_.size());
  }

  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return bytes_; }

  /// Gives back the memory of pages that lie in `part` of bytes() as a whole, until they are
  /// touched again.
  void release(std::span<const std::byte> part) const noexcept {
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    const auto begin =
        detail::round_up(static_cast<std::size_t>(part.data() - bytes_.data()), page);
    const auto end =
        static_cast<std::size_t>(part.data() + part.size() - bytes_.data()) / page * page;
    if (begin < end) ::madvise(bytes_.data() + begin, end - begin, MADV_DONTNEED);
  }

 private:
  explicit MappedFile(std::span<std::byte> bytes) noexcept : bytes_(bytes) {}

  std::span<std::byte> bytes_;
};

inline Result<MappedFile> MappedFile::open(const std::filesystem::path& path) {
  const auto failure = [&path](const std::string& reason) {
    return Error{ErrorCode::io, detail::concat(path.native(), ": ", reason)};
  };
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (descriptor < 0) return failure("cannot open: " + detail::errno_text(errno));
  const auto map = [&]() -> Result<MappedFile> {
    struct stat status {};
    if (::fstat(descriptor, &status) != 0) {
      return failure("cannot stat: " + detail::errno_text(errno));
    }
    if (S_ISDIR(status.st_mode)) return failure("expected a file, found a directory");
    if (!S_ISREG(status.st_mode)) return failure("expected a regular file, found a device or pipe");
    const auto size = static_cast<std::uintmax_t>(status.st_size);
    if (size == 0) return MappedFile({});
    if (size > std::numeric_limits<std::size_t>::max()) return failure("too large to map");
    const auto length = static_cast<std::size_t>(size);
    void* address = ::mmap(nullptr, length, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (address == MAP_FAILED) return failure("cannot map: " + detail::errno_text(errno));
    return MappedFile({static_cast<std::byte*>(address), length});
  };
  Result<MappedFile> file = map();
  ::close(descriptor);
  return file;
}

/// Gives back the memory of a part of some files, if it lies in one of them.
inline void release_part(std::span<const MappedFile> files,
                         std::span<const std::byte> part) noexcept {
  for (const MappedFile& file : files) {
    const std::span<const std::byte> all = file.bytes();
    // Of unrelated arrays only std::less may compare the addresses.
    const std::less_equal<> before;
    if (before(all.data(), part.data()) &&
        before(part.data() + part.size(), all.data() + all.size())) {
      file.release(part);
    }
  }
}

/// The contents of a small file. Error io: as MappedFile::open, or more than max_bytes.
[[nodiscard]] inline Result<std::string> read_text_file(const std::filesystem::path& path,
                                                        std::size_t max_bytes) {
  const Result<MappedFile> file = MappedFile::open(path);
  if (!file) return file.error();
  const std::span<const std::byte> bytes = file->bytes();
  if (bytes.size() > max_bytes) {
    return Error{ErrorCode::io, detail::concat(path.native(), ": expected at most ", max_bytes,
                                               " bytes, found ", bytes.size())};
  }
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

}  // namespace MAMBA2_ISA
}  // namespace mamba2
