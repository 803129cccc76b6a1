#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares mamba2's regular expressions and normalization with those of the Hugging Face
`tokenizers` package.

  python3 tests/referee_regex.py BIN

Splits texts by the patterns of published tokenizers, by every property, and by patterns that show
what the syntax means; folds the case of every letter. Exits 0 if nothing differs, 1 if something
does, 77 if the package is not there. BIN is the folder of the programs.
"""
import pathlib
import random
import struct
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import regex_patterns as patterns
import tokenizer_texts as texts

try:
    from tokenizers import Regex, normalizers, pre_tokenizers
except ImportError:
    print("tokenizers-missing")
    sys.exit(77)

ROOT = pathlib.Path(__file__).resolve().parent.parent


class Driver:
    """mamba2's answers, to a list of questions at once."""

    def __init__(self, program):
        self.program = program

    def ask(self, questions):
        process = subprocess.Popen([self.program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

        def write():
            for kind, text in questions:
                data = kind + text.encode()
                process.stdin.write(struct.pack("<I", len(data)) + data)
            process.stdin.close()

        writer = threading.Thread(target=write)
        writer.start()
        answer = process.stdout.read()
        writer.join()
        if process.wait() != 0:
            sys.exit("the driver failed")
        out, at = [], 0
        while at < len(answer):
            (size,) = struct.unpack_from("<I", answer, at)
            out.append(answer[at + 4:at + 4 + size])
            at += 4 + size
        assert len(out) == len(questions)
        return out


def their_ends(pattern, strings):
    """Where the pieces end, in bytes; nothing if the pattern is refused."""
    try:
        splitter = pre_tokenizers.Split(Regex(pattern), "isolated")
    except Exception:  # the package knows no closer kind
        return None
    out = []
    for text in strings:
        ends = [0]
        for piece, _ in splitter.pre_tokenize_str(text):
            ends.append(ends[-1] + len(piece.encode()))
        out.append(ends[1:])
    return out


def compare(driver, what, cases, refusals=False):
    """Cases are (pattern, texts); `refusals` says whether mamba2 may refuse a pattern."""
    questions = []
    for pattern, strings in cases:
        questions += [(b"P", pattern)]
    refused = driver.ask(questions)
    questions, differences, count, size, only_theirs = [], 0, 0, 0, 0
    for (pattern, strings), why in zip(cases, refused):
        if not why:
            questions += [(b"P", pattern)] + [(b"T", s) for s in strings]
    answers = iter(driver.ask(questions))
    for (pattern, strings), why in zip(cases, refused):
        theirs = their_ends(pattern, strings)
        if why:
            if theirs is not None and not refusals:
                differences += 1
                print(f"    {why.decode()}")
            continue
        next(answers)
        ours = [list(struct.unpack(f"<{len(a) // 4}I", a)) for a in
                (next(answers) for _ in strings)]
        if theirs is None:  # as quantifiers behind groups that hold assertions
            only_theirs += 1
            continue
        count += len(strings)
        size += sum(len(s) for s in strings)
        wrong = [i for i in range(len(strings)) if ours[i] != theirs[i]]
        differences += len(wrong)
        for i in wrong[:2]:
            only = sorted(set(ours[i]) ^ set(theirs[i]))[0]
            around = strings[i].encode()[max(0, only - 12):only + 12]
            print(f"    {pattern!r}: {around!r}: only {'mamba2' if only in ours[i] else 'tokenizers'} "
                  f"cuts at byte {only}")
    print(f"  {what}: {len(cases)} patterns, {sum(1 for r in refused if r)} refused, {only_theirs} by "
          f"tokenizers alone, {count} strings, "
          f"{size} characters, {differences} differences", flush=True)
    return differences


def cases_of_letters():
    """(?i) of each letter that has a case, in a text of all of them."""
    letters = [c for c in texts.scalars() if {c.lower(), c.upper(), c.casefold()} != {c}]
    text = "|".join(letters + ["s", "k", "i\u0307", "ss", "st", "ff", "\u02bcn"])
    return [(f"(?i:{c})", [text]) for c in letters]


def normalize(driver, rng):
    """Lower case and the normalization forms, of every code point and of what is made of marks."""
    strings = [s.decode() for s in
               texts.in_strings(texts.scalars()) + texts.every_mark(rng)] + ["\u0391\u03a3 \u0130I"]
    differences = 0
    for kind, name in ((b"L", "Lowercase"), (b"C", "NFC"), (b"D", "NFD"), (b"c", "NFKC"), (b"d", "NFKD")):
        normalizer = getattr(normalizers, name)()
        theirs = [normalizer.normalize_str(s) for s in strings]
        ours = [a.decode() for a in driver.ask([(kind, s) for s in strings])]
        wrong = [i for i in range(len(strings)) if ours[i] != theirs[i]]
        differences += len(wrong)
        print(f"  {name}: {len(strings)} strings, {sum(map(len, strings))} characters, "
              f"{len(wrong)} differences", flush=True)
        for i in wrong[:3]:
            at = next(k for k in range(len(theirs[i])) if ours[i][k:k + 1] != theirs[i][k])
            print(f"    mamba2 {ours[i][at - 3:at + 4]!a}, tokenizers {theirs[i][at - 3:at + 4]!a}")
    return differences


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    driver = Driver(pathlib.Path(sys.argv[1]) / "referee_regex")
    rng = random.Random(7)
    every = [s.decode() for s in texts.in_strings([f" {c}a{c}1" for c in texts.scalars()], 500)]
    mixed = texts.mixtures(rng, 3000) + texts.code_points(rng, 1500) + texts.SAMPLES
    plain = texts.prose(rng, 100_000) + texts.project_files(ROOT)[:20]
    long = [s[:3000] for s in texts.long_pieces(rng)]  # theirs would take hours
    families = patterns.FAMILIES.values()
    differences = compare(driver, "patterns of tokenizers, texts",
                          [(p, mixed + plain + long) for p in families])
    differences += compare(driver, "patterns of tokenizers, every code point",
                           [(p, every) for p in families])
    differences += compare(driver, "syntax",
                           [(p, [t, *patterns.SHORT]) for p, t in patterns.SYNTAX], refusals=True)
    differences += compare(driver, "random patterns", patterns.random_cases(rng, 20_000), refusals=True)
    differences += compare(driver, "the case of every letter", cases_of_letters(), refusals=True)
    differences += normalize(driver, rng)
    scalars = [s.decode() for s in texts.in_strings(texts.scalars())]
    differences += compare(driver, "properties, every code point",
                           [(p, scalars) for p in patterns.PROPERTIES])
    print(f"{differences} differences in all")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
