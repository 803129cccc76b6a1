#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times mamba2's tokenizer and the Hugging Face `tokenizers` package on a text, one thread each.

  python3 bench/tokenizer_speed.py TEXT... [--tokenizer tokenizer.json]
                                           [--driver build/release/bin/referee_tokenizer]

Encodes each file as one long text, and its lines one by one: MB/s, the best of the passes that fit
into about two seconds. Without the package only mamba2 is timed.
"""
import argparse
import os
import pathlib
import struct
import subprocess
import sys
import time

os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
try:
    from tokenizers import Tokenizer
except ImportError:
    Tokenizer = None

ROOT = pathlib.Path(__file__).resolve().parent.parent


def time_mamba2(driver, tokenizer, texts):
    data = b"".join(struct.pack("<I", len(t)) + t for t in texts)
    answer = subprocess.run([driver, tokenizer, "time"], input=data, check=True,
                            stdout=subprocess.PIPE).stdout
    load_ms, seconds, tokens = answer.split()
    return float(load_ms), float(seconds), int(tokens)


def time_package(tokenizer, texts):
    start = time.perf_counter()
    package = Tokenizer.from_file(str(tokenizer))
    load_ms = 1e3 * (time.perf_counter() - start)
    strings = [t.decode("utf-8", "replace") for t in texts]
    best, begin = float("inf"), time.perf_counter()
    while True:
        start = time.perf_counter()
        tokens = sum(len(package.encode(s)) for s in strings)
        best = min(best, time.perf_counter() - start)
        if time.perf_counter() - begin > 2:
            return load_ms, best, tokens


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", nargs="+", type=pathlib.Path)
    parser.add_argument("--tokenizer",
                        default=ROOT / "examples/models/llama-tales-14m/tokenizer.json")
    parser.add_argument("--driver", default=ROOT / "build/release/bin/referee_tokenizer")
    args = parser.parse_args()
    for path in args.text:
        data = path.read_bytes()
        for what, texts in (("one text", [data]), ("lines", data.splitlines())):
            size = sum(map(len, texts))
            timed = {"mamba2": time_mamba2(args.driver, args.tokenizer, texts)}
            if Tokenizer:
                timed["tokenizers"] = time_package(args.tokenizer, texts)
            for name, (load_ms, seconds, tokens) in timed.items():
                print(f"{path.name}, {what}: {name}: {size / seconds / 1e6:.1f} MB/s, "
                      f"{tokens / seconds / 1e6:.2f} M tokens/s ({size} bytes, {tokens} tokens), "
                      f"loaded in {load_ms:.0f} ms")


if __name__ == "__main__":
    try:
        main()
    except OSError as error:  # a text or the driver that is not there
        sys.exit(f"tokenizer_speed.py: {error.filename}: {error.strerror}")
