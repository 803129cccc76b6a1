# SPDX-License-Identifier: Apache-2.0
"""Asks the program referee_tokenizer, for the referees of tokenizers."""
import struct
import subprocess


class Driver:
    """mamba2's answers."""

    def __init__(self, program):
        self.program = program

    def ask(self, tokenizer, records, *mode):
        data = b"".join(struct.pack("<I", len(r)) + r for r in records)
        answer = subprocess.run([self.program, tokenizer, *mode], input=data, check=True,
                                stdout=subprocess.PIPE).stdout
        out, at = [], 0
        while at < len(answer):
            (size,) = struct.unpack_from("<I", answer, at)
            out.append(answer[at + 4:at + 4 + size])
            at += 4 + size
        assert len(out) == len(records)
        return out

    def encode(self, tokenizer, strings, mode="encode"):
        return [list(struct.unpack(f"<{len(r) // 4}i", r))
                for r in self.ask(tokenizer, strings, mode)]

    def decode(self, tokenizer, id_lists, mode, skip):
        records = [struct.pack(f"<{len(ids)}i", *ids) for ids in id_lists]
        return [r.decode("utf-8") for r in
                self.ask(tokenizer, records, mode, *(["skip"] if skip else []))]


def report(what, inputs, ours, theirs):
    differing = [i for i in range(len(inputs)) if ours[i] != theirs[i]]
    size = sum(len(x) if isinstance(x, bytes) else 4 * len(x) for x in inputs)
    print(f"  {what}: {len(inputs)} strings, {size} bytes, {len(differing)} differences", flush=True)
    for i in differing[:3]:
        pairs = zip(ours[i], theirs[i])
        at = next((k for k, (a, b) in enumerate(pairs) if a != b), min(len(ours[i]), len(theirs[i])))
        around = slice(max(0, at - 8), at + 8)
        print(f"    {str(inputs[i])[:200]}\n    at {at}: mamba2 {ours[i][around]!r}, "
              f"the referee {theirs[i][around]!r}")
    return len(differing)
