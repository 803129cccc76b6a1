// SPDX-License-Identifier: Apache-2.0
// The reader of a tokenizer.json's large lists.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "mamba2/core/result.hpp"
#include "mamba2/io/json.hpp"
#include "mamba2/io/printable.hpp"
#include "mamba2/layers/config.hpp"
#include "mamba2/tokenizer/tokenizer_file.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// Takes model.vocab and model.merges as they pass and builds the document of the rest.
class TokenizerEvents final : public JsonBuilder {
 public:
  TokenizerEvents(std::string_view text, std::string_view name, TokenizerFile& file)
      : JsonBuilder(text, name), name_(name), file_(file) {}

  bool null() override { return in_list() ? refuse("null") : JsonBuilder::null(); }
  bool boolean(bool value) override {
    return in_list() ? refuse("a flag") : JsonBuilder::boolean(value);
  }
  bool number_integer(std::int64_t value) override {
    return in_list() ? refuse(concat(value)) : JsonBuilder::number_integer(value);
  }
  bool number_unsigned(std::uint64_t value) override {
    if (place_ != Place::vocab) {
      return in_list() ? refuse(concat(value)) : JsonBuilder::number_unsigned(value);
    }
    if (value > TokenizerFile::kMaxId) return refuse(concat(value));
    file_.vocab.push_back({std::move(token_), static_cast<Token>(value)});
    return true;
  }
  bool number_float(double value, const std::string& text) override {
    return in_list() ? refuse(text) : JsonBuilder::number_float(value, text);
  }
  bool string(std::string& value) override {
    switch (place_) {
      case Place::document:
        return JsonBuilder::string(value);
      case Place::vocab:
        return refuse(in_quotes(value));
      case Place::merges:
        return merge_in_one(value);
      case Place::pair:
        break;
    }
    if (pair_size_ == 2) return refuse("a list of more");
    pair_[pair_size_++] = std::move(value);
    return true;
  }
  bool start_object(std::size_t size) override {
    if (in_list()) return refuse("an object");
    if (enters("vocab")) {
      place_ = Place::vocab;
      has_vocab = true;
      return true;
    }
    ++depth_;
    return JsonBuilder::start_object(size);
  }
  bool start_array(std::size_t size) override {
    if (place_ == Place::merges) {
      place_ = Place::pair;
      pair_size_ = 0;
      return true;
    }
    if (in_list()) return refuse("a list");
    if (enters("merges")) {
      place_ = Place::merges;
      has_merges = true;
      return true;
    }
    ++depth_;
    return JsonBuilder::start_array(size);
  }
  bool key(std::string& value) override {
    if (place_ == Place::vocab) {
      token_ = std::move(value);
      return true;
    }
    if (depth_ == 1) {
      in_model_ = value == "model";
      model_key_.clear();
    } else if (depth_ == 2) {
      model_key_ = value;
    }
    return JsonBuilder::key(value);
  }
  bool end_object() override {
    if (place_ == Place::vocab) {
      place_ = Place::document;
      return true;
    }
    --depth_;
    return JsonBuilder::end_object();
  }
  bool end_array() override {
    if (place_ == Place::document) {
      --depth_;
      return JsonBuilder::end_array();
    }
    if (place_ == Place::merges) {
      place_ = Place::document;
      return true;
    }
    place_ = Place::merges;
    if (pair_size_ != 2) return refuse(concat("a list of ", pair_size_));
    file_.merges.push_back(std::move(pair_));
    return true;
  }

  bool has_vocab = false;
  bool has_merges = false;

 private:
  enum class Place { document, vocab, merges, pair };

  [[nodiscard]] bool in_list() const noexcept { return place_ != Place::document; }
  [[nodiscard]] bool enters(std::string_view list) const {
    return depth_ == 2 && in_model_ && model_key_ == list;
  }

  /// A merge in the older form, "a b".
  bool merge_in_one(const std::string& text) {
    if (text.starts_with("#version")) return true;  // a comment, by custom
    auto pair = split_merge(text);
    if (!pair) return refuse(in_quotes(text));
    file_.merges.push_back(*std::move(pair));
    return true;
  }

  bool refuse(std::string_view found) {
    if (place_ == Place::vocab) {
      error = concat(name_, ": model.vocab: the id of ", in_quotes(token_),
                     " must be an integer in 0..", TokenizerFile::kMaxId, ", found ", found);
    } else {
      error = concat(name_, ": model.merges[", file_.merges.size(),
                     "] must be \"a b\" or [\"a\", \"b\"], found ", found);
    }
    return false;
  }

  std::string_view name_;
  TokenizerFile& file_;
  Place place_ = Place::document;
  std::size_t depth_ = 0;  // open objects and arrays of the document
  bool in_model_ = false;
  std::string model_key_;
  std::string token_;  // key of the vocabulary's entry that is being read
  TokenizerFile::MergePair pair_;
  std::size_t pair_size_ = 0;
};

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
