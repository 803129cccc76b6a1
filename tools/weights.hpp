// SPDX-License-Identifier: Apache-2.0
// Options that choose how a program computes: the weights' precision, threads and CPUs.
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <mamba2/io/checkpoint_files.hpp>
#include <mamba2/io/foreign_quantization.hpp>
#include <mamba2/io/quantization.hpp>
#include <mamba2/mamba2.hpp>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "cli.hpp"
#include "models.hpp"

namespace cli {

/// The policies that programs offer, and their names.
inline constexpr std::array<const mamba2::Plan*, 7> kPlans = {
    &mamba2::kPlan<mamba2::Fp32>,   &mamba2::kPlan<mamba2::Fp16>, &mamba2::kPlan<mamba2::Bf16>,
    &mamba2::kPlan<mamba2::Int8>,   &mamba2::kPlan<mamba2::Int4>, &mamba2::kPlan<mamba2::Mixed>,
    &mamba2::kPlan<mamba2::Ternary>};
inline const std::vector<std::string> kWeights = {"fp32", "fp16",  "bf16",   "int8",
                                                  "int4", "mixed", "ternary"};

/// Whether a model is a GGUF file.
[[nodiscard]] inline bool is_gguf_file(const std::string& model) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(model, ignored)) return false;
  std::array<char, 4> magic{};
  std::ifstream(model, std::ios::binary).read(magic.data(), magic.size());
  return std::string_view(magic.data(), magic.size()) == "GGUF";
}

/// Whether a model has a precision for each matrix: a GGUF file, BitMamba-2, or a quantized
/// checkpoint.
[[nodiscard]] inline bool has_own_precision(const std::string& model) {
  if (is_gguf_file(model)) return true;
  const auto files = mamba2::detail::locate_checkpoint(model);
  if (!files) return false;
  if (!files->single.empty()) return mamba2::detail::is_bitmamba(files->single);
  const auto text = mamba2::read_text_file(files->config, mamba2::detail::kMaxConfigBytes);
  if (!text) return false;
  const auto quantization = mamba2::parse_quantization(*text);
  if (!quantization) return false;
  return !quantization->empty() || mamba2::detail::is_quantized_by_others(*text);
}

/// The precision that a model is packed in; empty if it is no packed file, or damaged.
[[nodiscard]] inline std::string packed_policy(const std::string& model) {
  const auto file = mamba2::MappedFile::open(model);
  if (!file || !mamba2::is_packed(file->bytes())) return {};
  const auto packed = mamba2::PackedFile::parse(file->bytes());
  return packed ? packed->header.policy : std::string();
}

/// --weights.
struct WeightsOption {
  std::string usual;  ///< where a model has no precision of its own
  std::string given = {};

  void add(CLI::App& app) {
    app.add_option("-w,--weights", given,
                   "Precision of the weights, converted while loading; mixed, ternary: as the file "
                   "has them")
        ->default_str(usual + ", mixed for GGUF files and quantized models, a packed file's own")
        ->check(CLI::IsMember(kWeights));
  }
  /// The one for a model.
  [[nodiscard]] std::string of(const std::string& model) const {
    if (!given.empty()) return given;
    if (const std::string packed = packed_policy(model); !packed.empty()) return packed;
    return has_own_precision(model) ? "mixed" : usual;
  }
};

[[nodiscard]] inline const char* name(mamba2::StatePrecision state) {
  return state == mamba2::StatePrecision::fp16 ? "fp16" : "fp32";
}

/// Adds --state.
inline void add_state(CLI::App& app, mamba2::StatePrecision& state) {
  app.add_option_function<std::string>(
         "--state",
         [&state](const std::string& value) {
           state = value == "fp16" ? mamba2::StatePrecision::fp16 : mamba2::StatePrecision::fp32;
         },
         "Precision of the state; fp16 halves its memory")
      ->default_str(name(state))
      ->check(CLI::IsMember({"fp32", "fp16"}));
}

[[nodiscard]] inline const char* name(mamba2::KvPrecision kv) {
  switch (kv) {
    case mamba2::KvPrecision::fp32:
      return "fp32";
    case mamba2::KvPrecision::int8:
      return "int8";
    default:
      return "fp16";
  }
}

/// Adds --kv.
inline void add_kv(CLI::App& app, mamba2::KvPrecision& kv) {
  app.add_option_function<std::string>(
         "--kv",
         [&kv](const std::string& value) {
           using mamba2::KvPrecision;
           kv = value == "fp32"   ? KvPrecision::fp32
                : value == "int8" ? KvPrecision::int8
                                  : KvPrecision::fp16;
         },
         "Precision of attention's keys and values, in models that have some")
      ->default_str(name(kv))
      ->check(CLI::IsMember({"fp32", "fp16", "int8"}));
}

/// Adds --context.
inline void add_context(CLI::App& app, std::size_t& context) {
  app.add_option("--context", context,
                 "Tokens that attention has room for, in models that have some; 0: 4096, or the "
                 "model's own limit where that is less")
      ->capture_default_str()
      ->transform(whole(0, mamba2::StateOptions::kMaxContext));
}

/// A line where a text has ended because its context is full.
inline void show_full_context(const mamba2::State& state) {
  std::cerr << "the context of " << state.context()
            << " tokens is full; --context has room for more\n";
}

/// The plan of the policy of that name, one of kWeights.
[[nodiscard]] inline const mamba2::Plan& plan_named(std::string_view weights) {
  return **std::ranges::find(kPlans, weights, &mamba2::Plan::name);
}

/// Adds --cpus.
inline void add_cpus(CLI::App& app, std::vector<int>& cpus) {
  app.add_option_function<std::string>(
         "--cpus",
         [&cpus](const std::string& text) {
           auto list = mamba2::parse_cpu_list(text);
           if (!list) {
             throw CLI::ValidationError("--cpus",
                                        "expected a list of CPUs like 0-3,8, found " + shown(text));
           }
           cpus = *std::move(list);
         },
         "Run on these CPUs only: 4-7, or 4,5,6,7; those that are switched off are left out")
      ->default_str("");
}

/// --threads and --cpus.
struct WorkerOptions {
  std::size_t threads = 0;
  std::vector<int> cpus;

  void add(CLI::App& app) {
    app.add_option("--threads", threads, "Threads that work; 0: one per fast core")
        ->capture_default_str()
        ->transform(cli::kWhole);
    add_cpus(app, cpus);
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
