// SPDX-License-Identifier: Apache-2.0
// bench-kernels: every kernel by itself, in one thread, as a share of what that thread could do at
// best. Options are those of Google Benchmark: --benchmark_filter=gemv/int8 --benchmark_list_tests
#include <benchmark/benchmark.h>

#include <mamba2/core/platform.hpp>
#include <string>

#include "bench/kernels/benchmarks.hpp"
#include "bench/machine.hpp"

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::AddCustomContext("cpu", bench::cpu_name());
  benchmark::AddCustomContext("isa", std::string(mamba2::isa()));
  bench::add_int8_products();
  bench::add_int4_products();
  bench::add_gguf_products();
  bench::add_ternary_products();
  bench::add_float_products();
  bench::add_scans();
  bench::add_attention();
  bench::add_elementwise();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
