// SPDX-License-Identifier: Apache-2.0
// What downloads and clones leave in place of a file when they go wrong.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string_view>

#include "mamba2/core/result.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// Whether a text begins so, in small letters or capitals. `beginning` is in small letters.
[[nodiscard]] inline bool begins_with_word(std::string_view text, std::string_view beginning) {
  const auto same = [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a - 'A' + 'a' : a) == b; };
  return text.size() >= beginning.size() &&
         std::equal(beginning.begin(), beginning.end(), text.begin(),
                    [same](char b, char a) { return same(a, b); });
}

/// What a file is in place of the one that was wanted, to follow its name in a message; empty if it
/// is nothing of the kind. No file of any format that is read here begins like one of these.
[[nodiscard]] inline std::string_view stand_in(std::string_view file) {
  if (file.empty()) return "is empty";
  if (file.starts_with("version https://git-lfs.github.com/spec/")) {
    return "is a pointer of Git LFS, not the file itself (git lfs pull fetches it)";
  }
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  if (file.starts_with(kByteOrderMark)) file.remove_prefix(kByteOrderMark.size());
  file.remove_prefix(std::min(file.find_first_not_of(" \t\r\n"), file.size()));
  if (begins_with_word(file, "<!doctype html") || begins_with_word(file, "<html")) {
    return "is a web page, not the file itself, which must be downloaded anew";
  }
  return {};
}
[[nodiscard]] inline std::string_view stand_in(std::span<const std::byte> file) {
  return stand_in(std::string_view(reinterpret_cast<const char*>(file.data()), file.size()));
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
