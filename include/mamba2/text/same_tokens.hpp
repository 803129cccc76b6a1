// SPDX-License-Identifier: Apache-2.0
// Whether two tokenizers have the same tokens.
#pragma once

#include <algorithm>
#include <cstddef>

#include "mamba2/core/result.hpp"
#include "mamba2/io/printable.hpp"
#include "mamba2/tokenizer/tokenizer.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// Whether every id says the same in both, and is special in both or in none: what one model writes
/// the other can read, as where one drafts for the other. Error mismatch: names the first that does
/// not.
[[nodiscard]] inline Result<void> check_same_tokens(const Tokenizer& expected,
                                                    const Tokenizer& found) {
  if (expected.vocab_size() != found.vocab_size()) {
    return Error{ErrorCode::mismatch,
                 detail::concat("the vocabulary must have ", expected.vocab_size(),
                                " tokens, found ", found.vocab_size())};
  }
  for (std::size_t i = 0; i < expected.vocab_size(); ++i) {
    const auto id = static_cast<Token>(i);
    if (expected.token_bytes(id) == found.token_bytes(id) &&
        expected.is_special(id) == found.is_special(id)) {
      continue;
    }
    const auto shown = [id](const Tokenizer& tokenizer) {
      return detail::concat(tokenizer.is_special(id) ? "special " : "",
                            detail::in_quotes(tokenizer.token_bytes(id)));
    };
    return Error{ErrorCode::mismatch, detail::concat("token ", i, " must be ", shown(expected),
                                                     ", found ", shown(found))};
  }
  return {};
}

}  // namespace MAMBA2_ISA
}  // namespace mamba2
