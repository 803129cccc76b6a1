#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""transformers builds a model's tokenizer as tokenizer.json says, knows the token that ends a text,
and the chat template: of the bundled model, and of folders that are converted from it, from GGUF and
quantized. Where tokenizer_config.json does not name a kind of tokenizer, it takes that of GPT-NeoX for
such a model, with NFC. Configs of hybrids say there what the configs say that transformers wrote.

  python3 tests/referee_transformers.py BIN

BIN is the folder of the programs. Exits 0 if all is well, 1 if not, 77 if a package is not there.
"""
import os
import pathlib
import shutil
import sys
import tempfile

from referees import MODEL, ROOT, TEXTS, convert, run

os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
try:
    from transformers import AutoConfig, AutoTokenizer, GenerationConfig
except ImportError as missing:
    print(f"{missing.name}-missing")
    sys.exit(77)
from tokenizers import Tokenizer

from tokenizer_texts import SAMPLES

TEMPLATE = "{% for message in messages %}{{ message['content'] }}{{ eos_token }}{% endfor %}\n"


def differences(folder, template):
    """What is wrong with a folder, a line for each."""
    found = AutoTokenizer.from_pretrained(folder)
    expected = Tokenizer.from_file(str(folder / "tokenizer.json"))
    for text in ["cafe\u0301", "Hello , world .", *TEXTS, *SAMPLES]:
        ids = expected.encode(text).ids
        if found(text)["input_ids"] != ids:
            yield f"{text!r}: {found(text)['input_ids']}, expected {ids}"
        if found.decode(ids) != expected.decode(ids, skip_special_tokens=False):
            yield f"{text!r}: decoded to {found.decode(ids)!r}"
    end = expected.token_to_id("<|endoftext|>")
    generation = GenerationConfig.from_pretrained(folder)
    ends = [found.eos_token_id, AutoConfig.from_pretrained(folder).eos_token_id,
            generation.eos_token_id, generation.bos_token_id]
    if ends != [end] * 4:
        yield f"a text ends and begins with {ends}, expected {end}"
    if found.chat_template != template:
        yield f"chat template {found.chat_template!r}, expected {template!r}"


def written(bin_folder, folder):
    """Folders that the programs write, with the chat template that each should have."""
    for name, template in (("plain", None), ("chat", TEMPLATE)):
        model = folder / name
        # Nothing in it says what kind of tokenizer it has.
        others = shutil.ignore_patterns("tokenizer_config.json", "generation_config.json")
        shutil.copytree(MODEL, model, ignore=others)
        if template:
            (model / "chat_template.jinja").write_text(template)
        yield convert(bin_folder, model, folder / f"{name}_folder"), template
        gguf = convert(bin_folder, model, folder / f"{name}.gguf")
        yield convert(bin_folder, gguf, folder / f"{name}_from_gguf"), template
        run(bin_folder / "mamba2-quantize", model, folder / f"{name}_int8", "--type", "int8")
        yield folder / f"{name}_int8", template


# Of a config: how it is written, trained or run, and not what the model is.
OF_NO_MATTER = {"_name_or_path", "dtype", "transformers_version", "mamba_chunk_size", "init_method",
                "initializer_range", "router_aux_loss_coef"}
# What there is none of in a model, what no code reads (of LFM2 hidden_act and attention_bias,
# too, which are written for all hybrids), and widths, which have two spellings.
OF_NAME = {"granite_dense": {"intermediate_size"}, "granite_rope": {"intermediate_size"},
           "lfm2": {"intermediate_size", "num_heads", "use_pos_enc", "conv_dim", "conv_dim_out",
                    "conv_use_xavier_init", "block_auto_adjust_ff_dim", "block_dim",
                    "block_ffn_dim_multiplier", "block_mlp_init_scale", "block_multiple_of",
                    "block_norm_eps", "block_out_init_scale", "block_use_swiglu",
                    "block_use_xavier_init", "hidden_act", "attention_bias"}}


def config_differences(bin_folder, folder):
    """Of configs of hybrids, as transformers reads them, from those that it wrote."""
    for name in ("granite_dense", "granite_rope", "bamba", "lfm2"):
        golden = ROOT / "tests/golden/hybrids" / name
        converted = convert(bin_folder, golden, folder / name)
        found, expected = (AutoConfig.from_pretrained(path).to_dict()
                           for path in (converted, golden))
        for key in sorted((found.keys() | expected.keys()) - OF_NO_MATTER - OF_NAME.get(name, set())):
            if found.get(key) != expected.get(key):
                yield f"{name}: {key} is {found.get(key)!r}, expected {expected.get(key)!r}"


def main():
    count = failed = 0
    with tempfile.TemporaryDirectory() as temporary:
        for difference in config_differences(pathlib.Path(sys.argv[1]).resolve(),
                                             pathlib.Path(temporary)):
            print(f"FAIL {difference}")
            failed = 1
        folders = written(pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(temporary))
        for folder, template in [(MODEL, None), *folders]:
            count += 1
            for difference in differences(folder, template):
                print(f"FAIL {folder.name}: {difference}")
                failed = 1
    print(f"{count} folders{', not all right' if failed else ''}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
