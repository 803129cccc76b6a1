#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Models with experts that are quantized by what a text says of their inputs.
# shellcheck source=tests/programs/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
goldens=$source/tests/golden/hybrids

# A tokenizer of single characters, as the goldens have none and few ids.
vocab=''
id=0
for c in {a..z} {A..Z} ' ' '.' ',' ';' '(' ')' '-'; do
  vocab+="\"$c\": $id, "
  id=$((id + 1))
done
words="{\"added_tokens\": [], \"decoder\": {\"type\": \"Fuse\"}, \"model\": {\"type\": \"BPE\", \"vocab\": {${vocab%, }}, \"merges\": []}}"

divergence() { # MODEL: from the original, on the text
  expect 0 '' mamba2-perplexity "$1" text.txt --reference "${1%-*}" --context 128 --json kl.json
  grep -oP '"kl_mean": \K[0-9.e-]+' kl.json
}
logits() { expect 0 '' mamba2-logits "$1" --ids 5,1,9,2,7 --all -w "$2" --out "$3.safetensors"; }
for name in granite_moe nemotron_moe nemotron_latent lfm2_moe; do
  mkdir "$name"
  cp "$goldens/$name/config.json" "$goldens/$name/model.safetensors" "$name"
  printf '%s' "$words" >"$name/tokenizer.json"
  quantize 0 "^$name-int4/model.safetensors: int4, search" "$name" "$name-int4"
  logits "$name-int4" mixed plain
  for method in calibrate:importance gptq:gptq; do
    out=$name-${method%:*}
    quantize 0 "^$out/model.safetensors: int4, ${method#*:}" "$name" "$out" --"${method%:*}" text.txt \
      --json "$out.json"
    logits "$out" mixed text
    cmp -s plain.safetensors text.safetensors && die "$out: the text changes nothing"
    grep -q '"unseen"' "$out.json" && die "$out: all experts are chosen by some token"
    quantize 0 "^$out.gguf: int4, ${method#*:}" "$name" "$out.gguf" --"${method%:*}" text.txt \
      --no-tokenizer
    logits "$out.gguf" mixed text
  done
  # Measured: a half.
  awk "BEGIN { exit !($(divergence "$name-gptq") < 0.75 * $(divergence "$name-int4")) }" ||
    die "$name-gptq: no better than without the text"
  quantize 0 'together: [0-9.]+ nats measured' "$name" "$name-budget" --budget 0.18 --gptq text.txt \
    --json budget.json
  [ "$(stat -c %s "$name-budget/model.safetensors")" -le 180000 ] || die "$name-budget: too large"
  grep -q experts.1.up_proj budget.json || die "budget.json: the experts"
  logits "$name-budget" mixed text
done
quantize 1 'budget must be at least' granite_moe none --budget 0.01 --gptq text.txt

# Experts that no token chooses: with -10 the third of the first layer with experts has none (its bias
# is the third of the tensor's six floats).
cp -r nemotron_moe unseen
header=$(od -An -tu8 -N8 unseen/model.safetensors | tr -d ' ')
at=$(head -c $((8 + header)) unseen/model.safetensors |
  grep -aoP 'layers\.1\.mixer\.gate\.e_score_correction_bias".*?"data_offsets":\[\K[0-9]+')
printf '\x00\x00\x20\xc1' | dd of=unseen/model.safetensors bs=1 seek=$((8 + header + at + 8)) \
  conv=notrunc status=none
for method in calibrate gptq; do
  quantize 0 '^[0-9]+ matrices of experts were rounded as without a text, as no token of it chose them$' \
    unseen "unseen-$method" --$method text.txt --json unseen.json
  grep -q '"unseen": true' unseen.json || die "unseen.json"
done
logits unseen-gptq mixed text
finish
