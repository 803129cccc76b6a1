#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares a model of yours with transformers, on your machine: the tokenizer's ids, and the logits at
every position of a text, in FP32 on both sides.

  python3 tools/check_model.py FOLDER [--bin build/release/bin] [--text TEXT] [--positions N]

FOLDER is as it comes from Hugging Face. Needs the packages torch, transformers, safetensors and numpy,
and memory for the weights as FP32, first in transformers, then here. Where transformers is known to
compute something else than the model was trained with, that is undone, and said.

Exit status: 0 the same, 1 not, 2 it could not be compared."""
import argparse
import gc
import json
import os
import pathlib
import subprocess
import sys
import tempfile

os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}

TEXT = """The river had risen 3.5 metres by 04:12, and nobody in the village of Aldermoor slept.
"Is it over?" asked the boy; his aunt, who didn't know, said: "Almost." Then:

    for i in range(10):  # count
        total += depth[i] * 0.25

Über den Brücken war es still. 河水慢慢退去。 Il était déjà cinq heures, and the 1,024 sandbags held.
"""
# The largest difference of logits that rounding in FP32 makes, in their standard deviations; the
# smallest mistake that is known to be easily made, of a hundred, makes 1.8e-3.
BOUND = 1e-3
# Step sizes are kept at 0.001 or above by these classes, in passes of several tokens only; the models
# were trained without.
WITH_FLOOR = ("nemotron_h", "zamba2")


def refuse(message):
    print(f"check_model: {message}", file=sys.stderr)
    sys.exit(2)


def tokenizer_ids(transformers, folder, text):
    """What transformers makes of a text; nothing where the folder has no tokenizer."""
    if not any((folder / name).exists() for name in ("tokenizer.json", "tokenizer.model")):
        return None
    return transformers.AutoTokenizer.from_pretrained(folder)(text)["input_ids"]


def their_logits(torch, transformers, folder, ids):
    """(positions, vocab_size), and what was undone."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    note = ""
    if model.config.model_type in WITH_FLOOR:
        for module in model.modules():
            if hasattr(module, "time_step_limit"):
                module.time_step_limit = (0.0, float("inf"))
                note = "without transformers' floor of 0.001 under step sizes"
    with torch.no_grad():
        logits = model(torch.tensor([ids]), use_cache=False).logits[0].double().numpy()
    del model
    gc.collect()
    return logits, note


def run_logits(program, folder, weights, *arguments):
    """The tensors that mamba2-logits writes."""
    from safetensors.numpy import load_file
    with tempfile.TemporaryDirectory() as temporary:
        out = pathlib.Path(temporary) / "logits.safetensors"
        command = [program, folder, *arguments, "--all", "-w", weights, "--kv", "fp32", "--out", out]
        if subprocess.run(list(map(str, command)), stdout=subprocess.DEVNULL).returncode != 0:
            refuse(f"{program.name} did not read the model; it says why above")
        return load_file(out)


def compare_ids(expected, found):
    """Prints, and answers whether they are the same."""
    if expected == found:
        print(f"ids      the same, {len(found)} of them")
        return True
    pairs = enumerate(zip(expected, found))
    at = next((i for i, (a, b) in pairs if a != b), min(len(expected), len(found)))
    print(f"ids      differ from number {at} on: transformers {expected[at:at + 8]}, here "
          f"{found[at:at + 8]}")
    return False


def compare_logits(numpy, expected, found):
    """The same, of logits; columns beyond those of transformers are padding."""
    rows = min(expected.shape[1], found.shape[1])
    expected, found = expected[:, :rows], found[:, :rows].astype(numpy.float64)
    if not (numpy.isfinite(expected).all() and numpy.isfinite(found).all()):
        print("logits   are not all finite")
        return False
    off = numpy.abs(found - expected) / expected.std()
    same = (found.argmax(1) == expected.argmax(1)).sum()
    print(f"logits   {len(found)} positions, of {rows}: they differ by {numpy.median(off):.1e} "
          f"typically, {off.max():.1e} at most, in standard deviations; {same} have the same most "
          "likely token")
    return off.max() <= BOUND


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    root = pathlib.Path(__file__).resolve().parent.parent
    parser.add_argument("--bin", type=pathlib.Path, default=root / "build/release/bin",
                        help="the folder of this project's programs")
    parser.add_argument("--text", default=TEXT)
    parser.add_argument("--positions", type=int, default=256, help="at most so many tokens")
    a = parser.parse_args()
    program = a.bin / "mamba2-logits"
    if not program.exists():
        refuse(f"{program} is not there: build the programs (tools/test.sh), or give --bin")
    if not (a.folder / "config.json").exists():
        refuse(f"{a.folder}: has no config.json; expected a folder as Hugging Face has it")
    if a.positions < 1:
        refuse(f"--positions must be at least 1, found {a.positions}")
    try:
        import numpy
        import torch
        import transformers
        transformers.utils.logging.disable_progress_bar()
    except ImportError as missing:
        refuse(f"the Python package {missing.name} is missing")

    try:
        ids = tokenizer_ids(transformers, a.folder, a.text)
    except Exception as error:  # whatever a tokenizer's own code raises
        refuse(f"transformers has no tokenizer for {a.folder}: {error}")
    same = True
    if ids is None:
        print("ids      not compared: the folder has no tokenizer")
        rows = json.loads((a.folder / "config.json").read_text())["vocab_size"]
        ids = [7 * i * i % rows for i in range(min(a.positions, 256))]
    else:
        found = run_logits(program, a.folder, "int8", "--text", a.text)["ids"].tolist()
        same = compare_ids(ids, found)
    ids = ids[:a.positions]
    if not ids:
        refuse("the text has no tokens")
    try:
        expected, note = their_logits(torch, transformers, a.folder, ids)
    except Exception as error:  # whatever a model's own code raises
        refuse(f"transformers does not run {a.folder}: {error}")
    found = run_logits(program, a.folder, "fp32", "--ids", ",".join(map(str, ids)))["logits"]
    same = compare_logits(numpy, expected, found) and same
    if note:
        print(f"         ({note})")
    print("result   the same" if same else "result   NOT the same")
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
