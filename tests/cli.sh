#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# cli.sh SOURCE BIN WORK [EMULATOR...]: the programs in BIN as people use them, and misuse them.
set -euo pipefail
source=$1 bin=$2 work=$3
emulator=("${@:4}")
model=$source/examples/models/llama-tales-14m
rm -rf "$work"
mkdir -p "$work"
cd "$work"
checks=0

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

same() { # the last output is this text
  [ "$(cat out)" = "$1" ] || die "expected: $1"
}

# Text.
greedy=(generate "$model" "Once upon a time there was a little girl who lived" -t 0 -n 4)
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
printf 'The sea\n' >prompt.txt
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
  status=0
  "$bin/generate" "$model" --file long.txt --no-echo --stats >out 2>err &
  job=$!
  for ((try = 0; try < 600; ++try)); do # until it catches the signal
    caught=$(sed -n 's/^SigCgt:[[:space:]]*//p' "/proc/$job/status")
    [ $((0x0$caught & 2)) -eq 0 ] || break
    sleep 0.1
  done
  kill -INT "$job"
  wait "$job" || status=$?
  [ "$status" -eq 130 ] || die "Ctrl-C: exit status 130 expected, found $status"
  read -r _ count _ _ _ _ _ milliseconds _ speed _ < <(grep '^prompt ' err)
  [ "$count" -gt 0 ] && [ $((count % 512)) -eq 0 ] && [ "$count" -lt 1000000 ] ||
    die "Ctrl-C: whole pieces of the prompt expected"
  awk "BEGIN { rate = $count / $milliseconds * 1e3; exit !($speed > rate * 0.99 && $speed < rate * 1.01) }" ||
    die "Ctrl-C: the tokens that were read, in the time that it took, expected"
fi
as_is=("${emulator[@]}")
emulator=(bash -c 'printf -v large "%300000000s" "" && exec "$@"' large "${emulator[@]}")
expect 0 'memory   1?[0-9]{2}\.' generate "$model" "The sea" -n 2 --stats --threads 1
emulator=("${as_is[@]}")

