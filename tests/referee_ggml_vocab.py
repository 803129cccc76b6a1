#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares mamba2's tokenizer with the vocabularies that llama.cpp keeps for its own tests.

  python3 tests/referee_ggml_vocab.py BIN [--archive FILE]

They lie in the source archive of llama-cpp-python: GGUF files of real models' vocabularies, texts,
and the ids that each model's own tokenizer gave for them. pip downloads the archive (75 MB), unless
--archive names one. Vocabularies of other kinds are named and passed over. Exits 0 if nothing
differs, 1 if something does, 77 if there is no archive. BIN is the folder of the programs.
"""
import argparse
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import unicodedata

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from tokenizer_driver import Driver, report

RELEASE = pathlib.Path(__file__).resolve().parent / "requirements_llama_cpp.txt"
MODELS = "/vendor/llama.cpp/models/"
BETWEEN = b"\n__ggml_vocab_test__\n"
# The vocabularies that must give the same ids, and those that must be refused, by this key.
SAME = {"command-r", "deepseek-coder", "falcon", "gpt-2", "llama-bpe", "llama-spm", "mpt", "phi-3",
        "qwen2", "qwen35", "refact", "starcoder"}
REFUSED = {"aquila": "pre", "bert-bge": "model", "deepseek-llm": "pre", "gemma-4": "model",
           "gpt-neox": "pre", "nomic-bert-moe": "model"}


def download(folder):
    """The source archive, or None."""
    done = subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
                           "--no-binary", "llama-cpp-python", "--dest", folder, "--requirement",
                           RELEASE])
    found = sorted(folder.glob("llama_cpp_python-*.tar.gz"))
    return found[0] if done.returncode == 0 and found else None


def extract(archive, folder):
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.isfile() and MODELS + "ggml-vocab-" in member.name:
                name = member.name.split(MODELS)[1]
                (folder / name).write_bytes(tar.extractfile(member).read())


def check_refused(program, path, key):
    """1 if a vocabulary is not refused for a key, else 0."""
    done = subprocess.run([program, path, "plain"], stdin=subprocess.DEVNULL, capture_output=True,
                          encoding="utf-8")
    message = done.stderr.strip().removeprefix(f"{path}: ")
    good = done.returncode == 1 and message.startswith(f"tokenizer.ggml.{key} ")
    print(f"  {'refused' if good else 'FAIL, not refused'}: {message[:60]}")
    return 0 if good else 1


def compare(driver, path):
    texts = pathlib.Path(f"{path}.inp").read_bytes().removesuffix(BETWEEN).split(BETWEEN)
    lines = pathlib.Path(f"{path}.out").read_text(encoding="ascii").splitlines()
    theirs = [[int(token) for token in line.split()] for line in lines]
    assert len(texts) == len(theirs) > 40
    # Letters and marks that NFC puts together: llama.cpp leaves them apart, Qwen's tokenizer does not.
    kept = [i for i, text in enumerate(texts) if unicodedata.is_normalized("NFC", text.decode())]
    if len(kept) < len(texts):
        print(f"  passed over: {len(texts) - len(kept)} texts that are not in NFC")
    texts, theirs = [texts[i] for i in kept], [theirs[i] for i in kept]
    return report("encode", texts, driver.encode(path, texts, "plain"), theirs)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin", type=pathlib.Path)
    parser.add_argument("--archive", type=pathlib.Path)
    args = parser.parse_args()
    driver = Driver(args.bin / "referee_tokenizer")
    differences = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        archive = args.archive or download(folder)
        if archive is None:
            print("llama-cpp-python-source-missing")
            return 77
        extract(archive, folder)
        found = {path.stem.removeprefix("ggml-vocab-"): path for path in folder.glob("*.gguf")}
        for name in sorted(SAME | REFUSED.keys() | found.keys()):
            print(name)
            if name not in found:
                print("  FAIL, not in the archive")
                differences += 1
            elif name in REFUSED:
                differences += check_refused(driver.program, found[name], REFUSED[name])
            elif name in SAME:
                differences += compare(driver, found[name])
            else:
                print("  passed over: the archive has no texts for it")
    print(f"{differences} differences in all")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
