#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes include/mamba2/tokenizer/unicode_tables.hpp.

  python3 tools/make_unicode_tables.py > include/mamba2/tokenizer/unicode_tables.hpp

Vocabularies are trained with the `tokenizers` package, so the tables are those that it uses, which
are of two Unicode versions: general categories of 16.0 (its regular expressions) and NFC of 9.0
(its normalizer). Stability policies make 9.0 derivable from 16.0: nothing that a character has as
its decomposition or combining class ever changes, so characters that came later are left out.
Needs a `unicodedata` of Unicode 16.0.0: Python 3.14's, or the package unicodedata2==16.0.0.
"""
import sys

try:
    import unicodedata2 as unicodedata
except ImportError:
    import unicodedata

UNICODE = "16.0.0"
SCALARS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]

# Characters with a combining class or a canonical decomposition that Unicode 10.0 to 16.0 added.
AFTER_9 = """
07FD 0897-089F 08CA-08D3 09FE 0C3C 0D3B-0D3C 0EBA 1715 1ABF-1ACE 1DF6-1DFA A82C 105C9 105E4
10D24-10D27 10D69-10D6D 10EAB-10EAC 10EFD-10EFF 10F46-10F50 10F82-10F85 11070 1133B 11383 11385
1138E 11391 113C5 113C7-113C8 113CE-113D0 1145E 11839-1183A 11938 1193D-1193E 11943 119E0 11A34
11A47 11A99 11D42 11D44-11D45 11D97 11F41-11F42 16121-16128 1612F 16D68-16D6A 16FF0-16FF1 1E08F
1E130-1E136 1E2AE 1E2EC-1E2EF 1E4EC-1E4EF 1E5EE-1E5EF
"""

WHITE_SPACE = {*range(0x09, 0x0E), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029,
               0x202F, 0x205F, 0x3000}  # the property White_Space, which unicodedata does not know


def after_9():
    for part in AFTER_9.split():
        first, _, last = part.partition("-")
        yield from range(int(first, 16), int(last or first, 16) + 1)


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
    newer = set(after_9())

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
    print("\n}  // namespace detail\n}  // namespace MAMBA2_ISA\n}  // namespace mamba2\n// clang-format on")


if __name__ == "__main__":
    main()
