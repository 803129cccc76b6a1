#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares mamba2's tokenizer with the Hugging Face `tokenizers` package: same ids, same texts.

  python3 tests/referee_tokenizers.py BIN [--text FILE]...

Exits 0 if nothing differs, 1 if something does, 77 if the package is not there. The texts are the
project's own files, natural text in many scripts, and random strings, the same in every run;
--text adds files. --write-golden writes the files in tests/golden/tokenizer instead, --keep DIR
leaves the tokenizers in DIR. BIN is the folder of the programs.
"""
import argparse
import json
import pathlib
import random
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import tokenizer_texts as texts
from referee_driver import Driver, report

try:
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers
    from tokenizers import pre_tokenizers, processors, trainers
except ImportError:
    print("tokenizers-missing")
    sys.exit(77)

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUNDLED = ROOT / "examples/models/llama-tales-14m/tokenizer.json"


def compare(driver, name, path, strings, rng):
    """Encodes the strings, decodes what comes of them and random ids."""
    print(name)
    referee = Tokenizer.from_file(str(path))
    ours = driver.encode(path, strings)
    theirs = [e.ids for e in referee.encode_batch([s.decode("utf-8", "replace") for s in strings])]
    differences = report("encode", strings, ours, theirs)
    top = max(referee.get_vocab().values())
    ids = theirs + [[rng.randint(0, top + 5) for _ in range(rng.randint(0, 40))]
                    for _ in range(3000)]
    for skip in (False, True):
        theirs = referee.decode_batch(ids, skip_special_tokens=skip)
        for mode in ("decode", "stream"):
            ours = driver.decode(path, ids, mode, skip)
            what = f"{mode}, special tokens {'skipped' if skip else 'kept'}"
            differences += report(what, ids, ours, theirs)
    return differences


def neox_like(corpus, merges):
    """A tokenizer with GPT-NeoX-20B's rules, in the older of the file's forms."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    never = {chr(c) for c in (0xC0, 0xC1, *range(0xF5, 0x100))}  # bytes that UTF-8 does not use
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    tokenizer.decoder = decoders.ByteLevel(add_prefix_space=False, trim_offsets=True)
    tokenizer.train_from_iterator(corpus, trainers.BpeTrainer(
        vocab_size=2 + 243 + merges, show_progress=False,
        special_tokens=["<|endoftext|>", "<|padding|>"],
        initial_alphabet=[c for c in alphabet if c not in never]))
    tokenizer.add_tokens([AddedToken(" " * n, normalized=True, special=False)
                          for n in range(24, 1, -1)])
    data = json.loads(tokenizer.to_str())
    data["model"]["merges"] = [" ".join(pair) for pair in data["model"]["merges"]]
    for part in ("pre_tokenizer", "post_processor", "decoder"):
        data[part]["add_prefix_space"] = False
        data[part].pop("use_regex", None)
    return data


def class_revealing():
    """Merges every last byte of a character with a following a, 1 and . where they are in one
    piece: its ids show which class each code point is of."""
    vocab = {texts.byte_symbol(b): b for b in range(256)}
    merges = []
    for last in range(0xC0):
        for follower in "a1.":
            merges.append([texts.byte_symbol(last), follower])
            vocab.setdefault("".join(merges[-1]), len(vocab))
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [],
            "normalizer": None, "post_processor": None,
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False,
                              "trim_offsets": True},
            "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True},
            "model": {"type": "BPE", "vocab": vocab, "merges": merges}}


