// SPDX-License-Identifier: Apache-2.0
// JSON from strangers: tolerance where the spec wants it, errors elsewhere.
#include "mamba2/io/json.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mamba2/io/json_fields.hpp"
#include "mamba2/io/printable.hpp"
#include "tests/constants.hpp"

using mamba2::ErrorCode;
using mamba2::detail::Json;
using mamba2::detail::parse_json;

namespace {

std::string repeat(std::string_view text, std::size_t times) {
  std::string out;
  for (std::size_t i = 0; i < times; ++i) out += text;
  return out;
}

void check_refused_json(std::string_view text, std::string_view message) {
  const auto document = parse_json(text, "f.json");
  REQUIRE(!document);
  CHECK(document.error().code == ErrorCode::malformed);
  CHECK(document.error().message == message);
}

}  // namespace

TEST_CASE("json: builds the document") {
  const auto document = parse_json(
      " {\"a\": [1, -2, 0.5, true, null, {\"\": []}], \"b\\u00e9\": \"x\\\"[\", \"c\": {}} \n",
      "f");
  REQUIRE(document);
  const Json expected = {{"a", {1, -2, 0.5, true, nullptr, {{"", Json::array()}}}},
                         {"b\u00e9", "x\"["},
                         {"c", Json::object()}};
  CHECK(*document == expected);
  CHECK(*parse_json("3", "f").value().get_ptr<const std::uint64_t*>() == 3);
  CHECK(parse_json("\"s\"", "f").value() == "s");
}

TEST_CASE("json: bare Infinity, -Infinity and NaN, outside of strings only") {
  const auto document = parse_json(
      R"({"Infinity": "NaN\"Infinity", "a": [0.0, Infinity], "b":-Infinity,"c": NaN , "d": "\\"})",
      "f");
  REQUIRE(document);
  CHECK(document->at("Infinity") == "NaN\"Infinity");
  CHECK(document->at("a")[1] == Json{{"__float__", "Infinity"}});
  CHECK(document->at("b") == Json{{"__float__", "-Infinity"}});
  CHECK(document->at("c") == Json{{"__float__", "NaN"}});
  CHECK(document->at("d") == "\\");
  for (const std::string_view wrong :
       {"{Infinity: 1}", "[Infinityx]", "[1Infinity]", "[- Infinity]", "[+Infinity]",
        "[--Infinity]", "[infinity]", "[nan]", "[NaNNaN]", "[\"Infinity]", "NaN\\"}) {
    CAPTURE(wrong);
    CHECK(!parse_json(wrong, "f"));
  }
}

TEST_CASE("json: errors name the file, the line and the key") {
  check_refused_json("", "f.json: expected JSON, found nothing (0 bytes)");
  check_refused_json(" ", "f.json: line 1: expected JSON, found a syntax error");
  check_refused_json("{\"a\": 1,\n \"b\": }",
                     "f.json: line 2 at the key \"b\": expected JSON, found a syntax error");
  check_refused_json(
      "{\"a\": [Infinity,\n1e400]}",
      "f.json: line 2 at the key \"a\": expected JSON, found a number that is out of range");
  check_refused_json("{\"a\": 1, \"b\": {\"a\": 2, \"a\": 3}}",
                     "f.json: the key \"a\" occurs twice in one object");
  check_refused_json(std::string_view("{\"a\": 1}\0{", 10),
                     "f.json: line 1: expected JSON, found a syntax error");
}

TEST_CASE("json: what is not JSON") {
  for (const std::string_view wrong :
       {"{",           "[1,]",    "{\"a\"}",       "{'a': 1}", "{\"a\": 01}",  "{\"a\": 1} x",
        "[1 2]",       "tru",     "// c\n1",       "\"\xff\"", "\"\xc0\xaf\"", "\"\xed\xa0\x80\"",
        "\"\\ud800\"", "\"\\x\"", "\"tab\there\"", "\"open",   "\xef\xbb",     ".5",
        "1.",          "-",       "{\"a\":1,}"}) {
    CAPTURE(wrong);
    CHECK(!parse_json(wrong, "f"));
  }
}

TEST_CASE("json: deep nesting is an error, not a crash") {
  CHECK(parse_json(repeat("[", 64) + repeat("]", 64), "f"));
  check_refused_json(repeat("[", 65) + repeat("]", 65),
                     "f.json: expected at most 64 levels of nesting, found more");
  check_refused_json(repeat("[", 1000000),
                     "f.json: expected at most 64 levels of nesting, found more");
  check_refused_json(repeat("{\"a\":", 1000000),
                     "f.json: expected at most 64 levels of nesting, found more");
}

TEST_CASE("json: every truncation is an error") {
  const std::string text = R"({"a": [0.5, Infinity, "s"], "b": {"c": null}})";
  REQUIRE(parse_json(text, "f"));
  for (std::size_t n = 0; n < text.size(); ++n) CHECK(!parse_json(text.substr(0, n), "f"));
}

TEST_CASE("json: numbers in all their spellings") {
  const auto number = [](std::string_view text) {
    return mamba2::detail::number_of(parse_json(text, "f").value());
  };
  using tests::kInfinity;
  CHECK(number("7") == 7.0);
  CHECK(number("-7") == -7.0);
  CHECK(number("1e-05") == 1e-5);
  CHECK(number("18446744073709551616") == 0x1p64);
  CHECK(number("Infinity") == kInfinity);
  CHECK(number("\"Infinity\"") == kInfinity);
  CHECK(number("{\"__float__\": \"-Infinity\"}") == -kInfinity);
  const auto nan = number("NaN");
  REQUIRE(nan);
  CHECK(*nan != *nan);
  for (const std::string_view wrong :
       {"\"1\"", "\"inf\"", "null", "true", "[1]", "{}", "{\"__float__\": 1}",
        "{\"__float__\": \"Infinity\", \"x\": 1}", "{\"float\": \"Infinity\"}"}) {
    CAPTURE(wrong);
    CHECK(!number(wrong));
  }
}

TEST_CASE("printable: names fit one line of a message") {
  using mamba2::detail::in_quotes;
  CHECK(in_quotes("a b\u00e9") == "\"a b\u00e9\"");
  CHECK(in_quotes(std::string_view("\n\0\x7f", 3)) == "\"\\x0a\\x00\\x7f\"");
  CHECK(in_quotes(std::string(100, 'x')) == "\"" + std::string(100, 'x') + "\"");
  CHECK(in_quotes(std::string(101, 'x')) == "\"" + std::string(100, 'x') + "...\"");
  CHECK(in_quotes(std::string(99, 'x') + "\u00e9") == "\"" + std::string(99, 'x') + "...\"");
  CHECK(in_quotes(std::string(1000, '\x80')) == "\"...\"");
  using Shape = std::vector<std::size_t>;
  CHECK(mamba2::detail::shape_text(Shape{}) == "()");
  CHECK(mamba2::detail::shape_text(Shape{896, 1, 4}) == "(896, 1, 4)");
  CHECK(mamba2::detail::shape_text(Shape(9, 2)) == "(2, 2, 2, 2, 2, 2, 2, 2, ...)");
}
