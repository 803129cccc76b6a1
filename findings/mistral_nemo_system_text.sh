#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The chat template of Mistral-Nemo-Instruct-2407 (as llama.cpp b11549 carries it for its tests, in the
# source of xllamacpp 2026.10.11549; Jinja2 3.1.6) forgets the system text as soon as a tool has answered:
# it writes it before a user's text that is the last of all messages, not before the last of the users'.
# The template that mistral-common 1.13.0 makes for the same version of the tokenizer (v3, tekken) has it
# before the last user's text, whatever follows.
#
# One would think that a conversation which grows keeps its system text, and that two templates for one
# model write the same. What a tool gives differs, too: Nemo's puts it into the JSON as it is, so that a
# text without quotes makes no JSON; mistral-common's quotes it.
#
# Seen: "SYSTEM" is in the first rendering while the question is last, and no more after the result.
# What helps: a form follows the template of its model, by the condition under which it writes the text.
# Needs python3-venv, and PyPI (38 MB). Exit status: 0 as described, 1 not so.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q jinja2==3.1.6 mistral-common==1.13.0
venv/bin/pip download -q --no-deps --no-binary :all: xllamacpp==2026.10.11549
tar -xzf xllamacpp-*.tar.gz --wildcards '*/mistralai-Mistral-Nemo-Instruct-2407.jinja' --strip-components 5
cat >render.py <<'END'
import json
import pathlib
import sys

import jinja2.sandbox
from mistral_common.integrations.chat_templates import template_generator as generator
from mistral_common.tokens.tokenizers.base import TokenizerVersion

environment = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
nemo = next(pathlib.Path().rglob("mistralai-Mistral-Nemo-*.jinja")).read_text()
common = generator.build_chat_template(generator.TemplateConfig(
    version=TokenizerVersion("v3"), use_special_token_variables=True))
call = {"id": "abcdefghi", "type": "function", "function": {"name": "f", "arguments": {}}}
talk = [{"role": "system", "content": "SYSTEM"}, {"role": "user", "content": "QUESTION"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "RESULT", "tool_call_id": "abcdefghi"}]
texts = [environment.from_string(template).render(messages=messages, bos_token="<s>",
                                                  eos_token="</s>")
         for template in (nemo, common) for messages in (talk[:2], talk)]
print("\n".join(map(repr, texts)))
as_described = ["SYSTEM" in text for text in texts] == [True, False, True, True]
sys.exit(0 if as_described and '"content": RESULT,' in texts[1] else 1)
END
venv/bin/python render.py
