#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/golden/foreign with the compressed-tensors package (which needs PyTorch):

    python3 tools/make_golden_foreign.py --out tests/golden/foreign

matrices.safetensors: small matrices as that package compresses them, named after what they are, and
of each what the package makes of it again, in F32: X.floats.
"""
import argparse
import pathlib

import torch
from compressed_tensors.compressors import FloatQuantizationCompressor, PackedQuantizationCompressor
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from safetensors.torch import save_file

FP8 = {"num_bits": 8, "type": "float", "symmetric": True}
INT4 = {"num_bits": 4, "type": "int", "symmetric": True}


def scales_of(weight, args, largest):
    """The scales of a matrix, in the shape that the package has them in."""
    rows, cols = weight.shape
    magnitudes = weight.abs()
    if args["strategy"] == "tensor":
        most = magnitudes.max().reshape(1)
    elif args["strategy"] == "channel":
        most = magnitudes.amax(1, keepdim=True)
    elif args["strategy"] == "group":
        most = magnitudes.reshape(rows, -1, args["group_size"]).amax(2)
    else:
        height, width = args["block_structure"]
        most = torch.stack([torch.stack([block.max() for block in band.split(width, 1)])
                            for band in magnitudes.split(height, 0)])
    return most / largest


def add(tensors, name, compressor, args, shape, dtype, generator):
    weight = torch.randn(shape, generator=generator) * 0.02
    scheme = QuantizationScheme(targets=["Linear"], weights=QuantizationArgs(**args))
    scales = scales_of(weight, args, 448.0 if args["type"] == "float" else 7.5).to(dtype)
    compressed = compressor.compress({"weight": weight, "weight_scale": scales.float()}, scheme)
    floats = compressor.decompress(dict(compressed), scheme)["weight"]
    compressed["weight_scale"] = scales
    for part, tensor in compressed.items():
        tensors[f"{name}.{part}"] = tensor.contiguous()
    tensors[f"{name}.floats"] = floats.float().contiguous()


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    out = parser.parse_args().out
    generator = torch.Generator().manual_seed(20)
    tensors = {}
    floats, packed = FloatQuantizationCompressor, PackedQuantizationCompressor
    for name, compressor, args, shape, dtype in (
            ("fp8_tensor", floats, FP8 | {"strategy": "tensor"}, (24, 40), torch.float32),
            ("fp8_channel", floats, FP8 | {"strategy": "channel"}, (24, 40), torch.bfloat16),
            ("fp8_group", floats, FP8 | {"strategy": "group", "group_size": 32}, (5, 96),
             torch.float16),
            ("fp8_block", floats, FP8 | {"strategy": "block", "block_structure": [128, 128]},
             (136, 150), torch.float32),
            ("int4_g32", packed, INT4 | {"strategy": "group", "group_size": 32}, (6, 256),
             torch.bfloat16),
            ("int4_g64", packed, INT4 | {"strategy": "group", "group_size": 64}, (6, 256),
             torch.float16),
            ("int4_g128", packed, INT4 | {"strategy": "group", "group_size": 128}, (6, 256),
             torch.bfloat16),
            ("int4_g256", packed, INT4 | {"strategy": "group", "group_size": 256}, (6, 512),
             torch.bfloat16),
            ("int4_channel", packed, INT4 | {"strategy": "channel"}, (6, 64), torch.float16)):
        add(tensors, name, compressor, args, shape, dtype, generator)
    codes = torch.arange(256, dtype=torch.uint8).reshape(16, 16)
    for name, dtype in (("e4m3", torch.float8_e4m3fn), ("e5m2", torch.float8_e5m2)):
        tensors[f"{name}.weight"] = codes.view(dtype).clone()
        tensors[f"{name}.weight_scale"] = torch.tensor(0.5)
        tensors[f"{name}.floats"] = codes.view(dtype).float() * 0.5
    out.mkdir(parents=True, exist_ok=True)
    save_file(tensors, out / "matrices.safetensors")


if __name__ == "__main__":
    main()
