// SPDX-License-Identifier: Apache-2.0
// The text of a JSON schema as a document whose keys keep their order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/io/json.hpp"
#include "mamba2/io/printable.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

using OrderedJson = nlohmann::ordered_json;

/// As JsonBuilder, in the order of the text, and of objects with some thousand keys at most.
class OrderedJsonBuilder final : public JsonEvents {
 public:
  explicit OrderedJsonBuilder(std::string_view text) : text_(text) {}

  bool null() override { return place(nullptr) != nullptr; }
  bool boolean(bool value) override { return place(value) != nullptr; }
  bool number_integer(std::int64_t value) override { return place(value) != nullptr; }
  bool number_unsigned(std::uint64_t value) override { return place(value) != nullptr; }
  bool number_float(double value, const std::string& /*token*/) override {
    return place(value) != nullptr;
  }
  bool string(std::string& value) override { return place(std::move(value)) != nullptr; }
  bool start_object(std::size_t /*unknown*/) override { return descend(OrderedJson::object()); }
  bool start_array(std::size_t /*unknown*/) override { return descend(OrderedJson::array()); }
  bool end_object() override { return ascend(); }
  bool end_array() override { return ascend(); }

  bool key(std::string& value) override {
    auto& object = *open_.back()->get_ptr<OrderedJson::object_t*>();
    if (object.size() == kMostKeys) {
      return fail(concat("expected at most ", kMostKeys, " keys in one object, found more"));
    }
    const auto [entry, is_new] = object.emplace(std::move(value), nullptr);
    slot_ = &entry->second;
    return is_new ||
           fail(concat("the key ", in_quotes(entry->first), " occurs twice in one object"));
  }

  bool syntax_error(std::size_t position, bool number_overflow) override {
    return fail(concat("expected JSON, found ",
                       number_overflow ? "a number that is out of range" : "a syntax error",
                       " at byte ", position, " of ", text_.size()));
  }

  OrderedJson document;
  std::string error;

 private:
  static constexpr std::size_t kMaxDepth = 64;
  static constexpr std::size_t kMostKeys = 4096;

  bool fail(std::string reason) {
    error = std::move(reason);
    return false;
  }

  OrderedJson* place(OrderedJson value) {
    OrderedJson* at = &document;
    if (!open_.empty()) {
      auto* array = open_.back()->get_ptr<OrderedJson::array_t*>();
      at = array != nullptr ? &array->emplace_back() : slot_;
    }
    *at = std::move(value);
    return at;
  }

  bool descend(OrderedJson empty) {
    if (open_.size() == kMaxDepth) {
      return fail(concat("expected at most ", kMaxDepth, " levels of nesting, found more"));
    }
    open_.push_back(place(std::move(empty)));
    return true;
  }

  bool ascend() {
    open_.pop_back();
    return true;
  }

  std::string_view text_;
  std::vector<OrderedJson*> open_;  // objects and arrays that are not closed yet
  OrderedJson* slot_ = nullptr;     // where the value of the last key belongs
};

/// A place in a schema, in messages: its JSON pointer on one line, its end if it is long.
[[nodiscard]] inline std::string shown_path(std::string_view path) {
  constexpr std::size_t kMostBytes = 160;
  std::string out;
  std::string_view rest = path;
  while (rest.size() > kMostBytes) {
    const std::size_t slash = rest.find('/', 2);
    if (slash == std::string_view::npos) break;
    rest.remove_prefix(slash);
    out = "#...";
  }
  for (const char c : rest.substr(0, 2 * kMostBytes)) {
    const auto byte = static_cast<unsigned char>(c);
    out += byte < 0x20 || byte == 0x7F ? '?' : c;
  }
  return out;
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
