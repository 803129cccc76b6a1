#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares how conversations are written down with what Jinja2 makes of the same chat templates, set
up as transformers' apply_chat_template sets it up: the same text, for every conversation.

  python3 tests/referee_chat.py BIN [--templates DIR]

The templates are some in the shapes that the families' have, written for this test (chat_shapes.py);
those that the package mistral-common writes, where it is there; and the *.jinja in DIR, of which
those that are taken for a form must be written right. Exits 0 if nothing differs, 1 if something
does, 77 if a package is not there. BIN is the folder of the programs.
"""
import argparse
import datetime
import json
import pathlib
import random
import subprocess
import sys

try:
    import jinja2
    import jinja2.ext
    import jinja2.sandbox
except ImportError as missing:
    print(f"{missing.name}-missing")
    sys.exit(77)

import chat_shapes

TODAY = datetime.date(2026, 3, 7)
TEXTS = ["Hello", "", " leading", "trailing \n", "\n\nlines\n\n", "caf\u00e9 \u4e2d\u6587 \U0001F600",
         "\u00a0\u3000wide\u2003", "a<|im_end|>b<|eot_id|>[/INST]</s>", "quote \" and ' and \\ back",
         "{{ braces }} {% if %}", "tab\there\x0b\x0c\x1f", "<b>&amp;</b>", "/think or not",
         "/no_think please", "x </think> y", "7", "1.5", "-0", "1e3", "007", "1e16", "\x7f\u2028"]
TOOLS = [
    {"type": "function", "function": {
        "name": "get_weather", "description": " The weather of \"now\" in a caf\u00e9.\n",
        "parameters": {"type": "object", "properties": {
            "place": {"type": "string", "description": "where <it> is "},
            "days": {"type": ["integer", "null"], "minimum": 1, "default": 1.50},
            "unit": {"type": "string", "enum": ["C", "it's", None, True, 2]}},
            "required": ["place"], "additionalProperties": False, "x": {"b": 1, "a": [1, {}]}}}},
    {"type": "function", "function": {
        "name": "stop", "description": "Stops.", "parameters": {"type": "object",
                                                                "properties": {}}}}]
ARGUMENTS = [{}, {"place": "Z\u00fcrich \"x\"\n", "days": 2},
             {"a": [1, 2.0, None, True, "s'"], "b": {"k": "v", "j": []}, "c": False, "d": None,
              "e": 1e-7, "f": 123456789012345678901234567890, "g": 1e22}]


class Generation(jinja2.ext.Extension):
    """{% generation %}, which transformers knows, changes nothing of the text."""
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.Scope(body, lineno=line)


def to_json(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                      sort_keys=sort_keys)


def refuse(message):
    raise jinja2.exceptions.TemplateError(message)


def environment():
    env = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"])
    env.filters["tojson"] = to_json
    env.globals |= {"raise_exception": refuse, "strftime_now": TODAY.strftime}
    return env


ENVIRONMENT = environment()


def conversations(rng):
    """Messages as referee_chat takes them, with and without tools."""
    def text():
        return rng.choice(TEXTS)

    def call():
        return {"name": rng.choice(["get_weather", "stop"]),
                "arguments": json.dumps(rng.choice(ARGUMENTS), ensure_ascii=False),
                "id": rng.choice(["abcdefghi", "123456789"])}

    for system in (False, True):
        for turns in (1, 2, 3):
            for tools in (False, True):
                for thinks in (False, True):
                    for _ in range(6):
                        messages = [{"role": "system", "text": text()}] if system else []
                        for turn in range(turns):
                            messages.append({"role": "user", "text": text()})
                            results = 0
                            if tools and rng.random() < 0.6:
                                results = rng.choice([1, 1, 2])
                                calls = [call() for _ in range(results)]
                                messages.append({"role": "assistant", "calls": calls,
                                                 "text": rng.choice(["", "", text()]),
                                                 "thinking": text() if thinks else ""})
                                messages += [{"role": "tool", "text": text(),
                                              "call_id": c["id"]} for c in calls]
                            if turn + 1 < turns or rng.random() < 0.2:
                                answer = text()
                                messages.append({"role": "assistant", "text": answer,
                                                 "thinking": text() if thinks else ""})
                        yield messages, TOOLS if tools else None


def theirs(messages, name, style):
    """The messages as the template of a form wants them."""
    out = []
    for message in messages:
        item = {"role": message["role"], "content": message["text"]}
        thinking = message.get("thinking", "")
        if thinking and name == "nemotron-3":
            item["reasoning_content"] = thinking
        elif thinking and name == "lfm2.5" and style == "calls":
            item["thinking"] = thinking
        elif thinking and name in ("nemotron-nano-v2", "lfm2.5", "lfm2"):
            item["content"] = f"<think>{thinking}</think>{message['text']}"
        if message.get("calls"):
            item["tool_calls"] = [
                {"type": "function", "id": call["id"], "function": {
                    "name": call["name"], "arguments": json.loads(call["arguments"])}}
                for call in message["calls"]]
        if message["role"] == "tool":
            item["tool_call_id"] = message["call_id"]
        out.append(item)
    return out


class Program:
    """mamba2's answers."""

    def __init__(self, path):
        self.path = path

    def ask(self, requests):
        data = "".join(json.dumps(request) + "\n" for request in requests)
        answer = subprocess.run([self.path], input=data.encode(), check=True,
                                stdout=subprocess.PIPE).stdout
        return [json.loads(line) for line in answer.decode().split("\n")[:-1]]


