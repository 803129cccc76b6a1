#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# chat.sh SOURCE BIN WORK [EMULATOR...]: a conversation that is killed at any moment has lost no turn
# that it has shown the end of, and goes on as if nothing had happened.
set -euo pipefail
source=$1 bin=$2 work=$3
emulator=("${@:4}")
rm -rf "$work"
mkdir -p "$work"
cd "$work"

options=("$source/examples/models/llama-tales-14m" --threads 1 -n 12
  --template 'User: {user}\nAssistant:{assistant}\n' --system "A talk of a king and a child."
  --repetition-penalty 1.1)
lines=("What is your name?" "Where do you live?" "Who is the old man?" "Good night.")
chat() { "${emulator[@]}" "$bin/chat" "${options[@]}" "$@"; }
die() {
  echo "FAILED: $*" >&2
  exit 1
}
say() { printf '%s\n' "${lines[@]:$1:$2}"; } # the lines from $1 on, $2 of them

# What there is after each turn, when every turn is a program of its own, and when one has them all.
: >all.out
sizes=(0)
seed=(--seed 7)
for turn in 0 1 2 3; do
  say "$turn" 1 | chat --state each.state "${seed[@]}" >>all.out
  seed=() # it goes on with the random numbers of the state
  cp each.state "turn$((turn + 1)).state"
  sizes+=("$(wc -c <all.out)")
done
begin=$(date +%s%N)
say 0 4 | chat --state one.state --seed 7 >one.out
milliseconds=$((($(date +%s%N) - begin) / 1000000))
cmp one.out all.out || die "one program says another thing than four"
cmp one.state turn4.state || die "one program remembers another thing than four"
say 0 4 | chat --seed 7 --speculate lookup --speculate "${options[0]}" >drafts.out
cmp drafts.out all.out || die "with drafts it says another thing"

# after_kill: the turns that the state has, at least those that were shown to their end.
after_kill() {
  local turn shown=0
  head -c "$(wc -c <out)" all.out | cmp - out || die "another text before the kill"
  for turn in 1 2 3 4; do
    [ "$(wc -c <out)" -lt "${sizes[turn]}" ] || shown=$turn
  done
  if [ ! -e killed.state ]; then
    [ "$shown" -eq 0 ] || die "$shown turns were lost"
    echo 0
    return
  fi
  for turn in 1 2 3 4; do
    if cmp -s killed.state "turn$turn.state"; then
      [ "$turn" -ge "$shown" ] || die "turn $shown was lost"
      echo "$turn"
      return
    fi
  done
  die "the state is that of no turn"
}

say 0 4 >input
tries=12
[ ${#emulator[@]} -eq 0 ] || tries=3
found=""
for ((try = 0; try < tries; ++try)); do
  rm -f killed.state*
  : >out # there even if the kill comes before the program does
  "${emulator[@]}" "$bin/chat" "${options[@]}" --state killed.state --seed 7 <input >out 2>err &
  delay=$((try == 0 ? 0 : RANDOM % (milliseconds + 1)))
  sleep "$((delay / 1000)).$(printf %03d $((delay % 1000)))"
  kill -KILL "$!" 2>/dev/null || true
  wait "$!" 2>/dev/null || true
  turns=$(after_kill)
  found+=" $turns"
  [ "$turns" -gt 0 ] || seed=(--seed 7)
  say "$turns" 4 | chat --state killed.state "${seed[@]}" >rest.out
  seed=()
  tail -c "+$((sizes[turns] + 1))" all.out | cmp - rest.out || die "another text after the kill"
  cmp killed.state turn4.state || die "another state at the end"
done

# Killed while it writes: what stood there stands, and a file that was begun is no hindrance.
cp turn2.state killed.state
head -c 1000 turn3.state >killed.state.1-1.partial
say 2 2 | chat --state killed.state >rest.out
cmp killed.state turn4.state || die "another state beside a file that was begun"

# A file that cannot be a state is left alone.
cp "$source/LICENSE" other.state
status=0
say 0 1 | chat --state other.state >out 2>err || status=$?
[ "$status" -eq 1 ] || die "a file of another kind: exit status 1 expected, found $status"
grep -q 'expected a state file' err || die "a file of another kind: the reason expected"
cmp "$source/LICENSE" other.state
[ ! -s out ] || die "a file of another kind: an answer"

mkfifo typed
trap 'kill -KILL "$job" 2>/dev/null || true' EXIT
wait_for() { # CONDITION...
  for _ in $(seq 600); do
    ! "$@" || return 0
    sleep 0.1
  done
  die "waited in vain for: $*"
}
has_begun() { [ "$(wc -c <out)" -ge 40 ]; }

# Two programs talk with one file: the turns of both are kept.
begin_talk() { # OPTION...: a talk that lines come to by and by
  "${emulator[@]}" "$bin/chat" "$@" --state talk.state >out 2>err <typed &
  job=$!
  exec 3>typed
}
end_talk() { # FILE: the turn that it is at finds another's file, and goes to this one
  status=0
  wait "$job" || status=$?
  exec 3>&-
  [ "$status" -eq 1 ] || die "a file of two programs: exit status 1 expected, found $status"
  grep -q "^chat: talk.state: is not replaced: .*; what was to be saved is in $1\$" err ||
    die "a file of two programs: the reason expected"
  cmp talk.state other.state || die "a file of two programs: the turn of the other is lost"
}
has_answered() { [ "$(wc -c <out)" -ge "${sizes[1]}" ]; }
begin_talk "${options[@]}" --seed 7
say 0 1 >&3
wait_for has_answered
say 3 1 | chat --state talk.state >other.out
cp talk.state other.state
say 1 1 >&3
end_talk talk.state.1
cmp talk.state.1 turn2.state || die "a file of two programs: the turn of this one is lost"

# The same where there is no file when it begins, and talk.state.1 is somebody's.
endless=("${options[0]}" --threads 1 -t 0 -n 1000000)
rm talk.state
begin_talk "${endless[@]}"
say 0 1 >&3
wait_for has_begun
cp turn3.state talk.state
cp turn3.state other.state
kill -INT "$job"
end_talk talk.state.2
cmp talk.state.1 turn2.state || die "a name that is taken"
say 1 1 | chat --state talk.state.2 >out || die "the turn of a file that was not there: $?"

# Ctrl-C stops the answer, and at the next line the program. What was shown of the answer counts.
"${emulator[@]}" "$bin/chat" "${endless[@]}" --state stopped.state >out 2>err <typed &
job=$!
exec 3>typed
say 0 1 >&3
has_ended() { [ "$(tail -c 1 out | od -An -c | tr -d ' ')" = '\n' ] && [ -e stopped.state ]; }
wait_for has_begun
kill -INT "$job"
wait_for has_ended
kill -INT "$job"
status=0
wait "$job" || status=$?
exec 3>&-
[ "$status" -eq 130 ] || die "Ctrl-C: exit status 130 expected, found $status"
say 1 1 | chat --state stopped.state >out || die "after Ctrl-C: $?"

echo "turns found after ${tries} kills within ${milliseconds} ms:$found"
