# SPDX-License-Identifier: Apache-2.0
"""llama.cpp for the referees: its logits beside ours, its tokens, its quantizer. Where the package is
missing it ends them with status 77."""
import dataclasses
import sys

from referees import ROOT, logits
import numpy
from safetensors.numpy import load_file

try:
    import llama_cpp
except ImportError:
    print("llama_cpp-missing")
    sys.exit(77)

# How much logits may differ, in their standard deviations: the root of the mean square, and at most.
# All such bounds are about twice what was found with 0.3.36 on a CPU with AVX-512 and BF16.
SAME = 2.1e-6, 2.7e-5  # sums are in another order
# By the type to which llama.cpp rounds the inputs of products, for the twelve layers of the bundled
# model. They hold for mixed weights, too, which round them as finely: where one input is rounded the
# other way, many after it are, until both differ as much as if only one of them rounded.
F16_INPUTS = 6e-4, 6e-3
BF16_INPUTS = 5e-3, 0.055
Q8_0_INPUTS = 0.0225, 0.24

# Of the bundled model's own texts, and how many a comparison reads.
POSITIONS = 256
IDS = load_file(ROOT / "tests/golden/llama-tales-14m.safetensors")["window_ids"][0, :POSITIONS].tolist()


@llama_cpp.llama_log_callback
def silence(_level, _text, _data):
    pass


llama_cpp.llama_log_set(silence, None)


class Llama:
    """A GGUF file in llama.cpp."""

    def __init__(self, path):
        self.model = llama_cpp.llama_model_load_from_file(
            bytes(path), llama_cpp.llama_model_default_params())
        if not self.model:
            sys.exit(f"FAIL llama.cpp does not load {path.name}")
        self.vocab = llama_cpp.llama_model_get_vocab(self.model)
        self.rows = llama_cpp.llama_vocab_n_tokens(self.vocab)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        llama_cpp.llama_model_free(self.model)

    def logits(self, ids):
        """After every token, one by one."""
        parameters = llama_cpp.llama_context_default_params()
        parameters.n_ctx = len(ids)
        parameters.n_threads = 1
        # Attention as exact as it can be.
        parameters.type_k = parameters.type_v = llama_cpp.GGML_TYPE_F32
        parameters.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        context = llama_cpp.llama_init_from_model(self.model, parameters)
        found = numpy.empty((len(ids), self.rows), numpy.float32)
        for row, token in zip(found, ids):
            batch = llama_cpp.llama_batch_get_one((llama_cpp.llama_token * 1)(token), 1)
            if llama_cpp.llama_decode(context, batch) != 0:
                sys.exit("FAIL llama.cpp does not decode")
            row[:] = llama_cpp.llama_get_logits_ith(context, -1)[:self.rows]
        llama_cpp.llama_free(context)
        return found

    def tokens(self, text):
        raw = text.encode()
        ids = (llama_cpp.llama_token * (len(raw) + 1))()
        count = llama_cpp.llama_tokenize(self.vocab, raw, len(raw), ids, len(ids), False, True)
        return ids[:max(count, 0)]


def quantize(path, out, file_type, pure=True):
    """Has llama.cpp write a file in a type that its API names. `pure`: no matrix in a type that it
    thinks better there. F32 of a quantized file is what llama.cpp decodes."""
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_{file_type}")
    parameters.pure = pure
    parameters.allow_requantize = True
    parameters.nthread = 2
    if llama_cpp.llama_model_quantize(bytes(path), bytes(out), parameters) != 0:
        sys.exit(f"FAIL llama.cpp does not write {out.name}")
    return out


@dataclasses.dataclass
class Difference:
    typical: float
    largest: float
    agree: int
    good: bool

    def __str__(self):
        return f"{self.typical:8.1e} {self.largest:8.1e} {self.agree:4}{' ' if self.good else '!'}"


def differ(found, expected, bounds):
    """The best token must be the same, too, wherever it leads by five times what is typical."""
    deviation = float(expected.std())
    difference = numpy.abs(found - expected) / deviation
    typical = float(numpy.sqrt(numpy.square(difference).mean()))
    largest = float(difference.max())
    best = numpy.partition(expected, -2, axis=1)[:, -2:]
    clear = best[:, 1] - best[:, 0] > 5 * bounds[0] * deviation
    agree = found.argmax(1) == expected.argmax(1)
    good = typical <= bounds[0] and largest <= bounds[1] and bool(agree[clear].all())
    return Difference(typical, largest, int(agree.sum()), good)


def print_header():
    print(f"llama.cpp beside mamba2, {POSITIONS} positions: differences of the logits in their "
          "standard\ndeviations, root of the mean square and largest; how often the best token is "
          "the same; '!': too far\n"
          f"{'':25}{'matrices as F32, fp32':24}{'as in the file, fp32':24}as in the file, mixed")


def same_logits(bin_folder, folder, name, path, floats, fp32_bounds, mixed_bounds, tokens=IDS):
    """Whether both give the logits of a GGUF file. `floats`: the same weights in F32. With these
    llama.cpp rounds nothing, so that its logits must be those of our fp32."""
    with Llama(path) as llama:
        found = llama.logits(tokens)
    with Llama(floats) as llama:
        found_exact = llama.logits(tokens)
    ids = ("--ids", ",".join(map(str, tokens)), "--all")
    fp32, mixed = (logits(bin_folder, path, folder / "ours", *ids, "--weights", weights)["logits"]
                   for weights in ("fp32", "mixed"))
    differences = (differ(found_exact, fp32, SAME), differ(found, fp32, fp32_bounds),
                   differ(found, mixed, mixed_bounds))
    good = all(difference.good for difference in differences)
    print(f"{'ok  ' if good else 'FAIL'} {name:18}", *differences, sep="", flush=True)
    return good
