// SPDX-License-Identifier: Apache-2.0
// The tokens that end a text, as the files of a model name them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/io/gguf_value.hpp"
#include "mamba2/io/json.hpp"
#include "mamba2/io/json_fields.hpp"
#include "mamba2/layers/config.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

inline constexpr std::string_view kEosKey = "eos_token_id";

/// Collects ids, each once, in their order. What is no token of the model is passed over, with a
/// note for each key: a text without such an end is as good as any.
class EosTokens {
 public:
  explicit EosTokens(std::size_t vocab_size) : vocab_size_(vocab_size) {}

  /// What stands at a key of a file: one id, a list of them, or null for none.
  void add(std::string_view file, std::string_view key, const Json& value) {
    if (value.is_null()) return;
    Rejected rejected;
    const auto add_one = [&](const Json& id) {
      const auto* number = id.get_ptr<const std::uint64_t*>();
      if (number == nullptr || !add(*number)) rejected.add([&] { return describe(id); });
    };
    if (const auto* list = value.get_ptr<const Json::array_t*>()) {
      for (const Json& id : *list) add_one(id);
    } else {
      add_one(value);
    }
    note(file, key, rejected);
  }

  /// The same of GGUF: one id.
  void add(std::string_view file, std::string_view key, const GgufValue& value) {
    Rejected rejected;
    const auto id = value.integer();
    if (!id || !add(*id)) rejected.add([&] { return describe(value); });
    note(file, key, rejected);
  }

  /// False if there is no such token.
  bool add(std::uint64_t id) {
    constexpr auto kMost = std::uint64_t{std::numeric_limits<Token>::max()};
    if (id >= vocab_size_ || id > kMost) return false;
    const auto token = static_cast<Token>(id);
    if (seen_.insert(token).second) ids_.push_back(token);
    return true;
  }

  [[nodiscard]] const std::vector<Token>& ids() const noexcept { return ids_; }
  [[nodiscard]] const std::vector<std::string>& notes() const noexcept { return notes_; }

 private:
  /// A file may have a million wrong ones: the first stands for all.
  struct Rejected {
    std::string first;
    std::size_t count = 0;

    template <class Describe>
    void add(Describe describe_it) {
      if (++count == 1) first = describe_it();
    }
  };

  void note(std::string_view file, std::string_view key, const Rejected& rejected) {
    if (rejected.count == 0) return;
    const std::string others =
        rejected.count > 1 ? concat(" and ", rejected.count - 1, " more that cannot be") : "";
    notes_.push_back(concat(file, ": ", key, " must be a token in 0..", vocab_size_ - 1, ", found ",
                            rejected.first, others, ": passed over"));
  }

  std::size_t vocab_size_;
  std::vector<Token> ids_;
  std::set<Token> seen_;
  std::vector<std::string> notes_;
};

/// Such a key of a config.json: one id, a list of several, or null.
[[nodiscard]] inline Json eos_json(const std::vector<Token>& ids) {
  if (ids.empty()) return nullptr;
  if (ids.size() == 1) return ids[0];
  return ids;
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
