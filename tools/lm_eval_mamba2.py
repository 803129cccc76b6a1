#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""lm-evaluation-harness (the lm-eval package, 0.4.13) asks a model that mamba2 runs: the model
"mamba2" of its registry. Takes the arguments of its own program, lm-eval:

  python3 tools/lm_eval_mamba2.py --model_args pretrained=MODEL,weights=int8 --tasks piqa,arc_easy

Or import this module; lm_eval.simple_evaluate(model="mamba2", model_args=...) knows it then.
Arguments of the model: pretrained (a folder or GGUF file); weights, state, threads, max_length and
sequences (as the options of mamba2-eval, with its defaults); max_gen_toks (256); program (where
mamba2-eval is: without it, build/release/bin of this repository, or the PATH). The harness's
batch_size and device mean nothing here. PyTorch is not needed.
"""
import contextlib
import json
import pathlib
import shutil
import subprocess
import sys
import weakref

try:
    from lm_eval.api.model import LM
    from lm_eval.api.registry import register_model
    from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs
    from tqdm import tqdm
except ModuleNotFoundError as error:
    if __name__ != "__main__":
        raise
    sys.exit(f"lm_eval_mamba2.py: the package {error.name} is missing: pip install lm-eval")

BUILT = pathlib.Path(__file__).resolve().parent.parent / "build/release/bin/mamba2-eval"
BATCH = 64  # requests to a line, at least: those of one context stay together
# Arguments of a generation that mean nothing, or this, where the likeliest token is taken.
GREEDY = {"do_sample": False, "temperature": 0, "num_beams": 1, "repetition_penalty": 1}
NO_MATTER = {"top_k", "top_p", "min_p"}


def find_program(program):
    found = program or (BUILT if BUILT.exists() else shutil.which("mamba2-eval"))
    if not found:
        raise FileNotFoundError(f"mamba2-eval is neither {BUILT} nor in the PATH: build it, or give "
                                "program=... in --model_args")
    return str(found)


def end(process):
    process.terminate()
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
    process.stdout.close()
    process.wait()


class Process:
    """mamba2-eval --serve: a line of JSON in, a line out."""

    def __init__(self, arguments):
        self.process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.close = weakref.finalize(self, end, self.process)

    def ask(self, kind, requests):
        try:
            self.process.stdin.write(json.dumps({kind: requests}).encode() + b"\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = b""
        except BaseException:  # an answer that nobody has read would be taken for the next one
            self.close()
            raise
        if not line:
            raise RuntimeError(f"mamba2-eval has ended, status {self.process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise ValueError(f"mamba2-eval: {answer['error']}")
        return answer[kind]


def batches(requests):
    """Pieces of a list of requests, whose contexts are the first of their arguments."""
    batch = []
    for request in requests:
        if len(batch) >= BATCH and request.args[0] != batch[-1].args[0]:
            yield batch
            batch = []
        batch.append(request)
    if batch:
        yield batch


@register_model("mamba2")
class Mamba2LM(LM):
    def __init__(self, pretrained, weights=None, state=None, threads=None, max_length=None,
                 sequences=None, max_gen_toks=256, program=None, batch_size=None,
                 max_batch_size=None, device=None):
        super().__init__()
        self.pretrained = str(pretrained)
        self.max_gen_toks = int(max_gen_toks)
        options = {"--weights": weights, "--state": state, "--threads": threads,
                   "--max-length": max_length, "--sequences": sequences}
        arguments = [find_program(program), self.pretrained, "--serve"]
        for option, value in options.items():
            if value is not None:
                arguments += [option, str(value)]
        self.process = Process(arguments)
        self.process.ask("loglikelihood", [])  # answered when the model is loaded

    @property
    def tokenizer_name(self):
        """The name of cached requests."""
        return self.pretrained.replace("/", "__")

    def loglikelihood(self, requests, disable_tqdm=False):
        def encode(context, continuation):
            return {"context": context, "continuation": continuation}
        return self._ask("loglikelihood", requests, encode, tuple, disable_tqdm)

    def loglikelihood_rolling(self, requests, disable_tqdm=False):
        return self._ask("loglikelihood_rolling", requests, lambda text: {"text": text}, float,
                         disable_tqdm)

    def generate_until(self, requests, disable_tqdm=False):
        for request in requests:  # before the first is answered
            self._prompt(*request.args)
        return self._ask("generate_until", requests, self._prompt, str, disable_tqdm)

    def _prompt(self, context, arguments):
        wanted = normalize_gen_kwargs(arguments, self.max_gen_toks)
        prompt = {"context": context, "max_gen_toks": wanted.pop("max_gen_toks"),
                  "until": handle_stop_sequences(wanted.pop("until", None), eos=None)}
        for name, value in wanted.items():
            if name not in NO_MATTER and (name not in GREEDY or value != GREEDY[name]):
                raise ValueError("mamba2 takes the likeliest token (temperature 0): cannot generate "
                                 f"with {name}={value!r}")
        return prompt

    def _ask(self, kind, requests, encode, decode, disable_tqdm):
        answers = []
        disable = disable_tqdm or None  # None: unless on a terminal
        with tqdm(total=len(requests), desc=f"mamba2: {kind}", disable=disable) as progress:
            for batch in batches(requests):
                found = self.process.ask(kind, [encode(*request.args) for request in batch])
                for request, answer in zip(batch, map(decode, found), strict=True):
                    answers.append(answer)
                    self.cache_hook.add_partial(kind, request.args, answer)
                progress.update(len(batch))
        return answers


def main():
    from lm_eval.__main__ import cli_evaluate
    arguments = sys.argv[1:]
    if arguments[:1] == ["run"]:
        del arguments[0]
    if arguments and arguments[0] not in ("ls", "validate"):
        sys.argv[1:] = ["run", "--model", "mamba2", *arguments]
    cli_evaluate()


if __name__ == "__main__":
    main()
