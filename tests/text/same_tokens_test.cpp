// SPDX-License-Identifier: Apache-2.0
#include "mamba2/text/same_tokens.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "tests/tokenizer/tiny_tokenizer.hpp"

TEST_CASE("same tokens: what differs is named") {
  const auto plain = mamba2::Tokenizer::from_json(tiny::tokenizer().dump()).value();
  const auto message = [&](auto change) {
    tiny::Json json = tiny::tokenizer();
    change(json);
    const auto other = mamba2::Tokenizer::from_json(json.dump()).value();
    const auto same = mamba2::check_same_tokens(plain, other);
    return same ? "the same" : same.error().message;
  };
  CHECK(message([](tiny::Json&) {}) == "the same");
  CHECK(message([](tiny::Json& json) {
          std::swap(json["model"]["vocab"]["b"], json["model"]["vocab"]["c"]);
        }) == "token 98 must be \"b\", found \"c\"");
  CHECK(message([](tiny::Json& json) { json["added_tokens"][0]["special"] = false; }) ==
        "token 262 must be special \"<|end|>\", found \"<|end|>\"");
  CHECK(message([](tiny::Json& json) {
          json["added_tokens"].push_back(json["added_tokens"][0]);
          json["added_tokens"][1]["id"] = 263;
          json["added_tokens"][1]["content"] = "<|more|>";
        }) == "the vocabulary must have 263 tokens, found 264");
}
