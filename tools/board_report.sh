#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# How mamba2 runs on this board, as a report to send; board_report.sh --help says more.
set -eu

usage() {
  cat <<'END'
usage: board_report.sh [--out FILE] [--quick] [--seconds N] [--model PATH] [--bin FOLDER]

Measures this board and writes what it finds as Markdown: which processors, clocks and memory it has,
how fast memory is read, how many tokens a second mamba2 decodes and reads in several precisions, what
share of the roof that is (what the same threads do without a model, measured in between), and what
happens to temperature and clocks. Ten to twenty minutes; nothing else should run meanwhile. A plain
shell, no root and no compiler are needed.

  --out FILE     the report [mamba2-board-report.md]; it appears when it is complete
  --quick        the smallest model only, no long run: two minutes
  --seconds N    how long the run at the end heats the processor [120]
  --model PATH   this model instead of random ones in the published shapes, as many as fit
  --bin FOLDER   where the programs are [those beside this script that fit the processor]

Read the report before you send it: it names the board, the kernel and the distribution, not you.
MAMBA2_ROOT in the environment is where /sys, /proc and /etc are looked for [/].
Exit status: 0 done, 1 something failed, 2 wrong usage, 130 interrupted; then there is no report.
END
}

root=${MAMBA2_ROOT:-}
here=$(cd "$(dirname "$0")" && pwd)
out=mamba2-board-report.md
bin=
model=
seconds=120
quick=false

wrong() {
  echo "board_report.sh: $1; --help lists the arguments" >&2
  exit 2
}
while [ $# -gt 0 ]; do
  case $1 in
    --out | --bin | --model | --seconds)
      [ -n "${2:-}" ] || wrong "$1 needs an argument"
      case $1 in
        --out) out=$2 ;;
        --bin) bin=$2 ;;
        --model) model=$2 ;;
        --seconds) seconds=$2 ;;
      esac
      shift
      ;;
    --quick) quick=true ;;
    --help | -h)
      usage
      exit
      ;;
    *) wrong "unknown argument '$1'" ;;
  esac
  shift
done
case $seconds in
  '' | *[!0-9]* | ?????*) wrong "--seconds must be a whole number of at most 4 digits, found '$seconds'" ;;
esac

# Everything that is written goes here first.
work=$(mktemp -d)
partial=$out.$$.partial
child=
sampler=
clean_up() {
  for process in $child $sampler; do kill "$process" 2>/dev/null || true; done
  wait
  rm -rf "$work" "$partial"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

fail() {
  echo "board_report.sh: $1" >&2
  exit 1
}
true 2>/dev/null >"$partial" || fail "$out: cannot be written"

# first FILE: the first line of a file below the root, nothing if there is none.
first() {
  if [ -r "$root$1" ]; then tr -d '\000' <"$root$1" 2>/dev/null | head -n 1; fi
}

# shellcheck source=tools/board_report_markdown.sh
. "$here/board_report_markdown.sh"

# has FEATURE...: does every processor have these?
has() {
  features=" $(sed -n 's/^Features[[:space:]]*: *//p' "$root/proc/cpuinfo" 2>/dev/null | head -n 1) "
  for feature in "$@"; do
    case $features in *" $feature "*) ;; *) return 1 ;; esac
  done
}

if [ -z "$bin" ]; then
  bin=$here/armv8-a
  if has atomics asimdrdm asimdhp lrcpc asimddp; then bin=$here/cortex-a76; fi
  [ -d "$bin" ] || bin=$here/../build/release/bin
fi
[ -x "$bin/mamba2-bench" ] || fail "$bin/mamba2-bench: cannot be run; --bin FOLDER says where it is"
version=$("$bin/mamba2-bench" --version) || fail "$bin/mamba2-bench: does not run here"

# bench MODEL WEIGHTS STATE THREADS ARGUMENT...: adds its rows to the file of rows, or a line to that
# of failures. A row: model weights state threads phase tokens/s least most GB/s roof share
# peak-bytes. In the background, so that Ctrl-C is heard at once.
bench() {
  bench_model=$1 bench_weights=$2 bench_state=$3 bench_threads=$4
  shift 4
  set -- --weights "$bench_weights" --state "$bench_state" --threads "$bench_threads" "$@" \
    --json "$work/bench.json"
  if [ -n "$model" ]; then set -- "$model" "$@"; else set -- --random "$bench_model" "$@"; fi
  echo "$bench_model $bench_weights, state $bench_state, threads $bench_threads" >&2
  rm -f "$work/bench.json"
  "$bin/mamba2-bench" "$@" >"$work/bench.out" 2>"$work/bench.err" &
  child=$!
  status=0
  wait "$child" || status=$?
  child=
  if [ "$status" -ne 0 ]; then
    printf '%s %s: exit status %s: %s\n' "$bench_model" "$bench_weights" "$status" \
      "$(head -n 1 "$work/bench.err")" | tee -a "$work/failures" >&2
    return 0
  fi
  # A key and its value on each line.
  awk '
    function value(text) { sub(/^[^:]*: /, "", text); gsub(/[",]/, "", text); return text }
    /"/ { key = $1; gsub(/[":]/, "", key); row[key] = value($0) }
    /^  }/ {
      share = row["share"]; rate = row["gb_per_s"]; roof = row["roof_gb_per_s"]; unit = "GB/s"
      if (row["phase"] == "prefill") { rate = row["gop_per_s"]; roof = row["roof_gop_per_s"] }
      gsub(/ /, "_", row["model"])
      print row["model"], row["weights"], row["state"], row["threads"], row["phase"], row["tokens_per_s"],
        row["tokens_per_s_min"], row["tokens_per_s_max"], rate, roof, share, row["peak_rss_bytes"]
    }' "$work/bench.json" >>"$work/rows"
}

