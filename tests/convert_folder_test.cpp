// SPDX-License-Identifier: Apache-2.0
// What the converter writes beside the weights: the tokenizer and what goes with it, chat
// templates, the tokens that end a text; all of a folder, or nothing.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/executor.hpp"
#include "tests/io/temp_dir.hpp"
#include "tests/io/toy_checkpoint.hpp"
#include "tests/tokenizer/tiny_tokenizer.hpp"
#include "tools/convert/folder_files.hpp"
#include "tools/convert/output_path.hpp"
#include "tools/convert/outputs.hpp"

using convert::Companions;
using convert::TextFile;
using mamba2::Result;
using mamba2_tests::TempDir;
using mamba2_tests::ToyCheckpoint;
using tiny::Json;
namespace fs = std::filesystem;

namespace {

/// <|end|> is the last token, 262; "h" is 104.
constexpr std::string_view kIds = R"("vocab_size": 272, "tie_word_embeddings": true,
    "bos_token_id": 104, "pad_token_id": 262, "eos_token_id": [104, 262])";

/// A model in a folder, with a tokenizer.
struct Folder {
  TempDir dir;

  Folder() {
    std::string config = ToyCheckpoint::small().config;
    config.replace(config.find("\"vocab_size\": 11"), 16, kIds);
    config.erase(config.rfind(", \"tie_word_embeddings\": true}"));
    const ToyCheckpoint toy(config + "}");
    dir.write("config.json", toy.config);
    dir.write("model.safetensors", toy.bytes());
    dir.write("tokenizer.json", tiny::tokenizer().dump());
  }
};

std::string text_of(const fs::path& file) {
  return mamba2::read_text_file(file, std::size_t{1} << 24).value();
}

std::set<std::string> names_in(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.insert(entry.path().filename());
  return names;
}

/// Converts a model to a GGUF file or a folder.
Result<void> convert_to(const fs::path& in, const fs::path& out, bool no_tokenizer = false,
                        bool interrupt = false) {
  const auto source = convert::ModelSource::open(in).value();
  auto companions = Companions::open(in);
  if (!companions) return companions.error();
  if (no_tokenizer) companions->drop_tokenizer();
  mamba2::SerialExecutor executor;
  const convert::Job job = {source,
                            *companions,
                            out,
                            "toy",
                            mamba2::DType::F32,
                            executor,
                            [interrupt](std::size_t, std::size_t) { return !interrupt; }};
  return convert::is_gguf(out) ? convert::write_gguf(job) : convert::write_transformers(job);
}

Json json_of(const fs::path& file) { return Json::parse(text_of(file)); }

Json with_templates(const Json& chat_template) {
  return {{"tokenizer_class", "X"}, {"chat_template", chat_template}};
}

}  // namespace

TEST_CASE(
    "convert: a folder without them gets files that say what tokenizer.json and config.json do") {
  const Folder folder;
  const fs::path out = folder.dir.path() / "out";
  convert_to(folder.dir.path(), out).value();
  CHECK(names_in(out) == std::set<std::string>{"config.json", "generation_config.json",
                                               "model.safetensors", "tokenizer.json",
                                               "tokenizer_config.json"});
  // "h" is no special token, and does not become one.
  CHECK(text_of(out / "tokenizer_config.json") == R"({
  "tokenizer_class": "PreTrainedTokenizerFast",
  "eos_token": "<|end|>",
  "pad_token": "<|end|>",
  "clean_up_tokenization_spaces": false
}
)");
  CHECK(json_of(out / "generation_config.json") ==
        Json::parse(R"({"bos_token_id": 104, "eos_token_id": [104, 262], "pad_token_id": 262})"));
  CHECK(text_of(out / "tokenizer.json") == text_of(folder.dir.path() / "tokenizer.json"));
}

TEST_CASE("convert: the files of a folder are copied as they are") {
  const Folder folder;
  const std::string config = "{\"tokenizer_class\":  \"GPTNeoXTokenizer\", \"x\": 1e30}";
  folder.dir.write("tokenizer_config.json", config);
  folder.dir.write("special_tokens_map.json", "{ }");
  folder.dir.write("chat_template.jinja", "{{ \u4e2d }}\n");
  folder.dir.write("chat_template.json", R"({"chat_template": "other"})");
  folder.dir.write("generation_config.json", R"({"eos_token_id": [262], "top_k": 7} )");
  folder.dir.write("vocab.json", "{}");
  const fs::path out = folder.dir.path() / "out";
  convert_to(folder.dir.path(), out).value();
  CHECK(names_in(out) == std::set<std::string>{"chat_template.jinja", "chat_template.json",
                                               "config.json", "generation_config.json",
                                               "model.safetensors", "special_tokens_map.json",
                                               "tokenizer.json", "tokenizer_config.json"});
  for (const char* name :
       {"tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja",
        "chat_template.json", "generation_config.json", "tokenizer.json"}) {
    CHECK(text_of(out / name) == text_of(folder.dir.path() / name));
  }
  // Another model in their place: what it does not have is gone.
  const Folder other;
  convert_to(other.dir.path(), out, true).value();
  CHECK(names_in(out) ==
        std::set<std::string>{"config.json", "generation_config.json", "model.safetensors"});
}

