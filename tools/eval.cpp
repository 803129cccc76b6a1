// SPDX-License-Identifier: Apache-2.0
// mamba2-eval: what a model knows, by zero-shot tasks scored as lm-evaluation-harness does, or by
// what the harness itself asks.
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <iterator>
#include <limits>
#include <mamba2/mamba2.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tools/cli.hpp"
#include "tools/eval/encode.hpp"
#include "tools/eval/metrics.hpp"
#include "tools/eval/model.hpp"
#include "tools/eval/report.hpp"
#include "tools/eval/scorer.hpp"
#include "tools/eval/serve.hpp"
#include "tools/eval/server.hpp"
#include "tools/eval/tasks.hpp"
#include "tools/loading.hpp"
#include "tools/weights.hpp"

namespace {

using eval::Error;
using eval::ErrorCode;
using eval::Request;
using eval::Result;
using eval::Subject;
using eval::TaskFile;
using eval::TaskResult;

volatile std::sig_atomic_t interrupted = 0;

struct Options {
  std::string model, task, json_file, details_file;
  std::vector<std::string> files;
  cli::WeightsOption weights = {.usual = std::string(mamba2::Fp32::name)};
  cli::LoadingOptions loading;
  std::string compare_model;    ///< or empty: the same
  std::string compare_weights;  ///< or empty: as for the first
  eval::ScorerOptions scorer;
  std::size_t max_length = 2048;
  std::size_t limit = std::numeric_limits<std::size_t>::max();
  bool serve = false;

