// SPDX-License-Identifier: Apache-2.0
// SchemaCompiler: what each type of JSON becomes. Included by schema_compiler.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "mamba2/text/grammar/schema_compiler.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// enum and const: texts as they are.
inline Result<void> SchemaCompiler::compile_values(Node node, const SchemaPlace& schema) {
  const Result<unsigned> types = types_of(schema);
  if (!types) return types.error();
  for (const SchemaKeyword& other : kSchemaKeywords) {
    const OrderedJson* value = schema.find(std::string(other.name).c_str());
    if (other.types != json_types::kAll && value != nullptr) {
      return schema.below(other.name, *value)
          .unsupported(": is not supported beside enum or const");
    }
  }
  const OrderedJson* list = schema.find("enum");
  const OrderedJson* constant = schema.find("const");
  if (list != nullptr && constant != nullptr) {
    return schema.below("const", *constant).unsupported(": is not supported beside enum");
  }
  if (list != nullptr && (!list->is_array() || list->empty())) {
    return schema.below("enum", *list).wrong(": must be a list of values");
  }
  std::vector<std::string> texts;
  const std::size_t count = list != nullptr ? list->size() : 1;
  for (std::size_t i = 0; i < count; ++i) {
    const OrderedJson& value = list != nullptr ? (*list)[i] : *constant;
    const bool of_type = has_type(value, *types);
    if (!of_type && list != nullptr) {
      return schema.below("enum", *list).below(concat(i), value).wrong(": is of another type");
    }
    if (!of_type) return schema.below("const", value).wrong(": is of another type");
    texts.push_back(value.dump());
  }
  become_choice(node, {words(std::move(texts), schema.path)});
  return {};
}

inline Result<SchemaCompiler::Node> SchemaCompiler::compile_type(unsigned type,
                                                                 const SchemaPlace& schema) {
  switch (type) {
    case json_types::kNull:
      return words({"null"}, schema.path);
    case json_types::kBoolean:
      return words({"true", "false"}, schema.path);
    case json_types::kInteger:
    case json_types::kNumber:
      return compile_number(schema, type == json_types::kInteger);
    case json_types::kString:
      return compile_string(schema);
    case json_types::kArray:
      return compile_array(schema);
    default:
      return compile_object(schema);
  }
}

inline Result<SchemaCompiler::Node> SchemaCompiler::compile_number(const SchemaPlace& schema,
                                                                   bool whole) {
  constexpr std::int64_t kMostWhole = 999'999'999'999'999;
  constexpr double kMostExclusive =
      1e9;  // past it a step in the sixth place may be lost in doubles
  NumberLimits limits;
  const auto read = [&](const char* keyword, const OrderedJson*& limit) -> Result<void> {
    limit = schema.find(keyword);
    if (limit == nullptr) return {};
    const SchemaPlace place = schema.below(keyword, *limit);
    if (!limit->is_number()) return place.wrong(": must be a number");
    const bool exclusive = std::string_view(keyword).starts_with("ex");
    if (!whole && exclusive && !(std::fabs(limit->get<double>()) <= kMostExclusive)) {
      return place.unsupported(": must be within 1e9 of 0 for numbers that are not integers");
    }
    return {};
  };
  for (const Result<void>& good :
       {read("minimum", limits.minimum), read("maximum", limits.maximum),
        read("exclusiveMinimum", limits.above), read("exclusiveMaximum", limits.below)}) {
    if (!good) return good.error();
  }
  const NumberRange widest = whole ? NumberRange{-kMostWhole, kMostWhole, 0}
                                   : NumberRange{1 - kPastUnits, kPastUnits - 1, 6};
  const NumberRange range = limits.apply(widest);
  if (range.low > range.high) {
    return schema.unsupported(
        whole ? ": no integer of at most 15 digits is in its range"
              : ": no number with at most 12 digits before and 6 behind the point is in its range");
  }
  const auto start = NumberGraph(graph_, range.places).make(range);
  return add({.start = start}, schema.path);
}

inline Result<SchemaCompiler::Node> SchemaCompiler::compile_string(const SchemaPlace& schema) {
  const auto min = count_in(schema, "minLength", 0, kMostNeeded);
  if (!min) return min.error();
  const auto max = count_in(schema, "maxLength", kUnlimited, kUnlimited);
  if (!max) return max.error();
  if (*min > *max) return schema.wrong("/maxLength: is less than minLength");
  return add({.kind = Kind::string, .min = *min, .max = *max}, schema.path);
}

inline Result<SchemaCompiler::Node> SchemaCompiler::compile_array(const SchemaPlace& schema) {
  const auto min = count_in(schema, "minItems", 0, kMostNeeded);
  if (!min) return min.error();
  const auto max = count_in(schema, "maxItems", kUnlimited, kUnlimited);
  if (!max) return max.error();
  if (*min > *max) return schema.wrong("/maxItems: is less than minItems");
  const OrderedJson* items = schema.find("items");
  const bool none = items != nullptr && *items == false;
  if (none && *min > 0) return schema.wrong("/minItems: must be 0 where items is false");
  const Node item =
      items == nullptr || none ? any(schema.path) : want(schema.below("items", *items));
  return add({.kind = Kind::array, .start = item, .min = *min, .max = none ? 0 : *max},
             schema.path);
}

