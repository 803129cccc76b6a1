#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How many cycles the inner loops take on a Cortex-A76, without having one.

  python3 bench/arm_pipeline.py             all loops, budgets, and what they mean in tokens/s
  python3 bench/arm_pipeline.py int8 scan_  loops whose names begin so

bench/arm/ has each loop of the library as a function. They are compiled for -mcpu=cortex-a76; QEMU
runs each once, at a size as models have it, and writes down every instruction that it executes
(whole calls: outer loops, scales, the ends of bands); llvm-mca 19 says how many cycles a Neoverse
N1, the sibling of the A76 that LLVM has a model of, takes for them. The A76 decodes four
instructions in a cycle, which that model does not know: cycles are never fewer than a quarter of
the instructions. Neither knows of caches and memory; all data are in L1.

A loop that falls behind its budget (bench/arm_loops.py) is a failure. Needs
g++-aarch64-linux-gnu, qemu-user-static and llvm-19, and the headers that mamba2 needs.
Exit status: 0 all budgets are kept, 1 one is not, or something failed, 2 wrong usage.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import sys
import tempfile

from arguments import positive
from arm_loops import LOOPS, PER_CYCLE, UNITS
from arm_models import predictions
from arm_tools import ROOT, cross_compiler, run

SOURCES = sorted((ROOT / "bench/arm").glob("*.cpp"))
DECODED = 4  # instructions a cycle
PIPES = {"N1UnitB": "branch", "N1UnitD": "store data", "N1UnitI": "integer", "N1UnitS": "integer",
         "N1UnitM": "multi-cycle integer", "N1UnitL": "load", "N1UnitV0": "V0", "N1UnitV1": "V1"}


def compile_loops(folder, flags):
    """The program with all loops."""
    cxx = cross_compiler()

    def compile_one(source):
        to = folder / f"{source.stem}.o"
        run(*cxx, "-std=c++20", "-DNDEBUG", *flags, f"-I{ROOT}", f"-I{ROOT}/include", "-c", source,
            "-o", to)
        return to

    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        objects = list(pool.map(compile_one, SOURCES))
    program = folder / "arm-loops"
    run(*cxx[-1:], "-static", *objects, "-o", program)
    return program


class Disassembly:
    """The instructions of a program by address, as llvm-mca takes them."""

    def __init__(self, program):
        self.text = {}
        self.functions = {}
        for line in run("aarch64-linux-gnu-objdump", "-d", "--no-show-raw-insn",
                        program).splitlines():
            if function := re.match(r"([0-9a-f]+) <(.*)>:", line):
                name = function[2]
                self.functions[name] = int(function[1], 16)
            elif code := re.match(r" *([0-9a-f]+):\t(.*)", line):
                self.text[int(code[1], 16)] = self.for_mca(code[2])
                self.functions_end = int(code[1], 16)

    @staticmethod
    def for_mca(code):
        """Where a jump goes to does not matter; calls and returns are jumps."""
        code = re.sub(r"\s*//.*", "", code)
        code = re.sub(r"\b[0-9a-f]+ <[^>]*>$", "#0", code)
        code = re.sub(r"^bl\t", "b\t", code)
        code = re.sub(r"^blr\t", "br\t", code)
        return "br\tx30" if code == "ret" else code

    def end_of(self, name):
        begin = self.functions[name]
        return min(at for at in [*self.functions.values(), self.functions_end] if at > begin)


def trace(program, code, loop, folder):
    """The instructions that one call of a loop executes, and the bytes of its weights."""
    qemu = shutil.which("qemu-aarch64-static") or "qemu-aarch64"
    log = folder / f"{loop.name}.{loop.tokens}.trace"
    size = run(qemu, "-cpu", "cortex-a76", "-singlestep", "-d", "exec,nochain", "-D", log, program,
               loop.name, loop.rows, loop.cols, loop.tokens)
    begin, main = code.functions["traced"], code.functions["main"]
    main_end = code.end_of("main")
    instructions = []
    inside = False
    with open(log, encoding="ascii", errors="replace") as lines:
        for line in lines:
            if not line.startswith("Trace"):
                continue
            at = int(line.split("/")[1], 16)
            inside = at == begin or inside and not main <= at < main_end
            if inside:
                instructions.append(code.text[at])
    log.unlink()
    if not instructions:
        sys.exit(f"arm_pipeline.py: {qemu} has not executed {loop.name}")
    return instructions, int(size)


