#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Executors of an application's own, and a model inside a program: the same text.
# shellcheck source=tests/programs/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

expect 0 . generate "$model" "Once upon a time" -n 40 -t 0 --no-echo
text=$(cat out)
expect 0 'turns for the others, ' cooperative "$model"
same "$text"
if [ -x "$bin/openmp" ]; then
  expect 0 'threads of OpenMP' openmp "$model"
  same "$text"
fi
expect 0 . generate "$model" "The sea" -n 40 -t 0 -w int4 --state fp16
text=$(cat out)
mkdir nothing
(cd nothing && program embedded "The sea") >out 2>err || die "embedded"
same "$text"
(cd nothing && ! program hello) >out 2>err || die "hello, without its model: a failure expected"
[ ! -s out ] && [ "$(wc -l <err)" -eq 1 ] && grep -q '^examples/models/.*: no such' err ||
  die "hello, without its model: one line expected"

finish
