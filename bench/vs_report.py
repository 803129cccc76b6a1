# SPDX-License-Identifier: Apache-2.0
"""How vs_llama_cpp.py condenses and shows its results."""
import os
import statistics
import sys

# key of a result: name, unit, units in one of the key's
METRICS = {"decode_tokens_per_s": ("decode", "tokens/s", 1),
           "prefill_tokens_per_s": ("prefill", "tokens/s", 1),
           "load_s": ("load", "s", 1), "peak_bytes": ("memory", "MB", 1e-6)}


def plural(count, what):
    return f"{count} {what}{'' if count == 1 else 's'}"


def compare(model, threads, runs):
    """A row of the results: medians of the runs, which have both programs' results."""
    def median(name, key):
        values = [run[name][key] for run in runs]
        return None if None in values else statistics.median(values)

    row = {key: model[key] for key in ("model", "type", "weights")} | {"threads": threads}
    for name in ("mamba2", "llama.cpp"):
        row[name] = {key: median(name, key) for key in METRICS}
    ours, theirs = row["mamba2"], row["llama.cpp"]
    row["ratio"] = {key: ours[key] / theirs[key] if ours[key] and theirs[key] else None
                    for key in METRICS}
    row["bytes_per_token"] = model["bytes_per_token"]
    row["roof_gb_per_s"] = median("mamba2", "roof_gb_per_s")
    most = row["roof_gb_per_s"] * 1e9 / row["bytes_per_token"]  # tokens per second
    row["ceiling"] = most / theirs["decode_tokens_per_s"]
    row["share"] = ours["decode_tokens_per_s"] / most
    row["runs"] = [{name: {key: value for key, value in run[name].items() if key != "versions"}
                    for name in run} for run in runs]
    return row


def print_row(row):
    name = f"{row['model']}, {plural(row['threads'], 'thread')}"
    print(f"\n{name:33} {'mamba2 ' + row['weights']:>12} {'llama.cpp':>10} {'ratio':>6}")
    for key, (metric, unit, scale) in METRICS.items():
        cells = [f"{row[side][key] * scale:.4g}" if row[side][key] else "?"
                 for side in ("mamba2", "llama.cpp")]
        ratio = f"{row['ratio'][key]:.2f}" if row["ratio"][key] else "?"
        print(f"  {metric + ', ' + unit:31} {cells[0]:>12} {cells[1]:>10} {ratio:>6}", end="")
        print(f"  of {row['ceiling']:.2f}: {100 * row['share']:.0f} % (roof "
              f"{row['roof_gb_per_s']:.1f} GB/s)" if metric == "decode" else "", flush=True)


def draw(rows, title, plt):
    """Bars of all but the loading; decode with its ceiling."""
    keys = [key for key in METRICS if key != "load_s"]
    figure, axes = plt.subplots(1, len(keys), figsize=(4.6 * len(keys), 1.8 + 0.55 * len(rows)),
                                sharey=True)
    for axis, key in zip(axes, keys):
        metric, unit, scale = METRICS[key]
        for name, colour, offset in (("mamba2", "#d1495b", -0.2), ("llama.cpp", "#5b8db8", 0.2)):
            for y, row in enumerate(rows):
                value = (row[name][key] or 0) * scale
                axis.barh(y + offset, value, 0.4, color=colour, label=name if y == 0 else None)
                axis.text(0, y + offset, f" {value:.4g}", va="center", fontsize=7)
        if metric == "decode":
            axis.vlines([row["ceiling"] * row["llama.cpp"][key] for row in rows],
                        [y - 0.45 for y in range(len(rows))], [y + 0.45 for y in range(len(rows))],
                        color="black", linewidth=1.5, label="ceiling")
            figure.legend(*axis.get_legend_handles_labels(), loc="upper right", fontsize=8)
        axis.set_title(f"{metric}, {unit}", fontsize=10)
    axes[0].set_yticks(range(len(rows)), [f"{row['model']}\n{plural(row['threads'], 'thread')}"
                                          for row in rows], fontsize=8)
    axes[0].invert_yaxis()
    figure.suptitle(title, fontsize=8)
    figure.tight_layout()
    return figure


def write(path, save):
    """Lets save(path) write a file that appears whole or not at all."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        save(partial)
        os.replace(partial, path)
    except OSError as error:
        sys.exit(f"{path}: cannot be written: {error.strerror}")
    finally:
        partial.unlink(missing_ok=True)
