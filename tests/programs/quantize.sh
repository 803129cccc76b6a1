#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Quantizing: what is loaded as it is is what loading would have made of the original.
# shellcheck source=tests/programs/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

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
quantize 0 . "$model" full --rotation full
expect 0 'out_proj.weight .* rotated by 768' mamba2-inspect full
expect 0 . generate full "${greedy[@]:2}"
quantize 0 . full full.packed --pack native
expect 0 . generate full.packed "${greedy[@]:2}"
expect 2 'must be usual or none' mamba2-quantize "$model" full.gguf --rotation full
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
for type in q8_0 q4_0; do convert 0 . "$model" "$type.gguf" --type "$type"; done
quantize 0 '^tales-int8.gguf: int8' "$shard" tales-int8.gguf --type int8
cmp q8_0.gguf tales-int8.gguf
quantize 0 '^tales-int4.gguf: int4, search' "$model" tales-int4.gguf
[ "$(wc -c <q4_0.gguf)" -eq "$(wc -c <tales-int4.gguf)" ] || die "tales-int4.gguf: the size"
expect 0 . generate tales-int4.gguf "${greedy[@]:2}"

# What is refused.
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
with_small_files
quantize 1 'other/model.safetensors: cannot be written: the file would be' "$model" other
as_is
[ -z "$(find . -name 'other*')" ] || die "a failed run of mamba2-quantize left something"

# Nor is anything left after Ctrl-C.
start mamba2-quantize "$model" half --gptq "$source/README.md"
until_true writes './half/*.partial'
interrupted 130 "Ctrl-C, while quantizing"
[ ! -e half ] || die "Ctrl-C: mamba2-quantize left something"

finish
