#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the same models with mamba2 and with llama.cpp, in turn, and prints both side by side.

  pip install llama-cpp-python        # compiles llama.cpp for this CPU, which takes some minutes
  python3 bench/vs_llama_cpp.py --random mamba2-130m
  python3 bench/vs_llama_cpp.py --random mamba2-2.7b --types q8_0 --repeat 5 --json 2.7b.json
  python3 bench/vs_llama_cpp.py --random granite-4.0-h-350m --types q8_0,q4_k_m --context 4096
  python3 bench/vs_llama_cpp.py --model a.gguf --model b.gguf --threads 4 --plot ab.svg

Both read the same GGUF files: yours, or random weights in a published shape, which mamba2-convert
writes (and llama.cpp's quantizer those of q4_k_m, of f16), and both keep the weights as these have them, unless --weights says otherwise for mamba2.
Every measurement is a process of its own, with as many threads, mamba2 and llama.cpp in turn; shown
are medians, and the ratio of mamba2's to llama.cpp's.

decode   tokens per second, one after the other, after --context tokens. of: how many times as fast as llama.cpp decoding
         could be with its weights. That is what the memory can give, which mamba2-bench measures
         meanwhile (roof), over what llama.cpp takes of it: its tokens per second, times the bytes
         that one needs (the weights once, the state read and written, keys and values read). And what mamba2 reaches of
         this ceiling, which is more than 100 % where it needs fewer bytes
prefill  tokens per second of a prompt that is read at once
load     seconds until the model can be used. The file has been read before, and is in memory if it
         fits. llama.cpp maps it, and touches much of it only with its first tokens, which do not
         count; with --no-mmap it reads all
memory   what the process takes at most beyond what it took before loading; of a mapped file what
         has been touched

Of a model with attention llama.cpp runs twice, with its flash attention and without, and the better
of both counts, in decode and in prefill.

Let nothing else run meanwhile. On a board with fast and slow cores give both the fast ones:
taskset -c 4-7 python3 bench/vs_llama_cpp.py ...
"""
import argparse
import json
import pathlib
import signal
import sys
import tempfile
import time

from arguments import whole
from compared_models import (ROOT, check_files, check_memory, check_packages, model_parser, stop,
                             write_random)
from processes import STOP, fail, run, tell
from vs_report import compare, draw, plural, print_row, write

SLICES = 3  # of which a process reports the median


def run_mamba2(args, model, threads, scratch):
    out = scratch / "bench.json"
    run(args.bin / "mamba2-bench", model["path"], "--weights", model["weights"], "--threads",
        threads, "--decode", args.decode, "--prefill", args.prefill, "--context", args.context,
        "--repeat", SLICES, "--json", out)
    rows = {row["phase"]: row for row in json.loads(out.read_text(encoding="utf-8"))}
    decode, last = rows["decode"], rows["prefill"]
    peak, before = last["peak_rss_bytes"], last["baseline_rss_bytes"]
    return {"decode_tokens_per_s": decode["tokens_per_s"],
            "prefill_tokens_per_s": last["tokens_per_s"], "load_s": last["load_s"],
            "peak_bytes": peak - before if peak and before else None,
            "roof_gb_per_s": decode["roof_gb_per_s"],
            "versions": {"mamba2": last["version"], "isa": last["isa"], "cpu": last["cpu"]}}


def run_llama_cpp(args, model, threads, decode, prefill, context=0):
    """The better of its two ways to compute attention, where there is any."""
    runs = [json.loads(run(sys.executable, ROOT / "bench/llama_cpp_speed.py", model["path"],
                           "--threads", threads, "--decode", decode, "--prefill", prefill,
                           "--context", context, "--flash-attention", way, "--repeat", SLICES,
                           *([] if args.mmap else ["--no-mmap"])))
            for way in (("on", "off") if model["kv_bytes"] else ("auto",))]
    best = max(runs, key=lambda found: found["decode_tokens_per_s"])
    best["prefill_tokens_per_s"] = max(found["prefill_tokens_per_s"] for found in runs)
    return best


def state_bytes(report):
    """Of the recurrent layers' state, and of a token's keys and values, which are FP16."""
    config = report["config"]
    layers = config.get("pattern", "").count("*")
    kv = layers and 4 * layers * config["attention.num_heads_kv"] * config["attention.head_dim"]
    return report["recurrent_bytes"], kv


def inspect(args, path, scratch):
    """What must be known of a GGUF file."""
    out = scratch / "inspect.json"
    run(args.bin / "mamba2-inspect", path, "--json", out)
    report = json.loads(out.read_text(encoding="utf-8"))
    sizes = {}
    for tensor in report["tensors"]:
        # Of an embedding that is not the head one row is read, which does not count.
        if tensor["name"] != "embedding.weight" or report["config"]["tie_embeddings"]:
            kind = tensor["dtype"].lower()
            sizes[kind] = sizes.get(kind, 0) + tensor["bytes"]
    state, kv = state_bytes(report)
    return {"model": path.stem, "path": path, "type": max(sizes, key=sizes.get),
            "weights": args.weights, "kv_bytes": kv,
            "bytes_per_token": sum(sizes.values()) + 2 * state +
                               kv * (args.context + args.decode // 2)}


def measure(args, scratch):
    """The rows, and the versions."""
    # Whether llama.cpp reads Mamba-2 here, and mamba2 knows --weights: asked before much is done.
    small = scratch / "small.gguf"
    run(args.bin / "mamba2-convert", ROOT / "examples/models/llama-tales-14m", small,
        "--type", "q8_0")
    versions = {"llama.cpp": run_llama_cpp(args, {"path": small, "kv_bytes": 0}, 1, SLICES,
                                           2)["versions"]}
    run_mamba2(args, {"path": small, "weights": args.weights}, 1, scratch)
    paths = args.model or write_random(args, args.work or scratch, scratch)
    check_memory(max(path.stat().st_size for path in paths))
    rows = []
    for model in [inspect(args, path, scratch) for path in paths]:
        with open(model["path"], "rb") as file:  # so that no run waits for the disk
            while file.read(1 << 24):
                pass
        for threads in args.threads:
            what = f"{model['model']}, {plural(threads, 'thread')}"
            runs = []
            for i in range(args.repeat):
                tell(f"{what}, run {i + 1} of {args.repeat}: mamba2")
                ours = run_mamba2(args, model, threads, scratch)
                tell(f"{what}, run {i + 1} of {args.repeat}: llama.cpp")
                theirs = run_llama_cpp(args, model, threads, args.decode, args.prefill,
                                       args.context)
                runs.append({"mamba2": ours, "llama.cpp": theirs})
            tell("")
            versions["mamba2"] = ours["versions"]
            rows.append(compare(model, threads, runs))
            print_row(rows[-1])
    return rows, versions


def report(args, rows, versions):
    ours, theirs = versions["mamba2"], versions["llama.cpp"]
    builds = [f"{name.replace('_', ' ')} {theirs[name]}" for name in theirs if name != "system"]
    title = (f"{ours['cpu']}, {time.strftime('%Y-%m-%d')}\n"
             f"mamba2 {ours['mamba2']} ({ours['isa']}); {', '.join(builds)}")
    print(f"\nof: the ceiling of the ratio, and mamba2's share of it; --help says more. Medians of "
          f"{plural(args.repeat, 'run')}.\n{title}\nllama.cpp: {theirs['system']}")
    if args.json:
        options = {name: getattr(args, name)
                   for name in ("decode", "prefill", "context", "repeat", "mmap")}
        found = {"date": time.strftime("%Y-%m-%dT%H:%M:%S%z"), **versions, **options, "rows": rows}
        text = json.dumps(found, indent=2) + "\n"
        write(args.json, lambda path: path.write_text(text, encoding="utf-8"))
    if args.plot:
        import matplotlib
        matplotlib.use("agg")
        from matplotlib import pyplot as plt
        figure = draw(rows, title, plt)
        write(args.plot, lambda path: figure.savefig(path, format=args.plot.suffix[1:], dpi=160))


def image(text):
    path = pathlib.Path(text)
    if path.suffix not in (".svg", ".png", ".pdf"):
        raise argparse.ArgumentTypeError(f"must end in .svg, .png or .pdf, found {text!r}")
    return path


def parse():
    parser = model_parser(__doc__)
    parser.add_argument("--weights", metavar="W", default="mixed",
                        help="what mamba2 takes the weights as [mixed: as the file has them]")
    parser.add_argument("--threads", type=lambda text: [whole(part) for part in text.split(",")],
                        default=[1, 2], help="one number after the other [1,2]")
    parser.add_argument("--repeat", type=whole, default=3, metavar="N",
                        help="runs of each, in turn [3]")
    parser.add_argument("--decode", type=lambda text: whole(text, SLICES), default=64, metavar="N",
                        help="tokens to decode [64]")
    parser.add_argument("--prefill", type=whole, default=512, metavar="N",
                        help="tokens of the prompt; llama.cpp's batches are as large [512]")
    parser.add_argument("--context", type=lambda text: whole(text, 0), default=0, metavar="N",
                        help="tokens that are read before decoding is measured [0]")
    parser.add_argument("--no-mmap", dest="mmap", action="store_false",
                        help="let llama.cpp read the file, not map it")
    parser.add_argument("--plot", type=image, metavar="FILE",
                        help="draw them: .svg, .png or .pdf; needs matplotlib")
    return parser.parse_args()


def check(args):
    """What would fail later."""
    check_packages(["llama_cpp"] + (["matplotlib"] if args.plot else []))
    check_files(args, ["mamba2-bench", "mamba2-convert", "mamba2-inspect"],
                [args.json, args.plot])
    try:
        if args.work:
            args.work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail(f"{args.work}: cannot be made: {error.strerror}")


def main():
    args = parse()
    args.bin = args.bin.resolve()
    for number in STOP:
        signal.signal(number, stop)
    check(args)
    with tempfile.TemporaryDirectory(prefix="mamba2-") as scratch:
        report(args, *measure(args, pathlib.Path(scratch)))


if __name__ == "__main__":
    main()
