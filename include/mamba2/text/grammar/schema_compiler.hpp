// SPDX-License-Identifier: Apache-2.0
// From a JSON schema to a grammar.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/text/grammar/costs.hpp"
#include "mamba2/text/grammar/graph_builder.hpp"
#include "mamba2/text/grammar/object_graph.hpp"
#include "mamba2/text/grammar/schema_numbers.hpp"
#include "mamba2/text/grammar/schema_reader.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// Compiles the schemas of a document, each once, however often it is referred to: what is referred
/// to waits in a queue, so that nothing here recurs.
class SchemaCompiler {
 public:
  SchemaCompiler(std::shared_ptr<const TokenTable> tokens, const OrderedJson& document)
      : document_(document) {
    program_.tokens = std::move(tokens);
  }

  [[nodiscard]] Result<GrammarProgram> run();

 private:
  using Node = std::uint32_t;
  using Kind = GrammarNode::Kind;
  static constexpr std::size_t kMostNodes = 50000;
  static constexpr std::uint32_t kMostNeeded = 65536;  ///< minItems, minLength
  static constexpr std::uint32_t kUnlimited = std::numeric_limits<std::uint32_t>::max();

  [[nodiscard]] Node add(GrammarNode node, std::string path) {
    program_.nodes.push_back(node);
    paths_.push_back(std::move(path));
    return static_cast<Node>(program_.nodes.size() - 1);
  }
  [[nodiscard]] Node want(SchemaPlace place);
  [[nodiscard]] Node any(const std::string& path);
  [[nodiscard]] Node words(std::vector<std::string> texts, const std::string& path);
  [[nodiscard]] Node pairs(Node value, const std::string& path);
  void become_choice(Node node, const std::vector<Node>& alternatives);

  [[nodiscard]] Result<void> compile(Node node, const SchemaPlace& schema);
  [[nodiscard]] static Result<void> check_alone(const SchemaPlace& schema, std::string_view alone);
  [[nodiscard]] Result<void> compile_reference(Node node, const SchemaPlace& schema);
  [[nodiscard]] Result<void> compile_any_of(Node node, const SchemaPlace& schema);
  [[nodiscard]] Result<void> compile_values(Node node, const SchemaPlace& schema);
  [[nodiscard]] Result<void> compile_types(Node node, const SchemaPlace& schema);
  [[nodiscard]] Result<Node> compile_type(unsigned type, const SchemaPlace& schema);
  [[nodiscard]] Result<Node> compile_number(const SchemaPlace& schema, bool whole);
  [[nodiscard]] Result<Node> compile_string(const SchemaPlace& schema);
  [[nodiscard]] Result<Node> compile_array(const SchemaPlace& schema);
  [[nodiscard]] Result<Node> compile_object(const SchemaPlace& schema);
  [[nodiscard]] Result<std::vector<GrammarProperty>> properties_of(const SchemaPlace& schema);
  [[nodiscard]] Result<void> check_size(const SchemaPlace& schema) const;
  void flatten_choices();
  [[nodiscard]] Result<void> finish();

  const OrderedJson& document_;
  GrammarProgram program_;
  GraphBuilder graph_;
  std::vector<std::string> paths_;  // of the nodes
  std::map<const OrderedJson*, Node> known_;
  std::vector<std::pair<Node, SchemaPlace>> queue_;
  Node any_ = GrammarState::kNone;
};

/// A schema that is to be compiled later.
inline SchemaCompiler::Node SchemaCompiler::want(SchemaPlace place) {
  const auto [known, is_new] = known_.try_emplace(place.json, 0);
  if (!is_new) return known->second;
  known->second = add({}, place.path);
  queue_.emplace_back(known->second, std::move(place));
  return known->second;
}

inline void SchemaCompiler::become_choice(Node node, const std::vector<Node>& alternatives) {
  program_.nodes[node] = {.kind = Kind::choice,
                          .start = static_cast<std::uint32_t>(program_.alternatives.size()),
                          .count = static_cast<std::uint32_t>(alternatives.size())};
  program_.alternatives.insert(program_.alternatives.end(), alternatives.begin(),
                               alternatives.end());
}

/// One of some texts.
inline SchemaCompiler::Node SchemaCompiler::words(std::vector<std::string> texts,
                                                  const std::string& path) {
  std::ranges::sort(texts);
  std::vector<GraphBuilder::State> on_way = {graph_.add()};  // behind each byte of the last text
  std::string_view last;
  for (const std::string& text : texts) {
    const auto [mine, its] = std::ranges::mismatch(text, last);
    on_way.resize(static_cast<std::size_t>(mine - text.begin()) + 1);
    for (auto c = mine; c != text.end() && !graph_.full(); ++c) {
      const auto next = graph_.add();
      if (!graph_.full()) graph_.connect(on_way.back(), *c, next);
      on_way.push_back(next);
    }
    if (graph_.full()) break;
    graph_.accept(on_way.back());
    last = text;
  }
  return add({.start = on_way.front()}, path);
}

