#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Texts that keep to random JSON schemas, drawn with random logits: the `jsonschema` package must find
each of them valid, and each must end within the tokens it may take.

  python3 tests/referee_json_schema.py BIN [--schemas N] [--seed S] [--tokenizer PATH]

Exits 0 if all are, 1 if one is not, 77 if the package is not there. BIN is the folder of the programs.
Half of the schemas are asked for texts of the shortest possible length, or little more.
"""
import argparse
import json
import pathlib
import random
import re
import subprocess
import sys

try:
    from jsonschema import Draft202012Validator
except ImportError:
    print("jsonschema-missing")
    sys.exit(77)

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODEL = ROOT / "examples/models/llama-tales-14m"
WORDS = ["on", "off", "lamp", "Küche", "living room", "a\"b", "back\\slash", "日本", "😀", "tab\t",
         "n", "no", "none", "", "x/y", "0", "temperature", "temp", "über"]


class Schemas:
    """Random schemas."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def chance(self, p):
        return self.random.random() < p

    def value(self, depth=2):
        r = self.random
        kinds = [lambda: r.choice(WORDS), lambda: r.randint(-1000, 1000), lambda: None,
                 lambda: r.choice([True, False]), lambda: round(r.uniform(-9, 9), 3)]
        if depth > 0:
            kinds += [lambda: [self.value(depth - 1) for _ in range(r.randint(0, 3))],
                      lambda: {r.choice(WORDS): self.value(depth - 1) for _ in range(2)}]
        return r.choice(kinds)()

    def number(self):
        r = self.random
        schema = {"type": r.choice(["integer", "number"])}
        whole = schema["type"] == "integer" or self.chance(0.3)
        scale = r.choice([1, 10, 1000, 10**6, 10**8])
        low = r.randint(-scale, scale) if whole else round(r.uniform(-scale, scale), r.randint(0, 5))
        high = low + (r.randint(2, scale + 2) if whole else abs(round(r.uniform(0.01, scale), 4)) + 1)
        if self.chance(0.7):
            schema[r.choice(["minimum", "exclusiveMinimum"])] = low
        if self.chance(0.7):
            schema[r.choice(["maximum", "exclusiveMaximum"])] = high
        return schema

    def string(self):
        schema = {"type": "string"}
        least = self.random.randint(0, 6)
        if self.chance(0.4):
            schema["minLength"] = least
        if self.chance(0.5):
            schema["maxLength"] = least + self.random.randint(0, 20)
        return schema

    def array(self, depth):
        schema = {"type": "array", "items": self.schema(depth - 1)}
        least = self.random.randint(0, 3)
        if self.chance(0.5):
            schema["minItems"] = least
        if self.chance(0.5):
            schema["maxItems"] = least + self.random.randint(0, 4)
        return schema

    def object(self, depth):
        r = self.random
        if self.chance(0.15):
            schema = {"type": "object"}
            if self.chance(0.6):
                schema["additionalProperties"] = self.schema(depth - 1)
            return schema
        names = r.sample([w for w in WORDS if w], r.randint(1, 6))
        schema = {"type": "object", "properties": {n: self.schema(depth - 1) for n in names}}
        if self.chance(0.8):
            schema["required"] = [n for n in names if self.chance(0.6)]
        if self.chance(0.5):
            schema["additionalProperties"] = self.chance(0.3)
        return schema

    def schema(self, depth):
        r = self.random
        kinds = [self.number, self.string, lambda: {"type": "boolean"}, lambda: {"type": "null"},
                 lambda: {"enum": [self.value() for _ in range(r.randint(1, 6))]},
                 lambda: {"const": self.value()}, lambda: {"type": ["string", "null"]},
                 lambda: True]
        if depth > 0:
            kinds += [lambda: self.array(depth), lambda: self.object(depth)] * 4
            kinds += [lambda: {"anyOf": [self.schema(depth - 1) for _ in range(r.randint(1, 4))]}] * 2
            kinds += [lambda: {"$ref": "#/$defs/" + r.choice("ab")}]
        return r.choice(kinds)()

    def document(self):
        schema = self.schema(4)
        if not isinstance(schema, dict):
            schema = {"anyOf": [schema]}
        # Recursion that can end: behind what may be missing, or be something else.
        schema["$defs"] = {
            "a": {"type": "object", "properties": {"v": self.schema(0), "next": {"$ref": "#/$defs/b"}},
                  "required": ["v"]},
            "b": {"anyOf": [{"type": "array", "items": {"$ref": "#/$defs/a"}, "maxItems": 3},
                            {"type": "null"}, self.schema(0)]}}
        return schema


def check(schema, answer, limit):
    for text in answer["texts"]:
        assert "\n" not in text, text
        value = json.loads(text)
        errors = list(Draft202012Validator(schema).iter_errors(value))
        assert not errors, (text, errors[0].message)
        names = list(schema.get("properties", {}))
        if names and isinstance(value, dict):
            assert list(value) == [n for n in names if n in value], text
    assert answer["shortest"] <= limit


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bin", type=pathlib.Path)
    parser.add_argument("--schemas", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tokenizer", type=pathlib.Path, default=MODEL)
    a = parser.parse_args()
    program = subprocess.Popen([a.bin / "referee_json_schema", a.tokenizer, str(a.seed)], text=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(**line):
        program.stdin.write(json.dumps(line) + "\n")
        program.stdin.flush()
        answer = program.stdout.readline()
        assert answer, "the program has ended: " + json.dumps(line)
        return json.loads(answer)

    schemas = Schemas(a.seed)
    texts = tight = refused = 0
    slowest = 0.0
    for number in range(a.schemas):
        schema = schemas.document()
        limit = schemas.random.randint(20, 200)
        bias = schemas.random.choice([0, 0, 3, 6])
        answer = ask(schema=schema, max_tokens=limit, texts=3, bias=bias)
        if "error" in answer:
            shortest = re.search(r"shortest text takes (\d+) tokens", answer["error"])
            if not shortest:
                assert "no integer" in answer["error"] or "no number" in answer["error"], (schema, answer)
                refused += 1
                continue
            limit = int(shortest[1])
            answer = ask(schema=schema, max_tokens=limit, texts=3, bias=bias)
        check(schema, answer, limit)
        texts += len(answer["texts"])
        slowest = max(slowest, answer["milliseconds"])
        if number % 2 == 0:
            limit = answer["shortest"] + schemas.random.choice([0, 0, 1, 3])
            answer = ask(schema=schema, max_tokens=max(limit, 1), texts=3, bias=bias)
            check(schema, answer, limit)
            tight += len(answer["texts"])
    program.stdin.close()
    assert program.wait() == 0
    print(f"{texts + tight} texts by {a.schemas} schemas are valid, {tight} of them as short as can "
          f"be; {refused} schemas were refused; the slowest took {slowest:.1f} ms to compile")


main()