# sample: temperatures, clocks and what slows them, each second until it is killed. No process but
# sleep is started, so that it costs next to nothing.
sample() {
  trap - EXIT INT HUP
  trap 'exit 0' TERM
  while :; do
    for file in "$root"/sys/class/thermal/thermal_zone*/temp; do
      if read -r now 2>/dev/null <"$file"; then
        read -r kind 2>/dev/null <"${file%/temp}/type" || kind=unknown
        folder=${file%/temp}
        echo "temperature ${folder##*/} $now $kind"
      fi
    done
    for file in "$root"/sys/devices/system/cpu/cpufreq/policy*/scaling_cur_freq; do
      if read -r now 2>/dev/null <"$file"; then
        folder=${file%/scaling_cur_freq}
        echo "clock ${folder##*/} $now"
      fi
    done
    for file in "$root"/sys/class/thermal/cooling_device*/cur_state; do
      if read -r now 2>/dev/null <"$file"; then
        read -r kind 2>/dev/null <"${file%/cur_state}/type" || kind=unknown
        folder=${file%/cur_state}
        echo "cooling ${folder##*/} $now $kind"
      fi
    done
    for file in "$root"/sys/devices/platform/soc*/soc*:firmware/get_throttled; do
      if read -r now 2>/dev/null <"$file"; then echo "firmware throttled $now"; fi
    done
    sleep 1
  done >>"$work/samples"
}

memory_kib() { sed -n "s/^$1: *\([0-9]*\) kB/\1/p" "$root/proc/meminfo" 2>/dev/null; }

# fits MILLIONS WEIGHTS: is there memory for so many parameters?
fits() {
  awk -v millions="$1" -v weights="$2" -v kib="$(memory_kib MemAvailable)" 'BEGIN {
    bytes = weights == "fp16" ? 2.1 : weights == "int8" ? 1.1 : 0.65
    exit !(millions * bytes + 400 < 0.9 * kib / 1024) }'
}

: >"$work/samples"
: >"$work/rows"
: >"$work/failures"
sample &
sampler=$!
load=$(first /proc/loadavg)

if [ -n "$model" ]; then name=$(basename "$model"); else name=mamba2-130m; fi
bench "$name" int8 fp32 0 --decode 64
threads=$(awk 'NR == 1 { print $4 }' "$work/rows")
[ -n "$threads" ] || fail "nothing could be measured: $(cat "$work/failures")"
start=$(awk 'NR == 1 { print $6 }' "$work/rows")
mv "$work/rows" "$work/first"
: >"$work/rows"

# How many threads does memory need? Last, if the library left out slow processors, all of them.
processors=$(grep -c "^processor" "$root/proc/cpuinfo" 2>/dev/null) || processors=$threads
count=1
while [ "$count" -lt "$threads" ]; do
  bench "$name" int8 fp32 "$count" --decode 32
  if [ "$count" -lt 4 ]; then count=$((count + 1)); else count=$((count * 2)); fi
done
bench "$name" int8 fp32 "$threads" --decode 32
if [ "$processors" -gt "$threads" ]; then bench "$name" int8 fp32 "$processors" --decode 32; fi
mv "$work/rows" "$work/sweep"
: >"$work/rows"

largest=
if [ -n "$model" ]; then
  for weights in int8 int4 fp16; do bench "$name" "$weights" fp32 0 --decode 64 --prefill 128; done
else
  for shape in 130m:130 370m:370 780m:780 1.3b:1350 2.7b:2710; do
    for weights in int8 int4 fp16; do
      [ "$shape" = 130m:130 ] || [ "$weights" != fp16 ] || continue
      if ! fits "${shape#*:}" "$weights"; then
        echo "mamba2-${shape%:*} $weights" >>"$work/too_large"
        continue
      fi
      bench "mamba2-${shape%:*}" "$weights" fp32 0 --decode 64 --prefill 128
      [ "$weights" != int8 ] || largest=mamba2-${shape%:*}
    done
    ! $quick || break
  done
  # The state is a tenth of what a token moves.
  $quick || [ -z "$largest" ] || bench "$largest" int8 fp16 0 --decode 64
fi
mv "$work/rows" "$work/speeds"
: >"$work/rows"

before_long=$(wc -l <"$work/samples")
if ! $quick && [ "$seconds" -gt 0 ]; then
  echo "about $seconds seconds of decoding" >&2
  # Two thirds of the time of a measurement are decoding.
  tokens=$(awk -v rate="$start" -v seconds="$seconds" 'BEGIN {
    n = int(rate * seconds * 2 / 3); print (n < 20 ? 20 : n > 1048576 ? 1048576 : n) }')
  bench "$name" int8 fp32 0 --decode "$tokens" --repeat 20
fi
mv "$work/rows" "$work/long"

text=
if [ -e "$here/llama-tales-14m.gguf" ] && [ -e "$here/llama-tales-14m.txt" ]; then
  text='**another than expected**'
  if "$bin/generate" "$here/llama-tales-14m.gguf" "Once upon a time there was a" -t 0 -n 24 \
    >"$work/text" 2>&1 && cmp -s "$work/text" "$here/llama-tales-14m.txt"; then text='as expected'; fi
fi
sleep 2 # a last sample, without work
kill "$sampler"
wait "$sampler" || true
sampler=

report >"$partial"
mv "$partial" "$out"
echo "$out is written." >&2
