#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The one command that tests; tools/test.sh --help says what.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tools/lib.sh
. tools/lib.sh

results=build/results.txt # a line "PASSED FAILED" for each run of a test runner

usage() {
  cat <<'END'
usage: tools/test.sh [--full] [--only STEP]... [--no-install]

Builds and tests mamba2, after installing what that needs (apt-get; as root or with sudo). What was
built stays in build/, so that the next run compiles only what changed; the programs for this
machine are in build/release/bin.

  (nothing)      the quick steps
  --full         all steps
  --only STEP    this step; may be given several times
  --no-install   do not look for missing packages
  --help         this text

The quick steps, in order:
  release        gcc, optimised for this machine's CPU: unit tests, users' builds
  asan-ubsan     gcc, AddressSanitizer and UndefinedBehaviorSanitizer, assertions
  aarch64-cross  cross build for Cortex-A76, tests under QEMU as that CPU (but for those of files,
                 texts, memory and users' builds)
  arm-pipeline   cycles of the inner loops on a Cortex-A76, by llvm-mca, are within their budgets

The further steps of --full:
  format         clang-format finds nothing to change
  fuzz           libFuzzer with sanitizers, 30 seconds for each target (or FUZZ_SECONDS)
  tidy           clang-tidy finds nothing in the headers, examples, tools and benchmarks
  referees       the same answers as other implementations (Python packages, in build/venv)
  debug          gcc, assertions, little optimisation; each header alone
  clang          clang, optimised for this machine's CPU
  asan-scopes    as asan-ubsan, and no variable is used after its scope, no reference is null, no
                 object of another type
  tsan           gcc, ThreadSanitizer
  x86-levels     the same tests for older CPUs: x86-64, x86-64-v3 (AVX2) and, where they run here,
                 x86-64-v4 (AVX-512) and that with VNNI
  valgrind       no error and no leak: generate and some unit tests, built for x86-64-v3
  aarch64-base   cross build for Armv8.0 (no dot product), tests under QEMU as Cortex-A72
  aarch64-i8mm   cross build with matrix products of INT8 (SMMLA), tests under QEMU
  arm-instructions
                 what decoding executes on ARM, counted under QEMU: products, scan, little else
  aarch64-cpus   the tests of aarch64-cross again and those that it leaves out but for files and
                 texts, as other CPUs, and the programs
  release-tar    the archive of tools/release.sh, and what its programs write under QEMU

Each step is a CMake preset or close to one (cmake --list-presets). To work on one part:
  cmake --preset release && cmake --build --preset release && ctest --preset release -R scan
  build/release/bin/mamba2-tests --help

The last line is the sum over all runs of all test runners, in the words of CTest. The exit status is
0 if nothing failed, 1 if something did, 2 if the packages could not be installed.
END
}

say() { printf '\n== %s\n' "$*"; }

build() {
  cmake --preset "$1" -DMAMBA2_WERROR=ON
  cmake --build --preset "$1" --parallel "$(cores)"
}

# Runs ctest with these arguments and adds its counts to the results.
count_ctest() {
  local report=$PWD/build/ctest.xml status=0 tests failures
  rm -f "$report"
  ctest "$@" "-j$(cores)" --output-on-failure --no-tests=error --output-junit "$report" || status=$?
  tests=$(sed -n 's/^[[:space:]]*tests="\([0-9]*\)".*/\1/p' "$report")
  failures=$(sed -n 's/^[[:space:]]*failures="\([0-9]*\)".*/\1/p' "$report")
  echo "$((tests - failures)) $failures" >>"$results"
  return "$status"
}

preset() {
  build "$1"
  count_ctest --preset "$1"
}

step_release() { preset release; }
step_asan-ubsan() { preset asan-ubsan; }
step_asan-scopes() { preset asan-scopes; }
step_debug() { preset debug; }
step_tsan() { preset tsan; }
step_clang() {
  preset clang
  cmake --build --preset clang --target bench-kernels --parallel "$(cores)"
}
step_aarch64-cross() { on_arm || preset aarch64-cross; }
step_arm-pipeline() { on_arm || python3 bench/arm_pipeline.py; }
step_arm-instructions() { on_arm || python3 bench/arm_instructions.py; }
step_aarch64-base() { on_arm || preset aarch64-baseline; }
step_aarch64-i8mm() { on_arm || preset aarch64-i8mm; }

on_arm() {
  [ "$(uname -m)" = aarch64 ] && echo "skipped: this machine is AArch64"
}

# Memory errors and leaks of what users run, as AddressSanitizer does not see them: values that were
# never set. For x86-64-v3, because valgrind knows no AVX-512.
step_valgrind() {
  local weights build=build/x86-64-v3 model=examples/models/llama-tales-14m
  local valgrind=(valgrind --quiet --error-exitcode=1 --leak-check=full)
  on_arm && return
  configure_level x86-64-v3 -DMAMBA2_BUILD_EXAMPLES=ON -DMAMBA2_FILE_TESTS=ON
  cmake --build "$build" --parallel "$(cores)" --target generate mamba2-tests
  for weights in fp32 int8 int4; do
    "${valgrind[@]}" "$build/bin/generate" "$model" "Once upon a time" -n 3 -w "$weights" --threads 2
  done
  "${valgrind[@]}" "$build/bin/mamba2-tests" --no-colors=true \
    --source-file='*/session_test.cpp,*/io/gguf_test.cpp'
}

# configure_level LEVEL OPTION...
configure_level() {
  cmake -G Ninja -S . -B "build/${1// /}" -DCMAKE_BUILD_TYPE=Release -DMAMBA2_WERROR=ON \
    -DMAMBA2_NATIVE=OFF -DCMAKE_CXX_FLAGS="-march=$1" -DMAMBA2_FILE_TESTS=OFF \
    -DMAMBA2_BUILD_BENCH=OFF -DMAMBA2_BUILD_EXAMPLES=OFF -DMAMBA2_BUILD_TOOLS=OFF "${@:2}"
}

step_x86-levels() {
  local level levels=(x86-64 x86-64-v3)
  on_arm && return
  if grep -qw avx512bw /proc/cpuinfo; then levels+=(x86-64-v4); fi
  if grep -qw avx512_vnni /proc/cpuinfo; then levels+=("x86-64-v4 -mavx512vnni"); fi
  for level in "${levels[@]}"; do
    echo "-- $level"
    configure_level "$level"
    cmake --build "build/${level// /}" --parallel "$(cores)"
    count_ctest --test-dir "build/${level// /}" -E '^build/'
  done
}

step_aarch64-cpus() {
  local cpu
  on_arm && return
  cmake --preset aarch64-cross -DMAMBA2_SLOW_TESTS=ON -DMAMBA2_BUILD_BENCH=ON \
    -DMAMBA2_BUILD_EXAMPLES=ON -DMAMBA2_BUILD_TOOLS=ON
  cmake --build --preset aarch64-cross --parallel "$(cores)"
  for cpu in neoverse-n1 max; do
    echo "-- as $cpu"
    QEMU_CPU=$cpu count_ctest --test-dir build/aarch64-cross -E '^build/'
  done
}

# Twice, for the same bytes.
step_release-tar() {
  local again=build/release-tar/again archive
  on_arm && return
  rm -rf build/release-tar
  cmake --preset release -DMAMBA2_WERROR=ON
  cmake --build --preset release --parallel "$(cores)" --target generate
  tools/release.sh --no-install
  tools/release.sh --no-install --out "$again"
  for archive in "$again"/*.tar.xz; do
    cmp "$archive" "build/release-tar/$(basename "$archive")"
    tests/release.sh "$archive" "$PWD/build/release/bin/generate" \
      "$PWD/examples/models/llama-tales-14m" build/release-tar/work
  done
}

step_format() {
  find include tests bench examples tools \( -name '*.hpp' -o -name '*.cpp' \) -print0 |
    xargs -0 clang-format --dry-run -Werror
}

step_tidy() {
  cmake --preset clang
  find "$PWD/build/clang/tests/build/everything.cpp" examples tools bench -name '*.cpp' -print0 |
    xargs -0 -n1 "-P$(cores)" clang-tidy --quiet -p build/clang
}

step_fuzz() {
  local source
  for source in tests/fuzz/*_fuzz.cpp; do
    tools/fuzz.sh "$(basename "$source" _fuzz.cpp)" --seconds "${FUZZ_SECONDS:-30}"
    echo "1 0" >>"$results"
  done
}

# tests/referee_NAME.py BIN compares the programs in BIN with another implementation; exit status 77
# means that it could not be asked here.
step_referees() {
  local referee status passed=0 failed=0
  build release
  cmake --build --preset release --target referees --parallel "$(cores)"
  [ -x build/venv/bin/pip ] || python3 -m venv build/venv
  build/venv/bin/pip install --quiet --requirement tests/requirements.txt
  # Referees whose package cannot be installed are skipped. Of llama.cpp, the part for images is not
  # needed.
  CMAKE_ARGS=-DLLAVA_BUILD=OFF \
    build/venv/bin/pip install --quiet --requirement tests/requirements_llama_cpp.txt || true
  build/venv/bin/pip install --quiet --requirement tests/requirements_lm_eval.txt || true
  for referee in tests/referee_*.py; do
    echo "-- $referee"
    status=0
    build/venv/bin/python "$referee" build/release/bin || status=$?
    case $status in
      0) passed=$((passed + 1)) ;;
      77) echo "$referee: skipped" ;;
      *) failed=$((failed + 1)) ;;
    esac
  done
  echo "$passed $failed" >>"$results"
  [ "$failed" -eq 0 ]
}

steps=()
want_packages=true
tier=(release asan-ubsan aarch64-cross arm-pipeline)
all=(format release referees fuzz tidy debug clang asan-ubsan asan-scopes tsan x86-levels valgrind
  aarch64-base aarch64-i8mm aarch64-cpus arm-instructions release-tar aarch64-cross arm-pipeline)
while [ $# -gt 0 ]; do
  case $1 in
    --full) tier=("${all[@]}") ;;
    --only)
      if ! [[ " ${all[*]} " == *" ${2:-} "* ]]; then
        echo "--only needs one of: ${all[*]}" >&2
        exit 2
      fi
      steps+=("$2")
      shift
      ;;
    --no-install) want_packages=false ;;
    --help | -h)
      usage
      exit
      ;;
    *)
      echo "unknown argument '$1'; tools/test.sh --help lists them" >&2
      exit 2
      ;;
  esac
  shift
done
[ ${#steps[@]} -gt 0 ] || steps=("${tier[@]}")

packages=(g++ cmake ninja-build pkg-config
  libeigen3-dev libxsimd-dev nlohmann-json3-dev doctest-dev libcli11-dev libbenchmark-dev)
for step in "${steps[@]}"; do
  case $step in
    aarch64-*) on_arm >/dev/null || packages+=(g++-aarch64-linux-gnu qemu-user-static) ;;
    release-tar)
      on_arm >/dev/null || packages+=(g++-aarch64-linux-gnu qemu-user-static xz-utils)
      ;;
    arm-pipeline)
      on_arm >/dev/null || packages+=(g++-aarch64-linux-gnu qemu-user-static llvm-19 python3)
      ;;
    arm-instructions) on_arm >/dev/null || packages+=(g++-aarch64-linux-gnu qemu-user python3) ;;
    clang) packages+=(clang) ;;
    format) packages+=(clang-format) ;;
    fuzz) packages+=(clang libclang-rt-14-dev) ;;
    tidy) packages+=(clang clang-tidy) ;;
    valgrind) on_arm >/dev/null || packages+=(valgrind) ;;
    referees) packages+=(python3-venv ca-certificates) ;;
  esac
done
if $want_packages; then
  need "${packages[@]}"
fi

mkdir -p build
: >"$results"
times=""
failed_step=""
for step in "${steps[@]}"; do
  say "$step"
  counted=$(wc -l <"$results")
  begin=$SECONDS
  # Not in a condition, where the shell would run on after an error inside.
  set +e
  (set -e && "step_$step")
  status=$?
  set -e
  seconds=$((SECONDS - begin))
  times+="  $step ${seconds} s"
  # A step without a test runner, or one that failed outside of it, is one test.
  if [ "$status" -eq 0 ]; then
    [ "$(wc -l <"$results")" -gt "$counted" ] || echo "1 0" >>"$results"
  else
    awk -v n="$counted" 'NR > n && $2 { found = 1 } END { exit !found }' "$results" ||
      echo "0 1" >>"$results"
    failed_step=$step
    break
  fi
done

say "times:$times"
if [ -n "$failed_step" ]; then
  echo "FAILED: $failed_step (exit status $status); only this step: tools/test.sh --only $failed_step"
fi
awk '{ passed += $1; failed += $2 }
  END {
    total = passed + failed
    printf "%d%% tests passed, %d tests failed out of %d\n", total ? 100 * passed / total : 0, failed,
      total
  }' "$results"
[ -z "$failed_step" ]