/// An object with any keys.
inline SchemaCompiler::Node SchemaCompiler::pairs(Node value, const std::string& path) {
  const Node key = add({.kind = Kind::string, .max = kUnlimited}, path);
  const auto start = graph_.add();
  const auto colon = graph_.add();
  const auto space = graph_.add();
  const auto before_value = graph_.add();
  if (!graph_.full()) {
    graph_.call(start, key, colon);
    graph_.connect(colon, ':', space);
    graph_.connect(space, ' ', before_value);
    graph_.call(before_value, value, graph_.add(true));
  }
  const Node pair = add({.start = start}, path);
  return add({.kind = Kind::array, .open = '{', .close = '}', .start = pair, .max = kUnlimited},
             path);
}

/// Any value.
inline SchemaCompiler::Node SchemaCompiler::any(const std::string& path) {
  if (any_ != GrammarState::kNone) return any_;
  any_ = add({}, path);
  const Node text = add({.kind = Kind::string, .max = kUnlimited}, path);
  const Node list = add({.kind = Kind::array, .start = any_, .max = kUnlimited}, path);
  const Node word = words({"null", "true", "false"}, path);
  const auto number = NumberGraph(graph_, 6).make({1 - kPastUnits, kPastUnits - 1, 6});
  const Node object = pairs(any_, path);
  become_choice(any_, {text, list, word, add({.start = number}, path), object});
  return any_;
}

inline Result<void> SchemaCompiler::check_size(const SchemaPlace& schema) const {
  if (!graph_.full() && program_.nodes.size() <= kMostNodes &&
      program_.alternatives.size() <= kMostNodes) {
    return {};
  }
  return schema.unsupported(": the schema is too large: up to here it takes more than ", kMostNodes,
                            " nodes or ", GraphBuilder::kMostStates, " states");
}

inline Result<GrammarProgram> SchemaCompiler::run() {
  static_cast<void>(want({&document_, "#"}));
  for (std::size_t i = 0; i < queue_.size(); ++i) {
    const auto [node, schema] = queue_[i];
    if (Result<void> done = compile(node, schema); !done) return std::move(done).error();
    if (Result<void> fits = check_size(schema); !fits) return std::move(fits).error();
  }
  if (Result<void> done = finish(); !done) return std::move(done).error();
  return std::move(program_);
}

inline Result<void> SchemaCompiler::compile(Node node, const SchemaPlace& schema) {
  if (schema.json->is_boolean() && schema.json->get<bool>()) {
    become_choice(node, {any(schema.path)});
    return {};
  }
  if (!schema.json->is_object()) {
    return schema.wrong(schema.json->is_boolean() ? ": no text is valid where the schema is false"
                                                  : ": must be an object or true");
  }
  if (schema.find("$ref") != nullptr) return compile_reference(node, schema);
  if (schema.find("anyOf") != nullptr) return compile_any_of(node, schema);
  const bool has_values = schema.find("enum") != nullptr || schema.find("const") != nullptr;
  return has_values ? compile_values(node, schema) : compile_types(node, schema);
}

/// Errors: unsupported, for a keyword that asserts something beside `alone`.
inline Result<void> SchemaCompiler::check_alone(const SchemaPlace& schema, std::string_view alone) {
  for (const SchemaKeyword& other : kSchemaKeywords) {
    const bool asserts = other.types != json_types::kAll || other.name == "type" ||
                         other.name == "enum" || other.name == "const" || other.name == "anyOf";
    if (asserts && other.name != alone && schema.json->contains(other.name)) {
      return schema.below(other.name, *schema.json)
          .unsupported(": is not supported beside ", alone);
    }
  }
  const Result<unsigned> types = types_of_keywords(schema);
  return types ? Result<void>() : types.error();
}

inline Result<void> SchemaCompiler::compile_reference(Node node, const SchemaPlace& schema) {
  if (Result<void> alone = check_alone(schema, "$ref"); !alone) return alone;
  auto target = follow_reference(schema.below("$ref", *schema.find("$ref")), document_);
  if (!target) return std::move(target).error();
  become_choice(node, {want(*std::move(target))});
  return {};
}

inline Result<void> SchemaCompiler::compile_any_of(Node node, const SchemaPlace& schema) {
  if (Result<void> alone = check_alone(schema, "anyOf"); !alone) return alone;
  const SchemaPlace list = schema.below("anyOf", *schema.find("anyOf"));
  if (!list.json->is_array() || list.json->empty()) {
    return list.wrong(": must be a list of schemas");
  }
  std::vector<Node> alternatives;
  for (std::size_t i = 0; i < list.json->size(); ++i) {
    alternatives.push_back(want(list.below(concat(i), (*list.json)[i])));
  }
  become_choice(node, alternatives);
  return {};
}

inline Result<void> SchemaCompiler::compile_types(Node node, const SchemaPlace& schema) {
  const Result<unsigned> types = types_of(schema);
  if (!types) return types.error();
  if (*types == json_types::kAll && types_of_keywords(schema).value() == 0) {
    become_choice(node, {any(schema.path)});
    return {};
  }
  std::vector<Node> alternatives;
  for (unsigned type = 1; type <= json_types::kObject; type *= 2) {
    if ((*types & type) == 0) continue;
    if (type == json_types::kInteger && (*types & json_types::kNumber) != 0) continue;
    const Result<Node> made = compile_type(type, schema);
    if (!made) return made.error();
    alternatives.push_back(*made);
  }
  become_choice(node, alternatives);
  return {};
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2

#include "mamba2/text/grammar/schema_types.hpp"
