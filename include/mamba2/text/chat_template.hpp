// SPDX-License-Identifier: Apache-2.0
// Conversations in the form that a model was trained on, which its chat template says.
#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/io/printable.hpp"
#include "mamba2/text/chat/chat_message.hpp"
#include "mamba2/text/chat/chat_style.hpp"
#include "mamba2/text/chat/chat_text.hpp"
#include "mamba2/text/chat/chat_writer.hpp"
#include "mamba2/text/chat/read_reply.hpp"
#include "mamba2/text/chat/recognise.hpp"
#include "mamba2/text/chat/template_files.hpp"
#include "mamba2/text/chat/write_chatml.hpp"
#include "mamba2/text/chat/write_forms.hpp"
#include "mamba2/text/chat/write_mistral.hpp"
#include "mamba2/text/chat/write_nemotron.hpp"
#include "mamba2/tokenizer/tokenizer.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// How one model writes conversations down. Templates are programs in Jinja; this is none of their
/// interpreters: it knows the forms of some families (names()), takes a template for one of them by
/// what it writes, and takes from it what differs from model to model, such as a system text for
/// conversations without one. Immutable: safe to use from many threads.
class ChatTemplate {
 public:
  /// The template of a model, given as for Tokenizer::load: of a folder chat_template.jinja, or
  /// "chat_template" in tokenizer_config.json (the one called "default", where there are several)
  /// or chat_template.json; of a GGUF file tokenizer.chat_template. Nothing where there is none.
  /// Errors: io, malformed; unsupported, with the names of the forms: a template of another form.
  [[nodiscard]] static Result<std::optional<ChatTemplate>> load(const std::filesystem::path& model);

  /// Takes the text of a template for one of the forms; `name` stands for it in messages. Error
  /// unsupported: it is none of them.
  [[nodiscard]] static Result<ChatTemplate> recognise(std::string_view jinja,
                                                      const ChatTokens& tokens,
                                                      std::string_view name = "chat_template");

  /// A form by one of names(). Sentences that belong to a model, such as those which explain tools
  /// to it, are in its template only: without them this refuses tools in most forms. Error
  /// invalid_argument: no such name.
  [[nodiscard]] static Result<ChatTemplate> named(std::string_view name);

  /// A form of plain text: a turn is `before`, what the user says, `between`, the answer, `after`.
  [[nodiscard]] static ChatTemplate lines(std::string before, std::string between,
                                          std::string after);

  /// "granite, nemotron-3, ...".
  [[nodiscard]] static std::string names() { return detail::chat_form_names(); }

  /// Which of them it is.
  [[nodiscard]] const std::string& name() const noexcept { return style_.name; }

  /// Whether it can tell a model what tools there are.
  [[nodiscard]] bool has_tools() const noexcept { return style_.has_tools; }

  /// Whether ChatOptions::thinking changes anything.
  [[nodiscard]] bool has_thinking() const noexcept {
    return style_.form == detail::ChatForm::nemotron_3 ||
           style_.form == detail::ChatForm::nemotron_v2;
  }

  /// Whether it is plain text, to which belongs what the tokenizer begins texts with.
  [[nodiscard]] bool is_plain() const noexcept { return style_.form == detail::ChatForm::lines; }

  /// Texts that end an answer, for GenerateOptions::stop.
  [[nodiscard]] std::vector<std::string> stops() const { return detail::stops_of(style_); }

  /// What stands between the end of an answer and the next message, at its beginning.
  [[nodiscard]] std::string closing() const { return detail::closing_of(style_); }

  /// A conversation as the model reads it, `is_to_answer`: up to where its answer begins. As a
  /// text, what transformers' apply_chat_template gives for the same template and messages. Errors:
  /// malformed (tools or arguments that are no JSON), unsupported (what the form has no place for,
  /// such as tools), invalid_argument (messages in an order that it does not have).
  [[nodiscard]] Result<std::vector<ChatPiece>> render(std::span<const ChatMessage> messages,
                                                      const ChatOptions& options = {},
                                                      bool is_to_answer = true) const {
    const auto text = write(messages, options, is_to_answer);
    if (!text) return text.error();
    return text->pieces();
  }

