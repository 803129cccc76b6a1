// SPDX-License-Identifier: Apache-2.0
// Grammars of JSON, as a JSON schema describes it.
#pragma once

#include <string_view>

#include "mamba2/core/linkage.hpp"
#include "mamba2/core/result.hpp"
#include "mamba2/text/grammar/grammar.hpp"

#if MAMBA2_HAS_DEFINITIONS
#include <cstddef>
#include <utility>

#include "mamba2/text/grammar/schema_compiler.hpp"
#endif

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// The grammar of texts that a JSON schema (draft 2020-12) finds valid; not all of these, but such
/// as this form has: one line, with a space behind each comma and colon and nowhere else.
///
///   type (one, or a list), enum, const, anyOf, $ref into the same document ("#/$defs/x"),
///   recursion; true
///   properties, in the order of the schema, each once at most; required, which must be among them;
///     additionalProperties: what is no property is never written, whatever it says, but where
///     there are no properties: then any keys (which may occur twice) with values by it
///   items, minItems, maxItems; minLength, maxLength, in code points, without \u in strings
///   minimum, maximum, exclusiveMinimum, exclusiveMaximum; integers have at most 15 digits, numbers
///     12 before the point and 6 behind it, and no exponent
///   title, description, default, examples, $schema, $id, $comment, deprecated, readOnly, writeOnly
///     say nothing here
///
/// Any other keyword is refused, with its path; so are minItems and minLength above 65536, and
/// schemas of which no text ends. At most 64 objects and arrays are open at a time, and where anyOf
/// leaves more than 64 ways open, those that end soonest are kept. Errors: malformed, unsupported.
[[nodiscard]] Result<Grammar> json_schema_grammar(std::string_view schema,
                                                  const GrammarTokens& tokens);

/// The grammar of JSON objects and arrays, in the form of json_schema_grammar().
[[nodiscard]] inline Result<Grammar> json_grammar(const GrammarTokens& tokens) {
  return json_schema_grammar(R"({"type": ["object", "array"]})", tokens);
}

#if MAMBA2_HAS_DEFINITIONS

MAMBA2_FUNCTION Result<Grammar> json_schema_grammar(std::string_view schema,
                                                    const GrammarTokens& tokens) {
  constexpr std::size_t kMostBytes = std::size_t{1} << 20;
  if (schema.size() > kMostBytes) {
    return Error{ErrorCode::unsupported, detail::concat("schema: must have at most ", kMostBytes,
                                                        " bytes, found ", schema.size())};
  }
  detail::OrderedJsonBuilder builder(schema);
  if (!detail::read_json(schema, builder)) {
    return Error{ErrorCode::malformed, std::move(builder.error)};
  }
  auto program = detail::SchemaCompiler(tokens.table(), builder.document).run();
  if (!program) return std::move(program).error();
  return Grammar(*std::move(program));
}

#endif

}  // namespace MAMBA2_ISA
}  // namespace mamba2
