#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""llama.cpp reads what mamba2-convert writes, and says the same: tokens and logits.

  python3 tests/referee_llama_cpp.py BIN

BIN is the folder of the programs. Converts the bundled model to GGUF in several types and lets both
read the same 256 tokens, llama.cpp one by one. From F32 the logits must be the same but for
rounding. From F16, Q8_0 and Q4_0 llama.cpp rounds the activations, too, as mixed weights do in their
way. So the same weights are converted once more, to F32, and from that both must agree as closely as
before. What differs in the other type is rounding of activations, with a bound of its own. Hybrids,
without RoPE and with it, go through a folder of transformers. Exits 0 if all is well, 1 if not, 77
if a package is not there.
"""
import json
import pathlib
import sys
import tempfile

from referees import MODEL, ROOT, convert, logits
from llama_cpp_runs import (
    F16_INPUTS, IDS, Q8_0_INPUTS, SAME, Llama, differ, print_header, same_logits)
from tokenizer_texts import SAMPLES
import numpy
from safetensors.numpy import save_file

BOUNDS = {"f32": SAME, "f16": F16_INPUTS, "q8_0": Q8_0_INPUTS, "q4_0": Q8_0_INPUTS}


def check(bin_folder, folder, dtype, bounds):
    path = convert(bin_folder, MODEL, folder / f"{dtype}.gguf", "--type", dtype)
    floats = convert(bin_folder, path, folder / f"{dtype}-as-f32.gguf", "--type", "f32")
    return same_logits(bin_folder, folder, dtype, path, floats, bounds, bounds)


def same_tokens(bin_folder, folder):
    llama = Llama(folder / "f32.gguf")
    good = True
    count = 0
    for text in SAMPLES:
        expected = logits(bin_folder, MODEL, folder / "ours", "--text", text)["ids"].tolist()
        found = llama.tokens(text)
        count += len(expected)
        if found != expected:
            print(f"FAIL tokens of {text!r}: {found}, expected {expected}")
            good = False
    if good:
        print(f"ok   {count} tokens of {len(SAMPLES)} texts are the same")
    return good


def random_granite(folder):
    """A Granite with attention alone and RoPE, as transformers writes it: (80, 64), two layers."""
    folder.mkdir()
    config = {"model_type": "granitemoehybrid", "vocab_size": 80, "hidden_size": 64,
              "num_hidden_layers": 2, "layer_types": ["attention"] * 2, "num_local_experts": 0,
              "num_attention_heads": 4, "num_key_value_heads": 2, "shared_intermediate_size": 96,
              "position_embedding_type": "rope", "rope_theta": 10000.0, "attention_multiplier": 0.3,
              "embedding_multiplier": 6.0, "residual_multiplier": 0.3, "logits_scaling": 3.0,
              "rms_norm_eps": 1e-5, "tie_word_embeddings": True, "eos_token_id": 1}
    (folder / "config.json").write_text(json.dumps(config))
    shapes = {"model.embed_tokens.weight": (80, 64), "model.norm.weight": (64,)}
    for layer in range(2):
        shapes |= {f"model.layers.{layer}.{name}.weight": shape for name, shape in {
            "input_layernorm": (64,), "post_attention_layernorm": (64,),
            "self_attn.q_proj": (64, 64), "self_attn.k_proj": (32, 64),
            "self_attn.v_proj": (32, 64), "self_attn.o_proj": (64, 64),
            "shared_mlp.input_linear": (192, 64), "shared_mlp.output_linear": (64, 96)}.items()}
    random = numpy.random.default_rng(7)
    save_file({name: (random.normal(size=shape) * 0.2 + (len(shape) == 1)).astype(numpy.float32)
               for name, shape in shapes.items()}, folder / "model.safetensors")
    return folder


def same_hybrids(bin_folder, folder):
    good = True
    goldens = [ROOT / "tests/golden" / name
               for name in ("hybrids/granite_dense", "hybrids/nemotron_dense", "hybrids/falcon_h1",
                            "hybrids/falcon_h1_norm", "hybrids_gguf/bamba-q8_0/model.gguf",
                            "hybrids/lfm2", "hybrids_gguf/lfm2-q8_0/model.gguf")]
    for source in [*goldens, random_granite(folder / "granite")]:
        hybrid = convert(bin_folder, source, folder / "hybrid", "--type", "f32", "--force")
        path = convert(bin_folder, hybrid, folder / "hybrid.gguf", "--type", "f32", "--force")
        with Llama(path) as llama:
            tokens = [token % llama.rows for token in IDS]
            found = llama.logits(tokens)
        ids = ("--ids", ",".join(map(str, tokens)), "--all")
        expected = logits(bin_folder, source, folder / "ours", *ids, "--weights", "fp32", "--kv",
                          "fp32")["logits"]
        difference = differ(found, expected, SAME)
        good &= difference.good
        name = "/".join(source.parts[-2:])
        print(f"{'ok  ' if difference.good else 'FAIL'} {name} {difference}", flush=True)
    return good


def main():
    bin_folder = pathlib.Path(sys.argv[1])
    print_header()
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        good = all([check(bin_folder, folder, *item) for item in BOUNDS.items()])
        good &= same_tokens(bin_folder, folder)
        good &= same_hybrids(bin_folder, folder)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
