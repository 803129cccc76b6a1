#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What transformers makes of converted and quantized folders: the tokens that tokenizer.json gives,
the tokens that end a text, the chat template.

  python3 tests/referee_converted.py BIN

BIN is the folder of the programs. The bundled model is converted, also from GGUF, and quantized; its
own tokenizer_config.json and generation_config.json are left out, as by them transformers would take
another tokenizer (of GPT-NeoX, with NFC) for such a model. Exits 0 if all is well, 1 if not, 77 if a
package is not there.
"""
import json
import os
import pathlib
import shutil
import sys
import tempfile

from referees import MODEL, TEXTS, convert, run

os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
try:
    from transformers import AutoConfig, AutoTokenizer, GenerationConfig
except ImportError as missing:
    print(f"{missing.name}-missing")
    sys.exit(77)
from tokenizers import Tokenizer

TEMPLATE = "{% for message in messages %}{{ message['content'] }}{{ eos_token }}{% endfor %}\n"
END = "<|endoftext|>"


def differences(folder, template):
    """What is wrong with a folder, a line for each."""
    found = AutoTokenizer.from_pretrained(folder)
    expected = Tokenizer.from_file(str(folder / "tokenizer.json"))
    for text in ["cafe\u0301", "Hello , world .", *TEXTS]:
        ids = expected.encode(text).ids
        if found(text)["input_ids"] != ids:
            yield f"{text!r}: {found(text)['input_ids']}, expected {ids}"
        if found.decode(ids) != text:
            yield f"{text!r}: decoded to {found.decode(ids)!r}"
    end = expected.token_to_id(END)
    ends = [found.eos_token_id, GenerationConfig.from_pretrained(folder).eos_token_id,
            AutoConfig.from_pretrained(folder).eos_token_id]
    if ends != [end] * 3:
        yield f"a text ends with {ends}, expected {end}"
    if found.chat_template != template:
        yield f"chat template {found.chat_template!r}, expected {template!r}"


def main():
    bin_folder = pathlib.Path(sys.argv[1])
    good = True
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        bare, chat = folder / "bare", folder / "chat"
        others = shutil.ignore_patterns("tokenizer_config.json", "generation_config.json")
        for copy in (bare, chat):
            shutil.copytree(MODEL, copy, ignore=others)
        (chat / "chat_template.jinja").write_text(TEMPLATE)
        expected = {convert(bin_folder, bare, folder / "from_folder"): None,
                    convert(bin_folder, chat, folder / "from_chat"): TEMPLATE}
        for name, template in (("bare", None), ("chat", TEMPLATE)):
            gguf = convert(bin_folder, folder / name, folder / f"{name}.gguf")
            expected[convert(bin_folder, gguf, folder / f"{name}_from_gguf")] = template
            run(bin_folder / "mamba2-quantize", folder / name, folder / f"{name}_int8", "--type",
                "int8")
            expected[folder / f"{name}_int8"] = template
        for path, template in expected.items():
            for difference in differences(path, template):
                print(f"FAIL {path.name}: {difference}")
                good = False
            config = json.loads((path / "tokenizer_config.json").read_text())
            if config["tokenizer_class"] != "PreTrainedTokenizerFast":
                print(f"FAIL {path.name}: {config}")
                good = False
    print(f"{len(expected)} folders{'' if good else ', not all right'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
