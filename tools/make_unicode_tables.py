#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes include/mamba2/tokenizer/unicode_tables.hpp.

  python3 tools/make_unicode_tables.py > include/mamba2/tokenizer/unicode_tables.hpp

Vocabularies are trained with the `tokenizers` package, so the tables are those that it uses: letters
and numbers of Unicode 16.0 (its regular expressions), normalization of 9.0 (its normalizers), which
follows from 16.0: nothing that a character has as its decomposition or combining class ever changes,
so characters that came later are left out. Needs unicodedataplus==16.0.0.
"""
import sys

import unicodedataplus as unicodedata
from make_unicode_properties import literal, mapping, number

UNICODE = "16.0.0"
SCALARS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]

WHITE_SPACE = {*range(0x09, 0x0E), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029,
               0x202F, 0x205F, 0x3000}  # the property White_Space, which unicodedata does not know


def is_newer(c):
    """Whether the character came after Unicode 9.0."""
    age = unicodedata.age(chr(c))
    return age != "Unassigned" and float(age) > 9


def char_class(c):
    if c in WHITE_SPACE:
        return 3
    return {"L": 1, "N": 2}.get(unicodedata.category(chr(c))[0], 0)


def changes(value_of, bits):
    """(first code point << bits | value) wherever the value differs from the one before."""
    out, last = [0], 0
    for c in SCALARS:
        if (value := value_of(c)) != last:
            out.append(c << bits | value)
            last = value
    return out


def array(kind, name, values, fmt, comment):
    print(f"\n{comment}\ninline constexpr {kind} {name}[] = {{")
    line = ""
    for text in (fmt(v) + "," for v in values):
        if len(line) + len(text) > 99:
            print(line)
            line = ""
        line += text
    print(line + "};")


def main():
    if unicodedata.unidata_version != UNICODE:
        sys.exit(f"unicodedata is of Unicode {unicodedata.unidata_version}, expected {UNICODE}")
    newer = {c for c in SCALARS if is_newer(c)}

    def combining(c):
        return 0 if c in newer else unicodedata.combining(chr(c))

    decompositions = {}
    for c in SCALARS:
        parts = unicodedata.decomposition(chr(c)).split()
        if parts and not parts[0].startswith("<") and c not in newer:
            decompositions[c] = [int(p, 16) for p in parts]
    # What NFC composes: pairs that are not excluded, which shows in that NFC keeps the character.
    composed = {c: pair for c, pair in decompositions.items()
                if len(pair) == 2 and unicodedata.normalize("NFC", chr(c)) == chr(c)}
    order = sorted(composed, key=composed.get)
    index = {c: i for i, c in enumerate(decompositions)}

    # Not a boundary: may change, or combine with what stands before it.
    seconds = {pair[1] for pair in composed.values()}
    seconds |= set(range(0x1161, 0x1176)) | set(range(0x11A8, 0x11C3))  # Hangul vowels, finals
    joined = {c for c in SCALARS if combining(c) or c in seconds or
              c in decompositions and unicodedata.normalize("NFC", chr(c)) != chr(c)}

    print("""// SPDX-License-Identifier: Apache-2.0
// Unicode properties for unicode.hpp, written by tools/make_unicode_tables.py: categories of
// Unicode 16.0.0, normalization of Unicode 9.0.0 (the versions of the `tokenizers` package).
#pragma once

#include <cstdint>

#include "mamba2/core/platform.hpp"

// clang-format off
namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {""")
    array("std::uint32_t", "kClassChanges", changes(char_class, 2), "{:#x}".format,
          "/// Code point << 2 | CharClass, where the class differs from that of the code point before.")
    array("std::uint32_t", "kCombiningChanges", changes(combining, 8), "{:#x}".format,
          "/// Code point << 8 | canonical combining class, where it differs from the one before.")
    array("std::uint32_t", "kJoinedChanges", changes(lambda c: c in joined, 1), "{:#x}".format,
          "/// Code point << 1 | 1 where NFC may change a character or join it to the one before it.")
    print("\nstruct Decomposition {\n  char32_t code_point, first, second;\n};")
    array("Decomposition", "kDecompositions",
          [(c, pair[0], pair[1] if len(pair) == 2 else 0) for c, pair in decompositions.items()],
          lambda t: "{{{:#x},{:#x},{:#x}}}".format(*t).replace("0x0}", "0}"),
          "/// Canonical decompositions but Hangul's, one step, by code point; second is 0 if there is none.")
    array("std::uint16_t", "kCompositions", [index[c] for c in order], str,
          "/// Indices into kDecompositions: the pairs that NFC composes, ordered by first, then second.")
    compatible = {c: [ord(x) for x in unicodedata.normalize("NFKD", chr(c))] for c in SCALARS
                  if unicodedata.decomposition(chr(c)).startswith("<") and c not in newer}
    literal("kCompatibilityRuns", mapping({c: p[0] for c, p in compatible.items() if len(p) == 1}),
            "/// Compatibility decompositions to one character: stretches, as property_tables.hpp's kFoldRuns.")
    last, text = 0, ""
    for c, parts in compatible.items():
        if len(parts) > 1:
            text += number(c - last) + number(len(parts)) + "".join(number(p) for p in parts)
            last = c
    literal("kCompatibilityTexts", text,
            "/// The others, as deep as they go: code point (its distance from the one before), how many, which.")
    print("\n}  // namespace detail\n}  // namespace MAMBA2_ISA\n}  // namespace mamba2\n// clang-format on")


if __name__ == "__main__":
    main()
