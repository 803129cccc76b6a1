// SPDX-License-Identifier: Apache-2.0
// What a block does for each value: cols of them.
#include "bench/arm/loops.hpp"
#include "mamba2/kernels/conv1d.hpp"
#include "mamba2/kernels/hadamard.hpp"
#include "mamba2/kernels/rms_norm.hpp"
#include "mamba2/kernels/scan.hpp"

namespace bench {
namespace {

namespace kernels = mamba2::kernels;

void conv(const Work& work) {
  constexpr std::size_t kTaps = 4;
  const kernels::Conv1d filter{work.x, work.x + kTaps * work.cols, work.cols, kTaps};
  kernels::causal_conv1d(filter, 0, {work.y, work.tokens, work.cols},
                         reinterpret_cast<float*>(work.weights));
}

void rms_norm(const Work& work) {
  kernels::rms_norm(work.x, work.x + work.cols, work.cols, 1e-5F, work.y);
}

void gate(const Work& work) {
  const kernels::GatedNorm norm{work.x, 1, work.cols, 1, 1e-5F, false};
  work.y[work.cols] = kernels::gate_head(norm, work.x, work.y);
}

void gated_norm(const Work& work) {
  const kernels::GatedNorm norm{work.x, 1, work.cols, 1, 1e-5F, false};
  kernels::gated_norm(norm, work.x, work.x, work.y);
}

void hadamard(const Work& work) { kernels::hadamard(work.y, work.cols, 256); }

void add(const Work& work) { kernels::add(work.x, work.cols, work.y); }

void step_sizes(const Work& work) {
  const kernels::Ssm ssm{work.cols, 64, 128, 1, work.x, work.x, work.x, 0.0F, 1.0F};
  kernels::step_sizes(ssm, 0, {work.y, 1, work.cols});
}

}  // namespace

std::span<const Loop> elementwise() {
  static constexpr Loop kLoops[] = {{"conv", conv, nullptr},
                                    {"rms_norm", rms_norm, nullptr},
                                    {"gate", gate, nullptr},
                                    {"gated_norm", gated_norm, nullptr},
                                    {"hadamard", hadamard, nullptr},
                                    {"add", add, nullptr},
                                    {"step_sizes", step_sizes, nullptr}};
  return kLoops;
}

}  // namespace bench
