#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Conversations, with and without a template.
# shellcheck source=tests/programs/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usual='User: {user}\nAssistant:{assistant}\n'
talk $'Who are you?\n\nWhere?' -n 6 --template "$usual"
[ "$(wc -l <out)" -ge 2 ] || die "chat: two answers expected"
[ ! -s err ] || die "chat: nothing to say of a template that was given"
talked=$(cat out)
talk "Once" -n 40 --template 'The {user} upon a{assistant}\n' --state talk.state --stop ' village'
stopped=$(wc -c <out)
talk "Once" -n 40 --template 'The {user} upon a{assistant}\n'
[ "$stopped" -lt "$(wc -c <out)" ] || die "chat: --stop"
talk "Once" -n 40 --template 'The {user} upon a{assistant} time\n'
[ "$(cat out)" = "" ] || die "chat: an answer ends at what follows it in the template"
expect 2 'template: must have' chat "$model" --template 'User: {user}'
expect 2 'temperature' chat "$model" -t -1
expect 1 'no-such/x.state: cannot be written' chat "$model" --state no-such/x.state
expect 0 '' chat "$model" # no line at all
# A model without a chat template goes on with what is typed.
expect 0 . generate "$model" "Once upon a time" -t 0 -n 6 -w fp32 --no-echo --threads 1
answer=$(cat out)
expect 0 . generate "$model" "Once upon a time$answer The king said" -t 0 -n 6 -w fp32 --no-echo
talk_on=$answer$'\n'$(cat out)
for line in "The king said" " The king said"; do # the sentence has not ended
  talk $'Once upon a time\n'"$line" -n 6 -w fp32
  same "$talk_on"
done
[ "$(grep -c 'brings no chat template' err)" -eq 1 ] || die "chat: one note expected"
talk "Once upon a time" -w fp32 # without a length a sentence ends, and then a paragraph
answer=$(cat out)
[[ $answer =~ [.!?\"]$ ]] || die "chat: the end of a sentence expected"
expect 0 . generate "$model" $'Once upon a time'"$answer"$'\n\nThe king said' -t 0 -n 6 -w fp32 --no-echo
talk_on=$answer$'\n'$(cat out)
printf 'Once upon a time\n' | program chat "$model" -t 0 -w fp32 --state tale.state >out 2>err
printf 'The king said\n' | program chat "$model" -n 6 -w fp32 --state tale.state >>out 2>err
same "$talk_on"
# One with a template has conversations, in another form than its own, and is told of that.
mkdir assistant
ln -s "$model"/config.json "$model"/*.safetensors* "$model"/tokenizer.json assistant/
echo '{"chat_template": "{{ messages }}"}' >assistant/tokenizer_config.json
talker=assistant talk $'Who are you?\n\nWhere?' -n 6
same "$talked"
[ "$(grep -c 'is not applied' err)" -eq 1 ] || die "chat: one note expected"
printf '{' >assistant/tokenizer_config.json
expect 1 'assistant/tokenizer_config.json: line 1: expected JSON' chat assistant

finish
