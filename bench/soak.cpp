// SPDX-License-Identifier: Apache-2.0
// mamba2-soak: decodes for a long time and watches memory and speed.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <mamba2/mamba2.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tools/cli.hpp"
#include "tools/weights.hpp"

namespace {

using Clock = std::chrono::steady_clock;

struct Arguments {
  std::string model;
  std::size_t tokens = 1'000'000;
  std::size_t intervals = 40;
  std::size_t growth = 1024;
  cli::WeightsOption weights = {.usual = std::string(mamba2::Int8::name)};
  cli::WorkerOptions workers;
  mamba2::StatePrecision state = mamba2::StatePrecision::fp32;
};

void describe(CLI::App& app, Arguments& a) {
  app.description(
      "Decodes one text token by token, choosing each at random as the model says, and prints\n"
      "memory and speed as it goes. Fails if memory grows after the first interval.");
  app.footer(
      "Example: mamba2-soak examples/models/llama-tales-14m --threads 1\n"
      "Exit status: 0 done, 1 memory grew or something failed, 2 wrong usage.");
  app.option_defaults()->always_capture_default();
  app.add_option("MODEL", a.model, cli::kModelHelp)->required();
  app.add_option("-n,--tokens", a.tokens, "Tokens to decode")
      ->transform(cli::whole(1, 1'000'000'000'000));
  app.add_option("--intervals", a.intervals, "Lines to print, 2 at least")
      ->transform(cli::whole(2, 100000));
  app.add_option("--growth", a.growth, "KiB by which memory may grow after the first interval")
      ->transform(cli::kWhole);
  a.weights.add(app);
  a.workers.add(app);
  cli::add_state(app, a.state);
}

/// Bytes of memory in use: resident pages of this process.
mamba2::Result<std::size_t> resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::size_t all = 0;
  std::size_t pages = 0;
  if (!(file >> all >> pages)) {
    return mamba2::Error{mamba2::ErrorCode::unsupported, "/proc/self/statm cannot be read"};
  }
  return pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

struct Interval {
  double tokens_per_second;
  std::size_t resident;
};

/// Decodes so many tokens, the first of which is `token`, the token after the last in the end.
mamba2::Result<Interval> decode(mamba2::AnySession& session, mamba2::Sampler& sampler,
                                std::size_t tokens, mamba2::Token& token) {
  const auto start = Clock::now();
  for (std::size_t i = 0; i < tokens; ++i) {
    const auto logits = session.decode(token);
    if (!logits) return logits.error();
    if (!std::ranges::all_of(*logits, [](float value) { return std::isfinite(value); })) {
      return mamba2::Error{
          mamba2::ErrorCode::malformed,
          "logits are not finite after " + std::to_string(session.state().tokens()) + " tokens"};
    }
    token = sampler.sample(*logits);
  }
  const std::chrono::duration<double> seconds = Clock::now() - start;
  const auto resident = resident_bytes();
  if (!resident) return resident.error();
  return Interval{static_cast<double>(tokens) / seconds.count(), *resident};
}

/// How the last tenth of the intervals compares with the first.
mamba2::Result<void> judge(const std::vector<Interval>& intervals, std::size_t growth) {
  const std::size_t tenth = std::max<std::size_t>(1, intervals.size() / 10);
  std::vector<double> speeds;
  speeds.reserve(intervals.size());
  for (const Interval& interval : intervals) speeds.push_back(interval.tokens_per_second);
  const auto count = static_cast<std::ptrdiff_t>(tenth);
  const double first = median({speeds.begin(), speeds.begin() + count});
  const double last = median({speeds.end() - count, speeds.end()});
  std::size_t most = 0;
  for (const Interval& interval : intervals) most = std::max(most, interval.resident);
  const std::size_t grown = (most - intervals.front().resident) >> 10;
  std::cout << "speed of the last tenth: " << std::setprecision(1) << 100.0 * last / first
            << " % of the first; memory grew by " << grown << " KiB\n";
  if (grown <= growth) return {};
  return mamba2::Error{
      mamba2::ErrorCode::out_of_memory,
      "memory grew by " + std::to_string(grown) + " KiB, allowed are " + std::to_string(growth)};
}

mamba2::Result<void> soak(const Arguments& a, const mamba2::Plan& plan) {
  const auto workers = a.workers.start();
  if (!workers) return workers.error();
  const auto model = mamba2::AnyModel::load(a.model, plan, {.workers = *workers});
  if (!model) return model.error();
  auto session = model->session({.prefill_batch = 1, .state = a.state, .workers = *workers});
  if (!session) return session.error();
  auto sampler = mamba2::Sampler::create({.seed = 1}, model->config().vocab_size);
  if (!sampler) return sampler.error();

  std::vector<Interval> intervals;
  mamba2::Token token = 0;
  std::cout << "    tokens   tokens/s   resident, MiB\n" << std::fixed;
  for (std::size_t i = 0; i < a.intervals; ++i) {
    const std::size_t done = a.tokens * i / a.intervals;
    const std::size_t end = a.tokens * (i + 1) / a.intervals;
    if (end == done) continue;
    const auto interval = decode(*session, *sampler, end - done, token);
    if (!interval) return interval.error();
    intervals.push_back(*interval);
    std::cout << std::setw(10) << end << std::setw(11) << std::setprecision(1)
              << interval->tokens_per_second << std::setw(16) << std::setprecision(2)
              << static_cast<double>(interval->resident) / (1 << 20) << std::endl;
  }
  return judge(intervals, a.growth);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app;
  Arguments arguments;
  describe(app, arguments);
  return cli::run(app, argc, argv, [&] {
    return soak(arguments, cli::plan_named(arguments.weights.of(arguments.model)));
  });
}
