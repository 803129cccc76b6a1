// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <filesystem>
#include <mamba2/chat.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "tests/io/gguf_writer.hpp"
#include "tests/io/temp_dir.hpp"

namespace {
namespace chat_template_test {

using mamba2::ChatMessage;
using mamba2::ChatOptions;
using mamba2::ChatRole;
using mamba2::ChatTemplate;

constexpr const char* kChatml =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

const std::vector<ChatMessage> kTalk = {{ChatRole::system, "Be brief."},
                                        {ChatRole::user, " Who? "},
                                        {ChatRole::assistant, "I."},
                                        {ChatRole::user, "Why?"}};
const std::vector<ChatMessage> kQuestion = {{ChatRole::user, "Who?"}};

std::string written(const mamba2::Result<std::vector<mamba2::ChatPiece>>& pieces) {
  if (!pieces) return "error: " + pieces.error().message;
  std::string text;
  for (const auto& piece : *pieces) text += piece.text;
  return text;
}

/// As a form writes a conversation.
std::string as(const char* name, const std::vector<ChatMessage>& messages = kTalk,
               const ChatOptions& options = {}) {
  return written(ChatTemplate::named(name).value().render(messages, options));
}

/// As a template writes it; "?" where it is taken for no form.
std::string by(std::string_view jinja, const std::vector<ChatMessage>& messages = kQuestion,
               const ChatOptions& options = {}) {
  const auto form = ChatTemplate::recognise(jinja, {"<s>", "</s>"});
  return form ? written(form->render(messages, options)) : "?";
}

}  // namespace chat_template_test
}  // namespace

