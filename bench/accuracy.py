#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures what each precision costs a model: perplexity, KL divergence, tasks, size and speed.

  python3 bench/accuracy.py MODEL --text a.txt --text b.txt --calibrate c.txt --json model.json
  python3 bench/accuracy.py MODEL --text a.txt --task piqa.jsonl --limit 500 --json model.json
  python3 bench/accuracy_report.py model.json --out bench/accuracy.md

MODEL is a folder in floating point; everything is compared with it in FP32, text by text, question
by question. Quantized models are made on the way, with mamba2-quantize, mamba2-convert and, where
llama-cpp-python is installed and rows are multiples of 256 columns, llama.cpp's quantizer. A text
must not be the one that is calibrated with. What --json has already is not measured again, so that
an interrupted run goes on where it was; with --measure a part can be measured elsewhere, the speed
on another machine than the tasks, say.

Exit status: 0 done, 1 something failed, 2 wrong usage, 130 interrupted.
"""
import argparse
import ctypes
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile

from arguments import positive, whole

ROOT = pathlib.Path(__file__).resolve().parent.parent
GROUPS = 32, 64, 128
METHODS = {"nearest": ["--method", "nearest"], "search": [], "importance": ["--calibrate"],
           "gptq": ["--gptq"]}


def fail(message):
    sys.exit(f"accuracy.py: {message}")


def run(*command):
    """A program's standard output; its last words if it fails."""
    done = subprocess.run([str(part) for part in command], text=True, stdin=subprocess.DEVNULL,
                          capture_output=True)
    if done.returncode != 0:
        fail((done.stderr.strip().splitlines() or [f"{command[0]}: {done.returncode}"])[-1])
    return done.stdout


class Variant:
    """A precision: how its model is made, and run."""

    def __init__(self, name, kind, weights, make=None, state="fp32"):
        self.name, self.kind, self.weights, self.make, self.state = name, kind, weights, make, state


def quantized(args, *options):
    """Makes a model with mamba2-quantize."""
    def make(out):
        given = []
        for option in options:
            given.append(option)
            if option in ("--calibrate", "--gptq"):
                given.append(args.calibrate)
        run(args.bin / "mamba2-quantize", args.model, out, *given)
        return out
    return make


def converted(args, kind):
    def make(out):
        path = out.with_suffix(".gguf")
        run(args.bin / "mamba2-convert", args.model, path, "--type", kind)
        return path
    return make


def llama_quantized(args, kind):
    """Makes a GGUF file with llama.cpp's quantizer, all large matrices of one type."""
    import llama_cpp

    @llama_cpp.llama_log_callback
    def silence(*_):
        pass

    def make(out):
        llama_cpp.llama_log_set(silence, None)
        source, path = out.with_suffix(".f32.gguf"), out.with_suffix(".gguf")
        run(args.bin / "mamba2-convert", args.model, source, "--type", "f32")
        options = llama_cpp.llama_model_quantize_default_params()
        options.ftype = getattr(llama_cpp, kind)
        options.pure = True
        status = llama_cpp.llama_model_quantize(os.fsencode(source), os.fsencode(path),
                                                ctypes.byref(options))
        source.unlink()
        if status != 0:
            fail(f"llama.cpp cannot write {kind}")
        return path
    return make


def variants(args, d_model):
    """What is measured, FP32 first."""
    for weights in ("fp32", "fp16", "bf16", "int8", "int4"):
        yield Variant(weights, "as loaded", weights)
    yield Variant("fp32, fp16 state", "state", "fp32", state="fp16")
    yield Variant("int8, fp16 state", "state", "int8", state="fp16")
    for method, options in METHODS.items():
        for group in GROUPS:
            if not args.calibrate and method in ("importance", "gptq"):
                continue
            yield Variant(f"int4 g{group} {method}", "int4", "mixed",
                          quantized(args, "--type", "int4", "--group", str(group), *options))
    for weights in ("int8", "int4"):
        yield Variant(f"{weights}, float activations", "activations", "fp32",
                      quantized(args, "--type", weights))
    for budget in args.budget:
        yield Variant(f"budget {budget} MB", "budget", "mixed",
                      quantized(args, "--budget", budget, "--gptq"))
    for kind in ("q8_0", "q4_0"):
        yield Variant(kind, "gguf", "mixed", converted(args, kind))
    if d_model % 256 == 0 and importlib.util.find_spec("llama_cpp"):
        for kind in ("Q4_K_M", "Q6_K"):
            yield Variant(kind.removesuffix("_M").lower(), "gguf", "mixed",
                          llama_quantized(args, "LLAMA_FTYPE_MOSTLY_" + kind))


def perplexity(args, model, variant, scratch):
    rows = []
    for text in args.text:
        out = scratch / "perplexity.json"
        run(args.bin / "mamba2-perplexity", model, text, "--weights", variant.weights, "--state",
            variant.state, "--reference", args.model, "--json", out,
            *(["--windows", args.windows] if args.windows else []), *workers(args))
        found = json.loads(out.read_text(encoding="utf-8"))
        rows.append({"text": text.stem} | {key: found[key] for key in (
            "tokens", "perplexity", "perplexity_change", "kl_mean", "kl_median", "kl_p99",
            "kl_max", "same_top1", "mean_change", "rms_change")})
    return {"texts": rows}


def right(line):
    """Whether a question was answered right, by each of its measures."""
    if "gold" not in line:
        return {"acc": all(choice["is_greedy"] for choice in line["choices"])}
    return {"acc": line["picked"] == line["gold"], "acc_norm": line["picked_norm"] == line["gold"]}


