#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# States that generate saves and goes on from.
# shellcheck source=tests/programs/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

state() { expect "$1" "$2" generate "$model" -w int8 "${@:3}"; }
state 0 . "The sea" -n 12 --seed 5 --repetition-penalty 1.2
whole=$(cat out)
state 0 . "The sea" -n 5 --seed 5 --repetition-penalty 1.2 --save-state sea.state
first=$(cat out)
state 0 'seed     as saved' --load-state sea.state -n 7 --threads 2 --save-state sea.2 --stats
same "${whole#"$first"}"
state 0 'seed     3' --load-state sea.state -n 2 --seed 3 --stats
state 0 '^ and then' " and then" --load-state sea.state -n 2 -t 0
state 1 'sea.state: the precision of the state must be fp16' --load-state sea.state --state fp16
expect 1 'sea.state: the weights .* must be int4, found "int8"' \
  generate "$model" --load-state sea.state -w int4
head -c 100000 sea.2 >cut.state
state 1 'cut.state: must have [0-9]+ bytes, found 100000' --load-state cut.state
state 1 'prompt.txt: expected a state file' --load-state prompt.txt
state 1 'missing.state: cannot open' --load-state missing.state
state 1 'no-such/x.state: cannot be written' text --save-state no-such/x.state
# Two programs go on from one file: what the other has saved stays, and nothing of this one is lost.
cp sea.state shared.state
start generate "$model" -w int8 --load-state shared.state --save-state shared.state \
  -n 100000000 --ignore-eos
until_true test -s out
cp sea.2 shared.state
interrupted 1 "a state that another program has changed"
grep -q 'shared.state: is not replaced: another program .*; what was to be saved is in shared.state.1$' err ||
  die "a state that another program has changed: the reason expected"
cmp sea.2 shared.state || die "a state that another program has changed: it is lost"
# (Where it was interrupted decides what comes next: the end of the text or a blank line, too.)
state 0 'seed     as saved' --load-state shared.state.1 -n 2 --stats
state 0 . --load-state shared.state -n 2 --save-state shared.state.1
state 0 . --load-state shared.state -n 2 --save-state shared.state
[ ! -e shared.state.2 ] || die "a state of its own is not replaced"

finish
