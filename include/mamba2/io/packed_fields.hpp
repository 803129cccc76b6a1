// SPDX-License-Identifier: Apache-2.0
// The members of a packed file's header as bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "mamba2/core/platform.hpp"
#include "mamba2/layers/config.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

class PackedFieldWriter {
 public:
  explicit PackedFieldWriter(std::vector<std::byte>& out) : out_(out) {}

  template <class T>
  requires std::is_arithmetic_v<T>
  void operator()(const T& value) {
    const auto bytes = std::as_bytes(std::span(&value, 1));
    out_.insert(out_.end(), bytes.begin(), bytes.end());
  }
  void operator()(const bool& value) { (*this)(static_cast<std::uint8_t>(value)); }
  template <class T>
  requires std::is_enum_v<T>
  void operator()(const T& value) { (*this)(static_cast<std::underlying_type_t<T>>(value)); }
  template <class List>
  requires requires(List list) { list.resize(1); }
  void operator()(const List& list) {
    (*this)(static_cast<std::uint32_t>(list.size()));
    for (const auto& value : list) (*this)(value);
  }

 private:
  std::vector<std::byte>& out_;
};

class PackedFieldReader {
 public:
  explicit PackedFieldReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  template <class T>
  requires std::is_arithmetic_v<T>
  void operator()(T& value) { take(&value, sizeof value); }
  void operator()(bool& value) {
    std::uint8_t byte = 0;
    (*this)(byte);
    value = byte != 0;
    good_ = good_ && byte <= 1;
  }
  template <class T>
  requires std::is_enum_v<T>
  void operator()(T& value) {
    std::underlying_type_t<T> number = 0;
    (*this)(number);
    value = static_cast<T>(number);
  }
  template <class List>
  requires requires(List list) { list.resize(1); }
  void operator()(List& list) {
    std::uint32_t count = 0;
    (*this)(count);
    // No more than what is there: a length alone must not cost memory.
    if (count > bytes_.size() / sizeof(list[0])) good_ = false;
    if (!good_ || count == 0) return;
    list.resize(count);
    take(list.data(), count * sizeof(list[0]));
  }

  /// Whether there is more, and nothing was missing so far.
  [[nodiscard]] bool has_more() const { return good_ && !bytes_.empty(); }
  void fail() { good_ = false; }

  /// Whether every member was there, and nothing else.
  [[nodiscard]] bool complete() const { return good_ && bytes_.empty(); }

 private:
  void take(void* to, std::size_t size) {
    good_ = good_ && size <= bytes_.size();
    if (!good_) return;
    std::memcpy(to, bytes_.data(), size);
    bytes_ = bytes_.subspan(size);
  }

  std::span<const std::byte> bytes_;
  bool good_ = true;
};

/// The members of a Config that changed_fields() names, each behind its name.
[[nodiscard]] inline std::vector<std::byte> pack_changed_fields(const Config& c) {
  std::vector<std::byte> bytes;
  PackedFieldWriter write(bytes);
  changed_fields(c, [&](std::string_view name, const auto& member) {
    write(std::string(name));
    write(member);
  });
  return bytes;
}

/// Back from these bytes. False: they are something else, or name a member that there is not.
[[nodiscard]] inline bool unpack_changed_fields(std::span<const std::byte> bytes, Config& c) {
  PackedFieldReader read(bytes);
  while (read.has_more()) {
    std::string name;
    read(name);
    bool known = false;
    later_fields(c, [&](std::string_view its, auto& member) {
      if (known || its != name) return;
      known = true;
      read(member);
    });
    if (!known) read.fail();
  }
  return read.complete();
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
