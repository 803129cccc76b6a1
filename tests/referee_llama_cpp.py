#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""llama.cpp reads what mamba2-convert writes, and says the same: tokens and logits.

  python3 tests/referee_llama_cpp.py BIN

BIN is the folder of the programs. Converts the bundled model to GGUF in several types and lets both
read the same 256 tokens, llama.cpp one by one. From F32 the logits must be the same but for
rounding. From F16, Q8_0 and Q4_0 llama.cpp rounds the activations, too (to F16 and Q8_0), which
mamba2-logits does not. So the same weights are converted once more, to F32, and from that both must
agree as closely as before. What differs in the other type is llama.cpp's rounding of activations,
with a bound of its own. Wherever the best token leads by five times the bound of what is typical, it
must be the same. Exits 0 if all is well, 1 if not, 77 if a package is not there.
"""
import pathlib
import subprocess
import sys
import tempfile

try:
    import llama_cpp
    import numpy
    from safetensors.numpy import load_file
except ImportError as missing:
    print(f"{missing.name}-missing")
    sys.exit(77)

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODEL = ROOT / "examples/models/tales-14m"
sys.path.insert(0, str(ROOT / "tests"))
from tokenizer_texts import SAMPLES  # noqa: E402

# How much logits may differ: at most, and the root of the mean square. They reach 15. Found with
# 0.3.36 on an AVX-512 CPU: 3.4e-5 and 3.7e-6; 0.010 and 0.0011; 0.43 and 0.040; 0.36 and 0.040.
SAME = 1e-4, 1e-5
ROUNDED = {"f16": (0.03, 0.003), "q8_0": (1, 0.1), "q4_0": (1, 0.1)}


@llama_cpp.llama_log_callback
def silence(_level, _text, _data):
    pass


class Llama:
    """A GGUF file in llama.cpp."""

    def __init__(self, path):
        self.model = llama_cpp.llama_model_load_from_file(
            bytes(path), llama_cpp.llama_model_default_params())
        if not self.model:
            sys.exit(f"FAIL llama.cpp does not load {path.name}")
        self.vocab = llama_cpp.llama_model_get_vocab(self.model)
        self.rows = llama_cpp.llama_vocab_n_tokens(self.vocab)

    def logits(self, ids):
        """After every token, one by one."""
        parameters = llama_cpp.llama_context_default_params()
        parameters.n_ctx = len(ids)
        context = llama_cpp.llama_init_from_model(self.model, parameters)
        found = numpy.empty((len(ids), self.rows), numpy.float32)
        for row, token in zip(found, ids):
            batch = llama_cpp.llama_batch_get_one((llama_cpp.llama_token * 1)(token), 1)
            if llama_cpp.llama_decode(context, batch) != 0:
                sys.exit("FAIL llama.cpp does not decode")
            row[:] = llama_cpp.llama_get_logits_ith(context, -1)[:self.rows]
        llama_cpp.llama_free(context)
        return found

    def tokens(self, text):
        raw = text.encode()
        ids = (llama_cpp.llama_token * (len(raw) + 1))()
        count = llama_cpp.llama_tokenize(self.vocab, raw, len(raw), ids, len(ids), False, True)
        return ids[:max(count, 0)]


def ours(bin_folder, folder, model, *arguments):
    out = folder / "ours.safetensors"
    subprocess.run([bin_folder / "mamba2-logits", model, *arguments, "--out", out], check=True)
    return load_file(out)


def convert(bin_folder, model, out, dtype):
    subprocess.run([bin_folder / "mamba2-convert", model, out, "--type", dtype], check=True,
                   stdout=subprocess.DEVNULL)
    return out


def same(name, found, expected, bounds):
    difference = numpy.abs(found - expected)
    largest, typical = difference.max(), float(numpy.sqrt(numpy.square(difference).mean()))
    ordered = numpy.sort(expected, axis=1)
    clear = ordered[:, -1] - ordered[:, -2] > 5 * bounds[1]
    agree = found.argmax(1) == expected.argmax(1)
    good = largest <= bounds[0] and typical <= bounds[1] and bool(agree[clear].all())
    print(f"{'ok  ' if good else 'FAIL'} {name}: differences at most {largest:.2e} (bound "
          f"{bounds[0]:g}), mean square root {typical:.2e} (bound {bounds[1]:g}), best token the "
          f"same {agree.sum()} of {len(agree)} times, {clear.sum()} of them clear")
    return good


def same_logits(bin_folder, folder, dtype, ids):
    listed = ",".join(map(str, ids))
    path = convert(bin_folder, MODEL, folder / f"{dtype}.gguf", dtype)
    expected = ours(bin_folder, folder, path, "--ids", listed, "--all")["logits"]
    found = Llama(path).logits(ids)
    if dtype == "f32":
        return same("f32", found, expected, SAME)
    floats = Llama(convert(bin_folder, path, folder / f"{dtype}-as-f32.gguf", "f32"))
    good = same(f"{dtype} as f32", floats.logits(ids), expected, SAME)
    return same(dtype, found, expected, ROUNDED[dtype]) and good


def same_tokens(bin_folder, folder):
    llama = Llama(folder / "f32.gguf")
    good = True
    count = 0
    for text in SAMPLES:
        expected = ours(bin_folder, folder, MODEL, "--text", text)["ids"].tolist()
        found = llama.tokens(text)
        count += len(expected)
        if found != expected:
            print(f"FAIL tokens of {text!r}: {found}, expected {expected}")
            good = False
    if good:
        print(f"ok   {count} tokens of {len(SAMPLES)} texts are the same")
    return good


def main():
    bin_folder = pathlib.Path(sys.argv[1])
    llama_cpp.llama_log_set(silence, None)
    ids = load_file(ROOT / "tests/golden/tales-14m.safetensors")["window_ids"][0, :256].tolist()
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        good = all([same_logits(bin_folder, folder, dtype, ids) for dtype in ("f32", *ROUNDED)])
        good &= same_tokens(bin_folder, folder)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
