// SPDX-License-Identifier: Apache-2.0
// A model that is measured, and what the machine could do with it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <mamba2/mamba2.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "bench/machine.hpp"
#include "bench/operations.hpp"
#include "bench/random_weights.hpp"
#include "bench/report.hpp"
#include "bench/roof.hpp"
#include "bench/slices.hpp"
#include "tools/cli.hpp"
#include "tools/shapes.hpp"
#include "tools/weights.hpp"

namespace bench {

/// One model with weights of a plan, of a file or random ones, and what is known of its loading.
class LoadedModel {
 public:
  LoadedModel(const Request& request, const mamba2::Plan& plan) : request_(request), plan_(plan) {}

  /// Errors: those of loading.
  [[nodiscard]] mamba2::Result<void> load() {
    // The peak is that of everything before, where it cannot be reset.
    if (reset_peak_memory()) baseline_rss_ = cli::peak_memory();
    mamba2::Result<void> loaded;
    const double time = seconds([&] { loaded = make_model(); });
    load_s_ = request_.random ? 0.0 : time;
    return loaded;
  }

  /// After load().
  [[nodiscard]] const mamba2::AnyModel& operator*() const { return *model_; }
  [[nodiscard]] const mamba2::AnyModel* operator->() const { return &*model_; }
  /// "llama-tales-14m" for the folder examples/models/llama-tales-14m/.
  [[nodiscard]] std::string name() const {
    if (request_.random) return request_.model;
    std::filesystem::path path = std::filesystem::absolute(request_.model).lexically_normal();
    if (!path.has_filename()) path = path.parent_path();
    return path.filename().string();
  }

  [[nodiscard]] mamba2::SessionOptions session_options() const {
    return {.state = request_.state, .kv = request_.kv, .context = request_.room()};
  }

  /// Memory that was foretold for one session; bytes of the head; what the process took before
  /// loading, 0 where the system does not tell.
  [[nodiscard]] std::size_t memory_required() const { return memory_required_; }
  [[nodiscard]] std::size_t head_bytes() const { return head_bytes_; }
  [[nodiscard]] std::size_t baseline_rss() const { return baseline_rss_; }

  /// What a row says whatever is measured.
  [[nodiscard]] Row describe(std::string_view phase, const Threads& threads) const {
    Row row;
    row.model = name();
    row.weights = plan_.name;
    row.threads = threads.count;
    row.phase = phase;
    row.repeat = request_.repeat;
    row.state = cli::name(request_.state);
    row.load_s = load_s_;
    row.baseline_rss = baseline_rss_;
    row.memory_required = memory_required_;
    row.weight_bytes = model_->weight_bytes();
    row.state_bytes = mamba2::State::bytes(model_->config(), session_options().state_options());
    return row;
  }

  /// The best that the threads can do now, reading the packed weights, and calculating in this
  /// mixture of operations. It takes about half as long as a slice: where others use the machine,
  /// too, both should meet about as many of them.
  [[nodiscard]] Slice roof(const Threads& threads, const Operations& operations,
                           double expected) const {
    constexpr double kLeast = 0.01;  // seconds
    const double reading = std::max(kLeast, expected / 4.0);
    const double calculating = std::max(kLeast, expected / 8.0);
    const double matrix = operations.matrix / matrix_peak(*format_, threads, calculating);
    const double floats = operations.floats / peak<FmaUnit>(threads, calculating);
    return {0.0, streaming_read(threads, packed_, reading), operations.total() / (matrix + floats)};
  }

 private:
  [[nodiscard]] mamba2::Result<void> make_model() {
    auto weights = request_.random ? random_weights_of_shape() : weights_of_file();
    if (!weights) return std::move(weights).error();
    packed_ = {weights->arena.data(), weights->arena.size()};
    mamba2::all_matrices(*weights, [&](const mamba2::Slot& slot, const mamba2::Matrix& m) {
      if (slot.role == mamba2::Role::matrix) format_ = m.format;
    });
    head_bytes_ = weights->lm_head.bytes();
    model_ = mamba2::AnyModel::from_weights(*std::move(weights));
    return {};
  }

  [[nodiscard]] mamba2::Result<mamba2::Weights> random_weights_of_shape() {
    const mamba2::Config config = cli::config_of_shape(request_.model);
    memory_required_ =
        mamba2::memory_required(mamba2::Weights::planned(config, plan_), session_options()).peak();
    return random_weights(config, plan_);
  }

  [[nodiscard]] mamba2::Result<mamba2::Weights> weights_of_file() {
    const auto checkpoint = mamba2::Checkpoint::open(request_.model);
    if (!checkpoint) return checkpoint.error();
    memory_required_ =
        mamba2::memory_required(mamba2::plan_weights(*checkpoint, plan_), session_options()).peak();
    auto pool = mamba2::ThreadPool::create(
        {.threads = std::ranges::max(request_.threads), .cpus = request_.cpus});
    if (!pool) return std::move(pool).error();
    cli::Progress progress("loading");
    return mamba2::load_weights(
        *checkpoint, plan_,
        {.workers = {.executor = *std::move(pool)},
         .progress = [&](std::size_t done, std::size_t total) { progress.update(done, total); }});
  }

  const Request& request_;
  const mamba2::Plan& plan_;
  std::optional<mamba2::AnyModel> model_;
  std::span<const std::byte> packed_;       // the model's weights
  const mamba2::Format* format_ = nullptr;  // of the layers' matrices
  std::size_t head_bytes_ = 0;
  double load_s_ = 0.0;
  std::size_t baseline_rss_ = 0;
  std::size_t memory_required_ = 0;
};

}  // namespace bench
