// SPDX-License-Identifier: Apache-2.0
#include "mamba2/text/grammar/json_schema.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include "tests/text/grammar/grammar_tokens.hpp"

namespace {
namespace schemas {

using grammar_tests::grammar;
using grammar_tests::refused;
using grammar_tests::takes;

/// In units of 10^-2: -3 is -0.03, 120 is 1.20, 1.2 or, of whole ones, 1.
std::string decimal(int units, int digits) {
  const int size = units < 0 ? -units : units;
  std::string text = (units < 0 ? "-" : "") + std::to_string(size / 100);
  const std::string behind = std::to_string(100 + size % 100).substr(1);
  return digits == 0 ? text : text + "." + behind.substr(0, static_cast<std::size_t>(digits));
}

}  // namespace schemas
}  // namespace

TEST_CASE("integers are those of the range") {
  for (const std::pair<int, int>& range : std::vector<std::pair<int, int>>{{0, 0},
                                                                           {0, 9},
                                                                           {-5, 137},
                                                                           {10, 99},
                                                                           {99, 101},
                                                                           {-137, -9},
                                                                           {-1, 0},
                                                                           {100, 100},
                                                                           {7, 250}}) {
    const int low = range.first, high = range.second;
    CAPTURE(low);
    CAPTURE(high);
    mamba2::Constraint constraint(
        grammar_tests::grammar(R"({"type": "integer", "minimum": )" + std::to_string(low) +
                               R"(, "exclusiveMaximum": )" + std::to_string(high + 1) + "}"));
    for (int i = -300; i <= 300; ++i) {
      if (schemas::takes(constraint, std::to_string(i)) != (i >= low && i <= high)) {
        CHECK(i == 1000000);  // shows i
      }
    }
    for (const char* wrong : {"-0", "01", "007", "1.0", "", "-", "+1", "1e2", " 1"}) {
      CAPTURE(wrong);
      CHECK(!schemas::takes(constraint, wrong));
    }
  }
  CHECK(schemas::takes(R"({"type": "integer"})", "-999999999999999"));
  CHECK(!schemas::takes(R"({"type": "integer"})", "1000000000000000"));
  CHECK(schemas::takes(R"({"type": "integer", "minimum": 0.5, "maximum": 1e300})", "1"));
  CHECK(!schemas::takes(R"({"type": "integer", "minimum": 0.5, "maximum": 1e300})", "0"));
}

TEST_CASE("numbers are those of the range, to the last place") {
  struct Range {
    const char* text;
    int low, high;
  };
  for (const Range& range : {Range{R"("minimum": -1.5, "maximum": 2.25)", -150, 225},
                             {R"("minimum": 0.07)", 7, 100000},
                             {R"("exclusiveMinimum": 0, "exclusiveMaximum": 1)", 1, 99},
                             {R"("maximum": -0.3)", -100000, -30},
                             {R"("minimum": 0.99, "maximum": 10.01)", 99, 1001}}) {
    CAPTURE(range.text);
    mamba2::Constraint constraint(
        grammar_tests::grammar(std::string(R"({"type": "number", )") + range.text + "}"));
    for (int i = -400; i <= 1100; ++i) {
      const bool in_range = i >= range.low && i <= range.high;
      for (int digits = i % 100 == 0 ? 0 : i % 10 == 0 ? 1 : 2; digits <= 2; ++digits) {
        if (i == 0) continue;
        const std::string text = schemas::decimal(i, digits);
        if (schemas::takes(constraint, text) != in_range) CHECK(text == "");
      }
    }
  }
  const char* any = R"({"type": "number"})";
  for (const char* good : {"0", "0.0", "-0.5", "123456789012.123456", "-1.50"}) {
    CHECK(schemas::takes(any, good));
  }
  for (const char* wrong : {"-0", "1.", ".5", "1.1234567", "1234567890123", "1e5", "00.1"}) {
    CHECK(!schemas::takes(any, wrong));
  }
}

TEST_CASE("strings count code points, and have no control characters") {
  const char* schema = R"({"type": "string", "minLength": 2, "maxLength": 3})";
  for (const char* good : {R"("ab")", R"("üü")", R"("日本語")", R"("\n\"")", R"("a😀b")"}) {
    CHECK(schemas::takes(schema, good));
  }
  for (const char* wrong : {R"("a")", R"("abcd")", "\"a\nb\"", R"("\u0041b")", "\"a\xC3\"",
                            "\"a\xED\xA0\x80\"", R"("ab)", R"(ab)", R"("\x ")"}) {
    CAPTURE(wrong);
    CHECK(!schemas::takes(schema, wrong));
  }
}

