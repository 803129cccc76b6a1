#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""GGUF files that the gguf package writes: the programs read them, as that package does.

  python3 tests/referee_gguf.py BIN

BIN is the folder of the programs. Writes the bundled model in each type that the package can
quantize to, and a small model of random blocks in each type that read_floats reads. The logits of
each must be those of a safetensors file with the floats that the package makes of the blocks; the
tokenizer of the bundled model must give the same ids. Exits 0 if all is well, 1 if not, 77 if a
package is not there.
"""
import json
import pathlib
import sys
import tempfile

from referees import MODEL, TEXTS, load_floats, logits, run
import gguf
import numpy
from make_golden_gguf import GRIDS, HALVES, MATRICES, random_blocks, random_tensors, write_gguf
from safetensors.numpy import save_file

# What mixed weights may differ by: their products round the activations to 8 bits. Models of random
# blocks are chaotic, and no bound could be set for them.
MIXED = {"bundled": 0.3, "random": float("inf")}


def compare(bin_folder, folder, name, config, tensors, blocks, tokenizer=None):
    """Whether a GGUF file and a folder of safetensors with its floats have the same logits."""
    path = folder / f"{name}.gguf"
    write_gguf(path, config, tensors, blocks, tokenizer)
    floats = dict(tensors)
    for matrix, (dtype, data) in blocks.items():
        floats[matrix] = gguf.dequantize(data, dtype).astype(numpy.float32)
    reference = folder / "reference"
    reference.mkdir(exist_ok=True)
    (reference / "config.json").write_text(json.dumps(config))
    save_file(floats, reference / "model.safetensors")
    ids = ("--ids", ",".join(str(i * 7 % config["vocab_size"]) for i in range(24)), "--all")
    expected = logits(bin_folder, reference, folder / "expected", *ids)["logits"]

    def difference_with(weights):
        found = logits(bin_folder, path, folder / "found", *ids, "--weights", weights)["logits"]
        return float(numpy.abs(found - expected).max() / expected.std())

    kind = "bundled" if tokenizer else "random"
    difference, mixed = difference_with("fp32"), difference_with("mixed")
    run(bin_folder / "mamba2-inspect", path, "--json", folder / "report.json")
    report = json.loads((folder / "report.json").read_text())
    types = {t["dtype"] for t in report["tensors"] if t["name"].endswith(("_proj.weight",
                                                                        "embedding.weight"))}
    good = difference < 1e-4 and mixed < MIXED[kind] and types == {name.removeprefix("random-")}
    print(f"{'ok  ' if good else 'FAIL'} {name}: largest difference {difference:.1e} standard "
          f"deviations of the logits, as mixed {mixed:.1e}, matrices {' '.join(sorted(types))}")
    return good


def same_in_parts(bin_folder, folder, config, tensors, tokenizer):
    """Whether a model in several files, as the package writes it, is what it is in one."""
    write_gguf(folder / "parts.gguf", config, tensors, {}, tokenizer, split_max_tensors=5)
    write_gguf(folder / "whole.gguf", config, tensors, {}, tokenizer)
    ids = ("--text", TEXTS[0])
    parts = sorted(folder.glob("parts-*-of-*.gguf"))
    expected = logits(bin_folder, folder / "whole.gguf", folder / "expected", *ids)["logits"]
    found = [logits(bin_folder, parts[i], folder / "found", *ids)["logits"] for i in (0, -1)]
    good = len(parts) > 2 and all(numpy.array_equal(f, expected) for f in found)
    print(f"{'ok  ' if good else 'FAIL'} {len(parts)} files: the logits of one")
    return good


def same_tokens(bin_folder, folder, path):
    good = True
    for text in TEXTS:
        found = logits(bin_folder, path, folder / "found", "--text", text)["ids"]
        expected = logits(bin_folder, MODEL, folder / "expected", "--text", text)["ids"]
        if found.tolist() != expected.tolist():
            print(f"FAIL tokens of {text!r}: {found.tolist()}, expected {expected.tolist()}")
            good = False
    return good


def bundled(bin_folder, folder):
    config = json.loads((MODEL / "config.json").read_text())
    tokenizer = json.loads((MODEL / "tokenizer.json").read_text(encoding="utf-8"))
    tensors = load_floats(MODEL)
    good = True
    for name in ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"):
        dtype = gguf.GGMLQuantizationType[name]
        blocks = {matrix: (dtype, gguf.quantize(values, dtype))
                  for matrix, values in tensors.items() if matrix.endswith(MATRICES)}
        good &= compare(bin_folder, folder, name, config, tensors, blocks, tokenizer)
        if name == "Q8_0":
            good &= same_tokens(bin_folder, folder, folder / "Q8_0.gguf")
        (folder / f"{name}.gguf").unlink()
    return good & same_in_parts(bin_folder, folder, config, tensors, tokenizer)


def random_model(bin_folder, folder, rng):
    """Rows of 256 and 512 elements, several groups, a head that is not the embedding."""
    config = dict(model_type="mamba2", hidden_size=256, expand=2, head_dim=32, num_heads=16,
                  state_size=16, n_groups=2, conv_kernel=4, num_hidden_layers=2, vocab_size=96,
                  layer_norm_epsilon=1e-5, use_bias=False, use_conv_bias=True,
                  tie_word_embeddings=False, eos_token_id=None)
    tensors = random_tensors(config, rng)
    good = True
    for name in (*HALVES, *GRIDS):
        dtype = gguf.GGMLQuantizationType[name]
        size, width = gguf.GGML_QUANT_SIZES[dtype]
        blocks = {}
        for matrix, values in tensors.items():
            if matrix.endswith(MATRICES):
                data = random_blocks(name, values.size // size, rng)
                blocks[matrix] = dtype, data.reshape(values.shape[0], -1, width).reshape(
                    values.shape[0], values.shape[1] // size * width)
        good &= compare(bin_folder, folder, f"random-{name}", config, tensors, blocks)
    return good


def main():
    bin_folder = pathlib.Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        good = bundled(bin_folder, folder)
        good &= random_model(bin_folder, folder, numpy.random.default_rng(20))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
