// SPDX-License-Identifier: Apache-2.0
// What texts may look like, for the tokens of a vocabulary.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "mamba2/text/grammar/program.hpp"
#include "mamba2/text/grammar/token_table.hpp"
#include "mamba2/tokenizer/tokenizer.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// The tokens of a tokenizer, prepared for grammars: made once, shared by all. Copies are the same
/// object. Immutable: safe to use from many threads.
class GrammarTokens {
 public:
  explicit GrammarTokens(const Tokenizer& tokenizer)
      : table_(std::make_shared<const detail::TokenTable>(tokenizer)) {}

  /// Bytes of memory.
  [[nodiscard]] std::size_t bytes() const noexcept { return table_->memory(); }
  /// Tokenizer::vocab_size().
  [[nodiscard]] std::size_t size() const noexcept { return table_->size(); }

  [[nodiscard]] const std::shared_ptr<const detail::TokenTable>& table() const { return table_; }

 private:
  std::shared_ptr<const detail::TokenTable> table_;
};

/// A compiled grammar: json_grammar(), json_schema_grammar(). Copies are the same object, and keep
/// the GrammarTokens. Immutable: safe to use from many threads.
class Grammar {
 public:
  explicit Grammar(detail::GrammarProgram program)
      : program_(std::make_shared<const detail::GrammarProgram>(std::move(program))) {}

  /// Tokens that the shortest text takes. It is an upper bound: pieces of the text that numbers,
  /// strings and values part are counted each by itself, and a token may span several.
  [[nodiscard]] std::size_t shortest() const noexcept { return program_->nodes[0].cost; }
  /// Bytes of memory, without the GrammarTokens.
  [[nodiscard]] std::size_t bytes() const noexcept { return program_->memory(); }

  [[nodiscard]] const std::shared_ptr<const detail::GrammarProgram>& program() const {
    return program_;
  }

 private:
  std::shared_ptr<const detail::GrammarProgram> program_;
};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
