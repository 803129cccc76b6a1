#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A head of its own, though the config ties it to the embedding: every program keeps it.
# shellcheck source=tests/programs/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

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
last_logits "$model" last.safetensors
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

finish
