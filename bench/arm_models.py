# SPDX-License-Identifier: Apache-2.0
"""What cycles per byte and value mean in tokens per second, for the published models."""
import dataclasses

BANDWIDTHS = (17, 28)  # GB/s of the boards: RK3588 and Pi 5 with LPDDR4X; RK3588 with LPDDR5
CHUNK = 16             # tokens of a chunk of the recurrence
CORES = 4              # Cortex-A76 of either


@dataclasses.dataclass(frozen=True)
class Model:
    """A published model, with what they have in common as defaults."""
    name: str
    d_model: int
    n_layer: int
    vocab: int = 50288
    d_state: int = 128
    headdim: int = 64
    d_conv: int = 4

    @property
    def d_inner(self):
        return 2 * self.d_model

    @property
    def nheads(self):
        return self.d_inner // self.headdim

    @property
    def conv_dim(self):
        return self.d_inner + 2 * self.d_state

    @property
    def states(self):
        """Values of the SSM states."""
        return self.n_layer * self.d_inner * self.d_state

    @property
    def matrices(self):
        """(rows, cols) of the matrices of all blocks."""
        return self.n_layer * [(2 * self.d_inner + 2 * self.d_state + self.nheads, self.d_model),
                               (self.d_model, self.d_inner)]

    @property
    def head(self):
        return self.vocab, self.d_model


MODELS = [Model("130m", 768, 24), Model("370m", 1024, 48), Model("780m", 1536, 48),
          Model("1.3b", 2048, 48), Model("2.7b", 2560, 64)]


def weight_bytes(precision, rows, cols):
    """Of a packed matrix, scales and all."""
    per_weight = {"fp16": 2, "bf16": 2, "int8": 1, "int4": 0.5 + 2 / 32, "q8_0": 1 + 2 / 32,
                  "q4_0": 0.5 + 2 / 32, "q4_k": 148 / 256, "q6_k": 212 / 256}[precision]
    return rows * cols * per_weight + (4 * rows if precision == "int8" else 0)


# The precision of a model's head where it is not that of the blocks.
HEADS = {"int4": "int8", "q4_0": "q6_k", "q4_k": "q6_k"}


@dataclasses.dataclass(frozen=True)
class Token:
    """What a model reads and does for one token: bytes from memory, cycles of one core."""
    weights: float       # bytes
    state: float         # bytes, read and written
    cycles: float
    gemv_cycles: float

    def roof(self, gb_per_s):
        return gb_per_s * 1e9 / (self.weights + self.state)


def token(model, precision, state, values):
    """values: B/cycle or cycles a value of the loops, by their titles."""
    head = HEADS.get(precision, precision)
    blocks = sum(weight_bytes(precision, *shape) for shape in model.matrices)
    last = weight_bytes(head, *model.head)
    gemv = blocks / values[f"{precision} gemv"] + last / values[f"{head} gemv"]
    coded = precision not in ("fp16", "bf16")
    inputs = values["quantize_groups" if precision.startswith("q") else "quantize_token"]
    rotated = precision in ("int8", "int4")
    each_layer = (
        model.d_model * (values["rms_norm"] + values["add"] + coded * inputs)
        + model.conv_dim * values["conv"]
        + model.nheads * values["step_sizes"]
        + model.d_inner * (values["gate"] + values["gated_norm"] + coded * inputs
                           + rotated * values["hadamard"]))
    scan = model.states / 4 * values[f"scan_{state}"]
    # The states of the convolutions are FP32; of each, all but the newest input are written back.
    conv_states = model.n_layer * model.conv_dim * (model.d_conv - 1) * 4 * 2
    # The SSM states are read with every token and written with a chunk's last; of a chunk's rows one
    # is written and those so far are read.
    states = model.states * (4 if state == "fp32" else 2) * (1 + 1 / CHUNK)
    rows = model.n_layer * (model.d_inner + model.d_state) * 4 * (1 + (CHUNK + 1) / 2)
    return Token(blocks + last, states + rows + conv_states,
                 gemv + scan + model.n_layer * each_layer, gemv)


def table(title, precisions, cell):
    """A Markdown table: a row for each precision of weights and state, a column for each model."""
    lines = ["", title, "",
             "| weights | state | " + " | ".join(model.name for model in MODELS) + " |",
             "|---" * (len(MODELS) + 2) + "|"]
    for precision in precisions:
        for state in ("fp32", "fp16"):
            cells = " | ".join(cell(model, precision, state) for model in MODELS)
            lines.append(f"| {precision} | {state} | {cells} |")
    return lines


def predictions(values, ghz):
    """Tables of tokens/s for all models: Markdown."""
    def roofs(model, precision, state):
        work = token(model, precision, state, values)
        return ", ".join(f"{work.roof(bandwidth):.1f}" for bandwidth in BANDWIDTHS)

    def compute(model, precision, state):
        work = token(model, precision, state, values)
        core = ghz * 1e9 / work.cycles
        busy = ", ".join(f"{100 * work.roof(bandwidth) / CORES / core:.0f} %"
                         for bandwidth in BANDWIDTHS)
        return f"{core:.1f}; {busy}"

    bandwidths = " and ".join(map(str, BANDWIDTHS))
    lines = table(f"Roofs: tokens/s if memory gives {bandwidths} GB/s and nothing else takes time.",
                  ("int8", "int4", "fp16", "q8_0", "q4_0", "q4_k"), roofs)
    lines += table(f"Arithmetic: tokens/s of one core at {ghz:g} GHz if memory takes no time; how "
                   f"much of the time {CORES}\ncores are busy at the roofs of {bandwidths} GB/s.",
                   ("int8", "int4", "fp16", "bf16", "q8_0", "q4_0", "q4_k"), compute)
    return "\n".join(lines)
