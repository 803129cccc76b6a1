#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# safetensors' numpy side writes the memory of an array and ignores its strides, without a word: a
# transposed array, or every second element of one, comes back as other numbers of the right shape and
# type. torch's side refuses tensors that are not contiguous. A guess would be a copy, or an error.
#
#   findings/safetensors_numpy_strides.sh
#
# Seen with safetensors 0.8.0 and numpy 2.2.6: the array [[0, 3], [1, 4], [2, 5]], which is the
# transpose of one in order, is read back as [[0, 1], [2, 3], [4, 5]]; [0, 2, 4, 6], every second of
# eight, as [0, 1, 2, 3]. astype() keeps the order of its input, so arrays that were computed from a
# transposed one are such, too. numpy.ascontiguousarray() before saving is the remedy.
#
# Here: tools/quamba2_to_mamba2.py makes what it writes contiguous, and tests/referee_quamba2.py
# compares logits.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet safetensors==0.8.0 numpy==2.2.6
"$folder/venv/bin/python" - <<'END'
import numpy
from safetensors.numpy import load, save

transposed = numpy.arange(6, dtype=numpy.float32).reshape(2, 3).T
every_second = numpy.arange(8, dtype=numpy.float32)[::2]
found = load(save({"transposed": transposed, "every_second": every_second,
                   "contiguous": numpy.ascontiguousarray(transposed),
                   "converted": transposed.astype(numpy.float16)}))
for name, values in found.items():
    print(f"{name}: {values.tolist()}")
assert found["transposed"].tolist() == [[0, 1], [2, 3], [4, 5]], "transposed arrays are kept"
assert found["every_second"].tolist() == [0, 1, 2, 3], "strided arrays are kept"
assert found["converted"].tolist() == [[0, 1], [2, 3], [4, 5]]
assert found["contiguous"].tolist() == transposed.tolist()
END
echo "as it was"
