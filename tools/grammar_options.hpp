// SPDX-License-Identifier: Apache-2.0
// Options that hold a text to JSON.
#pragma once

#include <CLI/CLI.hpp>
#include <mamba2/core/mapped_file.hpp>
#include <mamba2/grammar.hpp>
#include <mamba2/tokenizer/tokenizer.hpp>
#include <memory>
#include <string>
#include <string_view>

namespace cli {

/// --json and --json-schema. Stays where it is once add() was called.
class GrammarOptions {
 public:
  void add(CLI::App& app) {
    CLI::Option* json =
        app.add_flag("--json", json_, "Write a JSON object or array, complete within --max-tokens");
    app.add_option("--json-schema", schema_,
                   "Write JSON that is valid by this schema, a file or the text itself; what a "
                   "schema may say is in mamba2/text/grammar/json_schema.hpp")
        ->default_str("")
        ->type_name("FILE|TEXT")
        ->excludes(json);
  }

  /// The constraint that was asked for, or none. Errors: io; those of json_schema_grammar().
  [[nodiscard]] mamba2::Result<std::unique_ptr<mamba2::Constraint>> constraint(
      const mamba2::Tokenizer& tokenizer) const {
    using Made = std::unique_ptr<mamba2::Constraint>;
    if (!json_ && schema_.empty()) return Made();
    const mamba2::GrammarTokens tokens(tokenizer);
    const auto grammar = json_ ? mamba2::json_grammar(tokens) : by_schema(tokens);
    if (!grammar) return grammar.error();
    return std::make_unique<mamba2::Constraint>(*grammar);
  }

 private:
  [[nodiscard]] mamba2::Result<mamba2::Grammar> by_schema(
      const mamba2::GrammarTokens& tokens) const {
    const std::size_t first = schema_.find_first_not_of(" \t\r\n");
    if (schema_ == "true" || schema_ == "false" ||
        (first != std::string::npos && schema_[first] == '{')) {
      return mamba2::json_schema_grammar(schema_, tokens);
    }
    const auto file = mamba2::MappedFile::open(schema_);
    if (!file) return file.error();
    const auto bytes = file->bytes();
    auto grammar = mamba2::json_schema_grammar(
        {reinterpret_cast<const char*>(bytes.data()), bytes.size()}, tokens);
    if (grammar) return grammar;
    return mamba2::Error{grammar.error().code, schema_ + ": " + grammar.error().message};
  }

  bool json_ = false;
  std::string schema_;
};

}  // namespace cli
