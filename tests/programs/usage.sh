#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Help, usage and wrong input.
# shellcheck source=tests/programs/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

for name in generate chat mamba2-inspect mamba2-logits mamba2-perplexity mamba2-eval mamba2-convert \
  mamba2-quantize mamba2-bench; do
  expect 0 'Exit status' "$name" --help
  expect 2 . "$name"
  expect 2 . "$name" "$model" --no-such-option
done
expect 2 'ids|text' mamba2-logits "$model" --out x
expect 2 . mamba2-logits "$model" --ids 1,x --out x
expect 2 . generate "$model" text --max-tokens -5
expect 2 . generate "$model" text --weights int3
expect 2 'whole number' mamba2-logits "$model" --ids "" --out x.safetensors
expect 2 'whole number' generate "$model" "The sea" -n -1
expect 2 'whole number' generate "$model" "The sea" --seed 99999999999999999999
expect 2 'excludes' generate "$model" "The sea" --file prompt.txt
expect 2 'requires' mamba2-perplexity "$model" text.txt --reference-weights int8
expect 1 'threads' generate "$model" text --threads 5000
expect 2 . mamba2-bench --random mamba2-3t
# An option with a list takes one argument: the model may follow.
expect 0 '' mamba2-logits --ids 1,5 "$model" --out ids.safetensors
cpu=$(sed -n 's/^Cpus_allowed_list:[[:space:]]*\([0-9]*\).*/\1/p' /proc/self/status)
expect 0 . generate --cpus "$cpu" -n 1 "$model" "The sea"
expect 0 . generate --cpus "$cpu-$cpu,$cpu" -n 1 "$model" "The sea"
expect 1 'cannot use CPU 8191: this thread may use ' generate --cpus 8191 "$model" "The sea"
expect 2 'cpus: expected a list of CPUs like 0-3,8, found .4-' generate --cpus 4- "$model" "The sea"
expect 2 'cpus: expected a list of CPUs' mamba2-bench "$model" --cpus x

# Wrong input.
expect 1 'no-such-folder' generate no-such-folder text
expect 1 '^generate: the prompt is empty' generate "$model" ""
expect 2 'temperature' generate "$model" text -t -1
expect 1 'missing.txt' generate "$model" --file missing.txt
expect 1 '\.: cannot be read: Is a directory' generate "$model" --file .
expect 1 'more than 256 MiB' generate "$model" --file /dev/zero
expect 1 'token 1 must be in 0..8191, found 8192' mamba2-logits "$model" --ids 1,8192 --out x
expect 1 'no-such-folder/x' mamba2-logits "$model" --ids 1 --out no-such-folder/x
expect 1 'text.txt: must have at least' mamba2-perplexity "$model" text.txt --context 100000

finish