def cycles(instructions):
    """Cycles for a sequence of instructions, and the busiest pipe with its share of them."""
    report = json.loads(run("llvm-mca-19", "-mtriple=aarch64", "-mcpu=neoverse-n1", "-iterations=1",
                            "-instruction-info=0", "-json", "-",
                            input="\n".join(instructions) + "\n"))
    region = report["CodeRegions"][0]
    names = report["TargetInfo"]["Resources"]
    # The usage of everything together stands behind that of the last instruction.
    usage = {}
    for entry in region["ResourcePressureView"]["ResourcePressureInfo"]:
        if entry["InstructionIndex"] == len(instructions):
            usage[names[entry["ResourceIndex"]]] = entry["ResourceUsage"]
    taken = max(region["SummaryView"]["TotalCycles"], len(instructions) / DECODED)
    busy = {}
    for name, used in usage.items():
        pipe = PIPES.get(name.split(".")[0], name)
        busy[pipe] = max(busy.get(pipe, 0), used / taken)
    busy["decode"] = len(instructions) / DECODED / taken
    pipe = max(busy, key=busy.get)
    return taken, pipe, busy[pipe]


def measure(loop, program, code, folder):
    instructions, weight_bytes = trace(program, code, loop, folder)
    taken, pipe, share = cycles(instructions)
    work = loop.work(weight_bytes)
    value = work / taken if loop.unit in PER_CYCLE else taken / work
    return {"loop": loop, "value": value, "pipe": pipe, "share": share,
            "ipc": len(instructions) / taken, "instructions": len(instructions) / work,
            "macs": loop.rows * loop.cols * loop.tokens / taken if weight_bytes else None}


def kept(row):
    loop = row["loop"]
    return row["value"] >= loop.budget if loop.unit in PER_CYCLE else row["value"] <= loop.budget


def print_loops(rows):
    print(f"{'loop':20} {'':>22} {'budget':>8} {'MAC/cycle':>10} {'instr/cycle':>12}  busiest pipe")
    for row in rows:
        loop = row["loop"]
        budget = f"{loop.budget:g}"
        macs = f"{row['macs']:.1f}" if row["macs"] else ""
        print(f"{loop.title:20} {row['value']:6.2f} {UNITS[loop.unit]:15} {budget:>8} {macs:>10} "
              f"{row['ipc']:12.2f}  {row['pipe']}, {100 * row['share']:.0f} %"
              f"{'' if kept(row) else '   FAILED'}")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prefixes", nargs="*", metavar="LOOP", help="only loops that begin so")
    parser.add_argument("--flags", default="-O3 -mcpu=cortex-a76",
                        help="of the compiler (default: %(default)s)")
    parser.add_argument("--ghz", type=positive, default=2.3,
                        help="clock for tokens/s (default: %(default)s, as ordinary RK3588s reach)")
    arguments = parser.parse_args()
    loops = [loop for loop in LOOPS
             if not arguments.prefixes or loop.title.startswith(tuple(arguments.prefixes))]
    if not loops:
        parser.error("no loop begins so; there are: " + ", ".join(loop.title for loop in LOOPS))
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        program = compile_loops(folder, arguments.flags.split())
        code = Disassembly(program)
        with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            rows = list(pool.map(lambda loop: measure(loop, program, code, folder), loops))
    print_loops(rows)
    if len(rows) == len(LOOPS):
        print(predictions({row["loop"].title: row["value"] for row in rows}, arguments.ghz))
    failed = [row["loop"].title for row in rows if not kept(row)]
    if failed:
        print("behind their budgets: " + ", ".join(failed), file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
