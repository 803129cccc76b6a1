#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# board_report.sh SOURCE BIN WORK: tools/board_report.sh with the programs in BIN, on a board of files.
set -euo pipefail
source=$1 bin=$2 work=$3
rm -rf "$work"
mkdir -p "$work"
cd "$work"
checks=0

die() {
  printf 'FAILED: %s\n--- stderr\n%s\n--- report\n%s\n' "$1" "$(cat err)" "$(cat report.md)" >&2
  exit 1
}
put() { mkdir -p "root/$(dirname "$1")" && printf '%b' "$2" >"root/$1"; }

# An Orange Pi 5 with one core switched off, and hot.
put proc/device-tree/model 'Orange Pi 5\0'
put proc/loadavg '0.08 0.03 0.01 1/200 1234\n'
put proc/meminfo 'MemTotal:        8123456 kB\nMemFree: 100 kB\nMemAvailable:    7654321 kB\n'
put etc/os-release 'NAME=x\nPRETTY_NAME="Armbian 24.11 bookworm"\n'
for cpu in 0 1 2 3 4 5 6 7; do
  part=d0b capacity=1024 most=2256000 online=1
  if [ "$cpu" -lt 4 ]; then part=d05 capacity=414 most=1800000; fi
  if [ "$cpu" -eq 7 ]; then online=0; fi
  folder=sys/devices/system/cpu/cpu$cpu
  put "$folder/online" "$online\n"
  put "$folder/cpu_capacity" "$capacity\n"
  put "$folder/regs/identification/midr_el1" "0x00000000414f${part}0\n"
  put "$folder/cpufreq/cpuinfo_max_freq" "$most\n"
  put "$folder/cpufreq/scaling_max_freq" "$((most - 48000))\n"
  put "$folder/cpufreq/scaling_governor" 'ondemand\n'
  [ "$cpu" -eq 7 ] || printf 'processor\t: %s\nFeatures\t: fp %s\n\n' "$cpu" \
    'asimd atomics fphp asimdhp asimdrdm lrcpc asimddp' >>root/proc/cpuinfo
done
put sys/devices/system/cpu/cpufreq/policy4/scaling_cur_freq '2208000\n'
put sys/class/thermal/thermal_zone0/type 'soc-thermal\n'
put sys/class/thermal/thermal_zone0/temp '41500\n'
put sys/class/thermal/thermal_zone1/temp 'no number\n'
put sys/class/thermal/cooling_device0/type 'cpufreq-cpu4\n'
put sys/class/thermal/cooling_device0/cur_state '0\n'
put sys/class/devfreq/dmc/cur_freq '528000000\n'
put sys/class/devfreq/dmc/max_freq '2112000000\n'
put sys/class/devfreq/dmc/governor 'dmc_ondemand\n'

# The programs, as in an archive. The board gets hot while the first measurement runs; int4 fails.
mkdir cortex-a76 armv8-a
cp "$source"/tools/board_report*.sh .
printf '#!/bin/sh\nexec "%s/generate" "$@"\n' "$bin" >cortex-a76/generate
cat >cortex-a76/mamba2-bench <<END
#!/bin/sh
case "\$*" in
  *--threads\ 0*) [ -e heated ] || {
    sleep 1.5
    echo 71500 >root/sys/class/thermal/thermal_zone0/temp
    echo 2 >root/sys/class/thermal/cooling_device0/cur_state
    echo 1416000 >root/sys/devices/system/cpu/cpufreq/policy4/scaling_cur_freq
    sleep 1.5
    echo 55000 >root/sys/class/thermal/thermal_zone0/temp
    : >heated
  } ;;
