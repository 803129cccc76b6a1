#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares mamba2's tokenizer with the Hugging Face `tokenizers` package, family by family.

  python3 tests/referee_families.py BIN [--text FILE]... [--only NAME]

Each family's rules with a vocabulary trained here, and each kind of step by itself: same ids, same
texts. Exits 0 if nothing differs, 1 if something does, 77 if the package is not there. BIN is the
folder of the programs.
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
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
    from tokenizers import pre_tokenizers, processors, trainers
except ImportError:
    print("tokenizers-missing")
    sys.exit(77)

ROOT = pathlib.Path(__file__).resolve().parent.parent

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
          r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
LFM25 = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
         r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s")
TEKKEN = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
          r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
          r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace("{1,3}", "")
CL100K = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+"
          r"| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s")
O200K = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
         r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+"
         r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}"
         r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def split(pattern, behavior="isolated", invert=False, regex=True):
    return pre_tokenizers.Split(Regex(pattern) if regex else pattern, behavior, invert)


def byte_level(use_regex=False, prefix=False):
    return pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=use_regex)


def steps(*parts):
    return pre_tokenizers.Sequence(list(parts))


FAMILIES = {
    "Llama 3, Bamba, LFM2": (steps(split(LLAMA3), byte_level()), "ignore_merges bos"),
    "Granite": (steps(split(LLAMA3), byte_level()), ""),
    "LFM2.5": (steps(split(LFM25), byte_level()), "ignore_merges bos"),
    "Nemotron": (steps(split(TEKKEN), byte_level()), "ignore_merges"),
    "Qwen 2": (steps(split(QWEN2), byte_level()), "nfc"),
    "cl100k": (steps(split(CL100K), byte_level()), ""),
    "o200k": (steps(split(O200K), byte_level()), ""),
    "GPT-2 as a Split": (steps(split(GPT2), byte_level()), "bos eos"),
    "StarCoder": (steps(pre_tokenizers.Digits(individual_digits=True), byte_level(True)), ""),
    "digits in runs": (steps(pre_tokenizers.Digits(), byte_level(True, True)), ""),
    "Falcon": (steps(pre_tokenizers.Punctuation("contiguous"), byte_level(True),
                     pre_tokenizers.Digits(), split("[0-9][0-9][0-9]")), ""),
}
for kind in ("removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"):
    for inverted in (False, True):
        FAMILIES[f"{kind}{', inverted' if inverted else ''}"] = (
            steps(split(r"\s|\d\d|[.,]", kind, inverted), byte_level()), "")
    FAMILIES[f"a string, {kind}"] = (steps(split("th", kind, regex=False), byte_level()), "")
FAMILIES["white space"] = (steps(pre_tokenizers.Whitespace(), byte_level()), "")
FAMILIES["white space split"] = (steps(pre_tokenizers.WhitespaceSplit(), byte_level()), "")
FAMILIES["at each comma"] = (steps(pre_tokenizers.CharDelimiterSplit(","), byte_level()), "")


