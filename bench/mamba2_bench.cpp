// SPDX-License-Identifier: Apache-2.0
// mamba2-bench: how fast a model runs here, and how fast it could.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <mamba2/mamba2.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/measure.hpp"
#include "bench/random_weights.hpp"
#include "bench/report.hpp"
#include "bench/speculation_report.hpp"
#include "tools/cli.hpp"
#include "tools/shapes.hpp"
#include "tools/weights.hpp"

namespace {

using mamba2::Result;

struct Arguments {
  bench::Request request;
  std::string path, shape;
  std::vector<std::string> weights;
  std::string json_file;
};

double percent(double share) { return 100.0 * share; }
double giga(double rate) { return 1e-9 * rate; }
double megabytes(std::size_t bytes) { return 1e-6 * static_cast<double>(bytes); }

void print_row(const bench::Row& row, bool first) {
  if (first) {
    std::printf("%-13s %-7s %7s  %-9s %9s | %6s %6s | %7s %7s | %-12s | %8s %8s\n", "model",
                "weights", "threads", "phase", "tokens/s", "GB/s", "roof", "GOP/s", "roof",
                "share (%)", "peak MB", "foretold");
  }
  std::string phase(row.phase);
  if (phase == "batch") phase += " " + std::to_string(row.sequences);
  std::printf("%-13s %-7s %7zu  %-9s %9.1f | ", row.model.c_str(), std::string(row.weights).c_str(),
              row.threads, phase.c_str(), row.tokens_per_s.median);
  std::printf("%6.1f %6.1f | %7.1f %7.1f | ", giga(row.bytes_per_s()), giga(row.roof_bytes_per_s),
              giga(row.operations_per_s()), giga(row.roof_operations_per_s));
  std::printf("%3.0f %3.0f..%-3.0f | ", percent(row.share.median), percent(row.share.least),
              percent(row.share.most));
  if (row.peak_rss == 0) {
    std::printf("%8s", "?");
  } else {
    std::printf("%8.1f", megabytes(row.peak_rss));
  }
  std::printf(" %8.1f\n", megabytes(row.memory_required + row.baseline_rss));
  std::fflush(stdout);
}

void print_legend(const bench::Row& row) {
  std::printf(
      "\nroof: what the same threads reached in between with nothing else to do than to read the\n"
      "weights (GB/s), or to multiply in registers (GOP/s). share: what decoding reached of the\n"
      "memory's roof, prefilling of the arithmetic's; median and range of %zu slices.\n",
      row.repeat);
  if (row.peak_rss == 0) {
    std::printf("peak: this system does not tell.\n");
  } else {
    std::printf(
        "peak: of memory, from loading on; foretold: memory_required() and the %.1f MB that this\n"
        "program took before.\n",
        megabytes(row.baseline_rss));
  }
  std::printf("%s, %s, mamba2 %s\n", bench::cpu_name().c_str(), std::string(mamba2::isa()).c_str(),
              MAMBA2_VERSION);
}

Result<void> run(const Arguments& arguments) {
  if (auto writable = cli::check_writable(arguments.json_file); !writable) return writable;
  const std::string cpu = bench::cpu_name();
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  bench::SpeculationReport speculation(arguments.request, cpu);
  bench::Row last;
  Result<void> measured;
  for (std::size_t i = 0; i < arguments.weights.size() && measured; ++i) {
    bench::Measurement measurement(arguments.request, cli::plan_named(arguments.weights[i]));
    measured = measurement.load();
    if (!measured) break;
    measured = measurement.run([&](const bench::Row& row) {
      print_row(row, rows.empty());
      rows.push_back(bench::to_json(row, cpu));
      last = row;
    });
    if (measured) measured = speculation.measure(measurement, arguments.weights[i]);
  }
  // What has been measured before something failed is not lost.
  if (!rows.empty()) print_legend(last);
  for (const auto& row : speculation.rows()) rows.push_back(row);
  if (rows.empty()) return measured;
  Result<void> written = cli::write_json(arguments.json_file, rows);
  return measured ? written : measured;
}

void add_options(CLI::App& app, Arguments& a) {
  std::vector<std::string> weights = cli::kWeights;
  weights.emplace_back("all");
  constexpr std::uint64_t kMostTokens = 1 << 20;

  app.add_option("MODEL", a.path, cli::kCheckpointHelp);
  app.add_option("--random", a.shape, "Instead of MODEL: random weights in a published shape")
      ->check(CLI::IsMember(cli::shape_names()));
  app.add_option("-w,--weights", a.weights, "Precisions of the weights: int8,int4; or all of them")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->default_str("int8, mixed for GGUF files")
      ->check(CLI::IsMember(weights));
  cli::add_list(app, "--threads", a.request.threads,
                "Threads, a measurement for each number: 1,2; 0: one per fast core", 0, 1024)
      ->default_str("0");
  cli::add_cpus(app, a.request.cpus);
  app.add_option("--decode", a.request.decode, "Measure decoding, so many tokens one by one [64]")
      ->transform(cli::whole(1, kMostTokens));
  cli::add_list(app, "--batch", a.request.batch,
                "Measure decoding by so many sequences at a time, tokens/s in all: 1,2,4,8,16,32",
                1, 4096);
  app.add_option("--prefill", a.request.prefill,
                 "Measure the reading of a prompt of so many tokens [512]")
      ->transform(cli::whole(1, kMostTokens));
  app.add_flag("--speculate", a.request.speculate,
               "Measure passes of 1 to 16 tokens, as they check drafts");
  app.add_option("--texts", a.request.texts,
                 "Measure how fast answers are that this file gives, such as "
                 "bench/repeating_texts.json, plainly and with drafts by lookup");
  app.add_option("--tokenizer", a.request.tokenizer, "The tokenizer of --texts [that of MODEL]");
  app.add_option("--context", a.request.context, "Tokens to read before decoding is measured")
      ->capture_default_str()
      ->transform(cli::whole(0, kMostTokens));
  cli::add_state(app, a.request.state);
  cli::add_kv(app, a.request.kv);
  app.add_option("--repeat", a.request.repeat,
                 "Slices that decoding is cut into, and times that a prompt is read")
      ->capture_default_str()
      ->transform(cli::whole(1, 10000));
  app.add_option("--json", a.json_file, "Write the results to this file as JSON");
}

/// What follows from the options together.
void complete(Arguments& a) {
  if (a.path.empty() == a.shape.empty()) {
    throw CLI::ValidationError("Either MODEL or --random is needed, and not both");
  }
  a.request.random = a.path.empty();
  a.request.model = a.request.random ? a.shape : a.path;
  if (a.weights.empty()) a.weights = {cli::has_own_precision(a.path) ? "mixed" : "int8"};
  if (a.request.random && std::ranges::find(a.weights, "mixed") != a.weights.end()) {
    throw CLI::ValidationError("mixed weights are those of a file: they need MODEL");
  }
  if (std::ranges::find(a.weights, "all") != a.weights.end()) {
    a.weights = cli::kWeights;
    std::erase(a.weights, "ternary");  // for few models
    if (a.request.random) std::erase(a.weights, "mixed");
  }
  if (a.request.threads.empty()) a.request.threads = {0};
  if (a.request.context > 0 && a.request.decode == 0 && a.request.prefill > 0) {
    throw CLI::ValidationError("--context is what decoding starts from: it needs --decode");
  }
  if (a.request.tokenizer.empty()) a.request.tokenizer = a.path;
  if (!a.request.texts.empty() && a.request.tokenizer.empty()) {
    throw CLI::ValidationError("--texts with --random weights needs --tokenizer");
  }
  const bool has_drafts = a.request.speculate || !a.request.texts.empty();
  if (a.request.decode == 0 && a.request.prefill == 0 && a.request.batch.empty() && !has_drafts) {
    a.request.decode = 64;
    a.request.prefill = 512;
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Measures how fast a model decodes (one token after the other: bound by memory) and "
      "prefills\n"
      "(a prompt at once: bound by arithmetic). Beside every measurement, with the same threads "
      "and\n"
      "in between, it measures what the machine can do at best, so that results of a busy machine\n"
      "mean something, too: look at the share. Where nothing is asked for it measures --decode "
      "and\n"
      "--prefill.");
  Arguments arguments;
  add_options(app, arguments);
  app.callback([&] { complete(arguments); });
  app.footer(
      "Examples:\n"
      "  mamba2-bench examples/models/llama-tales-14m\n"
      "  mamba2-bench --random mamba2-780m --weights int8,int4 --threads 1,2 --json 780m.json\n"
      "  mamba2-bench --random mamba2-130m --decode 64 --context 8192\n"
      "  mamba2-bench --random mamba2-780m --batch 1,2,4,8,16,32 --state fp16\n"
      "  mamba2-bench --random mamba2-780m --speculate --texts bench/repeating_texts.json\n"
      "    --tokenizer examples/models/llama-tales-14m\n"
      "bench/plot.py draws the JSON files.\n"
      "Exit status: 0 done, 1 something failed, 2 wrong usage.");
  return cli::run(app, argc, argv, [&] { return run(arguments); });
}
