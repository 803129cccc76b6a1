#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What mamba2-convert writes: the gguf, safetensors and tokenizers packages read it.

  python3 tests/referee_convert.py BIN

BIN is the folder of the programs. Converts the bundled model to GGUF in each type: tensors and
metadata must be those that llama.cpp's converter writes, in Q8_0 and Q4_0 the bytes that the gguf
package quantizes to. Converts GGUF back to a folder: the floats and the tokenizer must be the same.
Folders of hybrids must have the tensors that transformers writes.
Exits 0 if all is well, 1 if not, 77 if a package is not there.
"""
import json
import pathlib
import sys
import tempfile

from referees import MODEL, ROOT, TEXTS, convert, load_floats
import gguf
import numpy
from make_golden_gguf import MATRICES, gguf_name, write_gguf
from safetensors import safe_open
from tokenizers import Tokenizer

FILE_TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 7, "BF16": 32}
# What the writer of the referee leaves out, or has another opinion of.
OTHER_KEYS = {"general.name": "llama-tales-14m", "general.type": "model",
              "general.quantization_version": 2, "tokenizer.ggml.padding_token_id": 0,
              "tokenizer.ggml.add_bos_token": False, "tokenizer.ggml.add_eos_token": False}


class Referee:
    def __init__(self):
        self.good = True

    def check(self, fine, what):
        if not fine:
            print(f"FAIL {what}")
            self.good = False

    def same(self, found, expected, what):
        self.check(found == expected, f"{what}: {found}, expected {expected}")


def expected_types(name, tensors):
    """Of matrices: the head has rows of 384, which are no blocks of Q6_K."""
    types = {}
    for matrix in tensors:
        if matrix.endswith(MATRICES):
            is_head = matrix == "backbone.embeddings.weight"
            types[matrix] = "Q8_0" if name == "Q4_0" and is_head else name
    return {matrix: gguf.GGMLQuantizationType[dtype] for matrix, dtype in types.items()}


def fields_of(reader):
    return {key: field.contents() for key, field in reader.fields.items()
            if not key.startswith("GGUF.")}


def check_gguf(referee, bin_folder, folder, name):
    """Compares a converted file with one that the gguf package writes."""
    config = json.loads((MODEL / "config.json").read_text())
    tokenizer = json.loads((MODEL / "tokenizer.json").read_text(encoding="utf-8"))
    tensors = load_floats(MODEL)
    blocks = {matrix: (dtype, gguf.quantize(tensors[matrix], dtype))
              for matrix, dtype in expected_types(name, tensors).items()}
    write_gguf(folder / "expected.gguf", config, tensors, blocks, tokenizer)
    convert(bin_folder, MODEL, folder / f"{name}.gguf", "--type", name.lower())
    found = gguf.GGUFReader(folder / f"{name}.gguf")
    expected = gguf.GGUFReader(folder / "expected.gguf")
    tensors_found = {tensor.name: tensor for tensor in found.tensors}
    referee.same(sorted(tensors_found), sorted(map(gguf_name, tensors)), f"{name}: tensors")
    for tensor in expected.tensors:
        other = tensors_found[tensor.name]
        what = f"{name}: {tensor.name}"
        referee.same(other.tensor_type, tensor.tensor_type, what)
        referee.same(list(other.shape), list(tensor.shape), what)
        if tensor.name.endswith("ssm_a"):  # exponentials of different libraries
            fine = numpy.allclose(other.data, tensor.data, rtol=3e-7, atol=0)
        else:
            fine = numpy.array_equal(other.data, tensor.data)
        referee.check(fine, f"{what}: the data")
    check_fields(referee, name, fields_of(found), fields_of(expected))


def check_fields(referee, name, found, expected):
    expected |= OTHER_KEYS | {"general.file_type": FILE_TYPES[name]}
    referee.same(sorted(found), sorted(expected), f"{name}: keys")
    for key, value in expected.items():
        if isinstance(value, list):
            referee.check(found.get(key) == value, f"{name}: {key}")
        else:
            referee.same(found.get(key), value, f"{name}: {key}")


def check_folder(referee, bin_folder, folder):
    """From GGUF back: A goes through its logarithm, all else stays as it is."""
    convert(bin_folder, folder / "F32.gguf", folder / "back", "--type", "f32")
    expected = load_floats(MODEL)
    with safe_open(folder / "back/model.safetensors", "numpy") as found:
        referee.same(sorted(found.keys()), sorted(expected), "folder: tensors")
        referee.same(found.metadata(), {"format": "pt"}, "folder: metadata")
        for name, values in expected.items():
            other = found.get_tensor(name)
            referee.same(other.shape, values.shape, f"folder: {name}")
            near = {"rtol": 0, "atol": 5e-7 if name.endswith("A_log") else 0}
            referee.check(numpy.allclose(other, values, **near), f"folder: {name}: the data")
    convert(bin_folder, MODEL, folder / "copy")
    tokenizers = [Tokenizer.from_file(str(path / "tokenizer.json"))
                  for path in (MODEL, folder / "copy", folder / "back")]
    for text in TEXTS:
        ids = [tokenizer.encode(text).ids for tokenizer in tokenizers]
        referee.same(ids[1:], ids[:1] * 2, f"folder: tokens of {text!r}")


def check_hybrids(referee, bin_folder, folder):
    """What transformers wrote itself goes through our folder, GGUF where that can be, and back."""
    for name in ("granite_dense", "granite_rope", "bamba", "nemotron_dense", "falcon_h1",
                 "lfm2"):
        golden = ROOT / "tests/golden/hybrids" / name
        ways = [convert(bin_folder, golden, folder / name)]
        if name in ("granite_dense", "nemotron_dense", "lfm2"):
            path = convert(bin_folder, golden, folder / f"{name}.gguf", "--type", "bf16")
            ways.append(convert(bin_folder, path, folder / f"{name}-back"))
        expected = load_floats(golden)
        for way in ways:
            found = load_floats(way)
            referee.same(sorted(found), sorted(expected), f"{way.name}: tensors")
            for tensor, values in expected.items():
                near = {"rtol": 0, "atol": 5e-7 if tensor.endswith("A_log") else 0}
                same = found[tensor].shape == values.shape
                referee.check(same and numpy.allclose(found[tensor], values, **near),
                              f"{way.name}: {tensor}")


def main():
    bin_folder = pathlib.Path(sys.argv[1])
    referee = Referee()
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        for name in FILE_TYPES:
            check_gguf(referee, bin_folder, folder, name)
        check_folder(referee, bin_folder, folder)
        check_hybrids(referee, bin_folder, folder)
    if referee.good:
        print("ok   GGUF in", ", ".join(FILE_TYPES), "and back; hybrids")
    return 0 if referee.good else 1


if __name__ == "__main__":
    sys.exit(main())
