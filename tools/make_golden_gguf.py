#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/golden/gguf with the gguf package:

    python3 tools/make_golden_gguf.py --out tests/golden/gguf

blocks.safetensors: random blocks of each quantized type, and the floats that the package makes of
them: of type Q4_K, say, Q4_K.blocks (blocks, bytes) uint8 and Q4_K.floats (blocks, elements)
float32. encoded.safetensors: floats (blocks, 32) float32, and the bytes that the package makes of
them in the types Q8_0 and Q4_0. iq_blocks.safetensors: as blocks.safetensors, of the types whose
codes are rows of a grid, and IQ2_S.grid_blocks and .grid: blocks with every row, of scale 1, and
eighths of what the package makes of them, int8. toy.gguf: a random model with the first tokens of the bundled model.

Needs the packages in tests/requirements.txt; the seed is fixed."""

import argparse
import json
import pathlib

import gguf
import numpy
from make_iq_grids import blocks_of_grid
from safetensors.numpy import save_file

ROOT = pathlib.Path(__file__).resolve().parent.parent
BLOCKS = 3
TOY_TOKENS = 512
# Where the fp16 numbers of a block are; the rest may be any bytes.
HALVES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "IQ4_NL": [0],
          "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
          "TQ1_0": [52], "TQ2_0": [64], "IQ4_XS": [0]}
GRIDS = {"IQ1_S": [0], "IQ1_M": [], "IQ2_XXS": [0], "IQ2_XS": [0], "IQ2_S": [0], "IQ3_XXS": [0],
         "IQ3_S": [0]}
FLOATS_OF_4_BITS = "MXFP4", "NVFP4"  # whose scales are bytes

NAMES = {"backbone.embeddings.weight": "token_embd.weight",
         "backbone.norm_f.weight": "output_norm.weight",
         "lm_head.weight": "output.weight"}
BLOCK_NAMES = {"norm.weight": "attn_norm.weight", "mixer.in_proj.weight": "ssm_in.weight",
               "mixer.conv1d.weight": "ssm_conv1d.weight", "mixer.conv1d.bias": "ssm_conv1d.bias",
               "mixer.dt_bias": "ssm_dt.bias", "mixer.A_log": "ssm_a", "mixer.D": "ssm_d",
               "mixer.norm.weight": "ssm_norm.weight", "mixer.out_proj.weight": "ssm_out.weight"}
MATRICES = ("embeddings.weight", "in_proj.weight", "out_proj.weight", "lm_head.weight")


def random_blocks(name, count, rng):
    """Blocks of random codes and scales, with scales of the size that weights have."""
    size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]][1]
    blocks = rng.integers(0, 256, (count, size), dtype=numpy.uint8)
    if name == "IQ1_M":  # of four parts, this byte has the highest
        blocks[:, 55] = blocks[:, 55] & 0x0F | 0x20
    for at in {**HALVES, **GRIDS}[name]:
        halves = rng.normal(0, 0.01, count).astype(numpy.float16)
        blocks[:, at:at + 2] = halves.view(numpy.uint8).reshape(count, 2)
    return blocks


def gguf_name(name):
    if name in NAMES:
        return NAMES[name]
    _, _, layer, rest = name.split(".", 3)
    return f"blk.{layer}.{BLOCK_NAMES[rest]}"


def add_config(writer, config):
    d_inner = int(config["expand"] * config["hidden_size"])
    writer.add_context_length(1048576)
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(0)
    writer.add_head_count(0)
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_ssm_conv_kernel(config["conv_kernel"])
    writer.add_ssm_inner_size(d_inner)
    writer.add_ssm_state_size(config["state_size"])
    writer.add_ssm_time_step_rank(d_inner // config["head_dim"])
    writer.add_ssm_group_count(config["n_groups"])
    writer.add_layer_norm_rms_eps(config["layer_norm_epsilon"])


def add_tokenizer(writer, data, rows):
    """The tokenizer of a tokenizer.json, padded to so many rows."""
    vocab = sorted(data["model"]["vocab"].items(), key=lambda item: item[1])
    special = {t["id"] for t in data["added_tokens"]}
    padding = [f"[PAD{i}]" for i in range(len(vocab), rows)]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([text for text, _ in vocab] + padding)
    writer.add_token_types([gguf.TokenType.CONTROL if i in special else gguf.TokenType.NORMAL
                            for _, i in vocab] + [gguf.TokenType.UNUSED for _ in padding])
    writer.add_token_merges([" ".join(merge) for merge in data["model"]["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)


def write_gguf(path, config, tensors, blocks, tokenizer=None, **options):
    """A model as llama.cpp's converter writes it. `blocks`: (type, bytes) for the names of matrices;
    all else becomes F32."""
    writer = gguf.GGUFWriter(path, "mamba2", **options)
    add_config(writer, config)
    if tokenizer:
        add_tokenizer(writer, tokenizer, config["vocab_size"])
    for name, values in tensors.items():
        values = values.astype(numpy.float32)
        if name in blocks:
            dtype, data = blocks[name]
            writer.add_tensor(gguf_name(name), data, raw_dtype=dtype)
            continue
        if name.endswith("A_log"):
            values = -numpy.exp(values)
        if name.endswith(("A_log", ".D")):
            values = values.reshape(-1, 1)
        elif name.endswith("conv1d.weight"):
            values = values.reshape(values.shape[0], -1)
        elif name.endswith("mixer.norm.weight"):
            values = values.reshape(config["n_groups"], -1)
        writer.add_tensor(gguf_name(name), values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def random_tensors(config, rng):
    """Random weights of a model with this config of transformers."""
    width, heads, groups = config["hidden_size"], config["num_heads"], config["n_groups"]
    inner = heads * config["head_dim"]
    conv = inner + 2 * groups * config["state_size"]
    shapes = {"backbone.embeddings.weight": (config["vocab_size"], width)}
    for layer in range(config["num_hidden_layers"]):
        block = {"norm.weight": (width,), "mixer.in_proj.weight": (inner + conv + heads, width),
                 "mixer.conv1d.weight": (conv, 1, config["conv_kernel"]),
                 "mixer.conv1d.bias": (conv,), "mixer.dt_bias": (heads,), "mixer.A_log": (heads,),
                 "mixer.D": (heads,), "mixer.norm.weight": (inner,),
                 "mixer.out_proj.weight": (width, inner)}
        shapes |= {f"backbone.layers.{layer}.{name}": shape for name, shape in block.items()}
    shapes["backbone.norm_f.weight"] = width,
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = config["vocab_size"], width
    return {name: rng.normal(0, 0.5, shape).astype(numpy.float32)
            for name, shape in shapes.items()}


def write_toy(path, rng):
    config = dict(hidden_size=32, expand=2, head_dim=16, num_heads=4, state_size=8, n_groups=2,
                  conv_kernel=4, num_hidden_layers=2, vocab_size=TOY_TOKENS + 8,
                  layer_norm_epsilon=1e-5, tie_word_embeddings=True)
    tensors = random_tensors(config, rng)
    q8_0, q4_0 = (gguf.GGMLQuantizationType[name] for name in ("Q8_0", "Q4_0"))
    blocks = {name: (dtype, gguf.quantize(values, dtype)) for name, values in tensors.items()
              for dtype in [q8_0 if "embeddings" in name else q4_0] if name.endswith(MATRICES)}
    data = json.loads((ROOT / "examples/models/llama-tales-14m/tokenizer.json").read_text("utf-8"))
    vocab = {text: i for text, i in data["model"]["vocab"].items() if i < TOY_TOKENS}
    data["model"]["merges"] = [m for m in data["model"]["merges"] if "".join(m) in vocab]
    data["model"]["vocab"] = vocab
    write_gguf(path, config, tensors, blocks, data)


def floats_to_encode(rng):
    """Blocks of weights of many sizes, of zeros, of extremes of both signs, of ties to round: as
    BF16 has few bits, the second half has many."""
    values = rng.normal(0, 1, (256, 32)) * 10.0 ** rng.integers(-6, 3, (256, 1))
    bits = values[128:].astype(numpy.float32).view(numpy.uint32) & 0xFFFF0000
    values[128:] = bits.view(numpy.float32)
    values[0] = 0
    values[1] = rng.integers(-254, 255, 32) / 2  # halves, as the scale is 1
    values[1, :2] = 127, -127
    values[2] = rng.integers(-16, 17, 32) / 2
    values[2, 5:7] = 8, -8
    values[3] = -values[2]
    values[4] = 1e-30
    values[5, 1:] = 0
    return values.astype(numpy.float32)


def write_encoded(path, rng):
    tensors = {"floats": floats_to_encode(rng)}
    for name in ("Q8_0", "Q4_0"):
        tensors[name] = gguf.quantize(tensors["floats"], gguf.GGMLQuantizationType[name])
    save_file(tensors, path)


def write_grids(path, rng):
    tensors = {}
    for name in GRIDS:
        dtype = gguf.GGMLQuantizationType[name]
        tensors[f"{name}.blocks"] = random_blocks(name, BLOCKS, rng)
        tensors[f"{name}.floats"] = gguf.dequantize(tensors[f"{name}.blocks"], dtype)
        if name != "IQ1_M":  # which has the grid of IQ1_S
            blocks, _ = blocks_of_grid(name, gguf.GGML_QUANT_SIZES[dtype][1])
            tensors[f"{name}.grid_blocks"] = blocks
            tensors[f"{name}.grid"] = (8 * gguf.dequantize(blocks, dtype)).astype(numpy.int8)
    save_file(tensors, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    out = parser.parse_args().out
    rng = numpy.random.default_rng(20)
    tensors = {}
    for name in HALVES:
        blocks = random_blocks(name, BLOCKS, rng)
        tensors[f"{name}.blocks"] = blocks
        tensors[f"{name}.floats"] = gguf.dequantize(blocks, gguf.GGMLQuantizationType[name])
    out.mkdir(parents=True, exist_ok=True)
    write_toy(out / "toy.gguf", rng)
    write_encoded(out / "encoded.safetensors", rng)
    for name in FLOATS_OF_4_BITS:
        dtype = gguf.GGMLQuantizationType[name]
        blocks = rng.integers(0, 256, (BLOCKS, gguf.GGML_QUANT_SIZES[dtype][1]), dtype=numpy.uint8)
        tensors[f"{name}.blocks"] = blocks
        tensors[f"{name}.floats"] = gguf.dequantize(blocks, dtype).astype(numpy.float32)
    save_file(tensors, out / "blocks.safetensors")
    write_grids(out / "iq_blocks.safetensors", numpy.random.default_rng(21))


if __name__ == "__main__":
    main()