def trained(pre_tokenizer, corpus, flags, normalizer=None):
    """A byte-level tokenizer."""
    tokenizer = Tokenizer(models.BPE(ignore_merges="ignore_merges" in flags))
    if "nfc" in flags:
        tokenizer.normalizer = normalizers.NFC()
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(corpus, trainers.BpeTrainer(
        vocab_size=4000, show_progress=False, special_tokens=["<s>", "</s>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.add_tokens([AddedToken("<think>", special=False, normalized=False)])
    if flags:
        single = [t for t in ("<s>" if "bos" in flags else "", "$A", "</s>" if "eos" in flags else "")
                  if t]
        tokenizer.post_processor = processors.Sequence([
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(single=single, pair=single + ["$B"],
                                          special_tokens=[("<s>", 0), ("</s>", 1)])])
    return json.loads(tokenizer.to_str())


def characters(corpus, normalizer, pre_tokenizer, decoder, added=(), **model):
    """A tokenizer of characters, as they are converted from SentencePiece."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", **model))
    tokenizer.normalizer = normalizer
    if pre_tokenizer is not None:
        tokenizer.pre_tokenizer = pre_tokenizer
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
        corpus = [s.replace(" ", "\u2581") for s in corpus]  # the trainer splits at these
    tokenizer.decoder = decoder
    names = ["<unk>", "<s>", "</s>"]
    if model.get("byte_fallback"):
        names += [f"<0x{b:02X}>" for b in range(256)]
    tokenizer.train_from_iterator(corpus, trainers.BpeTrainer(
        vocab_size=4000, show_progress=False, special_tokens=names, limit_alphabet=400))
    tokenizer.add_tokens(list(added))
    data = json.loads(tokenizer.to_str())
    if pre_tokenizer is None:
        data["pre_tokenizer"] = None
    data["added_tokens"] = [t for t in data["added_tokens"] if not t["content"].startswith("<0x")]
    return data


LLAMA = (normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]),
         decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(),
                            decoders.Fuse(), decoders.Strip(" ", 1, 0)]))
ADDED = [AddedToken("<l>", lstrip=True, special=True), AddedToken("<r>", rstrip=True),
         AddedToken("<w>", single_word=True), AddedToken("the", single_word=True, lstrip=True),
         AddedToken("\u00e9t", normalized=True), AddedToken("  ", normalized=False)]


def character_families(corpus):
    """Zamba2, Mistral, Llama 2: what SentencePiece's become, in the older form and the newer."""
    both = {"byte_fallback": True, "fuse_unk": True}
    yield "Llama 2", characters(corpus, LLAMA[0], None, LLAMA[1], **both)
    yield "Llama 2, added tokens", characters(corpus, LLAMA[0], None, LLAMA[1], ADDED, **both)
    for scheme in ("always", "never", "first"):
        for cuts in (True, False):
            space = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=cuts)
            yield f"Metaspace {scheme}, {'cut' if cuts else 'whole'}", characters(
                corpus, normalizers.NFC(), space, decoders.Metaspace(prepend_scheme=scheme), ADDED,
                **both)
    yield "no bytes, unknown fused", characters(corpus, LLAMA[0], None, LLAMA[1], fuse_unk=True)
    yield "no bytes, each unknown", characters(corpus, LLAMA[0], None, LLAMA[1])
    yield "stripped, replaced, in lower case", characters(
        corpus, normalizers.Sequence([
            normalizers.Strip(), normalizers.Lowercase(), normalizers.Replace(Regex(r"\d+"), "0"),
            normalizers.Replace("e", "\u00e9\u00e9"), normalizers.NFC()]),
        pre_tokenizers.Metaspace(),
        decoders.Sequence([decoders.Replace(Regex(r"[aeiou]"), "*"), decoders.Metaspace(),
                           decoders.ByteFallback(), decoders.Fuse(), decoders.Strip("*", 2, 3),
                           decoders.Replace("**", "+")]), **both)


def normalizer_families(corpus):
    space = (steps(split(LLAMA3), byte_level()))
    for name, made in (("NFD", normalizers.NFD()), ("NFKC", normalizers.NFKC()),
                       ("NFKD", normalizers.NFKD()), ("Lowercase", normalizers.Lowercase())):
        yield name, trained(space, corpus, "", made)


def compare(driver, name, path, strings, rng):
    print(name)
    referee = Tokenizer.from_file(str(path))
    plain = [s.decode("utf-8", "replace") for s in strings]
    theirs = [e.ids for e in referee.encode_batch(plain)]
    differences = report("encode", strings, driver.encode(path, strings), theirs)
    referee.encode_special_tokens = True
    texts_of_others = [e.ids for e in referee.encode_batch(plain, add_special_tokens=False)]
    differences += report("names are text", strings, driver.encode(path, strings, "plain"),
                          texts_of_others)
    top = max(referee.get_vocab().values())
    ids = theirs + [[rng.randint(0, top + 5) for _ in range(rng.randint(0, 40))]
                    for _ in range(3000)]
    for skip in (False, True):
        theirs = referee.decode_batch(ids, skip_special_tokens=skip)
        for mode in ("decode", "stream"):
            what = f"{mode}, special tokens {'skipped' if skip else 'kept'}"
            differences += report(what, ids, driver.decode(path, ids, mode, skip), theirs)
    return differences


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin", type=pathlib.Path)
    parser.add_argument("--text", action="append", default=[], type=pathlib.Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--keep", type=pathlib.Path)
    args = parser.parse_args()
    rng = random.Random(22)
    corpus = texts.project_files(ROOT)
    named = ["<s>", "</s>", "<|im_end|>", "<think>", "<l>", " <l>", "<r>  ", "<w>", " <w> ", "the",
             "th", "12", "123", "1234", ".", ",", "\u2581", "<0x0A>", "'S", "'\u017f", "I'Ve", "\u00e9t"]
    texts.FRAGMENTS.extend(named)
    strings = [s.encode() for s in corpus + texts.prose(rng, 600_000) +
               texts.mixtures(rng, 12_000) + texts.code_points(rng, 6_000)]
    strings += [s.encode() for s in texts.long_pieces(rng)] + texts.invalid_utf8(rng, 3_000)
    strings += [path.read_bytes() for path in args.text]
    small = strings[::5]
    driver = Driver(args.bin / "referee_tokenizer")
    differences = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.keep or pathlib.Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)

        def check(name, data, these):
            path = folder / ("".join(c if c.isalnum() else "-" for c in name) + ".json")
            path.write_text(json.dumps(data), encoding="utf-8")
            return compare(driver, name, path, these, rng)

        lines = corpus + texts.SAMPLES
        for i, (name, (pre_tokenizer, flags)) in enumerate(FAMILIES.items()):
            if args.only in name:
                data = trained(pre_tokenizer, lines, flags)
                differences += check(name, data, strings if i < 11 else small)
        for families in (character_families, normalizer_families):
            for name, data in families(lines):
                if args.only in name:
                    differences += check(name, data, strings if name == "Llama 2" else small)
    print(f"{differences} differences in all")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
