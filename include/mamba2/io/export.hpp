// SPDX-License-Identifier: Apache-2.0
// What a model becomes in a file of another kind.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/formats/dtype.hpp"
#include "mamba2/io/printable.hpp"
#include "mamba2/layers/config.hpp"
#include "mamba2/linear/plan.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// A tensor as it shall be written.
struct ExportedTensor {
  std::string name;       ///< in the file
  std::string canonical;  ///< of its values; "mixer.A" is -exp of "mixer.A_log"
  std::vector<std::size_t> shape;
  DType dtype;
  Role role;
};

/// Ids of tokens that have a meaning, besides Config::eos_token_ids.
struct SpecialTokens {
  std::optional<Token> bos = {};
  std::optional<Token> pad = {};
  std::optional<Token> unknown = {};
};

namespace detail {

/// Collects why a model cannot be what it shall become: only the first reason is kept.
class ExportCheck {
 public:
  /// @param kind what the model shall become: "a GGUF file"
  explicit ExportCheck(std::string_view kind) : kind_(kind) {}

  void require(std::string_view key, bool fine, std::string_view expected, auto found) {
    if (fine || !outcome_) return;
    outcome_ = Error{ErrorCode::unsupported,
                     concat(key, " must be ", expected, " in ", kind_, ", found ", found)};
  }
  void require_flag(std::string_view key, bool expected, bool found) {
    const auto text = [](bool flag) { return std::string_view(flag ? "true" : "false"); };
    require(key, found == expected, text(expected), text(found));
  }

  /// What is not written, or what neither llama.cpp nor transformers has.
  void require_plain_block(const Config& c) {
    require("the layers", !c.is_hybrid(), "Mamba-2 alone", in_quotes(c.pattern));
    require_flag("norm_before_gate", false, c.norm_before_gate);
    require_flag("rmsnorm", true, c.rmsnorm);
    require_flag("D_has_hdim", false, c.D_has_hdim);
    require("d_ssm", c.d_ssm == c.d_inner, concat("d_inner ", c.d_inner, " (no gated MLP part)"),
            c.d_ssm);
  }

  [[nodiscard]] const Result<void>& outcome() const noexcept { return outcome_; }

 private:
  std::string_view kind_;
  Result<void> outcome_;
};

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
