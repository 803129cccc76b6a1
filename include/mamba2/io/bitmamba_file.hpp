// SPDX-License-Identifier: Apache-2.0
// BitMamba-2's files: header and tensors in a fixed order, without names.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/formats/dtype.hpp"
#include "mamba2/formats/scaled_codes.hpp"
#include "mamba2/io/model_path.hpp"
#include "mamba2/io/printable.hpp"
#include "mamba2/io/tensor_names.hpp"
#include "mamba2/io/tensor_view.hpp"
#include "mamba2/layers/config.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// A file of BitMamba-2, all int32 and float32, little-endian and not aligned:
///
///     magic 0x42495432, vocab_size, d_model, n_layer, nheads, then every tensor as
///       0, number of dimensions, dimensions, values
///       2, rows, cols, scale, codes of TERNARY: rows * cols / 4 bytes
///
/// in the order of parse(). expand is 2 and d_conv 4. Bytes after the last tensor are an error.
struct BitMambaFile {
  Config config;
  TensorTable tensors;  ///< under their canonical names, views into the file

  /// Checks sizes, types and scales; the codes are for load_weights() to check. `name` stands for
  /// the file in messages. Error: malformed.
  [[nodiscard]] static Result<BitMambaFile> parse(std::span<const std::byte> file,
                                                  std::string_view name);
};

namespace detail {

/// A tensor of a file: its name in BitMamba-2's code and here, and whether it is one of codes.
struct BitMambaTensor {
  std::string_view theirs;
  std::string_view ours;
  bool is_ternary = false;
};

/// The tensors of a layer, in their order.
inline constexpr std::array<BitMambaTensor, 9> kBitMambaLayer = {
    {{"in_proj.norm.weight", "norm.weight"},
     {"in_proj.weight", "mixer.in_proj.weight", true},
     {"conv1d.weight", "mixer.conv1d.weight"},
     {"conv1d.bias", "mixer.conv1d.bias"},
     {"dt_bias", "mixer.dt_bias"},
     {"A_log", "mixer.A_log"},
     {"D", "mixer.D"},
     {"out_proj.norm.weight", "mixer.norm.weight"},
     {"out_proj.weight", "mixer.out_proj.weight", true}}};
/// Those after the layers; the embedding comes before.
inline constexpr std::array<BitMambaTensor, 3> kBitMambaEnd = {
    {{"norm_f.weight", "norm_f.weight"},
     {"lm_head.norm.weight", "lm_head.norm.weight"},
     {"lm_head.weight", "lm_head.weight", true}}};

/// The Config of a model of these sizes: in_proj has the rows z, x, B, C, dt, as Mamba-2 has them
/// with a group for each head and one state for each channel.
[[nodiscard]] inline Config bitmamba_config(std::size_t vocab_size, std::size_t d_model,
                                            std::size_t n_layer, std::size_t nheads) {
  constexpr Token kEndOfText = 50256;  // of GPT-2, whose tokens the published models have
  Config c;
  c.vocab_size = vocab_size;
  c.d_model = d_model;
  c.n_layer = n_layer;
  c.d_inner = c.d_ssm = 2 * d_model;
  c.headdim = nheads == 0 ? 0 : c.d_ssm / nheads;
  c.d_state = 1;
  c.ngroups = nheads;
  c.d_conv = 4;
  c.norm_eps = 1e-6F;
  c.D_has_hdim = true;
  c.tie_embeddings = false;
  c.conv_over_x_only = c.norm_ungrouped = c.head_norm = c.bitlinear = true;
  c.eos_token_ids.clear();
  if (vocab_size > std::size_t{kEndOfText}) c.eos_token_ids.push_back(kEndOfText);
  return c;
}

class BitMambaReader {
 public:
  BitMambaReader(std::span<const std::byte> file, std::string_view name)
      : file_(file), name_(name) {}

  Result<BitMambaFile> read() {
    if (!is_bitmamba(file_)) {
      return Error{ErrorCode::malformed,
                   concat(name_, ": expected a file of BitMamba-2, found something else")};
    }
    BitMambaFile parsed;
    parsed.config = read_config();
    if (!failed_) {
      if (const auto valid = parsed.config.validate(); !valid) fail(valid.error().message);
    }
    read_tensors(parsed.config);
    if (!failed_ && at_ != file_.size()) {
      fail(concat("must end after the last tensor, at ", at_, " bytes, found ", file_.size()));
    }
    if (failed_) return error_;
    parsed.tensors = TensorTable(std::move(tensors_));
    return parsed;
  }

