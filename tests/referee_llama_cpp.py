#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""llama.cpp reads what mamba2-convert writes, and says the same: tokens and logits.

  python3 tests/referee_llama_cpp.py BIN

BIN is the folder of the programs. Converts the bundled model to GGUF in several types and lets both
read the same 256 tokens, llama.cpp one by one. From F32 the logits must be the same but for
rounding. From F16, Q8_0 and Q4_0 llama.cpp rounds the activations, too, as mixed weights do in their
way. So the same weights are converted once more, to F32, and from that both must agree as closely as
before. What differs in the other type is rounding of activations, with a bound of its own. Hybrids,
without RoPE and with it, go through a folder of transformers. Exits 0 if all is well, 1 if not, 77
if a package is not there.
"""
import pathlib
import sys
import tempfile

from referees import MODEL, ROOT, convert, logits
from llama_cpp_runs import (
    F16_INPUTS, IDS, Q8_0_INPUTS, SAME, Llama, differ, print_header, same_logits)
from tokenizer_texts import SAMPLES

BOUNDS = {"f32": SAME, "f16": F16_INPUTS, "q8_0": Q8_0_INPUTS, "q4_0": Q8_0_INPUTS}


def check(bin_folder, folder, dtype, bounds):
    path = convert(bin_folder, MODEL, folder / f"{dtype}.gguf", "--type", dtype)
    floats = convert(bin_folder, path, folder / f"{dtype}-as-f32.gguf", "--type", "f32")
    return same_logits(bin_folder, folder, dtype, path, floats, bounds, bounds)


def same_tokens(bin_folder, folder):
    llama = Llama(folder / "f32.gguf")
    good = True
    count = 0
    for text in SAMPLES:
        expected = logits(bin_folder, MODEL, folder / "ours", "--text", text)["ids"].tolist()
        found = llama.tokens(text)
        count += len(expected)
        if found != expected:
            print(f"FAIL tokens of {text!r}: {found}, expected {expected}")
            good = False
    if good:
        print(f"ok   {count} tokens of {len(SAMPLES)} texts are the same")
    return good


def same_hybrids(bin_folder, folder):
    good = True
    for name in ("hybrids/granite_dense", "hybrids_gguf/bamba-q8_0/model.gguf"):
        source = ROOT / "tests/golden" / name
        hybrid = convert(bin_folder, source, folder / "hybrid", "--type", "f32", "--force")
        path = convert(bin_folder, hybrid, folder / "hybrid.gguf", "--type", "f32", "--force")
        with Llama(path) as llama:
            tokens = [token % llama.rows for token in IDS]
            found = llama.logits(tokens)
        ids = ("--ids", ",".join(map(str, tokens)), "--all")
        expected = logits(bin_folder, source, folder / "ours", *ids, "--weights", "fp32", "--kv",
                          "fp32")["logits"]
        difference = differ(found, expected, SAME)
        good &= difference.good
        print(f"{'ok  ' if difference.good else 'FAIL'} {name} {difference}", flush=True)
    return good


def main():
    bin_folder = pathlib.Path(sys.argv[1])
    print_header()
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        good = all([check(bin_folder, folder, *item) for item in BOUNDS.items()])
        good &= same_tokens(bin_folder, folder)
        good &= same_hybrids(bin_folder, folder)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
