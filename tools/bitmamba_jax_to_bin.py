#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes BitMamba-2's model.bin of the latent weights that it is published with for JAX (.msgpack).

Needs the packages msgpack and numpy. The three matrices of a layer and the head become -1, 0 and 1
as at training: gamma = mean|W|, code = clamp(round(W / gamma), -1, 1), scale = 1 / gamma. A value
at exactly half a gamma may fall on the other side of it than in the published .bin, as the mean
depends on the order of the sum in its last digit: where there is a .bin, take it."""

import argparse
import os
import pathlib
import re
import struct
import sys

MAGIC = 0x42495432
# A tensor of a layer: its keys, whether it is a matrix, and its shape in the file by (d_model, heads).
LAYER = (
    (("BitLinear_0", "RMSNorm_0", "scale"), False, lambda d, h: (d,)),
    (("BitLinear_0", "kernel"), True, lambda d, h: (4 * d + 3 * h, d)),
    (("Conv_0", "kernel"), False, lambda d, h: (2 * d, 1, 4)),
    (("Conv_0", "bias"), False, lambda d, h: (2 * d,)),
    (("dt_bias",), False, lambda d, h: (h,)),
    (("A_log",), False, lambda d, h: (h,)),
    (("D",), False, lambda d, h: (2 * d,)),
    (("BitLinear_1", "RMSNorm_0", "scale"), False, lambda d, h: (2 * d,)),
    (("BitLinear_1", "kernel"), True, lambda d, h: (d, 2 * d)),
)


def array(shape, dtype, data):
    """An array of Flax's msgpack files, as FP32."""
    import numpy as np
    dtype = dtype.decode() if isinstance(dtype, bytes) else dtype
    if dtype in ("bfloat16", "V2"):
        bits = np.frombuffer(data, "<u2").astype("<u4") << 16
        return bits.view("<f4").reshape(shape)
    return np.frombuffer(data, np.dtype(dtype).newbyteorder("<")).astype("<f4").reshape(shape)


def load(path):
    """The tree of a file: names, arrays."""
    import msgpack
    import numpy as np

    def extension(code, data):
        if code != 1:
            raise ValueError(f"extension {code}, of which no array is made")
        return array(*msgpack.unpackb(data, raw=True))

    def joined(tree):
        if not isinstance(tree, dict):
            return tree
        if tree.get("__msgpack_chunked_array__"):
            def in_order(part):
                return [part[str(i)] for i in range(len(part))]
            return np.concatenate(in_order(tree["chunks"])).reshape(in_order(tree["shape"]))
        return {name: joined(part) for name, part in tree.items()}

    try:
        tree = joined(msgpack.unpackb(path.read_bytes(), ext_hook=extension, raw=False,
                                      strict_map_key=False))
    except Exception as error:  # whatever a broken file raises
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        sys.exit(f"{path}: cannot be read: {reason}")
    if not isinstance(tree, dict):
        sys.exit(f"{path}: expected weights by name, found {type(tree).__name__}")
    return tree.get("params", tree)


def only(tree, pattern, path):
    """The part whose name, perhaps with something before it, is this."""
    found = [name for name in tree if re.fullmatch(f"(.*[^0-9A-Za-z])?{pattern}", name)]
    if len(found) != 1:
        sys.exit(f"{path}: expected one {pattern}, found {len(found)}")
    return tree[found[0]]


def at(tree, keys, path, where=""):
    """The array at these keys."""
    for key in keys:
        if not isinstance(tree, dict) or key not in tree:
            sys.exit(f"{path}: {where}{'.'.join(keys)}: expected an array, found none")
        tree = tree[key]
    return tree


