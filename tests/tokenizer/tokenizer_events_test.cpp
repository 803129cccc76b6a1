// SPDX-License-Identifier: Apache-2.0
#include "mamba2/tokenizer/tokenizer_events.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include "mamba2/tokenizer/tokenizer_json.hpp"

namespace {

using mamba2::detail::TokenizerEvents;
using mamba2::detail::TokenizerFile;

struct Read {
  explicit Read(std::string_view json) : events(json, "t.json", file) {
    ok = mamba2::detail::read_json(json, events);
  }
  TokenizerFile file;
  TokenizerEvents events;
  bool ok = false;
};

std::string error_of(std::string_view json) {
  const Read read(json);
  REQUIRE_FALSE(read.ok);
  CHECK(read.events.error.starts_with("t.json: "));
  CHECK(read.events.error.find('\n') == std::string::npos);
  return read.events.error;
}

}  // namespace

TEST_CASE("the lists are taken, the rest is a document") {
  const Read read(
      R"({"x":{"vocab":{"q":7},"merges":[]},"model":{"merges":["a b",["c","d e"],"#version: 1"],)"
      R"("type":"BPE","vocab":{"a":3,"\u0120b":0}},"vocab":[1]})");
  REQUIRE(read.ok);
  REQUIRE(read.file.vocab.size() == 2);
  CHECK(read.file.vocab[0].text == "a");
  CHECK(read.file.vocab[0].id == 3);
  CHECK(read.file.vocab[1].text == "\u0120b");
  REQUIRE(read.file.merges.size() == 2);
  CHECK(read.file.merges[0] == TokenizerFile::MergePair{"a", "b"});
  CHECK(read.file.merges[1] == TokenizerFile::MergePair{"c", "d e"});
  CHECK(read.events.has_vocab);
  CHECK(read.events.has_merges);
  CHECK(read.events.document["x"]["vocab"]["q"] == 7);
  CHECK(read.events.document["model"]["type"] == "BPE");
  CHECK(read.events.document["model"]["vocab"].is_null());
  CHECK(read.events.document["vocab"][0] == 1);
}

TEST_CASE("what only looks like the lists is not taken for them") {
  for (const char* json :
       {R"({"model":[{"vocab":{"a":1}}]})", R"([{"model":{"vocab":{"a":1}}}])",
        R"({"a":{"vocab":1},"model":[{"x":1}]})", R"({"model":{"a":{"vocab":{"b":"c"}}}})",
        R"({"model":{"vocab":7,"merges":{}}})", R"({"model":{"a":[{"b":1}]}})"}) {
    CAPTURE(json);
    const Read read(json);
    CHECK(read.ok);
    CHECK(read.file.vocab.empty());
    CHECK_FALSE(read.events.has_vocab);
    CHECK_FALSE(read.events.has_merges);
  }
}

TEST_CASE("wrong values in the lists are named") {
  CHECK(error_of(R"({"model":{"vocab":{"a":-1}}})") ==
        R"(t.json: model.vocab: the id of "a" must be an integer in 0..16777215, found -1)");
  CHECK(error_of(R"({"model":{"vocab":{"a":16777216}}})").ends_with("found 16777216"));
  CHECK(error_of(R"({"model":{"vocab":{"a":18446744073709551615}}})").ends_with("551615"));
  CHECK(error_of(R"({"model":{"vocab":{"a":1.5}}})").ends_with("found 1.5"));
  CHECK(error_of(R"({"model":{"vocab":{"a":"x\ny"}}})").ends_with(R"(found "x\x0ay")"));
  CHECK(error_of(R"({"model":{"vocab":{"a":null}}})").ends_with("found null"));
  CHECK(error_of(R"({"model":{"vocab":{"a":true}}})").ends_with("found a flag"));
  CHECK(error_of(R"({"model":{"vocab":{"a":{}}}})").ends_with("found an object"));
  CHECK(error_of(R"({"model":{"vocab":{"a":[]}}})").ends_with("found a list"));
  CHECK(error_of(R"({"model":{"merges":["a b","ab"]}})") ==
        R"(t.json: model.merges[1] must be "a b" or ["a", "b"], found "ab")");
  CHECK(error_of(R"({"model":{"merges":["a b c"]}})").ends_with(R"(found "a b c")"));
  CHECK(error_of(R"({"model":{"merges":[["a"]]}})").ends_with("found a list of 1"));
  CHECK(error_of(R"({"model":{"merges":[[]]}})").ends_with("found a list of 0"));
  CHECK(error_of(R"({"model":{"merges":[["a","b","c"]]}})").ends_with("found a list of more"));
  CHECK(error_of(R"({"model":{"merges":[["a",["b"]]]}})").ends_with("found a list"));
  CHECK(error_of(R"({"model":{"merges":[["a",1]]}})").ends_with("found 1"));
  CHECK(error_of(R"({"model":{"merges":[{"a":1}]}})").ends_with("found an object"));
  CHECK(error_of(R"({"model":{"merges":[-1]}})").ends_with("found -1"));
  CHECK(error_of(R"({"model":{"merges":[null]}})").ends_with("found null"));
  CHECK(error_of(R"({"model":{"vocab":{},"vocab":{}}})").find("twice") != std::string::npos);
  CHECK(error_of(R"({"model":{"merges":[],"merges":[]}})").find("twice") != std::string::npos);
  CHECK(error_of(R"({"model":{},"model":{}})").find("twice") != std::string::npos);
}

TEST_CASE("deep nesting is refused anywhere") {
  const std::string deep(1000000, '[');
  error_of(deep);
  error_of(R"({"model":{"vocab":{"a":)" + deep);
  error_of(R"({"model":{"merges":)" + deep);
  error_of(R"({"x":)" + deep);
  std::string objects;
  for (int i = 0; i < 200000; ++i) objects += R"({"model":)";
  error_of(objects);
}