 private:
  Config read_config() {
    at_ = sizeof(std::uint32_t);  // the magic
    const std::size_t vocab_size = size("vocab_size");
    const std::size_t d_model = size("d_model");
    const std::size_t n_layer = size("n_layer");
    const std::size_t nheads = size("nheads");
    if (!failed_ && d_model % dtype_block(DType::TERNARY) != 0) {
      fail(concat("d_model must be a multiple of 4, found ", d_model));
    }
    if (!failed_ && 2 * d_model % nheads != 0) {
      fail(concat("nheads must be a divisor of 2 * d_model ", 2 * d_model, ", found ", nheads));
    }
    return bitmamba_config(vocab_size, d_model, n_layer, nheads);
  }

  void read_tensors(const Config& c) {
    read_tensor({"embed.weight", "embedding.weight"}, "", c);
    for (std::size_t i = 0; i < c.n_layer && !failed_; ++i) {
      for (const BitMambaTensor& t : kBitMambaLayer) read_tensor(t, concat("layers.", i, "."), c);
    }
    for (const BitMambaTensor& t : kBitMambaEnd) read_tensor(t, "", c);
  }

  void read_tensor(const BitMambaTensor& tensor, std::string_view prefix, const Config& config) {
    if (failed_) return;
    TensorView view;
    view.name = concat(prefix, tensor.ours);
    view.file = name_;
    // Of layer 0: all are alike, and the name of a layer far beyond costs nothing more.
    const std::string like = prefix.empty() ? view.name : concat("layers.0.", tensor.ours);
    view.shape = expected_tensor(config, like)->shape;
    tensor_ = concat("tensor ", in_quotes(concat(prefix, tensor.theirs)), ": ");
    if (tensor.is_ternary) {
      read_codes(view);
    } else {
      read_values(view);
    }
    tensor_.clear();
    if (!failed_) tensors_.push_back(std::move(view));
  }

  void read_values(TensorView& view) {
    expect("type", 0);
    expect("number of dimensions", view.shape.size());
    for (const std::size_t size : view.shape) expect("dimension", size);
    view.data = take(elements(view) * sizeof(float));
  }

  void read_codes(TensorView& view) {
    view.dtype = DType::TERNARY;
    expect("type", 2);
    expect("rows", view.shape[0]);
    expect("cols", view.shape[1]);
    view.scales = take(sizeof(float));
    if (!failed_ && find_bad_scale(view.dtype, view.scales)) {
      fail(concat("scale must be ", expected_scale(view.dtype), ", found ",
                  read_scale(view.dtype, view.scales.data(), 0)));
    }
    view.data = take(elements(view) / dtype_block(view.dtype));
  }

  [[nodiscard]] static std::size_t elements(const TensorView& view) {
    std::size_t product = 1;
    for (const std::size_t n : view.shape) product *= n;  // fits: see Config::validate()
    return product;
  }

  /// The next bytes.
  std::span<const std::byte> take(std::size_t count) {
    if (failed_) return {};
    if (count > file_.size() - at_) {
      fail(concat("the file must have ", count, " bytes more at ", at_, ", found ",
                  file_.size() - at_));
      return {};
    }
    at_ += count;
    return file_.subspan(at_ - count, count);
  }

  [[nodiscard]] std::int32_t integer() {
    std::int32_t value = 0;
    const auto bytes = take(sizeof value);
    if (!bytes.empty()) std::memcpy(&value, bytes.data(), sizeof value);
    return value;
  }
  void expect(std::string_view what, std::size_t expected) {
    const std::int32_t found = integer();
    if (failed_ || std::int64_t{found} == static_cast<std::int64_t>(expected)) return;
    fail(concat(what, " must be ", expected, ", found ", found));
  }
  [[nodiscard]] std::size_t size(std::string_view what) {
    const std::int32_t found = integer();
    if (!failed_ && found < 1) fail(concat(what, " must be at least 1, found ", found));
    return static_cast<std::size_t>(std::max(found, 1));
  }

  void fail(std::string_view reason) {
    if (failed_) return;
    failed_ = true;
    error_ = {ErrorCode::malformed, concat(name_, ": ", tensor_, reason)};
  }

  std::span<const std::byte> file_;
  std::string name_;
  std::size_t at_ = 0;
  std::string tensor_;  // what is read, for messages
  std::vector<TensorView> tensors_;
  bool failed_ = false;
  Error error_{};
};

}  // namespace detail

inline Result<BitMambaFile> BitMambaFile::parse(std::span<const std::byte> file,
                                                std::string_view name) {
  return detail::BitMambaReader(file, name).read();
}

}  // namespace MAMBA2_ISA
}  // namespace mamba2
