#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Models with attention and MLPs: what the programs do with them, and what they refuse.
# shellcheck source=tests/programs/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
goldens=$source/tests/golden/hybrids

logits() { expect 0 '' mamba2-logits "$1" --ids 5,1,9,2,7 --all -w "$2" --out "$3.safetensors" "${@:4}"; }
for name in granite_dense bamba mamba2attn_mlp; do
  hybrid=$goldens/$name
  expect 0 'pattern +"[M*]-' mamba2-inspect "$hybrid"
  expect 0 'context +4096' mamba2-inspect "$hybrid"
  for type in int8 int4; do
    # What is loaded as it is is what loading would have made of the original.
    logits "$hybrid" "$type" original
    quantize 0 "^$name-$type/model.safetensors: $type" "$hybrid" "$name-$type" --type "$type" --no-tokenizer
    quantize 0 "packed for" "$hybrid" "$name-$type.packed" --type "$type" --pack native --no-tokenizer
    logits "$name-$type.packed" "$type" packed
    cmp original.safetensors packed.safetensors || die "$name-$type.packed: the logits"
  done
  logits "$name-int8" mixed quantized
  logits "$hybrid" int8 original
  cmp original.safetensors quantized.safetensors || die "$name-int8: the logits"
  convert 1 'the layers must be Mamba-2 alone' "$hybrid" out.gguf
  convert 1 'the layers must be Mamba-2 alone' "$hybrid" out-hf
done
logits "$goldens/bamba" fp32 fp16 --kv fp16
logits "$goldens/bamba" fp32 fp32 --kv fp32
cmp -s fp16.safetensors fp32.safetensors && die "--kv changes nothing"
expect 2 'kv' mamba2-logits "$goldens/bamba" --ids 1 --kv int3 --out out.safetensors
finish
