// SPDX-License-Identifier: Apache-2.0
// The keywords of a JSON schema: which there are, what they may hold, where a reference leads.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "mamba2/core/result.hpp"
#include "mamba2/text/grammar/schema_json.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// One schema and where it stands.
struct SchemaPlace {
  const OrderedJson* json;
  std::string path;  ///< a JSON pointer: "#/properties/name"

  [[nodiscard]] const OrderedJson* find(const char* keyword) const {
    const auto at = json->find(keyword);
    return at == json->end() ? nullptr : &*at;
  }
  [[nodiscard]] SchemaPlace below(std::string_view key, const OrderedJson& value) const {
    std::string out = path + '/';
    for (const char c : key) out += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
    return {&value, std::move(out)};
  }
  /// What is wrong here, or with one keyword.
  template <class... Parts>
  [[nodiscard]] Error wrong(const Parts&... parts) const {
    return {ErrorCode::malformed, concat("schema: ", shown_path(path), parts...)};
  }
  template <class... Parts>
  [[nodiscard]] Error unsupported(const Parts&... parts) const {
    return {ErrorCode::unsupported, concat("schema: ", shown_path(path), parts...)};
  }
};

/// The types of JSON, a bit for each.
namespace json_types {
inline constexpr unsigned kNull = 1, kBoolean = 2, kInteger = 4, kNumber = 8, kString = 16,
                          kArray = 32, kObject = 64, kAll = 127;
}  // namespace json_types

struct SchemaKeyword {
  std::string_view name;
  unsigned types;  ///< that it says something about; kAll: about none in particular
};

inline constexpr std::array<SchemaKeyword, 29> kSchemaKeywords = {{
    {"type", json_types::kAll},
    {"enum", json_types::kAll},
    {"const", json_types::kAll},
    {"anyOf", json_types::kAll},
    {"$ref", json_types::kAll},
    {"$defs", json_types::kAll},
    {"definitions", json_types::kAll},
    {"$schema", json_types::kAll},
    {"$id", json_types::kAll},
    {"$comment", json_types::kAll},
    {"title", json_types::kAll},
    {"description", json_types::kAll},
    {"default", json_types::kAll},
    {"examples", json_types::kAll},
    {"deprecated", json_types::kAll},
    {"readOnly", json_types::kAll},
    {"writeOnly", json_types::kAll},
    {"properties", json_types::kObject},
    {"required", json_types::kObject},
    {"additionalProperties", json_types::kObject},
    {"items", json_types::kArray},
    {"minItems", json_types::kArray},
    {"maxItems", json_types::kArray},
    {"minLength", json_types::kString},
    {"maxLength", json_types::kString},
    {"minimum", json_types::kInteger | json_types::kNumber},
    {"maximum", json_types::kInteger | json_types::kNumber},
    {"exclusiveMinimum", json_types::kInteger | json_types::kNumber},
    {"exclusiveMaximum", json_types::kInteger | json_types::kNumber},
}};

/// The types that the keywords of a schema speak of: 0 if none does. Errors: unsupported, for a
/// keyword that is not known.
[[nodiscard]] inline Result<unsigned> types_of_keywords(const SchemaPlace& schema) {
  unsigned types = 0;
  for (const auto& [name, value] : schema.json->items()) {
    const auto known = std::ranges::find(kSchemaKeywords, name, &SchemaKeyword::name);
    if (known == kSchemaKeywords.end()) {
      return schema.below(name, value).unsupported(": this keyword is not supported");
    }
    if (known->types != json_types::kAll) types |= known->types;
  }
  return types;
}

[[nodiscard]] inline unsigned type_named(std::string_view name) {
  constexpr std::array<std::string_view, 7> kNames = {"null",   "boolean", "integer", "number",
                                                      "string", "array",   "object"};
  const auto at = std::ranges::find(kNames, name);
  return at == kNames.end() ? 0 : 1U << static_cast<unsigned>(at - kNames.begin());
}

