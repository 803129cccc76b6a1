#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""transformers builds the bundled model's tokenizer as tokenizer.json says: it takes another kind
where tokenizer_config.json does not name one, by the kind of model.

  python3 tests/referee_transformers.py BIN

BIN is the folder of the programs, which are not asked here. Exits 0 if all is well, 1 if not, 77 if a
package is not there.
"""
import os
import sys

from referees import MODEL, TEXTS

os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
try:
    from transformers import AutoTokenizer, GenerationConfig
except ImportError as missing:
    print(f"{missing.name}-missing")
    sys.exit(77)
from tokenizers import Tokenizer

from tokenizer_texts import SAMPLES


def main():
    found = AutoTokenizer.from_pretrained(MODEL)
    expected = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    good = True
    for text in ["cafe\u0301", *TEXTS, *SAMPLES]:
        ids = found(text)["input_ids"]
        if ids != expected.encode(text).ids:
            print(f"FAIL {text!r}: {ids}, expected {expected.encode(text).ids}")
            good = False
    end = expected.token_to_id("<|endoftext|>")
    generation = GenerationConfig.from_pretrained(MODEL)
    ends = found.eos_token_id, generation.eos_token_id, generation.bos_token_id
    if ends != (end, end, end):
        print(f"FAIL a text ends and begins with {ends}, expected {end}")
        good = False
    print(f"{len(TEXTS) + len(SAMPLES) + 1} texts{'' if good else ', not the same'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