  /// What an answer consists of: `reply` is all that was generated, special tokens included; what
  /// follows the first of stops() in it does not count. A call of a tool that is not whole stays
  /// text.
  [[nodiscard]] ChatReply read(std::string_view reply, const ChatOptions& options = {}) const {
    for (const std::string& stop : stops()) {
      if (!stop.empty()) reply = reply.substr(0, reply.find(stop));
    }
    return detail::ReplyReader(style_, options).read(reply, has_thinking() && options.thinking);
  }

  /// As render(), in one piece that knows which of it is the template's.
  [[nodiscard]] Result<detail::ChatText> write(std::span<const ChatMessage> messages,
                                               const ChatOptions& options, bool is_to_answer) const;

 private:
  explicit ChatTemplate(detail::ChatStyle style) : style_(std::move(style)) {}

  detail::ChatStyle style_;
};

/// The tokens of pieces: here, and only here, texts of a conversation become tokens. They are
/// encoded as one text, in which names of special tokens count where the template has them.
/// @param add_special as in EncodeOptions: as a rule the template itself writes what a text begins
/// with
[[nodiscard]] inline std::vector<Token> encode_chat(const Tokenizer& tokenizer,
                                                    std::span<const ChatPiece> pieces,
                                                    bool add_special = false) {
  std::vector<TextPart> parts;
  for (const ChatPiece& piece : pieces) parts.push_back({piece.text, piece.special_names});
  return tokenizer.encode(parts, {.add_special = add_special});
}

inline Result<ChatTemplate> ChatTemplate::recognise(std::string_view jinja,
                                                    const ChatTokens& tokens,
                                                    std::string_view name) {
  auto style = detail::Recogniser(jinja, tokens).find();
  if (style) return ChatTemplate(*std::move(style));
  return Error{ErrorCode::unsupported,
               detail::concat(name, ": expected a chat template of one of the forms ", names(),
                              ", found one that writes something else")};
}

inline Result<ChatTemplate> ChatTemplate::named(std::string_view name) {
  auto style = detail::named_style(name);
  if (style) return ChatTemplate(*std::move(style));
  return Error{ErrorCode::invalid_argument,
               detail::concat("the form of a chat must be one of ", names(), ", found ",
                              detail::in_quotes(name))};
}

inline ChatTemplate ChatTemplate::lines(std::string before, std::string between,
                                        std::string after) {
  detail::ChatStyle style = *detail::named_style("plain");
  style.before = std::move(before);
  style.between = std::move(between);
  style.after = std::move(after);
  return ChatTemplate(std::move(style));
}

inline Result<std::optional<ChatTemplate>> ChatTemplate::load(const std::filesystem::path& model) {
  const auto found = detail::ModelTemplates::read(model);
  if (!found) return found.error();
  const detail::TemplateFile* chosen = found->chosen();
  if (chosen == nullptr) return std::optional<ChatTemplate>();
  auto recognised = recognise(chosen->text, found->tokens, found->place);
  if (!recognised) return std::move(recognised).error();
  return std::optional<ChatTemplate>(*std::move(recognised));
}

inline Result<detail::ChatText> ChatTemplate::write(std::span<const ChatMessage> messages,
                                                    const ChatOptions& options,
                                                    bool is_to_answer) const {
  using detail::ChatForm;
  auto writer = detail::ChatWriter::create(style_, messages, options, is_to_answer);
  if (!writer) return std::move(writer).error();
  switch (style_.form) {
    case ChatForm::lines:
      return detail::write_lines(*std::move(writer));
    case ChatForm::granite:
      return detail::write_granite(*std::move(writer));
    case ChatForm::nemotron_v2:
      return detail::write_nemotron_v2(*std::move(writer));
    case ChatForm::nemotron_3:
      return detail::write_nemotron_3(*std::move(writer));
    case ChatForm::llama3:
    case ChatForm::llama31:
      return detail::write_llama(*std::move(writer));
    case ChatForm::mistral:
      return detail::write_mistral(*std::move(writer));
    case ChatForm::chatml:
      return detail::write_chatml(*std::move(writer));
    case ChatForm::falcon_h1:
      return detail::write_falcon(*std::move(writer));
    default:
      return detail::write_lfm2(*std::move(writer));
  }
}

}  // namespace MAMBA2_ISA
}  // namespace mamba2
