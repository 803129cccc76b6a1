#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# release.sh ARCHIVE GENERATE MODEL WORK: the archive of tools/release.sh is whole, and its programs
# write what GENERATE, built for this machine, writes. GENERATE and MODEL are absolute paths.
set -euo pipefail
archive=$1 generate=$2 model=$3 work=$4
checks=0

die() {
  echo "FAILED: $*" >&2
  exit 1
}
pass() { checks=$((checks + 1)); }

rm -rf "$work"
mkdir -p "$work"
(cd "$(dirname "$archive")" && sha256sum --quiet -c "$(basename "$archive").sha256")
tar -tf "$archive" | LC_ALL=C sort -c || die "the files are not sorted"
[ "$(tar -tvf "$archive" --full-time | awk '{ print $2, $4, $5 }' | sort -u | wc -l)" -eq 1 ] ||
  die "the files differ in owner or time"
tar -xf "$archive" -C "$work"
cd "$work"/mamba2-*
sha256sum --quiet -c SHA256SUMS
[ "$(wc -l <SHA256SUMS)" -eq "$(find . -type f ! -name SHA256SUMS | wc -l)" ] ||
  die "SHA256SUMS does not list every file"
for file in README.md LICENSE llama-tales-14m.md \
  licenses/{glibc,libstdc++,eigen,xsimd,nlohmann-json,cli11}; do
  [ -s "$file" ] || die "$file is missing"
done
pass

# By greedy decoding. Each instruction set adds in another order, so logits differ: in FP32 and FP16 by
# 1.5e-5, where the two most likely tokens are 0.09 apart at least. With INT8 and INT4 an activation
# between two codes may get the other one, and logits differ by a quantization error (up to 0.3) from
# there on: these texts are the same (here tokens are 0.1 and 0.29 apart), others need not be. BF16 is left out: some CPUs of x86 round the
# activations of a prompt to it.
texts() { # COMMAND...: what it makes of the prompt in each precision
  local weights
  for weights in fp32 fp16 int8 int4; do
    "$@" "$model" "Once upon a time there was a" -t 0 -n 24 -w "$weights"
  done
  "$@" llama-tales-14m.gguf "Once upon a time there was a" -t 0 -n 24
}
texts "$generate" >../expected.txt
[ "$(wc -w <../expected.txt)" -ge 100 ] || die "$generate writes too little"
tail -n 1 ../expected.txt | cmp - llama-tales-14m.txt || die "llama-tales-14m.txt: another text"

for build in cortex-a76:neon_dotprod:cortex-a76 armv8-a:neon:cortex-a53; do
  IFS=: read -r folder isa cpu <<<"$build"
  run=()
  [ "$(uname -m)" = aarch64 ] || run=(qemu-aarch64-static -cpu "$cpu")
  for program in "$folder"/*; do
    headers=$(readelf --wide --program-headers --section-headers "$program")
    case $headers in
      *INTERP*) die "$program: needs a loader" ;;
      *.symtab*) die "$program: is not stripped" ;;
    esac
    ! grep -qF "${model%/examples/*}" "$program" || die "$program: knows where it was built"
    "${run[@]}" "$program" --version | grep -q ", $isa)" || die "$program: is not for $isa"
    pass
  done
  texts "${run[@]}" "$folder/generate" >../found.txt
  diff ../expected.txt ../found.txt || die "$folder/generate writes another text"
  pass
  "${run[@]}" "$folder/mamba2-bench" llama-tales-14m.gguf --threads 2 --decode 2 --prefill 3 \
    --repeat 1 >../bench.txt
  grep -q "mixed *2 *decode" ../bench.txt || die "$folder/mamba2-bench: no row"
  "${run[@]}" "$folder/mamba2-inspect" llama-tales-14m.gguf | grep -q '14.48 M parameters' ||
    die "$folder/mamba2-inspect"
  pass
done
echo "$checks checks of $(basename "$archive") passed"
