# SPDX-License-Identifier: Apache-2.0
"""The models that are run with mamba2 and with llama.cpp: which ones, by options that
vs_llama_cpp.py and first_token.py share, and their files."""
import argparse
import importlib.util
import os
import pathlib
import shutil
import sys

from processes import fail, mega, run, tell

ROOT = pathlib.Path(__file__).resolve().parent.parent
# How many bits a weight has in such a file, at most. mamba2-convert writes all but QUANTIZED.
TYPES = {"f32": 32.1, "f16": 16.1, "bf16": 16.1, "q8_0": 8.6, "q4_0": 5.3, "q4_k_m": 5.8}
QUANTIZED = {"q4_k_m"}
SHAPES = {  # how many weights they have
    "mamba2-130m": 129e6, "mamba2-370m": 369e6, "mamba2-780m": 781e6, "mamba2-1.3b": 1344e6,
    "mamba2-2.7b": 2703e6, "granite-4.0-h-350m": 341e6, "granite-4.0-h-1b": 1462e6,
    "granite-4.0-h-micro": 3192e6, "nemotron-3-nano-4b": 3974e6, "nemotron-nano-9b-v2": 8888e6,
    "falcon-h1-0.5b": 521e6, "falcon-h1-1.5b": 1555e6,
    "lfm2-350m": 354e6, "lfm2-700m": 742e6, "lfm2-1.2b": 1170e6}


def types(text):
    for kind in text.split(","):
        if kind not in TYPES:
            raise argparse.ArgumentTypeError(f"must be of {','.join(TYPES)}, found {kind!r}")
    return text.split(",")


def model_parser(text):
    """The options that say which models are compared, of which programs."""
    parser = argparse.ArgumentParser(
        description=text, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Exit status: 0 done, 1 something failed, 2 wrong usage, 130 interrupted.")
    parser.add_argument("bin", metavar="BIN", type=pathlib.Path, nargs="?",
                        default=ROOT / "build/release/bin",
                        help="folder of the programs, which tools/test.sh builds "
                        "[build/release/bin]")
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("--model", type=pathlib.Path, action="append", metavar="FILE",
                       help="a model as a GGUF file; may be given several times")
    model.add_argument("--random", choices=SHAPES, help="random weights in a published shape")
    parser.add_argument("--types", type=types, default=["f16", "q8_0", "q4_0"],
                        help=f"with --random: of {','.join(TYPES)} [f16,q8_0,q4_0]")
    parser.add_argument("--work", type=pathlib.Path, metavar="DIR",
                        help="folder where --random keeps its files [a temporary one]")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write all results")
    return parser


def check_packages(modules):
    for module in modules:
        package = module.replace("llama_cpp", "llama-cpp-python")
        if importlib.util.find_spec(module) is None:
            fail(f"the package {package} is missing: pip install {package}")


def check_files(args, programs, outputs):
    for name in programs:
        if not (args.bin / name).is_file():
            fail(f"{args.bin / name}: no such program; tools/test.sh builds it")
    for path in args.model or []:
        if not path.is_file():
            fail(f"{path}: no such file")
    for path in outputs:
        if path and (path.is_dir() or not os.access(path.parent, os.W_OK)):
            fail(f"{path}: cannot be written")


def check_memory(size):
    """Whether a file of that size can be run from memory, with what a run needs beside it."""
    need = 1.1 * size + 2e8
    try:
        lines = pathlib.Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return  # the system does not tell
    for line in lines:
        if line.startswith("MemAvailable:") and int(line.split()[1]) * 1024 < need:
            fail(f"needs {mega(need)} of memory, {mega(int(line.split()[1]) * 1024)} are available")


def write_random(args, work, scratch):
    """The files of --random; what is there is not written again."""
    sizes = {work / f"{args.random}-{kind}.gguf": SHAPES[args.random] * TYPES[kind] / 8
             for kind in args.types}
    check_memory(max(sizes.values()))
    missing = [path for path in sizes if not path.exists()]
    floats = scratch / "floats.gguf"
    if any(kind in QUANTIZED for kind in args.types):
        sizes[floats] = SHAPES[args.random] * TYPES["f16"] / 8
        missing.append(floats)
    need, free = sum(sizes[path] for path in missing), shutil.disk_usage(work).free
    if need > free:
        fail(f"{work}: needs {mega(need)} of disk, {mega(free)} are free; --work takes another")
    files = [work / f"{args.random}-{kind}.gguf" for kind in args.types]

    def convert(path, kind):
        tell(f"writing {path.name}, about {mega(sizes[path])}")
        run(args.bin / "mamba2-convert", "--random", args.random, path, "--type", kind)

    for path, kind in zip(files, args.types):
        if path in missing and kind not in QUANTIZED:
            convert(path, kind)
        elif path in missing:
            if not floats.exists():
                convert(floats, "f16")
            run(sys.executable, ROOT / "bench/llama_cpp_quantize.py", floats, path, "--type", kind)
    floats.unlink(missing_ok=True)  # before what is measured needs the disk's cache
    return files


def stop(number, _frame):
    tell("")
    sys.exit(128 + number)
