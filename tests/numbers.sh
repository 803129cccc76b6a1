#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# numbers.sh BIN WORK [EMULATOR...]: mistyped command lines. A number that is none, or out of range,
# is refused by every option of every program that takes one, in a short line that names the option;
# so is an option that does not exist, with the one that was meant.
set -euo pipefail
bin=$1 work=$2
emulator=("${@:3}")
rm -rf "$work"
mkdir -p "$work"
cd "$work"
checks=0
model=no-such-model # no command line here gets further than to look for it

die() {
  printf 'FAILED: %s\n--- stdout\n%s\n--- stderr\n%s\n' "$1" "$(cat out)" "$(cat err)" >&2
  exit 1
}
run() { # PROGRAM ARGUMENT...
  status=0
  "${emulator[@]}" "$bin/$1" "${@:2}" >out 2>err </dev/null || status=$?
  checks=$((checks + 1))
}
accepted() { # PROGRAM ARGUMENT...: all that is wrong is that there is no model
  run "$@"
  [ "$status" -eq 1 ] || die "$*: exit status 1 expected, found $status"
  grep -qE '^[a-z0-9-]+: no-such-model' err || die "$*: a word about the model expected"
}
# refused PATTERN PROGRAM ARGUMENT...: exit status 2 and one short line on stderr like PATTERN.
refused() {
  local line
  run "${@:2}"
  [ "$status" -eq 2 ] || die "${*:2}: exit status 2 expected, found $status"
  line=$(cat err)
  [[ $line == "$2: "* && $line != *$'\n'* && ${#line} -lt 200 && ! -s out ]] ||
    die "${*:2}: one short line of the program expected"
  [[ $line =~ ^$2:\ $1 ]] || die "${*:2}: '$1' expected"
  [[ ! $line =~ [0-9]{41} ]] || die "${*:2}: a number for people expected"
}

programs=(generate chat mamba2-inspect mamba2-logits mamba2-perplexity mamba2-eval mamba2-convert
  mamba2-quantize)
for program in mamba2-bench mamba2-soak; do
  [ ! -x "$bin/$program" ] || programs+=("$program")
done
declare -A rest=([generate]=text [mamba2-logits]="--ids 1 --out x" [mamba2-perplexity]=text
  [mamba2-eval]=piqa.jsonl [mamba2-convert]=x.gguf [mamba2-quantize]=x.gguf) # after MODEL
echo '{"goal": "g", "sol1": "a", "sol2": "b", "label": 0}' >piqa.jsonl
echo text >text

# What no number may be; in what counts something nor fraction, sign, exponent and more digits; in
# what measures something.
wrong=(nan -inf -1 1e999 '' 12abc 0x10 '1,,2' '1 2' - "$(printf '9%.0s' {1..400})")
wrong_whole=(1.5 +1 1e3 -0 99999999999999999999 18446744073709551616)
wrong_float=(NaN inf -nan INFINITY -1e999 1e 1.5.2 ++1)
# Where 0 means something.
zero='^(generate|chat) --(max-tokens|temperature|top-k|min-p|seed)$| --threads$|^mamba2-logits --ids$|'
zero+='^(generate|chat|mamba2-bench) --context$|^mamba2-soak --growth$'
zero+='| --repeat-(start|end|count)$'
# And where it may be below.
signed='^(generate|chat) --(presence|frequency)-penalty$'
zero+="|$signed"
if [ ${#emulator[@]} -gt 0 ]; then # slow: what differs from one machine to another
  wrong=(nan '' 12abc) wrong_whole=(99999999999999999999) wrong_float=(1e999)
fi
options=0
for program in "${programs[@]}"; do
  help=$("${emulator[@]}" "$bin/$program" --help)
  while read -r option type; do
    options=$((options + 1))
    values=("${wrong[@]}" "${wrong_whole[@]}")
    [ "$type" = UINT ] || values=("${wrong[@]}" "${wrong_float[@]}")
    [[ "$program $option" =~ $zero || $option == --cpus ]] || values+=(0)
    read -ra all <<<"$model ${rest[$program]:-}"
    [ "$option" != --ids ] || all=("$model" --out x)
    for value in "${values[@]}"; do
      [[ $value != -1 || ! "$program $option" =~ $signed ]] || continue
      refused "$option: .*(must be |expected a list)" "$program" "${all[@]}" "$option" "$value"
    done
    refused "$option: " "$program" "${all[@]}" "$option=nan"
    refused "$option: " "$program" "${all[@]}" "$option="
    refused "$option: needs a value" "$program" "${all[@]}" "$option"
    [[ "$program $option" =~ $zero ]] || continue
    accepted "$program" "${all[@]}" "$option" 0
    [[ ! "$program $option" =~ $signed ]] || accepted "$program" "${all[@]}" "$option" -1.5
    accepted "$program" "${all[@]}" "$option=00"
  done < <(sed -nE 's/^ +(-[a-z], *)?(--[a-z-]+) (UINT|FLOAT).*/\2 \3/p' <<<"$help"
    ! grep -q -e --cpus <<<"$help" || echo --cpus LIST)
done
[ "$options" -ge 40 ] || die "options with numbers: at least 40 expected, found $options"
refused '--budget: must be a number of MB above 0, at most 1e12, found .nan.$' \
  mamba2-quantize "$model" out --calibrate text --budget nan
refused '--budget: .* found .1e13.$' mamba2-quantize "$model" out --calibrate text --budget 1e13
refused '--context: must be a whole number in 4..1048576, found .3.$' \
  mamba2-perplexity "$model" text --context 3
refused '--top-p: must be in \(0, 1\], found 1.5$' generate "$model" text --top-p 1.5
refused '--repetition-penalty: must be a finite value above 0, found -2$' \
  chat "$model" --repetition-penalty -2
for list in ',' '1,' ',1' '1, 2' '[1,2]' 2147483648; do
  refused '--ids: must be a whole number in 0..2147483647, found ' \
    mamba2-logits "$model" --ids "$list" --out x
done

# Options that do not exist: every one without its second letter, and what it is like.
for program in "${programs[@]}"; do
  while read -r option; do
    refused "--${option:2:1}${option:4}: unknown option; did you mean $option\?$" \
      "$program" "$model" "--${option:2:1}${option:4}"
  done < <("${emulator[@]}" "$bin/$program" --help | sed -nE 's/^ +(-[a-z], *)?(--[a-z-]+).*/\2/p')
  refused '--no-such-option: unknown option \(--help lists them; text comes after --\)$' \
    "$program" "$model" --no-such-option
  refused '--[x]+\.\.\.: unknown option ' "$program" "--$(printf 'x%.0s' {1..1000})"
  refused '--a\\x0ab: unknown option ' "$program" $'--a\nb'
  refused '--version: takes no value, found .1.$' "$program" --version=1
done
refused '--temprature: unknown option; did you mean --temperature\?$' \
  generate "$model" --temprature 0.5 text
refused '--max_tokens: unknown option; did you mean --max-tokens\?$' \
  generate "$model" text --max_tokens=5
refused '--Json: .* mean --json' mamba2-inspect "$model" --Json x
refused '--jsno: .* mean --json' mamba2-inspect "$model" --jsno x
refused '--repetition: .* mean --repetition-penalty' generate "$model" text --repetition 1.1
refused '-temperature: .* mean --temperature' generate "$model" text -temperature 0.5
refused '-help: .* mean --help' generate -help
for text in -hello -h5 -5 -; do
  [ $text = - ] || refused "$text: unknown option \(--help lists them; text comes after --\)$" \
    generate "$model" $text
  accepted generate "$model" -- $text
done
accepted generate -- "$model" --help

# What a word of an option is.
accepted generate "$model" text -n5
accepted generate "$model" text --stop -x --stop=--stats --save-state=--stats
accepted chat "$model" --system= --state=
refused '--max-tokens: given twice$' generate "$model" text -n 5 --max-tokens=6
refused '--cpus: given twice$' mamba2-bench "$model" --cpus 0 --cpus 1
refused '--save-state: needs a value, found the option --stats$' \
  generate "$model" text --save-state --stats
refused '-n: needs a value$' generate "$model" text -n
refused '--stats: takes no value, found .false.$' generate "$model" text --stats=false
refused '.upon.: unexpected; a text with spaces needs quotes$' generate "$model" Once upon a time
refused 'MODEL is required \(--help tells more\)$' generate
accepted mamba2-quantize "$model" x --keep embedding=fp16 --keep lm_head=fp16 --force --force

echo "$checks command lines are understood, or refused"
