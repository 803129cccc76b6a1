#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes a quantized checkpoint of this library of one that Quamba2 has released for Mamba-2: W4A16,
W8A8, W4A8, or layers of several of these.

Codes and scales are taken as they are: INT4 in groups of 128 columns, INT8 with a scale a row. Of W4A8
these are the weights before their second rounding, to eight bits, with scales as FP16; --exact keeps
the second rounding, as INT8. Inputs and states are not rounded by the file's constant scales, but as
the library rounds them, for each token: that costs a tenth of the accuracy. out_proj stays rotated over
its whole width.

Needs the packages torch (any; the one for CPUs is enough), numpy and safetensors. Nothing that is in the
pickle is executed."""

import argparse
import json
import pathlib
import shutil
import sys

from pytorch_bin_to_safetensors import read, write
from quamba2_codes import in_order, unpack

GROUP = 128
KINDS = ("W4A16", "W8A8", "W4A8")


class Reader:
    """The tensors and numbers of a checkpoint as numpy has them, each asked for once."""

    def __init__(self, np, path, values):
        self.np, self.path, self.values = np, path, values

    def refuse(self, message):
        sys.exit(f"{self.path}: {message}")

    def has(self, name):
        return name in self.values

    def number(self, name):
        value = self.values.get(name)
        if hasattr(value, "item") and value.numel() == 1:
            value = value.item()
        if not isinstance(value, float) or not 0 < value < float("inf"):
            self.refuse(f"{name}: expected a positive number, found {value!r}")
        return value

    def tensor(self, name, dtype, shape=None):
        value = self.values.get(name)
        found = "nothing" if value is None else type(value).__name__
        if hasattr(value, "numpy"):
            array = value.numpy()
            if array.dtype == dtype and (shape is None or array.shape == shape):
                return array
            found = f"{array.dtype} {array.shape}"
        self.refuse(f"{name}: expected {self.np.dtype(dtype)} {shape or ''}, found {found}")

    def floats(self, name, shape):
        """FP32 of a tensor of FP16 or FP32."""
        dtype = getattr(self.values.get(name), "dtype", None)
        half = "float16" in str(dtype)
        found = self.tensor(name, self.np.float16 if half else self.np.float32, shape)
        return found.astype(self.np.float32)


class Writer:
    """What the result consists of."""

    def __init__(self, np, exact):
        self.np, self.exact = np, exact
        self.tensors, self.matrices, self.notes = {}, {}, []

    def floats(self, name, values):
        self.tensors[f"backbone.{name}"] = self.np.ascontiguousarray(values, self.np.float32)

    def prefixed(self, name):
        return name if name == "lm_head" else f"backbone.{name}"

    def entry(self, name, rotation, **keys):
        self.matrices[name] = keys | ({"rotation": rotation} if rotation > 1 else {})

    def int8(self, name, codes, scales, rotation=1):
        """codes (rows, cols) of INT8, scales (rows)."""
        np = self.np
        if (codes == -128).any():
            self.notes.append(f"{name}: has codes of -128, which INT8 here has not: stored as FP32")
            if rotation > 1:
                sys.exit(f"{name}: a rotated matrix with codes of -128 is not supported")
            self.tensors[f"{self.prefixed(name)}.weight"] = codes * scales[:, None].astype(np.float32)
            return
        self.tensors[f"{self.prefixed(name)}.weight"] = np.ascontiguousarray(codes, np.int8)
        self.tensors[f"{self.prefixed(name)}.weight_scale"] = scales.astype(np.float32)
        self.entry(name, rotation, bits=8)

    def int4(self, name, codes, scales, rotation=1):
        """codes (rows, cols) of 0..15, scales (rows, cols / 128)."""
        np = self.np
        half = np.ascontiguousarray(scales, np.float16)
        if not np.isfinite(half).all():
            sys.exit(f"{name}: scales beyond the range of FP16")
        low, high = codes[:, 0::2].astype(np.uint8), codes[:, 1::2].astype(np.uint8)
        self.tensors[f"{self.prefixed(name)}.weight"] = low | high << 4
        self.tensors[f"{self.prefixed(name)}.weight_scale"] = half
        self.entry(name, rotation, bits=4, group=GROUP)


def convert_matrix(reader, writer, kind, source, name, rows, cols, row_scale=1.0, rotation=1):
    """One matrix (rows, cols), whose rows have been divided by row_scale."""
    np = reader.np
    if cols % GROUP != 0:
        reader.refuse(f"{source}: {cols} columns are no multiple of {GROUP}")
    if kind == "W8A8":
        codes = reader.tensor(f"{source}.weight", np.int8).T  # its storage is (rows, cols)
        b = reader.tensor(f"{source}.b", np.float32).reshape(-1)
        if codes.shape[0] < rows or codes.shape[1] != cols or b.size not in (1, codes.shape[0]):
            reader.refuse(f"{source}: expected {rows} rows of {cols}, found {codes.shape}, {b.size}")
        scales = np.broadcast_to(b if b.size == 1 else b[:rows], rows) * row_scale
        return writer.int8(name, codes[:rows], scales, rotation)
    words = reader.tensor(f"{source}.weight", np.int32)
    padded = words.shape[1] // 2
    if padded < rows or padded % 64 != 0 or words.shape != (cols // 16, 2 * padded):
        reader.refuse(f"{source}: expected {rows} rows of {cols}, found words {words.shape}")
    codes = unpack(np, words, kind)[:rows]
    groups = (cols // GROUP, padded)
    if kind == "W4A16":
        scales = in_order(np, reader.tensor(f"{source}.scale", np.float16, groups), 64)
        return writer.int4(name, codes, scales.T[:rows], rotation)
    of_groups = in_order(np, reader.tensor(f"{source}.s_group", np.float16, groups), 64)
    of_groups = of_groups.T[:rows].astype(np.float32)
    of_rows = in_order(np, reader.tensor(f"{source}.s_channel", np.float32, (1, padded)), 32)
    of_rows = of_rows[0, :rows] * row_scale
    if not writer.exact:
        return writer.int4(name, codes, of_groups * of_rows[:, None], rotation)
    twice = np.rint((codes - 8.0) * np.repeat(of_groups, GROUP, 1)).clip(-128, 127)
    return writer.int8(name, twice.astype(np.int8), of_rows, rotation)


def convert_vectors(reader, writer, kind, source, name, sizes):
    """What a mixer has beside its matrices. Answers what its in_proj's rows were divided by."""
    np = reader.np
    di, state, heads = sizes["d_inner"], sizes["state"], sizes["heads"]
    channels = di + 2 * state
    writer.floats(f"{name}.norm.weight", reader.floats(f"{source}.norm.weight", (di,)))
    if kind == "W4A16":
        for vector in ("A_log", "D", "dt_bias"):
            writer.floats(f"{name}.{vector}", reader.floats(f"{source}.{vector}", (heads,)))
        for part, shape in (("weight", (channels, 1, 4)), ("bias", (channels,))):
            values = reader.floats(f"{source}.conv1d.{part}", shape)
            writer.floats(f"{name}.conv1d.{part}", values)
        return 1.0
    scan, conv = f"{source}.qchunk_scan", f"{source}.conv1d"
    for vector in ("A_log", "D"):
        codes = reader.tensor(f"{scan}.{vector}", np.int8, (heads,))
        writer.floats(f"{name}.{vector}", codes * reader.number(f"{scan}.{vector}_scale"))
    writer.floats(f"{name}.dt_bias", reader.floats(f"{scan}.dt_bias", (heads,)))
    parts = (di, state, state)
    by_part = [[reader.number(f"{conv}.{kind_}{part}_scale") for part in "xBC"]
               for kind_ in ("w", "b", "")]
    taps = reader.tensor(f"{conv}.weight", np.int8, (channels, 4))
    bias = reader.tensor(f"{conv}.bias", np.int8, (channels,))
    writer.floats(f"{name}.conv1d.weight",
                  (taps * np.repeat(by_part[0], parts)[:, None])[:, None, :])
    writer.floats(f"{name}.conv1d.bias", bias * np.repeat(by_part[1], parts))
    made = [reader.number(f"{source}.norm.z_scale"), *by_part[2], reader.number(f"{scan}.dt_scale")]
    return np.repeat(np.float32(made), (di, *parts, heads))


