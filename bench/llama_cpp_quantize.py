#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Has llama.cpp write a GGUF file in a type that mamba2-convert does not write, as vs_llama_cpp.py
asks.

  python3 bench/llama_cpp_quantize.py model-f16.gguf model-q4_k_m.gguf --type q4_k_m

The file appears when it is complete. Needs llama-cpp-python. Exit status: 0 done, 1 something
failed, 2 wrong usage.
"""
import argparse
import ctypes
import os
import pathlib
import sys

import llama_cpp

from vs_report import write

TYPES = {"q4_k_m": "LLAMA_FTYPE_MOSTLY_Q4_K_M"}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path, help="GGUF file")
    parser.add_argument("out", type=pathlib.Path, help="file to write")
    parser.add_argument("--type", choices=TYPES, required=True)
    args = parser.parse_args()
    listen = llama_cpp.llama_log_callback(lambda _level, _text, _data: None)
    llama_cpp.llama_log_set(listen, ctypes.c_void_p())
    options = llama_cpp.llama_model_quantize_default_params()
    options.ftype = getattr(llama_cpp, TYPES[args.type])

    def quantize(path):
        if llama_cpp.llama_model_quantize(os.fsencode(args.model), os.fsencode(path), options) != 0:
            sys.exit(f"{args.model}: llama.cpp cannot write it as {args.type}")

    write(args.out, quantize)


if __name__ == "__main__":
    main()
