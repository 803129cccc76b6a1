// SPDX-License-Identifier: Apache-2.0
#include "mamba2/tokenizer/tokenizer.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <functional>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "mamba2/core/mapped_file.hpp"
#include "tests/io/temp_dir.hpp"
#include "tests/tokenizer/tiny_tokenizer.hpp"

namespace {

using mamba2::ErrorCode;
using mamba2::Result;
using mamba2::StreamingDecoder;
using mamba2::Token;
using mamba2::Tokenizer;
using Tokens = std::vector<Token>;
using tiny::Json;

const std::string kRoot = MAMBA2_SOURCE_DIR;
const std::string kBundled = kRoot + "/examples/models/llama-tales-14m";
const std::string kGolden = kRoot + "/tests/golden/tokenizer/";
const std::string kNeox = kGolden + "neox.json";

std::string read(const std::string& path) {
  auto text = mamba2::read_text_file(path, std::size_t{1} << 24);
  REQUIRE(text);
  return *std::move(text);
}

Tokenizer load(const std::string& path) {
  auto tokenizer = Tokenizer::load(path);
  REQUIRE(tokenizer);
  return *std::move(tokenizer);
}

Result<Tokenizer> changed_tokenizer(const std::function<void(Json&)>& change) {
  Json json = tiny::tokenizer();
  change(json);
  return Tokenizer::from_json(json.dump());
}

bool is_valid(std::string_view text) {
  return mamba2::detail::valid_utf8_prefix(text) == text.size();
}

/// The text of the tokens, streamed; checks that each part is whole.
std::string streamed(const Tokenizer& tokenizer, const Tokens& tokens,
                     mamba2::DecodeOptions options) {
  StreamingDecoder decoder(tokenizer, options);
  std::string text;
  for (const Token token : tokens) {
    const std::string_view part = decoder.push(token);
    if (!is_valid(part)) FAIL("half a sequence");
    text += part;
  }
  text += decoder.finish();
  return text;
}

void check_cases(const Tokenizer& tokenizer, const std::string& path) {
  const Json cases = Json::parse(read(path));
  REQUIRE(cases["encode"].size() > 90);
  REQUIRE(cases["decode"].size() == 40);
  for (const Json& entry : cases["encode"]) {
    const std::string text = entry["text"];
    CAPTURE(text);
    CHECK(tokenizer.encode(text) == entry["ids"].get<Tokens>());
  }
  for (const Json& entry : cases["decode"]) {
    const Tokens ids = entry["ids"];
    CHECK(tokenizer.decode(ids) == entry["text"].get<std::string>());
    CHECK(tokenizer.decode(ids, {.skip_special = false}) ==
          entry["with_special"].get<std::string>());
    CHECK(streamed(tokenizer, ids, {}) == entry["text"].get<std::string>());
    CHECK(streamed(tokenizer, ids, {.skip_special = false}) ==
          entry["with_special"].get<std::string>());
  }
}

std::string normalized(std::string_view text) {
  std::string out;
  mamba2::detail::append_nfc(text, out);
  return out;
}

const std::string kMixed =
    "Once upon a time, it's 1999…  \n\n\t\u00E9e\u0301 \u4E2D\u6587 \U0001F469\u200D\U0001F52C "
    "<|endoftext|>  \u0645\u0631\u062D\u0628\u0627 \uD55C\uAE00 na\u00EFve \u2014 \"end\"";

}  // namespace

TEST_CASE("the bundled tokenizer gives the ids and texts of the tokenizers package") {
  check_cases(load(kBundled), kGolden + "llama-tales-14m-cases.json");
}

TEST_CASE("a tokenizer with GPT-NeoX's rules gives the ids and texts of the tokenizers package") {
  check_cases(load(kNeox), kGolden + "neox-cases.json");
}

TEST_CASE("the goldens of the bundled model") {
  const Tokenizer tokenizer = load(kBundled);
  const Json golden = Json::parse(read(kRoot + "/tests/golden/llama-tales-14m.json"));
  std::size_t prompts = 0;
  for (const Json& entry : golden) {
    if (!entry.contains("prompt")) continue;
    CHECK(tokenizer.encode(entry["prompt"].get<std::string>()) == entry["ids"].get<Tokens>());
    ++prompts;
  }
  CHECK(prompts > 0);
}