/// The types that a schema leaves: those of "type", or else those that its keywords speak of, or
/// all. Errors: malformed, unsupported.
[[nodiscard]] inline Result<unsigned> types_of(const SchemaPlace& schema) {
  const Result<unsigned> spoken_of = types_of_keywords(schema);
  if (!spoken_of) return spoken_of.error();
  const OrderedJson* type = schema.find("type");
  if (type == nullptr) return *spoken_of == 0 ? json_types::kAll : *spoken_of;
  unsigned types = 0;
  const auto add = [&](const OrderedJson& name) {
    const unsigned one = name.is_string() ? type_named(name.get_ref<const std::string&>()) : 0;
    types |= one;
    return one != 0;
  };
  bool good = type->is_array() ? !type->empty() : add(*type);
  if (type->is_array()) {
    for (const OrderedJson& name : *type) good = good && add(name);
  }
  if (!good) return schema.below("type", *type).wrong(": must be a type of JSON, or some of them");
  for (const SchemaKeyword& keyword : kSchemaKeywords) {
    if ((keyword.types & types) == 0 && schema.json->contains(keyword.name)) {
      return schema.below(keyword.name, *type).wrong(": does not go with the type of the schema");
    }
  }
  return types;
}

/// Whether a value has one of some types.
[[nodiscard]] inline bool has_type(const OrderedJson& value, unsigned types) {
  using namespace json_types;
  switch (value.type()) {
    case OrderedJson::value_t::null:
      return (types & kNull) != 0;
    case OrderedJson::value_t::boolean:
      return (types & kBoolean) != 0;
    case OrderedJson::value_t::number_integer:
    case OrderedJson::value_t::number_unsigned:
      return (types & (kInteger | kNumber)) != 0;
    case OrderedJson::value_t::number_float:
      return (types & kNumber) != 0;
    case OrderedJson::value_t::string:
      return (types & kString) != 0;
    case OrderedJson::value_t::array:
      return (types & kArray) != 0;
    default:
      return (types & kObject) != 0;
  }
}

/// A keyword that counts: `otherwise` where it is missing. Errors: malformed; unsupported, above
/// `most`.
[[nodiscard]] inline Result<std::uint32_t> count_in(const SchemaPlace& schema, const char* keyword,
                                                    std::uint32_t otherwise, std::uint32_t most) {
  const OrderedJson* value = schema.find(keyword);
  if (value == nullptr) return otherwise;
  const SchemaPlace place = schema.below(keyword, *value);
  if (!value->is_number_unsigned()) return place.wrong(": must be a whole number of at least 0");
  const auto count = value->get<std::uint64_t>();
  if (count > most) return place.unsupported(": must be at most ", most, ", found ", count);
  return static_cast<std::uint32_t>(count);
}

/// Where "#", "#/$defs/name" or another pointer into the document leads. Errors: malformed, if
/// nowhere; unsupported, for other documents and names.
[[nodiscard]] inline Result<SchemaPlace> follow_reference(const SchemaPlace& reference,
                                                          const OrderedJson& document) {
  if (!reference.json->is_string()) return reference.wrong(": must be a string");
  const std::string& text = reference.json->get_ref<const std::string&>();
  if (text != "#" && !text.starts_with("#/")) {
    return reference.unsupported(": must be # or begin with #/, found ", in_quotes(text));
  }
  SchemaPlace at = {&document, "#"};
  for (std::size_t begin = 2; begin <= text.size() && text.size() > 1;) {
    const std::size_t end = std::min(text.find('/', begin), text.size());
    std::string key;
    for (std::size_t i = begin; i < end; ++i) {
      const bool escape = text[i] == '~' && i + 1 < end;
      key += !escape ? text[i] : text[++i] == '1' ? '/' : '~';
    }
    const OrderedJson* next = nullptr;
    if (at.json->is_object() && at.json->contains(key)) next = &(*at.json)[key];
    std::size_t index = 0;
    const auto read = std::from_chars(key.data(), key.data() + key.size(), index);
    const bool number = read.ec == std::errc() && read.ptr == key.data() + key.size();
    if (at.json->is_array() && number && index < at.json->size()) next = &(*at.json)[index];
    if (next == nullptr) return reference.wrong(": leads nowhere: ", in_quotes(text));
    at = at.below(key, *next);
    begin = end + 1;
  }
  return at;
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
