# SPDX-License-Identifier: Apache-2.0
"""What the programs that look at ARM code share."""
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def run(*command, **options):
    """A command's output; ends the program where it fails."""
    name = pathlib.Path(sys.argv[0]).name
    try:
        return subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True,
                              **options).stdout
    except FileNotFoundError:
        sys.exit(f"{name}: {command[0]} is not installed; --help says what is needed")
    except subprocess.CalledProcessError as error:
        sys.exit(f"{name}: {' '.join(map(str, command))}: exit status {error.returncode}\n"
                 f"{error.stderr[-4000:]}")


def cross_compiler():
    """The compiler for AArch64, after what CMAKE_CXX_COMPILER_LAUNCHER says, as in CMake."""
    return [*os.environ.get("CMAKE_CXX_COMPILER_LAUNCHER", "").split(), "aarch64-linux-gnu-g++"]
