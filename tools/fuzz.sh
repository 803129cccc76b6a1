#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs the fuzz targets; tools/fuzz.sh --help says how.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

targets=()
for source in tests/fuzz/*_fuzz.cpp; do targets+=("$(basename "$source" _fuzz.cpp)"); done

usage() {
  cat <<END
usage: tools/fuzz.sh [TARGET]... [--seconds N] [--coverage]

Builds fuzz targets (libFuzzer, with AddressSanitizer and UndefinedBehaviorSanitizer; clang) and runs
each, from the seeds in tests/fuzz/corpus and tests/golden on. What was found worth keeping stays in
build/fuzz/TARGET.found for the next time. An input that breaks something is left in
build/fuzz/TARGET-crash-* (or -timeout-*, -oom-*), and the exit status is 1; to run it alone:
  build/fuzz/TARGET build/fuzz/TARGET-crash-...

  TARGET         one of: ${targets[*]} (default: all)
  --seconds N    how long to run each (default: 60)
  --coverage     afterwards, the share of the library's regions that the inputs kept reach (needs
                 llvm-profdata and llvm-cov, a second build, and no seconds: --seconds 0 will do)
  --help         this text
END
}

chosen=()
seconds=60
coverage=false
while [ $# -gt 0 ]; do
  case $1 in
    --seconds)
      if ! [[ ${2:-} =~ ^[0-9]+$ ]]; then
        echo "--seconds needs a number" >&2
        exit 2
      fi
      seconds=$2
      shift
      ;;
    --coverage) coverage=true ;;
    --help | -h)
      usage
      exit
      ;;
    *)
      if ! [[ " ${targets[*]} " == *" $1 "* ]]; then
        echo "no such target: '$1'; there are: ${targets[*]}" >&2
        exit 2
      fi
      chosen+=("$1")
      ;;
  esac
  shift
done
[ ${#chosen[@]} -gt 0 ] || chosen=("${targets[@]}")

# compile NAME OUTPUT FLAG...
compile() {
  local name=$1 output=$2
  shift 2
  # For the CPU of this machine, of whose instruction sets the target "kernels" is to see all.
  ${CMAKE_CXX_COMPILER_LAUNCHER:-} clang++ -std=c++20 -O1 -g1 -march=native "$@" \
    -Iinclude -I. -isystem /usr/include/eigen3 -c -o "$output.o" "tests/fuzz/${name}_fuzz.cpp"
  clang++ "$@" -o "$output" "$output.o"
}

# pair TEXT BYTES: a seed of both, as the targets take it that want a text, a NUL and some bytes.
pair() {
  (cat "$1" && printf '\0' && cat "$2") >"$seeds/$(cksum <"$2" | tr -d ' ')"
}

# Seeds that are larger, or made of files that are there for other tests.
add_golden() {
  local golden=tests/golden hybrid
  case $1 in
    gguf)
      cp "$golden/gguf/toy.gguf" "$seeds"
      for hybrid in "$golden"/hybrids_gguf/*/; do
        cp "$hybrid/model.gguf" "$seeds/$(basename "$hybrid").gguf"
      done
      ;;
    checkpoint)
      pair "$golden"/transformers/plain/{config.json,model.safetensors}
      pair "$golden"/quantized/{config.json,model.safetensors}
      pair "$golden"/hybrids/granite_dense/{config.json,model.safetensors}
      pair "$golden"/hybrids/lfm2/{config.json,model.safetensors}
      cp "$golden"/bitmamba/d64/model.bin "$seeds/bitmamba-d64"
      pair "$golden"/hybrids/granite_moe/{config.json,model.safetensors}
      ;;
    config)
      cp "$golden"/transformers/time_step_limit/config.json "$seeds"
      for hybrid in "$golden"/hybrids/*/; do
        cp "$hybrid/config.json" "$seeds/$(basename "$hybrid").json"
      done
      ;;
    index)
      pair "$golden"/transformers/float16_shards/model{.safetensors.index.json,-00001-of-00004.safetensors}
      ;;
    tokenizer) pair "$golden"/tokenizer/neox{,-cases}.json ;;
  esac
}

fuzz() {
  local name=$1 found=build/fuzz/$1.found log=build/fuzz/$1.log largest=4096
  local until=-max_total_time=$seconds
  [ "$seconds" -gt 0 ] || until=-runs=0 # the fuzzer takes no seconds as no limit
  case $name in
    checkpoint) largest=524288 ;;
    gguf | index | tokenizer | chat) largest=262144 ;;
  esac
  case $name in
    # Kernels are inlined whole, and UndefinedBehaviorSanitizer makes them take minutes to compile.
    kernels) compile "$name" "build/fuzz/$name" -fsanitize=fuzzer,address ;;
    *)
      compile "$name" "build/fuzz/$name" -fsanitize=fuzzer,address,undefined \
        -fno-sanitize-recover=all
      ;;
  esac
  build/fuzz/"$name" "$until" -max_len=$largest -timeout=20 -rss_limit_mb=1024 \
    -print_final_stats=1 -artifact_prefix="build/fuzz/$name-" "$found" "$seeds" >"$log" 2>&1 || {
    tail -n 50 "$log"
    return 1
  }
  awk -v name="$name" '
    / cov: / { for (i = 1; i < NF; ++i) { if ($i == "cov:") edges = $(i + 1) } }
    /number_of_executed_units/ { runs = $2 }
    /peak_rss_mb/ { memory = $2 }
    END {
      printf "%s: %d executions, %d edges, at most %d MiB of memory\n", name, runs, edges, memory
    }' "$log"
}

# The program without the fuzzer reads every input once.
cover() {
  local name=$1 program=build/fuzz/$1-coverage
  compile "$name" "$program" -fsanitize=fuzzer -fprofile-instr-generate -fcoverage-mapping
  LLVM_PROFILE_FILE=$program.profraw "$program" -runs=0 "build/fuzz/$name.found" "$seeds" \
    >"$program.log" 2>&1
  "$profdata" merge -sparse -o "$program.profdata" "$program.profraw"
  "$cov" report "$program" -instr-profile="$program.profdata" \
    -ignore-filename-regex='^/usr|tests/' >"$program.txt"
  awk -v name="$name" '/^TOTAL/ { print name ": " $4 " of the regions compiled" }' "$program.txt"
}

newest() {
  local program
  program=$(compgen -c "$1" | grep -E "^$1(-[0-9]+)?\$" | sort -V | head -n 1) || {
    echo "--coverage needs $1 (package llvm)" >&2
    exit 2
  }
  echo "$program"
}
if $coverage; then
  version=$(clang++ -dumpversion | cut -d. -f1) # the data must be of the same version
  profdata=$(command -v "llvm-profdata-$version" || newest llvm-profdata)
  cov=$(command -v "llvm-cov-$version" || newest llvm-cov)
fi

for name in "${chosen[@]}"; do
  seeds=build/fuzz/$name.seeds
  rm -rf "$seeds"
  mkdir -p "$seeds" "build/fuzz/$name.found"
  [ ! -d "tests/fuzz/corpus/$name" ] || cp "tests/fuzz/corpus/$name"/* "$seeds"
  add_golden "$name"
  fuzz "$name"
  if $coverage; then cover "$name"; fi
done
