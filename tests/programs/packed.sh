#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Packing: what is used in place is what loading would have made.
# shellcheck source=tests/programs/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

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
quantize 0 . "$model" int4
quantize 0 '^int4.packed: mixed, packed for' int4 int4.packed --pack native
expect 0 'weights  mixed, ' generate int4.packed "The sea" -n 2 --stats
quantize 0 '^int4.packed: int4, packed for' int4 int4.packed --pack native --type int4 --force
of_packed int4 int4.packed
convert 0 . "$model" q4_0.gguf --type q4_0
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
[ -z "$(find . -name 'other*')" ] || die "a failed run of mamba2-quantize left something"

finish