TEST_CASE("queries") {
  const Tokenizer tokenizer = load(kBundled);
  CHECK(tokenizer.vocab_size() == 8192);
  CHECK(tokenizer.is_special(0));
  CHECK_FALSE(tokenizer.is_special(1));
  CHECK_FALSE(tokenizer.is_special(-1));
  CHECK(tokenizer.token_bytes(0) == "<|endoftext|>");
  CHECK(tokenizer.token_bytes(1) == "!");
  CHECK(tokenizer.token_bytes(8192).empty());
  CHECK(tokenizer.token_bytes(-1).empty());
  CHECK(tokenizer.find("<|endoftext|>") == 0);
  CHECK(tokenizer.find("!") == 1);
  REQUIRE(tokenizer.find(" the").has_value());
  CHECK(tokenizer.token_bytes(*tokenizer.find(" the")) == " the");
  CHECK_FALSE(tokenizer.find("no such token").has_value());
  CHECK_FALSE(tokenizer.find("").has_value());
  CHECK(tokenizer.encode("").empty());
  CHECK(tokenizer.decode({}) == "");

  const Tokenizer neox = load(kNeox);
  CHECK(neox.vocab_size() == 2268);
  CHECK(neox.find("  ") == 2267);  // the added token, not the one of the vocabulary
  CHECK(neox.find("<|padding|>") == 1);
}

TEST_CASE("decoding undoes encoding") {
  const mamba2::DecodeOptions keep{.skip_special = false};
  const Tokenizer bundled = load(kBundled);
  CHECK(bundled.decode(bundled.encode(kMixed), keep) == kMixed);
  CHECK(bundled.decode(bundled.encode("a<|endoftext|>b")) == "ab");
  const Tokenizer neox = load(kNeox);
  CHECK(normalized(kMixed) != kMixed);
  CHECK(neox.decode(neox.encode(kMixed), keep) == normalized(kMixed));
}

TEST_CASE("invalid UTF-8 counts as U+FFFD") {
  for (const Tokenizer& tokenizer : {load(kBundled), load(kNeox)}) {
    const std::string bad = "a\xFF\xE2\x82z\xF0\x9F\x98";
    CHECK(tokenizer.encode(bad) == tokenizer.encode("a\uFFFD\uFFFDz\uFFFD"));
    CHECK(tokenizer.decode(tokenizer.encode(bad)) == "a\uFFFD\uFFFDz\uFFFD");
    CHECK(tokenizer.encode(std::string_view("\0\0", 2)).size() <= 2);
    CHECK(tokenizer.decode(tokenizer.encode(std::string(2, '\0'))) == std::string(2, '\0'));
  }
}

TEST_CASE("streaming never gives out half a sequence, wherever the tokens end") {
  const auto tokenizer = changed_tokenizer([](Json&) {});
  REQUIRE(tokenizer);
  // Tokens are bytes here: each byte of the text is a split.
  const std::string text = "a\u00E9\u20AC\U0001F600\u0301z";
  const Tokens bytes = tokenizer->encode(text);
  REQUIRE(bytes.size() == text.size());
  StreamingDecoder decoder(*tokenizer);
  std::vector<std::string> parts;
  for (const Token token : bytes) {
    const std::string_view part = decoder.push(token);
    if (!part.empty()) parts.emplace_back(part);
  }
  CHECK(parts == std::vector<std::string>{"a", "\u00E9", "\u20AC", "\U0001F600", "\u0301", "z"});
  CHECK(decoder.finish() == "");

  CHECK(decoder.push(0xF0) == "");
  CHECK(decoder.push(0x9F) == "");
  CHECK(decoder.push('x') == "\uFFFDx");  // not completed after all
  CHECK(decoder.push(0xE2) == "");
  CHECK(decoder.push(262) == "");  // special: hidden, and does not come between
  CHECK(decoder.push(0x82) == "");
  CHECK(decoder.push(0xAC) == "\u20AC");
  CHECK(decoder.push(0xE2) == "");
  CHECK(decoder.finish() == "\uFFFD");
  CHECK(decoder.finish() == "");
  CHECK(decoder.push(0x82) == "\uFFFD");  // as new

  std::mt19937 random(7);
  for (int i = 0; i < 3000; ++i) {
    Tokens tokens(random() % 20);
    for (Token& t : tokens) t = static_cast<Token>(random() % 300) - 5;
    const bool skip = i % 2 == 0;
    const std::string whole = tokenizer->decode(tokens, {.skip_special = skip});
    if (!is_valid(whole)) FAIL("invalid text");
    if (streamed(*tokenizer, tokens, {.skip_special = skip}) != whole) FAIL("another text");
  }
}

