// SPDX-License-Identifier: Apache-2.0
// What mamba2-bench is asked for, and what it answers.
#pragma once

#include <algorithm>
#include <cstddef>
#include <mamba2/mamba2.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

/// What to measure of one model.
struct Request {
  std::string model;                 ///< a path, or the name of one of cli::kShapes
  bool random = false;               ///< model is such a name
  std::vector<std::size_t> threads;  ///< each is measured; 0: as many as the library takes
  std::vector<int> cpus;             ///< that threads are confined to; empty: the library's choice
  std::size_t decode = 0;            ///< tokens; 0: decoding is not measured
  std::size_t prefill = 0;           ///< likewise
  std::vector<std::size_t> batch;    ///< numbers of sequences that decode at a time
  std::size_t batch_tokens = 1024;   ///< that they decode in all
  std::size_t context = 0;           ///< tokens that are read before decoding starts
  std::size_t repeat = 5;            ///< slices that a measurement is cut into
  bool speculate = false;            ///< what passes of a few tokens cost
  std::string texts;                 ///< a file of texts with answers, to be decoded with drafts
  std::string tokenizer;             ///< of these
  mamba2::StatePrecision state = mamba2::StatePrecision::fp32;
  mamba2::KvPrecision kv = mamba2::KvPrecision::fp16;

  /// Tokens that sequences have room for.
  [[nodiscard]] std::size_t room() const {
    constexpr std::size_t kWarming = 8;
    constexpr std::size_t kPrompt = 4096, kRound = 128;  // of measurements with drafts
    const bool drafts = speculate || !texts.empty();
    return std::max({context + decode + repeat + kWarming, prefill, batch_tokens + kWarming,
                     drafts ? kPrompt + 2 * (repeat + 1) * kRound : 0});
  }
};

/// What one thing (a rate, a share) was in the slices of a measurement.
struct Spread {
  double median = 0.0;
  double least = 0.0;
  double most = 0.0;
};

/// One result.
struct Row {
  std::string model;
  std::string_view weights;
  std::size_t threads = 0;
  std::string_view phase;  ///< "decode", "batch" or "prefill"
  std::size_t tokens = 0;  ///< that were measured: decode in all, prefill at a time
  std::size_t context = 0;
  std::size_t sequences = 1;  ///< at a time
  std::size_t repeat = 0;
  std::string_view state;  ///< "fp32" or "fp16"

  Spread tokens_per_s;
  double bytes_per_token = 0.0;       ///< what must be moved
  double operations_per_token = 0.0;  ///< what must be computed
  double roof_bytes_per_s = 0.0;
  double roof_operations_per_s = 0.0;
  Spread share;  ///< of the memory's roof for decode, of the arithmetic's for prefill

  double load_s = 0.0;              ///< seconds; 0: random weights, which are not loaded
  std::size_t peak_rss = 0;         ///< since the loading began; 0: not known
  std::size_t baseline_rss = 0;     ///< the process without a model
  std::size_t memory_required = 0;  ///< what the library foretells
  std::size_t weight_bytes = 0;
  std::size_t state_bytes = 0;

  [[nodiscard]] double bytes_per_s() const { return bytes_per_token * tokens_per_s.median; }
  [[nodiscard]] double operations_per_s() const {
    return operations_per_token * tokens_per_s.median;
  }
};

inline nlohmann::ordered_json to_json(const Row& row, const std::string& cpu) {
  const auto known = [](auto number) {
    return number > 0 ? nlohmann::ordered_json(number) : nlohmann::ordered_json();
  };
  return {{"model", row.model},
          {"weights", row.weights},
          {"threads", row.threads},
          {"phase", row.phase},
          {"tokens", row.tokens},
          {"context", row.context},
          {"sequences", row.sequences},
          {"repeat", row.repeat},
          {"state", row.state},
          {"isa", mamba2::isa()},
          {"cpu", cpu},
          {"version", MAMBA2_VERSION},
          {"tokens_per_s", row.tokens_per_s.median},
          {"tokens_per_s_min", row.tokens_per_s.least},
          {"tokens_per_s_max", row.tokens_per_s.most},
          {"bytes_per_token", row.bytes_per_token},
          {"operations_per_token", row.operations_per_token},
          {"gb_per_s", row.bytes_per_s() * 1e-9},
          {"gop_per_s", row.operations_per_s() * 1e-9},
          {"roof_gb_per_s", row.roof_bytes_per_s * 1e-9},
          {"roof_gop_per_s", row.roof_operations_per_s * 1e-9},
          {"share", row.share.median},
          {"share_min", row.share.least},
          {"share_max", row.share.most},
          {"load_s", known(row.load_s)},
          {"peak_rss_bytes", known(row.peak_rss)},
          {"baseline_rss_bytes", known(row.baseline_rss)},
          {"memory_required_bytes", row.memory_required},
          {"weight_bytes", row.weight_bytes},
          {"state_bytes", row.state_bytes}};
}

}  // namespace bench
