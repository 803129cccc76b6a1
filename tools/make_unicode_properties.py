#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes include/mamba2/unicode/property_tables.hpp.

  python3 tools/make_unicode_properties.py > include/mamba2/unicode/property_tables.hpp

The tables are those of the `tokenizers` package, in which three versions of Unicode meet: 16.0 in
its regular expressions (categories, scripts, case folding), 17.0 in its lower-casing, 9.0 in its
normalization (tools/make_unicode_tables.py). tests/referee_regex.py compares them over all code
points. Needs unicodedataplus==16.0.0; lower-casing and folding come from Python's own str.lower()
and str.casefold(), with the pairs of letters that are newer listed here.
"""
import sys

import unicodedataplus as unicodedata

UNICODE = "16.0.0"
CODES = range(0x110000)

CATEGORIES = ["Cc", "Cf", "Cn", "Co", "Cs", "Ll", "Lm", "Lo", "Lt", "Lu", "Mc", "Me", "Mn", "Nd", "Nl",
              "No", "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "Sc", "Sk", "Sm", "So", "Zl", "Zp", "Zs"]
SCRIPTS = ["Arabic", "Armenian", "Bengali", "Bopomofo", "Common", "Cyrillic", "Devanagari", "Ethiopic",
           "Georgian", "Greek", "Gujarati", "Gurmukhi", "Han", "Hangul", "Hebrew", "Hiragana",
           "Inherited", "Kannada", "Katakana", "Khmer", "Lao", "Latin", "Malayalam", "Mongolian",
           "Myanmar", "Oriya", "Sinhala", "Tamil", "Telugu", "Thai", "Tibetan"]

# Upper and lower case letters that came after Unicode 14.0.
SINCE_16 = [(0x1C89, 0x1C8A), (0xA7CB, 0x264), (0xA7CC, 0xA7CD), (0xA7DA, 0xA7DB), (0xA7DC, 0x19B),
            *((c, c + 0x20) for c in range(0x10D50, 0x10D66))]
SINCE_17 = [(0xA7CE, 0xA7CF), (0xA7D2, 0xA7D3), (0xA7D4, 0xA7D5),
            *((c, c + 0x1B) for c in range(0x16EA0, 0x16EB9))]
# Simple foldings of which Python, which folds fully, tells nothing.
SIMPLE = {0x1FD3: 0x390, 0x1FE3: 0x3B0, 0xFB05: 0xFB06}


def number(value):
    """Five bits a character, lowest first; all but the last have 32 added."""
    out = ""
    while value >= 32:
        out += chr(35 + 32 + (value & 31))
        value >>= 5
    return out + chr(35 + value)


def signed(value):
    return number(2 * value if value >= 0 else -2 * value - 1)


def runs(value_of):
    """(length, value) of all stretches of equal value."""
    out = []
    for c in CODES:
        value = value_of(c)
        if out and out[-1][1] == value:
            out[-1][0] += 1
        else:
            out.append([1, value])
    return out


def mapping(pairs):
    """Stretches of characters one or two apart that are mapped by the same distance."""
    out, last = "", 0
    items = sorted(pairs.items())
    i = 0
    while i < len(items):
        first, delta = items[i][0], items[i][1] - items[i][0]
        best = (1, 1)
        for step in (1, 2):
            n = 1
            while i + n < len(items) and items[i + n] == (first + n * step, first + n * step + delta):
                n += 1
            best = max(best, (n, step))
        count, step = best
        out += number(first - last) + number(2 * (count - 1) + step - 1) + signed(delta)
        last = first
        i += count
    return out


def literal(name, text, comment):
    print(f"\n{comment}\ninline constexpr char {name}[] =")
    line = ""
    for c in text:
        piece = "\\" + c if c in "\\\"?" else c
        if len(line) + len(piece) > 94:
            print(f'"{line}"')
            line = ""
        line += piece
    print(f'"{line}";')


def names(name, values, comment):
    print(f"\n{comment}\ninline constexpr const char* {name}[] = {{")
    print(",".join(f'"{v}"' for v in values) + "};")


def main():
    if unicodedata.unidata_version != UNICODE:
        sys.exit(f"unicodedataplus is of Unicode {unicodedata.unidata_version}, expected {UNICODE}")
    fold, full, lower = dict(SINCE_16), {}, dict(SINCE_16 + SINCE_17)
    for c in CODES:
        if 0xD800 <= c <= 0xDFFF:
            continue
        folded, low = chr(c).casefold(), chr(c).lower()
        if len(folded) > 1:
            full[c] = [ord(x) for x in folded]
            if len(low) == 1 and low != chr(c):
                fold[c] = ord(low)
        elif folded != chr(c):
            fold[c] = ord(folded)
        if len(low) == 1 and low != chr(c):
            lower[c] = ord(low)
    fold.update(SIMPLE)

    print("""// SPDX-License-Identifier: Apache-2.0
// Unicode properties for properties.hpp and case.hpp, written by tools/make_unicode_properties.py:
// categories, scripts and case folding of Unicode 16.0.0, lower case of 17.0.0. Numbers are packed
// into text as packed.hpp reads it: a compiler reads that at once.
#pragma once

#include "mamba2/core/platform.hpp"

// clang-format off
namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {""")
    names("kCategoryNames", CATEGORIES, "/// General categories, by the numbers used below.")
    literal("kCategoryRuns", "".join(number(n) + number(v) for n, v in runs(
        lambda c: CATEGORIES.index(unicodedata.category(chr(c))))),
        "/// Length and category of all stretches of code points, from 0 to 0x10FFFF.")
    names("kScriptNames", SCRIPTS, "/// Scripts, by the numbers used below.")
    index = {s: i + 1 for i, s in enumerate(SCRIPTS)}
    literal("kScriptRuns", "".join(number(n) + number(v) for n, v in runs(
        lambda c: index.get(unicodedata.script(chr(c)), 0))),
        "/// Length and 1 + script (0: another one) of all stretches, as above.")
    literal("kFoldRuns", mapping(fold),
            "/// Simple case folding: stretches of first code point (its distance from the one before),\n"
            "/// 2 (count - 1) + (distance between the characters) - 1, and the signed distance to what they\n"
            "/// fold to.")
    last, text = 0, ""
    for c, parts in full.items():
        text += number(c - last) + number(len(parts)) + "".join(number(p) for p in parts)
        last = c
    literal("kFullFolds", text,
            "/// Foldings to several characters: code point (its distance from the one before), how many, which.")
    literal("kLowerRuns", mapping(lower), "/// Lower case, but for U+0130's two characters; as kFoldRuns.")
    print("\n}  // namespace detail\n}  // namespace MAMBA2_ISA\n}  // namespace mamba2\n// clang-format on")


if __name__ == "__main__":
    main()
