#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Texts: options, stops, the end, Ctrl-C, a full disk.
# shellcheck source=tests/programs/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

expect 0 house "${greedy[@]}"
same "Once upon a time there was a little girl who lived in a big house"
expect 0 house "${greedy[@]}" --no-echo
same " in a big house"
expect 0 'tokens/s, .* GB/s' "${greedy[@]}" --stats
expect 0 ' in a' "${greedy[@]}" --no-echo --stop ' big'
same " in a"
expect 0 . generate "$model" "The sea" -n 12 --seed 5
first=$(cat out)
expect 0 . generate "$model" "The sea" -n 12 --seed 5
same "$first"
expect 0 . generate "$model" -n 12 --seed 5 --file prompt.txt
same "$first"
program generate "$model" -n 12 --seed 5 <prompt.txt >out 2>err
same "$first"
expect 0 'mamba2 0' generate --version
for weights in fp32 fp16 bf16 int4 mixed; do
  expect 0 "weights  $weights, " generate "$model" "The sea" -n 2 -w "$weights" --threads 2 --stats
done
expect 0 . generate "$model" "The sea" -n 2 --state fp16 --threads 1
# A prompt that is left before its end: what was read of it, and how fast; and the peak of the memory
# is that of this program, whatever it was before.
if [ ${#emulator[@]} -eq 0 ]; then
  yes "The sea was calm." 2>/dev/null | head -c 8000000 >long.txt || true
  catches_ctrl_c() { # the program, and no longer the shell that it begins as
    local caught
    [[ $(readlink "/proc/$job/exe") == */generate ]] || return 1
    caught=$(sed -n 's/^SigCgt:[[:space:]]*//p' "/proc/$job/status")
    [ $((0x0$caught & 2)) -ne 0 ]
  }
  start generate "$model" --file long.txt --no-echo --stats
  until_true catches_ctrl_c
  interrupted 130 "Ctrl-C, in a prompt"
  read -r _ count _ _ _ _ _ milliseconds _ speed _ < <(grep '^prompt ' err)
  [ "$count" -gt 0 ] && [ $((count % 512)) -eq 0 ] && [ "$count" -lt 1000000 ] ||
    die "Ctrl-C: whole pieces of the prompt expected"
  awk "BEGIN { rate = $count / $milliseconds * 1e3; exit !($speed > rate * 0.99 && $speed < rate * 1.01) }" ||
    die "Ctrl-C: the tokens that were read, in the time that it took, expected"
fi
as bash -c 'printf -v large "%300000000s" "" && exec "$@"' large
expect 0 'memory   1?[0-9]{2}\.' generate "$model" "The sea" -n 2 --stats --threads 1
as_is

# Without a length a text ends with a sentence. The model's own end is passed over here, so that it
# is the length that ends it.
if [ ${#emulator[@]} -eq 0 ]; then
  expect 0 'text     10[2-8][0-9] tokens' generate "$model" "The sea" --seed 1 --ignore-eos --stats
  grep -qE '[.!?][")]*$' <(tail -n 1 out) || die "the end of a sentence expected"
fi

# Drafts change nothing but the speed.
story=(generate "$model" "The sea was calm and the sea was deep." -n 60 -t 0.7 --seed 3)
expect 0 . "${story[@]}"
first=$(cat out)
expect 0 'drafts   [0-9.]+ tokens a pass in [0-9]+ passes, ' "${story[@]}" --speculate lookup --stats
same "$first"
expect 0 . "${story[@]}" --speculate "$model"
same "$first"
expect 0 . "${story[@]}" --speculate "$model" --speculate lookup -w fp32
first=$(cat out)
expect 0 . "${story[@]}" -w fp32
same "$first"
expect 1 'no such' "${story[@]}" --speculate nosuch
expect 1 'expected lookup and one draft model at most' "${story[@]}" --speculate lookup --speculate lookup
expect 1 'expected lookup and one draft model at most' "${story[@]}" --speculate "$model" --speculate "$model"

# What changes the choice of tokens, and what is told of it.
expect 0 . "${greedy[@]}" --no-echo --logit-bias ' big=-inf'
! grep -q ' big' out || die "no ' big' expected"
expect 0 '"text":" in","logprob":-[0-9.]*,"best":\[\{[^{]*\},\{[^{]*\}\]\}$' "${greedy[@]}" --logprobs 2
[ "$(grep -c '"logprob"' err)" -eq 4 ] || die "a line for each token expected"
expect 0 . "${greedy[@]}" --no-echo --logit-bias 5=1000 --presence-penalty 2 --frequency-penalty 0.1
expect 0 'ended    max_tokens' "${greedy[@]}" --stats
expect 2 'logit-bias: must be TOKEN=X' "${greedy[@]}" --logit-bias big
expect 1 "'qqzzqq' is no token" "${greedy[@]}" --logit-bias qqzzqq=1
expect 1 'must occur once' "${greedy[@]}" --logit-bias 5=1 --logit-bias 5=2
expect 2 'frequency-penalty: must be a number' "${greedy[@]}" --frequency-penalty inf
expect 1 'save-state does not go with' "${greedy[@]}" --save-state kept.state --presence-penalty 1
[ ! -e kept.state ] || die "no state file expected"

# Text that keeps to a schema, complete within its tokens.
schema='{"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}, "required": ["name", "age"]}'
expect 0 'ended    complete' "${greedy[@]:0:3}" --no-echo -n 20 --seed 1 --stats --json-schema "$schema"
grep -qE '^\{"name": ".*", "age": -?[0-9]+\}$' out || die "an object by the schema expected"
printf '%s\n' "$schema" >schema.json
expect 0 '^\{"name": ".*", "age": -?[0-9]+\}$' "${greedy[@]:0:3}" --no-echo -n 20 --json-schema schema.json
expect 0 '^([[{]).*[]}]$' "${greedy[@]:0:3}" --no-echo -n 9 --json
expect 1 'the shortest text takes [0-9]+ tokens, expected at most 4' "${greedy[@]}" --json-schema "$schema"
expect 1 'schema: #/minItems: must be at most' "${greedy[@]}" --json-schema '{"minItems": 1000000000}'
expect 1 'no-schema.json' "${greedy[@]}" --json-schema no-schema.json
expect 1 'prompt.txt: schema: expected JSON' "${greedy[@]}" --json-schema prompt.txt
expect 2 'excludes' "${greedy[@]}" --json --json-schema true

if [ -e /dev/full ]; then
  status=0
  program "${greedy[@]}" >/dev/full 2>err || status=$?
  [ "$status" -eq 1 ] || die "a full disk: exit status 1 expected, found $status"
fi

# Ctrl-C ends a text in order.
has() { [ "$(wc -c <"$2")" -ge "$1" ]; } # BYTES FILE
start generate "$model" "The sea" -n 1000000 --ignore-eos --stats
until_true has 40 out
interrupted 130 "Ctrl-C, in a text"
grep -q 'tokens/s' err || die "Ctrl-C: statistics expected"
[ "$(tail -c 1 out | od -An -c | tr -d ' ')" = '\n' ] || die "Ctrl-C: a last newline expected"

finish
