#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares mamba2's tokenizer with SentencePiece and with Mistral's own: same ids, same texts.

  python3 tests/referee_sentencepiece.py BIN [--text FILE]...

The vocabularies are trained here, and those that the package mistral-common brings, if it is there:
SentencePiece v1, v2, v3 (Codestral's) and v7, and two tekken.json. Each is read as its file, and as
the tokenizer.json and the GGUF file that mamba2 makes of it. Exits 0 if nothing differs, 1 if
something does, 77 if sentencepiece is not there. BIN is the folder of the programs.
"""
import argparse
import base64
import importlib.util
import io
import json
import pathlib
import random
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import tokenizer_texts as texts
from referee_driver import Driver, report

try:
    import sentencepiece
except ImportError:
    print("sentencepiece-missing")
    sys.exit(77)

ROOT = pathlib.Path(__file__).resolve().parent.parent


def replaced(strings):
    return [s.decode("utf-8", "replace") for s in strings]


def pieces_only(referee, count, rng):
    """Random ids that say something, with many bytes among them."""
    said = [i for i in range(referee.get_piece_size())
            if not referee.is_control(i) and not referee.is_unknown(i)]
    single = [i for i in said if referee.is_byte(i)] or said
    return [[rng.choice(rng.choice([said, single])) for _ in range(rng.randint(0, 30))]
            for _ in range(count)]


def compare(driver, name, path, strings, rng, referee=None):
    print(name)
    referee = referee or sentencepiece.SentencePieceProcessor(model_file=str(path))
    theirs = referee.encode(replaced(strings))
    differences = report("encode", strings, driver.encode(path, strings, "plain"), theirs)
    ids = theirs + pieces_only(referee, 4000, rng)
    ids = [i for i in ids if referee.unk_id() not in i]
    theirs = [referee.decode(i) for i in ids]
    for mode in ("decode", "stream"):
        differences += report(mode, ids, driver.decode(path, ids, mode, True), theirs)
    return differences


def trained(corpus, folder, name, **options):
    """A model trained here."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus), model_writer=model, model_type="bpe", vocab_size=3000,
        normalization_rule_name="identity", minloglevel=2, num_threads=1, **options)
    path = folder / f"{name}.model"
    path.write_bytes(model.getvalue())
    return path


def compare_tekken(driver, path, strings):
    """With tiktoken, by which mistral-common reads these files."""
    try:
        import tiktoken
    except ImportError:
        print("  tiktoken-missing")
        return 0
    print(path.name)
    data = json.loads(path.read_text(encoding="utf-8"))
    config = data["config"]
    special = config["default_num_special_tokens"]
    ranks = {base64.b64decode(t["token_bytes"]): t["rank"]
             for t in data["vocab"][:config["default_vocab_size"] - special]}
    referee = tiktoken.Encoding("tekken", pat_str=config["pattern"], mergeable_ranks=ranks,
                                special_tokens={})
    theirs = [[i + special for i in referee.encode(s, disallowed_special=())]
              for s in replaced(strings)]
    differences = report("encode", strings, driver.encode(path, strings, "plain"), theirs)
    back = [bytes(b"".join(referee.decode_single_token_bytes(i - special) for i in ids)).decode(
        "utf-8", "replace") for ids in theirs]
    for mode in ("decode", "stream"):
        differences += report(mode, theirs, driver.decode(path, theirs, mode, True), back)
    return differences


def mistral_files(pattern):
    spec = importlib.util.find_spec("mistral_common")
    if spec is None:
        print("mistral-common-missing")
        return []
    return sorted((pathlib.Path(spec.submodule_search_locations[0]) / "data").glob(pattern))


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin", type=pathlib.Path)
    parser.add_argument("--text", action="append", default=[], type=pathlib.Path)
    args = parser.parse_args()
    rng = random.Random(21)
    corpus = texts.project_files(ROOT)
    strings = [s.encode() for s in corpus + texts.prose(rng, 1_200_000) +
               texts.mixtures(rng, 12_000) + texts.code_points(rng, 6_000) + texts.long_pieces(rng)]
    strings += texts.invalid_utf8(rng, 6_000)
    strings = [s for s in strings if b"\0" not in s]  # ends a text of SentencePiece's trainer only
    strings += [path.read_bytes() for path in args.text]
    driver = Driver(args.bin / "referee_tokenizer")
    differences = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        lines = [line for text in corpus + texts.SAMPLES for line in text.split("\n") if line]
        usual = {"byte_fallback": True, "remove_extra_whitespaces": False,
                 "allow_whitespace_only_pieces": True}
        for name, options in (
                ("as Llama 2's", usual),
                ("no prefix", {**usual, "add_dummy_prefix": False}),
                ("extra blanks removed, no bytes", {"character_coverage": 0.999}),
                ("not split at blanks", {**usual, "split_by_whitespace": False}),
                ("symbols of the user", {**usual, "user_defined_symbols": [
                    "\u2581\u2581\u2581", "<|im_start|>", "the", "\t\t", "printf("]})):
            path = trained(lines, folder, name.replace(" ", "-").replace(",", ""), **options)
            differences += compare(driver, name, path, strings, rng)
    for path in mistral_files("*.model.v*"):
        differences += compare(driver, path.name, path, strings, rng)
    for path in mistral_files("tekken*.json"):
        differences += compare_tekken(driver, path, strings)
    print(f"{differences} differences in all")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
