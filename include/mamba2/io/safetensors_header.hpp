// SPDX-License-Identifier: Apache-2.0
// The JSON header of a safetensors file, read event by event: what does not belong there is
// refused where it stands, before anything is built from it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/io/json.hpp"
#include "mamba2/io/printable.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// The header of a file: {name: {"dtype": text, "shape": [integers], "data_offsets": [begin, end]}}
/// and optionally {"__metadata__": {text: text}}. Checks this form; what the values say is for
/// Safetensors::parse to judge.
class SafetensorsHeader final : public JsonEvents {
 public:
  struct Entry {
    std::string name;
    std::string dtype;
    std::vector<std::size_t> shape;
    std::vector<std::size_t> offsets;
  };

  explicit SafetensorsHeader(std::string_view file) : file_(file) {}

  std::vector<Entry> entries;
  std::map<std::string, std::string> metadata;
  std::string error;

  bool null() override { return unexpected("null"); }
  bool boolean(bool /*value*/) override { return unexpected("a boolean"); }
  bool number_integer(std::int64_t /*value*/) override { return unexpected("a negative integer"); }
  bool number_float(double /*value*/, const std::string& /*token*/) override {
    return unexpected("a number that is no integer of 64 bits");
  }
  bool number_unsigned(std::uint64_t value) override;
  bool string(std::string& value) override;
  bool start_object(std::size_t /*unknown*/) override;
  bool end_object() override;
  bool start_array(std::size_t /*unknown*/) override;
  bool end_array() override;
  bool key(std::string& value) override;

  bool syntax_error(std::size_t position, bool number_overflow) override {
    return fail(concat("the header must be JSON, found ",
                       number_overflow ? "a number out of range" : "a syntax error", " at byte ",
                       position, " of it"));
  }

 private:
  enum class Inside : std::uint8_t { nothing, header, metadata, tensor, shape, offsets };
  enum Field : unsigned { kNone = 0, kDType = 1, kShape = 2, kOffsets = 4, kAll = 7 };

  bool fail(std::string_view reason) {
    error = concat(file_, ": ", reason);
    return false;
  }
  bool unexpected(std::string_view found);

  std::string_view file_;
  Inside inside_ = Inside::nothing;
  std::string key_;      // the last key of the header or of its metadata
  Field field_ = kNone;  // the last key of a tensor
  unsigned fields_ = 0;  // the keys that the tensor has had so far
  bool has_metadata_ = false;
};

inline bool SafetensorsHeader::number_unsigned(std::uint64_t value) {
  if (inside_ == Inside::shape) {
    entries.back().shape.push_back(static_cast<std::size_t>(value));
  } else if (inside_ == Inside::offsets && entries.back().offsets.size() < 2) {
    entries.back().offsets.push_back(static_cast<std::size_t>(value));
  } else {
    return unexpected("a number");
  }
  return true;
}

inline bool SafetensorsHeader::string(std::string& value) {
  if (inside_ == Inside::metadata) {
    metadata[key_] = std::move(value);
  } else if (inside_ == Inside::tensor && field_ == kDType) {
    entries.back().dtype = std::move(value);
  } else {
    return unexpected("a string");
  }
  return true;
}

inline bool SafetensorsHeader::start_object(std::size_t /*unknown*/) {
  if (inside_ == Inside::nothing) {
    inside_ = Inside::header;
  } else if (inside_ == Inside::header && key_ == "__metadata__") {
    if (std::exchange(has_metadata_, true)) return fail("the key \"__metadata__\" occurs twice");
    inside_ = Inside::metadata;
  } else if (inside_ == Inside::header) {
    entries.push_back({key_, {}, {}, {}});
    fields_ = 0;
    inside_ = Inside::tensor;
  } else {
    return unexpected("an object");
  }
  return true;
}

inline bool SafetensorsHeader::end_object() {
  if (inside_ == Inside::tensor && fields_ != kAll) {
    return fail(concat("tensor ", in_quotes(entries.back().name),
                       " must have dtype, shape and data_offsets, found some of them only"));
  }
  inside_ = inside_ == Inside::header ? Inside::nothing : Inside::header;
  return true;
}

inline bool SafetensorsHeader::start_array(std::size_t /*unknown*/) {
  if (inside_ == Inside::tensor && field_ == kShape) {
    inside_ = Inside::shape;
  } else if (inside_ == Inside::tensor && field_ == kOffsets) {
    inside_ = Inside::offsets;
  } else {
    return unexpected("a list");
  }
  return true;
}

inline bool SafetensorsHeader::end_array() {
  if (inside_ == Inside::offsets && entries.back().offsets.size() != 2) {
    return unexpected("fewer of them");
  }
  inside_ = Inside::tensor;
  return true;
}

inline bool SafetensorsHeader::key(std::string& value) {
  if (inside_ != Inside::tensor) {
    key_ = std::move(value);
    return inside_ != Inside::metadata || !metadata.contains(key_) ||
           fail(concat("the key ", in_quotes(key_), " occurs twice in __metadata__"));
  }
  field_ = value == "dtype"          ? kDType
           : value == "shape"        ? kShape
           : value == "data_offsets" ? kOffsets
                                     : kNone;
  const bool is_new = (fields_ & field_) == 0;
  fields_ |= field_;
  return (field_ != kNone && is_new) ||
         fail(concat("tensor ", in_quotes(entries.back().name), " must have dtype, shape and ",
                     "data_offsets once, found ", is_new ? "" : "again ", in_quotes(value)));
}

inline bool SafetensorsHeader::unexpected(std::string_view found) {
  std::string what;
  std::string_view expected;
  if (inside_ == Inside::nothing) {
    what = "the header";
    expected = "an object";
  } else if (inside_ == Inside::header || inside_ == Inside::metadata) {
    what = concat(inside_ == Inside::header ? "the entry " : "__metadata__ ", in_quotes(key_));
    expected = inside_ == Inside::header ? "an object" : "a string";
  } else {
    what = concat("tensor ", in_quotes(entries.back().name), ": ",
                  field_ == kDType   ? "dtype"
                  : field_ == kShape ? "shape"
                                     : "data_offsets");
    expected = field_ == kDType   ? "a string"
               : field_ == kShape ? "a list of integers >= 0"
                                  : "a list of two integers >= 0";
  }
  return fail(concat(what, " must be ", expected, ", found ", found));
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
