#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""lm-evaluation-harness, asking through tools/lm_eval_mamba2.py, finds what this project's programs
find.

  python3 tests/referee_lm_eval.py BIN

BIN is the folder of the programs. Runs the harness's own tasks over a few questions, with the
bundled model: what every choice scores must be the numbers of mamba2-eval, to the last bit, and so
must accuracies and perplexities; rolling perplexities are those of mamba2-perplexity, texts those of
generate. What the harness itself makes of pairs and long texts - tokens, windows, what is cut -
scored with mamba2-logits, must be the same to rounding. Where ../shared/data/eval holds the questions
of the real tasks, it asks the first 50 of each, too. No network is used. Exits 0 if all is well, 1 if
not, 77 if a package is not there.
"""
import json
import logging
import os
import pathlib
import subprocess
import sys
import tempfile

from referees import MODEL, ROOT, logits
import numpy
from tokenizers import Tokenizer

CACHE = tempfile.TemporaryDirectory()
os.environ |= {"HF_HOME": CACHE.name, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
try:
    import lm_eval
except ImportError as missing:
    print(f"{missing.name}-missing")
    sys.exit(77)
import datasets
from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.tasks import TaskManager
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from lm_eval_mamba2 import Mamba2LM
from lm_eval_questions import PAIRS, PROMPTS, QUESTIONS, TASKS, TEXTS

REAL = ROOT.parent / "shared/data/eval"
ROUNDING = 2e-4  # of a log-likelihood, where logits are computed in another order


class Referee:
    def __init__(self, bin_folder, folder):
        self.bin_folder = bin_folder
        self.folder = folder
        self.manager = TaskManager(include_defaults=False)
        self.good = True

    def same(self, found, expected, what):
        if found != expected:
            print(f"FAIL {what}: {found}, expected {expected}")
            self.good = False

    def near(self, found, expected, what, bound=ROUNDING):
        if not abs(found - expected) <= bound:
            print(f"FAIL {what}: {found}, expected {expected} +- {bound}")
            self.good = False

    def run(self, program, *arguments):
        done = subprocess.run([self.bin_folder / program, *map(str, arguments)], check=True,
                              stdout=subprocess.PIPE)
        return done.stdout.decode()

    def model(self, **arguments):
        return Mamba2LM(MODEL, program=self.bin_folder / "mamba2-eval", **arguments)

    def harness(self, model, name, task, path):
        """What the harness finds: the results of a task, and its samples in the order of the file."""
        task = {"task": name, "dataset_path": "json", "test_split": "train",
                "dataset_kwargs": {"data_files": str(path)}, **task}
        found = lm_eval.simple_evaluate(model=model, tasks=[task], task_manager=self.manager,
                                        bootstrap_iters=0)
        samples = sorted(found["samples"][name], key=lambda sample: sample["doc_id"])
        return found["results"][name], samples

    def write(self, name, lines):
        path = self.folder / name
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path


def check_task(referee, name, path, limit, **arguments):
    """Answers of the harness and of mamba2-eval to the first questions of a file."""
    details, scores = referee.folder / "details.jsonl", referee.folder / "scores.json"
    first = referee.folder / f"{name}.jsonl"
    first.write_text("".join(path.read_text().splitlines(keepends=True)[:limit]))
    options = [x for key, value in arguments.items() for x in (f"--{key.replace('_', '-')}", value)]
    referee.run("mamba2-eval", MODEL, first, "--details", details, "--json", scores, *options)
    expected = [json.loads(line) for line in details.read_text().splitlines()]
    found, samples = referee.harness(referee.model(**arguments), name, TASKS[name], first)
    referee.same(len(samples), len(expected), f"{name}: questions")
    for sample, line in zip(samples, expected):
        choices = [(choice["log_likelihood"], choice["is_greedy"]) for choice in line["choices"]]
        answers = [tuple(answer) for (answer,) in sample["resps"]]
        referee.same(answers, choices, f"{name}, question {line['id']}")
    (scores,) = json.loads(scores.read_text())["tasks"]
    for metric in TASKS[name]["metric_list"]:
        metric = metric["metric"]
        referee.near(found[f"{metric},none"], scores[metric], f"{name}: {metric}",
                     1e-12 * abs(scores[metric]))
    print(f"     {name}: {len(expected)} questions {arguments or ''}")


def check_rolling(referee, length):
    """A perplexity of each text by itself, as the program measures it."""
    task = {"output_type": "loglikelihood_rolling", "doc_to_text": "", "doc_to_target": "{{text}}",
            "metric_list": [{"metric": m} for m in ("word_perplexity", "byte_perplexity",
                                                    "bits_per_byte")]}
    model = referee.model(max_length=length)
    for text in TEXTS:
        text_file = referee.folder / "text.txt"
        text_file.write_bytes(text.encode())
        path = referee.write("rolling.jsonl", [{"text": text}])
        found, _ = referee.harness(model, "rolling", task, path)
        report = referee.folder / "report.json"
        referee.run("mamba2-perplexity", MODEL, text_file, "--rolling", "--context", length,
                    "--json", report)
        report = json.loads(report.read_text())
        for metric in ("word_perplexity", "byte_perplexity", "bits_per_byte"):
            referee.near(found[f"{metric},none"], report[metric], f"{metric} of {text[:20]!r}",
                         1e-5 * report[metric])
    print(f"     rolling: {len(TEXTS)} texts, windows of {length} tokens")


def check_texts(referee):
    """More than are written at a time."""
    model = referee.model(sequences=2)
    for prompt in PROMPTS:
        task = {"output_type": "generate_until", "doc_to_text": "{{context}}",
                "doc_to_target": "{{answer}}",
                "metric_list": [{"metric": "exact_match"}],
                "generation_kwargs": {"until": prompt["until"], "max_gen_toks": prompt["tokens"]}}
        asked = [prompt, *(other for other in PROMPTS if other != prompt)]
        stops = [x for stop in prompt["until"] for x in ("--stop", stop)]
        expected = [referee.run("generate", MODEL, one["context"], "-w", "fp32", "-t", 0, "-n",
                                prompt["tokens"], "--no-echo", *stops).removesuffix("\n")
                    for one in asked]
        path = referee.write("texts.jsonl", [{"context": one["context"], "answer": text.strip()}
                                             for one, text in zip(asked, expected)])
        found, samples = referee.harness(model, "texts", task, path)
        texts = [sample["resps"][0][0].rstrip("\n") for sample in samples]
        referee.same(texts, [text.rstrip("\n") for text in expected], f"texts until {stops}")
        if texts[0] == "" and prompt["tokens"] > 1:
            referee.same(texts[0], "a text", f"text until {stops}")
    print(f"     texts: {len(PROMPTS) ** 2}")


class Reference(TemplateLM):
    """The harness's own way from texts to tokens; scores by the raw logits."""

    eot_token_id = 0

    def __init__(self, referee, length):
        super().__init__()
        self.referee = referee
        self.length = length
        self.encoder = Tokenizer.from_file(str(MODEL / "tokenizer.json"))

    def tok_encode(self, string, add_special_tokens=None, **_):
        return self.encoder.encode(string).ids

    def _loglikelihood_tokens(self, requests, **_):
        return [self.score(context, continuation) for _, context, continuation in requests]

    def score(self, context, continuation):
        read = (context + continuation)[-(self.length + 1):][:-1]
        rows = logits(self.referee.bin_folder, MODEL, self.referee.folder / "logits", "--ids",
                      ",".join(map(str, read)), "--all")["logits"].astype(numpy.float64)
        rows = rows[-len(continuation):]
        places = numpy.arange(len(continuation)), continuation
        top = rows.max(axis=1)
        sums = top + numpy.log(numpy.exp(rows - top[:, None]).sum(axis=1))
        return float((rows[places] - sums).sum()), bool((rows.argmax(axis=1) == continuation).all())

    def loglikelihood_rolling(self, requests, disable_tqdm=False):
        sums = []
        for text, in (request.args for request in requests):
            windows = get_rolling_token_windows(self.tok_encode(text), self.prefix_token_id,
                                                self.length, 1)
            sums.append(sum(self.score(*make_disjoint_window(window))[0] for window in windows))
        return sums

    def generate_until(self, requests, disable_tqdm=False):
        raise NotImplementedError