def convert_embedding(reader, writer, kind, d_model):
    """Answers its rows."""
    np = reader.np
    name = "backbone.embedding"
    if kind == "Embedding":
        rows = getattr(reader.values.get(f"{name}.weight"), "shape", (0,))[0]
        writer.floats("embedding.weight", reader.floats(f"{name}.weight", (rows, d_model)))
        return rows
    rows = getattr(reader.values.get(f"{name}.scales"), "shape", (0,))[0]
    scales = reader.tensor(f"{name}.scales", np.float16, (rows,)).astype(np.float32)
    if kind == "W8O16Embedding":
        codes = reader.tensor(f"{name}.weight", np.int8, (rows, d_model))
    elif kind == "W4O16Embedding":
        words = reader.tensor(f"{name}.weight", np.int32, (rows, d_model // 8)).view(np.uint32)
        nibbles = (words[..., None] >> (4 * np.arange(8, dtype=np.uint32))) & 15
        codes = np.empty(nibbles.shape, np.int8)
        codes[..., (0, 2, 4, 6, 1, 3, 5, 7)] = nibbles.astype(np.int8) - 8
        codes = codes.reshape(rows, d_model)
    else:
        reader.refuse(f"embedding_cfg.layer {kind!r} is not supported")
    signs = np.where(scales < 0, -1, 1)  # scales are positive here
    writer.int8("embedding", codes * signs[:, None], scales * signs)
    return rows


def kind_of(reader, key, layer, end):
    kind = layer.removesuffix(end) if isinstance(layer, str) else ""
    if kind not in KINDS or not layer.endswith(end):
        reader.refuse(f"config.json: {key}: expected one of {', '.join(k + end for k in KINDS)}, "
                      f"found {layer!r}")
    return kind


def convert(reader, writer, config):
    """Fills the writer; answers the config.json of the result."""
    ssm = dict(config["ssm_cfg"])
    d_model, layers, layer = config["d_model"], config["n_layer"], ssm.pop("layer")
    d_inner = ssm.get("expand", 2) * d_model
    sizes = {"d_inner": d_inner, "heads": d_inner // ssm.get("headdim", 64),
             "state": ssm.get("ngroups", 1) * ssm.get("d_state", 128)}
    rows = 2 * d_inner + 2 * sizes["state"] + sizes["heads"]
    for i in range(layers):
        at = f"backbone.layers.{i}"
        mixer, norm = f"{at}.mixer", f"{at}.norm"
        kind = layer
        if isinstance(layer, list):  # of each layer: {"W4A8": its class}
            if len(layer) != layers or len(layer[i]) != 1:
                reader.refuse("config.json: ssm_cfg.layer: expected one class for each layer")
            (bits, kind), = layer[i].items()
            mixer, norm = f"{at}.mixers.{bits}", f"{at}.norms.{bits}"
        kind = kind_of(reader, "ssm_cfg.layer", kind, "QMamba2")
        writer.floats(f"layers.{i}.norm.weight", reader.floats(f"{norm}.weight", (d_model,)))
        made = convert_vectors(reader, writer, kind, mixer, f"layers.{i}.mixer", sizes)
        convert_matrix(reader, writer, kind, f"{mixer}.in_proj", f"layers.{i}.mixer.in_proj", rows,
                       d_model, made)
        convert_matrix(reader, writer, kind, f"{mixer}.out_proj", f"layers.{i}.mixer.out_proj",
                       d_model, d_inner, rotation=d_inner)
    writer.floats("norm_f.weight", reader.floats("backbone.norm_f.weight", (d_model,)))
    vocab = convert_embedding(reader, writer, config["embedding_cfg"]["layer"], d_model)
    head = config["lm_head_cfg"]["layer"]
    if head == "Linear":
        writer.tensors["lm_head.weight"] = reader.floats("lm_head.weight", (vocab, d_model))
    else:
        convert_matrix(reader, writer, kind_of(reader, "lm_head_cfg.layer", head, "B16O16Linear"),
                       "lm_head", "lm_head", vocab, d_model)
    kept = {key: value for key, value in config.items()
            if key not in ("norm_cfg", "embedding_cfg", "lm_head_cfg", "is_hybrid")}
    return kept | {"ssm_cfg": {"layer": "Mamba2", **ssm}, "tie_embeddings": False,
                   "quantization_config": {"quant_method": "mamba2", "version": 1,
                                           "matrices": writer.matrices}}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, epilog=(
            "Example: %(prog)s quamba2-2.7b-w4a16 out && generate out \"Once upon a time\"\n"
            "Those checkpoints have no tokenizer: put GPT-NeoX-20B's tokenizer.json beside the rest."))
    parser.add_argument("model", metavar="IN", type=pathlib.Path,
                        help="folder with config.json and pytorch_model.bin")
    parser.add_argument("out", metavar="OUT", type=pathlib.Path, help="a new folder")
    parser.add_argument("--exact", action="store_true",
                        help="W4A8: INT8, with the second rounding of the weights")
    arguments = parser.parse_args()
    model, out = arguments.model, arguments.out
    for name in ("config.json", "pytorch_model.bin"):
        if not (model / name).is_file():
            sys.exit(f"{model / name}: no such file")
    if out.exists():
        sys.exit(f"{out}: exists")
    try:
        import numpy
        from safetensors.numpy import save_file
    except ImportError as missing:
        sys.exit(f"the package {missing.name} is missing: pip install torch numpy safetensors")
    reader = Reader(numpy, model / "pytorch_model.bin", read(model / "pytorch_model.bin"))
    writer = Writer(numpy, arguments.exact)
    try:
        config = convert(reader, writer, json.loads((model / "config.json").read_text()))
    except (AttributeError, KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        sys.exit(f"{model / 'config.json'}: is not one of Quamba2: {type(error).__name__}: {error}")
    try:
        out.mkdir()
    except OSError as error:
        sys.exit(f"{out}: cannot be made: {error.strerror}")
    if (model / "tokenizer.json").is_file():
        write(out / "tokenizer.json", lambda path: shutil.copyfile(model / "tokenizer.json", path))
    weights = out / "model.safetensors"
    write(weights, lambda path: save_file(writer.tensors, path, metadata={"format": "pt"}))
    write(out / "config.json", lambda path: path.write_text(json.dumps(config, indent=2) + "\n"))
    print("\n".join([*writer.notes, f"{weights}: {len(writer.tensors)} tensors, "
                     f"{weights.stat().st_size / 1e6:.1f} MB"]))


if __name__ == "__main__":
    main()
