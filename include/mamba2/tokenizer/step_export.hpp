// SPDX-License-Identifier: Apache-2.0
// Writes steps as a tokenizer.json has them.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/io/json.hpp"
#include "mamba2/tokenizer/step_json.hpp"
#include "mamba2/tokenizer/steps.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

[[nodiscard]] inline Json pattern_json(const TextPattern& pattern) {
  return Json::object({{pattern.is_regex ? "Regex" : "String", pattern.text}});
}

/// The name that a list gives a value.
template <class Names, class Value>
[[nodiscard]] std::string name_of(const Names& names, Value value) {
  for (const auto& [name, known] : names) {
    if (known == value) return std::string(name);
  }
  return {};
}

[[nodiscard]] inline Json step_json(const NormalizerStep& step) {
  using Kind = NormalizerStep::Kind;
  switch (step.kind) {
    case Kind::nfc:
      return {{"type", "NFC"}};
    case Kind::nfd:
      return {{"type", "NFD"}};
    case Kind::nfkc:
      return {{"type", "NFKC"}};
    case Kind::nfkd:
      return {{"type", "NFKD"}};
    case Kind::lowercase:
      return {{"type", "Lowercase"}};
    case Kind::prepend:
      return {{"type", "Prepend"}, {"prepend", step.content}};
    case Kind::replace:
      return {
          {"type", "Replace"}, {"pattern", pattern_json(step.pattern)}, {"content", step.content}};
    case Kind::strip:
      return {{"type", "Strip"}, {"strip_left", step.left}, {"strip_right", step.right}};
    case Kind::squeeze_blanks:
      return {
          {"type", "Sequence"},
          {"normalizers",
           Json::array(
               {step_json({.kind = Kind::replace, .pattern = {"^ +| +$", true}}),
                step_json({.kind = Kind::replace, .pattern = {" {2,}", true}, .content = " "})})}};
  }
  return {};
}

[[nodiscard]] inline Json step_json(const PreTokenizerStep& step) {
  using Kind = PreTokenizerStep::Kind;
  const std::string behavior = name_of(kSplitBehaviors, step.behavior);
  switch (step.kind) {
    case Kind::byte_level:
      return {{"type", "ByteLevel"},
              {"add_prefix_space", step.add_prefix_space},
              {"trim_offsets", true},
              {"use_regex", step.use_regex}};
    case Kind::split:
      return {{"type", "Split"},
              {"pattern", pattern_json(step.pattern)},
              {"behavior", behavior},
              {"invert", step.invert}};
    case Kind::digits:
      return {{"type", "Digits"}, {"individual_digits", step.individual}};
    case Kind::punctuation:
      return {{"type", "Punctuation"}, {"behavior", behavior}};
    case Kind::whitespace:
      return {{"type", "Whitespace"}};
    case Kind::whitespace_split:
      return {{"type", "WhitespaceSplit"}};
    case Kind::metaspace:
      return {{"type", "Metaspace"},
              {"replacement", step.replacement},
              {"prepend_scheme", name_of(kPrependSchemes, step.scheme)},
              {"split", step.cuts}};
  }
  return {};
}

[[nodiscard]] inline Json step_json(const DecoderStep& step) {
  using Kind = DecoderStep::Kind;
  switch (step.kind) {
    case Kind::byte_level:
      return {{"type", "ByteLevel"},
              {"add_prefix_space", false},
              {"trim_offsets", true},
              {"use_regex", true}};
    case Kind::byte_fallback:
      return {{"type", "ByteFallback"}};
    case Kind::replace:
      return {
          {"type", "Replace"}, {"pattern", pattern_json(step.pattern)}, {"content", step.content}};
    case Kind::fuse:
      return {{"type", "Fuse"}};
    case Kind::strip:
      return {
          {"type", "Strip"}, {"content", step.content}, {"start", step.start}, {"stop", step.stop}};
    case Kind::metaspace:
      return {{"type", "Metaspace"},
              {"replacement", step.replacement},
              {"prepend_scheme", step.drops_prefix ? "always" : "never"},
              {"split", true}};
  }
  return {};
}

/// null, a step, or a Sequence.
template <class Step>
[[nodiscard]] Json steps_json(const std::vector<Step>& steps, std::string_view list) {
  if (steps.empty()) return nullptr;
  if (steps.size() == 1) return step_json(steps[0]);
  Json all = Json::array();
  for (const Step& step : steps) all.push_back(step_json(step));
  Json sequence = Json::object();
  sequence["type"] = "Sequence";
  sequence[std::string(list)] = std::move(all);
  return sequence;
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
