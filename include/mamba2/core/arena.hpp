// SPDX-License-Identifier: Apache-2.0
// Memory in one piece: an arena, and the carver that hands it out.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>

#include "mamba2/core/result.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// A block of zeroed memory that starts on a 2 MiB boundary and asks for huge pages: they save the
/// page walks that a pass over all weights otherwise pays for every token. Or a block of the
/// application's.
class Arena {
 public:
  Arena() = default;
  Arena(Arena&& other) noexcept
      : mapping_(std::exchange(other.mapping_, nullptr)),
        mapped_bytes_(std::exchange(other.mapped_bytes_, 0)),
        data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)) {}
  Arena& operator=(Arena other) noexcept {
    std::swap(mapping_, other.mapping_);
    std::swap(mapped_bytes_, other.mapped_bytes_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  Arena(const Arena&) = delete;
  ~Arena() {
    if (mapping_ != nullptr) ::munmap(mapping_, mapped_bytes_);
  }

  /// Error: out_of_memory, with the number of bytes.
  [[nodiscard]] static Result<Arena> create(std::size_t bytes) {
    constexpr std::size_t kHugePage = std::size_t{1} << 21;
    Arena arena;
    const auto failure = [bytes] {
      return Error{ErrorCode::out_of_memory,
                   detail::concat("cannot allocate ", bytes, " bytes of memory")};
    };
    if (bytes > SIZE_MAX - kHugePage) return failure();
    // Room to slide the start to a huge-page boundary; pages never touched cost nothing.
    arena.mapped_bytes_ = bytes + kHugePage;
    void* mapping = ::mmap(nullptr, arena.mapped_bytes_, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping == MAP_FAILED) return failure();
    arena.mapping_ = mapping;
    const auto address = reinterpret_cast<std::uintptr_t>(mapping);
    arena.data_ = static_cast<std::byte*>(mapping) + (kHugePage - address % kHugePage) % kHugePage;
    arena.size_ = bytes;
#if defined(MADV_HUGEPAGE)
    if (bytes >= kHugePage) ::madvise(arena.data_, bytes, MADV_HUGEPAGE);
#endif
    return arena;
  }

  /// The first `bytes` of the application's memory, zeroed; it must outlive the arena. Where there
  /// is none, memory.data() == nullptr, as above. `what` begins messages. Error invalid_argument,
  /// with the numbers: less memory than that, or a start not on a multiple of Carver::kAlignment.
  [[nodiscard]] static Result<Arena> create(std::size_t bytes, std::span<std::byte> memory,
                                            std::string_view what);
  /// Memory that is there already, and only read: nobody may write through data(). Error
  /// invalid_argument: a start not on a multiple of Carver::kAlignment.
  [[nodiscard]] static Result<Arena> of_constants(std::span<const std::byte> memory,
                                                  std::string_view what);
  /// The errors of memory of the application's alone.
  [[nodiscard]] static Result<void> check(std::size_t bytes, std::span<const std::byte> memory,
                                          std::string_view what);

  [[nodiscard]] std::byte* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  void* mapping_ = nullptr;
  std::size_t mapped_bytes_ = 0;
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

/// Cuts arrays out of a block, each on a cache line of its own. Started without a block it only
/// counts: the same code then tells how large the block must be, and later cuts it.
class Carver {
 public:
  static constexpr std::size_t kAlignment = 64;

  explicit Carver(std::byte* block = nullptr) noexcept : block_(block) {}

  /// An array of `count` T; nullptr while counting.
  template <class T>
  [[nodiscard]] T* take(std::size_t count) noexcept {
    const std::size_t offset = used_;
    used_ += (count * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
    return block_ == nullptr ? nullptr : reinterpret_cast<T*>(block_ + offset);
  }

  /// Bytes cut so far, padding included.
  [[nodiscard]] std::size_t used() const noexcept { return used_; }

 private:
  std::byte* block_;
  std::size_t used_ = 0;
};

inline Result<void> Arena::check(std::size_t bytes, std::span<const std::byte> memory,
                                 std::string_view what) {
  const auto invalid = [&](const auto&... parts) {
    return Error{ErrorCode::invalid_argument, detail::concat(what, ": memory must ", parts...)};
  };
  if (memory.size() < bytes) {
    return invalid("have at least ", bytes, " bytes, found ", memory.size());
  }
  const auto address = reinterpret_cast<std::uintptr_t>(memory.data());
  if (const std::size_t past = address % Carver::kAlignment; past != 0) {
    return invalid("start on a multiple of ", Carver::kAlignment, " bytes, found ", past,
                   " bytes past one");
  }
  return {};
}

inline Result<Arena> Arena::create(std::size_t bytes, std::span<std::byte> memory,
                                   std::string_view what) {
  if (memory.data() == nullptr) return create(bytes);
  if (const auto fits = check(bytes, memory, what); !fits) return fits.error();
  std::memset(memory.data(), 0, bytes);
  Arena arena;
  arena.data_ = memory.data();
  arena.size_ = bytes;
  return arena;
}

inline Result<Arena> Arena::of_constants(std::span<const std::byte> memory, std::string_view what) {
  if (const auto fits = check(memory.size(), memory, what); !fits) return fits.error();
  Arena arena;
  arena.data_ = const_cast<std::byte*>(memory.data());  // NOLINT(*-const-cast): see data()
  arena.size_ = memory.size();
  return arena;
}

}  // namespace MAMBA2_ISA
}  // namespace mamba2
