#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Instructions that decoding one token takes on AArch64, and for what.

  python3 bench/arm_instructions.py

QEMU executes a model of random weights, compiled for -mcpu=cortex-a76, and a plugin counts,
exactly: a 16th of the difference of two runs that differ by the 16 tokens of a chunk. By the debug
information each instruction counts for the part of the library that it was inlined from. The rest
is all but the two that stream from memory, the products (weights) and the scan (states): what takes
no bytes should take no time. More than 10 % of rest is a failure.

Needs g++, g++-aarch64-linux-gnu and qemu-user (not qemu-user-static, which has no plugins).
Exit status: 0 done, 1 too much rest, or something failed, 2 wrong usage.
"""
import argparse
import collections
import pathlib
import re
import sys
import tempfile

from arm_tools import ROOT, cross_compiler, run

KINDS = [("fp32", "fp32"), ("fp16", "fp32"), ("bf16", "fp32"), ("int8", "fp32"), ("int4", "fp32"),
         ("int8", "fp16"), ("int4", "fp16")]
REST = 0.10  # at most, of all instructions

# The part of an instruction is the first here with the source file of a function that it was
# inlined into, or else the first with such a function's name.
FILES = [("scan", r"kernels/ssd\.hpp"),
         ("products", r"kernels/(neon\w*/\w+|tiles)\.hpp"),
         ("convolution", r"kernels/conv1d\.hpp"),
         ("rotation", r"kernels/hadamard\.hpp"),
         ("quantization", r"kernels/quantize\.hpp|linear/coded_inputs\.hpp"),
         ("norms and gates", r"kernels/rms_norm\.hpp")]
FUNCTIONS = [("products", r"\btile\b|add_column"), ("scan", r"Mamba2Scan|scan_single"),
             ("step sizes", "step_sizes"), ("quantization", "prepare|int8_scale|int8_codes"),
             ("rotation", "hadamard"),
             ("norms and gates", r"kernels::(scale|gate|add|sum_of_squares)\b")]


def part_of(frames):
    """frames: (function, file) from the innermost one outwards."""
    for parts, text in ((FILES, lambda frame: frame[1]), (FUNCTIONS, lambda frame: frame[0])):
        for name, pattern in parts:
            if any(re.search(pattern, text(frame)) for frame in frames):
                return name
    return "other"


def frames_of(program, addresses):
    """What was inlined into what at each address."""
    listing = run("aarch64-linux-gnu-addr2line", "-a", "-i", "-f", "-C", "-e", program,
                  input="\n".join(map(hex, addresses)) + "\n").splitlines()
    frames = {}
    i = 0
    while i < len(listing):
        if listing[i].startswith("0x"):
            current = frames.setdefault(int(listing[i], 16), [])
            i += 1
        else:
            current.append((listing[i], listing[i + 1]))
            i += 2
    return frames


def counts(program, plugin, model, kind, tokens, folder):
    """How often each instruction is executed."""
    out = folder / "counts"
    run("qemu-aarch64", "-cpu", "cortex-a76", "-plugin", f"{plugin},out={out}", program,
        f"mamba2-{model}", *kind, tokens)
    executed = collections.Counter()
    for line in out.read_text(encoding="ascii").splitlines():
        address, instructions, count = line.split()
        for i in range(int(instructions)):
            executed[int(address, 16) + 4 * i] += int(count)
    return executed


def a_token(program, plugin, model, kind, folder):
    """Instructions of each part for one token."""
    first, second = 2, 18
    executed = counts(program, plugin, model, kind, second, folder)
    executed.subtract(counts(program, plugin, model, kind, first, folder))
    executed = {address: count for address, count in executed.items() if count != 0}
    parts = collections.Counter()
    for address, frames in frames_of(program, sorted(executed)).items():
        parts[part_of(frames)] += executed[address] / (second - first)
    return parts


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="130m", choices=["130m", "370m", "780m"],
                        help="default: %(default)s, of which the rest has the largest share")
    arguments = parser.parse_args()
    sources = ROOT / "bench/arm/instructions"
    failed = False
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        plugin, program = folder / "plugin.so", folder / "arm-decode"
        run("g++", "-std=c++20", "-O2", "-fPIC", "-shared", sources / "plugin.cpp", "-o", plugin)
        run(*cross_compiler(), "-std=c++20", "-O3", "-g1", "-DNDEBUG", "-mcpu=cortex-a76",
            f"-I{ROOT}", f"-I{ROOT}/include", "-static", sources / "decode.cpp", "-o", program)
        for kind in KINDS:
            parts = a_token(program, plugin, arguments.model, kind, folder)
            total = sum(parts.values())
            rest = 1 - (parts["products"] + parts["scan"]) / total
            failed |= rest > REST
            print(f"{arguments.model} {kind[0]}, state {kind[1]}: {total / 1e6:.1f} million; rest "
                  f"{100 * rest:.1f} %{'  FAILED' if rest > REST else ''}")
            print("    " + ", ".join(f"{part} {count / 1e6:.2f}"
                                     for part, count in parts.most_common()))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
