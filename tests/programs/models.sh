#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Ways to name a model, and what is none.
# shellcheck source=tests/programs/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

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
talk "Once" -n 40 --template 'The {user} upon a{assistant}\n'
answer=$(cat out)
talker=$shard talk "Once" -n 40 --template 'The {user} upon a{assistant}\n'
same "$answer"
expect 0 '14\.48 M parameters' mamba2-inspect "$shard"
expect 0 'perplexity [0-9.]+ ' mamba2-perplexity "$shard" text.txt --context 16 --windows 1 \
  --reference "$shard"
expect 0 '^piqa ' mamba2-eval "$shard" piqa.jsonl --compare-model "$shard"
last_logits "$model" last.safetensors
last_logits "$shard" shard.safetensors
cmp last.safetensors shard.safetensors || die "a shard: the logits"
forms='a folder with config.json and \*.safetensors, one of these files, a GGUF file, a model.bin of BitMamba-2 or a packed file'
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

# Files that are cut off, that contradict each other, or that may not be read.
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
if [ "$(id -u)" -eq 0 ]; then # who may read everything, but for this
  as setpriv --bounding-set=-dac_override,-dac_read_search \
    --inh-caps=-dac_override,-dac_read_search
fi
expect 1 'broken/config.json: .*ermission' mamba2-inspect broken
mkdir -m 555 locked
expect 1 'locked/x.gguf: cannot be written: permission denied' mamba2-convert "$model" locked/x.gguf
as_is

finish
