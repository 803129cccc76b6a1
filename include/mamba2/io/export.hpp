// SPDX-License-Identifier: Apache-2.0
// What a model becomes in a file of another kind.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/formats/dtype.hpp"
#include "mamba2/io/printable.hpp"
#include "mamba2/layers/config.hpp"
#include "mamba2/linear/plan.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// A factor of so many rows.
struct RowFactor {
  std::size_t rows;
  float factor;
};

/// A tensor as it shall be written.
struct ExportedTensor {
  std::string name;       ///< in the file
  std::string canonical;  ///< of its values; "mixer.A" is -exp of "mixer.A_log"
  std::vector<std::size_t> shape;
  DType dtype;
  Role role;
  /// Others with as many rows, which come below those of `canonical`.
  std::vector<std::string> below = {};
  /// Rows to a head, where the order of its rows changes: to the one that
  /// AttentionConfig::qk_interleaved names, or back from it. 0: it does not.
  std::size_t head_rows = 0;
  bool interleaves = false;
  /// Of its rows, one after the other; empty: 1.
  std::vector<RowFactor> factors = {};

  [[nodiscard]] std::size_t elements() const noexcept {
    return std::accumulate(shape.begin(), shape.end(), std::size_t{1}, std::multiplies<>());
  }

  /// Makes one matrix of the rows of so many the one of a stack of these: (count, rows, columns).
  /// 0: it is none.
  void stack(std::size_t count) {
    if (count > 0) shape = {count, shape[0] / count, shape[1]};
  }

  /// Whether it is one tensor of the source, in its order; and whether it is that as it is.
  [[nodiscard]] bool is_in_order() const noexcept { return below.empty() && head_rows == 0; }
  [[nodiscard]] bool is_as_stored() const noexcept { return is_in_order() && factors.empty(); }

  /// Factors of 1 are none.
  void set_factors(std::vector<RowFactor> rows) {
    factors = std::move(rows);
    const auto is_one = [](const RowFactor& some) { return some.factor == 1.0F; };
    if (std::all_of(factors.begin(), factors.end(), is_one)) factors.clear();
  }
  /// Of a row.
  [[nodiscard]] float factor_of(std::size_t row) const noexcept {
    for (const RowFactor& some : factors) {
      if (row < some.rows) return some.factor;
      row -= some.rows;
    }
    return 1.0F;
  }
  /// Multiplies the elements from `first` on by the factors of their rows.
  void scale(std::size_t first, std::span<float> values) const noexcept {
    if (factors.empty()) return;
    const std::size_t cols = elements() / shape.front();
    while (!values.empty()) {
      const auto part = values.first(std::min(values.size(), cols - first % cols));
      const float factor = factor_of(first / cols);
      for (float& value : part) value *= factor;
      first += part.size();
      values = values.subspan(part.size());
    }
  }

  /// Which row of the source becomes a row here.
  [[nodiscard]] std::size_t source_row(std::size_t row) const noexcept {
    if (head_rows == 0) return row;
    const std::size_t half = head_rows / 2;
    const std::size_t i = row % head_rows;
    const std::size_t from = interleaves ? i % 2 * half + i / 2 : i % half * 2 + i / half;
    return row - i + from;
  }

  /// Calls body(canonical, begin, count) for the elements [first, first + count), in pieces that
  /// lie next to each other in a tensor of the source.
  template <class Body>
  void for_each_piece(std::size_t first, std::size_t count, Body&& body) const {
    const std::size_t cols = elements() / shape.front();
    const std::size_t part = elements() / (1 + below.size());
    while (count > 0) {
      const std::size_t number = first / part;
      const std::size_t at = first % part;
      const std::size_t end = head_rows == 0 ? part : (at / cols + 1) * cols;
      const std::size_t piece = std::min(count, end - at);
      body(number == 0 ? canonical : below[number - 1], source_row(at / cols) * cols + at % cols,
           piece);
      first += piece;
      count -= piece;
    }
  }
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