TEST_CASE("added tokens are cut out before and after normalization") {
  const auto tokenizer = changed_tokenizer([](Json& j) {
    j["normalizer"] = {{"type", "NFC"}};
    Json token = j["added_tokens"][0];
    token["id"] = 263;
    token["content"] = "\u00E9!";
    token["normalized"] = true;
    j["added_tokens"].push_back(token);
  });
  REQUIRE(tokenizer);
  CHECK(tokenizer->encode("x<|end|>ab") == Tokens{'x', 262, 261});
  CHECK(tokenizer->encode("e\u0301!") == Tokens{263});
  CHECK(tokenizer->encode("\u00E9!x") == Tokens{263, 'x'});
  CHECK(tokenizer->encode("e<|end|>\u0301") == Tokens{'e', 262, 0xCC, 0x81});
}

TEST_CASE("the pre-tokenizer's options") {
  const auto prefixed =
      changed_tokenizer([](Json& j) { j["pre_tokenizer"]["add_prefix_space"] = true; });
  REQUIRE(prefixed);
  CHECK(prefixed->encode("wa") == Tokens{260, 'a'});
  CHECK(prefixed->encode(" wa") == Tokens{260, 'a'});
  CHECK(prefixed->encode("wa<|end|>wa") == Tokens{260, 'a', 262, 260, 'a'});
  CHECK(prefixed->encode("").empty());
  const auto whole = changed_tokenizer([](Json& j) {
    j["pre_tokenizer"]["use_regex"] = false;
    j["model"]["vocab"]["a!"] = 262;
    j["model"]["merges"].push_back({"a", "!"});
    j["added_tokens"][0]["id"] = 263;
  });
  REQUIRE(whole);
  CHECK(whole->encode("a!") == Tokens{262});
}

TEST_CASE("tokens that no merges lead to are used with ignore_merges only") {
  for (const bool ignore_merges : {false, true}) {
    const auto tokenizer = changed_tokenizer([&](Json& j) {
      j["model"]["vocab"]["abc"] = 262;
      j["model"]["ignore_merges"] = ignore_merges;
      j["added_tokens"][0]["id"] = 263;
    });
    REQUIRE(tokenizer);
    CHECK(tokenizer->encode("abc") == (ignore_merges ? Tokens{262} : Tokens{261, 'c'}));
    CHECK(tokenizer->encode("abcd") == Tokens{261, 'c', 'd'});
  }
}

TEST_CASE("a megabyte takes no more than n log n, whatever is in it") {
  constexpr std::size_t kSize = 1000000;
  std::string marks = "a";
  for (std::size_t i = 0; i < kSize / 4; ++i) marks += "\u0301\u0316";
  std::string almost;
  while (almost.size() < kSize) almost += "<|endoftext";
  std::string letters(kSize, ' ');
  std::mt19937 random(1);
  for (char& c : letters) c = static_cast<char>('a' + random() % 26);
  const std::string invalid(kSize, '\xE2');
  for (const Tokenizer& tokenizer : {load(kBundled), load(kNeox)}) {
    for (const std::string& text :
         {std::string(kSize, 'a'), letters, std::string(kSize, ' '), std::string(kSize, '\n'),
          std::string(kSize, '!'), std::string(kSize, '\''), almost, marks}) {
      const std::string decoded = tokenizer.decode(tokenizer.encode(text), {.skip_special = false});
      CHECK((decoded == text || decoded == normalized(text)));
    }
    CHECK(tokenizer.decode(tokenizer.encode(invalid)).size() == 3 * kSize);
  }
}