def variants(neox):
    """The same vocabulary under other rules."""
    def changed(**parts):
        data = json.loads(json.dumps(neox))
        for key, value in parts.items():
            (data["model"] if key in data["model"] else data)[key] = value
        return data

    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False}
    added = neox["added_tokens"]
    next_id = max(t["id"] for t in added) + 1

    def token(content, normalized, special):
        nonlocal next_id
        token_id = neox["model"]["vocab"].get(content, next_id)
        next_id += token_id == next_id
        return {"id": token_id, "content": content, "single_word": False, "lstrip": False,
                "rstrip": False, "normalized": normalized, "special": special}

    yield "add_prefix_space", changed(pre_tokenizer={**byte_level, "add_prefix_space": True})
    yield "no regular expression", changed(pre_tokenizer={**byte_level, "use_regex": False})
    yield "ignore_merges", changed(ignore_merges=True)
    yield "sequences, no normalizer, pairs", changed(
        normalizer={"type": "Sequence", "normalizers": []},
        pre_tokenizer={"type": "Sequence", "pretokenizers": [byte_level]},
        decoder={"type": "Sequence", "decoders": [byte_level]},
        post_processor={"type": "TemplateProcessing",
                        "single": [{"Sequence": {"id": "A", "type_id": 0}}],
                        "pair": [{"Sequence": {"id": "A", "type_id": 0}},
                                 {"Sequence": {"id": "B", "type_id": 1}}],
                        "special_tokens": {}},
        merges=[m.split(" ") for m in neox["model"]["merges"]],
        continuing_subword_prefix="", end_of_word_suffix="", unk_token="<|endoftext|>",
        dropout=0.0)
    yield "many added tokens", changed(added_tokens=added + [
        token("<|im_start|>", False, True), token("<|im_start|>user", False, False),
        token("<|im", False, False), token("e\u0301t", True, False), token("\u00e9", False, False),
        token("\u00c5\u0327", True, True), token("the", True, False), token("ther", False, False),
        token("\u4e2d\u6587", True, False), token("\n\n", True, False), token(" a", False, False),
        token("\u1100\u1161", True, False), token("\U0001f600", False, True)])
    without = {"e", "\u0120", "\u00c3"}
    vocab = {t: i for t, i in neox["model"]["vocab"].items() if i < 2 or not without & set(t)}
    yield "bytes without a token", changed(vocab=vocab, added_tokens=added[:2], merges=[
        m for m in neox["model"]["merges"] if not without & set(m)])


def write_golden(strings, rng):
    folder = ROOT / "tests/golden/tokenizer"
    folder.mkdir(parents=True, exist_ok=True)
    neox = folder / "neox.json"
    neox.write_text(json.dumps(neox_like(texts.project_files(ROOT) + texts.SAMPLES, 2000),
                               indent=0, ensure_ascii=False) + "\n", encoding="utf-8")
    for name, path in (("llama-tales-14m", BUNDLED), ("neox", neox)):
        referee = Tokenizer.from_file(str(path))
        top = max(referee.get_vocab().values())
        cases = [{"text": s, "ids": referee.encode(s).ids} for s in strings]
        ids = [[rng.randint(0, top + 3) for _ in range(rng.randint(1, 12))] for _ in range(40)]
        decoded = [{"ids": i, "text": referee.decode(i, skip_special_tokens=True),
                    "with_special": referee.decode(i, skip_special_tokens=False)} for i in ids]
        lines = [json.dumps(c) for c in cases], [json.dumps(c) for c in decoded]
        (folder / f"{name}-cases.json").write_text(
            '{"encode": [\n' + ",\n".join(lines[0]) + '\n],\n"decode": [\n' +
            ",\n".join(lines[1]) + "\n]}\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin", type=pathlib.Path)
    parser.add_argument("--text", action="append", default=[], type=pathlib.Path)
    parser.add_argument("--keep", type=pathlib.Path)
    parser.add_argument("--write-golden", action="store_true")
    args = parser.parse_args()
    rng = random.Random(20)
    if args.write_golden:
        return write_golden(texts.GOLDEN + texts.mixtures(rng, 40), rng)

    corpus = texts.project_files(ROOT)
    strings = [s.encode() for s in corpus + texts.prose(rng, 1_200_000) +
               texts.mixtures(rng, 12_000) + texts.code_points(rng, 6_000) + texts.long_pieces(rng)]
    strings += texts.invalid_utf8(rng, 6_000)
    strings += [path.read_bytes() for path in args.text]
    sample = strings[::7]
    differences = 0
    with tempfile.TemporaryDirectory() as temporary:
        driver = Driver(args.bin / "referee_tokenizer")
        folder = args.keep or pathlib.Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)

        def write(name, data):
            path = folder / (name.replace(" ", "-").replace(",", "") + ".json")
            path.write_text(json.dumps(data), encoding="utf-8")
            return path

        neox = neox_like(corpus + texts.SAMPLES, 5000)
        differences += compare(driver, "llama-tales-14m", BUNDLED, strings, rng)
        differences += compare(driver, "GPT-NeoX rules", write("neox", neox), strings, rng)
        for name, data in variants(neox):
            differences += compare(driver, f"GPT-NeoX rules, {name}", write(name, data), sample, rng)
        revealing = class_revealing()
        differences += compare(driver, "every code point", write("classes", revealing),
                               texts.every_code_point(), rng)
        revealing["normalizer"] = {"type": "NFC"}
        differences += compare(driver, "every code point, NFC", write("nfc", revealing),
                               texts.every_mark(rng), rng)
    print(f"{differences} differences in all")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
