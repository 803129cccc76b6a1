#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""No program touches more memory than its work needs.

  python3 tests/faults.py BIN MODEL WORK

BIN is the folder of the programs, MODEL a folder with a small model; WORK is emptied. Every program
works on the model, and its page faults are counted: memory that it touches for the first time is one
for each page, a file that is mapped at most that. It may touch what it reads and writes, the memory
that mamba2-inspect foretells, and some pages of its own; it takes five sixths of that or less, as what
is written is not mapped. A buffer that is cleared anew for every tensor takes many times as much.
What is allocated and never touched costs nothing, and is not counted. Pages are small here, so that
each counts; nothing depends on time. Exits 0 if all is well, 1 if not.
"""
import ctypes
import json
import os
import pathlib
import shutil
import subprocess
import sys

PAGE = os.sysconf("SC_PAGESIZE")
OWN_PAGES = 1024  # the program, its stacks, the tokenizer, buffers of files
PR_SET_THP_DISABLE = 41  # of prctl(); those that are started inherit it


def size(path):
    return sum(map(size, path.iterdir())) if path.is_dir() else path.stat().st_size


def touched(command, text):
    """The bytes of all pages that a program touches, with this text as its input."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        process.stdin.write(text)
        process.stdin.close()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit status {process.returncode}")
    return usage.ru_minflt * PAGE


class Programs:
    def __init__(self, folder, model):
        self.folder = folder
        self.model = model
        self.good = True
        subprocess.run([folder / "mamba2-inspect", model, "--json", "report.json"], check=True,
                       stdout=subprocess.DEVNULL)
        memory = json.loads(pathlib.Path("report.json").read_text())["memory"]
        self.memory = {weights: parts["peak"] for weights, parts in memory.items()}

    def check(self, program, *arguments, memory=None, out=None, model=None, text=b""):
        """memory: of the weights that the program loads, if it does; out: what it writes, which
        stands after the model."""
        model = model or self.model
        command = [str(self.folder / program), str(model), *([out] if out else []), *arguments,
                   "--threads", "1"]
        if program == "mamba2-inspect":
            command = command[:-2]
        found = touched(command, text)
        needed = size(model) + (size(pathlib.Path(out)) if out else 0) + self.memory.get(memory, 0)
        allowed = needed + OWN_PAGES * PAGE
        words = " ".join([program, *([out] if out else []), *arguments])
        print(f"{'ok  ' if found <= allowed else 'FAIL'} {words}: touches {found / 1e6:.1f} MB, may "
              f"{allowed / 1e6:.1f}")
        self.good = self.good and found <= allowed


def main():
    folder, model, work = (pathlib.Path(argument).resolve() for argument in sys.argv[1:])
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    os.chdir(work)
    ctypes.CDLL(None).prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)
    text = "Once upon a time there was a little girl who lived in a little house. "
    pathlib.Path("text.txt").write_text(text * 100)
    question = {"goal": "To open a door,", "sol1": "turn it.", "sol2": "eat it.", "label": 0}
    pathlib.Path("piqa.jsonl").write_text(json.dumps(question) + "\n")

    programs = Programs(folder, model)
    check = programs.check
    check("mamba2-inspect")
    check("generate", "Once upon a time", "-n", "20", memory="int8")
    check("chat", "-n", "20", memory="int8", text=b"Who are you?\n")
    check("mamba2-logits", "--ids", "1,2,3", "--out", "logits", memory="fp32")
    check("mamba2-perplexity", "text.txt", "--context", "64", memory="fp32")
    check("mamba2-eval", "piqa.jsonl", memory="fp32")
    for kind in ("f32", "f16", "bf16", "q8_0", "q4_0"):
        check("mamba2-convert", "--type", kind, out=f"{kind}.gguf")
    check("mamba2-convert", "--type", "f32", out="f32")
    check("mamba2-convert", out="copy")
    check("mamba2-convert", out="back", model=work / "q8_0.gguf")
    for kind in ("int8", "int4"):
        check("mamba2-quantize", "--type", kind, out=kind)
        check("mamba2-quantize", "--type", kind, out=f"{kind}.gguf")
        check("mamba2-quantize", "--type", kind, "--pack", "native", out=f"{kind}.packed")
    check("mamba2-quantize", "--pack", "native", out="mixed.packed", model=work / "int4")
    check("mamba2-quantize", "--calibrate", "text.txt", "--tokens", "512", out="best", memory="fp16")
    check("generate", "Once upon a time", "-n", "20", model=work / "int8.packed", memory="int8")
    return 0 if programs.good else 1


if __name__ == "__main__":
    sys.exit(main())
