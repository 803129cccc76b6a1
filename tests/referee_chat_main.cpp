// SPDX-License-Identifier: Apache-2.0
// The chat templates as a filter, for referee_chat.py:
//   referee_chat <REQUESTS
// A request is a line of JSON, and so is its answer: {"name", "text"} of a conversation
// as its template writes it, or {"error"}; with "reply", {"text", "thinking", "calls"} of an
// answer.
#include <chrono>
#include <iostream>
#include <mamba2/text/chat_template.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace {

using Json = nlohmann::json;

mamba2::ChatRole role_of(const std::string& name) {
  using mamba2::ChatRole;
  if (name == "system") return ChatRole::system;
  if (name == "user") return ChatRole::user;
  return name == "assistant" ? ChatRole::assistant : ChatRole::tool;
}

mamba2::ChatMessage message_of(const Json& json) {
  mamba2::ChatMessage message;
  message.role = role_of(json.at("role"));
  message.text = json.value("text", "");
  message.thinking = json.value("thinking", "");
  message.call_id = json.value("call_id", "");
  for (const Json& call : json.value("calls", Json::array())) {
    message.calls.push_back({call.at("name"), call.at("arguments"), call.value("id", "")});
  }
  return message;
}

mamba2::Result<mamba2::ChatTemplate> template_of(const Json& request) {
  if (request.contains("named")) {
    return mamba2::ChatTemplate::named(request.at("named").get<std::string>());
  }
  return mamba2::ChatTemplate::recognise(request.at("template").get<std::string>(),
                                         {request.value("bos", ""), request.value("eos", "")});
}

Json answer(const Json& request) {
  const auto form = template_of(request);
  if (!form) return {{"error", form.error().message}};
  mamba2::ChatOptions options;
  options.thinking = request.value("thinking", true);
  options.tools = request.value("tools", "");
  const auto date = request.value("date", std::vector<int>{2026, 11, 30});
  options.today = std::chrono::year(date[0]) / date[1] / date[2];
  if (request.contains("reply")) {
    const auto reply = form->read(request.at("reply").get<std::string>(), options);
    Json calls = Json::array();
    for (const auto& call : reply.calls) calls.push_back({call.name, call.arguments, call.id});
    return {{"text", reply.text}, {"thinking", reply.thinking}, {"calls", std::move(calls)}};
  }
  std::vector<mamba2::ChatMessage> messages;
  for (const Json& message : request.at("messages")) messages.push_back(message_of(message));
  const auto pieces = form->render(messages, options, request.value("to_answer", true));
  if (!pieces) return {{"name", form->name()}, {"error", pieces.error().message}};
  std::string text;
  for (const auto& piece : *pieces) text += piece.text;
  return {{"name", form->name()}, {"text", text}};
}

}  // namespace

int main() {
  std::string line;
  while (std::getline(std::cin, line)) {
    std::cout << answer(Json::parse(line)).dump() << '\n';
  }
  return 0;
}
