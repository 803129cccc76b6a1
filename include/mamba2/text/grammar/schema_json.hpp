// SPDX-License-Identifier: Apache-2.0
// The text of a JSON schema as a document whose keys keep their order.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "mamba2/io/json.hpp"
#include "mamba2/io/printable.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

using OrderedJson = nlohmann::ordered_json;

/// As JsonBuilder, in the order of the text. Looking for a key takes as long as there are keys, so
/// there may not be more than some thousand in an object.
class OrderedJsonBuilder final : public BasicJsonBuilder<OrderedJson> {
 public:
  explicit OrderedJsonBuilder(std::string_view text)
      : BasicJsonBuilder(text, "schema"), text_(text) {}

  bool key(std::string& value) override {
    constexpr std::size_t kMostKeys = 4096;
    if (keys() < kMostKeys) return BasicJsonBuilder::key(value);
    return fail(concat("expected at most ", kMostKeys, " keys in one object, found more"));
  }

  /// By the byte: schemas have one line as a rule.
  bool syntax_error(std::size_t position, bool number_overflow) override {
    return fail(concat("expected JSON, found ",
                       number_overflow ? "a number that is out of range" : "a syntax error",
                       " at byte ", position, " of ", text_.size()));
  }

 private:
  std::string_view text_;
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
