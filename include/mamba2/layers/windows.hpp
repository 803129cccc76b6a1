// SPDX-License-Identifier: Apache-2.0
// What the convolutions remember, in the memory of a sequence.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "mamba2/layers/state_layout.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// The windows of the convolutions and, where tokens can be taken back, the inputs that windows may
/// have to go back to.
class Windows {
 public:
  /// memory: of a state of this layout, which must outlive it.
  Windows(std::byte* memory, const StateLayout& layout) : memory_(memory), layout_(layout) {}

  /// (rows, cols), oldest first.
  [[nodiscard]] float* window(const WindowLayout& of, std::size_t index) const noexcept {
    return at(of.offset) + index * of.size();
  }
  /// (cols): the t'th input of all.
  [[nodiscard]] float* past(const WindowLayout& of, std::size_t index,
                            std::uint64_t t) const noexcept {
    const std::size_t rows = of.rows + layout_.options().rewind;
    return at(of.past) + (index * rows + static_cast<std::size_t>(t % rows)) * of.cols;
  }

  /// The windows become those of the first `tokens` tokens.
  void go_back(std::uint64_t tokens) const noexcept {
    each_row([&](float* row, const WindowLayout& of, std::size_t index, std::size_t i) {
      if (i < tokens) {
        std::copy_n(past(of, index, tokens - 1 - i), of.cols, row);
      } else {
        std::fill_n(row, of.cols, 0.0F);
      }
    });
  }
  /// What the windows have after `tokens` tokens can be gone back to.
  void keep(std::uint64_t tokens) const noexcept {
    each_row([&](const float* row, const WindowLayout& of, std::size_t index, std::size_t i) {
      if (i < tokens) std::copy_n(row, of.cols, past(of, index, tokens - 1 - i));
    });
  }

 private:
  [[nodiscard]] float* at(std::size_t offset) const noexcept {
    return reinterpret_cast<float*>(memory_ + offset);
  }
  /// Calls body(row, window, index, i) for the i'th row from the end of each window whose inputs
  /// are kept.
  template <class Body>
  void each_row(Body body) const {
    if (layout_.options().rewind == 0) return;
    for (const WindowLayout* of : {&layout_.conv(), &layout_.qkv_conv(), &layout_.short_conv()}) {
      for (std::size_t index = 0; index < of->layers; ++index) {
        for (std::size_t i = 0; i < of->rows; ++i) {
          body(window(*of, index) + (of->rows - 1 - i) * of->cols, *of, index, i);
        }
      }
    }
  }

  std::byte* memory_;
  const StateLayout& layout_;
};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
