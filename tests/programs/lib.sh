# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# PART.sh SOURCE BIN WORK [EMULATOR...]: one of the tests in this folder, which begin with this file:
# the programs in BIN as people use them, and misuse them.
set -euo pipefail
source=$1 bin=$2 work=$3
emulator=("${@:4}")
model=$source/examples/models/llama-tales-14m
rm -rf "$work"
mkdir -p "$work"
cd "$work"
checks=0
job="" # a program in the background
trap '[ -z "$job" ] || kill -KILL "$job" 2>/dev/null || true' EXIT

program() { "${emulator[@]}" "$bin/$1" "${@:2}"; }
die() {
  printf 'FAILED: %s\n--- stdout\n%s\n--- stderr\n%s\n' "$1" "$(cat out)" "$(cat err)" >&2
  exit 1
}

# expect STATUS PATTERN PROGRAM ARGUMENT...: the exit status, and what a line of stdout or stderr
# must match if PATTERN is not empty; a failure says why in one line on stderr and nothing on stdout.
expect() {
  local status=0
  program "${@:3}" >out 2>err </dev/null || status=$?
  [ "$status" -eq "$1" ] || die "${*:3}: exit status $1 expected, found $status"
  [ -z "$2" ] || grep -qE -- "$2" out err || die "${*:3}: a line like '$2' expected"
  if [ "$1" -ne 0 ]; then
    [ "$(wc -l <err)" -eq 1 ] || die "${*:3}: one line on stderr expected"
    [ ! -s out ] || die "${*:3}: nothing on stdout expected"
  fi
  checks=$((checks + 1))
}
convert() { expect "$1" "$2" mamba2-convert "${@:3}"; }
quantize() { expect "$1" "$2" mamba2-quantize "${@:3}"; }

same() { # the last output is this text
  [ "$(cat out)" = "$1" ] || die "expected: $1"
}

# as WRAPPER...: what follows runs by this command, until as_is.
as() { emulator=("$@" "${own_emulator[@]}"); }
as_is() { emulator=("${own_emulator[@]}"); }
own_emulator=("${emulator[@]}")
# As if the disk were full.
with_small_files() { as bash -c 'ulimit -f 100 && "$@"' limit; }

# start PROGRAM ARGUMENT...: in the background, as $job: the program itself, and not a shell around it.
start() {
  : >out
  "${emulator[@]}" "$bin/$1" "${@:2}" >out 2>err <"${input:-/dev/null}" &
  job=$!
}
# until_true COMMAND...: waits for it.
until_true() {
  local try
  for ((try = 0; try < 3000; ++try)); do
    ! "$@" || return 0
    sleep 0.1
  done
  die "five minutes in vain for $*"
}
# writes PATH: there is something in a file of this pattern.
writes() { [ -n "$(find . -path "$1" -size +0)" ]; }
# ended STATUS WHAT: waits for the job.
ended() {
  local status=0
  wait "$job" || status=$?
  job=""
  [ "$status" -eq "$1" ] || die "$2: exit status $1 expected, found $status"
  checks=$((checks + 1))
}
# interrupted STATUS WHAT: the job ends so after Ctrl-C.
interrupted() {
  kill -INT "$job" 2>/dev/null || die "$2: it had ended before"
  ended "$@"
}

# talk LINES OPTION...: what chat answers.
talk() {
  printf '%s\n' "$1" | program chat "${talker:-$model}" -t 0 --threads 1 "${@:2}" >out 2>err ||
    die "chat: exit status $?"
}

# last_logits MODEL OUT: those of a text in FP32.
last_logits() { expect 0 '' mamba2-logits "$1" --text "The sea" --out "$2"; }

# finish: the last command of every part.
finish() {
  [ -z "$(find . -name '*.partial')" ] || die "partial files are left"
  echo "$checks command lines behave"
}

# What several parts use.
# shellcheck disable=SC2034 # there
shard=$model/model-00001-of-00002.safetensors
# shellcheck disable=SC2034 # there
greedy=(generate "$model" "Once upon a time there was a little girl who lived" -t 0 -n 4)
head -c 1500 "$source/LICENSE" >text.txt
printf 'The sea\n' >prompt.txt
cat >piqa.jsonl <<'END'
{"goal": "To open a door,", "sol1": "turn the handle.", "sol2": "eat the handle.", "label": 0}
END
