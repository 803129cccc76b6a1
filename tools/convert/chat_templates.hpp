// SPDX-License-Identifier: Apache-2.0
// The chat templates of a model, as folders and GGUF have them.
#pragma once

#include <mamba2/export.hpp>
#include <mamba2/io/json.hpp>
#include <mamba2/mamba2.hpp>
#include <mamba2/text/chat/template_files.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace convert {

using mamba2::detail::get_if;
using mamba2::detail::JsonFile;
using mamba2::detail::kGgufTemplate;
using mamba2::detail::kGgufTemplates;
using mamba2::detail::kTemplateFile;
using mamba2::detail::kTemplateJson;
using mamba2::detail::kTemplateKey;
using mamba2::detail::kTokenizerConfig;
using mamba2::detail::read_utf8;
using mamba2::detail::templates_of_folder;
using mamba2::detail::templates_of_gguf;
using ChatTemplate = mamba2::detail::TemplateFile;

/// As "chat_template" of tokenizer_config.json.
[[nodiscard]] inline mamba2::detail::Json templates_json(
    const std::vector<ChatTemplate>& templates) {
  if (templates.size() == 1 && templates[0].name == ChatTemplate::kDefault) {
    return templates[0].text;
  }
  auto list = mamba2::detail::Json::array();
  for (const auto& [name, text] : templates) list.push_back({{"name", name}, {"template", text}});
  return list;
}

/// As keys of GGUF, under names that the format can have.
inline void set_gguf_templates(mamba2::GgufWriter& writer,
                               const std::vector<ChatTemplate>& templates) {
  std::vector<std::string> names;
  for (const auto& [name, text] : templates) {
    if (name == ChatTemplate::kDefault) {
      writer.set_text(kGgufTemplate, text);
      continue;
    }
    std::string& plain = names.emplace_back(name.substr(0, 64));
    for (char& c : plain) {
      const bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
      if (!is_letter && !(c >= '0' && c <= '9')) c = '_';
    }
    writer.set_text(mamba2::detail::concat(kGgufTemplate, ".", plain), text);
  }
  if (!names.empty()) writer.set_texts(kGgufTemplates, names);
}

}  // namespace convert
