#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# consumer.sh WAY SOURCE BUILD WORK [EMULATOR...]: builds examples/hello.cpp as a user's project would,
# having got the library (sources in SOURCE, build tree in BUILD) by WAY, in the folder WORK; then
# runs it.
# Environment: CMAKE, CXX, and TOOLCHAIN for a cross build.
set -euo pipefail
way=$1 source=$2 build=$3 work=$4
emulator=("${@:5}")
cmake=${CMAKE:-cmake}
rm -rf "$work"
mkdir -p "$work"

configure=(-G Ninja -DCMAKE_CXX_FLAGS=-O1 -DWAY="$way" -DMAMBA2="$source")
if [ -n "${TOOLCHAIN:-}" ]; then
  configure+=(-DCMAKE_TOOLCHAIN_FILE="$TOOLCHAIN")
else
  configure+=(-DCMAKE_CXX_COMPILER="$CXX")
fi

if [ "$way" = install ] || [ "$way" = pkg_config ]; then
  "$cmake" --install "$build" --prefix "$work/installed" >"$work/install.log"
  # Moved afterwards: nothing in it may remember where it was.
  mv "$work/installed" "$work/prefix"
fi

if [ "$way" = pkg_config ]; then
  export PKG_CONFIG_PATH=$work/prefix/share/pkgconfig
  read -ra flags < <(pkg-config --cflags --libs mamba2)
  mkdir "$work/build"
  (set -x && "$CXX" -std=c++20 -O1 "$source/examples/hello.cpp" -o "$work/build/hello" "${flags[@]}")
else
  "$cmake" -S "$source/tests/build/consumer" -B "$work/build" "${configure[@]}" \
    -DCMAKE_PREFIX_PATH="$work/prefix"
  "$cmake" --build "$work/build" --target hello
fi

cd "$source" # hello names its model from there
text=$("${emulator[@]}" "$work/build/hello")
printf '%s\n' "$text"
words=$(wc -w <<<"$text")
if [ "$words" -lt 20 ]; then
  echo "expected hello to print at least 20 words, found $words" >&2
  exit 1
fi