TEST_CASE("chat forms: each writes its marks") {
  using namespace chat_template_test;
  CHECK(as("chatml") ==
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n Who? <|im_end|>\n"
        "<|im_start|>assistant\nI.<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>\n"
        "<|im_start|>assistant\n");
  CHECK(as("zamba2") == as("chatml"));
  CHECK(as("falcon-h1") == as("chatml"));
  CHECK(as("lfm2") == "<|startoftext|>" + as("chatml"));
  CHECK(as("granite") ==
        "<|start_of_role|>system<|end_of_role|>Be brief.<|end_of_text|>\n"
        "<|start_of_role|>user<|end_of_role|> Who? <|end_of_text|>\n"
        "<|start_of_role|>assistant<|end_of_role|>I.<|end_of_text|>\n"
        "<|start_of_role|>user<|end_of_role|>Why?<|end_of_text|>\n"
        "<|start_of_role|>assistant<|end_of_role|>");
  CHECK(as("llama-3") ==
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nWho?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nI.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nWhy?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n");
  CHECK(as("plain") == "Be brief.\nUser:  Who? \nAssistant:I.\nUser: Why?\nAssistant:");
}

TEST_CASE("chat forms: Mistral's spaces and the place of its system text") {
  using namespace chat_template_test;
  CHECK(as("mistral-v1") == "<s> [INST] Be brief.\n\n Who?  [/INST] I.</s> [INST] Why? [/INST]");
  CHECK(as("mistral-v3") == "<s>[INST]  Who? [/INST] I.</s>[INST] Be brief.\n\nWhy?[/INST]");
  CHECK(as("codestral") == as("mistral-v3"));
  CHECK(as("mistral-v3-tekken") == "<s>[INST] Who? [/INST]I.</s>[INST]Be brief.\n\nWhy?[/INST]");
  CHECK(
      as("mistral-v7") ==
      "<s>[SYSTEM_PROMPT] Be brief.[/SYSTEM_PROMPT][INST]  Who? [/INST] I.</s>[INST] Why?[/INST]");
  CHECK(as("mistral-v7-tekken") ==
        "<s>[SYSTEM_PROMPT]Be brief.[/SYSTEM_PROMPT][INST] Who? [/INST]I.</s>[INST]Why?[/INST]");
  CHECK(as("mistral-v3", {{ChatRole::user, "a"}, {ChatRole::user, "b"}}) ==
        "error: the chat form mistral-v3 has users and answers in turn, found two of one kind");
}

TEST_CASE("chat forms: thoughts are gone from the history once a user goes on") {
  using namespace chat_template_test;
  std::vector<ChatMessage> talk = {
      {ChatRole::user, "1+1?"}, {ChatRole::assistant, "2", "Add them."}, {ChatRole::user, "Sure?"}};
  CHECK(as("nemotron-3", talk) ==
        "<|im_start|>system\n<|im_end|>\n<|im_start|>user\n1+1?<|im_end|>\n"
        "<|im_start|>assistant\n<think></think>\n2<|im_end|>\n<|im_start|>user\nSure?<|im_end|>\n"
        "<|im_start|>assistant\n<think>\n");
  ChatOptions off;
  off.thinking = false;
  CHECK(as("nemotron-3", talk, off).ends_with("<|im_start|>assistant\n<think></think>"));
  CHECK(as("nemotron-nano-v2", talk) ==
        "<SPECIAL_10>System\n\n\n<SPECIAL_11>User\n1+1?\n<SPECIAL_11>Assistant\n2\n<SPECIAL_12>\n"
        "<SPECIAL_11>User\nSure?\n<SPECIAL_11>Assistant\n<think>\n");
  talk.back().text = "Sure? /no_think";
  CHECK(as("nemotron-nano-v2", talk).ends_with("Sure?\n<SPECIAL_11>Assistant\n<think></think>"));
  talk[1].calls = {{"add", R"({"a": 1})"}};
  talk.back() = {ChatRole::tool, "2"};
  CHECK(as("nemotron-3", talk)
            .find("<think>\nAdd them.\n</think>\n2\n<tool_call>\n<function=add>\n"
                  "<parameter=a>\n1\n</parameter>\n</function>\n</tool_call>\n") !=
        std::string::npos);
}

TEST_CASE("chat forms: what cannot be written is refused, by name") {
  using namespace chat_template_test;
  CHECK(as("chatml", {}) == "error: a chat must have a message, found none");
  CHECK(as("llama-3", {{ChatRole::tool, "2"}}) == "error: the chat form llama-3 has no tools");
  ChatOptions options;
  options.tools = R"([{"name": "f"}])";
  CHECK(as("chatml", kTalk, options) ==
        "error: the chat form chatml has no words for tools, or its template brings none");
  for (const auto& [tools, what] :
       {std::pair{"{", "tools: expected JSON, found a syntax error"},
        std::pair{"{}", "tools: expected a JSON list, found something else"},
        std::pair{"[{}]", "tools: expected objects with the name of a function, found another"}}) {
    options.tools = tools;
    CHECK(as("lfm2", kTalk, options) == std::string("error: ") + what);
  }
  const std::vector<ChatMessage> wrong = {{ChatRole::assistant, "", "", {{"f", "[]"}}}};
  CHECK(as("lfm2", wrong) ==
        "error: arguments of a tool: expected a JSON object, found something else");
  const auto unknown = ChatTemplate::named("alpaca");
  REQUIRE(!unknown);
  CHECK(unknown.error().message ==
        "the form of a chat must be one of " + ChatTemplate::names() + ", found \"alpaca\"");
}

TEST_CASE("chat templates: one spelling is as good as another") {
  using namespace chat_template_test;
  const std::string expected = "<|im_start|>user\nWho?<|im_end|>\n<|im_start|>assistant\n";
  CHECK(by(kChatml) == expected);
  CHECK(by("{%- for m in messages %}\n  {{- '<|im_start|>' ~ m['role'] + \"\\n\" + m['content'] "
           "+ '<|im_end|>' + '\\n' }}\n{%- endfor %}\n{%- if add_generation_prompt -%}\n"
           "  {{ '<|im_start|>assistant\\n' }}\n{%- endif %}") == expected);
  CHECK(by(std::string("{{ bos_token }}") + kChatml) == "<s>" + expected);
  CHECK(by("{# a comment with {{ '[INST]' }} #}" + std::string(kChatml)) == expected);
}

TEST_CASE("chat templates: a text for conversations without a system's is the template's own") {
  using namespace chat_template_test;
  const std::string with_default =
      "{% if messages[0].role != 'system' %}{{ '<|im_start|>system\nBe of help.<|im_end|>\n' }}"
      "{% endif %}" +
      std::string(kChatml);
  CHECK(
      by(with_default).starts_with("<|im_start|>system\nBe of help.<|im_end|>\n<|im_start|>user"));
  CHECK(
      by(with_default, kTalk).starts_with("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>"));
  const std::string dated =
      "{{ bos_token }}{%- set today = strftime_now(\"%Y-%m-%d\") %}"
      "{%- set default_system_message = 'It is ' + today + '.' %}"
      "{{- '[SYSTEM_PROMPT]' + system + '[/SYSTEM_PROMPT]' }}{%- for m in messages %}"
      "{%- if m.role == 'user' %}{{- '[INST]' + m.content + '[/INST]' }}"
      "{%- else %}{{- m.content + eos_token }}{%- endif %}{%- endfor %}";
  ChatOptions options;
  options.today = std::chrono::year(2026) / 3 / 7;
  CHECK(by(dated, kQuestion, options) ==
        "<s>[SYSTEM_PROMPT]It is 2026-03-07.[/SYSTEM_PROMPT][INST]Who?[/INST]");
}

TEST_CASE("chat templates: one that writes something else is none of the forms") {
  using namespace chat_template_test;
  const std::string chatml = kChatml;
  const auto without = [&](std::string_view part, std::string_view instead) {
    std::string text = chatml;
    return text.replace(text.find(part), part.size(), instead);
  };
  for (const std::string& other :
       {std::string(), std::string("{{ messages }}"), std::string("[INST]"), std::string("{{"),
        std::string("{% \"<|im_start|>"), without("<|im_start|>assistant", "<|im_start|>model"),
        without("{{ m.role }}\n", "{{ m.role }}: "), without("<|im_end|>\n", "<|im_end|>;"),
        chatml + "{{ '<think>\\n\\n</think>' }}",
        "{{ '<|im_start|>system\nFunctions: ' }}{{ tools }}" + chatml}) {
    CAPTURE(other);
    CHECK(by(other) == "?");
  }
  const auto none = ChatTemplate::recognise("{{ messages }}", {}, "model: chat_template");
  REQUIRE(!none);
  CHECK(none.error().code == mamba2::ErrorCode::unsupported);
  CHECK(none.error().message ==
        "model: chat_template: expected a chat template of one of the forms " +
            ChatTemplate::names() + ", found one that writes something else");
}

TEST_CASE("chat templates: found wherever a model may have one") {
  using namespace chat_template_test;
  const mamba2_tests::TempDir dir;
  const std::string chatml = kChatml;
  const auto of = [&](const std::filesystem::path& path) {
    const auto found = ChatTemplate::load(path).value();
    return found ? found->name() : "";
  };
  const auto with = [&](std::string_view file, const nlohmann::json& json) {
    dir.write(file, json.dump());
    const std::string name = of(dir.path());
    std::filesystem::remove(dir.path() / file);
    return name;
  };
  CHECK(of(dir.path()).empty());
  CHECK(with("chat_template.json", {{"chat_template", chatml}}) == "chatml");
  CHECK(with("tokenizer_config.json", {{"chat_template", chatml}}) == "chatml");
  CHECK(with("tokenizer_config.json", {{"chat_template", nullptr}}).empty());
  const nlohmann::json list = {{{"name", "tool_use"}, {"template", "{{ tools }}"}},
                               {{"name", "default"}, {"template", chatml}}};
  CHECK(with("tokenizer_config.json", {{"chat_template", list}}) == "chatml");
  const auto weights = dir.write("model.safetensors", "weights");
  CHECK(of(weights).empty());
  dir.write("chat_template.jinja", chatml);
  CHECK(of(weights) == "chatml");

  mamba2_tests::GgufWriter gguf;
  gguf.add("general.architecture", "mamba2");
  CHECK(of(dir.write("plain.gguf", gguf.bytes())).empty());
  gguf.add("tokenizer.chat_template", chatml);
  CHECK(of(dir.write("chat.gguf", gguf.bytes())) == "chatml");
}

TEST_CASE("chat templates: a file that cannot be read is named") {
  using namespace chat_template_test;
  const mamba2_tests::TempDir dir;
  dir.write("tokenizer_config.json", "{");
  CHECK(ChatTemplate::load(dir.path()).error().message ==
        (dir.path() / "tokenizer_config.json: line 1: expected JSON, found a syntax error"));
  dir.write("tokenizer_config.json", R"({"chat_template": 5})");
  CHECK(ChatTemplate::load(dir.path()).error().message.find("chat_template") != std::string::npos);
  dir.write("chat_template.jinja", "\xFF");
  CHECK(ChatTemplate::load(dir.path()).error().message ==
        (dir.path() / "chat_template.jinja: must be UTF-8, found something else at byte 0"));
  CHECK(!ChatTemplate::load(dir.path() / "missing"));
}

TEST_CASE("chat templates: the tokens that they name are those of the model") {
  using namespace chat_template_test;
  const mamba2_tests::TempDir dir;
  const std::string jinja = std::string("{{ bos_token }}") + kChatml;
  dir.write("tokenizer_config.json",
            nlohmann::json{{"chat_template", jinja}, {"bos_token", {{"content", "<B>"}}}}.dump());
  const auto form = ChatTemplate::load(dir.path()).value();
  REQUIRE(form);
  CHECK(written(form->render(kQuestion)).starts_with("<B><|im_start|>user"));
}

TEST_CASE("chat stops are the marks that end an answer") {
  using namespace chat_template_test;
  const auto stops = [](const char* name) { return ChatTemplate::named(name).value().stops(); };
  CHECK(stops("granite") == std::vector<std::string>{"<|end_of_text|>"});
  CHECK(stops("nemotron-nano-v2") == std::vector<std::string>{"<SPECIAL_12>"});
  CHECK(stops("lfm2") == std::vector<std::string>{"<|im_end|>"});
  CHECK(stops("llama-3.1") == std::vector<std::string>{"<|eot_id|>", "<|eom_id|>"});
  CHECK(stops("mistral-v3") == std::vector<std::string>{"</s>"});
  CHECK(stops("plain") == std::vector<std::string>{"\nUser:"});
  CHECK(ChatTemplate::lines("<u>", "</u>\n<b>", "</b>\n").stops() ==
        std::vector<std::string>{"</b>"});
  CHECK(ChatTemplate::lines("Q: ", "\nA:", "\n").stops() == std::vector<std::string>{"\nQ:"});
}

TEST_CASE(
    "chat pieces become tokens as one text, with names of tokens where the template has them") {
  using mamba2::ChatPiece;
  const auto tokenizer =
      mamba2::Tokenizer::load(MAMBA2_SOURCE_DIR "/examples/models/llama-tales-14m").value();
  const auto encoded = [&](const std::vector<ChatPiece>& pieces) {
    return mamba2::encode_chat(tokenizer, pieces);
  };
  CHECK(encoded({{"The k"}, {"ing<|endoftext|>", true}, {" and the queen"}}) ==
        tokenizer.encode("The king<|endoftext|> and the queen"));
  CHECK(encoded({{"a<|endoftext|>b"}}) ==
        tokenizer.encode("a<|endoftext|>b", {.special_names = false}));
  CHECK(encoded({{"a<|endoftext|>b"}}) != encoded({{"a<|endoftext|>b", true}}));
  CHECK(encoded({}).empty());
}
