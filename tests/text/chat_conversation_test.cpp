// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <mamba2/chat.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {
namespace chat_conversation_test {

using mamba2::ChatConversation;
using mamba2::ChatMessage;
using mamba2::ChatReading;
using mamba2::ChatRole;
using mamba2::ChatTemplate;

std::string joined(const std::vector<mamba2::ChatPiece>& pieces) {
  std::string text;
  for (const auto& piece : pieces) text += piece.text;
  return text;
}

/// Does with a text what an application does with its session.
struct Reader {
  ChatConversation conversation;
  std::string read = {};
  std::string mark = {};
  ChatReading::From from = ChatReading::From::here;

  explicit Reader(const char* form, std::string system = "", mamba2::ChatOptions options = {})
      : conversation(ChatTemplate::named(form).value(), std::move(options), std::move(system)) {}

  void ask(ChatMessage message) {
    const auto reading = conversation.ask(std::move(message)).value();
    from = reading.from;
    if (from == ChatReading::From::mark) read = mark;
    if (from == ChatReading::From::beginning) read.clear();
    read += joined(reading.pieces);
    mark = read;
    read += joined(reading.opening);
  }
  void answer(std::string_view text, bool is_whole = true) {
    read += text;
    const auto instead = conversation.answered(text, is_whole).value();
    if (instead) read = mark + joined(instead->pieces) + joined(instead->opening);
  }
  /// What the form writes for all of it at once.
  [[nodiscard]] std::string all() const {
    return joined(conversation.form().render(conversation.messages()).value());
  }
};

}  // namespace chat_conversation_test
}  // namespace

TEST_CASE("chat conversations: each turn reads what is new") {
  using namespace chat_conversation_test;
  for (const char* form : {"chatml", "granite", "falcon-h1", "lfm2", "llama-3", "llama-3.1",
                           "mistral-v1", "mistral-v7", "mistral-v7-tekken", "plain"}) {
    CAPTURE(form);
    Reader reader(form, "Be brief.");
    for (const char* line : {"Who?", "Why?", "When?"}) {
      reader.ask({ChatRole::user, line});
      CHECK(reader.read == reader.all());
      CHECK(reader.from == ChatReading::From::here);
      reader.answer(std::string_view(form).starts_with("mistral-v1") ||
                            form == std::string("mistral-v7")
                        ? " I."
                        : "I.");
    }
  }
}

TEST_CASE("chat conversations: thoughts are dropped from what was read") {
  using namespace chat_conversation_test;
  Reader reader("nemotron-3");
  reader.ask({ChatRole::user, "1+1?"});
  reader.answer("Add.\n</think>\n\n2");
  CHECK(reader.read.ends_with("<|im_start|>assistant\n<think></think>\n2"));
  reader.ask({ChatRole::user, "Sure?"});
  CHECK(reader.read == reader.all());
  CHECK(reader.from == ChatReading::From::here);
  CHECK(reader.conversation.messages()[1].thinking == "Add.");
}

TEST_CASE("chat conversations: thoughts stay while a tool goes on") {
  using namespace chat_conversation_test;
  Reader reader("nemotron-3");
  reader.ask({ChatRole::user, "1+1?"});
  const std::string call =
      "Ask.\n</think>\n<tool_call>\n<function=add>\n<parameter=a>\n1\n</parameter>\n</function>\n"
      "</tool_call>\n";
  reader.answer(call);
  REQUIRE(reader.conversation.reply().calls.size() == 1);
  reader.ask({ChatRole::tool, "2"});
  CHECK(reader.read == reader.all());
  CHECK(reader.read.find("Ask.") != std::string::npos);
  reader.answer("Done.\n</think>\n\n2");
  reader.ask({ChatRole::user, "Sure?"});
  CHECK(reader.read == reader.all());
  CHECK(reader.read.find("Ask.") == std::string::npos);
}

TEST_CASE("chat conversations: where a system text moves, all is read anew") {
  using namespace chat_conversation_test;
  Reader reader("mistral-v3", "Be brief.");
  reader.ask({ChatRole::user, "Who?"});
  reader.answer(" I.");
  CHECK(reader.conversation.reply().text == "I.");
  reader.ask({ChatRole::user, "Why?"});
  CHECK(reader.from == ChatReading::From::beginning);
  CHECK(reader.read == reader.all());
}

TEST_CASE("chat conversations: an answer that was cut off counts as far as it was shown") {
  using namespace chat_conversation_test;
  Reader reader("chatml");
  reader.ask({ChatRole::user, "Who?"});
  reader.answer("I a", false);
  CHECK(reader.read.ends_with("assistant\nI a"));
  reader.ask({ChatRole::user, "Why?"});
  CHECK(reader.read == reader.all());
}

TEST_CASE("chat conversations: a question that was taken back is as if it had not been") {
  using namespace chat_conversation_test;
  Reader reader("granite");
  reader.ask({ChatRole::user, "Who?"});
  reader.answer("I.");
  const std::string before = reader.read;
  (void)reader.conversation.ask({ChatRole::user, "What?"}).value();
  reader.conversation.take_back();
  reader.ask({ChatRole::user, "Why?"});
  CHECK(reader.read == reader.all());
  CHECK(reader.read.starts_with(before));
}

TEST_CASE("chat conversations: one that is not known goes on behind its last answer") {
  using namespace chat_conversation_test;
  for (const char* form : {"chatml", "granite", "nemotron-3", "nemotron-nano-v2", "lfm2", "lfm2.5",
                           "llama-3.1", "mistral-v1", "mistral-v3", "plain"}) {
    CAPTURE(form);
    const bool has_system = form != std::string("mistral-v3");
    Reader whole(form, has_system ? "Be brief." : "");
    whole.ask({ChatRole::user, "Who?"});
    whole.answer("I.");
    Reader resumed(form, has_system ? "Be brief." : "");
    resumed.read = whole.read;
    resumed.conversation.resume();
    for (const char* line : {"Why?", "When?"}) {
      whole.ask({ChatRole::user, line});
      resumed.ask({ChatRole::user, line});
      CHECK(resumed.read == whole.read);
      whole.answer("Then.");
      resumed.answer("Then.");
      CHECK(resumed.read == whole.read);
    }
  }
}

TEST_CASE("chat conversations: an error leaves them as they were") {
  using namespace chat_conversation_test;
  Reader reader("llama-3");
  CHECK(!reader.conversation.ask({ChatRole::tool, "2"}));
  CHECK(reader.conversation.messages().empty());
  reader.ask({ChatRole::user, "Who?"});
  CHECK(reader.read == reader.all());
}
