// SPDX-License-Identifier: Apache-2.0
// What is written looks as nlohmann::ordered_json would write it.
#include "mamba2/io/json_writer.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

using mamba2::detail::Json;
using mamba2::detail::JsonWriter;
using Ordered = nlohmann::ordered_json;

namespace {

/// Writes a document value by value.
void write(JsonWriter& writer, const Ordered& value) {
  if (value.is_object()) {
    writer.start_object();
    for (const auto& [key, member] : value.items()) {
      writer.key(key);
      write(writer, member);
    }
    writer.end_object();
  } else if (value.is_array()) {
    writer.start_array();
    for (const Ordered& element : value) write(writer, element);
    writer.end_array();
  } else {
    writer.value(Json(value));
  }
}

void check_as_dumped(const Ordered& document) {
  for (const int indent : {2, 0, 1, -1}) {
    CAPTURE(indent);
    JsonWriter writer(indent);
    write(writer, document);
    CHECK(writer.text() == document.dump(indent));
  }
}

}  // namespace

TEST_CASE("json writer: objects and arrays at every depth") {
  for (const std::string text :
       {R"({"z": 1, "a": [1, 2.5, -3, 1e-05, 1e300, true, null, "s"], "m": {"y": {}, "b": []}})",
        R"([[], {}, [[]], [{}], {"b": [[1, 2], [3]], "a": {"c": {"b": {"a": 0}}}}])",
        R"({"line\nend \"quoted\" \\ \u0001": "a\nb\t\u00e4\ud83d\ude00", "": ""})", "{}", "[]",
        "3", "\"s\"", "18446744073709551615", "1.0", "-0.0"}) {
    CAPTURE(text);
    check_as_dumped(Ordered::parse(text));
  }
}

TEST_CASE("json writer: values and members of any form") {
  JsonWriter writer;
  writer.start_object();
  writer.member("z", std::vector<std::size_t>{1, 2});
  writer.member("a", {{"y", 1}, {"b", {{"c", "d\ne"}}}});  // a Json: its keys are sorted
  writer.key("m");
  JsonWriter inner;
  inner.start_object();
  inner.member("y", nullptr);
  inner.member("b", Json::array());
  inner.end_object();
  writer.written(std::move(inner).text());
  writer.end_object();
  CHECK(std::move(writer).text() == R"({
  "z": [
    1,
    2
  ],
  "a": {
    "b": {
      "c": "d\ne"
    },
    "y": 1
  },
  "m": {
    "y": null,
    "b": []
  }
})");
}

TEST_CASE("json writer: what is not UTF-8 is replaced") {
  JsonWriter writer(-1);
  writer.start_object();
  writer.member("k\xFF", "v\xC3");
  writer.end_object();
  CHECK(writer.text() == "{\"k\xEF\xBF\xBD\":\"v\xEF\xBF\xBD\"}");
}