def check_encoding(referee, length):
    def instances(kind, arguments):
        return [Instance(kind, {}, each, 0) for each in arguments]
    pairs = instances("loglikelihood", PAIRS)
    texts = instances("loglikelihood_rolling", [(text,) for text in [*TEXTS, ""]])
    model, reference = referee.model(max_length=length), Reference(referee, length)
    for pair, found, expected in zip(PAIRS, model.loglikelihood(pairs),
                                     reference.loglikelihood(pairs), strict=True):
        referee.near(found[0], expected[0], f"{pair}")
        referee.same(found[1], expected[1], f"{pair}: is greedy")
    for text, found, expected in zip(texts, model.loglikelihood_rolling(texts),
                                     reference.loglikelihood_rolling(texts), strict=True):
        referee.near(found, expected, f"{text.args}")
    print(f"     {len(PAIRS)} pairs and {len(texts)} texts as the harness cuts them at {length}")


def check_refusals(referee):
    """What cannot be answered is said, and the next is answered."""
    model = referee.model()
    wrong = [(model.generate_until, ("x", {"until": [], "do_sample": True}), "do_sample=True"),
             (model.generate_until, ("x", {"until": [], "temperature": 0.5}), "temperature=0.5"),
             (model.generate_until, ("x", {"num_beams": 4}), "num_beams=4"),
             (model.generate_until, ("x", {"max_gen_toks": 2048}), "max_gen_toks must be"),
             (model.loglikelihood, ("x", ""), "no token of its own")]
    for ask, arguments, message in wrong:
        try:
            referee.same(ask([Instance(ask.__name__, {}, arguments, 0)]), "an error", arguments)
        except ValueError as error:
            referee.same(message in str(error), True, f"{message!r} in {error}")
    (answer,) = model.loglikelihood([Instance("loglikelihood", {}, ("The king", " of"), 0)])
    referee.same(answer[0] < 0, True, "an answer after errors")
    model.process.process.kill()
    try:
        model.loglikelihood([Instance("loglikelihood", {}, ("The king", " of"), 0)])
        referee.same("an answer", "an error", "a process that has ended")
    except RuntimeError as error:
        referee.same("has ended" in str(error), True, f"'has ended' in {error}")


def main():
    datasets.disable_progress_bars()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as temporary:
        referee = Referee(pathlib.Path(sys.argv[1]), pathlib.Path(temporary))
        for name, questions in QUESTIONS.items():
            path = referee.write(f"all_{name}.jsonl", questions)
            check_task(referee, name, path, None)
            check_task(referee, name, path, None, max_length=40, weights="int8", sequences=2)
        for length in (2048, 31):
            check_rolling(referee, length)
            check_encoding(referee, length)
        check_texts(referee)
        check_refusals(referee)
        for name in QUESTIONS:
            path = REAL / f"{name}.jsonl"
            if path.exists():
                check_task(referee, name, path, 50, weights="int8")
            else:
                print(f"     {path}: not there, skipped")
    if referee.good:
        print(f"ok   lm-eval {lm_eval.__version__} finds the same")
    return 0 if referee.good else 1


if __name__ == "__main__":
    sys.exit(main())
