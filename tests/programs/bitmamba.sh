#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# BitMamba-2's files: what the programs do with them, and what they refuse.
# shellcheck source=tests/programs/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
golden=$source/tests/golden/bitmamba/d96

logits() { expect 0 '' mamba2-logits "$1" --ids 5,1,9,2,7 --all --out "$2.safetensors" "${@:3}"; }
expect 0 'model.bin: BitMamba-2, 0.[0-9]+ M parameters' mamba2-inspect "$golden/model.bin"
expect 0 'lm_head.weight +128 x 96 +TERNARY +ternary' mamba2-inspect "$golden"
expect 0 'bitlinear +true' mamba2-inspect "$golden"
logits "$golden" folder
logits "$golden/model.bin" file -w mixed
cmp folder.safetensors file.safetensors || die "mixed is not what is taken"
quantize 0 'packed for' "$golden" bitmamba.packed --pack native --no-tokenizer
logits bitmamba.packed packed
cmp file.safetensors packed.safetensors || die "bitmamba.packed: the logits"
quantize 0 'ternary, packed for' "$golden" ternary.packed --pack native --type ternary --no-tokenizer
logits ternary.packed packed
cmp file.safetensors packed.safetensors || die "ternary.packed: the logits"
quantize 1 'cannot hold' "$model" no.packed --pack native --type ternary
quantize 2 '--type' "$golden" no --type ternary
logits "$golden" repeated --repeat-count 1 --repeat-start 0 --repeat-end 1
cmp -s repeated.safetensors file.safetensors && die "--repeat-count changes nothing"
expect 1 'repeat_end must be in 0..2, found 3' mamba2-logits "$golden" --ids 1 --out out.safetensors \
  --repeat-count 1 --repeat-end 3
expect 1 'model.bin: expected an adapter of BitMamba-2' mamba2-logits "$golden" --ids 1 \
  --out out.safetensors --lora "$golden/model.bin"
expect 1 'is packed: an adapter' mamba2-logits bitmamba.packed --ids 1 --out out.safetensors \
  --repeat-count 1
convert 1 'the model must be Mamba-2 as published in .*, found BitMamba-2, .* its .bin file runs as it is' "$golden" out-hf
convert 1 'in a GGUF file, found BitMamba-2, .* its .bin file runs as it is' "$golden" out.gguf
# An adapter of zeros changes nothing but is there: magic, version, rank 1, alpha, layers, matrices;
# of each in_proj 402 x 96, of each out_proj 96 x 192.
le32() { for n in "$@"; do printf '%b' "$(printf '\\x%02x' $((n & 255)) $((n >> 8 & 255)) $((n >> 16 & 255)) $((n >> 24)))"; done; }
{
  le32 0x4C4F5232 1 1 0x3F800000 3 2
  for layer in 0 1 2; do
    le32 $layer 0 402 96 1 && head -c $((4 * (402 + 96))) /dev/zero
    le32 $layer 1 96 192 1 && head -c $((4 * (96 + 192))) /dev/zero
  done
} >zero.lora.bin
logits "$golden" adapted --lora zero.lora.bin
cmp adapted.safetensors file.safetensors || die "zero.lora.bin: the logits"
quantize 0 'packed for' "$golden" adapted.packed --pack native --no-tokenizer --lora zero.lora.bin \
  --repeat-count 1 --repeat-start 0 --repeat-end 1
logits adapted.packed packed
cmp repeated.safetensors packed.safetensors || die "adapted.packed: the logits"
quantize 2 '--pack' "$golden" out-int4 --lora zero.lora.bin
mkdir talker && cp "$golden/model.bin" "$model/tokenizer.json" talker
for program in chat "mamba2-perplexity text.txt" "mamba2-eval piqa.jsonl"; do
  read -ra words <<<"$program"
  expect 1 'text.txt: expected an adapter of BitMamba-2' "${words[0]}" talker "${words[@]:1}" --lora text.txt
done
quantize 1 'is quantized already' "$golden" out-int4 --type int4
head -c 5000 "$golden/model.bin" >cut.bin
expect 1 'cut.bin: tensor "embed.weight": the file must have [0-9]+ bytes more' mamba2-inspect cut.bin
finish
