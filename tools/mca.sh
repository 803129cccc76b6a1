#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# How many cycles the inner loops of the ARM kernels take; tools/mca.sh --help says more.
set -eu
if [ $# -gt 0 ]; then
  cat << 'END'
usage: tools/mca.sh

Prints what llvm-mca says about the inner loops of the ARM kernels on a Neoverse N1, the sibling of
the Cortex-A76 that LLVM has a model of: cycles and instructions per cycle. Memory and caches are
not in the model. Needs g++-aarch64-linux-gnu and llvm-19, or CXX and MCA in the environment, which
name the cross compiler and llvm-mca.
END
  [ "$1" = --help ]
  exit
fi
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT

# loops NAME HEADER SIGNATURE CALL: a function that makes one call, and its loops that multiply;
# of a loop around another one, a pass with one pass of the inner loop.
loops() {
  cat > "$work/loop.cpp" <<END
#include "mamba2/kernels/$2"
using namespace mamba2;
using namespace mamba2::kernels;
void f($3) { $4; }
END
  "${CXX:-aarch64-linux-gnu-g++}" -std=c++20 -O3 -mcpu=cortex-a76 -Iinclude -S \
    -o "$work/loop.s" "$work/loop.cpp"
  rm -f "$work"/*.loop
  awk -v prefix="$work/" '
    /^\.L[0-9]+:/ { sub(":", ""); at[$1] = NR }
    /^\t[a-z]/ { line[NR] = $0; label = $NF }
    /^\t(b[.]?[a-z]+|cbn?z)\t/ && label in at {
      nested = 0; text = ""
      for (i = at[label]; i <= NR; ++i) {
        if (i < NR && i in back) { ++nested; continue }
        if (i in line) text = text line[i] "\n"
      }
      back[NR] = 1
      if (nested < 2 && text ~ /sdot|smlal|fmla/) printf "%s", text > sprintf("%s%06d.loop", prefix, NR)
    }' "$work/loop.s"
  for loop in "$work"/*.loop; do
    "${MCA:-llvm-mca-19}" -mtriple=aarch64 -mcpu=neoverse-n1 -iterations=1000 "$loop" 2> /dev/null |
      awk -v name="$1" -v dots="$(grep -c sdot "$loop")" '
        /^Total Cycles/ { cycles = $3 / 1000 } /^IPC/ { ipc = $2 }
        END { printf "%-34s %4d SDOT %6.1f cycles %5.2f instructions/cycle\n", name, dots, cycles, ipc }'
  done
}

args='const std::byte* bands, const std::byte* x, std::size_t stride, const MutableRows& y'
scan='const float* x, const float* B, const float* C, std::size_t n, std::size_t p, float* y'
for isa in neon_dotprod neon; do
  for kernel in Int8 Int4 Q8_0 Q4_K Q6_K; do
    case $kernel in Int8) layout=Int8Layout ;; *_K) layout=KLayout ;; *) layout=GroupLayout ;; esac
    for tile in 1,1 1,4 1,8 2,4 2,8; do
      case $isa/$kernel/$tile in neon/*,8) continue ;; */Int8/2,*) ;; */2,*) continue ;; esac
      loops "$isa $kernel ${tile%,*} bands ${tile#*,} tokens" \
        "$isa/$(echo "$kernel" | tr '[:upper:]' '[:lower:]').hpp" "const $layout& sizes, $args" \
        "kernels::$isa::$kernel::tile<$tile>(sizes, bands, x, stride, y)"
    done
  done
done
for element in float std::uint16_t; do
  loops "scan step $element" neon/scan_step.hpp "$scan, $element* s" \
    "kernels::neon::scan_step(0.5F, x, B, C, n, p, s, y)"
done
