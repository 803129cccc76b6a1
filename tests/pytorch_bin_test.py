#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tools/pytorch_bin_to_safetensors.py makes checkpoints that the programs read.

  python3 tests/pytorch_bin_test.py BIN

BIN is the folder of the programs. Saves a small model as state-spaces/mamba does, converts it, and
wants the logits of the same model in safetensors, to the bit; files that lie are refused, and leave
nothing. Exits 0 if all is well, 1 if not, 77 if torch is not there, without which only the messages
about that are tested.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOY = ROOT / "tests/golden/transformers/plain"
CONFIG = {"d_model": 32, "n_layer": 2, "vocab_size": 64, "pad_vocab_size_multiple": 16,
          "ssm_cfg": {"layer": "Mamba2", "d_state": 16, "headdim": 8}, "tie_embeddings": True}


def convert(status, message, *arguments):
    program = ROOT / "tools/pytorch_bin_to_safetensors.py"
    done = subprocess.run([sys.executable, program, *arguments], capture_output=True, text=True)
    said = done.stderr if status else done.stdout
    assert done.returncode == status and message in said, (arguments, done)
    assert status == 0 or len(said.splitlines()) == 1, said


def logits(bin_folder, model, out):
    subprocess.run([bin_folder / "mamba2-logits", model, "--ids", "1,5,9,33", "--all", "--out", out],
                   check=True)
    return out.read_bytes()


class Malicious:
    """Unpickled, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def with_torch(torch, load_file, bin_folder, folder):
    model = folder / "model"
    tensors = {name.replace("embeddings", "embedding"): tensor
               for name, tensor in load_file(TOY / "model.safetensors").items()}
    tensors["lm_head.weight"] = tensors["backbone.embedding.weight"]
    torch.save(tensors, model / "pytorch_model.bin")
    convert(0, f"{len(tensors) - 1} tensors", model, folder / "out")
    written = load_file(folder / "out/model.safetensors")
    assert sorted(written) == sorted(set(tensors) - {"lm_head.weight"})
    expected = logits(bin_folder, TOY, folder / "expected")
    assert logits(bin_folder, folder / "out", folder / "found") == expected

    convert(1, "exists; --force replaces it", model, folder / "out")
    convert(0, "", model)  # beside the original
    convert(0, "", model, "--force")
    assert logits(bin_folder, model, folder / "found") == expected
    convert(1, "cannot be made", model, folder / "no/such")

    whole = (model / "pytorch_model.bin").read_bytes()
    for what, content in (("empty", b""), ("cut", whole[:len(whole) // 2]), ("text", b"{}")):
        (model / "pytorch_model.bin").write_bytes(content)
        convert(1, "torch cannot read it", model, folder / what)
    torch.save(Malicious(folder / "executed"), model / "pytorch_model.bin")
    convert(1, "torch cannot read it", model, folder / "other")
    torch.save([1], model / "pytorch_model.bin")
    convert(1, "expected tensors by name, found list", model, folder / "other")
    torch.save({"step": 1}, model / "pytorch_model.bin")
    convert(1, "step: expected a tensor, found int", model, folder / "other")
    left = sorted(path.name for path in folder.iterdir())
    assert left == ["expected", "found", "model", "out"], left


def main():
    bin_folder = pathlib.Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        (folder / "model").mkdir()
        convert(0, "Example", "--help")
        convert(1, "config.json: no such file", folder / "model")
        (folder / "model/config.json").write_text(json.dumps(CONFIG))
        convert(1, "pytorch_model.bin: no such file", folder / "model")
        try:
            import torch
            from safetensors.torch import load_file
        except ImportError as missing:
            (folder / "model/pytorch_model.bin").touch()
            convert(1, "is missing: pip install torch safetensors", folder / "model")
            print(f"{missing.name}-missing: nothing was converted")
            return 77
        with_torch(torch, load_file, bin_folder, folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
