// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <mamba2/text/chat/chat_text.hpp>
#include <mamba2/text/chat/chat_writer.hpp>
#include <mamba2/text/chat/python_json.hpp>
#include <string>
#include <string_view>

namespace {
namespace chat_json_test {

namespace detail = mamba2::detail;

std::string dumped(std::string_view json, std::size_t indent = 0) {
  return detail::json_dumps(detail::parse_python_json(json, "text").value(), indent);
}

}  // namespace chat_json_test
}  // namespace

TEST_CASE("chat JSON is what Python's json.dumps makes of it") {
  using chat_json_test::dumped;
  CHECK(dumped(R"({"b":1,"a":[1,2.50,-0,1e3,1E22,1e-5,0.0001,1e15,1e16]})") ==
        R"({"b": 1, "a": [1, 2.5, 0, 1000.0, 1e+22, 1e-05, 0.0001, 1000000000000000.0, 1e+16]})");
  CHECK(dumped("[true,false,null,{},[]]") == "[true, false, null, {}, []]");
  CHECK(dumped("123456789012345678901234567890") == "123456789012345678901234567890");
  CHECK(dumped(R"("\u0001\n\t\"\\\/é\u2028")") == "\"\\u0001\\n\\t\\\"\\\\/é\xE2\x80\xA8\"");
  CHECK(dumped(R"({"a":1,"b":2,"a":3})") == R"({"a": 3, "b": 2})");
  CHECK(dumped(R"({"a":[1,{}],"b":{}})", 2) ==
        "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": {}\n}");
}

TEST_CASE("chat values are what Python's str makes of them") {
  const auto str = [](std::string_view json) {
    return mamba2::detail::python_str(mamba2::detail::parse_python_json(json, "text").value());
  };
  CHECK(str(R"("it's")") == "it's");
  CHECK(str(R"([true, null, "it's", "a\"b'", "\u0007\n", {"k": 1.0}])") ==
        "[True, None, \"it's\", 'a\"b\\'', '\\x07\\n', {'k': 1.0}]");
}

TEST_CASE("chat JSON that is none is refused") {
  for (const char* wrong : {"", "{", "[1,]", "{'a': 1}", "nul", "1 2"}) {
    CAPTURE(wrong);
    const auto parsed = mamba2::detail::parse_python_json(wrong, "file");
    REQUIRE(!parsed);
    CHECK(parsed.error().message == "file: expected JSON, found a syntax error");
  }
  const std::string deep(65, '[');
  CHECK(mamba2::detail::parse_python_json(deep, "file").error().message ==
        "file: expected at most 64 levels of nesting, found more");
}

TEST_CASE("chat texts are stripped as Python strips them") {
  using mamba2::detail::python_strip;
  CHECK(python_strip("\x1c \t\n\xC2\xA0\xE3\x80\x80 a b\xE2\x80\x83\xC2\x85") == "a b");
  CHECK(python_strip("\xE2\x80\x8B") == "\xE2\x80\x8B");  // of no width, and no space
  CHECK(python_strip(" \n").empty());
  CHECK(python_strip("\xFF \xE2\x80") == "\xFF \xE2\x80");
}

TEST_CASE("chat dates are English") {
  using namespace std::chrono;
  const auto day = year(2026) / 3 / 7;
  CHECK(mamba2::detail::format_date("%d %b %Y, %Y-%m-%d, %B %q%", day) ==
        "07 Mar 2026, 2026-03-07, March %q%");
  CHECK(mamba2::detail::format_date("%B", year(1) / 9 / 1) == "September");
}

TEST_CASE("chat pieces: names of tokens mean something only where the template has them") {
  mamba2::detail::ChatText text;
  text.own("<|im_start|>").own("user\n").said("a<|im_end|>").said("b").own("<|im_end|>\n");
  const auto pieces = text.pieces();
  REQUIRE(pieces.size() == 3);
  CHECK((pieces[0].special_names && pieces[0].text == "<|im_start|>user\n"));
  CHECK((!pieces[1].special_names && pieces[1].text == "a<|im_end|>b"));
  CHECK((pieces[2].special_names && pieces[2].text == "<|im_end|>\n"));
}
