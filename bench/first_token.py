#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How long it takes from starting a program to its first token: mamba2, mamba2 with what it kept of
the start before (--cache), and llama.cpp, in turn.

  pip install llama-cpp-python        # compiles llama.cpp for this CPU, which takes some minutes
  python3 bench/first_token.py --random mamba2-130m --types f16,q8_0
  python3 bench/first_token.py --model a.gguf --model b.gguf --weights mixed,int8 --threads 4

Every measurement is a process of its own; shown are medians, in seconds. Of mamba2 it is the time of
the whole process, mamba2-logits with one token; of llama.cpp that from the call that loads the model
to the logits of the first token, without the start of Python. All read the same GGUF files.

warm     the files have been read before, and are in memory if they fit
cold     the system has been asked to forget the pages of the files
"""
import argparse
import json
import os
import pathlib
import signal
import statistics
import sys
import tempfile
import time

from arguments import whole
from compared_models import (ROOT, check_files, check_packages, model_parser, stop,
                             write_random)
from processes import STOP, run, tell
from vs_report import write

WEIGHTS = ("mixed", "int8", "int4", "fp16", "bf16", "fp32")


def forget(path):
    """Asks the system to forget what it has in memory of a file."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read(path):
    with open(path, "rb") as file:
        while file.read(1 << 24):
            pass


def mamba2(args, path, weights, threads, *options):
    start = time.perf_counter()
    run(args.bin / "mamba2-logits", path, "--ids", 1, "-w", weights, "--threads", threads, "--out",
        os.devnull, *options)
    return time.perf_counter() - start


def llama_cpp(args, path, threads):
    return json.loads(run(sys.executable, ROOT / "bench/llama_cpp_speed.py", path, "--threads",
                          threads, "--first-token"))["first_token_s"]


def measure(args, path, weights, threads, is_cold, scratch):
    """The seconds of each, medians."""
    kept = scratch / "kept"
    mamba2(args, path, weights, threads, "--cache-folder", kept)
    files = [path, *kept.iterdir()]
    ways = {"mamba2": lambda: mamba2(args, path, weights, threads),
            "kept": lambda: mamba2(args, path, weights, threads, "--cache-folder", kept),
            "llama.cpp": lambda: llama_cpp(args, path, threads)}
    found = {name: [] for name in ways}
    for i in range(args.repeat):
        for name, way in ways.items():
            tell(f"{path.name}, {weights}, run {i + 1} of {args.repeat}: {name}")
            for file in files:
                (forget if is_cold else read)(file)
            found[name].append(way())
    tell("")
    for file in kept.iterdir():
        file.unlink()
    return {name: statistics.median(seconds) for name, seconds in found.items()}


def parse():
    parser = model_parser(__doc__)
    parser.add_argument("--weights", type=weights_of, default=["mixed"], metavar="W",
                        help=f"what mamba2 takes the weights as: of {','.join(WEIGHTS)} [mixed]")
    parser.add_argument("--threads", type=whole, default=2, metavar="N",
                        help="threads that work [2]")
    parser.add_argument("--repeat", type=whole, default=5, metavar="N",
                        help="runs of each, in turn [5]")
    return parser.parse_args()


def weights_of(text):
    for name in text.split(","):
        if name not in WEIGHTS:
            raise argparse.ArgumentTypeError(f"must be of {','.join(WEIGHTS)}, found {name!r}")
    return text.split(",")


def check(args):
    """What would fail later."""
    check_packages(["llama_cpp"])
    check_files(args, ["mamba2-logits", "mamba2-convert"], [args.json])


def main():
    args = parse()
    args.bin = args.bin.resolve()
    for number in STOP:
        signal.signal(number, stop)
    check(args)
    rows = []
    with tempfile.TemporaryDirectory(prefix="mamba2-") as folder:
        scratch = pathlib.Path(folder)
        paths = args.model or write_random(args, args.work or scratch, scratch)
        print("| model | weights | pages | mamba2 | mamba2 --cache | llama.cpp |\n"
              "|---|---|---|--:|--:|--:|")
        for path in paths:
            for weights in args.weights:
                for is_cold in (False, True):
                    found = measure(args, path, weights, args.threads, is_cold, scratch)
                    row = {"model": path.stem, "weights": weights, "threads": args.threads,
                           "pages": "cold" if is_cold else "warm", **found}
                    rows.append(row)
                    times = " | ".join(f"{found[name]:.2f}" for name in found)
                    print(f"| {row['model']} | {weights} | {row['pages']} | {times} |", flush=True)
    if args.json:
        text = json.dumps(rows, indent=2) + "\n"
        write(args.json, lambda path: path.write_text(text, encoding="utf-8"))


if __name__ == "__main__":
    main()
