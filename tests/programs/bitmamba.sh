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
logits "$golden" repeated --repeat-count 1 --repeat-start 0 --repeat-end 1
cmp -s repeated.safetensors file.safetensors && die "--repeat-count changes nothing"
expect 1 'repeat_end must be in 0..2, found 3' mamba2-logits "$golden" --ids 1 --out out.safetensors \
  --repeat-count 1 --repeat-end 3
expect 1 'model.bin: expected an adapter of BitMamba-2' mamba2-logits "$golden" --ids 1 \
  --out out.safetensors --lora "$golden/model.bin"
expect 1 'is packed: an adapter' mamba2-logits bitmamba.packed --ids 1 --out out.safetensors \
  --repeat-count 1
convert 1 'the model must be Mamba-2 as published in .*, found BitMamba-2' "$golden" out-hf
quantize 1 'is quantized already' "$golden" out-int4 --type int4
head -c 5000 "$golden/model.bin" >cut.bin
expect 1 'cut.bin: tensor "embed.weight": the file must have [0-9]+ bytes more' mamba2-inspect cut.bin
finish
