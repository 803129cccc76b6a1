// SPDX-License-Identifier: Apache-2.0
// Options that choose how a program computes: the weights' precision, threads and CPUs.
#pragma once

#include <CLI/CLI.hpp>
#include <mamba2/mamba2.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "models.hpp"

namespace cli {

/// Adds --weights.
inline void add_weights(CLI::App& app, std::string& weights) {
  app.add_option(
         "-w,--weights", weights,
         "Precision of the weights: fp32, fp16, bf16, int8 or int4, converted while loading")
      ->capture_default_str()
      ->check(CLI::IsMember({"fp32", "fp16", "bf16", "int8", "int4"}));
}

/// Calls work.template operator()<Policy>() for the policy of that name.
template <class Work>
mamba2::Result<void> with_weights(const std::string& weights, Work&& work) {
  if (weights == "fp16") return work.template operator()<mamba2::Fp16>();
  if (weights == "bf16") return work.template operator()<mamba2::Bf16>();
  if (weights == "int8") return work.template operator()<mamba2::Int8>();
  if (weights == "int4") return work.template operator()<mamba2::Int4>();
  return work.template operator()<mamba2::Fp32>();
}

/// --threads and --cpus.
struct WorkerOptions {
  std::size_t threads = 0;
  std::vector<int> cpus;

  void add(CLI::App& app) {
    app.add_option("--threads", threads, "Threads that work; 0: one per fast core")
        ->capture_default_str()
        ->check(CLI::NonNegativeNumber);
    app.add_option("--cpus", cpus, "Run on these CPUs only: 4,5,6,7")
        ->delimiter(',')
        ->default_str("")
        ->check(CLI::NonNegativeNumber);
  }

  /// Places this thread too. Errors: those of ThreadPool::create and place_this_thread.
  [[nodiscard]] mamba2::Result<mamba2::Workers> start() const {
    auto pool = mamba2::ThreadPool::create({.threads = threads, .cpus = cpus});
    if (!pool) return std::move(pool).error();
    // Where the pool keeps to the fast cores, this thread, which takes part, has to as well.
    if (!(*pool)->cpus().empty()) {
      if (auto placed = mamba2::place_this_thread((*pool)->cpus()); !placed) return placed.error();
    }
    return mamba2::Workers{.executor = *std::move(pool)};
  }
};

}  // namespace cli
