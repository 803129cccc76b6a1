// SPDX-License-Identifier: Apache-2.0
// Norms, gates, rotations, a convolution and elementary functions, of vectors as wide as those of
// mamba2-2.7b, in the cache: GB/s count what is read and written.
#include <benchmark/benchmark.h>

#include <cstddef>
#include <mamba2/kernels/hadamard.hpp>
#include <mamba2/kernels/short_conv.hpp>
#include <mamba2/mamba2.hpp>
#include <vector>

#include "bench/kernels/benchmarks.hpp"

namespace bench {
namespace {

namespace kernels = mamba2::kernels;

constexpr std::size_t kWidth = 5120;  // d_inner

/// Calls work(x, y, z), arrays of kWidth values, of which it reads and writes `arrays` once.
template <class Work>
void add(const char* name, double arrays, Work work) {
  benchmark::RegisterBenchmark(name, [=](benchmark::State& state) {
    const std::vector<float> start = random_floats(kWidth);
    std::vector<float> x = start;
    std::vector<float> y = start;
    std::vector<float> z = start;
    Report<ReadingCache>(state).run(
        arrays * kWidth * sizeof(float), [&] { work(x.data(), y.data(), z.data()); }, kManyTimes);
  });
}

/// z = function(x).
template <class Function>
void add_function(const char* name, Function function) {
  add(name, 2.0, [=](const float* x, const float*, float* z) {
    kernels::for_each_vector(kWidth, [&](std::size_t i, auto lanes) {
      lanes.store(function(lanes.load(x + i)), z + i);
    });
  });
}

/// The convolution of a token in a layer of LFM2-1.2B.
void add_gated_conv1d() {
  benchmark::RegisterBenchmark("gated_conv1d/3", [](benchmark::State& state) {
    constexpr std::size_t kTaps = 3;
    constexpr std::size_t kChannels = 2048;
    constexpr std::size_t kArrays = 4 + 2 * (kTaps - 1) + kTaps + 1;  // rows, window, filter, bias
    const std::vector<float> weight(kTaps * kChannels, 0.0F);
    const std::vector<float> bias(kChannels, 1.0F);  // so that c stays what it is
    std::vector<float> bcx = random_floats(3 * kChannels);
    std::vector<float> window((kTaps - 1) * kChannels, 0.0F);
    const mamba2::MutableRows rows(bcx.data(), 1, bcx.size());
    const kernels::Conv1d conv = {weight.data(), bias.data(), kChannels, kTaps, false};
    const kernels::GatedRows gated = {rows.columns(0, kChannels),
                                      rows.columns(kChannels, kChannels),
                                      rows.columns(2 * kChannels, kChannels)};
    Report<ReadingCache>(state).run(
        kArrays * kChannels * sizeof(float),
        [&] { kernels::gated_conv1d(conv, 0, gated, window.data()); }, kManyTimes);
  });
}

}  // namespace

void add_elementwise() {
  using kernels::Floats;
  add_function("exp", [](const Floats& v) { return kernels::exp(v); });
  add_function("silu", [](const Floats& v) { return kernels::silu(v); });
  add_function("softplus", [](const Floats& v) { return kernels::softplus(v); });
  add("rms_norm", 4.0,
      [](const float* x, const float* y, float* z) { kernels::rms_norm(x, y, kWidth, 1e-5F, z); });
  add("gate", 3.0, [](const float* x, const float* y, float* z) {
    benchmark::DoNotOptimize(kernels::gate(x, y, kWidth, z));
  });
  add("add", 3.0, [](const float* x, const float*, float* z) { kernels::add(x, kWidth, z); });
  add_gated_conv1d();
  add("hadamard/256", 2.0,
      [](const float*, const float*, float* z) { kernels::hadamard(z, kWidth, 256); });
}

}  // namespace bench