def tasks(args, model, variant, scratch):
    if not args.task:
        return {"tasks": []}
    out, details = scratch / "eval.json", scratch / "details.jsonl"
    run(args.bin / "mamba2-eval", model, *args.task, "--weights", variant.weights, "--state",
        variant.state, "--json", out, "--details", details,
        *(["--limit", args.limit] if args.limit else []), *workers(args))
    rows = json.loads(out.read_text(encoding="utf-8"))["tasks"]
    answers = {}
    for line in details.read_text(encoding="utf-8").splitlines():
        line = json.loads(line)
        answers.setdefault(line["task"], []).append(right(line))
    for row in rows:
        for measure in answers[row["task"]][0]:
            row[measure + "_answers"] = "".join(
                "01"[answer[measure]] for answer in answers[row["task"]])
        row.pop("seconds")
    return {"tasks": rows}


def speed(args, model, variant, scratch):
    """Decoding with one thread: tokens per second, and the share of what the memory can give."""
    if variant.kind == "activations":  # what they cost in accuracy is the question, no way to run
        return {"decode_tokens_per_s": None, "share": None}
    out = scratch / "bench.json"
    run(args.bin / "mamba2-bench", model, "--weights", variant.weights, "--state", variant.state,
        "--decode", 64, "--threads", 1, "--json", out)
    row = json.loads(out.read_text(encoding="utf-8"))[0]
    return {"decode_tokens_per_s": row["tokens_per_s"], "share": row["share"]}


def size(args, model, variant, scratch):
    out = scratch / "inspect.json"
    run(args.bin / "mamba2-inspect", model, "--json", out)
    memory = json.loads(out.read_text(encoding="utf-8"))["memory"]
    return {"weight_bytes": memory["mixed" if variant.make else variant.weights]["weights"]}


def workers(args):
    return ["--threads", args.threads] if args.threads else []


# What is measured of each precision, and the key that says that it was.
PARTS = {"size": (size, "weight_bytes"), "perplexity": (perplexity, "texts"),
         "tasks": (tasks, "tasks"), "speed": (speed, "share")}


def measure(args):
    report = {"model": args.model.resolve().name, "rows": []}
    if args.json.exists():
        report = json.loads(args.json.read_text(encoding="utf-8"))
    report["settings"] = {"texts": [text.name for text in args.text], "windows": args.windows,
                          "calibrate": args.calibrate.name if args.calibrate else None,
                          "limit": args.limit}
    config = json.loads((args.model / "config.json").read_text(encoding="utf-8"))
    d_model = config.get("hidden_size", config.get("d_model", 0))
    rows = {row["name"]: row for row in report["rows"]}
    wanted = list(variants(args, d_model))
    for only in args.only or []:
        if not any(only in (variant.kind, variant.name) for variant in wanted):
            fail(f"--only {only}: there is nothing of that kind or name")
    with tempfile.TemporaryDirectory(dir=args.work) as folder:
        scratch = pathlib.Path(folder)
        for variant in wanted:
            row = rows.setdefault(variant.name, {
                "name": variant.name, "kind": variant.kind, "weights": variant.weights,
                "state": variant.state})
            parts = [part for name, (part, key) in PARTS.items()
                     if key not in row and name in (args.measure or PARTS)]
            if not parts or (args.only and not {variant.kind, variant.name} & set(args.only)):
                continue
            print(variant.name, file=sys.stderr, flush=True)
            model = variant.make(scratch / "model") if variant.make else args.model
            for part in parts:
                row |= part(args, model, variant, scratch)
                write(report | {"rows": [r for r in rows.values() if "weight_bytes" in r]},
                      args.json)
            if variant.make:
                run("rm", "-r", model)


def write(report, path):
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(report, indent=1), encoding="utf-8")
    partial.replace(path)


def folder_of_programs(text):
    path = pathlib.Path(text)
    if not (path / "mamba2-quantize").exists():
        raise argparse.ArgumentTypeError(f"must have the program mamba2-quantize, {text} has not")
    return path.resolve()


def megabytes(text):
    positive(text)
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path, metavar="MODEL")
    parser.add_argument("bin", type=folder_of_programs, nargs="?", metavar="BIN",
                        default=ROOT / "build/release/bin",
                        help="folder of the programs [build/release/bin]")
    parser.add_argument("--text", type=pathlib.Path, action="append", required=True, metavar="FILE",
                        help="a text to predict; may be given several times")
    parser.add_argument("--task", type=pathlib.Path, action="append", default=[], metavar="FILE",
                        help="questions for mamba2-eval; may be given several times")
    parser.add_argument("--calibrate", type=pathlib.Path, metavar="FILE",
                        help="a text for the methods that want one")
    parser.add_argument("--budget", type=megabytes, action="append", default=[], metavar="MB",
                        help="also a model of so many MB; may be given several times")
    parser.add_argument("--only", action="append", metavar="WHAT",
                        help="as loaded, state, int4, activations, budget or gguf, or a name in "
                             "the results; may be given several times")
    parser.add_argument("--measure", action="append", choices=PARTS, metavar="PART",
                        help="size, perplexity, tasks or speed; may be given several times [all]")
    parser.add_argument("--windows", type=whole, help="of 512 tokens, of each text at most [all]")
    parser.add_argument("--limit", type=whole, help="questions of each file at most [all]")
    parser.add_argument("--threads", type=whole, help="[one per fast core]")
    parser.add_argument("--work", type=pathlib.Path, help="where quantized models are made")
    parser.add_argument("--json", type=pathlib.Path, required=True, help="the results")
    args = parser.parse_args()
    if not (args.model / "config.json").exists():
        parser.error(f"{args.model}: must be a folder with a config.json")
    if args.budget and not args.calibrate:
        parser.error("--budget needs --calibrate")
    try:
        measure(args)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