def expected(template, messages, tools, name, style, thinking, to_answer):
    """Jinja's text; None: it refuses the conversation."""
    values = {"messages": theirs(messages, name, style), "add_generation_prompt": to_answer,
              "bos_token": "<s>", "eos_token": "</s>", "enable_thinking": thinking}
    if tools:
        values["tools"] = tools
    try:
        return template.render(**values)
    except (jinja2.exceptions.TemplateError, TypeError, KeyError):
        return None


def compare(program, place, source, rng):
    """Prints a line; returns how many conversations were compared, none if the template is not known,
    and how many texts differ."""
    style = "calls" if "render_tool_calls" in source or "calls(" in source else ""
    base = {"template": source, "bos": "<s>", "eos": "</s>",
            "date": [TODAY.year, TODAY.month, TODAY.day]}
    first = program.ask([base | {"messages": [{"role": "user", "text": "Hello"}]}])[0]
    if "name" not in first:
        print(f"  {place}: not known")
        return 0, 0
    name = first["name"]
    template = ENVIRONMENT.from_string(source)
    cases = []
    for messages, tools in conversations(rng):
        if name in ("lfm2", "falcon-h1") or (name == "lfm2.5" and not style):
            for message in messages:
                message.pop("calls", None)  # the template has them in the text
        for thinking in (True, False):
            to_answer = messages[-1]["role"] != "assistant"
            if name == "nemotron-nano-v2" and not thinking:
                continue  # the template has no variable for it
            request = base | {"messages": messages, "thinking": thinking, "to_answer": to_answer}
            if tools:
                request["tools"] = json.dumps(tools, ensure_ascii=False)
            cases.append((request, expected(template, messages, tools, name, style, thinking,
                                            to_answer)))
    differing = refused = 0
    for (request, right), answer in zip(cases, program.ask([case[0] for case in cases])):
        if "error" in answer:
            refused += 1
        elif right is None:
            refused += 1  # its texts make no sense for it, and ours are none it could have
        elif answer["text"] != right:
            differing += 1
            if differing <= 2:
                print(f"    {json.dumps(request['messages'])}\n    mamba2 {answer['text']!r}\n"
                      f"    Jinja2 {right!r}")
    print(f"  {place}: {name}, {len(cases) - refused} conversations, {differing} differences, "
          f"{refused} not written")
    return len(cases) - refused, differing


def mistral_templates():
    """What mistral-common writes."""
    try:
        from mistral_common.integrations.chat_templates import template_generator as generator
        from mistral_common.tokens.tokenizers.base import TokenizerVersion
    except ImportError:
        print("  mistral-common is not there")
        return
    for version, spm in (("v1", True), ("v3", True), ("v3", False), ("v7", True), ("v7", False),
                         ("v11", False)):
        config = generator.TemplateConfig(version=TokenizerVersion(version), spm=spm,
                                          use_special_token_variables=True)
        yield f"mistral-common {version}{'' if spm else ' tekken'}", \
            generator.build_chat_template(config)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bin", type=pathlib.Path)
    parser.add_argument("--templates", type=pathlib.Path)
    arguments = parser.parse_args()
    program = Program(arguments.bin / "referee_chat")
    rng = random.Random(20)
    failed = known = compared = 0
    required = [*chat_shapes.SHAPES.items(), *mistral_templates()]
    for place, source in required:
        count, differing = compare(program, place, source, rng)
        failed += differing + (0 if count else 1)
        known += count > 0
        compared += count
    for path in sorted(arguments.templates.glob("*.jinja")) if arguments.templates else []:
        count, differing = compare(program, path.name, path.read_text(encoding="utf-8"), rng)
        failed += differing
        known += count > 0
        compared += count
    print(f"{known} templates known, {compared} conversations"
          f"{', not all right' if failed else ''}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
