// SPDX-License-Identifier: Apache-2.0
// What mamba2-eval prints and writes.
#pragma once

#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tools/eval/metrics.hpp"

namespace eval {

/// A file of questions.
struct TaskFile {
  const Task* task;
  std::string file;
  std::vector<Question> questions;
};

/// A model's answers to it.
struct TaskResult {
  std::vector<Outcome> outcomes;
  double seconds;
};

/// A number of a task.
struct Metric {
  std::string name;
  Estimate estimate;
};

[[nodiscard]] inline std::vector<Metric> metrics(const Task& task, const TaskResult& result) {
  std::vector<double> right;
  std::vector<double> right_norm;
  std::vector<double> log_likelihoods;
  for (const Outcome& outcome : result.outcomes) {
    right.push_back(outcome.right ? 1.0 : 0.0);
    right_norm.push_back(outcome.right_norm ? 1.0 : 0.0);
    log_likelihoods.push_back(outcome.requests.front().score.log_likelihood);
  }
  if (task.chooses) return {{"acc", mean(right)}, {"acc_norm", mean(right_norm)}};
  return {{"acc", mean(right)}, {"perplexity", perplexity(log_likelihoods)}};
}

/// A number as JSON has it: null if it is none.
[[nodiscard]] inline nlohmann::ordered_json number(double value) {
  return std::isfinite(value) ? nlohmann::ordered_json(value) : nlohmann::ordered_json();
}

inline void print(const TaskFile& file, const TaskResult& result) {
  std::printf("%-15s %6zu questions", std::string(file.task->name).c_str(), result.outcomes.size());
  for (const Metric& metric : metrics(*file.task, result)) {
    const int digits = metric.name == "perplexity" ? 3 : 4;
    const Estimate& e = metric.estimate;
    std::printf("  %s %.*f", metric.name.c_str(), digits, e.value);
    if (std::isfinite(e.standard_error)) std::printf(" +- %.*f", digits, e.standard_error);
  }
  std::printf("  %.1f s, %.1f questions/s\n", result.seconds,
              static_cast<double>(result.outcomes.size()) / result.seconds);
}

[[nodiscard]] inline nlohmann::ordered_json to_json(const TaskFile& file,
                                                    const TaskResult& result) {
  nlohmann::ordered_json json = {
      {"task", file.task->name}, {"file", file.file}, {"questions", result.outcomes.size()}};
  for (const Metric& metric : metrics(*file.task, result)) {
    json[metric.name] = number(metric.estimate.value);
    json[metric.name + "_stderr"] = number(metric.estimate.standard_error);
  }
  json["seconds"] = result.seconds;
  return json;
}

/// The flips of each accuracy.
[[nodiscard]] inline std::vector<std::pair<std::string, Flips>> all_flips(const Task& task,
                                                                          const TaskResult& before,
                                                                          const TaskResult& after) {
  std::vector<std::pair<std::string, Flips>> all = {
      {"acc", flips(before.outcomes, after.outcomes, &Outcome::right)}};
  if (task.chooses) {
    all.emplace_back("acc_norm", flips(before.outcomes, after.outcomes, &Outcome::right_norm));
  }
  return all;
}

inline void print_flips(const TaskFile& file, const TaskResult& before, const TaskResult& after) {
  for (const auto& [name, flips] : all_flips(*file.task, before, after)) {
    std::printf("%-15s %-8s  %zu right -> wrong, %zu wrong -> right, p = %.3g\n",
                std::string(file.task->name).c_str(), name.c_str(), flips.to_wrong, flips.to_right,
                flips.p_value());
  }
}

[[nodiscard]] inline nlohmann::ordered_json flips_to_json(const TaskFile& file,
                                                          const TaskResult& before,
                                                          const TaskResult& after) {
  nlohmann::ordered_json json = {{"task", file.task->name}, {"file", file.file}};
  for (const auto& [name, flips] : all_flips(*file.task, before, after)) {
    json[name] = {{"right_to_wrong", flips.to_wrong},
                  {"wrong_to_right", flips.to_right},
                  {"p_value", flips.p_value()}};
  }
  return json;
}

/// A line for each question.
[[nodiscard]] inline std::string details(const TaskFile& file, const TaskResult& result,
                                         const nlohmann::ordered_json& model) {
  std::string lines;
  for (std::size_t i = 0; i < result.outcomes.size(); ++i) {
    const Outcome& outcome = result.outcomes[i];
    const Question& question = file.questions[i];
    auto choices = nlohmann::ordered_json::array();
    for (const Request& request : outcome.requests) {
      choices.push_back({{"log_likelihood", request.score.log_likelihood},
                         {"is_greedy", request.score.is_greedy},
                         {"context_tokens", request.context.size()},
                         {"tokens", request.continuation.size()}});
    }
    nlohmann::ordered_json line = {{"task", file.task->name}, {"id", question.id}};
    line.update(model);
    line["choices"] = std::move(choices);
    if (file.task->chooses) {
      line["picked"] = outcome.picked;
      line["picked_norm"] = outcome.picked_norm;
      line["gold"] = question.gold;
    }
    lines += line.dump() + "\n";
  }
  return lines;
}

}  // namespace eval
