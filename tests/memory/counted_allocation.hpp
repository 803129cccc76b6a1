// SPDX-License-Identifier: Apache-2.0
// Replaces malloc and its kin, and mmap, of the whole program by ones that count. Include it in one
// source file. For glibc; not for programs with a sanitizer, which replaces them itself.
#pragma once

#include <malloc.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>

namespace counted {

/// Requests for memory since the start of the program, of all threads. What operator new asks for
/// is among them: it calls malloc.
inline std::atomic<std::size_t> requests{0};
/// Bytes of blocks that have not been given back.
inline std::atomic<std::size_t> live_bytes{0};
/// Bytes from mmap that have not been given back.
inline std::atomic<std::size_t> mapped_bytes{0};

inline void* add(void* block) noexcept {
  requests.fetch_add(1);
  live_bytes.fetch_add(::malloc_usable_size(block));
  return block;
}

inline void remove(void* block) noexcept { live_bytes.fetch_sub(::malloc_usable_size(block)); }

}  // namespace counted

extern "C" {

// NOLINTBEGIN: names of glibc.
void* __libc_malloc(std::size_t) noexcept;
void* __libc_calloc(std::size_t, std::size_t) noexcept;
void* __libc_realloc(void*, std::size_t) noexcept;
void* __libc_memalign(std::size_t, std::size_t) noexcept;
void __libc_free(void*) noexcept;

void* malloc(std::size_t size) noexcept { return counted::add(__libc_malloc(size)); }
void* calloc(std::size_t count, std::size_t size) noexcept {
  return counted::add(__libc_calloc(count, size));
}
void* realloc(void* block, std::size_t size) noexcept {
  counted::remove(block);
  return counted::add(__libc_realloc(block, size));
}
void* memalign(std::size_t alignment, std::size_t size) noexcept {
  return counted::add(__libc_memalign(alignment, size));
}
void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
  return counted::add(__libc_memalign(alignment, size));
}
int posix_memalign(void** block, std::size_t alignment, std::size_t size) noexcept {
  *block = counted::add(__libc_memalign(alignment, size));
  return *block == nullptr ? ENOMEM : 0;
}
void free(void* block) noexcept {
  counted::remove(block);
  __libc_free(block);
}

void* mmap(void* address, std::size_t size, int protection, int flags, int file,
           off_t offset) noexcept {
  counted::requests.fetch_add(1);
  const long found = ::syscall(SYS_mmap, address, size, protection, flags, file, offset);
  if (found == -1) return MAP_FAILED;
  counted::mapped_bytes.fetch_add(size);
  return reinterpret_cast<void*>(found);
}
int munmap(void* address, std::size_t size) noexcept {
  const long found = ::syscall(SYS_munmap, address, size);
  if (found == 0) counted::mapped_bytes.fetch_sub(size);
  return static_cast<int>(found);
}
// NOLINTEND

}  // extern "C"