TEST_CASE("objects have their properties in order, arrays their number of items") {
  const char* object = R"({"type": "object", "properties": {"b": {"type": "null"},
      "a": {"type": "boolean"}, "a\"": {"const": {"x": [1]}}}, "required": ["a"]})";
  for (const char* good : {R"({"a": true})", R"({"b": null, "a": false})",
                           R"({"b": null, "a": true, "a\"": {"x":[1]}})"}) {
    CHECK(schemas::takes(object, good));
  }
  for (const char* wrong : {R"({})", R"({"a": true, "b": null})", R"({"b": null})", R"({"a": 1})",
                            R"({"a": true, "c": 1})", R"({"a":true})", R"({"a": true,})"}) {
    CAPTURE(wrong);
    CHECK(!schemas::takes(object, wrong));
  }
  const char* array =
      R"({"type": "array", "items": {"enum": [1, 12]}, "minItems": 1, "maxItems": 2})";
  CHECK(schemas::takes(array, "[1, 12]"));
  CHECK(schemas::takes(array, "[12]"));
  CHECK(!schemas::takes(array, "[]"));
  CHECK(!schemas::takes(array, "[1, 1, 1]"));
  CHECK(!schemas::takes(array, "[1,1]"));
  CHECK(schemas::takes(R"({"items": false})", "[]"));
  CHECK(schemas::takes(R"({"properties": {}})", "{}"));
  CHECK(!schemas::takes(R"({"additionalProperties": false})", R"({"a": 1})"));
  CHECK(
      schemas::takes(R"({"additionalProperties": {"type": "null"}})", R"({"a": null, "a": null})"));
}