# Without a length a text ends with a sentence. The model's own end is passed over here, so that it
# is the length that ends it.
if [ ${#emulator[@]} -eq 0 ]; then
  expect 0 'text     10[2-8][0-9] tokens' generate "$model" "The sea" --seed 1 --ignore-eos --stats
  grep -qE '[.!?][")]*$' <(tail -n 1 out) || die "the end of a sentence expected"
fi

# States.
state() { expect "$1" "$2" generate "$model" -w int8 "${@:3}"; }
state 0 . "The sea" -n 12 --seed 5 --repetition-penalty 1.2
whole=$(cat out)
state 0 . "The sea" -n 5 --seed 5 --repetition-penalty 1.2 --save-state sea.state
first=$(cat out)
state 0 'seed     as saved' --load-state sea.state -n 7 --threads 2 --save-state sea.2 --stats
same "${whole#"$first"}"
state 0 'seed     3' --load-state sea.state -n 2 --seed 3 --stats
state 0 '^ and then' " and then" --load-state sea.state -n 2 -t 0
state 1 'sea.state: the precision of the state must be fp16' --load-state sea.state --state fp16
expect 1 'sea.state: the weights .* must be int4, found "int8"' \
  generate "$model" --load-state sea.state -w int4
head -c 100000 sea.2 >cut.state
state 1 'cut.state: must have [0-9]+ bytes, found 100000' --load-state cut.state
state 1 'prompt.txt: expected a state file' --load-state prompt.txt
state 1 'missing.state: cannot open' --load-state missing.state
state 1 'no-such/x.state: cannot be written' text --save-state no-such/x.state
# Two programs go on from one file: what the other has saved stays, and nothing of this one is lost.
cp sea.state shared.state
: >out
"${emulator[@]}" "$bin/generate" "$model" -w int8 --load-state shared.state --save-state shared.state \
  -n 100000000 --ignore-eos >out 2>err </dev/null &
job=$!
for _ in $(seq 600); do
  [ ! -s out ] || break
  sleep 0.1
done
cp sea.2 shared.state
kill -INT "$job"
status=0
wait "$job" || status=$?
[ "$status" -eq 1 ] || die "a state that another program has changed: exit status 1 expected, found $status"
grep -q 'shared.state: is not replaced: another program .*; what was to be saved is in shared.state.1$' err ||
  die "a state that another program has changed: the reason expected"
cmp sea.2 shared.state || die "a state that another program has changed: it is lost"
state 0 . --load-state shared.state.1 -n 2
state 0 . --load-state shared.state -n 2 --save-state shared.state.1
state 0 . --load-state shared.state -n 2 --save-state shared.state
[ ! -e shared.state.2 ] || die "a state of its own is not replaced"

# Talks.
talk() { printf '%s\n' "$1" | program chat "$model" -t 0 --threads 1 "${@:2}" >out 2>err || die "chat: $?"; }
usual='User: {user}\nAssistant:{assistant}\n'
talk $'Who are you?\n\nWhere?' -n 6 --template "$usual"
[ "$(wc -l <out)" -ge 2 ] || die "chat: two answers expected"
[ ! -s err ] || die "chat: nothing to say of a template that was given"
talked=$(cat out)
talk "Once" -n 40 --template 'The {user} upon a{assistant}\n' --state talk.state --stop ' village'
stopped=$(wc -c <out)
talk "Once" -n 40 --template 'The {user} upon a{assistant}\n'
[ "$stopped" -lt "$(wc -c <out)" ] || die "chat: --stop"
talk "Once" -n 40 --template 'The {user} upon a{assistant} time\n'
[ "$(cat out)" = "" ] || die "chat: an answer ends at what follows it in the template"
expect 2 'template: must have' chat "$model" --template 'User: {user}'
expect 2 'temperature' chat "$model" -t -1
expect 1 'no-such/x.state: cannot be written' chat "$model" --state no-such/x.state
expect 0 '' chat "$model" # no line at all
# A model without a chat template goes on with what is typed.
expect 0 . generate "$model" "Once upon a time" -t 0 -n 6 -w fp32 --no-echo --threads 1
answer=$(cat out)
expect 0 . generate "$model" "Once upon a time$answer The king said" -t 0 -n 6 -w fp32 --no-echo
talk_on=$answer$'\n'$(cat out)
for line in "The king said" " The king said"; do # the sentence has not ended
  talk $'Once upon a time\n'"$line" -n 6 -w fp32
  same "$talk_on"
done
[ "$(grep -c 'brings no chat template' err)" -eq 1 ] || die "chat: one note expected"
talk "Once upon a time" -w fp32 # without a length a sentence ends, and then a paragraph
answer=$(cat out)
[[ $answer =~ [.!?\"]$ ]] || die "chat: the end of a sentence expected"
expect 0 . generate "$model" $'Once upon a time'"$answer"$'\n\nThe king said' -t 0 -n 6 -w fp32 --no-echo
talk_on=$answer$'\n'$(cat out)
printf 'Once upon a time\n' | program chat "$model" -t 0 -w fp32 --state tale.state >out 2>err
printf 'The king said\n' | program chat "$model" -n 6 -w fp32 --state tale.state >>out 2>err
same "$talk_on"
# One with a template has conversations, in another form than its own, and is told of that.
mkdir assistant
ln -s "$model"/config.json "$model"/*.safetensors* "$model"/tokenizer.json assistant/
echo '{"chat_template": "{{ messages }}"}' >assistant/tokenizer_config.json
printf 'Who are you?\n\nWhere?\n' | program chat assistant -t 0 --threads 1 -n 6 >out 2>err
same "$talked"
[ "$(grep -c 'is not applied' err)" -eq 1 ] || die "chat: one note expected"
printf '{' >assistant/tokenizer_config.json
expect 1 'assistant/tokenizer_config.json: line 1: expected JSON' chat assistant

# Reports.
expect 0 '14\.48 M parameters' mamba2-inspect "$model" --json report.json
grep -q '"parameters": 14476080' report.json || die "report.json: the parameters"
grep -q '"bytes": 6291456' report.json || die "report.json: the embedding's bytes"
expect 0 '' mamba2-logits "$model" --ids 1,5,9 --all --out three.safetensors
grep -aq '"logits":{"dtype":"F32","shape":\[3,8192\]' three.safetensors || die "header"
expect 0 '' mamba2-logits "$model" --text "The sea" --out last.safetensors
head -c 1500 "$source/LICENSE" >text.txt
expect 0 'perplexity [0-9.]+ \+- ' mamba2-perplexity "$model" text.txt --context 64 --json p.json
grep -q '"perplexity": ' p.json || die "p.json: the perplexity"
expect 0 'same most likely token [0-9.]+ %' mamba2-perplexity --context 16 --windows 1 -w int8 \
  --state fp16 --batch 1 --reference "$model" --json p.json "$model" text.txt
grep -q '"kl_mean": ' p.json || die "p.json: the divergence"
expect 0 'of a word [0-9.]+, of a byte [0-9.]+; [0-9]+ words, 1500 bytes' mamba2-perplexity --rolling \
  --context 100 "$model" text.txt --json p.json
grep -q '"word_perplexity": ' p.json || die "p.json: the words"
expect 2 'excludes' mamba2-perplexity "$model" text.txt --rolling --windows 3
: >empty.txt
expect 1 'empty.txt: must have at least 2 tokens, found ' mamba2-perplexity --rolling "$model" empty.txt

# Questions.
cat >arc_easy.jsonl <<'END'
{"id": 0, "question": "What do cows drink?", "choices": ["Water.", "Sand.", "Stones."], "gold": 0}
{"id": 2, "question": "What is warm?", "choices": ["Ice", "Fire", "Snow", "Rain", "Night"], "gold": 1}
END
cat >hellaswag.jsonl <<'END'
{"id": 0, "query": "Cooking: A man stands in a kitchen. He", "choices": ["cuts bread.", "swims."], "gold": 0}
END
printf '{"text": "The king loved the queen and the queen loved the king"}\n' >lambada_openai.jsonl
cat >piqa.jsonl <<'END'
{"goal": "To open a door,", "sol1": "turn the handle.", "sol2": "eat the handle.", "label": 0}
END
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

# What is no file is written to, and stays what it is.
ln -s target.json link.json
expect 0 . mamba2-inspect "$model" --json link.json
[ -L link.json ] && grep -q '"d_model": 384' target.json || die "link.json: not followed"
if [ -c /dev/full ]; then
  expect 1 'cannot be written' mamba2-logits "$model" --ids 1 --out /dev/full
  [ -c /dev/full ] || die "/dev/full: replaced"
fi
expect 2 'whole number' mamba2-logits "$model" --ids "" --out x.safetensors
expect 2 'whole number' generate "$model" "The sea" -n -1
expect 2 'whole number' generate "$model" "The sea" --seed 99999999999999999999
expect 2 'excludes' generate "$model" "The sea" --file prompt.txt
expect 1 '^generate: the prompt is empty' generate "$model" ""
expect 1 'cannot be read: Is a directory' generate "$model" --file .
expect 1 'more than 256 MiB' generate "$model" --file /dev/zero
expect 2 'requires' mamba2-perplexity "$model" text.txt --reference-weights int8

# A model in GGUF.
toy=$source/tests/golden/gguf/toy.gguf
expect 0 'layers.\*.mixer.in_proj.weight +2 x .* Q4_0' mamba2-inspect "$toy"
expect 0 '^The sea' generate "$toy" "The sea" -n 3 --ignore-eos
expect 0 'weights  mixed, ' generate "$toy" "The sea" -n 3 --ignore-eos --stats
expect 0 'weights  int8, ' generate "$toy" "The sea" -n 3 --ignore-eos --stats -w int8
expect 0 'mixed +1 +decode' mamba2-bench "$toy" --threads 1 --decode 4 --repeat 1
expect 2 'mixed' mamba2-bench --random mamba2-130m -w mixed
expect 0 'mixed +1 +batch 3 ' mamba2-bench "$toy" --threads 1 --batch 1,3 --repeat 1
expect 0 '' mamba2-logits "$toy" --text "The sea" --out toy.safetensors
cp "$toy" $'toy \xff.gguf'
expect 0 'layers' mamba2-inspect $'toy \xff.gguf' --json report.json
head -c 3000 "$toy" >cut.gguf
expect 1 'cut.gguf: ' mamba2-inspect cut.gguf

# A model by the path of one of its files, and what is no model.
for part in model-00002-of-00002.safetensors model.safetensors.index.json config.json; do
  expect 0 house generate "$model/$part" "${greedy[@]:2}"
  same "Once upon a time there was a little girl who lived in a big house"
done
shard=$model/model-00001-of-00002.safetensors
talk "Once" -n 40 --template 'The {user} upon a{assistant}\n'
answer=$(cat out)
printf 'Once\n' | program chat "$shard" -t 0 --threads 1 -n 40 \
  --template 'The {user} upon a{assistant}\n' >out 2>err || die "chat: $?"
same "$answer"
expect 0 '14\.48 M parameters' mamba2-inspect "$shard"
expect 0 'perplexity [0-9.]+ ' mamba2-perplexity "$shard" text.txt --context 16 --windows 1 \
  --reference "$shard"
expect 0 '^piqa ' mamba2-eval "$shard" piqa.jsonl --compare-model "$shard"
expect 0 '' mamba2-logits "$shard" --text "The sea" --out shard.safetensors
cmp last.safetensors shard.safetensors || die "a shard: the logits"
forms='a folder with config.json and \*.safetensors, one of these files, a GGUF file or a packed file'
expect 1 "text.txt: expected $forms" mamba2-inspect text.txt
expect 1 "^generate: text.txt: expected $forms" generate text.txt "The sea"
expect 1 "text.txt: expected $forms" mamba2-logits text.txt --ids 1 --out x
expect 1 "^generate: .*/tokenizer.json: expected $forms" generate "$model/tokenizer.json" "The sea"
expect 1 '^generate: no.safetensors: no such file' generate no.safetensors "The sea"
pointer='is a pointer of Git LFS, not the file itself \(git lfs pull fetches it\)'
mkdir clone
cp "$model"/*.json clone
for file in model-00001-of-00002.safetensors model-00002-of-00002.safetensors pointer.gguf; do
  printf 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n' >clone/$file
done
expect 1 "^generate: clone/model-00001-of-00002.safetensors: $pointer" generate clone "The sea"
expect 1 "^generate: clone/pointer.gguf: $pointer" generate clone/pointer.gguf "The sea"
expect 1 "^mamba2-convert: clone/pointer.gguf: $pointer" mamba2-convert clone/pointer.gguf other.gguf
cp "$model"/*.safetensors clone
printf ' <!DOCTYPE html>\n<html>' >clone/tokenizer.json
expect 1 '^generate: clone/tokenizer.json: is a web page, not the file itself' generate clone text
expect 1 'clone/tokenizer.json: is a web page, .*\(--no-tokenizer leaves it out\)' \
  mamba2-convert clone other
expect 1 'clone/tokenizer.json: is a web page' mamba2-quantize clone other --pack native
printf '{}' >clone/model.safetensors
sed 's/"hidden_size"/"quantization_config": {"quant_method": "gptq"}, "hidden_size"/' \
  "$model/config.json" >clone/config.json
expect 1 'clone/config.json: the weights are quantized by gptq, which is not' mamba2-inspect clone

# Conversion: the same model, the same tokens.
convert() { expect "$1" "$2" mamba2-convert "${@:3}"; }
same_logits() {
  expect 0 '' mamba2-logits "$1" --text "The sea" --out converted.safetensors
  cmp last.safetensors converted.safetensors || die "$1: the logits"
}
convert 0 '^tales.gguf: F32, 58.* MB, with tokenizer' "$model" tales.gguf --type f32
same_logits tales.gguf
convert 0 '^folder/model.safetensors: BF16' "$model" folder/
same_logits folder
cmp "$model/tokenizer.json" folder/tokenizer.json
convert 0 '^folder/model.safetensors: F16' tales.gguf folder --force
expect 0 house generate folder "${greedy[@]:2}"
for type in q8_0 q4_0; do
  convert 0 . "$model" "$type.gguf" --type "$type"
  expect 0 . generate "$type.gguf" "${greedy[@]:2}"
done
convert 0 '^again.gguf: Q8_0, .*, no tokenizer' q8_0.gguf again.gguf --no-tokenizer
expect 1 'tokenizer.ggml.model must be "gpt2", found "none"' generate again.gguf text
[ ${#emulator[@]} -gt 0 ] ||
  convert 0 '^random.gguf: Q8_0, 137.* no tokenizer' --random mamba2-130m random.gguf -t q8_0
convert 2 'q8_0 needs an OUT that ends in .gguf' "$model" other --type q8_0
convert 2 . "$model" other.gguf --type q3_k
convert 2 'must end in .gguf, or be a folder' "$model" other.safetensors
convert 2 'comes instead of IN' --random mamba2-130m "$model" other.gguf
convert 2 'OUT' "$model"
convert 1 'tales.gguf: exists; --force replaces it' "$model" tales.gguf
convert 1 'folder: is not empty; --force' "$model" folder
cp -R "$model" parts
convert 1 'parts: has a model in several parts' tales.gguf parts --force
mkdir folder.gguf
convert 1 'folder.gguf: cannot be written: it is a directory' "$model" folder.gguf
mkfifo pipe.gguf
cat pipe.gguf >piped.gguf &
convert 0 '^pipe.gguf: Q8_0, with tokenizer' "$model" pipe.gguf --type q8_0
wait "$!"
cmp q8_0.gguf piped.gguf
convert 1 'text.txt: expected a directory, found a file' "$model" text.txt
convert 1 'must be another than the model' tales.gguf ./tales.gguf --force
convert 1 'must be another than the model' folder/model.safetensors folder --force
convert 1 'no-such/other.gguf: cannot be written: no such file' "$model" no-such/other.gguf
convert 1 'no-such/other: cannot be made: no such file' "$model" no-such/other
convert 1 'no-such-model' no-such-model other.gguf
convert 1 'bias must be false in a GGUF file, found true' \
  "$source/tests/golden/transformers/bias" other.gguf
convert 0 . "$source/tests/golden/transformers/bias" bias
convert 0 . "$shard" of_shard.gguf --type f32
cmp tales.gguf of_shard.gguf || die "of_shard.gguf: its name, tokenizer or tensors"
convert 1 'must be another than the model' folder/config.json folder --force
as_is=("${emulator[@]}")
emulator=(bash -c 'ulimit -f 100 && "$@"' limit "${emulator[@]}") # as if the disk were full
convert 1 'tales.gguf: cannot be written: the file would be too large' "$model" tales.gguf --force
convert 1 'other/model.safetensors: cannot be written' "$model" other
emulator=("${as_is[@]}")
same_logits tales.gguf
[ -z "$(find . -name 'other*')" ] || die "a failed conversion left something"

# Quantizing: what is loaded as it is is what loading would have made of the original.
quantize() { expect "$1" "$2" mamba2-quantize "${@:3}"; }
of_original() { # WEIGHTS FOLDER
  expect 0 '' mamba2-logits "$model" --text "The sea" -w "$1" --out original.safetensors
  for weights in mixed "$1"; do
    expect 0 '' mamba2-logits "$2" --text "The sea" -w "$weights" --out quantized.safetensors
    cmp original.safetensors quantized.safetensors || die "$2 as $weights: the logits"
  done
}
quantize 0 '^int8/model.safetensors: int8, nearest, 14.* MB' "$model" int8 --type int8 --json report.json
grep -q '"relative_error": 0.00[0-9]' report.json || die "report.json: the errors"
of_original int8 int8
cmp "$model/tokenizer.json" int8/tokenizer.json
quantize 0 '^int4/model.safetensors: int4, search, ' "$model" int4/
of_original int4 int4
expect 0 'out_proj.weight .* INT4_G32 +int4 .* rotated by 256' mamba2-inspect int4
expect 0 'weights  mixed, ' generate int4 "The sea" -n 2 --stats
convert 0 '^int8.gguf: F16' int8 int8.gguf
expect 0 house generate int8.gguf "${greedy[@]:2}"
quantize 0 'int4, importance' "$model" kept --group 128 --calibrate "$source/README.md" --tokens 512 \
  --keep embedding=fp16 --keep layers.0.in_proj=int8 --keep out_proj=int4 --no-tokenizer
expect 0 'embedding.weight .* F16 +fp16 ' mamba2-inspect kept
expect 0 'in_proj.weight .* INT8 +int8 ' mamba2-inspect kept
[ ! -e kept/tokenizer.json ] || die "--no-tokenizer"
quantize 0 'int4, gptq' "$model" kept --gptq "$source/README.md" --tokens 1024 --force
expect 0 . generate kept "${greedy[@]:2}"
if [ ${#emulator[@]} -eq 0 ]; then
  quantize 0 'nats measured' "$model" fitted --budget 12 --calibrate "$source/README.md" --tokens 512
  [ "$(wc -c <fitted/model.safetensors)" -le 12000000 ] || die "--budget: the size"
  quantize 1 'budget must be at least 9 ' "$model" other --budget 5 --gptq "$source/README.md"
fi
quantize 0 '^tales-int8.gguf: int8' "$shard" tales-int8.gguf --type int8
cmp q8_0.gguf tales-int8.gguf
quantize 0 '^tales-int4.gguf: int4, search' "$model" tales-int4.gguf
[ "$(wc -c <q4_0.gguf)" -eq "$(wc -c <tales-int4.gguf)" ] || die "tales-int4.gguf: the size"
expect 0 . generate tales-int4.gguf "${greedy[@]:2}"

# Packing: what is used in place is what loading would have made.
quantize 0 '^int8.packed: int8, packed for .* MB' "$model" int8.packed --pack native --type int8
of_packed() { # WEIGHTS FILE
  expect 0 '' mamba2-logits "$model" --text "The sea" -w "$1" --out original.safetensors
  expect 0 '' mamba2-logits "$2" --text "The sea" -w "$1" --out packed.safetensors
  cmp original.safetensors packed.safetensors || die "$2: the logits"
}
of_packed int8 int8.packed
expect 0 . mamba2-perplexity int8.packed text.txt --context 16 --windows 1
expect 0 '^piqa ' mamba2-eval int8.packed piqa.jsonl
quantize 0 'int8, packed for' "$shard" shard.packed --pack native --type int8
cmp int8.packed shard.packed || die "shard.packed"
quantize 0 '^int4.packed: mixed, packed for' int4 int4.packed --pack native
expect 0 'weights  mixed, ' generate int4.packed "The sea" -n 2 --stats
quantize 0 '^int4.packed: int4, packed for' int4 int4.packed --pack native --type int4 --force
of_packed int4 int4.packed
quantize 0 'mixed, packed for' q4_0.gguf gguf.packed --pack native
expect 0 'weights  mixed, ' generate gguf.packed "The sea" -n 2 --stats
quantize 0 'packed for neon' "$model" arm.packed --pack cortex-a76 --no-tokenizer
if [ "$(program mamba2-logits --version | grep -c neon)" -eq 0 ]; then
  expect 1 'arm.packed: is packed for CPUs like cortex-a76, but .* mamba2-quantize --pack [a-z0-9-]+$' \
    generate arm.packed "The sea"
else
  expect 1 'arm.packed: ' generate arm.packed "The sea" # it has no tokenizer
fi
expect 1 'int8.packed: weights must be int4, found "int8"' generate int8.packed "The sea" -w int4
quantize 1 'int8.packed: exists; --force replaces it' "$model" int8.packed --pack native
quantize 1 'pack: target must be a CPU such as cortex-a76' "$model" other --pack z80
quantize 2 . "$model" other --pack native --group 64
for program in mamba2-inspect mamba2-bench; do
  expect 1 'int8.packed: is a packed model' $program int8.packed
done
head -c 5000000 int8.packed >other.packed
expect 1 'other.packed: the file must have ' generate other.packed "The sea"
rm other.packed

# A head of its own, though the config ties it to the embedding: every program keeps it.
bytes_of() { # FILE FIRST COUNT
  head -c $(($2 + $3)) "$1" | tail -c "$3"
}
add_head() { # adds to FOLDER's model a head: the embedding, from its second row on
  local file=$1/model.safetensors size header begin end data row i
  size=$(od -An -tu8 -N8 "$file" | tr -d ' ')
  data=$(($(wc -c <"$file") - 8 - size))
  header=$(bytes_of "$file" 8 "$size")
  read -r row begin end < <(sed -E \
    's/.*"backbone.embeddings.weight":\{[^[]*\[[0-9]+,([0-9]+)\][^[]*\[([0-9]+),([0-9]+)\].*/\1 \2 \3/' \
    <<<"$header")
  row=$((4 * row))
  header="${header%\}*},\"lm_head.weight\":{\"dtype\":\"F32\",\"shape\":[$(((end - begin) / row)),$((row / 4))],"
  header+="\"data_offsets\":[$data,$((data + end - begin))]}}"
  size=$((8 + size))
  {
    for i in 0 8 16 24 32 40 48 56; do printf "\\x$(printf %02x $((${#header} >> i & 255)))"; done
    printf %s "$header"
    tail -c "$data" "$file"
    bytes_of "$file" $((size + begin + row)) $((end - begin - row))
    bytes_of "$file" $((size + begin)) "$row"
  } >added
  mv added "$file"
}
convert 0 . "$model" two --type f32
add_head two
cp -R two untied
sed -i 's/"tie_word_embeddings": true/"tie_word_embeddings": false/' untied/config.json
same_as_untied() { # WEIGHTS MODEL [OF UNTIED]
  expect 0 '' mamba2-logits "${3:-untied}" --text "The sea" -w "$1" --out untied.safetensors
  expect 0 '' mamba2-logits "$2" --text "The sea" -w "$1" --out two.safetensors
  cmp untied.safetensors two.safetensors || die "$2: the logits"
}
is_untied() { grep -q '"tie_word_embeddings": false' "$1/config.json" || die "$1: tied"; }
expect 0 'note: two/model.safetensors: tensors "lm_head.weight" and "embedding.weight" differ' \
  mamba2-inspect two --json report.json
grep -q '"two/model.safetensors: tensors ' report.json || die "report.json: the notes"
same_as_untied fp32 two
cmp -s untied.safetensors last.safetensors && die "untied: the logits of the embedding"
convert 0 '^two.gguf: F32' two two.gguf --type f32
same_as_untied fp32 two.gguf
convert 0 . two two-f32 --type f32
same_as_untied fp32 two-f32
is_untied two-f32
quantize 0 . two two-int8 --type int8
same_as_untied int8 two-int8
is_untied two-int8
quantize 0 . two two-int8.gguf --type int8
quantize 0 . untied untied-int8.gguf --type int8
same_as_untied mixed two-int8.gguf untied-int8.gguf
quantize 0 . two two.packed --pack native --type int4
same_as_untied int4 two.packed
if [ ${#emulator[@]} -eq 0 ]; then
  for options in --gptq "--budget 16 --calibrate"; do
    for of in two untied; do
      [ "$of" = two ] && threads=1 || threads=2 # which change no bit
      # shellcheck disable=SC2086 # several options
      quantize 0 . "$of" "$of-text" --tokens 512 $options "$source/README.md" --force \
        --threads "$threads"
    done
    cmp untied-text/model.safetensors two-text/model.safetensors
    is_untied two-text
  done
fi

# Ends of a text beside the config: those that can be none are passed over.
cp -R "$model" ends
in=$(grep -o '"Ġin": *[0-9]*' "$model/tokenizer.json" | grep -o '[0-9]*$')
printf '{"eos_token_id": [%s, "x", 99999]}' "$in" >ends/generation_config.json
expect 0 'note: ends/generation_config.json: eos_token_id must be .*, found "x" and 1 more' \
  generate ends "${greedy[@]:2}" --no-echo
same ""
convert 0 . ends ends.gguf
expect 0 '' generate ends.gguf "${greedy[@]:2}" --no-echo
same ""
quantize 0 . ends ends-int8 --type int8
expect 0 '' generate ends-int8 "${greedy[@]:2}" --no-echo
same ""
printf 'version https://git-lfs.github.com/spec/v1\n' >ends/generation_config.json
expect 0 house generate ends "${greedy[@]:2}"
grep -q '^note: ends/generation_config.json: is a pointer of Git LFS, .*: passed over$' err ||
  die "ends: a note"

# Executors of an application's own, and a model inside a program: the same text.
expect 0 . generate "$model" "Once upon a time" -n 40 -t 0 --no-echo
text=$(cat out)
expect 0 'turns for the others, ' cooperative "$model"
same "$text"
if [ -x "$bin/openmp" ]; then
  expect 0 'threads of OpenMP' openmp "$model"
  same "$text"
fi
expect 0 . generate "$model" "The sea" -n 40 -t 0 -w int4 --state fp16
text=$(cat out)
mkdir nothing
(cd nothing && program embedded "The sea") >out 2>err || die "embedded"
same "$text"
(cd nothing && ! program hello) >out 2>err || die "hello, without its model: a failure expected"
[ ! -s out ] && [ "$(wc -l <err)" -eq 1 ] && grep -q '^examples/models/.*: no such' err ||
  die "hello, without its model: one line expected"
quantize 1 'int8: is quantized already' int8 other
quantize 1 'q4_0.gguf: is quantized already' q4_0.gguf other
quantize 1 'int8: is not empty; --force' "$model" int8
quantize 1 'embedding, which is this model.s head' "$model" other --keep lm_head=int8
quantize 1 'parts of one cannot be named' "$model" other --keep in_proj.dt=fp16
quantize 1 'a type of int4, int8, fp16, bf16 or fp32' "$model" other --keep in_proj=int3
quantize 1 'prompt.txt: must have at least 512 tokens' "$model" other --gptq prompt.txt
quantize 1 'must be another than the model' int8 ./int8 --force
quantize 2 'must be 32 in a GGUF file' "$model" other.gguf --group 64
quantize 2 'needs --calibrate or --gptq' "$model" other --budget 12
quantize 2 . "$model" other --calibrate text.txt --gptq text.txt
emulator=(bash -c 'ulimit -f 100 && "$@"' limit "${emulator[@]}")
quantize 1 'other/model.safetensors: cannot be written: the file would be' "$model" other
emulator=("${as_is[@]}")
[ -z "$(find . -name 'other*')" ] || die "a failed run of mamba2-quantize left something"

expect 0 'int8 +1 +decode' mamba2-bench "$model" --threads 1 --decode 4 --prefill 16 --repeat 1 \
  --json bench.json
grep -q '"phase": "prefill"' bench.json || die "bench.json: the rows"
grep -q '"load_s": [0-9]' bench.json || die "bench.json: the time of loading"
for key in model weights threads tokens_per_s bytes_per_token gb_per_s gop_per_s roof_gb_per_s \
  roof_gop_per_s share peak_rss_bytes; do
  grep -q "\"$key\": " bench.json || die "bench.json: $key"
done

# Help and usage.
for name in generate chat mamba2-inspect mamba2-logits mamba2-perplexity mamba2-eval mamba2-convert \
  mamba2-quantize mamba2-bench; do
  expect 0 'Exit status' "$name" --help
  expect 2 . "$name"
  expect 2 . "$name" "$model" --no-such-option
done
expect 2 'ids|text' mamba2-logits "$model" --out x
expect 2 . mamba2-logits "$model" --ids 1,x --out x
expect 2 . generate "$model" text --max-tokens -5
expect 2 . generate "$model" text --weights int3
expect 1 'threads' generate "$model" text --threads 5000
expect 2 . mamba2-bench --random mamba2-3t
# An option with a list takes one argument: the model may follow.
expect 0 '' mamba2-logits --ids 1,5 "$model" --out ids.safetensors
cpu=$(sed -n 's/^Cpus_allowed_list:[[:space:]]*\([0-9]*\).*/\1/p' /proc/self/status)
expect 0 . generate --cpus "$cpu" -n 1 "$model" "The sea"
expect 0 . generate --cpus "$cpu-$cpu,$cpu" -n 1 "$model" "The sea"
expect 1 'cannot use CPU 8191: this thread may use ' generate --cpus 8191 "$model" "The sea"
expect 2 'cpus: expected a list of CPUs like 0-3,8, found .4-' generate --cpus 4- "$model" "The sea"
expect 2 'cpus: expected a list of CPUs' mamba2-bench "$model" --cpus x

# Wrong input.
expect 1 'no-such-folder' generate no-such-folder text
expect 1 'prompt is empty' generate "$model" ""
expect 2 'temperature' generate "$model" text -t -1
expect 1 'missing.txt' generate "$model" --file missing.txt
expect 1 '\.: cannot be read' generate "$model" --file .
expect 1 'token 1 must be in 0..8191, found 8192' mamba2-logits "$model" --ids 1,8192 --out x
expect 1 'no-such-folder/x' mamba2-logits "$model" --ids 1 --out no-such-folder/x
expect 1 'text.txt: must have at least' mamba2-perplexity "$model" text.txt --context 100000
mkdir broken
cp "$model"/*.json "$model"/*.safetensors broken
truncate -s -1 broken/model-00002-of-00002.safetensors
expect 1 'broken/model-00002-of-00002.safetensors' generate broken text
cp "$model"/model-00002-of-00002.safetensors broken
printf '{' >broken/tokenizer.json
expect 1 'broken/tokenizer.json' generate broken text
sed 's/"hidden_size": 384/"hidden_size": 512/' "$model/config.json" >broken/config.json
expect 1 'num_heads|hidden_size|shape' mamba2-inspect broken
rm broken/config.json
expect 1 'config.json' mamba2-inspect broken
cp "$model/config.json" broken
chmod 000 broken/config.json
as_is=("${emulator[@]}")
if [ "$(id -u)" -eq 0 ]; then # who may read everything, but for this
  emulator=(setpriv --bounding-set=-dac_override,-dac_read_search
    --inh-caps=-dac_override,-dac_read_search "${emulator[@]}")
fi
expect 1 'broken/config.json: .*ermission' mamba2-inspect broken
mkdir -m 555 locked
expect 1 'locked/x.gguf: cannot be written: permission denied' mamba2-convert "$model" locked/x.gguf
emulator=("${as_is[@]}")
if [ -e /dev/full ]; then
  status=0
  program "${greedy[@]}" >/dev/full 2>err || status=$?
  [ "$status" -eq 1 ] || die "a full disk: exit status 1 expected, found $status"
fi
[ -z "$(find . -name '*.partial')" ] || die "partial files are left"

# Ctrl-C ends a text in order.
"${emulator[@]}" "$bin/generate" "$model" "The sea" -n 1000000 --ignore-eos --stats >out 2>err &
job=$! # the program itself, and not a shell around it
trap 'kill -KILL "$job" 2>/dev/null || true' EXIT
for _ in $(seq 600); do
  [ "$(wc -c <out)" -lt 40 ] || break
  sleep 0.1
done
kill -INT "$job"
status=0
wait "$job" || status=$?
[ "$status" -eq 130 ] || die "Ctrl-C: exit status 130 expected, found $status"
grep -q 'tokens/s' err || die "Ctrl-C: statistics expected"
[ "$(tail -c 1 out | od -An -c | tr -d ' ')" = '\n' ] || die "Ctrl-C: a last newline expected"

# Nor does it wait for a line any longer.
mkfifo never
exec 3<>never
"${emulator[@]}" "$bin/mamba2-eval" "$model" --serve <never >out 2>err &
job=$!
echo '{"loglikelihood": []}' >&3
for _ in $(seq 600); do
  [ ! -s out ] || break
  sleep 0.1
done
kill -INT "$job"
status=0
wait "$job" || status=$?
exec 3>&-
[ "$status" -eq 130 ] || die "Ctrl-C, --serve: exit status 130 expected, found $status"
grep -q interrupted err || die "Ctrl-C, --serve: a word expected"

# Nor is anything written of tasks that are not answered.
for _ in $(seq 2000); do cat hellaswag.jsonl; done >hellaswag_long.jsonl
"${emulator[@]}" "$bin/mamba2-eval" "$model" hellaswag_long.jsonl --json long.json >out 2>err &
job=$!
for _ in $(seq 600); do
  kill -INT "$job" 2>/dev/null || break
  sleep 0.2
done
status=0
wait "$job" || status=$?
[ "$status" -eq 130 ] || die "Ctrl-C: exit status 130 expected, found $status"
[ -z "$(find . -name 'long.json*')" ] || die "Ctrl-C: the questions left something"

# Nothing is left of a conversion, or of quantizing.
interrupted() { # PARTIAL PROGRAM ARGUMENT...: by Ctrl-C once the partial file has something in it
  local partial=$1 status=0
  "${emulator[@]}" "$bin/$2" "${@:3}" >out 2>err &
  job=$!
  for _ in $(seq 600); do
    [ -z "$(find . -path "$partial" -size +0)" ] || break
    sleep 0.1
  done
  kill -INT "$job"
  wait "$job" || status=$?
  [ "$status" -eq 130 ] || die "Ctrl-C: exit status 130 expected of $2, found $status"
}
interrupted './half/*.partial' mamba2-quantize "$model" half --gptq "$source/README.md"
[ ! -e half ] || die "Ctrl-C: mamba2-quantize left something"
interrupted './big.gguf.*.partial' mamba2-convert --random mamba2-2.7b big.gguf --type q4_0
[ -z "$(find . -name 'big*')" ] || die "Ctrl-C: the conversion left something"

echo "$checks command lines behave"