inline Result<std::vector<GrammarProperty>> SchemaCompiler::properties_of(
    const SchemaPlace& schema) {
  constexpr std::size_t kMostNameBytes = 256;
  std::vector<GrammarProperty> found;
  std::map<std::string_view, std::size_t> index;
  const OrderedJson* properties = schema.find("properties");
  if (properties != nullptr) {
    const SchemaPlace all = schema.below("properties", *properties);
    if (!properties->is_object()) return all.wrong(": must be an object");
    for (const auto& [name, value] : properties->get_ref<const OrderedJson::object_t&>()) {
      const SchemaPlace place = all.below(name, value);
      if (name.size() > kMostNameBytes) {
        return place.unsupported(": a name must have at most ", kMostNameBytes, " bytes");
      }
      index.emplace(name, found.size());
      found.push_back({OrderedJson(name).dump() + ": ", want(place), false});
    }
  }
  const OrderedJson* required = schema.find("required");
  if (required == nullptr) return found;
  const SchemaPlace names = schema.below("required", *required);
  if (!required->is_array()) return names.wrong(": must be a list of names");
  for (std::size_t i = 0; i < required->size(); ++i) {
    const OrderedJson& name = (*required)[i];
    const SchemaPlace place = names.below(concat(i), name);
    if (!name.is_string()) return place.wrong(": must be a name");
    const auto known = index.find(name.get_ref<const std::string&>());
    if (known == index.end()) {
      return place.unsupported(": ", in_quotes(name.get_ref<const std::string&>()),
                               " must be one of the properties");
    }
    found[known->second].required = true;
  }
  return found;
}

inline Result<SchemaCompiler::Node> SchemaCompiler::compile_object(const SchemaPlace& schema) {
  const OrderedJson* additional = schema.find("additionalProperties");
  if (additional != nullptr && !additional->is_boolean() && !additional->is_object()) {
    return schema.below("additionalProperties", *additional).wrong(": must be a schema");
  }
  const auto properties = properties_of(schema);
  if (!properties) return properties.error();
  if (!properties->empty()) {
    const auto start = ObjectGraph(graph_, *properties).make();
    return add({.start = start}, schema.path);
  }
  const bool closed =
      schema.find("properties") != nullptr || (additional != nullptr && *additional == false);
  if (closed) return words({"{}"}, schema.path);
  const bool described = additional != nullptr && additional->is_object();
  const Node value =
      described ? want(schema.below("additionalProperties", *additional)) : any(schema.path);
  return pairs(value, schema.path);
}

/// A choice between choices becomes one between all that these come to.
inline void SchemaCompiler::flatten_choices() {
  std::vector<std::uint32_t> flat;
  std::vector<Node> open;
  std::vector<std::uint32_t> seen(program_.nodes.size(), GrammarState::kNone);
  for (Node node = 0; node < program_.nodes.size(); ++node) {
    GrammarNode& choice = program_.nodes[node];
    if (choice.kind != Kind::choice) continue;
    const auto start = static_cast<std::uint32_t>(flat.size());
    open.assign(1, node);
    seen[node] = node;
    while (!open.empty() && flat.size() <= 4 * kMostNodes) {
      const GrammarNode& one = program_.nodes[open.back()];
      const Node at = open.back();
      open.pop_back();
      if (one.kind != Kind::choice) {
        flat.push_back(at);
        continue;
      }
      // Of a choice that was flattened before, the list is in flat.
      const auto& list = at < node ? flat : program_.alternatives;
      for (std::uint32_t i = 0; i < one.count; ++i) {
        const Node next = list[one.start + i];
        if (std::exchange(seen[next], node) != node) open.push_back(next);
      }
    }
    choice.start = start;
    choice.count = static_cast<std::uint32_t>(flat.size()) - start;
  }
  program_.alternatives = std::move(flat);
}

inline Result<void> SchemaCompiler::finish() {
  const SchemaPlace root = {&document_, "#"};
  graph_.finish(program_);
  flatten_choices();
  if (program_.alternatives.size() > 4 * kMostNodes) {
    return root.unsupported(": the schema has too many alternatives");
  }
  if (!GrammarCosts(program_).run()) {
    return root.unsupported(": its parts refer to each other too far");
  }
  for (const GrammarNode& node : program_.nodes) {
    if (node.kind != Kind::choice) continue;
    // The stacks keep the first ones where there are too many.
    std::stable_sort(program_.alternatives.begin() + node.start,
                     program_.alternatives.begin() + node.start + node.count, [&](Node a, Node b) {
                       return program_.nodes[a].cost < program_.nodes[b].cost;
                     });
  }
  if (program_.nodes[0].cost < kNeverEnds) return {};
  // The last one that has no end is what the others contain.
  std::size_t at = program_.nodes.size() - 1;
  while (program_.nodes[at].cost < kNeverEnds) --at;
  return SchemaPlace{&document_, paths_[at]}.unsupported(
      ": no text of it ends: it contains itself, or takes bytes or a length that the tokens do not "
      "have");
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
