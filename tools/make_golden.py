#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/golden/transformers: tiny random checkpoints as transformers saves them, with the
logits that transformers' Mamba2ForCausalLM gives for them.

    python3 tools/make_golden.py --out tests/golden/transformers

needs torch and transformers 5 on a CPU, no network, no compiled kernels. The seed is fixed, but
another version of torch may draw other numbers; the tests take whatever is there.

For each variant: config.json, model.safetensors (or shards and their index) by save_pretrained, and
expected.safetensors: input_ids (T) int64, logits_float32 (T, vocab_size), logits_float64 likewise.
The half-precision checkpoints are computed from their rounded weights in float32 and float64.
Before 5.23 transformers normalises all groups together in the gated norm (a mistake for n_groups >
1); the tests account for it by the version in config.json: 5.24 for "groups", 5.17 for the others."""

import argparse
import importlib.util
import os
import pathlib
import shutil

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers
from safetensors.torch import save_file
from torch.overrides import TorchFunctionMode
from transformers import Mamba2Config, Mamba2ForCausalLM

SEED = 20240531
TOKENS = 19  # two chunks of eight and a short one

PLAIN = dict(
    hidden_size=32, expand=2, head_dim=8, num_heads=8, state_size=16, n_groups=1, conv_kernel=4,
    num_hidden_layers=2, vocab_size=64, chunk_size=8, tie_word_embeddings=True,
    bos_token_id=0, eos_token_id=0, pad_token_id=0,
)

# name: (arguments of the config that differ, dtype of the file, largest shard)
VARIANTS = {
    "plain": ({}, torch.float32, "50GB"),
    "groups_untied": (dict(n_groups=2, tie_word_embeddings=False), torch.float32, "50GB"),
    "bias": (dict(use_bias=True, layer_norm_epsilon=1e-3), torch.float32, "50GB"),
    "no_conv_bias": (dict(use_conv_bias=False, conv_kernel=3), torch.float32, "50GB"),
    "time_step_limit": (dict(time_step_limit=(0.01, 0.1)), torch.float32, "50GB"),
    "expand3_shards": (
        dict(hidden_size=40, expand=3, num_heads=15, vocab_size=67, tie_word_embeddings=False),
        torch.float32,
        "48KB",
    ),
    "bfloat16": (dict(n_groups=4), torch.bfloat16, "50GB"),
    "float16_shards": (dict(tie_word_embeddings=False), torch.float16, "16KB"),
    "groups": (dict(n_groups=4), torch.float32, "50GB"),
}


class InFloat64(TorchFunctionMode):
    """Turns every conversion to float32 into one to float64: transformers has them built in."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        def widen(value):
            return torch.float64 if value is torch.float32 else value

        if getattr(func, "__name__", "") == "float":
            func = torch.Tensor.double
        args = tuple(widen(a) for a in args)
        kwargs = {k: widen(v) for k, v in (kwargs or {}).items()}
        out = func(*args, **kwargs)
        if isinstance(out, torch.Tensor) and out.dtype == torch.float32:
            raise RuntimeError(f"{func} returned float32")
        return out


def randomize(model, generator):
    """Gives every tensor values that matter, at the scales of a trained model."""

    def normal(p, mean, deviation):
        p.copy_(mean + deviation * torch.randn(p.shape, generator=generator))

    def uniform(p, low, high):
        p.copy_(low + (high - low) * torch.rand(p.shape, generator=generator))

    with torch.no_grad():
        for name, p in model.named_parameters():
            if name.endswith("embeddings.weight"):
                normal(p, 0.0, 1.0)
            elif name.endswith(("norm.weight", "norm_f.weight")):
                normal(p, 1.0, 0.2)
            elif name.endswith("dt_bias"):
                uniform(p, -6.0, 0.0)  # softplus: 0.0025..0.69
            elif name.endswith("A_log"):
                uniform(p, 0.0, 2.77)  # exp: 1..16
            elif name.endswith(".D"):
                normal(p, 1.0, 0.5)
            elif name.endswith(".bias"):
                normal(p, 0.0, 0.2)
            elif name.endswith("conv1d.weight"):
                normal(p, 0.0, p.shape[-1] ** -0.5)
            elif name.endswith(("in_proj.weight", "out_proj.weight", "lm_head.weight")):
                normal(p, 0.0, p.shape[-1] ** -0.5)
            else:
                raise SystemExit(f"no rule for {name}")


def make(directory, changes, dtype, shard, generator):
    config = Mamba2Config(**(PLAIN | changes))
    model = Mamba2ForCausalLM(config).eval()
    randomize(model, generator)
    model.to(dtype).save_pretrained(directory, max_shard_size=shard)

    model = Mamba2ForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    ids = torch.randint(config.vocab_size, (1, TOKENS), generator=generator)
    with torch.no_grad():
        float32 = model(ids, use_cache=False).logits[0]
        model.double()
        with InFloat64():
            float64 = model(ids, use_cache=False).logits[0]
    assert float32.dtype == torch.float32 and float64.dtype == torch.float64
    expected = {"input_ids": ids[0], "logits_float32": float32, "logits_float64": float64}
    save_file({k: v.contiguous() for k, v in expected.items()}, directory / "expected.safetensors")
    for file in directory.iterdir():
        file.chmod(0o644)
    return float32, float64


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder of the variants")
    out = parser.parse_args().out
    for package in ("mamba_ssm", "causal_conv1d"):
        if importlib.util.find_spec(package):
            raise SystemExit(f"{package} is installed: its kernels would be used")

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    print(f"torch {torch.__version__}, transformers {transformers.__version__}")
    total = 0
    for index, (name, (changes, dtype, shard)) in enumerate(VARIANTS.items()):
        directory = out / name
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        generator = torch.Generator().manual_seed(SEED + index)
        float32, float64 = make(directory, changes, dtype, shard, generator)
        files = sorted(directory.iterdir())
        size = sum(f.stat().st_size for f in files)
        total += size
        difference = (float32.double() - float64).abs().max().item()
        print(f"{name}: {size} bytes; logits up to {float64.abs().max().item():.2f}, float32 differs"
              f" from float64 by {difference:.2e}; {' '.join(f.name for f in files)}")
        if not 0.0 < difference < 1e-4:
            raise SystemExit(f"{name}: float32 and float64 should differ by rounding alone")
    print(f"{total} bytes in all")


if __name__ == "__main__":
    main()
