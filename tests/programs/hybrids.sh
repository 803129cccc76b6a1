#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Models with attention and MLPs: what the programs do with them, and what they refuse.
# shellcheck source=tests/programs/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
goldens=$source/tests/golden/hybrids

logits() { expect 0 '' mamba2-logits "$1" --ids 5,1,9,2,7 --all -w "$2" --out "$3.safetensors" "${@:4}"; }
for name in granite_dense granite_moe bamba nemotron_dense nemotron_moe falcon_h1 lfm2 lfm2_moe zamba2 mamba2attn_mlp; do
  hybrid=$goldens/$name
  expect 0 'pattern +"[MHC*][-ES]' mamba2-inspect "$hybrid"
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
  convert 0 "^$name-hf/model.safetensors: BF16" "$hybrid" "$name-hf"
  logits "$hybrid" fp32 original
  logits "$name-hf" fp32 converted
  cmp original.safetensors converted.safetensors || die "$name-hf: the logits"
done
for name in bamba mamba2attn_mlp; do
  convert 1 'attention.(rotary_emb_dim|head_dim) must be .* in a GGUF file' "$goldens/$name" out.gguf
done
convert 1 'the layers must be of kinds that llama.cpp has in a GGUF file, found shared blocks' "$goldens/zamba2" out.gguf
convert 1 'attention.d_conv must be 0' "$goldens/mamba2attn" out.gguf
convert 1 'attention.d_conv must be 0' "$goldens/mamba2attn" out-hf
[ ! -e out.gguf ] && [ ! -e out-hf ] || die "half a model is left"

# What a model is, what it needs and how it is run.
said() { # MODEL FAMILY LAYERS
  expect 0 "^$1: $2, [0-9.]+ M parameters" mamba2-inspect "$1" --json report.json
  grep -q "^  layers     $3\$" out || die "$1: layers: $3"
  grep -q "\"family\": \"$2\"" report.json || die "report.json: $2"
  grep -qE '^  memory     [0-9.]+ MB with -w (int8|mixed), which generate takes' out || die "$1: memory"
  grep -q '^  texts      ' out || die "$1: texts"
  grep -qE '^  to run     generate ' out || die "$1: how to run it"
}
said "$goldens/granite_moe" 'Granite 4.0' '2 Mamba-2, 1 attention, 3 experts (2 of 5 for a token and one for all)'
said "$goldens/bamba" Bamba '3 Mamba-2, 1 attention, 4 MLP'
said "$goldens/nemotron_dense" Nemotron-H '2 Mamba-2, 1 attention, 2 MLP'
said "$goldens/falcon_h1" Falcon-H1 '2 Mamba-2 beside attention, 2 MLP'
said "$goldens/lfm2_moe" LFM2 '3 short convolution, 1 attention, 1 MLP, 3 experts (2 of 5 for a token)'
said "$goldens/zamba2" Zamba2 '1 Mamba-2, 3 Mamba-2 behind one of 2 shared blocks of attention and an MLP'
said "$goldens/mamba2attn" 'Mamba-2 and attention' '2 Mamba-2, 2 attention'
said "$model" Mamba-2 '12 Mamba-2'
said "$source/tests/golden/bitmamba/d96" BitMamba-2 '3 ternary Mamba-2'
for name in granite-q8_0:'Granite 4.0 or Bamba' nemotron-q8_0:Nemotron-H falcon-norm-q8_0:Falcon-H1 lfm2-q8_0:LFM2; do
  file=$source/tests/golden/hybrids_gguf/${name%%:*}/model.gguf
  expect 0 "^$file: ${name#*:}, " mamba2-inspect "$file"
  grep -qF "  to run     generate $file \"Once upon a time\"" out || die "$file: how to run it"
done
expect 0 "^  tokenizer  none: .*tokenizer.json: cannot open" mamba2-inspect "$goldens/lfm2"
expect 0 'd_conv +3' mamba2-inspect "$goldens/lfm2"
grep -q d_inner out && die "lfm2: sizes of layers that it has not"

# Rows of queries and keys, in llama.cpp's order in GGUF, are quantized as in any other.
turning=$source/tests/golden/hybrids_gguf/bamba-q8_0/model.gguf
convert 0 '^turning/model.safetensors: F16' "$turning" turning --no-tokenizer
quantize 0 '^from-folder.gguf: int4' turning from-folder.gguf --type int4
convert 0 '^turning.gguf: F32' turning turning.gguf --type f32 --no-tokenizer
quantize 0 '^from-gguf.gguf: int4' turning.gguf from-gguf.gguf --type int4
logits from-folder.gguf mixed from-folder
logits from-gguf.gguf mixed from-gguf
cmp from-folder.safetensors from-gguf.safetensors || die "rows of queries and keys"
expect 0 'mlp.activation +"geglu"' mamba2-inspect "$goldens/zamba2"
expect 0 'short_conv.d_conv +3' mamba2-inspect "$goldens/lfm2"
convert 0 '^lfm2.gguf: BF16' "$goldens/lfm2" lfm2.gguf
logits "$goldens/lfm2" fp32 original
logits lfm2.gguf fp32 converted
cmp original.safetensors converted.safetensors || die "lfm2.gguf: the logits"
# Falcon-H1's factors are in the scales of the codes there.
quantize 0 '^falcon.gguf: int4' "$goldens/falcon_h1" falcon.gguf --type int4
expect 0 'pattern +"H-' mamba2-inspect falcon.gguf
logits falcon.gguf mixed falcon
convert 0 '^falcon-f32.gguf: F32' "$goldens/falcon_h1" falcon-f32.gguf --type f32
logits falcon-f32.gguf fp32 falcon
convert 0 '^random.gguf: Q4_0, 2[0-9][0-9]' --random granite-4.0-h-350m random.gguf -t q4_0
logits random.gguf mixed random
# Experts are one tensor in GGUF.
for name in granite_moe nemotron_moe; do
  expect 0 'parameters, 0.[0-9][0-9] M of them for a token' mamba2-inspect "$goldens/$name"
  expect 0 'layers.\*.moe.experts.\*.up_proj.weight' mamba2-inspect "$goldens/$name"
  convert 0 "^$name.gguf: F32" "$goldens/$name" "$name.gguf" --type f32
  logits "$goldens/$name" fp32 original
  logits "$name.gguf" fp32 converted
  quantize 0 "^$name-int4.gguf: int4" "$goldens/$name" "$name-int4.gguf" --type int4
  logits "$name-int4.gguf" mixed quantized
done
quantize 1 'ffn_up_exps.weight: all matrices must be ' "$goldens/granite_moe" out.gguf --type int8 \
  --keep layers.1.moe.experts.2.up_proj=fp16
logits "$goldens/bamba" fp32 fp16 --kv fp16
logits "$goldens/bamba" fp32 fp32 --kv fp32
cmp -s fp16.safetensors fp32.safetensors && die "--kv changes nothing"
expect 2 'kv' mamba2-logits "$goldens/bamba" --ids 1 --kv int3 --out out.safetensors
finish
