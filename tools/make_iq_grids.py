#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes include/mamba2/formats/iq_grids.hpp with the gguf package:

    python3 tools/make_iq_grids.py > include/mamba2/formats/iq_grids.hpp

GGUF's types IQ1, IQ2 and IQ3 store numbers of rows of a grid: a list of 8 (IQ3: 4) values each,
which somebody has chosen once for all. Here blocks that have every number are decoded by the
package, and the values are counted from the least on: digits. Read as a number, the first digit as
the lowest one, every row is larger than the one before, so that a grid is a list of differences.

Needs the packages in tests/requirements.txt."""

import gguf
import numpy

FIRST, SKIP = 92, 33  # of characters: what is added to a difference, and what the last one stands for
TEXT = 88             # characters to a line


def grid_of(name):
    """Digits (rows, width), and how many there are: by decoding every row once."""
    dtype = gguf.GGMLQuantizationType[name]
    size = gguf.GGML_QUANT_SIZES[dtype][1]
    blocks, width = blocks_of_grid(name, size)
    values = gguf.dequantize(blocks, dtype).reshape(-1, width)
    levels, digits = numpy.unique(numpy.abs(values) if name != "IQ1_S" else values,
                                  return_inverse=True)
    return digits.reshape(-1, width), len(levels)


def blocks_of_grid(name, size):
    """Blocks with the numbers of all rows, one after the other, of the scale 1, with no sign, and
    how many elements a row has."""
    rows = {"IQ2_XXS": 256, "IQ2_XS": 512, "IQ2_S": 1024, "IQ3_XXS": 256, "IQ3_S": 512,
            "IQ1_S": 2048}[name]
    width = 4 if name.startswith("IQ3") else 8
    numbers = numpy.arange(rows).reshape(-1, 256 // width)
    blocks = numpy.zeros((len(numbers), size), dtype=numpy.uint8)
    blocks[:, :2] = numpy.array([1.0], dtype=numpy.float16).view(numpy.uint8)
    for block, some in zip(blocks, numbers):
        if name == "IQ2_XXS":
            for i, number in enumerate(some):
                block[2 + i // 4 * 8 + i % 4] = number
        elif name == "IQ2_XS":
            block[2:66] = some.astype("<u2").view(numpy.uint8)
        elif name == "IQ2_S":
            block[2:34] = some & 255
            for i, number in enumerate(some):
                block[66 + i // 4] |= number >> 8 << 2 * (i % 4)
        elif name == "IQ3_XXS":
            block[2:66] = some
        elif name == "IQ3_S":
            block[2:66] = some & 255
            for i, number in enumerate(some):
                block[66 + i // 8] |= number >> 8 << i % 8
        else:
            block[2:34] = some & 255
            high = numpy.zeros(8, dtype="<u2")
            for i, number in enumerate(some):
                high[i // 4] |= number >> 8 << 3 * (i % 4)
            block[34:50] = high.view(numpy.uint8)
    return blocks, width


def encoded(digits, base):
    numbers = (digits * base ** numpy.arange(digits.shape[1])).sum(axis=1)
    steps = numpy.diff(numbers, prepend=-1)
    assert steps.min() > 0
    return "".join(chr(FIRST + SKIP + 1) * ((step - 1) // SKIP) +
                   chr(FIRST + (step - 1) % SKIP + 1) for step in steps)


def main():
    print("""// SPDX-License-Identifier: Apache-2.0
// The grids of GGUF's types IQ1, IQ2 and IQ3. Made by tools/make_iq_grids.py, which says how.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mamba2/core/platform.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// Rows of digits, of each row the first one first.
template <std::size_t kRows, std::size_t kWidth>
using IqGrid = std::array<std::array<std::uint8_t, kWidth>, kRows>;

/// The grid of a text: read as a number in this base, the first digit the lowest, a row is larger
/// than the one before by what a character says, and by 33 more for each ~ before that.
template <std::size_t kRows, std::size_t kWidth, int kBase>
[[nodiscard]] constexpr IqGrid<kRows, kWidth> iq_grid(std::string_view text) {
  constexpr char kNone = '\\\\';  // in front of the first character of a difference
  constexpr int kSkip = 33;
  IqGrid<kRows, kWidth> grid{};
  int number = -1;
  std::size_t row = 0;
  for (const char c : text) {
    number += c == '~' ? kSkip : c - kNone;
    if (c == '~') continue;
    int rest = number;
    for (std::uint8_t& digit : grid[row]) {
      digit = static_cast<std::uint8_t>(rest % kBase);
      rest /= kBase;
    }
    ++row;
  }
  return grid;
}
""")
    for name in ("IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ1_S"):
        digits, base = grid_of(name)
        text = encoded(digits, base)
        parts = [text[i:i + TEXT] for i in range(0, len(text), TEXT)]
        grid = "IQ1" if name == "IQ1_S" else name
        print(f"inline constexpr auto k{grid}Grid = iq_grid<{len(digits)}, {digits.shape[1]}, "
              f"{base}>(")
        print("\n".join(f'    "{part}"' for part in parts) + ");\n")
    print("""}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2""")


if __name__ == "__main__":
    main()
