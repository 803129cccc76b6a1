#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# consumer.sh WAY SOURCE BUILD WORK [EMULATOR...]: builds a program as a user's project would, having
# got the library (sources in SOURCE, build tree in BUILD) by WAY, in the folder WORK; then runs it.
# Installed, it is examples/hello.cpp, without exceptions and RTTI; else a small one, which compiles
# faster.
# Environment: CMAKE, CXX, and TOOLCHAIN for a cross build.
set -euo pipefail
way=$1 source=$2 build=$3 work=$4
emulator=("${@:5}")
cmake=${CMAKE:-cmake}
rm -rf "$work"
mkdir -p "$work"

program=small expected='mamba2 [0-9.]+, 45' flags=(-O0)
if [ "$way" = install ]; then
  program=hello expected='([^ ]+ +){19}[^ ]' flags=(-O1 -fno-exceptions -fno-rtti)
fi
configure=(-G Ninja -DCMAKE_CXX_FLAGS="${flags[*]}" -DWAY="$way" -DMAMBA2="$source")
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
  read -ra found < <(pkg-config --cflags --libs mamba2)
  mkdir "$work/build"
  (set -x && "$CXX" -std=c++20 "${flags[@]}" "$source/tests/build/consumer/main.cpp" \
    -o "$work/build/$program" "${found[@]}")
else
  "$cmake" -S "$source/tests/build/consumer" -B "$work/build" "${configure[@]}" \
    -DCMAKE_PREFIX_PATH="$work/prefix"
  "$cmake" --build "$work/build" --target "$program"
fi

cd "$source" # hello names its model from there
text=$("${emulator[@]}" "$work/build/$program")
printf '%s\n' "$text"
if ! tr '\n' ' ' <<<"$text" | grep -qE "$expected"; then
  echo "expected $program to print something like '$expected'" >&2
  exit 1
fi
