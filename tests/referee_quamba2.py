#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tools/quamba2_to_mamba2.py makes models of Quamba2's checkpoints that have the right logits:
tests/golden/quamba2 has one of each kind, with those of its weights in float64. What lies is refused,
and leaves nothing.

  python3 tests/referee_quamba2.py BIN

BIN is the folder of the programs. Exits 0 if all is well, 1 if not, 77 if a package is not there."""
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

from referees import ROOT, load_file, logits

try:
    import torch
except ImportError as missing:
    print(f"{missing.name}-missing")
    sys.exit(77)

import numpy

GOLDEN = ROOT / "tests/golden/quamba2"


def convert(status, message, *arguments):
    done = subprocess.run([sys.executable, ROOT / "tools/quamba2_to_mamba2.py", *arguments],
                          capture_output=True, text=True)
    said = done.stderr if status else done.stdout
    assert done.returncode == status and message in said, (arguments, done)
    assert status == 0 or len(said.splitlines()) == 1, said


def check(bin_folder, folder, name, weights, bound, *options):
    """The root mean square of the differences, in standard deviations of the logits."""
    out = folder / f"{name}{weights}{len(options)}"
    convert(0, "tensors", GOLDEN / name, out, *options)
    expected = load_file(GOLDEN / name / "expected.safetensors")
    ids = ",".join(map(str, expected["ids"]))
    found = logits(bin_folder, out, folder / "logits", "--ids", ids, "--all", "-w", weights)["logits"]
    off = numpy.sqrt(numpy.square(found - expected["logits"]).mean()) / expected["logits"].std()
    print(f"{name} {weights} {' '.join(options)}: {off:.1e} (bound {bound})")
    assert off < bound, (name, weights, off)


def integers(name):
    """How far the program of the original, all in integers, is from its weights in float64."""
    logits_of = load_file(GOLDEN / name / "expected.safetensors")
    off = numpy.square(logits_of["logits_integers"] - logits_of["logits"]).mean() ** 0.5
    print(f"{name} with constant scales of inputs and states: {off / logits_of['logits'].std():.3f}")


def refusals(folder):
    convert(1, "no such file", folder / "nothing", folder / "out")
    good = GOLDEN / "w4a16_d384"
    convert(1, "exists", good, folder)
    values = torch.load(good / "pytorch_model.bin", weights_only=True)
    config = json.loads((good / "config.json").read_text())
    broken = folder / "broken"
    weight, scale = "backbone.layers.1.mixer.out_proj.weight", "lm_head.scale"
    for message, change, keys in (
            (f"{weight}: expected int32 , found nothing", lambda v: v.pop(weight), {}),
            (f"{weight}: expected int32 , found int64", lambda v: v.update({weight: v[weight].long()}),
             {}),
            (f"{scale}: expected float16", lambda v: v.update({scale: v[scale][:1]}), {}),
            ("out_proj: expected 384 rows of 768", lambda v: v.update({weight: v[weight][:16]}), {}),
            ("ssm_cfg.layer: expected one of W4A16QMamba2", lambda v: None,
             {"ssm_cfg": config["ssm_cfg"] | {"layer": "W4A16QMamba"}}),
            ("embedding_cfg.layer 'W2' is not supported", lambda v: None,
             {"embedding_cfg": {"layer": "W2"}}),
            ("is not one of Quamba2: KeyError: 'lm_head_cfg'", lambda v: None, {"lm_head_cfg": None})):
        shutil.copytree(good, broken)
        changed = {k: v for k, v in (config | keys).items() if v is not None}
        (broken / "config.json").write_text(json.dumps(changed))
        other = dict(values)
        change(other)
        torch.save(other, broken / "pytorch_model.bin")
        convert(1, message, broken, folder / "out")
        assert not (folder / "out").exists()
        shutil.rmtree(broken)


def main():
    bin_folder = pathlib.Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        refusals(folder)
        # The weights alone are exact; Mixed rounds inputs to INT8.
        for name, bound, options in (("w4a16_d384", 2e-6, ()), ("w8a8_d256", 2e-6, ()),
                                     ("w4a8_d256", 2e-6, ("--exact",)), ("w4a8_d256", 0.03, ())):
            check(bin_folder, folder, name, "fp32", bound, *options)
            check(bin_folder, folder, name, "mixed", 0.03, *options)
        for name in ("w8a8_d256", "w4a8_d256"):
            integers(name)


if __name__ == "__main__":
    main()
