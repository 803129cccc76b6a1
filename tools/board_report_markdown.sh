# shellcheck shell=sh disable=SC2154 # The variables are those of board_report.sh.
# SPDX-License-Identifier: Apache-2.0
# The report of board_report.sh: what it measured, as Markdown. Its functions and variables are used.

# The processors, those that are alike in one line.
processor_table() {
  for folder in "$root"/sys/devices/system/cpu/cpu[0-9]*; do
    [ -d "$folder" ] || continue
    number=${folder##*/cpu}
    file=${folder#"$root"}
    frequency=$file/cpufreq
    printf '%s|%s|%s|%s|%s|%s|%s\n' "$number" "$(first "$file/online")" \
      "$(first "$file/regs/identification/midr_el1")" "$(first "$file/cpu_capacity")" \
      "$(first "$frequency/cpuinfo_max_freq")" "$(first "$frequency/scaling_max_freq")" \
      "$(first "$frequency/scaling_governor")"
  done | sort -n | awk -F '|' '
    BEGIN {
      split("d03 A53 d04 A35 d05 A55 d07 A57 d08 A72 d09 A73 d0a A75 d0b A76 d0d A77 d41 A78 d44 X1 " \
        "d46 A510 d47 A710 d4d A715 d80 A520 d81 A720", part, " ")
      for (i = 1; i in part; i += 2) names[part[i]] = "Cortex-" part[i + 1]
      names["d0c"] = "Neoverse N1"; names["d40"] = "Neoverse V1"; names["d49"] = "Neoverse N2"
    }
    function mhz(khz) { return khz == "" ? "?" : int(khz / 1000) }
    function flush() { if (first != "") print "| " (first == last ? first : first "-" last) like }
    {
      kind = tolower(substr($3, length($3) - 3, 3))
      name = $3 == "" ? "?" : $3 ~ /41......$/ && kind in names ? names[kind] : $3
      text = " | " ($2 == "0" ? "off" : "on") " | " name " | " ($4 == "" ? "?" : $4) " | " mhz($5) " | " \
        mhz($6) " | " ($7 == "" ? "?" : $7) " |"
      if (text != like || $1 != last + 1) { flush(); first = $1; like = text }
      last = $1
    }
    END { flush() }'
}

mebibytes() { memory_kib "$1" | awk '{ print int($1 / 1024) }'; }

# A table of decoding: rows -> Markdown.
decoding() {
  awk -v columns="$1" '$5 == "decode" {
    if (columns == "sweep") printf "| %s ", $4
    else printf "| %s | %s | %s | %s ", $1, $2, $3, $4
    printf "| %.1f | %.1f | %.1f | %.0f %%", $6, $9, $10, 100 * $11
    if (columns != "sweep") printf " | %s", $12 == "null" ? "?" : sprintf("%.0f", $12 / 1e6)
    print " |" }' "$2"
}

report() {
  board=$(first /proc/device-tree/model)
  [ -n "$board" ] || board=$(first /sys/class/dmi/id/product_name)
  [ -n "$board" ] || board=$(sed -n 's/^model name[[:space:]]*: //p' "$root/proc/cpuinfo" | head -n 1)
  echo "# mamba2 on ${board:-an unknown board}"
  echo
  echo "| | |"
  echo "|---|---|"
  echo "| program | $version |"
  echo "| date | $(date -u +%Y-%m-%d) |"
  echo "| kernel | $(uname -srm) |"
  echo "| system | $(sed -n 's/^PRETTY_NAME="*\([^"]*\)"*$/\1/p' "$root/etc/os-release" 2>/dev/null) |"
  echo "| memory | $(mebibytes MemTotal) MiB, $(mebibytes MemAvailable) available |"
  echo "| huge pages | $(first /sys/kernel/mm/transparent_hugepage/enabled) |"
  for device in "$root"/sys/class/devfreq/*dmc*; do
    [ -d "$device" ] || continue
    file=${device#"$root"}
    echo "| memory clock | $(first "$file/cur_freq") of $(first "$file/max_freq") Hz, $(first "$file/governor") |"
  done
  echo "| load before | $load |"
  [ -z "$text" ] || echo "| text of the bundled model | $text |"

  printf '\n## Processors\n| CPUs | | core | capacity | max MHz | limit MHz | governor |\n|---|---|---|---|---|---|---|\n'
  processor_table
  printf '\nThe library takes %s threads here.\n' "$threads"

  printf '\n## Memory: %s, int8, by threads\n' "$name"
  printf '| threads | tokens/s | GB/s | roof GB/s | share |\n|---|---|---|---|---|\n'
  decoding sweep "$work/sweep"
  printf '\nGB/s: weights and state that a token moves, times tokens/s. Roof: what the same threads read with\n'
  printf 'nothing else to do, measured in between.\n'

  printf '\n## Decoding\n| model | weights | state | threads | tokens/s | GB/s | roof GB/s | share | peak MB |\n'
  printf '|---|---|---|---|---|---|---|---|---|\n'
  decoding speeds "$work/speeds"
  printf '\n## Reading a prompt of 128 tokens\n| model | weights | threads | tokens/s | GOP/s | roof GOP/s | share |\n'
  printf '|---|---|---|---|---|---|---|\n'
  awk '$5 == "prefill" { printf "| %s | %s | %s | %.1f | %.1f | %.1f | %.0f %% |\n", $1, $2, $4, $6, $9,
    $10, 100 * $11 }' "$work/speeds"
  if [ -s "$work/too_large" ]; then
    printf '\nToo large for the memory that was free: %s.\n' \
      "$(awk '{ printf "%s%s", (NR > 1 ? ", " : ""), $0 }' "$work/too_large")"
  fi
  if [ -s "$work/failures" ]; then
    printf '\nFailed:\n\n'
    sed 's/^/    /' "$work/failures"
  fi

  printf '\n## Heat\n'
  if [ -s "$work/long" ]; then
    awk -v start="$start" -v name="$name" '{
      printf "%s, int8: %.1f tokens/s at the start, %.1f (%.1f to %.1f) in the long run at the end: %.0f %%.\n",
        name, start, $6, $7, $8, 100 * $6 / start }' "$work/long"
  else
    echo "No long run."
  fi
  awk -v long="$before_long" '
    $1 == "temperature" && $3 ~ /^-?[0-9]+$/ {
      if (!($2 in kind)) { zones[++n] = $2; kind[$2] = $4; before[$2] = most[$2] = $3 }
      if ($3 > most[$2]) most[$2] = $3
      after[$2] = $3
    }
    $1 == "clock" && NR > long {
      if (!($2 in least)) { policies[++m] = $2; least[$2] = $3 }
      if ($3 < least[$2]) least[$2] = $3
      sum[$2] += $3; ++samples[$2]
    }
    $1 == "cooling" && $3 > state[$2] { state[$2] = $3; cooler[$2] = $4 }
    $1 == "firmware" && $3 != "0" && $3 != "0x0" { firmware = $3 }
    END {
      if (n) print "\n| zone | C before | C highest | C after |\n|---|---|---|---|"
      else print "\nThis system does not tell temperatures."
      for (i = 1; i <= n; ++i) {
        z = zones[i]
        printf "| %s %s | %.1f | %.1f | %.1f |\n", z, kind[z], before[z] / 1000, most[z] / 1000, after[z] / 1000
      }
      if (m) print "\n| clocks, long run | least MHz | mean MHz |\n|---|---|---|"
      for (i = 1; i <= m; ++i) {
        p = policies[i]
        printf "| %s | %d | %d |\n", p, least[p] / 1000, sum[p] / samples[p] / 1000
      }
      slowed = ""
      for (c in cooler) slowed = slowed (slowed == "" ? "" : ", ") c " " cooler[c] " up to state " state[c]
      if (firmware != "") slowed = slowed (slowed == "" ? "" : ", ") "the firmware: " firmware
      print "\nThrottled by: " (slowed == "" ? "nothing that the system tells of" : slowed) "."
    }' "$work/samples"
}
