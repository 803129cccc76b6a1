// SPDX-License-Identifier: Apache-2.0
// The four Unicode normalization forms (UAX #15): NFC, NFD, NFKC, NFKD.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mamba2/tokenizer/normalize.hpp"
#include "mamba2/tokenizer/unicode.hpp"
#include "mamba2/unicode/case.hpp"
#include "mamba2/unicode/packed.hpp"
#include "mamba2/unicode/utf8.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

enum class NormalizationForm { nfc, nfd, nfkc, nfkd };

/// The compatibility decompositions, as deep as they go; none before it is filled.
class CompatibilityTable {
 public:
  void fill() {
    for (const CasePair pair : case_pairs(kCompatibilityRuns)) {
      begin(pair.from, 1);
      parts_ += pair.to;
    }
    char32_t c = 0;
    for (PackedReader reader(kCompatibilityTexts); !reader.done();) {
      c += reader.number();
      const std::uint32_t size = reader.number();
      begin(c, size);
      for (std::uint32_t i = 0; i < size; ++i) parts_ += static_cast<char32_t>(reader.number());
    }
    std::sort(entries_.begin(), entries_.end(),
              [](const Entry& a, const Entry& b) { return a.from < b.from; });
  }

  /// What `c` decomposes to; empty if to nothing but itself, or canonically.
  [[nodiscard]] std::u32string_view of(char32_t c) const noexcept {
    const auto found =
        std::lower_bound(entries_.begin(), entries_.end(), c,
                         [](const Entry& entry, char32_t key) { return entry.from < key; });
    if (found == entries_.end() || found->from != c) return {};
    return std::u32string_view(parts_).substr(found->begin, found->size);
  }

 private:
  struct Entry {
    char32_t from;
    std::uint16_t begin, size;  // in parts_
  };

  void begin(char32_t from, std::uint32_t size) {
    entries_.push_back(
        {from, static_cast<std::uint16_t>(parts_.size()), static_cast<std::uint16_t>(size)});
  }

  std::vector<Entry> entries_;  // by `from`
  std::u32string parts_;
};

/// Appends NFD of `text`, or NFKD with a table that is filled.
/// @param text valid UTF-8
inline void append_decomposed_text(std::string_view text, const CompatibilityTable& table,
                                   std::string& out) {
  std::vector<CombiningChar> chars, pending;  // pending: from a starter to the next
  const auto flush = [&] {
    order_marks(pending);
    for (const CombiningChar& c : pending) append_code_point(c.value, out);
    pending.clear();
  };
  for (std::size_t i = 0; i < text.size();) {
    const CodePoint c = first_code_point(text.substr(i));
    i += c.length;
    if (c.value < 0x80) {  // a starter, and all there is to it
      flush();
      out += static_cast<char>(c.value);
      continue;
    }
    chars.clear();
    append_decomposed(c.value, chars);
    for (const CombiningChar& part : chars) {
      const std::u32string_view deeper = table.of(part.value);
      for (const char32_t x : deeper.empty() ? std::u32string_view(&part.value, 1) : deeper) {
        const unsigned combining = combining_class(x);
        if (combining == 0) flush();
        pending.push_back({x, combining});
      }
    }
  }
  flush();
}

/// Brings texts into one of the forms.
class NormalizationWriter {
 public:
  explicit NormalizationWriter(NormalizationForm form = NormalizationForm::nfc) : form_(form) {
    using Form = NormalizationForm;
    if (form == Form::nfkc || form == Form::nfkd) table_.fill();
  }

  /// Appends the form of `text`.
  /// @param text valid UTF-8
  void append(std::string_view text, std::string& out) const {
    switch (form_) {
      case NormalizationForm::nfc:
        return append_nfc(text, out);
      case NormalizationForm::nfd:
      case NormalizationForm::nfkd:
        return append_decomposed_text(text, table_, out);
      case NormalizationForm::nfkc:
        break;
    }
    std::string decomposed;
    append_decomposed_text(text, table_, decomposed);
    append_nfc(decomposed, out);
  }

 private:
  NormalizationForm form_;
  CompatibilityTable table_;
};

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