TEST_CASE("convert: a file that is not what its name says is refused, and nothing is written") {
  const std::vector<std::pair<std::string, std::string>> files = {
      {"tokenizer_config.json", "<html>"},
      {"tokenizer_config.json", ""},
      {"special_tokens_map.json", "[1]"},
      {"chat_template.json", R"({"chat_template": "x")"},
      {"chat_template.jinja", "\xff"},
      {"generation_config.json", "eos: 0"},
      {"generation_config.json", "3"},
      {"tokenizer.json", "version https://example.org"},
      {"chat_template.jinja", ""},
      {"chat_template.jinja", "version https://git-lfs.github.com/spec/v1\noid sha256:1\n"}};
  for (const auto& wrong : files) {
    const std::string& name = wrong.first;
    const Folder folder;
    const fs::path out = folder.dir.path() / "out";
    const fs::path file = folder.dir.write(name, wrong.second);
    CAPTURE(name);
    const auto outcome = convert_to(folder.dir.path(), out);
    REQUIRE(!outcome);
    CAPTURE(outcome.error().message);
    CHECK(outcome.error().code == mamba2::ErrorCode::malformed);
    CHECK(outcome.error().message.starts_with(file.native() + ": "));
    CHECK(outcome.error().message.ends_with("(--no-tokenizer leaves it out)") ==
          (name != "generation_config.json"));
    CHECK(!fs::exists(out));
    CHECK(convert_to(folder.dir.path(), out, true).has_value() ==
          (name != "generation_config.json"));
  }
  for (const std::string wrong : {"1", "[{\"name\": \"default\"}]", "[1]", "{}"}) {
    const Folder folder;
    folder.dir.write("tokenizer_config.json", "{\"chat_template\": " + wrong + "}");
    const auto outcome = convert_to(folder.dir.path(), folder.dir.path() / "out.gguf");
    REQUIRE(!outcome);
    CHECK(outcome.error().message.find("tokenizer_config.json: chat_template must be a text, or a "
                                       "list of objects with name and template, found ") !=
          std::string::npos);
  }
}

TEST_CASE("convert: what fails half-way leaves nothing of a new folder") {
  const Folder folder;
  const fs::path out = folder.dir.path() / "out";
  CHECK(convert_to(folder.dir.path(), out, false, true).error().message == "interrupted");
  CHECK(!fs::exists(out));
  {
    convert::NewDirectory made(out);
    std::string name = "a";
    for (; name != "aaaa"; name += 'a') {
      folder.dir.write("out/" + name, "text");
      made.add(name);
    }
  }
  CHECK(!fs::exists(out));
}

TEST_CASE("convert: chat templates go to GGUF and back") {
  const Json list = Json::array({{{"name", "default"}, {"template", "{{ a }}"}},
                                 {{"name", "tool-use"}, {"template", "{{ b }}"}}});
  struct Case {
    std::string file;
    std::string text;
    Json back;
  };
  const std::vector<Case> cases = {
      {"tokenizer_config.json", with_templates("{{ a }}").dump(), "{{ a }}"},
      {"tokenizer_config.json", with_templates(list).dump(),
       Json::array({list[0], {{"name", "tool_use"}, {"template", "{{ b }}"}}})},
      {"chat_template.jinja", "{{ c }}\n", "{{ c }}\n"},
      {"chat_template.json", R"({"chat_template": "d"})", "d"},
      {"tokenizer_config.json", R"({"chat_template": null})", nullptr},
      {"tokenizer_config.json", "{}", nullptr}};
  for (const Case& one : cases) {
    CAPTURE(one.text);
    const Folder folder;
    folder.dir.write(one.file, one.text);
    const fs::path gguf = folder.dir.path() / "toy.gguf";
    const fs::path again = folder.dir.path() / "again.gguf";
    const fs::path out = folder.dir.path() / "out";
    convert_to(folder.dir.path(), gguf).value();
    convert_to(gguf, again).value();
    convert_to(again, out).value();
    Json expected = Json::parse(R"({"tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": "<|end|>", "clean_up_tokenization_spaces": false})");
    if (!one.back.is_null()) expected["chat_template"] = one.back;
    Json found = json_of(out / "tokenizer_config.json");
    found.erase("eos_token");
    CHECK(found == expected);
    CHECK(!fs::exists(out / "chat_template.jinja"));
  }
}

TEST_CASE("convert: of several chat templates that counts which transformers takes") {
  const Folder folder;
  folder.dir.write("chat_template.jinja", "jinja");
  folder.dir.write("tokenizer_config.json", with_templates("config").dump());
  folder.dir.write("chat_template.json", R"({"chat_template": "json"})");
  const auto only = [&] {
    const auto templates = convert::templates_of_folder(folder.dir.path()).value();
    REQUIRE(templates.size() == 1);
    CHECK(templates[0].name == "default");
    return templates[0].text;
  };
  CHECK(only() == "jinja");
  fs::remove(folder.dir.path() / "chat_template.jinja");
  CHECK(only() == "config");
  fs::remove(folder.dir.path() / "tokenizer_config.json");
  CHECK(only() == "json");
  fs::remove(folder.dir.path() / "chat_template.json");
  CHECK(convert::templates_of_folder(folder.dir.path()).value().empty());
}

TEST_CASE("convert: no tokenizer, no chat template") {
  const Folder folder;
  folder.dir.write("chat_template.jinja", "jinja");
  const fs::path gguf = folder.dir.path() / "toy.gguf";
  convert_to(folder.dir.path(), gguf, true).value();
  CHECK(convert::templates_of_gguf(*Companions::open(gguf).value().metadata()).empty());
  convert_to(folder.dir.path(), gguf).value();
  const fs::path out = folder.dir.path() / "out";
  convert_to(gguf, out, true).value();
  CHECK(!fs::exists(out / "tokenizer_config.json"));
  CHECK(convert::generation_config({}, {}).empty());
  CHECK(Json::parse(convert::generation_config({}, {7})) == Json{{"eos_token_id", 7}});
}
