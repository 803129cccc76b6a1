# SPDX-License-Identifier: Apache-2.0
"""The loops that arm_pipeline.py looks at, their budgets, and the models that it predicts."""
import dataclasses


@dataclasses.dataclass(frozen=True)
class Loop:
    """One loop of bench/arm/, at a size: rows, columns and tokens of a product; d_state, headdim
    and tokens of a scan; 1, values and tokens of the rest."""
    name: str
    rows: int
    cols: int
    tokens: int
    unit: str               # what is counted: UNITS
    budget: float           # the least per cycle (bytes, MAC), or the most cycles (the others)
    required: bool = False  # the budget is a requirement; others are what it is, and a margin

    @property
    def title(self):
        if self.unit == "bytes":
            return f"{self.name} gemv"
        return f"{self.name} gemm" if self.product else self.name

    @property
    def product(self):
        """Whether it is a product with weights."""
        return self.rows == 16

    def work(self, weight_bytes):
        """How many of its units the loop works on."""
        if self.unit == "bytes":
            return weight_bytes
        if self.unit == "4 states":
            return self.rows * self.cols / 4  # of one token, whatever its chunk has before it
        if self.unit == "value":
            return self.cols * self.tokens
        # The chunked scan: C_i S, B_j x_j and the lower half of C B; chunk_products: that half.
        half = self.tokens * (self.tokens + 1) // 2
        if self.name.startswith("ssd"):
            return (2 * self.tokens * self.rows + half) * self.cols
        if self.name == "chunk_products":
            return half * self.rows
        return self.rows * self.cols * self.tokens


# More is better of what is counted per cycle.
UNITS = {"bytes": "B/cycle", "MAC": "MAC/cycle", "4 states": "cycles/4 states",
         "value": "cycles/value"}
PER_CYCLE = ("bytes", "MAC")


def gemv(name, budget, required=False):
    return Loop(name, 16, 1536, 1, "bytes", budget, required)


def gemm(name, budget, required=False):
    return Loop(name, 16, 512, 16, "MAC", budget, required)


LOOPS = [
    gemv("fp32", 17),
    gemv("fp16", 3.5, True),
    gemv("bf16", 6.5),
    gemv("int8", 12, True),
    gemv("int4", 6, True),
    gemv("q8_0", 14.6),
    gemv("q4_0", 6),
    gemv("q4_k", 4.8),
    gemv("q6_k", 5.8),
    gemv("ternary", 3.5, True),  # 14 weights a cycle
    gemv("q2_0", 2.7),
    gemm("fp32", 7.1),
    gemm("fp16", 4.1),
    gemm("bf16", 5.7),
    gemm("int8", 24, True),
    gemm("int4", 19),
    gemm("q8_0", 18),
    gemm("q4_0", 18),
    gemm("q4_k", 13.9),
    gemm("q6_k", 12.7),
    gemm("ternary", 22),
    gemm("q2_0", 18.5),
    Loop("scan_fp32", 128, 64, 9, "4 states", 1.0, True),
    Loop("scan_fp16", 128, 64, 9, "4 states", 2.4, True),
    Loop("ssd_fp32", 128, 16, 12, "MAC", 4.5),
    Loop("ssd_fp16", 128, 16, 12, "MAC", 3.6),
    Loop("chunk_products", 128, 64, 16, "MAC", 2.9),
    Loop("conv", 1, 64, 1, "value", 18),
    Loop("rms_norm", 1, 768, 1, "value", 1.8),
    Loop("gate", 1, 64, 1, "value", 11),
    Loop("gated_norm", 1, 1536, 1, "value", 0.6),
    Loop("hadamard", 1, 1536, 1, "value", 10.5),
    Loop("add", 1, 768, 1, "value", 0.6),
    Loop("step_sizes", 1, 80, 1, "value", 14),
    Loop("quantize_token", 1, 768, 1, "value", 3.7),
    Loop("quantize_bitlinear", 1, 768, 1, "value", 5.6),
    Loop("quantize_groups", 1, 768, 1, "value", 3.8),
    Loop("quantize_groups_sums", 1, 768, 1, "value", 3.8),
]