TEST_CASE("many threads may use one tokenizer") {
  const Tokenizer tokenizer = load(kNeox);
  const Tokens expected = tokenizer.encode(kMixed);
  std::vector<std::thread> threads;
  std::vector<int> wrong(4, 0);
  for (int& count : wrong) {
    threads.emplace_back([&tokenizer, &expected, &count] {
      for (int i = 0; i < 200; ++i) {
        const Tokens tokens = tokenizer.encode(kMixed);
        count += tokens != expected;
        count += tokenizer.decode(tokens) != tokenizer.decode(expected);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == std::vector<int>(4, 0));
}

TEST_CASE("files that are not there, are folders or are empty") {
  const auto missing = Tokenizer::load("/no/such/tokenizer.json");
  REQUIRE_FALSE(missing);
  CHECK(missing.error().code == ErrorCode::io);
  CHECK(missing.error().message.starts_with("/no/such/tokenizer.json: "));
  const auto folder = Tokenizer::load(kRoot + "/tests");
  REQUIRE_FALSE(folder);
  CHECK(folder.error().code == ErrorCode::io);
  CHECK(folder.error().message.starts_with(kRoot + "/tests/tokenizer.json: "));
  for (const std::string_view text :
       {"", " ", "{", "nonsense", "\xFF", "null", "[]", "{}", "\"x\""}) {
    CAPTURE(text);
    const auto empty = Tokenizer::from_json(text, "name");
    REQUIRE_FALSE(empty);
    CHECK(empty.error().code == ErrorCode::malformed);
    CHECK(empty.error().message.starts_with("name: "));
  }
}

TEST_CASE("the tokenizer beside the files of a checkpoint") {
  const std::size_t size = load(kBundled).vocab_size();
  for (const std::string name :
       {"/config.json", "/tokenizer.json", "/model-00002-of-00002.safetensors",
        "/model.safetensors.index.json"}) {
    CAPTURE(name);
    CHECK(load(kBundled + name).vocab_size() == size);
  }
  const mamba2_tests::TempDir dir;
  const auto weights = dir.write("m.safetensors", "");
  const auto none = Tokenizer::load(weights);
  REQUIRE_FALSE(none);
  CHECK(none.error().message ==
        dir.path().native() + "/tokenizer.json: cannot open: no such file or directory");
  const auto missing = Tokenizer::load(dir.path() / "n.safetensors");
  REQUIRE_FALSE(missing);
  CHECK(missing.error().message ==
        dir.path().native() + "/n.safetensors: cannot open: no such file or directory");
  // Whatever its name, what looks like JSON is taken for it, and what does not is no model.
  CHECK(Tokenizer::load(dir.write("tokens", "\n" + tiny::tokenizer().dump())));
  const auto text = Tokenizer::load(dir.write("text.txt", "Once upon a time"));
  REQUIRE_FALSE(text);
  CHECK(text.error().code == ErrorCode::unsupported);
  CHECK(text.error().message ==
        dir.path().native() +
            "/text.txt: expected a tokenizer.json, a folder with config.json and *.safetensors, "
            "one of these files, a GGUF file, a model.bin of BitMamba-2 or a packed file of "
            "mamba2-quantize --pack");
}

TEST_CASE("a truncated file is refused at every length") {
  const std::string tiny = tiny::tokenizer().dump();
  for (std::size_t size = 0; size < tiny.size(); ++size) {
    if (Tokenizer::from_json(tiny.substr(0, size))) FAIL("loaded " << size << " bytes");
  }
  const std::string neox = read(kNeox);
  const std::size_t end = neox.find_last_of('}');
  for (std::size_t size = 0; size <= end; size += 997) {
    if (Tokenizer::from_json(std::string_view(neox).substr(0, size))) FAIL("loaded " << size);
  }
}

TEST_CASE("a damaged file is refused with one line, or works") {
  const std::string original = tiny::tokenizer().dump();
  constexpr std::string_view kLikely = "\"{}[],:0123456789-.eE\\ntfu \xFF";
  std::mt19937 random(99);
  int refused = 0;
  constexpr int kTries = 4000;
  for (int i = 0; i < kTries; ++i) {
    std::string text = original;
    for (auto changes = 1 + random() % 3; changes > 0; --changes) {
      const std::size_t at = random() % text.size();
      switch (random() % 4) {
        case 0:
          text[at] = kLikely[random() % kLikely.size()];
          break;
        case 1:
          text[at] = static_cast<char>(random() % 256);
          break;
        case 2:
          text.erase(at, 1 + random() % 20);
          break;
        default:
          text.insert(at, text.substr(random() % text.size(), random() % 30));
          break;
      }
    }
    const auto tokenizer = Tokenizer::from_json(text, "name");
    if (tokenizer) {
      const Tokens tokens = tokenizer->encode(kMixed);
      if (!is_valid(tokenizer->decode(tokens))) FAIL("invalid text");
      continue;
    }
    ++refused;
    const std::string& message = tokenizer.error().message;
    if (!message.starts_with("name: ") || message.find('\n') != std::string::npos) FAIL(message);
  }
  CHECK(refused > kTries / 2);
  CHECK(refused < kTries);
}
