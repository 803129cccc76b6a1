// SPDX-License-Identifier: Apache-2.0
// The steps that a tokenizer consists of, as its file lists them.
#pragma once

#include <cstddef>
#include <string>

#include "mamba2/core/platform.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// U+2581, which stands for a blank in SentencePiece's vocabularies.
inline constexpr const char* kMetaspace = "\xE2\x96\x81";

/// What a step looks for: a fixed text or a regular expression.
struct TextPattern {
  std::string text;
  bool is_regex = false;

  [[nodiscard]] bool operator==(const TextPattern&) const = default;
};

/// Changes a text before it is cut.
struct NormalizerStep {
  enum class Kind { nfc, nfd, nfkc, nfkd, lowercase, prepend, replace, strip, squeeze_blanks };

  Kind kind = Kind::nfc;
  TextPattern pattern = {};        // replace
  std::string content = {};        // prepend, replace
  bool left = true, right = true;  // strip: white space at the ends
  // squeeze_blanks: none at the ends, one in place of several (SentencePiece's
  // remove_extra_whitespaces)

  [[nodiscard]] bool operator==(const NormalizerStep&) const = default;
};

/// What becomes of the places that a Split finds.
enum class SplitBehavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

/// Which parts of a text a Metaspace puts its sign before.
enum class PrependScheme { always, never, first };

/// Cuts a text into pieces, or changes the pieces.
struct PreTokenizerStep {
  enum class Kind {
    byte_level,
    split,
    digits,
    punctuation,
    whitespace,
    whitespace_split,
    metaspace
  };

  Kind kind = Kind::byte_level;
  bool add_prefix_space = false;                     // byte_level
  bool use_regex = true;                             // byte_level
  TextPattern pattern = {};                          // split
  SplitBehavior behavior = SplitBehavior::isolated;  // split, punctuation
  bool invert = false;                               // split: the pattern finds what lies between
  bool individual = false;                           // digits: each by itself
  std::string replacement = kMetaspace;              // metaspace
  PrependScheme scheme = PrependScheme::always;      // metaspace
  bool cuts = true;                                  // metaspace: before each sign

  [[nodiscard]] bool operator==(const PreTokenizerStep&) const = default;
};

/// Makes text of tokens.
struct DecoderStep {
  enum class Kind { byte_level, byte_fallback, replace, fuse, strip, metaspace };

  Kind kind = Kind::byte_level;
  TextPattern pattern = {};              // replace
  std::string content = {};              // replace; strip: one character
  std::size_t start = 0, stop = 0;       // strip: how many at the ends
  bool first_only = false;               // strip: from the first token, and not from a byte
  std::string replacement = kMetaspace;  // metaspace
  bool drops_prefix = true;              // metaspace: from the first token
  // byte_fallback: whether a character stands as soon as it is whole, as SentencePiece has it; or
  // else all the bytes in a row are valid, or none.
  bool each_character = false;

  [[nodiscard]] bool operator==(const DecoderStep&) const = default;
};

/// The decoder that undoes a SentencePiece vocabulary's writing.
[[nodiscard]] inline DecoderStep blank_for_metaspace() {
  return {.kind = DecoderStep::Kind::replace, .pattern = {kMetaspace, false}, .content = " "};
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
