# SPDX-License-Identifier: Apache-2.0
"""What the referees share. Where a package is missing it ends them with status 77, so it comes first
among what they import."""
import json
import pathlib
import subprocess
import sys

try:
    import gguf  # noqa: F401
    import numpy
    import tokenizers  # noqa: F401
    from safetensors.numpy import load_file
except ImportError as missing:
    print(f"{missing.name}-missing")
    sys.exit(77)

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODEL = ROOT / "examples/models/llama-tales-14m"
TEXTS = ["Once upon a time", "a<|endoftext|>b",
         "  Tabs\tand\n\nlines, 12345 numbers; it's d\u00e9j\u00e0 vu: \u4e2d\u6587 e\u0301"]
sys.path.insert(0, str(ROOT / "tools"))


def run(program, *arguments):
    subprocess.run([program, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def convert(bin_folder, model, out, *arguments):
    """Has mamba2-convert write `out`."""
    run(bin_folder / "mamba2-convert", model, out, *arguments)
    return out


def logits(bin_folder, model, out, *arguments):
    """The tensors `logits` and `ids` that mamba2-logits writes to `out`."""
    run(bin_folder / "mamba2-logits", model, *arguments, "--out", out)
    return load_file(out)


def load_floats(folder):
    """All tensors of a folder as float32; numpy has no bfloat16."""
    tensors = {}
    for path in sorted(folder.glob("model*.safetensors")):
        raw = path.read_bytes()
        length = int.from_bytes(raw[:8], "little")
        for name, entry in json.loads(raw[8:8 + length]).items():
            if name == "__metadata__":
                continue
            begin, end = (8 + length + offset for offset in entry["data_offsets"])
            data = raw[begin:end]
            values = {"F32": lambda: numpy.frombuffer(data, numpy.float32),
                      "BF16": lambda: (numpy.frombuffer(data, numpy.uint16).astype(numpy.uint32)
                                       << 16).view(numpy.float32)}[entry["dtype"]]()
            tensors[name] = values.reshape(entry["shape"]).copy()
    return tensors
