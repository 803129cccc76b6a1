#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tools/bitmamba_jax_to_bin.py makes a golden file of BitMamba-2 again, of latent weights whose
ternary values are the file's; and refuses what it cannot read. Exits 0 if all is well, 1 if not, 77
if msgpack or numpy are not there.
"""
import pathlib
import struct
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests/golden/bitmamba/d64/model.bin"

try:
    import msgpack
    import numpy as np
except ImportError:
    sys.exit(77)


class Reader:
    """The arrays of a file, one after the other."""

    def __init__(self, file):
        self.file, self.at = file, 4
        self.vocab, self.d, self.layers, self.heads = self.take("<4i")

    def take(self, form):
        size = struct.calcsize(form)
        self.at += size
        return struct.unpack(form, self.file[self.at - size:self.at])

    def floats(self):
        _, count = self.take("<2i")
        shape = self.take(f"<{count}i")
        return np.array(self.take(f"<{np.prod(shape)}f"), np.float32).reshape(shape)

    def latent(self):
        """Weights (in, out) that become these codes and this scale."""
        _, rows, cols, scale = self.take("<3if")
        packed = np.array(self.take(f"<{rows * cols // 4}B"), np.uint8)
        codes = (packed[:, None] >> np.array([0, 2, 4, 6], np.uint8) & 3).astype(int) - 1
        codes = codes.reshape(rows, cols)
        ones = np.count_nonzero(codes)
        if ones < codes.size / 2:
            raise ValueError("too many zeros")
        return (codes * (codes.size / ones / float(scale))).astype(np.float32).T


def packed(tree):
    def of(value):
        if isinstance(value, dict):
            return {name: of(part) for name, part in value.items()}
        data = msgpack.packb((value.shape, value.dtype.name, value.tobytes()), use_bin_type=True)
        return msgpack.ExtType(1, data)
    return msgpack.packb(of(tree), use_bin_type=True)


def tree_of(file):
    r = Reader(file)
    tree = {"Embed_0": {"embedding": r.floats()}}
    for i in range(r.layers):
        norm, matrix = r.floats(), r.latent()
        block = {"BitLinear_0": {"RMSNorm_0": {"scale": norm}, "kernel": matrix},
                 "Conv_0": {"kernel": np.ascontiguousarray(r.floats().transpose(2, 1, 0)),
                            "bias": r.floats()},
                 "dt_bias": r.floats(), "A_log": r.floats(), "D": r.floats()}
        norm, matrix = r.floats(), r.latent()
        block["BitLinear_1"] = {"RMSNorm_0": {"scale": norm}, "kernel": matrix}
        tree[f"Checkpoint_BitMambaBlock_{i}"] = block
    tree["RMSNorm_0"] = {"scale": r.floats()}
    norm, matrix = r.floats(), r.latent()
    tree["BitLinear_0"] = {"RMSNorm_0": {"scale": norm}, "kernel": matrix}
    return tree


def convert(status, message, *arguments):
    program = ROOT / "tools/bitmamba_jax_to_bin.py"
    done = subprocess.run([sys.executable, program, *arguments], capture_output=True, text=True)
    assert done.returncode == status and message in done.stderr, (arguments, done)
    assert status == 0 or len(done.stderr.splitlines()) == 1, done.stderr


def alike(a, b):
    """Files alike but for the last digits of scales."""
    assert len(a) == len(b)
    differ = [i for i in range(len(a)) if a[i] != b[i]]
    ra, rb = Reader(a), Reader(b)
    for r in (ra, rb):
        r.scales = []
        r.floats()
        for tensor in "fmffffffm" * r.layers:
            if tensor == "f":
                r.floats()
                continue
            _, rows, cols, scale = r.take("<3if")
            r.scales.append((r.at - 4, scale))
            r.at += rows * cols // 4
        r.floats(), r.floats()
        _, rows, cols, scale = r.take("<3if")
        r.scales.append((r.at - 4, scale))
    places = {at + k for at, _ in ra.scales for k in range(4)}
    assert set(differ) <= places, "more than scales differ"
    for (_, x), (_, y) in zip(ra.scales, rb.scales):
        assert abs(x / y - 1) < 1e-6, (x, y)


def main():
    golden = GOLDEN.read_bytes()
    tree = tree_of(golden)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        latent, out = folder / "latent.msgpack", folder / "model.bin"
        for whole in (tree, {"params": tree}):
            latent.write_bytes(packed(whole))
            convert(0, "", latent, out)
            alike(golden, out.read_bytes())
            out.unlink()
        del tree["Checkpoint_BitMambaBlock_1"]["D"]
        latent.write_bytes(packed(tree))
        convert(1, "BitMambaBlock_1.D: expected an array, found none", latent, out)
        del tree["Checkpoint_BitMambaBlock_1"]
        latent.write_bytes(packed(tree))
        convert(1, "expected BitMambaBlock_0, 1 and so on, found [0, 2]", latent, out)
        latent.write_bytes(b"\xc1nonsense")
        convert(1, "cannot be read", latent, out)
        assert sorted(path.name for path in folder.iterdir()) == ["latent.msgpack"]


main()
