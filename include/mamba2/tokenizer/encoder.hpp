// SPDX-License-Identifier: Apache-2.0
// One text on its way to tokens, step by step.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/layers/config.hpp"
#include "mamba2/tokenizer/added_tokens.hpp"
#include "mamba2/tokenizer/bpe_model.hpp"
#include "mamba2/tokenizer/normalizer.hpp"
#include "mamba2/tokenizer/pre_tokenizer.hpp"
#include "mamba2/tokenizer/vocabulary.hpp"
#include "mamba2/unicode/utf8.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// Valid UTF-8, and which parts of it name no special tokens.
class PartedText {
 public:
  /// Parts must outlive this.
  void add(std::string_view part, bool special_names) {
    const std::size_t begin = view().size();
    const bool valid = valid_utf8_prefix(part) == part.size();
    if (begin == 0 && valid) {
      only_ = part;
    } else {
      if (joined_.empty()) joined_ = only_;
      only_ = {};
      append_replaced_utf8(part, joined_);
    }
    if (!special_names && view().size() > begin) plain_.push_back({begin, view().size()});
  }

  [[nodiscard]] std::string_view view() const noexcept {
    return joined_.empty() ? only_ : std::string_view(joined_);
  }

  /// Whether some of text[begin, end) lies in a part without special tokens.
  [[nodiscard]] bool is_plain(std::size_t begin, std::size_t end) const {
    const auto part =
        std::upper_bound(plain_.begin(), plain_.end(), begin,
                         [](std::size_t key, const Stretch& stretch) { return key < stretch.end; });
    return part != plain_.end() && part->begin < end;
  }

 private:
  struct Stretch {
    std::size_t begin, end;
  };
  std::string_view only_;
  std::string joined_;
  std::vector<Stretch> plain_;
};

class Encoder {
 public:
  Encoder(const Normalizer& normalizer, const PreTokenizer& pre_tokenizer,
          const Vocabulary& vocabulary, const BpeModel& model)
      : normalizer_(normalizer),
        pre_tokenizer_(pre_tokenizer),
        vocabulary_(vocabulary),
        model_(model) {}

  /// Appends the tokens of the text.
  /// @param raw, normalized added tokens that are looked for before and after it is normalized
  void encode(const PartedText& text, const AddedTokens& raw, const AddedTokens& normalized,
              std::vector<Token>& out) {
    const auto add = [&](Token id) { out.push_back(id); };
    const auto named = [&](const AddedTokens::Entry& entry, std::size_t begin) {
      return !entry.special || !text.is_plain(begin, begin + entry.text.size());
    };
    raw.split(
        text.view(), named,
        [&](std::size_t begin, std::size_t end) {
          const std::string_view part =
              normalizer_.apply(text.view().substr(begin, end - begin), buffers_, scratch_.steps);
          // Where the normalizer moves places, a part that is plain somewhere counts as a whole.
          const bool moves = !normalizer_.empty();
          const auto named_here = [&](const AddedTokens::Entry& entry, std::size_t at) {
            if (moves) return !entry.special || !text.is_plain(begin, end);
            return named(entry, begin + at);
          };
          normalized.split(
              part, named_here,
              [&](std::size_t from, std::size_t to) {
                pretokenize(part.substr(from, to - from), begin == 0 && from == 0, out);
              },
              add);
        },
        add);
  }

 private:
  struct Scratch {
    StepScratch steps;
    BpeModel::Scratch model;
  };

  void pretokenize(std::string_view text, bool at_start, std::vector<Token>& out) {
    pre_tokenizer_.split(text, at_start, scratch_.steps, [&](std::string_view piece) {
      model_.encode(piece, vocabulary_, scratch_.model, out);
    });
  }

  const Normalizer& normalizer_;
  const PreTokenizer& pre_tokenizer_;
  const Vocabulary& vocabulary_;
  const BpeModel& model_;
  Normalizer::Buffers buffers_;
  Scratch scratch_;
};

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
