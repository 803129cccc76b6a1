#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Weights that are kept for the next start.
# shellcheck source=tests/programs/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

story() { expect 0 '' generate "$model" "The sea" -n 12 --temperature 0 "$@"; }
files() { find "$1" -type f | wc -l; }

story
text=$(cat out)
story --cache-folder kept
same "$text"
[ "$(files kept)" -eq 1 ] || die "one file in the cache expected"
touch -d '2001-01-01' kept/*
story --cache-folder kept
same "$text"
[ "$(files kept)" -eq 1 ] || die "still one file expected"
[ -z "$(find kept -not -newermt 2002-01-01 -type f)" ] || die "it was not used"
story --cache-folder kept -w int4
[ "$(files kept)" -eq 2 ] || die "one file for each precision expected"

# The other programs find them.
expect 0 '' mamba2-logits "$model" --ids 1,5 -w int8 --cache-folder kept --out logits.safetensors
expect 0 '' mamba2-perplexity "$model" "$source/LICENSE" -w int4 --context 64 --windows 1 \
  --cache-folder kept
[ "$(files kept)" -eq 2 ] || die "no more files expected"

# Where the user's programs keep such things.
export XDG_CACHE_HOME=$PWD/xdg
story --cache
same "$text"
[ "$(files xdg/mamba2)" -eq 1 ] || die "XDG_CACHE_HOME is not used"
export XDG_CACHE_HOME=relative HOME=$PWD/home
story --cache
[ "$(files home/.cache/mamba2)" -eq 1 ] || die "HOME is not used"
unset XDG_CACHE_HOME HOME
expect 1 'neither XDG_CACHE_HOME nor HOME names a folder; --cache-folder does' \
  generate "$model" "The sea" --cache

# Nothing is lost where nothing can be kept.
: >file
expect 0 '^note: file/kept: cannot be made: ' generate "$model" "The sea" -n 12 --temperature 0 \
  --cache-folder file/kept
same "$text"
as bash -c 'trap "" XFSZ && ulimit -f 100 && "$@"' limit # as if the disk were full
expect 0 '^note: .*mamba2-cache: cannot be written: ' generate "$model" "The sea" -n 12 --temperature 0 \
  --cache-folder full
as_is
same "$text"
[ "$(files full)" -eq 0 ] || die "part of a file is left"
finish
