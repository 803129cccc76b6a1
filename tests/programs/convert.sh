#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Conversion: the same model, the same tokens.
# shellcheck source=tests/programs/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

last_logits "$model" last.safetensors
same_logits() {
  last_logits "$1" converted.safetensors
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
expect 1 'tokenizer.ggml.model must be "gpt2" or "llama", found "none"' generate again.gguf text
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
with_small_files
convert 1 'tales.gguf: cannot be written: the file would be too large' "$model" tales.gguf --force
convert 1 'other/model.safetensors: cannot be written' "$model" other
as_is
same_logits tales.gguf
[ -z "$(find . -name 'other*')" ] || die "a failed conversion left something"

# Nor is anything left after Ctrl-C.
start mamba2-convert --random mamba2-2.7b big.gguf --type q4_0
until_true writes './big.gguf.*.partial'
interrupted 130 "Ctrl-C, in a conversion"
[ -z "$(find . -name 'big*')" ] || die "Ctrl-C: the conversion left something"

finish
