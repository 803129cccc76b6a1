#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draws what mamba2-bench measured (its --json files).

  mamba2-bench --random mamba2-780m --weights all --threads 1 --json 780m.json
  python3 bench/plot.py 780m.json --out plots

share.svg     how much of the machine decoding and prefilling use, as bars
roofline.svg  operations per second over operations per byte, below the roofs measured beside them
accuracy.svg  with --accuracy: the KL divergence from FP32 over the speed of decoding, from what
              mamba2-perplexity MODEL TEXT --weights W --reference MODEL --json FILE writes for
              every W

Needs matplotlib. Exit status: 0 done, 1 something failed, 2 wrong usage.
"""
import argparse
import itertools
import json
import pathlib
import statistics
import sys

COLOURS = {"fp32": "#4c4c4c", "fp16": "#5b8db8", "bf16": "#8ab6d6", "int8": "#d1495b",
           "int4": "#edae49"}
LINES = ["-", "--", ":", "-."]
ROW = {"model": str, "weights": str, "threads": int, "phase": str, "tokens_per_s": float,
       "bytes_per_token": float, "operations_per_token": float, "gop_per_s": float,
       "roof_gb_per_s": float, "roof_gop_per_s": float, "share": float, "share_min": float,
       "share_max": float}
POINT = {"model": str, "weights": str, "kl_mean": float}


def colour(weights):
    return COLOURS.get(weights, "#7a9e7e")


def load(path, fields):
    """The rows of a JSON file (or its only one), every one of which must have these fields."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        rows = [rows] if isinstance(rows, dict) else rows
    except OSError as error:
        sys.exit(f"plot.py: {path}: {error.strerror}")
    except ValueError as error:
        sys.exit(f"plot.py: {path}: not JSON: {error}")
    if isinstance(rows, list):  # what is measured of drafts is not drawn
        rows = [row for row in rows
                if not isinstance(row, dict) or row.get("phase") not in ("pass", "answer")]
    if not isinstance(rows, list) or not rows:
        sys.exit(f"plot.py: {path}: must be a list of results that is not empty")
    for i, row in enumerate(rows):
        for field, kind in fields.items():
            value = row.get(field) if isinstance(row, dict) else None
            fits = isinstance(value, (int, float) if kind is float else kind)
            if not fits or isinstance(value, bool):
                sys.exit(f"plot.py: {path}: result {i}: {field} must be a "
                         f"{'text' if kind is str else 'number'}, found {value!r}")
    return rows


def threads(count):
    return f"{count} thread{'' if count == 1 else 's'}"


def draw_share(rows, plt):
    phases = [p for p in ("decode", "prefill") if any(r["phase"] == p for r in rows)]
    most = max(sum(r["phase"] == p for r in rows) for p in phases)
    figure, axes = plt.subplots(1, len(phases), figsize=(5.6 * len(phases), 1.2 + 0.34 * most),
                                squeeze=False)
    for axis, phase in zip(axes[0], phases):
        shown = [r for r in rows if r["phase"] == phase]
        for y, r in enumerate(shown):
            share = 100 * r["share"]
            spread = [[share - 100 * r["share_min"]], [100 * r["share_max"] - share]]
            axis.barh(y, share, 0.72, color=colour(r["weights"]), xerr=spread,
                      error_kw={"ecolor": "#00000066", "capsize": 2, "linewidth": 1})
            axis.text(1.5, y, f"{r['tokens_per_s']:.4g} tokens/s", va="center", fontsize=8,
                      color="white")
        axis.set_yticks(range(len(shown)), [f"{r['model']}, {r['weights']}, {threads(r['threads'])}"
                                            for r in shown], fontsize=8)
        axis.invert_yaxis()
        axis.axvline(100, color="black", linewidth=1)
        axis.set_xlim(0, max(110, 105 * max(r["share_max"] for r in shown)))
        roof = "use of memory" if phase == "decode" else "use of arithmetic"
        axis.set_title(f"{phase}: {roof}, % of the best possible", fontsize=10)
    return figure