  /// What neither llama.cpp nor transformers has.
  void require_plain_block(const Config& c) {
    require(
        "the model", !c.is_bitmamba(), "Mamba-2 as published",
        "BitMamba-2, of which llama.cpp and transformers have no form: its .bin file runs as it "
        "is, or packed for a CPU");
    require("lora_rank", c.lora_rank == 0, "0", c.lora_rank);
    require("repeat_count", c.repeat_count == 0, "0", c.repeat_count);
    require_flag("norm_before_gate", false, c.norm_before_gate);
    require_flag("rmsnorm", true, c.rmsnorm);
    require_flag("D_has_hdim", false, c.D_has_hdim);
    require("d_ssm", c.d_ssm == c.d_inner, concat("d_inner ", c.d_inner, " (no gated MLP part)"),
            c.d_ssm);
  }

  /// A mixer and a gated MLP in turn.
  void require_pairs(const Config& c, LayerKind second = LayerKind::mlp) {
    bool in_turn = c.n_layer % 2 == 0;
    for (std::size_t i = 0; i < c.n_layer; ++i) {
      const bool is_mixer = c.kind(i) != LayerKind::mlp && c.kind(i) != LayerKind::moe;
      in_turn = in_turn && (i % 2 == 0 ? is_mixer : c.kind(i) == second);
    }
    require("the layers", in_turn,
            second == LayerKind::mlp ? "a mixer and an MLP in turn" : "a mixer and experts in turn",
            in_quotes(c.pattern));
    require("attention.d_conv", c.attention.d_conv == 0, "0", c.attention.d_conv);
    const bool is_gated = !c.has(LayerKind::mlp) || c.mlp.activation == MlpActivation::swiglu;
    require("mlp.activation", is_gated, "SwiGLU", "another");
  }

  /// What Granite has: after each mixer an MLP, or after each of them experts of SwiGLU, which
  /// count by the softmax over those that are chosen.
  void require_granite_pairs(const Config& c) {
    require_pairs(c, c.has(LayerKind::moe) ? LayerKind::moe : LayerKind::mlp);
    if (!c.has(LayerKind::moe)) return;
    const MoeConfig& m = c.moe;
    require("moe.activation", m.has_gate(), "swiglu", "relu2");
    require_flag("moe.sigmoid", false, m.sigmoid);
    require("moe.d_latent", m.d_latent == 0, "0", m.d_latent);
    require("moe.routed_scaling_factor", m.routed_scaling_factor == 1.0F, "1",
            m.routed_scaling_factor);
  }

  /// Factors of one.
  void require_no_multipliers(const Config& c) {
    for (const auto& [key, factor] : {std::pair("embedding_multiplier", c.embedding_multiplier),
                                      std::pair("residual_multiplier", c.residual_multiplier),
                                      std::pair("logits_multiplier", c.logits_multiplier)}) {
      require(key, factor == 1.0F, "1", factor);
    }
  }
  void require_usual_scale(const AttentionConfig& a) {
    const float usual = 1.0F / std::sqrt(static_cast<float>(a.head_dim));
    require("attention.softmax_scale", a.softmax_scale == usual,
            concat("1 / sqrt(head_dim ", a.head_dim, ")"), a.softmax_scale);
  }

  [[nodiscard]] const Result<void>& outcome() const noexcept { return outcome_; }

 private:
  std::string_view kind_;
  Result<void> outcome_;
};

/// Has the rows of queries and keys, where RoPE turns them, written interleaved or in halves.
inline void set_qk_order(ExportedTensor& tensor, const Config& config, bool interleaved) {
  const AttentionConfig& a = config.attention;
  if (a.rotary_emb_dim == 0 || a.qk_interleaved == interleaved) return;
  for (const std::string_view part : {".attention.q_proj.", ".attention.k_proj."}) {
    if (tensor.canonical.find(part) == std::string::npos) continue;
    tensor.head_rows = a.head_dim;
    tensor.interleaves = interleaved;
  }
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