TEST_CASE("choices, references, types by keywords, any value") {
  CHECK(schemas::takes(R"({"type": ["null", "string"], "maxLength": 1})", R"("a")"));
  CHECK(schemas::takes(R"({"maxLength": 1})", R"("a")"));
  CHECK(!schemas::takes(R"({"maxLength": 1})", "1"));
  CHECK(schemas::takes(R"({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"anyOf": [true]}}})",
                       R"({"x": [1, {"y": null}], "z": "e"})"));
  const char* list = R"({"type": "object", "properties": {"next": {"$ref": "#"}}})";
  CHECK(schemas::takes(list, R"({"next": {"next": {}}})"));
  // A choice that contains itself is what else it contains.
  CHECK(schemas::takes(R"({"anyOf": [{"$ref": "#"}, {"type": "null"}]})", "null"));
  const auto json = mamba2::json_grammar(grammar_tests::tokens()).value();
  mamba2::Constraint constraint(json);
  CHECK(schemas::takes(constraint, R"({"a": -1.5, "b": [true, false, null]})"));
  CHECK(!schemas::takes(constraint, "1"));
}

TEST_CASE("a choice among many objects that begin alike leaves all of them") {
  std::string list;
  for (int i = 0; i < 60; ++i) {
    const std::string name = "\"command " + std::to_string(i) + "\"";
    list += (i > 0 ? ", " : "") +
            std::string(R"({"type": "object", "properties": {"do": {"const": )") + name +
            R"(}, "with": {"type": "string"}}, "required": ["do", "with"]})";
  }
  mamba2::Constraint constraint(grammar_tests::grammar("{\"anyOf\": [" + list + "]}"));
  for (int i = 0; i < 60; ++i) {
    const std::string text = "{\"do\": \"command " + std::to_string(i) + "\", \"with\": \"x\"}";
    CHECK(schemas::takes(constraint, text));
  }
  CHECK(!schemas::takes(constraint, R"({"do": "command 60", "with": "x"})"));
}

TEST_CASE("texts nest as deep as there is room, and no deeper") {
  mamba2::Constraint constraint(grammar_tests::grammar("true"));
  CHECK(schemas::takes(constraint, std::string(60, '[') + std::string(60, ']')));
  CHECK(!schemas::takes(constraint, std::string(70, '[') + std::string(70, ']')));
  // Where only what is not too deep can end, no text is begun that cannot.
  std::string schema = R"({"type": "null"})";
  for (int i = 0; i < 30; ++i) {
    schema = R"({"items": )" + schema + R"(, "minItems": 1})";
  }
  CHECK(schemas::takes(schema, std::string(30, '[') + "null" + std::string(30, ']')));
}

TEST_CASE("what a schema must not say is refused in one line, with its path") {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "schema: expected JSON, found a syntax error"},
      {"{", "syntax error"},
      {"[]", "schema: #: must be an object or true"},
      {"false", "schema: #: no text is valid"},
      {R"({"type": "text"})", "schema: #/type: must be a type of JSON"},
      {R"({"type": []})", "#/type: "},
      {R"({"type": "string", "pattern": "a"})", "#/pattern: this keyword is not supported"},
      {R"({"properties": {"a/b": {"format": "date"}}})", "#/properties/a~1b/format: "},
      {R"({"type": "string", "minItems": 1})", "#/minItems: does not go with the type"},
      {R"({"minItems": 1000000000})", "#/minItems: must be at most 65536, found 1000000000"},
      {R"({"minLength": -1})", "#/minLength: must be a whole number"},
      {R"({"minLength": 3, "maxLength": 2})", "#/maxLength: is less than minLength"},
      {R"({"minItems": 3, "maxItems": 2})", "#/maxItems: is less than minItems"},
      {R"({"type": "integer", "minimum": 2, "maximum": 1})", "#: no integer"},
      {R"({"type": "number", "minimum": 1e13})", "#: no number"},
      {R"({"minimum": "1"})", "#/minimum: must be a number"},
      {R"({"required": ["a"]})", "#/required/0: \"a\" must be one of the properties"},
      {R"({"enum": []})", "#/enum: must be a list of values"},
      {R"({"type": "string", "enum": ["a", 1]})", "#/enum/1: is of another type"},
      {R"({"enum": ["a"], "maxLength": 1})", "#/maxLength: is not supported beside enum"},
      {R"({"anyOf": [{"oneOf": []}]})", "#/anyOf/0/oneOf: "},
      {R"({"anyOf": [true], "type": "string"})", "#/type: is not supported beside anyOf"},
      {R"({"$ref": "other.json"})", "#/$ref: must be # or begin with #/"},
      {R"({"$ref": "#/$defs/x"})", "#/$ref: leads nowhere"},
      {R"({"$ref": "#"})", "#: no text of it ends"},
      {R"({"properties": {"a": {"$ref": "#"}}, "required": ["a"]})", "no text of it ends"},
      {R"({"type": "string", "type": "string"})", "occurs twice"},
      {std::string(100, '['), "levels of nesting"},
      {R"({"properties": {")" + std::string(300, 'a') + R"(": true}})", "at most 256 bytes"},
  };
  for (const auto& one : cases) {
    const auto& schema = one.first;
    const auto& expected = one.second;
    CAPTURE(schema);
    const std::string message = schemas::refused(schema);
    CAPTURE(message);
    CHECK(message.find(expected) != std::string::npos);
    CHECK(message.find('\n') == std::string::npos);
    CHECK(message.size() < 500);
  }
}

TEST_CASE("hostile schemas take little time and memory") {
  const auto start = std::chrono::steady_clock::now();
  std::string names;
  for (int i = 0; i < 2500; ++i)
    names += (i > 0 ? ", \"a" : "\"a") + std::to_string(i) + "\": true";
  CHECK(schemas::refused("{\"properties\": {" + names + "}}").find("too large") !=
        std::string::npos);
  std::string values;
  for (int i = 0; i < 20000; ++i) values += (i > 0 ? ", " : "") + std::to_string(i * 7919);
  const std::string found = schemas::refused("{\"enum\": [" + values + "]}");
  CHECK((found == "accepted" || found.find("too large") != std::string::npos));
  // References in a row, the last one first.
  std::string chain;
  for (int i = 0; i < 1500; ++i) {
    chain += (i > 0 ? ", \"d" : "\"d") + std::to_string(i) + R"(": {"items": {"$ref": "#/$defs/d)" +
             std::to_string(i + 1) + R"("}, "minItems": 1})";
  }
  const std::string row =
      "{\"$defs\": {" + chain + R"(, "d1500": {"type": "null"}}, "$ref": "#/$defs/d0"})";
  CHECK(schemas::refused(row).find("64 levels") == std::string::npos);
  CHECK(!mamba2::Constraint(schemas::grammar(R"({"type": "null"})")).finished());
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(20));
}
