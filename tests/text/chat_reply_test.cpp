// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <cstddef>
#include <mamba2/chat.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {
namespace chat_reply_test {

using mamba2::ChatOptions;
using mamba2::ChatTemplate;

ChatOptions thinking(bool on, std::string tools = "") {
  ChatOptions options;
  options.thinking = on;
  options.tools = std::move(tools);
  return options;
}

/// "thoughts | text | name arguments id; ..."
std::string parts(const char* name, std::string_view reply, const ChatOptions& options = {}) {
  const auto form = ChatTemplate::named(name).value();
  const auto read = form.read(reply, options);
  std::string out = read.thinking + " | " + read.text + " |";
  for (const auto& call : read.calls) out += " " + call.name + " " + call.arguments + call.id + ";";
  return out;
}

}  // namespace chat_reply_test
}  // namespace

TEST_CASE("chat replies: a text is as it was written, up to the mark that ends it") {
  using namespace chat_reply_test;
  CHECK(parts("granite", " I am.\n<|end_of_text|>\nmore") == " |  I am.\n |");
  CHECK(parts("chatml", "a<|im_end|>") == " | a |");
  CHECK(parts("mistral-v3", " I am.") == " | I am. |");  // the space is the form's
  CHECK(parts("mistral-v7-tekken", " I am.") == " |  I am. |");
}

TEST_CASE("chat replies: thoughts come first") {
  using namespace chat_reply_test;
  CHECK(parts("nemotron-3", "Add.\n</think>\n\n2<|im_end|>", thinking(true)) == "Add. | 2 |");
  CHECK(parts("nemotron-3", "2", thinking(false)) == " | 2 |");
  CHECK(parts("nemotron-3", "Add", thinking(true)) == "Add |  |");  // cut off
  CHECK(parts("lfm2.5", "<think>Add.</think>2") == "Add. | 2 |");
  CHECK(parts("granite", "not <think>here</think>") == " | not <think>here</think> |");
}

TEST_CASE("chat replies: calls of tools, in the words of each form") {
  using namespace chat_reply_test;
  CHECK(parts("granite",
              "Wait.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"b\": 1, \"a\": \"x\"}}\n"
              "</tool_call>\n<tool_call>\n{\"name\": \"g\"}\n</tool_call><|end_of_text|>") ==
        " | Wait. | f {\"b\": 1, \"a\": \"x\"}; g {};");
  CHECK(parts("granite", "<tool_call>[{\"name\": \"f\", \"arguments\": \"{\\\"a\\\": 1}\"}]") ==
        " |  | f {\"a\": 1};");
  CHECK(parts("nemotron-nano-v2", "<TOOLCALL>[{\"name\": \"f\", \"arguments\": {}}]</TOOLCALL>",
              thinking(false)) == " |  | f {};");
  CHECK(parts("lfm2",
              "<|tool_call_start|>[f(a='it\\'s \\u00e9', b=[1, -2.5, None], c={'k': True}), "
              "g()]<|tool_call_end|>Wait.") ==
        " | Wait. | f {\"a\": \"it's é\", \"b\": [1, -2.5, null], \"c\": {\"k\": true}}; g {};");
  CHECK(parts("llama-3.1", "\n{\"name\": \"f\", \"parameters\": {\"a\": 1}}<|eot_id|>") ==
        " |  | f {\"a\": 1};");
  CHECK(parts("mistral-v3",
              "[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {}, \"id\": \"abcdefghi\"}, "
              "{\"name\": \"g\", \"arguments\": {}}]</s>") ==
        " |  | f {}abcdefghi; g {}000000002;");
  CHECK(parts("mistral-v11",
              "Wait.[TOOL_CALLS]f[CALL_ID]abcdefghi[ARGS]{\"a\": 1}[TOOL_CALLS]g[ARGS]{}") ==
        " | Wait. | f {\"a\": 1}abcdefghi; g {}000000002;");
}