class Writer:
    """Tensors on their way into a file."""

    def __init__(self, file, path):
        self.file = file
        self.path = path

    def check(self, name, found, shape):
        import numpy as np
        if found.shape != shape:
            sys.exit(f"{self.path}: {name}: shape must be {shape}, found {found.shape}")
        if not np.isfinite(found).all():
            sys.exit(f"{self.path}: {name}: must be finite")

    def floats(self, name, values, shape):
        self.check(name, values, shape)
        self.file.write(struct.pack(f"<{2 + len(shape)}i", 0, len(shape), *shape))
        self.file.write(values.astype("<f4").tobytes())

    def codes(self, name, values, shape):
        import numpy as np
        self.check(name, values, shape)
        gamma = np.abs(values).mean(dtype=np.float32)
        if not gamma > 0:
            sys.exit(f"{self.path}: {name}: must not be all zero")
        codes = np.clip(np.rint(values / gamma), -1, 1).astype(np.int8) + 1
        four = codes.astype(np.uint8).reshape(-1, 4)
        packed = four[:, 0] | four[:, 1] << 2 | four[:, 2] << 4 | four[:, 3] << 6
        self.file.write(struct.pack("<3if", 2, *shape, np.float32(1) / gamma))
        self.file.write(packed.astype(np.uint8).tobytes())


def convert(tree, path, file):
    embedding = at(only(tree, "Embed_0", path), ("embedding",), path)
    blocks = {}
    for name, part in tree.items():
        if match := re.fullmatch(r"(?:.*[^0-9A-Za-z])?BitMambaBlock_(\d+)", name):
            blocks[int(match[1])] = part
    if not blocks or sorted(blocks) != list(range(len(blocks))):
        sys.exit(f"{path}: expected BitMambaBlock_0, 1 and so on, found {sorted(blocks)}")
    vocab, d = embedding.shape
    heads = at(blocks[0], ("A_log",), path, "BitMambaBlock_0.").size
    if d % 4 or heads == 0 or 2 * d % heads:
        sys.exit(f"{path}: {d} columns and {heads} heads are no sizes of BitMamba-2")
    file.write(struct.pack("<5i", MAGIC, vocab, d, len(blocks), heads))
    out = Writer(file, path)
    out.floats("Embed_0.embedding", embedding, (vocab, d))
    for i in range(len(blocks)):
        where = f"BitMambaBlock_{i}."
        for keys, is_matrix, shape in LAYER:
            values = at(blocks[i], keys, path, where)
            name = where + ".".join(keys)
            if keys[0] == "Conv_0" and values.ndim == 3:
                values = values.transpose(2, 1, 0)
            if is_matrix:
                out.codes(name, values.T, shape(d, heads))
            else:
                out.floats(name, values, shape(d, heads))
    head = only(tree, "BitLinear_0", path)
    out.floats("RMSNorm_0", at(only(tree, "RMSNorm_0", path), ("scale",), path), (d,))
    out.floats("BitLinear_0.RMSNorm_0", at(head, ("RMSNorm_0", "scale"), path), (d,))
    out.codes("BitLinear_0.kernel", at(head, ("kernel",), path).T, (vocab, d))


def main():
    parser = argparse.ArgumentParser(description=__doc__, epilog=(
        "Example: %(prog)s bitmamba_255m.msgpack model.bin && mamba2-inspect model.bin\n"
        "Put GPT-2's tokenizer.json beside it."),
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("IN", type=pathlib.Path, help="the .msgpack file")
    parser.add_argument("OUT", type=pathlib.Path, help="the file to write")
    arguments = parser.parse_args()
    try:
        import msgpack  # noqa: F401
        import numpy  # noqa: F401
    except ImportError as error:
        sys.exit(f"needs the package {error.name}: pip install msgpack numpy")
    tree = load(arguments.IN)
    partial = arguments.OUT.with_name(f"{arguments.OUT.name}.{os.getpid()}.partial")
    try:
        with open(partial, "wb") as file:
            convert(tree, arguments.IN, file)
        os.replace(partial, arguments.OUT)
    except OSError as error:
        sys.exit(f"{arguments.OUT}: cannot be written: {error}")
    finally:
        partial.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