def draw_roofline(rows, plt):
    figure, axis = plt.subplots(figsize=(7.2, 4.8))
    groups = sorted({(r["model"], r["weights"], r["threads"]) for r in rows})
    counts = sorted({r["threads"] for r in rows})
    intensity = [r["operations_per_token"] / r["bytes_per_token"] for r in rows]
    left, right = min(intensity) / 2, max(intensity) * 2
    for model, weights, count in groups:
        group = [r for r in rows
                 if (r["model"], r["weights"], r["threads"]) == (model, weights, count)]
        memory = statistics.median(r["roof_gb_per_s"] for r in group)
        # That of prefilling, where there is any: arithmetic is what bounds it.
        prefill = [r for r in group if r["phase"] == "prefill"] or group
        peak = statistics.median(r["roof_gop_per_s"] for r in prefill)
        ridge = peak / memory
        axis.plot([left, ridge, max(right, 2 * ridge)], [left * memory, peak, peak],
                  color=colour(weights), linewidth=1, alpha=0.7,
                  linestyle=LINES[counts.index(count) % len(LINES)],
                  label=f"{model}, {weights}, {threads(count)}")
        for phase, marker in (("decode", "o"), ("prefill", "s")):
            points = [r for r in group if r["phase"] == phase]
            axis.plot([r["operations_per_token"] / r["bytes_per_token"] for r in points],
                      [r["gop_per_s"] for r in points], marker, color=colour(weights),
                      markeredgecolor="black", markeredgewidth=0.6)
    axis.set(xscale="log", yscale="log", xlabel="operations per byte of weights and state",
             ylabel="GOP/s")
    axis.set_title("roofs as measured; circles decode, squares prefill", fontsize=10)
    axis.grid(True, which="both", linewidth=0.3)
    axis.legend(fontsize=8)
    return figure


def draw_accuracy(rows, points, plt):
    figure, axis = plt.subplots(figsize=(6.4, 4.4))
    series = {}  # (model, threads): [(tokens per second, KL, weights)]
    for r in rows:
        found = [p["kl_mean"] for p in points
                 if (pathlib.Path(p["model"]).name, p["weights"]) == (r["model"], r["weights"])]
        if r["phase"] == "decode" and found:
            series.setdefault((r["model"], r["threads"]), []).append(
                (r["tokens_per_s"], found[0], r["weights"]))
    if not series:
        sys.exit("plot.py: --accuracy: no decode result has weights that are measured there")
    for ((model, count), found), marker in zip(sorted(series.items()), itertools.cycle("oDs^v")):
        found.sort()
        axis.plot([f[0] for f in found], [f[1] for f in found], color="#00000055", linewidth=1,
                  marker=marker, markerfacecolor="white", label=f"{model}, {threads(count)}")
        for speed, kl, weights in found:
            axis.plot(speed, kl, marker, color=colour(weights), markeredgecolor="black",
                      clip_on=False, zorder=3)
            axis.annotate(weights, (speed, kl), xytext=(6, 5), textcoords="offset points",
                          fontsize=8)
    smallest = min((p["kl_mean"] for p in points if p["kl_mean"] > 0), default=1e-6)
    axis.set_yscale("symlog", linthresh=smallest / 2)  # FP32 is at 0
    axis.set_ylim(bottom=0)
    axis.margins(x=0.1)
    axis.set(xlabel="tokens per second, decoding", ylabel="KL divergence from FP32, nats per token")
    axis.grid(True, linewidth=0.3)
    axis.legend(fontsize=8)
    return figure


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("result", nargs="+", type=pathlib.Path, help="what --json wrote")
    parser.add_argument("--accuracy", nargs="+", type=pathlib.Path, default=[],
                        help="what mamba2-perplexity --reference --json wrote")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("."), help="folder")
    parser.add_argument("--format", choices=["svg", "png"], default="svg")
    args = parser.parse_args()
    rows = [row for path in args.result for row in load(path, ROW)]
    for row in rows:
        if row["phase"] not in ("decode", "prefill"):
            sys.exit(f"plot.py: phase must be decode or prefill, found {row['phase']!r}")
    points = [point for path in args.accuracy for point in load(path, POINT)]
    try:
        import matplotlib
    except ImportError:
        sys.exit("plot.py: needs matplotlib: pip install matplotlib")
    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    figures = {"share": draw_share(rows, plt), "roofline": draw_roofline(rows, plt)}
    if points:
        figures["accuracy"] = draw_accuracy(rows, points, plt)
    try:
        args.out.mkdir(parents=True, exist_ok=True)
        for name, figure in figures.items():
            path = args.out / f"{name}.{args.format}"
            figure.tight_layout()
            figure.savefig(path, dpi=160)
            print(path)
    except OSError as error:
        sys.exit(f"plot.py: {args.out}: {error.strerror}")


if __name__ == "__main__":
    main()
