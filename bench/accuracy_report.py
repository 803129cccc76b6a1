#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tables and plots of what bench/accuracy.py measured.

  python3 bench/accuracy_report.py model.json other.json --out tables.md --plots bench/plots

--out gets a table for each model: size, speed, divergence, perplexity and tasks of each precision;
of tasks how many answers were lost and won, with a star where chance is unlikely (McNemar's test,
p < 0.05). What was not measured stays empty. --plots gets MODEL_size.svg, the divergence over the
size, and MODEL_methods.svg, that of the ways to quantize to 4 bits; they need matplotlib. Exit
status: 0 done, 1 something failed, 2 wrong usage.
"""
import argparse
import json
import math
import pathlib
import statistics
import sys

# Of the kinds that are drawn over their sizes.
COLOURS = {"as loaded": "#4c4c4c", "budget": "#d1495b", "gguf": "#5b8db8"}
MEASURES = {"arc_easy": "acc", "hellaswag": "acc_norm", "lambada_openai": "acc", "piqa": "acc"}


def divergence(row):
    return statistics.mean(text["kl_mean"] for text in row["texts"])


def change(row):
    """Of the perplexity over all texts, in percent."""
    logs = [math.log1p(text["perplexity_change"]) * text["tokens"] for text in row["texts"]]
    return 100 * math.expm1(sum(logs) / sum(text["tokens"] for text in row["texts"]))


def p_value(losses, gains):
    """Exact McNemar test, two-sided."""
    n, few = losses + gains, min(losses, gains)
    if n == 0:
        return 1.0
    logs = [math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) - n * math.log(2)
            for k in range(few + 1)]
    return min(1.0, 2 * sum(math.exp(value) for value in logs))


def flips(task, reference):
    """Answers that turned from right to wrong, and from wrong to right."""
    answers = MEASURES[task["task"]] + "_answers"
    pairs = list(zip(reference[answers], task[answers]))
    return pairs.count(("1", "0")), pairs.count(("0", "1"))


def score(task, reference):
    """Percent right; changes against the reference, and whether they are more than chance."""
    text = f"{100 * task[MEASURES[task['task']]]:.1f}"
    if reference is not None:
        losses, gains = flips(task, reference)
        text += f" (-{losses} +{gains}{'*' if p_value(losses, gains) < 0.05 else ''})"
    return text


def all_flips(of_tasks, base):
    losses, gains = zip(*(flips(task, base[name]) for name, task in of_tasks.items()))
    return f"-{sum(losses)} +{sum(gains)}"


def table(report):
    rows = report["rows"]
    names = [task["task"] for task in rows[0]["tasks"]]
    texts = [text["text"] for text in rows[0]["texts"]]
    head = ["", "MB", "tokens/s", "KL divergence", *texts, "99 %", "same best", "perplexity", *names,
            "all tasks"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        reference = row["name"] == "fp32"
        of_tasks = {task["task"]: task for task in row.get("tasks", [])}
        speed = row.get("decode_tokens_per_s")
        cells = [row["name"], f"{row['weight_bytes'] / 1e6:.1f}", f"{speed:.0f}" if speed else ""]
        if reference:
            cells += [""] * (len(texts) + 3)
            cells.append(" ".join(f"{text['perplexity']:.2f}" for text in row["texts"]))
        else:
            cells.append(f"{divergence(row):.2g}")
            cells += [f"{text['kl_mean']:.2g}" for text in row["texts"]]
            cells.append(f"{statistics.mean(text['kl_p99'] for text in row['texts']):.2g}")
            cells.append(f"{100 * statistics.mean(t['same_top1'] for t in row['texts']):.1f} %")
            cells.append(f"{change(row):+.2f} %")
        base = {task["task"]: task for task in rows[0]["tasks"]}
        cells += [score(of_tasks[name], None if reference else base[name])
                  if name in of_tasks else "" for name in names]
        cells.append(all_flips(of_tasks, base) if of_tasks and not reference else "")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def plot_sizes(report, path, pyplot):
    figure, axes = pyplot.subplots(figsize=(8, 5))
    above = False
    for row in sorted(report["rows"], key=lambda row: row.get("weight_bytes", 0)):
        # FP16 loses next to nothing, and stretches the axis.
        if row["kind"] not in COLOURS or divergence(row) < 1e-9:
            continue
        point = row["weight_bytes"] / 1e6, divergence(row)
        axes.scatter(*point, color=COLOURS[row["kind"]], zorder=3)
        above = not above  # neighbours' labels on different sides
        axes.annotate(row["name"], point, fontsize=7, textcoords="offset points", ha="center",
                      xytext=(0, 6) if above else (0, -12))
    axes.set(yscale="log", xlabel="weights, MB", ylabel="mean KL divergence from FP32, nats",
             title=report["model"])
    axes.margins(0.1)
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def plot_methods(report, path, pyplot):
    found = {tuple(row["name"].split()[1:]): row for row in report["rows"] if row["kind"] == "int4"}
    if not found:
        return
    methods = list(dict.fromkeys(method for _, method in found))
    groups = list(dict.fromkeys(group for group, _ in found))
    figure, axes = pyplot.subplots(figsize=(7, 4))
    for i, method in enumerate(methods):
        places = [g + 0.8 * i / len(methods) for g in range(len(groups))]
        axes.bar(places, [divergence(found[group, method]) for group in groups],
                 0.8 / len(methods), label=method)
    axes.set_xticks([g + 0.4 - 0.4 / len(methods) for g in range(len(groups))],
                    [f"a scale for {group[1:]} columns" for group in groups])
    axes.set(ylabel="mean KL divergence from FP32, nats", title=f"{report['model']}, int4")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def plot(reports, folder):
    try:
        import matplotlib
    except ImportError:
        sys.exit("accuracy_report.py: needs matplotlib: pip install matplotlib")
    matplotlib.use("agg")
    matplotlib.rcParams["svg.fonttype"] = "none"  # text as text: small files
    matplotlib.rcParams["svg.hashsalt"] = "mamba2"  # the same file every time
    from matplotlib import pyplot
    folder.mkdir(parents=True, exist_ok=True)
    for report in reports:
        plot_sizes(report, folder / f"{report['model']}_size.svg", pyplot)
        plot_methods(report, folder / f"{report['model']}_methods.svg", pyplot)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", type=pathlib.Path, nargs="+", metavar="JSON")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="the tables, a file")
    parser.add_argument("--plots", type=pathlib.Path, help="folder for the plots")
    args = parser.parse_args()
    try:
        reports = [json.loads(path.read_text(encoding="utf-8")) for path in args.reports]
        text = "\n".join(f"## {report['model']}\n\n{table(report)}" for report in reports)
        args.out.write_text(text, encoding="utf-8")
        if args.plots:
            plot(reports, args.plots)
    except OSError as error:
        sys.exit(f"accuracy_report.py: {error.filename}: {error.strerror}")
    except (ValueError, LookupError) as error:
        sys.exit(f"accuracy_report.py: not what accuracy.py writes: {error}")


if __name__ == "__main__":
    main()
