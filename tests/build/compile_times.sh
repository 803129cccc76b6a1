#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# compile_times.sh SOURCE WORK CXX FLAG...: fails if the umbrella header includes what is not for it.
# With TIMES=yes it prints what including the library costs, and a model: seconds, for people to read.
set -euo pipefail
export LC_ALL=C
source=$1 work=$2 cxx=$3
flags=(-std=c++20 -O2 -I"$source/include" "${@:4}")
mkdir -p "$work"

TIMEFORMAT='%U' # of the CPU: the machine may have other work

# measure NAME TEXT FLAG...: compiles a source file of that text.
measure() {
  local seconds
  [ "${TIMES:-}" = yes ] || return 0
  printf '%s\n' "$2" >"$work/source.cpp"
  seconds=$({ time "$cxx" "${flags[@]}" "${@:3}" -c "$work/source.cpp" -o "$work/source.o" \
    2>"$work/errors"; } 2>&1) || {
    cat "$work/errors" >&2
    return 1
  }
  printf '%7.1f s  %7d bytes  %s\n' "$seconds" "$(stat -c %s "$work/source.o")" "$1"
}

# without PATTERN FLAG...: the umbrella header includes nothing of the kind.
without() {
  local found headers
  printf '%s\n' "$umbrella" >"$work/source.cpp"
  headers=$("$cxx" "${flags[@]}" "${@:2}" -M "$work/source.cpp" | tr -s '[:space:]' '\n')
  grep -q '/mamba2/model/model\.hpp$' <<<"$headers" || { # else they are not what they seem
    echo "mamba2.hpp includes no model" >&2
    return 1
  }
  if found=$(grep -E "$1" <<<"$headers"); then
    printf 'mamba2.hpp (%s) includes\n%s\n' "${*:2}" "$found" >&2
    return 1
  fi
}

umbrella='#include <mamba2/mamba2.hpp>'
model='
using Model = mamba2::Mamba2Model<mamba2::Int8>;
float f(const Model& m) { return m.session().value().decode(1).value()[0]; }
Model g(const char* path) { return Model::load(path).value(); }'
# What a device that runs a model has no use for; and where the definitions are elsewhere, their
# libraries.
without '/Eigen/|/mamba2/(quantize/|formats/encode|.*(_writer|export|update_config)\.hpp$)'
without '/Eigen/|/nlohmann/' -DMAMBA2_SEPARATE
measure "the umbrella header" "$umbrella"
measure "loading and decoding, Int8" "$umbrella$model"
measure "the same, compiled elsewhere (MAMBA2_SEPARATE)" "$umbrella$model" -DMAMBA2_SEPARATE
