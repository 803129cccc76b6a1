#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes model.safetensors of the pytorch_model.bin that state-spaces/mamba checkpoints have.

Needs the packages torch (any; the one for CPUs is enough) and safetensors. Nothing that is in the
pickle is executed, and the weights are mapped, not read into memory as a whole. Names, types and
values stay as they are; lm_head.weight is left out where it is the embedding itself."""

import argparse
import os
import pathlib
import shutil
import sys

HEAD = "lm_head.weight"
# state-spaces/mamba says "embedding", transformers "embeddings".
EMBEDDINGS = ("backbone.embedding.weight", "backbone.embeddings.weight")


def read(path):
    """What is in a checkpoint, by name: tensors, and in some also numbers."""
    try:
        import torch
    except ImportError as missing:
        sys.exit(f"the package {missing.name} is missing: pip install torch safetensors")
    try:
        values = torch.load(str(path), map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # whatever a broken file raises
        sys.exit(f"{path}: torch cannot read it: {str(error).splitlines()[0]}")
    if not isinstance(values, dict) or not values:
        sys.exit(f"{path}: expected tensors by name, found {type(values).__name__}")
    return values


def load(path):
    """The tensors of a checkpoint, by name."""
    tensors = read(path)
    for name, tensor in tensors.items():
        if not hasattr(tensor, "data_ptr"):
            sys.exit(f"{path}: {name}: expected a tensor, found {type(tensor).__name__}")
    return tensors


def untied(tensors):
    """Without the head where it is the same memory as the embedding, which safetensors refuses."""
    head = tensors.get(HEAD)
    for name in EMBEDDINGS:
        if head is not None and name in tensors and tensors[name].data_ptr() == head.data_ptr():
            return {name: tensor for name, tensor in tensors.items() if name != HEAD}
    return tensors


def write(path, save):
    """Lets save(path) write a file that appears whole or not at all."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        save(partial)
        os.replace(partial, path)
    except Exception as error:  # safetensors has errors of its own
        sys.exit(f"{path}: cannot be written: {error}")
    finally:
        partial.unlink(missing_ok=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, epilog=(
        "Example: %(prog)s mamba2-130m && mamba2-inspect mamba2-130m\n"
        "Those checkpoints have no tokenizer: put GPT-NeoX-20B's tokenizer.json beside the rest."),
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="IN", type=pathlib.Path,
                        help="folder with config.json and pytorch_model.bin")
    parser.add_argument("out", metavar="OUT", type=pathlib.Path, nargs="?",
                        help="folder for model.safetensors, config.json and, if there is one, "
                        "tokenizer.json [IN]")
    parser.add_argument("--force", action="store_true", help="replace a model.safetensors in OUT")
    arguments = parser.parse_args()
    model, out = arguments.model, arguments.out or arguments.model
    result = out / "model.safetensors"
    for name in ("config.json", "pytorch_model.bin"):
        if not (model / name).is_file():
            sys.exit(f"{model / name}: no such file")
    if result.exists() and not arguments.force:
        sys.exit(f"{result}: exists; --force replaces it")
    try:
        from safetensors.torch import save_file
    except ImportError as missing:
        sys.exit(f"the package {missing.name} is missing: pip install torch safetensors")

    tensors = untied(load(model / "pytorch_model.bin"))
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    try:
        out.mkdir(exist_ok=True)
    except OSError as error:
        sys.exit(f"{out}: cannot be made: {error.strerror}")
    for name in ("config.json", "tokenizer.json"):
        if (model / name).is_file() and not out.samefile(model):
            write(out / name, lambda path, name=name: shutil.copyfile(model / name, path))
    write(result, lambda path: save_file(tensors, path, metadata={"format": "pt"}))
    print(f"{result}: {len(tensors)} tensors, {result.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
