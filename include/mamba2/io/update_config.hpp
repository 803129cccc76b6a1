// SPDX-License-Identifier: Apache-2.0
// The text of a config.json with some of its members changed: the others stay as they are, and in
// their order.
#pragma once

#include <string>
#include <string_view>

#include "mamba2/core/linkage.hpp"
#include "mamba2/io/quantization.hpp"
#include "mamba2/layers/config.hpp"

#if MAMBA2_HAS_DEFINITIONS
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/io/config_json.hpp"
#include "mamba2/io/eos_tokens.hpp"
#include "mamba2/io/foreign_quantization.hpp"
#include "mamba2/io/json.hpp"
#include "mamba2/io/json_fields.hpp"
#include "mamba2/io/json_writer.hpp"
#endif

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// The text of a config.json, which parse_config takes, with what a checkpoint has decided in the
/// end (Checkpoint::config()) where the text says otherwise: whether the head is the embedding, and
/// the tokens that end a text.
[[nodiscard]] std::string update_config(std::string_view json, const Config& config);

/// The text of a config.json, which parse_config takes, with this quantization_config.
[[nodiscard]] std::string set_quantization(std::string_view json, const Quantization& quantization);

#if MAMBA2_HAS_DEFINITIONS

namespace detail {

/// A key, and its value as JsonWriter has written it.
struct JsonMember {
  std::string key;
  std::string value;
};
using JsonMembers = std::vector<JsonMember>;

/// Writes what it reads, but for the members of the outermost object that shall change.
class MemberSetter final : public JsonEvents {
 public:
  explicit MemberSetter(JsonMembers members) : members_(std::move(members)) {}

  bool null() override { return scalar(nullptr); }
  bool boolean(bool value) override { return scalar(value); }
  bool number_integer(std::int64_t value) override { return scalar(value); }
  bool number_unsigned(std::uint64_t value) override { return scalar(value); }
  bool number_float(double value, const std::string& /*token*/) override { return scalar(value); }
  bool string(std::string& value) override { return scalar(std::move(value)); }
  bool syntax_error(std::size_t /*position*/, bool /*number_overflow*/) override { return false; }

  bool key(std::string& key) override {
    if (depth_ == 1) {
      const auto member = std::find_if(members_.begin(), members_.end(),
                                       [&key](const auto& m) { return m.key == key; });
      is_passing_over_ = member != members_.end();
      if (is_passing_over_) {
        write_member(*member);
        members_.erase(member);
      }
    }
    if (!is_passing_over_) writer_.key(key);
    return true;
  }
  bool start_object(std::size_t /*unknown*/) override {
    ++depth_;
    if (!is_passing_over_) writer_.start_object();
    return true;
  }
  bool end_object() override {
    if (--depth_ == 0) {
      is_passing_over_ = false;
      for (const auto& member : members_) write_member(member);
    }
    if (!is_passing_over_) writer_.end_object();
    return true;
  }
  bool start_array(std::size_t /*unknown*/) override {
    ++depth_;
    if (!is_passing_over_) writer_.start_array();
    return true;
  }
  bool end_array() override {
    --depth_;
    if (!is_passing_over_) writer_.end_array();
    return true;
  }

  [[nodiscard]] std::string text() && noexcept { return std::move(writer_).text(); }

 private:
  bool scalar(const Json& value) {
    if (!is_passing_over_) writer_.value(value);
    return true;
  }
  void write_member(const JsonMember& member) {
    writer_.key(member.key);
    writer_.written(member.value);
  }

  JsonMembers members_;  // that are not written yet
  JsonWriter writer_;
  std::size_t depth_ = 0;
  bool is_passing_over_ = false;  // the value that had the key of a member
};

/// The text of a JSON object with these members: in the place of what it has there, else at its
/// end. Of a text that is not JSON, the text.
[[nodiscard]] inline std::string set_members(std::string_view json, JsonMembers members) {
  MemberSetter setter(std::move(members));
  if (!read_json(spell_out_bare_floats(json), setter)) return std::string(json);
  return std::move(setter).text() + "\n";
}

/// The text of a value.
[[nodiscard]] inline std::string json_text(const Json& value) {
  JsonWriter writer;
  writer.value(value);
  return std::move(writer).text();
}

}  // namespace detail

MAMBA2_FUNCTION std::string update_config(std::string_view json, const Config& config) {
  const Result<Config> said = parse_config(json);
  const Result<detail::Json> document = detail::parse_json(json, "config.json");
  if (!said || !document) return std::string(json);
  detail::JsonMembers members;
  if (said->tie_embeddings != config.tie_embeddings) {
    const detail::JsonFields fields(*document, "config.json");
    members.push_back({std::string(detail::dialect_of(fields, known_dialects())->tie_key),
                       detail::json_text(config.tie_embeddings)});
  }
  if (said->eos_token_ids != config.eos_token_ids) {
    members.push_back(
        {std::string(detail::kEosKey), detail::json_text(detail::eos_json(config.eos_token_ids))});
  }
  return detail::set_members(json, std::move(members));
}

MAMBA2_FUNCTION std::string set_quantization(std::string_view json,
                                             const Quantization& quantization) {
  detail::JsonWriter value;
  value.start_object();
  value.member("quant_method", detail::kQuantMethod);
  value.member("version", detail::kQuantizationVersion);
  value.key("matrices");
  value.start_object();
  for (const auto& [matrix, format] : quantization) {
    value.key(matrix);
    value.start_object();
    value.member("bits", format.dtype == DType::INT8 ? 8 : 4);
    if (format.dtype != DType::INT8) value.member("group", dtype_block(format.dtype));
    if (format.rotation > 1) value.member("rotation", format.rotation);
    value.end_object();
  }
  value.end_object();
  value.end_object();
  return detail::set_members(json,
                             {{std::string(detail::kQuantizationKey), std::move(value).text()}});
}

#endif

}  // namespace MAMBA2_ISA
}  // namespace mamba2
