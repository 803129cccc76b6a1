#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# From a fresh checkout to text on the screen.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tools/lib.sh
. tools/lib.sh

if [ "${1:-}" = --help ]; then
  cat <<'END'
usage: tools/demo.sh [ARGUMENT...]

Installs what the build needs (apt-get; as root or with sudo), builds the examples and tools into
build/release/bin, and has the bundled model tell a story. ARGUMENTs go to the program that tells
it: tools/demo.sh --max-tokens 20. What it understands: build/release/bin/generate --help. Without
any, the story is told with a little less chance than usual, which suits so small a model.
END
  exit
fi

need g++ cmake ninja-build libeigen3-dev libxsimd-dev nlohmann-json3-dev libcli11-dev doctest-dev
cmake --preset release
cmake --build --preset release --parallel "$(cores)" --target examples/all tools/all

[ $# -gt 0 ] || set -- --temperature 0.6 --repetition-penalty 1.05
command=(build/release/bin/generate examples/models/llama-tales-14m "Once upon a time" "$@")
printf '\n$'
printf ' %q' "${command[@]}"
printf '\n\n'
exec "${command[@]}"
