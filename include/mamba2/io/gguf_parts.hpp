// SPDX-License-Identifier: Apache-2.0
// GGUF models in several files, as llama.cpp's gguf-split writes them: NAME-00001-of-00003.gguf and
// so on, each a GGUF file with split.no (from 0) and split.count, the first with all metadata.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/io/gguf.hpp"
#include "mamba2/io/gguf_fields.hpp"
#include "mamba2/io/printable.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// A file name of a part.
struct GgufPartName {
  static constexpr std::size_t kDigits = 5;
  static constexpr std::string_view kOf = "-of-";
  static constexpr std::string_view kEnd = ".gguf";

  std::string stem;       ///< up to and with the dash before the number
  std::size_t count = 0;  ///< of parts; at least 2

  /// Nothing if the file is not named as a part is.
  [[nodiscard]] static std::optional<GgufPartName> of(const std::filesystem::path& path) {
    constexpr std::size_t kTail = 2 * kDigits + kOf.size() + kEnd.size();
    const std::string name = path.filename().native();
    if (name.size() < kTail + 1) return std::nullopt;
    const std::string_view tail = std::string_view(name).substr(name.size() - kTail);
    const auto number = digits(tail.substr(0, kDigits));
    const auto count = digits(tail.substr(kDigits + kOf.size(), kDigits));
    if (name[name.size() - kTail - 1] != '-' || tail.substr(kDigits, kOf.size()) != kOf ||
        !tail.ends_with(kEnd) || !number || !count || *count < 2 || *number < 1 ||
        *number > *count) {
      return std::nullopt;
    }
    return GgufPartName{name.substr(0, name.size() - kTail), *count};
  }

  /// Of part i, from 0.
  [[nodiscard]] std::string part(std::size_t i) const {
    return concat(stem, padded(i + 1), kOf, padded(count), kEnd);
  }

 private:
  [[nodiscard]] static std::optional<std::size_t> digits(std::string_view text) {
    std::size_t value = 0;
    for (const char c : text) {
      if (c < '0' || c > '9') return std::nullopt;
      value = 10 * value + static_cast<std::size_t>(c - '0');
    }
    return value;
  }
  [[nodiscard]] static std::string padded(std::size_t number) {
    std::string text(kDigits, '0');
    for (std::size_t i = kDigits; number > 0; number /= 10) {
      text[--i] = static_cast<char>('0' + number % 10);
    }
    return text;
  }
};

/// The file with the metadata of the model that a GGUF file belongs to: itself, or the first part.
[[nodiscard]] inline std::filesystem::path first_gguf_part(const std::filesystem::path& path) {
  const auto name = GgufPartName::of(path);
  return name ? path.parent_path() / name->part(0) : path;
}

/// The files of the model that a GGUF file belongs to, in their order: itself, or, if it is named
/// as a part, all parts beside it. Error io: one is not there.
[[nodiscard]] inline Result<std::vector<std::filesystem::path>> gguf_files(
    const std::filesystem::path& path) {
  const auto name = GgufPartName::of(path);
  if (!name) return std::vector{path};
  std::vector<std::filesystem::path> files;
  std::error_code ignored;
  for (std::size_t i = 0; i < name->count; ++i) {
    files.push_back(path.parent_path() / name->part(i));
    if (std::filesystem::exists(std::filesystem::symlink_status(files.back(), ignored))) continue;
    return Error{ErrorCode::io,
                 concat(path.native(), ": expected the ", name->count,
                        " parts of the model beside it, found no ", in_quotes(name->part(i)))};
  }
  return files;
}

/// Whether files are the parts of one model, in their order; or the whole of it. Errors: mismatch,
/// unsupported (one part alone), malformed.
[[nodiscard]] inline Result<void> check_gguf_parts(const std::vector<Gguf>& parts) {
  std::size_t tensors = 0;
  for (const Gguf& part : parts) tensors += part.tensors().size();
  for (std::size_t i = 0; i < parts.size(); ++i) {
    GgufFields fields(parts[i].metadata());
    const auto must_be = [&](std::string_view key, std::size_t expected, bool may_lack) {
      const auto found = fields.integer_if(key);
      if (fields.error() || found.value_or(may_lack ? expected : expected + 1) == expected) return;
      fields.refuse(
          key,
          parts.size() == 1 ? concat(expected, " (parts must be named as gguf-split names them)")
                            : concat(expected),
          fields.found(key), parts.size() == 1 ? ErrorCode::unsupported : ErrorCode::mismatch);
    };
    const bool is_alone = parts.size() == 1;
    must_be("split.count", parts.size(), is_alone);
    must_be("split.no", i, is_alone);
    if (!is_alone) must_be("split.tensors.count", tensors, true);
    if (fields.error()) return *fields.error();
  }
  return {};
}

}  // namespace detail

/// Joins the parts of a model, in their order, to what one file would be: the metadata of the
/// first, the tensors of all. One file that is whole is that. Errors: as check_gguf_parts;
/// malformed, a tensor that is in two parts.
[[nodiscard]] inline Result<Gguf> join_gguf_parts(std::vector<Gguf> parts) {
  if (parts.empty()) return Error{ErrorCode::invalid_argument, "gguf: no file is given"};
  if (const Result<void> fit = detail::check_gguf_parts(parts); !fit) return fit.error();
  if (parts.size() == 1) return std::move(parts.front());
  std::vector<TensorView> tensors;
  for (const Gguf& part : parts) {
    tensors.insert(tensors.end(), part.tensors().begin(), part.tensors().end());
  }
  return Gguf::with_tensors(parts.front().metadata(), std::move(tensors));
}

}  // namespace MAMBA2_ISA
}  // namespace mamba2