esac
case "\$*" in *int4*) echo "mamba2-bench: not enough memory" >&2 && exit 1 ;; esac
exec "$bin/mamba2-bench" "\$@"
END
printf '#!/bin/sh\necho "of armv8-a"; [ "$*" = --version ]\n' >armv8-a/mamba2-bench
chmod +x cortex-a76/* armv8-a/*
toy=$source/tests/golden/gguf/toy.gguf
export MAMBA2_ROOT=$work/root

# expect STATUS PATTERN ARGUMENT...: the exit status, and what a line of stderr matches.
shell=(sh)
expect() {
  local status=0
  "${shell[@]}" ./board_report.sh "${@:3}" >out 2>err || status=$?
  [ "$status" -eq "$1" ] || die "${*:3}: exit status $1 expected, found $status"
  grep -qE -- "$2" out err || die "${*:3}: a line like '$2' expected"
  [ -z "$(find . -name '*.partial')" ] || die "${*:3}: left a partial file"
  checks=$((checks + 1))
}
reports() { # PATTERN...: the lines that the report has
  local pattern
  for pattern in "$@"; do
    grep -qE -- "$pattern" report.md || die "a line like '$pattern' expected in the report"
    checks=$((checks + 1))
  done
}

: >report.md
printf 'another text\n' >llama-tales-14m.txt
cp "$toy" llama-tales-14m.gguf
expect 0 '^report.md is written' --model "$toy" --seconds 1 --out report.md
number='[0-9]+\.[0-9]'
reports '^# mamba2 on Orange Pi 5$' '^\| system \| Armbian 24.11 bookworm \|' \
  '^\| memory \| 7933 MiB, 7474 available \|' '^\| memory clock \| 528000000 of 2112000000 Hz, dmc_ondemand \|' \
  '^\| load before \| 0.08 ' '^\| text .* \*\*another than expected\*\* \|' \
  '^\| 0-3 \| on \| Cortex-A55 \| 414 \| 1800 \| 1752 \| ondemand \|$' \
  '^\| 4-6 \| on \| Cortex-A76 \| 1024 \| 2256 \| 2208 \| ondemand \|$' '^\| 7 \| off \| Cortex-A76 ' \
  "^\| 1 \| $number \| $number \| $number \| [0-9]+ % \|$" \
  "^\| toy.gguf \| int8 \| fp32 \| [0-9]+ \| $number \| .* % \| [0-9?]+ \|$" \
  "^\| toy.gguf \| fp16 \| [0-9]+ \| $number \| $number \| $number \| [0-9]+ % \|$" \
  '^    toy.gguf int4: exit status 1: mamba2-bench: not enough memory$' \
  "^toy.gguf, int8: $number tokens/s at the start, $number .* long run" \
  '^\| thermal_zone0 soc-thermal \| 41.5 \| 71.5 \| 55.0 \|$' \
  '^\| policy4 \| 1416 \| 1416 \|$' \
  '^Throttled by: cooling_device0 cpufreq-cpu4 up to state 2\.$'
if grep -q thermal_zone1 report.md; then die "a zone without a number"; fi

# Nothing to read, and programs for older processors; another shell, where there is one.
sed -i 's/asimddp//' root/proc/cpuinfo
expect 1 'nothing could be measured: .*exit status 1' --model "$toy" --out report.md
rm -rf root
mkdir root
rm llama-tales-14m.*
mv cortex-a76/* armv8-a
for shell in dash 'busybox sh' bash; do
  read -ra shell <<<"$shell"
  command -v "${shell[0]}" >/dev/null || continue
  rm report.md
  expect 0 '^report.md is written' --model "$toy" --quick --out report.md
  reports '^# mamba2 on an unknown board$' '^\| memory \| .* MiB' 'does not tell temperatures' \
    '^Throttled by: nothing that the system tells of\.$' '^No long run\.$'
done

expect 0 'usage: board_report.sh' --help
expect 2 "unknown argument 'x'" x
expect 2 'seconds must be a whole number' --seconds 1m
expect 2 'out needs an argument' --out
expect 1 'nowhere/mamba2-bench: cannot be run' --bin nowhere
expect 1 'nowhere/report.md: cannot be written' --out nowhere/report.md
expect 1 'nothing could be measured: nowhere int8: exit status 1: .*nowhere' --model nowhere

# Ctrl-C leaves nothing, neither files nor processes. (With -m the job does not ignore it.)
printf '#!/bin/sh\n[ "$*" = --version ] || exec sleep 1000.25\n' >armv8-a/mamba2-bench
rm report.md
mkdir tmp
set -m
TMPDIR=$work/tmp sh ./board_report.sh --out report.md >out 2>err &
job=$!
set +m
for _ in $(seq 100); do
  [ ! -s err ] || break
  sleep 0.1
done
: >report.md
kill -INT "$job"
status=0
wait "$job" || status=$?
[ "$status" -eq 130 ] || die "Ctrl-C: exit status 130 expected, found $status"
if [ -s report.md ] || [ -n "$(find . -name '*.partial')$(ls tmp)" ]; then
  die "Ctrl-C: left something"
fi
for process in /proc/[0-9]*/cmdline; do
  if [ "$(tr '\0' ' ' 2>/dev/null <"$process")" = "sleep 1000.25 " ]; then die "Ctrl-C: left a process"; fi
done
checks=$((checks + 1))
echo "$checks checks of the board's report passed"
