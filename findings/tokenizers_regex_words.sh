#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tokenizers 0.23.3 (Oniguruma inside): \w and [\w] are two sets. In Split patterns of
# tokenizer.json files \w matches the superscripts and fractions of ISO 8859-1 (U+00B2, B3, B9, BC,
# BD, BE), [\w] does not; \W and [^\w] differ by the same six, \b goes with \w. So in
#   \w+|[^\w\s]+
# those six characters match either side, and "x½" is one piece where ">½" is one, too.
#
# One would also think that one package knows one Unicode. There are three: the regular expressions
# are of 16.0 (U+10D50, a letter of 16.0, is in \p{L}; U+A7CE, of 17.0, is not), Lowercase is of 17.0
# (U+A7CE becomes U+A7CF), NFC, NFD, NFKC and NFKD are of 9.0 (U+32FF, of 12.1, stays in NFKC).
#
# What helps: two sets for \w; tables of each version, compared over all code points.
# Needs python3 with venv and PyPI. Exit status: 0 as described, 1 not so.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q tokenizers==0.23.3
"$work/venv/bin/python" - <<'END'
import sys
from tokenizers import Regex, normalizers, pre_tokenizers


def cut(pattern, text):
    return [p for p, _ in pre_tokenizers.Split(Regex(pattern), "isolated").pre_tokenize_str(text)]


def members(pattern):
    """The characters of Latin 1 that a pattern matches."""
    kept = pre_tokenizers.Split(Regex(pattern), "removed")
    text = "".join(map(chr, range(0x100)))
    return set(text) - {c for piece, _ in kept.pre_tokenize_str(text) for c in piece}


six = set("\u00b2\u00b3\u00b9\u00bc\u00bd\u00be")
lower, nfkc = normalizers.Lowercase(), normalizers.NFKC()
seen = {
    "\\w without [\\w]": members(r"\w") - members(r"[\w]") == six,
    "[\\w] without \\w": members(r"[\w]") - members(r"\w") == set(),
    "pieces": cut(r"\w+|[^\w\s]+", "x\u00bd >\u00bd") == ["x\u00bd", " ", ">\u00bd"],
    "regular expressions of 16.0": (len(cut(r"\p{L}", "-\U00010d50-")) == 3
                                    and len(cut(r"\p{L}", "-\ua7ce-")) == 1),
    "lower case of 17.0": lower.normalize_str("\ua7ce") == "\ua7cf",
    "NFKC of 9.0": nfkc.normalize_str("\u32ff\u33ff") == "\u32ffgal",
}
for what, so in seen.items():
    print(what, "as described" if so else "NOT SO")
sys.exit(0 if all(seen.values()) else 1)
END
