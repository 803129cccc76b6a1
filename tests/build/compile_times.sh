#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# compile_times.sh SOURCE WORK CXX FLAG...: what including the library costs, and a model; prints
# seconds, which are for people to read, and fails only if something does not compile.
set -euo pipefail
export LC_ALL=C
source=$1 work=$2 cxx=$3
flags=(-std=c++20 -O2 -I"$source/include" "${@:4}")
mkdir -p "$work"

TIMEFORMAT='%U' # of the CPU: the machine may have other work

# measure NAME TEXT FLAG...: compiles a source file of that text.
measure() {
  local seconds
  printf '%s\n' "$2" >"$work/source.cpp"
  seconds=$({ time "$cxx" "${flags[@]}" "${@:3}" -c "$work/source.cpp" -o "$work/source.o" \
    2>"$work/errors"; } 2>&1) || {
    cat "$work/errors" >&2
    return 1
  }
  printf '%7.1f s  %7d bytes  %s\n' "$seconds" "$(stat -c %s "$work/source.o")" "$1"
}

umbrella='#include <mamba2/mamba2.hpp>'
model='
using Model = mamba2::Mamba2Model<mamba2::Int8>;
float f(const Model& m) { return m.session().value().decode(1).value()[0]; }
Model g(const char* path) { return Model::load(path).value(); }'
measure "the umbrella header" "$umbrella"
measure "loading and decoding, Int8" "$umbrella$model"
measure "the same, compiled elsewhere (MAMBA2_SEPARATE)" "$umbrella$model" -DMAMBA2_SEPARATE
