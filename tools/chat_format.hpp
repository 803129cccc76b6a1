// SPDX-License-Identifier: Apache-2.0
// How a conversation with a model is written down.
#pragma once

#include <cstddef>
#include <filesystem>
#include <mamba2/core/mapped_file.hpp>
#include <mamba2/core/result.hpp>
#include <mamba2/io/gguf_metadata.hpp>
#include <mamba2/io/json.hpp>
#include <mamba2/io/packed_file.hpp>
#include <string>
#include <string_view>
#include <system_error>

#include "convert/chat_templates.hpp"

namespace cli {

/// The text around what is said: before the user's line, between it and the answer, and after that.
/// A story has none: lines and answers are one text.
struct ChatFormat {
  std::string before = {};
  std::string between = {};
  std::string after = {};

  /// A story if {user}, something and {assistant} are not there, in this order.
  [[nodiscard]] static ChatFormat parse(const std::string& text) {
    constexpr std::string_view kUser = "{user}";
    constexpr std::string_view kAssistant = "{assistant}";
    const std::size_t user = text.find(kUser);
    const std::size_t assistant = user == text.npos ? text.npos : text.find(kAssistant, user);
    if (assistant == text.npos) return {};
    const std::size_t line_end = user + kUser.size();
    return {text.substr(0, user), text.substr(line_end, assistant - line_end),
            text.substr(assistant + kAssistant.size())};
  }

  [[nodiscard]] bool is_story() const { return between.empty(); }

  /// Where an answer ends: at what the template has there, or else where the model begins the
  /// user's next line by itself. A story has no such place.
  [[nodiscard]] std::string stop() const {
    const std::string end = trimmed(after);
    return end.empty() ? trimmed(after + before) : end;
  }

  /// What comes between an answer and the user's next line. In a story a line begins a paragraph,
  /// but where a sentence has not ended, or a space says that the line goes on.
  [[nodiscard]] std::string next(std::string_view answer, std::string_view line) const {
    if (!is_story()) return after + before;
    if (line.starts_with(' ') || answer.ends_with(' ') || answer.ends_with('\n')) return "";
    constexpr std::string_view kEnds = ".!?\"')";
    return answer.empty() || kEnds.find(answer.back()) != kEnds.npos ? "\n\n" : " ";
  }

 private:
  [[nodiscard]] static std::string trimmed(const std::string& text) {
    return text.substr(0, text.find_last_not_of(" \n\t") + 1);
  }
};

/// Whether there is a template of conversations: chat_template in the tokenizer_config.json of a
/// folder, or a chat_template.jinja or chat_template.json in it; tokenizer.chat_template in a GGUF
/// file. A safetensors file has those of its folder, a packed model has none. Errors: io,
/// malformed, unsupported.
[[nodiscard]] inline mamba2::Result<bool> has_chat_template(const std::filesystem::path& model) {
  std::error_code ignored;  // opening the file says what is wrong
  std::filesystem::path folder = model;
  if (!std::filesystem::is_directory(model, ignored)) {
    const auto file = mamba2::MappedFile::open(model);
    if (!file) return file.error();
    if (mamba2::is_packed(file->bytes())) return false;
    if (mamba2::is_gguf(file->bytes())) {
      const auto metadata = mamba2::GgufMetadata::parse(file->bytes(), model.native());
      if (!metadata) return metadata.error();
      return metadata->find(convert::kGgufTemplate) != nullptr;
    }
    folder = model.parent_path();
  }
  for (const std::string_view name : {convert::kTemplateFile, convert::kTemplateJson}) {
    if (std::filesystem::exists(folder / name, ignored)) return true;
  }
  const std::filesystem::path path = folder / convert::kTokenizerConfig;
  if (!std::filesystem::exists(path, ignored)) return false;
  constexpr std::size_t kMost = std::size_t{1} << 26;
  const auto text = mamba2::read_text_file(path, kMost);
  if (!text) return text.error();
  const auto config = mamba2::detail::parse_json(*text, path.native());
  if (!config) return config.error();
  const auto found = config->find(convert::kTemplateKey);
  return found != config->end() && !found->is_null();
}

}  // namespace cli
