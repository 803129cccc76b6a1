#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How fast llama.cpp runs a model, as vs_llama_cpp.py asks, in a process of its own.

  python3 bench/llama_cpp_speed.py model.gguf --threads 2

Prints a JSON object: tokens per second of decoding, one by one, and of prefilling, as medians of
slices as those of mamba2-bench; the seconds until both can begin; the bytes of memory that the
process takes more at most than before; and what llama.cpp says of itself.

Needs llama-cpp-python. Exit status: 0 done, 1 something failed, 2 wrong usage.
"""
import argparse
import ctypes
import json
import os
import pathlib
import random
import statistics
import sys
import time

import llama_cpp

from arguments import whole

TOO_OLD = (f"llama-cpp-python {llama_cpp.__version__} is too old for Mamba-2 (0.3.36 is not): "
           "pip install --upgrade llama-cpp-python")
WARM_UP = 3  # tokens


def peak_memory(reset=False):
    """The most memory that this process had since the last reset, in bytes; None if the system does
    not tell."""
    try:
        if reset:
            pathlib.Path("/proc/self/clear_refs").write_text("5")
        status = pathlib.Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024
    except (OSError, IndexError):
        return None


class LlamaCpp:
    """A GGUF file in llama.cpp, ready to run."""

    def __init__(self, args):
        said = []
        self.listen = llama_cpp.llama_log_callback(
            lambda _level, text, _data: said.append(text.decode(errors="replace")))
        llama_cpp.llama_log_set(self.listen, ctypes.c_void_p())
        if not hasattr(llama_cpp, "llama_model_load_from_file"):
            sys.exit(TOO_OLD)
        options = llama_cpp.llama_model_default_params()
        options.n_gpu_layers = 0
        if not args.mmap and hasattr(options, "use_mmap"):
            options.use_mmap = False
        elif not args.mmap:
            options.load_mode = llama_cpp.LLAMA_LOAD_MODE_NONE
        self.model = llama_cpp.llama_model_load_from_file(os.fsencode(args.model), options)
        self.context = self.model and self.start(args)
        if not self.context:
            said = "".join(said)
            if "unknown model architecture" in said:
                sys.exit(TOO_OLD)
            errors = [line for line in said.splitlines() if "error" in line or "failed" in line]
            sys.exit(": ".join([f"{args.model}: llama.cpp cannot run it"] + errors[:1]))

    def start(self, args):
        options = llama_cpp.llama_context_default_params()
        options.n_ctx = max(args.prefill, args.context + WARM_UP + args.decode)
        options.n_batch = options.n_ubatch = args.prefill
        options.n_threads = options.n_threads_batch = args.threads
        options.op_offload = False  # to a GPU
        if args.flash_attention != "auto":
            options.flash_attn_type = int(args.flash_attention == "on")
        return llama_cpp.llama_init_from_model(self.model, options)

    def vocab_size(self):
        return llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self.model))

    def read(self, tokens):
        """Reads tokens at once, as far as the logits of the last; returns how many a second."""
        ids = (llama_cpp.llama_token * len(tokens))(*tokens)
        batch = llama_cpp.llama_batch_get_one(ids, len(ids))
        start = time.perf_counter()
        if llama_cpp.llama_decode(self.context, batch) != 0:
            sys.exit("llama.cpp cannot decode")
        llama_cpp.llama_synchronize(self.context)
        return len(tokens) / (time.perf_counter() - start)

    def decode(self, tokens, repeat, context, piece):
        """After so many tokens of context, which are read in pieces."""
        for first in range(0, len(context), piece):
            self.read(context[first:first + piece])
        for token in tokens[:WARM_UP]:
            self.read([token])
        rates = [self.read([token]) for token in tokens]
        cuts = [len(rates) * i // repeat for i in range(repeat + 1)]
        return statistics.median(statistics.harmonic_mean(rates[begin:end])
                                 for begin, end in zip(cuts, cuts[1:]))

    def prefill(self, tokens, repeat):
        rates = []
        for _ in range(1 + repeat):
            llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), True)
            rates.append(self.read(tokens))
        return statistics.median(rates[1:])  # the first warms up


def versions():
    said = {"llama-cpp-python": llama_cpp.__version__}
    # The Python package has no names for these.
    library = getattr(llama_cpp.llama_cpp, "_lib", None)
    for name in ("llama_version", "ggml_version", "ggml_commit"):
        function = getattr(library, name, None)
        if function:
            function.restype = ctypes.c_char_p
            said[name] = function().decode(errors="replace")
    said["system"] = llama_cpp.llama_print_system_info().decode(errors="replace").strip(" |\n")
    return said


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path, help="GGUF file")
    parser.add_argument("--threads", type=whole, default=1)
    parser.add_argument("--decode", type=whole, default=64, help="tokens to decode [64]")
    parser.add_argument("--prefill", type=whole, default=512, help="tokens to read at once [512]")
    parser.add_argument("--context", type=lambda text: whole(text, 0), default=0,
                        help="tokens to read before decoding [0]")
    parser.add_argument("--flash-attention", choices=("auto", "on", "off"), default="auto",
                        help="how attention is computed [auto]")
    parser.add_argument("--repeat", type=whole, default=3,
                        help="slices of decoding, and times that a prompt is read [3]")
    parser.add_argument("--first-token", action="store_true",
                        help="print nothing but the seconds until there are the first logits")
    parser.add_argument("--no-mmap", dest="mmap", action="store_false",
                        help="read the file, do not map it")
    args = parser.parse_args()

    before = peak_memory(reset=True)
    start = time.perf_counter()
    llama = LlamaCpp(args)
    load_s = time.perf_counter() - start
    if args.first_token:
        llama.read([1])
        print(json.dumps({"first_token_s": time.perf_counter() - start}))
        return
    choose = random.Random(7)
    vocab_size = llama.vocab_size()
    tokens = [choose.randrange(vocab_size)
              for _ in range(max(args.decode, args.prefill, args.context))]
    decode = llama.decode(tokens[:args.decode], args.repeat, tokens[:args.context], args.prefill)
    prefill = llama.prefill(tokens[:args.prefill], args.repeat)
    peak = peak_memory()
    print(json.dumps({"decode_tokens_per_s": decode, "prefill_tokens_per_s": prefill,
                      "load_s": load_s, "peak_bytes": peak - before if before and peak else None,
                      "versions": versions()}))


if __name__ == "__main__":
    main()
