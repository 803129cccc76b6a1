#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Questions of tasks and of lm-evaluation-harness.
# shellcheck source=tests/programs/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

cat >arc_easy.jsonl <<'END'
{"id": 0, "question": "What do cows drink?", "choices": ["Water.", "Sand.", "Stones."], "gold": 0}
{"id": 2, "question": "What is warm?", "choices": ["Ice", "Fire", "Snow", "Rain", "Night"], "gold": 1}
END
cat >hellaswag.jsonl <<'END'
{"id": 0, "query": "Cooking: A man stands in a kitchen. He", "choices": ["cuts bread.", "swims."], "gold": 0}
END
printf '{"text": "The king loved the queen and the queen loved the king"}\n' >lambada_openai.jsonl
tasks=(arc_easy.jsonl hellaswag.jsonl lambada_openai.jsonl piqa.jsonl)
expect 0 '^hellaswag +1 questions  acc [01]\.0000 ' mamba2-eval "$model" "${tasks[@]}" --json e.json \
  --details e.jsonl --compare int8
grep -q '"acc_norm_stderr": ' e.json || die "e.json: the standard error"
grep -q '"wrong_to_right": ' e.json || die "e.json: the flips"
[ "$(wc -l <e.jsonl)" -eq 10 ] || die "e.jsonl: a line for each question and model"
grep -q '"id":2,.*"weights":"int8".*"picked":' e.jsonl || die "e.jsonl: what was picked"
expect 0 '^lambada_openai +1 questions  acc [01]\.0000 .* perplexity [0-9.]+' \
  mamba2-eval "$model" lambada_openai.jsonl -w fp16 --state fp16 --threads 1 --max-length 5
expect 0 '^arc_easy +1 questions .* s, ' mamba2-eval --no-sharing --limit 1 "$model" arc_easy.jsonl
expect 0 'acc_norm +0 right -> wrong, 0 wrong -> right, p = 1' \
  mamba2-eval "$model" piqa.jsonl --compare-model "$model"
cp piqa.jsonl mine.jsonl
expect 1 '^mamba2-eval: mine.jsonl: the name must begin with a task' \
  mamba2-eval "$model" mine.jsonl
expect 0 '^piqa ' mamba2-eval "$model" mine.jsonl --task piqa
expect 1 'mine.jsonl: line 1: text must be a text, found no such key' \
  mamba2-eval "$model" mine.jsonl --task lambada_openai
echo '{' >>mine.jsonl
expect 1 'mine.jsonl: line 2: expected JSON' mamba2-eval "$model" mine.jsonl --task piqa --json x.json
[ ! -e x.json ] || die "x.json: a failure left something"
expect 1 'arc_easy.jsonl: line 1: a choice must have at most 1 tokens' \
  mamba2-eval "$model" arc_easy.jsonl --max-length 1
expect 1 'no-such-folder/e.json' mamba2-eval "$model" piqa.jsonl --json no-such-folder/e.json
expect 2 'TASK is required' mamba2-eval "$model"
expect 2 . mamba2-eval "$model" piqa.jsonl --serve
expect 2 . mamba2-eval "$model" --serve --limit 1
expect 2 . mamba2-eval "$model" piqa.jsonl --task winogrande
expect 2 . mamba2-eval "$model" piqa.jsonl --compare int3
expect 2 'whole number' mamba2-eval "$model" piqa.jsonl --limit x

# What lm-evaluation-harness asks: a line for each line, bad ones too.
cat >asked.jsonl <<'END'
{"loglikelihood": [{"context": "The king", "continuation": " of"}, {"context": "", "continuation": "A"}]}
{"loglikelihood_rolling": [{"text": "The king of the sea"}, {"text": ""}]}
{"generate_until": [{"context": "Once upon a time there was a little girl who lived", "until": ["use"], "max_gen_toks": 9}]}
{"generate_until": [{"context": "x", "until": [], "max_gen_toks": 5, "top_k": 5}]}
{"loglikelihood": [{"context": "x"}]}
{
[]

{"loglikelihood": []}
END
head -c 68000000 /dev/zero | tr '\0' ' ' >>asked.jsonl
printf '\n{"loglikelihood": []}' >>asked.jsonl
program mamba2-eval "$model" --serve <asked.jsonl >out 2>err || die "--serve: exit status $?"
[ ! -s err ] || die "--serve: nothing on stderr expected"
number=0
while read -r pattern; do
  number=$((number + 1))
  sed -n "${number}p" out | grep -qE -- "$pattern" || die "--serve, line $number: '$pattern' expected"
done <<'END'
^\{"loglikelihood":\[\[-[0-9.]+,(true|false)\],\[-[0-9.]+,(true|false)\]\]\}$
^\{"loglikelihood_rolling":\[-[0-9.]+,0.0\]\}$
^\{"generate_until":\[" in a big ho"\]\}$
^\{"error":"line 4: generate_until 0: top_k must be left out: there is no such key, found 5"\}$
^\{"error":"line 5: loglikelihood 0: continuation must be a text, found no such key"\}$
^\{"error":"line 6.*: expected JSON
^\{"error":"line 7 must be an object with one key, found a list of 0"\}$
^\{"error":"line 8: expected JSON
^\{"loglikelihood":\[\]\}$
^\{"error":"line 10 must have at most 67108864 bytes, found more"\}$
^\{"loglikelihood":\[\]\}$
END
[ "$(wc -l <out)" -eq "$number" ] || die "--serve: $number lines expected"
checks=$((checks + 1))
expect 0 '' mamba2-eval "$model" --serve # no line at all
expect 1 'no-such-folder' mamba2-eval no-such-folder --serve
if [ -e /dev/full ]; then
  status=0
  program mamba2-eval "$model" --serve <asked.jsonl >/dev/full 2>err || status=$?
  [ "$status" -eq 1 ] || die "--serve, a client that has gone: exit status 1 expected, found $status"
fi

# After Ctrl-C it does not wait for a line any longer.
mkfifo never
exec 3<>never
input=never start mamba2-eval "$model" --serve
echo '{"loglikelihood": []}' >&3
until_true test -s out
interrupted 130 "Ctrl-C, --serve"
exec 3>&-
grep -q interrupted err || die "Ctrl-C, --serve: a word expected"

# Nor is anything written of tasks that are not answered.
for _ in $(seq 2000); do cat hellaswag.jsonl; done >hellaswag_long.jsonl
start mamba2-eval "$model" hellaswag_long.jsonl --json long.json
for _ in $(seq 600); do
  kill -INT "$job" 2>/dev/null || break
  sleep 0.2
done
ended 130 "Ctrl-C, in questions"
[ -z "$(find . -name 'long.json*')" ] || die "Ctrl-C: the questions left something"

finish
