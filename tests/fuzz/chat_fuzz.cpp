// SPDX-License-Identifier: Apache-2.0
// Any text as a chat template, and behind a NUL: the number of a form, tools, a NUL, and a text
// that is an answer and what users and tools say. Aborts where a form that renders the conversation
// does not keep it growing.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <mamba2/chat.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace {

std::string_view take_until_nul(std::string_view& rest) {
  const std::size_t length = std::min(rest.size(), rest.find('\0'));
  const std::string_view part = rest.substr(0, length);
  rest.remove_prefix(std::min(rest.size(), length + 1));
  return part;
}

void talk(const mamba2::ChatTemplate& form, std::string_view text, std::string_view tools) {
  mamba2::ChatOptions options;
  options.tools = tools;
  options.thinking = text.size() % 2 == 0;
  const auto reply = form.read(text, options);
  mamba2::ChatConversation conversation(form, options,
                                        std::string(text.substr(0, text.size() / 3)));
  if (text.size() % 5 == 0) conversation.resume();
  for (int turn = 0; turn < 3; ++turn) {
    const auto asked = conversation.ask({mamba2::ChatRole::user, std::string(text)});
    if (!asked) return;
    if (asked->pieces.empty() && asked->opening.empty()) std::abort();
    const auto kept = conversation.answered(text, turn != 1);
    if (!kept) return;
    std::size_t i = 0;
    for (const mamba2::ToolCall& call : conversation.reply().calls) {
      mamba2::ChatMessage result{mamba2::ChatRole::tool, std::string(text)};
      result.call_id = call.id;
      if (++i < conversation.reply().calls.size()) {
        conversation.add(result);
      } else if (!conversation.ask(result)) {
        return;
      }
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  const std::string_view jinja = take_until_nul(rest);
  if (rest.empty()) return 0;
  const auto number = static_cast<unsigned char>(rest[0]);
  rest.remove_prefix(1);
  const std::string_view tools = take_until_nul(rest);
  const auto form = mamba2::ChatTemplate::recognise(jinja, {"<s>", "</s>"});
  if (form) talk(*form, rest, tools);
  const auto& forms = mamba2::detail::kChatForms;
  talk(mamba2::ChatTemplate::named(forms[number % forms.size()].name).value(), rest, tools);
  return 0;
}
