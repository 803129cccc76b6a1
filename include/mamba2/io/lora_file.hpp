// SPDX-License-Identifier: Apache-2.0
// Adapters of BitMamba-2: its .lora.bin files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/io/printable.hpp"
#include "mamba2/io/tensor_view.hpp"
#include "mamba2/layers/config.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// A file of an adapter, all little-endian and not aligned:
///
///     u32 magic 0x4C4F5232, version 1, rank; f32 alpha; u32 n_layer, targets 2; then of each layer
///       first of in_proj (0), then of out_proj (1):
///       u32 layer, target, rows, cols, rank; f32 A (rank, cols), B (rows, rank)
///
/// y += alpha / rank * B (A x).
struct LoraFile {
  Config config;  ///< the model's, with the adapter
  std::vector<TensorView> tensors;

  /// config: of the model that it is for. Errors: malformed; unsupported (another version);
  /// mismatch, for other sizes than the model's.
  [[nodiscard]] static Result<LoraFile> parse(std::span<const std::byte> file,
                                              std::string_view name, const Config& config);
};

namespace detail {

class LoraReader {
 public:
  LoraReader(std::span<const std::byte> file, std::string_view name, const Config& config)
      : file_(file), name_(name) {
    lora_.config = config;
  }

  Result<LoraFile> read() {
    Config& c = lora_.config;
    constexpr std::uint32_t kMagic = 0x4C4F5232;
    if (integer() != kMagic) fail("expected an adapter of BitMamba-2, found something else");
    expect("version", 1, ErrorCode::unsupported);
    c.lora_rank = integer();
    const auto alpha = number<float>();
    c.lora_scale = alpha / static_cast<float>(c.lora_rank);
    if (c.is_hybrid()) fail("expected a model of Mamba-2 layers alone", ErrorCode::mismatch);
    expect("layers", c.n_layer, ErrorCode::mismatch);
    expect("targets", 2, ErrorCode::unsupported);
    if (c.lora_rank == 0) fail("rank must be at least 1, found 0");
    if (const auto valid = c.validate(); !valid) fail(valid.error().message);
    for (std::size_t i = 0; i < c.n_layer && !failed_; ++i) {
      matrix(i, 0, "in_proj", c.d_in_proj(), c.d_model);
      matrix(i, 1, "out_proj", c.d_model, c.d_inner);
    }
    if (!failed_ && at_ != file_.size()) {
      fail(concat("must end after the last adapter, at ", at_, " bytes, found ", file_.size()));
    }
    if (failed_) return error_;
    return std::move(lora_);
  }

 private:
  void matrix(std::size_t layer, std::size_t target, std::string_view name, std::size_t rows,
              std::size_t cols) {
    const std::size_t rank = lora_.config.lora_rank;
    const std::string prefix = concat("layers.", layer, ".mixer.", name, ".lora_");
    where_ = concat("tensor ", in_quotes(concat("layers.", layer, ".", name)), ": ");
    expect("layer", layer, ErrorCode::malformed);
    expect("target", target, ErrorCode::malformed);
    expect("rows", rows, ErrorCode::mismatch);
    expect("cols", cols, ErrorCode::mismatch);
    expect("rank", rank, ErrorCode::malformed);
    add(prefix + "A", rank, cols);
    add(prefix + "B", rows, rank);
    where_.clear();
  }

  void add(std::string name, std::size_t rows, std::size_t cols) {
    TensorView view;
    view.name = std::move(name);
    view.file = name_;
    view.shape = {rows, cols};
    view.data = take(rows * cols * sizeof(float));
    if (!failed_) lora_.tensors.push_back(std::move(view));
  }

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
  template <class Number>
  [[nodiscard]] Number number() {
    Number value{};
    const auto bytes = take(sizeof value);
    if (!bytes.empty()) std::memcpy(&value, bytes.data(), sizeof value);
    return value;
  }
  [[nodiscard]] std::uint32_t integer() { return number<std::uint32_t>(); }
  void expect(std::string_view what, std::size_t expected, ErrorCode code) {
    const std::uint32_t found = integer();
    if (!failed_ && found != expected) {
      fail(concat(what, " must be ", expected, ", found ", found), code);
    }
  }
  void fail(std::string_view reason, ErrorCode code = ErrorCode::malformed) {
    if (failed_) return;
    failed_ = true;
    error_ = {code, concat(name_, ": ", where_, reason)};
  }

  std::span<const std::byte> file_;
  std::string name_;
  std::string where_;  // for messages
  std::size_t at_ = 0;
  LoraFile lora_;
  bool failed_ = false;
  Error error_{};
};

}  // namespace detail

inline Result<LoraFile> LoraFile::parse(std::span<const std::byte> file, std::string_view name,
                                        const Config& config) {
  return detail::LoraReader(file, name, config).read();
}

}  // namespace MAMBA2_ISA
}  // namespace mamba2