TEST_CASE("chat replies: values without quotes have the type that the tool says") {
  using namespace chat_reply_test;
  const std::string call =
      "<tool_call>\n<function=f>\n<parameter=a>\n12\n</parameter>\n<parameter=b>\ntwo\nlines\n"
      "</parameter>\n<parameter=c>\nTrue\n</parameter>\n</function>\n</tool_call>";
  CHECK(parts("nemotron-3", call, thinking(false)) ==
        " |  | f {\"a\": 12, \"b\": \"two\\nlines\", \"c\": true};");
  const std::string tools =
      R"([{"function": {"name": "f", "parameters": {"properties": {"a": {"type": "string"}}}}}])";
  CHECK(parts("nemotron-3", call, thinking(false, tools)) ==
        " |  | f {\"a\": \"12\", \"b\": \"two\\nlines\", \"c\": true};");
}

TEST_CASE("chat replies: what is no call stays text") {
  using namespace chat_reply_test;
  for (const char* text :
       {"<tool_call>", "<tool_call>{\"name\": 5}</tool_call>", "<tool_call>{}</tool_call> a",
        "<tool_call>{\"name\": \"f\", \"arguments\": 5}</tool_call>"}) {
    CAPTURE(text);
    CHECK(parts("granite", text) == std::string(" | ") + text + " |");
  }
  for (const char* text : {"<|tool_call_start|>[f(]<|tool_call_end|>", "<|tool_call_start|>[f(a)]",
                           "<|tool_call_start|>[f(a='x)]", "<|tool_call_start|>f()",
                           "<|tool_call_start|>[f(a=1x)]", "<|tool_call_start|>[f()] g"}) {
    CAPTURE(text);
    CHECK(parts("lfm2", text) == std::string(" | ") + text + " |");
  }
  CHECK(parts("llama-3.1", "{\"a\": 1}") == " | {\"a\": 1} |");
  CHECK(parts("mistral-v3", "[TOOL_CALLS] [{}]") == " | [TOOL_CALLS] [{}] |");
  CHECK(parts("nemotron-3", "<tool_call><function=f>", thinking(false)) ==
        " | <tool_call><function=f> |");
  std::string deep = "<|tool_call_start|>[f(a=";
  for (int i = 0; i < 100; ++i) deep += "[";
  CHECK(parts("lfm2", deep) == " | " + deep + " |");
}

TEST_CASE("chat replies: a form reads the calls that it writes") {
  using namespace chat_reply_test;
  using mamba2::ChatMessage;
  using mamba2::ChatRole;
  const std::vector<mamba2::ToolCall> calls = {
      {"f", R"({"a": "two\nwords", "b": 12, "c": [1, 2.5, null], "d": {"k": true}, "e": false})",
       "abcdefghi"},
      {"g", "{}", "123456789"}};
  for (const char* name : {"granite", "nemotron-3", "nemotron-nano-v2", "falcon-h1", "lfm2",
                           "lfm2.5", "llama-3.1", "mistral-v3", "mistral-v7", "mistral-v11"}) {
    CAPTURE(name);
    const auto form = ChatTemplate::named(name).value();
    const auto written = [&](const std::vector<ChatMessage>& messages, bool is_to_answer) {
      std::string text;
      const auto pieces = form.render(messages, thinking(false), is_to_answer).value();
      for (const auto& piece : pieces) text += piece.text;
      return text;
    };
    std::vector<ChatMessage> talk = {{ChatRole::user, "Do."}};
    std::string question = written(talk, true);
    if (std::string_view(name) == "nemotron-nano-v2") {  // whose history has no thoughts at all
      question.resize(question.size() - std::string_view("<think></think>").size());
    }
    const std::size_t count = std::string_view(name) == "llama-3.1" ? 1 : 2;
    talk.push_back({ChatRole::assistant,
                    "",
                    "",
                    {calls.begin(), calls.begin() + static_cast<std::ptrdiff_t>(count)}});
    talk.push_back({ChatRole::tool, "Done."});
    talk.back().call_id = "abcdefghi";
    const std::string all = written(talk, true);
    REQUIRE(all.starts_with(question));
    const auto reply = form.read(std::string_view(all).substr(question.size()), thinking(false));
    REQUIRE(reply.calls.size() == count);
    for (std::size_t i = 0; i < count; ++i) {
      CHECK(reply.calls[i].name == calls[i].name);
      CHECK(reply.calls[i].arguments == calls[i].arguments);
    }
    CHECK(reply.text == "");
  }
}
