// SPDX-License-Identifier: Apache-2.0
// JSON that was written by somebody else: a document, or an error that says where it breaks.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/linkage.hpp"
#include "mamba2/core/result.hpp"
#include "mamba2/io/printable.hpp"
#include "mamba2/io/stand_in.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

using Json = nlohmann::json;

/// What happens in a JSON text, event by event; an event that returns false ends the reading. One
/// type for all readers: the parser is a template, and large.
class JsonEvents : public nlohmann::json_sax<Json> {
 public:
  bool binary(Json::binary_t& /*value*/) final { return false; }  // does not occur in text
  bool parse_error(std::size_t position, const std::string& /*token*/,
                   const Json::exception& exception) final {
    constexpr int kNumberOverflow = 406;  // the parser's id of "1e999"
    return syntax_error(position, exception.id == kNumberOverflow);
  }
  /// Where the text is no JSON, or has a number that is out of range. Returns false.
  virtual bool syntax_error(std::size_t position, bool number_overflow) = 0;
};

/// Feeds the events of a JSON text to `events`, which holds the error if this returns false.
/// The parser keeps its own stack: nesting is limited by `events`, not by the call stack.
[[nodiscard]] bool read_json(std::string_view text, JsonEvents& events);

/// Builds the document from the events; refuses duplicate keys and deep nesting.
/// @tparam JsonT Json, or another nlohmann::basic_json
template <class JsonT>
class BasicJsonBuilder : public JsonEvents {
 public:
  BasicJsonBuilder(std::string_view text, std::string_view name) : text_(text), name_(name) {}

  bool null() override { return place(nullptr) != nullptr; }
  bool boolean(bool value) override { return place(value) != nullptr; }
  bool number_integer(std::int64_t value) override { return place(value) != nullptr; }
  bool number_unsigned(std::uint64_t value) override { return place(value) != nullptr; }
  bool number_float(double value, const std::string& /*token*/) override {
    return place(value) != nullptr;
  }
  bool string(std::string& value) override { return place(std::move(value)) != nullptr; }
  bool start_object(std::size_t /*unknown*/) override { return descend(JsonT::value_t::object); }
  bool start_array(std::size_t /*unknown*/) override { return descend(JsonT::value_t::array); }
  bool end_object() override { return ascend(); }
  bool end_array() override { return ascend(); }

  bool key(std::string& value) override {
    auto& object = *open_.back().node->template get_ptr<typename JsonT::object_t*>();
    const auto [entry, is_new] = object.emplace(std::move(value), nullptr);
    key_ = &entry->first;
    slot_ = &entry->second;
    return is_new || fail(concat("the key ", in_quotes(*key_), " occurs twice in one object"));
  }

  bool syntax_error(std::size_t position, bool number_overflow) override {
    if (text_.empty()) return fail("expected JSON, found nothing (0 bytes)");
    if (const std::string_view instead = stand_in(text_); !instead.empty()) return fail(instead);
    const std::string_view before = text_.substr(0, position);
    const auto line = 1 + std::count(before.begin(), before.end(), '\n');
    const std::string near = key_ != nullptr ? concat(" at the key ", in_quotes(*key_)) : "";
    return fail(concat("line ", line, near, ": expected JSON, found ",
                       number_overflow ? "a number that is out of range" : "a syntax error"));
  }

  JsonT document;
  std::string error;

 protected:
  bool fail(std::string_view reason) {
    error = concat(name_, ": ", reason);
    return false;
  }

  /// Keys so far of the object that is open.
  [[nodiscard]] std::size_t keys() const { return open_.back().node->size(); }

 private:
  static constexpr std::size_t kMaxDepth = 64;

  struct Level {
    JsonT* node;
    const std::string* key;  // under which it stands
  };

  JsonT* place(JsonT value) {
    JsonT* at = &document;
    if (!open_.empty()) {
      auto* array = open_.back().node->template get_ptr<typename JsonT::array_t*>();
      at = array != nullptr ? &array->emplace_back() : slot_;
    }
    *at = std::move(value);
    return at;
  }

  bool descend(typename JsonT::value_t empty) {
    if (open_.size() == kMaxDepth) {
      return fail(concat("expected at most ", kMaxDepth, " levels of nesting, found more"));
    }
    open_.push_back({place(JsonT(empty)), key_});
    return true;
  }

  bool ascend() {
    key_ = open_.back().key;
    open_.pop_back();
    return true;
  }

  std::string_view text_;
  std::string_view name_;
  std::vector<Level> open_;           // objects and arrays that are not closed yet
  JsonT* slot_ = nullptr;             // where the value of the last key belongs
  const std::string* key_ = nullptr;  // the last key, for messages
};
using JsonBuilder = BasicJsonBuilder<Json>;

/// Parses a document. The bare words Infinity, -Infinity and NaN arrive as the object
/// {"__float__": "Infinity"}. Error malformed, with the line: a syntax error, a number out of
/// range, a key twice in one object, more than 64 levels of nesting. `name` is the file's.
[[nodiscard]] Result<Json> parse_json(std::string_view text, std::string_view name);

#if MAMBA2_HAS_DEFINITIONS

MAMBA2_FUNCTION bool read_json(std::string_view text, JsonEvents& events) {
  // The parser takes a NUL for the end of the text and would not see what follows.
  const std::size_t nul = text.find('\0');
  if (nul != std::string_view::npos) return events.syntax_error(nul, false);
  return Json::sax_parse(text.data(), text.data() + text.size(), &events);
}

/// Python writes floats that JSON cannot say as the bare words Infinity, -Infinity and NaN; here
/// they become the form in which others write the same: {"__float__": "Infinity"}.
[[nodiscard]] inline std::string spell_out_bare_floats(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  bool in_string = false;
  for (std::size_t i = 0; i < text.size();) {
    std::string_view piece = text.substr(i, 1);
    if (in_string) {
      if (piece == "\\") piece = text.substr(i, 2);
      if (piece == "\"") in_string = false;
      out += piece;
    } else {
      std::string_view word;
      for (const std::string_view candidate : {"Infinity", "-Infinity", "NaN"}) {
        if (text.substr(i).starts_with(candidate)) word = candidate;
      }
      if (!word.empty()) {
        piece = word;
        out += concat("{\"__float__\":\"", word, "\"}");
      } else {
        if (piece == "\"") in_string = true;
        out += piece;
      }
    }
    i += piece.size();
  }
  return out;
}

MAMBA2_FUNCTION Result<Json> parse_json(std::string_view text, std::string_view name) {
  std::string spelled_out;
  if (text.find("Infinity") != std::string_view::npos ||
      text.find("NaN") != std::string_view::npos) {
    spelled_out = spell_out_bare_floats(text);
    text = spelled_out;
  }
  JsonBuilder builder(text, name);
  if (!read_json(text, builder)) return Error{ErrorCode::malformed, std::move(builder.error)};
  return std::move(builder.document);
}

#endif

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
