#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What llama.cpp quantizes runs here, with llama.cpp's logits.

  python3 tests/referee_llama_quantize.py BIN

BIN is the folder of the programs. llama.cpp quantizes GGUF files that mamba2-convert writes: the
bundled model, and for types with blocks of 256, which its 384 columns are not, a model of one random
block. All matrices get the type, which the gguf package must find there; Q4_K_M is a mixture, as
people have it. None of these types needs an importance
matrix (Q2_K_S would). Three comparisons of logits follow: of
the weights as llama.cpp decodes them to F32, with the same but for the order of sums; of the file as
it is, where llama.cpp rounds the inputs of products; and that with mixed weights here, which round
them, too, but not always alike. mamba2-inspect must name the formats of mixed weights that the
README names. Exits 0 if all is well, 1 if not, 77 if a package is not there.
"""
import json
import pathlib
import shutil
import sys
import tempfile

from referees import MODEL, convert, run
from llama_cpp_runs import (
    BF16_INPUTS, F16_INPUTS, IDS, POSITIONS, Q8_0_INPUTS, SAME, print_header, quantize, same_logits)
import gguf
import numpy
from make_golden_gguf import random_tensors
from safetensors.numpy import save_file

# Bounds, as in llama_cpp_runs.py. Q2_K becomes Q8_0 in mixed weights: one more rounding.
# For the random block. Where both have a scale for each 32 inputs, most are rounded alike; where
# llama.cpp has one for 256, it rounds more coarsely.
BLOCK_Q8_0_INPUTS = 0.0275, 0.35
BLOCK_ALIKE = 0.0095, 0.085
BLOCK_Q8_K_INPUTS = 0.045, 0.5
BLOCK_MINIMA = 0.055, 0.5

# With our fp32, and with mixed.
BUNDLED = {
    "F32": (SAME, SAME),
    "F16": (F16_INPUTS, F16_INPUTS),
    "BF16": (BF16_INPUTS, BF16_INPUTS),
    "Q8_0": (Q8_0_INPUTS, Q8_0_INPUTS),
    "Q4_0": (Q8_0_INPUTS, Q8_0_INPUTS),
    "Q4_1": (Q8_0_INPUTS, Q8_0_INPUTS),
    "Q5_0": (Q8_0_INPUTS, Q8_0_INPUTS),
    "Q5_1": (Q8_0_INPUTS, Q8_0_INPUTS),
    "IQ4_NL": (Q8_0_INPUTS, Q8_0_INPUTS),
}
RANDOM = {
    "Q8_0": (BLOCK_Q8_0_INPUTS, BLOCK_ALIKE),
    "Q4_0": (BLOCK_Q8_0_INPUTS, BLOCK_ALIKE),
    "Q5_0": (BLOCK_Q8_0_INPUTS, BLOCK_ALIKE),
    "IQ4_NL": (BLOCK_Q8_0_INPUTS, BLOCK_ALIKE),
    "IQ4_XS": (BLOCK_Q8_K_INPUTS, BLOCK_Q8_K_INPUTS),
    "Q2_K": (BLOCK_Q8_K_INPUTS, BLOCK_MINIMA),
    "Q3_K": (BLOCK_Q8_K_INPUTS, BLOCK_Q8_K_INPUTS),
    "Q4_K": (BLOCK_Q8_K_INPUTS, BLOCK_Q8_K_INPUTS),
    "Q5_K": (BLOCK_Q8_K_INPUTS, BLOCK_Q8_K_INPUTS),
    "Q6_K": (BLOCK_Q8_K_INPUTS, BLOCK_Q8_K_INPUTS),
    "TQ1_0": (BLOCK_Q8_K_INPUTS, BLOCK_Q8_K_INPUTS),
    "TQ2_0": (BLOCK_Q8_K_INPUTS, BLOCK_Q8_K_INPUTS),
    "Q4_K_M": (BLOCK_Q8_K_INPUTS, BLOCK_Q8_K_INPUTS),
}
# In llama.cpp's API; of the others MOSTLY_ and the name.
FILE_TYPES = {"F32": "ALL_F32", "Q3_K": "MOSTLY_Q3_K_S", "Q4_K": "MOSTLY_Q4_K_S",
              "Q5_K": "MOSTLY_Q5_K_S"}

MATRICES = {"token_embd.weight": "embedding.weight", "ssm_in.weight": "in_proj.weight",
            "ssm_out.weight": "out_proj.weight", "output.weight": "lm_head.weight"}
MIXED_FORMATS = {"F32": "fp32", "F16": "fp16", "BF16": "bf16",
                 "Q8_0": "q8_0", "Q2_K": "q8_0", "Q5_0": "q5_0", "IQ4_NL": "iq4_nl", "IQ4_XS": "iq4_xs",
                 "Q4_1": "q4_1", "Q5_1": "q5_1", "Q5_K": "q5_k",
                 "Q4_0": "q4_0", "TQ1_0": "q2_0", "TQ2_0": "q2_0",
                 "Q4_K": "q4_k", "Q3_K": "q6_k", "Q6_K": "q6_k"}


def write_random(folder):
    """One block with several groups, a head that is not the embedding, and the bundled tokenizer, as
    transformers would write it. Products keep the size of their inputs."""
    config = json.loads((MODEL / "config.json").read_text())
    config |= dict(hidden_size=512, num_heads=16, n_groups=2, num_hidden_layers=1,
                   tie_word_embeddings=False)
    tensors = random_tensors(config, numpy.random.default_rng(20))
    for name, values in tensors.items():
        if name.endswith(("_proj.weight", "lm_head.weight")):
            values *= 2 / numpy.sqrt(values.shape[1])
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "model.safetensors")
    shutil.copy(MODEL / "tokenizer.json", folder)
    return folder


def types_in(path):
    """Of the matrices by the ends of their names, and of all else."""
    types = {}
    for tensor in gguf.GGUFReader(path).tensors:
        matrix = next(filter(tensor.name.endswith, MATRICES), "else")
        types.setdefault(matrix, set()).add(tensor.tensor_type.name)
    return types


def formats_in(bin_folder, folder, path):
    """As types_in: the types that mamba2-inspect finds, and its formats of mixed weights."""
    run(bin_folder / "mamba2-inspect", path, "--json", folder / "report.json")
    formats = {}
    for tensor in json.loads((folder / "report.json").read_text())["tensors"]:
        matrix = next((ours for ours in MATRICES if tensor["name"].endswith(MATRICES[ours])), "else")
        formats.setdefault(matrix, set()).add((tensor["dtype"], tensor["mixed"]))
    return formats


def same_types(bin_folder, folder, name, path, found):
    """Whether llama.cpp wrote the types that were asked for, and mamba2-inspect says so."""
    expected = dict.fromkeys(MATRICES, {name}) | {"else": {"F32"}}
    if name == "Q4_K_M":
        expected |= dict.fromkeys(MATRICES, {"Q4_K"}) | {"output.weight": {"Q6_K"}}
    if "output.weight" not in found:
        del expected["output.weight"]  # tied: the embedding is the head
    formats = {matrix: {(dtype, MIXED_FORMATS[dtype]) for dtype in types}
               for matrix, types in expected.items()}
    found_formats = formats_in(bin_folder, folder, path)
    if found == expected and found_formats == formats:
        return True
    print(f"FAIL {name}: types {found}, expected {expected}; mamba2-inspect has {found_formats}, "
          f"expected {formats}")
    return False


def random_tokens():
    """For the random block: tokens of its own, as its bounds must not depend on the bundled model's
    texts. These have no position that makes several times more of a rounding than others do."""
    vocabulary = json.loads((MODEL / "config.json").read_text())["vocab_size"]
    return numpy.random.default_rng(21).integers(0, vocabulary, POSITIONS).tolist()


def check(bin_folder, folder, base, tokens, name, bounds):
    path = quantize(base, folder / f"{name}.gguf", FILE_TYPES.get(name, f"MOSTLY_{name}"),
                    pure=name != "Q4_K_M")
    floats = quantize(path, folder / "as-f32.gguf", "ALL_F32")
    found = types_in(path)
    good = same_types(bin_folder, folder, name, path, found)
    written = " ".join(sorted(set().union(*(found[matrix] for matrix in MATRICES & found.keys()))))
    return same_logits(bin_folder, folder, f"{name:8}{written}", path, floats, *bounds,
                       tokens) and good


def main():
    bin_folder = pathlib.Path(sys.argv[1])
    print_header()
    good = True
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        for model, types, tokens in ((MODEL, BUNDLED, IDS),
                                     (write_random(folder / "random"), RANDOM, random_tokens())):
            print(f"{model.name}:")
            base = convert(bin_folder, model, folder / f"{model.name}.gguf", "--type", "f32")
            good &= all([check(bin_folder, folder, base, tokens, *item) for item in types.items()])
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