  [[nodiscard]] bool compares() const { return !compare_model.empty() || !compare_weights.empty(); }
};

Result<TaskFile> read_file(const Options& o, const std::string& path) {
  constexpr std::size_t kMaxBytes = std::size_t{1} << 30;
  const std::string name = std::filesystem::path(path).filename().string();
  const eval::Task* task = eval::find_task(o.task.empty() ? name : o.task);
  if (task == nullptr) {
    std::string all;
    for (const eval::Task& one : eval::kTasks)
      all += (all.empty() ? "" : ", ") + std::string(one.name);
    return Error{ErrorCode::invalid_argument,
                 path + ": the name must begin with a task's (or give --task): " + all};
  }
  const Result<std::string> text = mamba2::read_text_file(path, kMaxBytes);
  if (!text) return text.error();
  auto questions = eval::read_questions(*task, *text, path, o.limit);
  if (!questions) return std::move(questions).error();
  return TaskFile{task, path, *std::move(questions)};
}

Result<TaskResult> answer(const TaskFile& file, const Options& o,
                          const mamba2::Tokenizer& tokenizer, eval::Evaluator& model,
                          const std::string& model_name) {
  const mamba2::Token empty = eval::end_of_text(model.config());
  cli::Progress progress(std::string(file.task->name));
  TaskResult result{.outcomes = {}, .seconds = 0.0};
  const auto start = std::chrono::steady_clock::now();
  const std::size_t total = file.questions.size();
  for (std::size_t first = 0; first < total; first += o.scorer.sequences) {
    const auto questions =
        std::span(file.questions).subspan(first, std::min(o.scorer.sequences, total - first));
    std::vector<Request> requests;
    for (const eval::Question& question : questions) {
      auto more = eval::encode_question(tokenizer, empty, question, o.max_length);
      if (!more) return std::move(more).error();
      for (Request& request : *more) requests.push_back(std::move(request));
    }
    if (Result<void> scored = model.score(requests); !scored) return scored.error();
    auto next = requests.begin();
    for (const eval::Question& question : questions) {
      const auto end = next + static_cast<std::ptrdiff_t>(question.choices.size());
      result.outcomes.push_back(eval::judge(
          *file.task, question, {std::make_move_iterator(next), std::make_move_iterator(end)}));
      next = end;
      for (const Request& request : result.outcomes.back().requests) {
        if (!std::isfinite(request.score.log_likelihood)) {
          return Error{ErrorCode::malformed, model_name + ": gives logits that are not finite"};
        }
      }
    }
    if (interrupted != 0) return Error{ErrorCode::io, "interrupted"};
    progress.update(result.outcomes.size(), total);
  }
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  result.seconds = elapsed.count();
  return result;
}

struct Opened {
  mamba2::Tokenizer tokenizer;
  std::unique_ptr<eval::Evaluator> model;
};

Result<Opened> open(const Subject& subject, const Options& o, const mamba2::Workers& workers) {
  auto tokenizer = mamba2::Tokenizer::load(subject.model);
  if (!tokenizer) return std::move(tokenizer).error();
  eval::ScorerOptions options = o.scorer;
  options.context = o.max_length;
  auto model = eval::open_model(subject, options, workers);
  if (!model) return std::move(model).error();
  return Opened{*std::move(tokenizer), *std::move(model)};
}

/// All files, by one model.
Result<std::vector<TaskResult>> answer_all(const std::vector<TaskFile>& files,
                                           const Subject& subject, const Options& o,
                                           const mamba2::Workers& workers) {
  const auto opened = open(subject, o, workers);
  if (!opened) return opened.error();
  std::vector<TaskResult> results;
  for (const TaskFile& file : files) {
    auto result = answer(file, o, opened->tokenizer, *opened->model, subject.model);
    if (!result) return std::move(result).error();
    results.push_back(*std::move(result));
  }
  return results;
}

Result<void> serve(const Options& o, const mamba2::Workers& workers) {
  const auto opened = open({o.model, o.weights.of(o.model), o.loading}, o, workers);
  if (!opened) return opened.error();
  std::signal(SIGPIPE, SIG_IGN);  // a client that has gone is an error like others
  eval::Server server(*opened->model, opened->tokenizer, o.max_length);
  return eval::serve(server, STDIN_FILENO, std::cout, interrupted);
}

/// What is reported of one model.
void report(const std::vector<TaskFile>& files, const std::vector<TaskResult>& results,
            const Subject& subject, nlohmann::ordered_json& json, std::string& details) {
  std::printf("%s, %s\n", subject.model.c_str(), subject.weights.c_str());
  json = subject.to_json();
  json["tasks"] = nlohmann::ordered_json::array();
  for (std::size_t i = 0; i < files.size(); ++i) {
    eval::print(files[i], results[i]);
    json["tasks"].push_back(eval::to_json(files[i], results[i]));
    details += eval::details(files[i], results[i], subject.to_json());
  }
}

/// The first Ctrl-C ends the work before anything is written; a second one ends the program.
void catch_interrupt() {
  struct sigaction action {};
  action.sa_handler = [](int) { interrupted = 1; };
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  ::sigaction(SIGINT, &action, nullptr);
}

Result<void> run(const Options& o, const cli::WorkerOptions& worker_options) {
  for (const std::string& file : {o.json_file, o.details_file}) {
    if (auto writable = cli::check_writable(file); !writable) return writable;
  }
  std::vector<TaskFile> files;
  for (const std::string& path : o.files) {
    auto file = read_file(o, path);
    if (!file) return std::move(file).error();
    files.push_back(*std::move(file));
  }
  const auto workers = worker_options.start();
  if (!workers) return workers.error();
  catch_interrupt();
  if (o.serve) return serve(o, *workers);

  std::vector<Subject> subjects = {{o.model, o.weights.of(o.model), o.loading}};
  if (o.compares()) {
    Subject other = subjects.front();
    if (!o.compare_model.empty()) other = {o.compare_model, o.weights.of(o.compare_model)};
    if (!o.compare_weights.empty()) other.weights = o.compare_weights;
    subjects.push_back(other);
  }
  std::vector<std::vector<TaskResult>> results;
  for (const Subject& subject : subjects) {
    auto all = answer_all(files, subject, o, *workers);
    if (!all) return std::move(all).error();
    results.push_back(*std::move(all));
  }

  std::vector<nlohmann::ordered_json> reports(subjects.size());
  std::string details;
  for (std::size_t i = 0; i < subjects.size(); ++i) {
    report(files, results[i], subjects[i], reports[i], details);
  }
  nlohmann::ordered_json json = reports.front();
  json.update({{"state", cli::name(o.scorer.state)},
               {"kv", cli::name(o.scorer.kv)},
               {"max_length", o.max_length}});
  if (o.compares()) {
    json["compared_with"] = reports.back();
    for (std::size_t i = 0; i < files.size(); ++i) {
      eval::print_flips(files[i], results[0][i], results[1][i]);
      json["flips"].push_back(eval::flips_to_json(files[i], results[0][i], results[1][i]));
    }
  }
  if (!o.details_file.empty()) {
    if (auto written = cli::write_file(o.details_file, details); !written) return written;
  }
  return cli::write_json(o.json_file, json);
}

void add_options(CLI::App& app, Options& o) {
  std::vector<std::string> tasks;
  tasks.reserve(std::size(eval::kTasks));
  for (const eval::Task& task : eval::kTasks) tasks.emplace_back(task.name);
  app.add_option("MODEL", o.model, cli::kModelHelp)->required();
  auto* files =
      app.add_option("TASK", o.files, "Files of questions, JSON lines, named after their task");
  app.add_option("--task", o.task, "The task of the files, whatever their names")
      ->check(CLI::IsMember(tasks));
  o.weights.add(app);
  o.loading.add(app);
  cli::add_state(app, o.scorer.state);
  cli::add_kv(app, o.scorer.kv);
  app.add_option("--limit", o.limit, "Use so many questions of each file at most, the first")
      ->default_str("all")
      ->transform(cli::whole(1));
  app.add_option("--max-length", o.max_length, "Tokens to read of a text at most, the last")
      ->capture_default_str()
      ->transform(cli::whole(1, 1 << 20));
  app.add_option("--sequences", o.scorer.sequences,
                 "Questions at a time: twice as many states are kept in memory")
      ->capture_default_str()
      ->transform(cli::whole(1, 4096));
  app.add_flag("!--no-sharing", o.scorer.share,
               "Read every choice with its whole text, one after the other: the same scores to\n"
               "rounding, slowly");
  app.add_option("--compare", o.compare_weights,
                 "Answer with weights in this precision, too, and count the answers that change")
      ->check(CLI::IsMember(cli::kWeights));
  app.add_option("--compare-model", o.compare_model, "Likewise with this model");
  app.add_option("--details", o.details_file,
                 "Write what every choice scores to this file, as JSON lines");
  app.add_option("--json", o.json_file, "Write the result to this file as JSON");
  auto* serve = app.add_flag("--serve", o.serve,
                             "Answer what lm-evaluation-harness asks, a line of JSON for each on "
                             "standard\ninput; tools/lm_eval_mamba2.py starts it so");
  for (const char* name :
       {"--task", "--limit", "--compare", "--compare-model", "--details", "--json"}) {
    serve->excludes(name);
  }
  serve->excludes(files);
  app.callback([files, serve] {
    if (files->empty() && serve->empty()) throw CLI::RequiredError("TASK");
  });
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Asks a model the questions of tasks, zero-shot, with the prompts and the scoring of\n"
      "lm-evaluation-harness: arc_easy, hellaswag, lambada_openai, piqa. The choice of the "
      "highest\n"
      "log-likelihood counts (acc), or of the highest per character (acc_norm).");
  Options options;
  cli::WorkerOptions workers;
  add_options(app, options);
  workers.add(app);
  app.footer(
      "A line of a file, by task:\n"
      R"(  arc_easy        {"id": 0, "question": "...", "choices": ["...", "..."], "gold": 0})"
      "\n"
      R"(  hellaswag       {"id": 0, "query": "...", "choices": ["...", "..."], "gold": 0})"
      "\n"
      R"(  lambada_openai  {"id": 0, "text": "..."})"
      "\n"
      R"(  piqa            {"id": 0, "goal": "...", "sol1": "...", "sol2": "...", "label": 0})"
      "\n"
      "hellaswag's texts are preprocessed as the harness does. Standard errors: of means from the\n"
      "deviation of the sample, of the perplexity by the delta method. With --compare, p is that "
      "of\n"
      "McNemar's exact test.\n"
      "Examples:\n"
      "  mamba2-eval model hellaswag.jsonl piqa.jsonl -w int8 --json scores.json\n"
      "  mamba2-eval model arc_easy.jsonl --compare int4 --details answers.jsonl\n"
      "Exit status: 0 done, 1 something failed, 2 wrong usage, 130 interrupted.");
  const int status = cli::run(app, argc, argv, [&] { return run(options, workers); });
  return status != 0 && interrupted != 0 ? 130 : status;
}
