#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tools/check_model.py finds that transformers and the library agree about the bundled model and the
hybrids of tests/golden, which transformers also reads as the library writes them, and that they do
not where INT4 answers for FP32.

  python3 tests/referee_check_model.py BIN

BIN is the folder of the programs. Exits 0 if all is well, 1 if not, 77 if a package is not there."""
import json
import pathlib
import subprocess
import sys
import tempfile

from referees import MODEL, ROOT, convert

try:
    import torch  # noqa: F401
    import transformers  # noqa: F401
except ImportError as missing:
    print(f"{missing.name}-missing")
    sys.exit(77)

CHECK = ROOT / "tools/check_model.py"
# Those of state-spaces are no models of transformers.
HYBRIDS = sorted(path.parent for path in (ROOT / "tests/golden/hybrids").glob("*/config.json")
                 if "model_type" in json.loads(path.read_text()))


def status(bin_folder, folder, *arguments):
    done = subprocess.run([sys.executable, CHECK, folder, "--bin", bin_folder, *arguments],
                          capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def main():
    bin_folder = pathlib.Path(sys.argv[1]).resolve()
    wrong = []
    with tempfile.TemporaryDirectory() as temporary:
        # As they come, and as folders that the library writes of them.
        written = [convert(bin_folder, folder, pathlib.Path(temporary) / f"{folder.name}-written")
                   for folder in HYBRIDS]
        for folder in (MODEL, *HYBRIDS, *written):
            code, said = status(bin_folder, folder)
            print(f"{folder.name}: {said.strip().splitlines()[-1]}")
            if code != 0:
                wrong.append(f"{folder.name}: exit status {code}\n{said}")
        rounded = pathlib.Path(temporary) / "mamba2-logits"
        rounded.write_text(f"""#!/usr/bin/env python3
import os, sys
arguments = sys.argv[1:]
arguments[arguments.index("-w") + 1] = "int4"
os.execv("{bin_folder}/mamba2-logits", ["mamba2-logits", *arguments])
""")
        rounded.chmod(0o755)
        for expected, arguments in ((1, (MODEL, "--bin", temporary)),
                                    (2, (pathlib.Path(temporary) / "missing",))):
            code, said = status(bin_folder, *arguments)
            if code != expected:
                wrong.append(f"exit status {code}, expected {expected}\n{said}")
    print("\n".join(wrong))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
