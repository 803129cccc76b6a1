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
# One with a template has conversations in its form, and says which that is.
mkdir assistant
ln -s "$model"/config.json "$model"/*.safetensors* "$model"/tokenizer.json assistant/
template() { # NAME TEXT: the model's own
  printf '{"chat_template": "%s"}' "$2" >assistant/tokenizer_config.json
}
chatml='{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}'
chatml+='{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}'
template chatml "$chatml"
talker=assistant talk $'Who are you?\n\nWhere?' -n 6
said=$(cat out)
[ "$(grep -c 'has the form chatml' err)" -eq 1 ] || die "chat: one note expected"
for by_hand in chatml '<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n{assistant}<|im_end|>\n'; do
  talk $'Who are you?\n\nWhere?' -n 6 --template "$by_hand"
  same "$said"
  [ ! -s err ] || die "chat: nothing to say of a template that was given"
done
talk $'Who are you?\n\nWhere?' -n 6 --template plain
same "$talked"
# The conversation is the same whether one program has it or two.
printf 'Who are you?\n' | program chat assistant -n 6 -t 0 --threads 1 --state two.state >out 2>err
printf 'Where?\n' | program chat assistant -n 6 -t 0 --threads 1 --state two.state >>out 2>err
same "$said"
# What the form does not have is refused, and so is a form that is not known.
expect 1 'thinking: the chat template has no choice of it' chat "$model" --template chatml --thinking off
expect 1 'tools: the chat template has no words for tools' chat "$model" --template chatml --tools "$source/LICENSE"
expect 1 'tools: expected JSON' chat "$model" --template lfm2 --tools "$source/LICENSE"
expect 2 'thinking' chat "$model" --template nemotron-3 --thinking maybe
template other '{{ messages }}'
expect 1 'forms granite, .*, plain, found one that writes something else; --template chooses one' chat assistant
talker=assistant talk "Who are you?" -n 6 --template chatml # any form can be chosen all the same
printf '{' >assistant/tokenizer_config.json
expect 1 'assistant/tokenizer_config.json: line 1: expected JSON' chat assistant

finish
