#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What the programs measure and write of a model.
# shellcheck source=tests/programs/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

expect 0 '14\.48 M parameters' mamba2-inspect "$model" --json report.json
grep -q '"parameters": 14476080' report.json || die "report.json: the parameters"
grep -q '"bytes": 6291456' report.json || die "report.json: the embedding's bytes"
expect 0 '' mamba2-logits "$model" --ids 1,5,9 --all --out three.safetensors
grep -aq '"logits":{"dtype":"F32","shape":\[3,8192\]' three.safetensors || die "header"
expect 0 'perplexity [0-9.]+ \+- ' mamba2-perplexity "$model" text.txt --context 64 --json p.json
grep -q '"perplexity": ' p.json || die "p.json: the perplexity"
expect 0 'same most likely token [0-9.]+ %' mamba2-perplexity --context 16 --windows 1 -w int8 \
  --state fp16 --batch 1 --reference "$model" --json p.json "$model" text.txt
grep -q '"kl_mean": ' p.json || die "p.json: the divergence"
expect 0 'of a word [0-9.]+, of a byte [0-9.]+; [0-9]+ words, 1500 bytes' mamba2-perplexity --rolling \
  --context 100 "$model" text.txt --json p.json
grep -q '"word_perplexity": ' p.json || die "p.json: the words"
expect 2 'excludes' mamba2-perplexity "$model" text.txt --rolling --windows 3
: >empty.txt
expect 1 'empty.txt: must have at least 2 tokens, found ' mamba2-perplexity --rolling "$model" empty.txt

# What is no file is written to, and stays what it is.
ln -s target.json link.json
expect 0 . mamba2-inspect "$model" --json link.json
[ -L link.json ] && grep -q '"d_model": 384' target.json || die "link.json: not followed"
if [ -c /dev/full ]; then
  expect 1 'cannot be written' mamba2-logits "$model" --ids 1 --out /dev/full
  [ -c /dev/full ] || die "/dev/full: replaced"
fi

# Speeds.
expect 0 'int8 +1 +decode' mamba2-bench "$model" --threads 1 --decode 4 --prefill 16 --repeat 1 \
  --json bench.json
grep -q '"phase": "prefill"' bench.json || die "bench.json: the rows"
grep -q '"load_s": [0-9]' bench.json || die "bench.json: the time of loading"
for key in model weights threads tokens_per_s bytes_per_token gb_per_s gop_per_s roof_gb_per_s \
  roof_gop_per_s share peak_rss_bytes; do
  grep -q "\"$key\": " bench.json || die "bench.json: $key"
done

finish
