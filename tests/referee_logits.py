#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What mamba2-logits writes, read with the safetensors package, is the golden run's logits.

  python3 tests/referee_logits.py BIN

BIN is the folder of the programs. Exits 0 if all is well, 1 if not, 77 if a package is not there.
"""
import pathlib
import sys
import tempfile

from referees import MODEL, ROOT, logits
import numpy
from safetensors.numpy import load_file


def main():
    bin_folder = pathlib.Path(sys.argv[1])
    golden = load_file(ROOT / "tests/golden/llama-tales-14m.safetensors")
    ids = golden["ids"].reshape(-1)
    expected = golden["logits"].reshape(len(ids), -1)
    listed = ",".join(str(i) for i in ids)

    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "out.safetensors"
        every = logits(bin_folder, MODEL, out, "--ids", listed, "--all")
        last = logits(bin_folder, MODEL, out, "--ids", listed)
        text = logits(bin_folder, MODEL, out, "--text", "The sea was calm")

    assert every["logits"].dtype == numpy.float32 and every["logits"].shape == expected.shape
    assert (every["ids"] == ids).all()
    difference = float(numpy.abs(every["logits"] - expected).max())
    print(f"{len(ids)} positions, largest difference {difference:.2e}")
    assert difference < 1e-3

    assert last["logits"].shape == (1, expected.shape[1])
    assert numpy.abs(last["logits"][0] - expected[-1]).max() < 1e-3

    assert text["logits"].shape == (1, expected.shape[1]) and len(text["ids"]) > 2


main()
