// SPDX-License-Identifier: Apache-2.0
// generate: continues a text with a Mamba-2 model, in the terminal.
#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <iomanip>
#include <iostream>
#include <mamba2/mamba2.hpp>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include "../tools/cli.hpp"
#include "../tools/grammar_options.hpp"
#include "../tools/keep_state.hpp"
#include "../tools/loading.hpp"
#include "../tools/logprobs.hpp"
#include "../tools/memory.hpp"
#include "../tools/sampling.hpp"
#include "../tools/speculate.hpp"
#include "../tools/weights.hpp"

namespace {

using Clock = std::chrono::steady_clock;

constexpr int kInterrupted = 130;

struct Arguments {
  std::string model;
  std::string prompt;
  std::string file;
  cli::WeightsOption weights = {.usual = std::string(mamba2::Int8::name)};
  cli::WorkerOptions workers;
  cli::LoadingOptions loading;
  mamba2::StatePrecision state = mamba2::StatePrecision::fp32;
  mamba2::KvPrecision kv = mamba2::KvPrecision::fp16;
  std::size_t context = 0;
  mamba2::GenerateOptions generate = {.max_tokens = 1024, .special_names = false};
  cli::SamplingOptions sampling;
  cli::GrammarOptions grammar;
  cli::SpeculateOption speculate;
  std::string load_state;
  std::string save_state;
  std::optional<std::size_t> logprobs;
  bool ignore_eos = false;
  bool no_echo = false;
  bool stats = false;
};

volatile std::sig_atomic_t interrupted = 0;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void describe(CLI::App& app, Arguments& a) {
  app.description("Continues a text with a Mamba-2 language model.");
  app.footer(
      "Examples:\n"
      "  generate examples/models/llama-tales-14m \"Once upon a time\"\n"
      "  generate MODEL --file story.txt --max-tokens 500 --temperature 0.6\n"
      "  echo \"The sea was\" | generate MODEL --no-echo --stop \"\\n\\n\" --stats\n"
      "  generate MODEL \"The sea was\" --save-state sea.state\n"
      "  generate MODEL \"Once upon a time\" --json-schema '{\"enum\": [\"yes\", \"no\"]}'\n"
      "  generate MODEL --load-state sea.state --save-state sea.state   # goes on, bit for bit\n"
      "\n"
      "The text goes to standard output, all else to standard error. Ctrl-C ends the text.\n"
      "Exit status: 0 done, 1 something failed, 2 wrong usage, 130 interrupted.");
  app.option_defaults()->always_capture_default();
  app.add_option("MODEL", a.model, cli::kModelHelp)->required();
  auto* prompt = app.add_option("PROMPT", a.prompt,
                                "Text to continue; without it, from --file or standard input");
  app.add_option("-f,--file", a.file, "Read the prompt from this file; - is standard input")
      ->excludes(prompt);
  a.weights.add(app);
  a.workers.add(app);
  a.loading.add(app);
  cli::add_state(app, a.state);
  cli::add_kv(app, a.kv);
  cli::add_context(app, a.context);
  app.add_option("-n,--max-tokens", a.generate.max_tokens,
                 "Tokens to generate at most; where it is not given, a sentence that has begun may "
                 "end")
      ->transform(cli::kWhole);
  a.sampling.add(app);
  a.grammar.add(app);
  a.speculate.add(app);
  app.add_option("--stop", a.generate.stop,
                 "End before this text appears, or this special token, such as <|im_end|>; may be "
                 "repeated; \\n and \\t are understood")
      ->default_str("")
      ->allow_extra_args(false);
  app.add_flag(
      "--special-names", a.generate.special_names,
      "Names of special tokens in the prompt, such as <|im_end|>, are those tokens; without "
      "this they are text");
  app.add_flag("--ignore-eos", a.ignore_eos, "Go on after an end-of-text token");
  app.add_option("--load-state", a.load_state,
                 "Go on after the text of this file, as it was sampled unless options here say "
                 "otherwise; a prompt, if there is one, comes from PROMPT or --file")
      ->default_str("");
  app.add_option(
         "--save-state", a.save_state,
         "Write a file with all that is needed to go on, when the text has ended; FILE.1 if "
         "FILE was loaded and another program has changed it meanwhile")
      ->default_str("");
  app.add_option("--logprobs", a.logprobs,
                 "Write a line of JSON on standard error for every token: the logarithm of its "
                 "probability, as the model alone has it, and the N most probable ones")
      ->default_str("")
      ->type_name("N")
      ->transform(cli::whole(0, 1000));
  app.add_flag("--no-echo", a.no_echo, "Print the continuation alone, not the prompt before it");
  app.add_flag("--stats", a.stats,
               "Afterwards print times, speed, memory and seed on standard error");
}

/// What can be read from a file that is open, or could not be opened: input is -1 then.
mamba2::Result<std::string> read_all(int input, const std::string& name) {
  constexpr std::size_t kMost = std::size_t{1} << 28;  // a device may have no end
  const auto failure = [&](const std::string& why) {
    return mamba2::Error{mamba2::ErrorCode::io, name + ": cannot be read: " + why};
  };
  std::string text;
  std::array<char, 1 << 16> buffer;
  while (input >= 0 && text.size() <= kMost) {
    const ssize_t count = ::read(input, buffer.data(), buffer.size());
    if (count == 0) return text;
    if (count > 0) {
      text.append(buffer.data(), static_cast<std::size_t>(count));
    } else if (errno != EINTR) {
      break;
    }
  }
  if (text.size() > kMost) return failure("more than 256 MiB");
  return failure(std::generic_category().message(errno));
}

mamba2::Result<std::string> read_prompt(const CLI::App& app, const Arguments& a) {
  if (app.count("PROMPT") > 0 || (!a.load_state.empty() && a.file.empty())) return a.prompt;
  const bool standard_input = a.file.empty() || a.file == "-";
  if (a.file.empty() && ::isatty(STDIN_FILENO) == 1) {
    return mamba2::Error{mamba2::ErrorCode::invalid_argument,
                         "no prompt: give it as an argument, with --file, or on standard input"};
  }
  const int input = standard_input ? STDIN_FILENO : ::open(a.file.c_str(), O_RDONLY | O_CLOEXEC);
  auto text = read_all(input, standard_input ? "standard input" : a.file);
  if (!standard_input && input >= 0) ::close(input);
  // The newline that ends a file or a piped line is not meant as part of the text.
  if (text && text->ends_with('\n')) text->pop_back();
  return text;
}

void print_stats(const mamba2::AnyModel& model, const mamba2::State& state, double load_seconds,
                 bool prompt_read, const mamba2::Generated& done, const Arguments& a) {
  const auto per_second = [](std::size_t count, double seconds) {
    return seconds > 0.0 ? static_cast<double>(count) / seconds : 0.0;
  };
  const double speed = per_second(done.tokens, done.seconds);
  std::cerr << std::fixed << std::setprecision(1)  //
            << "weights  " << model.plan().name << ", "
            << static_cast<double>(model.weight_bytes()) / 1e6 << " MB, " << mamba2::isa()
            << (mamba2::isa() == "x86_64" ? " (built without SIMD: slow)" : "") << "\nload     "
            << load_seconds * 1e3 << " ms"
            << "\nprompt   " << done.prompt_tokens
            << (prompt_read ? " tokens, first token after " : " tokens were read, stopped after ")
            << done.prompt_seconds * 1e3 << " ms, "
            << per_second(done.prompt_tokens, done.prompt_seconds) << " tokens/s"
            << "\ntext     " << done.tokens << " tokens, " << speed << " tokens/s, "
            << speed *
                   static_cast<double>(model.bytes_per_token(
                       a.state, a.kv, static_cast<std::size_t>(state.tokens()))) /
                   1e9
            << " GB/s"
            << "\nended    " << mamba2::stop_reason_name(done.reason)  //
            << "\nmemory   " << static_cast<double>(cli::peak_memory()) / 1e6 << " MB at most"
            << "\nseed     "
            << (a.load_state.empty() || a.sampling.seed_given()
                    ? std::to_string(a.sampling.values().seed)
                    : "as saved")
            << '\n';
}

mamba2::Result<void> continue_text(const std::string& prompt, Arguments& a,
                                   const mamba2::Plan& plan) {
  const auto start = Clock::now();
  const auto workers = a.workers.start();
  if (!workers) return workers.error();
  const auto model = a.loading.load(a.model, plan, *workers);
  if (!model) return model.error();
  const auto tokenizer = mamba2::Tokenizer::load(a.model);
  if (!tokenizer) return tokenizer.error();
  const mamba2::SessionOptions session_options = {.state = a.state,
                                                  .kv = a.kv,
                                                  .context = a.context,
                                                  .rewind = a.speculate.rewind(),
                                                  .workers = *workers};
  auto session = model->session(session_options);
  if (!session) return session.error();
  if (auto resolved = a.sampling.resolve(*tokenizer); !resolved) return resolved;
  auto sampler = mamba2::make_sampler(a.sampling.values(), *tokenizer, session->config());
  if (!sampler) return sampler.error();
  const auto constraint = a.grammar.constraint(*tokenizer);
  if (!constraint) return constraint.error();
  a.generate.constraint = constraint->get();
  auto speculator = a.speculate.start(*session, *tokenizer, session_options);
  if (!speculator) return speculator.error();
  if (*speculator) a.generate.speculator = &**speculator;
  mamba2::StateFile file(*session, &*sampler);
  if (!a.load_state.empty()) {
    auto loaded = cli::load_state(file, *sampler, a.load_state, a.sampling);
    if (!loaded) return loaded;
  }
  const double load_seconds = seconds_since(start);

  // From here on Ctrl-C ends the text in order; a second one ends the program.
  struct sigaction action {};
  action.sa_handler = [](int) { interrupted = 1; };
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  ::sigaction(SIGINT, &action, nullptr);

  cli::Progress progress("reading the prompt");
  bool prompt_read = prompt.empty();
  a.generate.on_prompt = [&](std::size_t done, std::size_t total) {
    progress.update(done, total);
    prompt_read = done == total;
    if (prompt_read && !a.no_echo) std::cout << prompt << std::flush;
    return interrupted == 0;
  };
  if (a.logprobs) {
    a.generate.logprobs = true;
    a.generate.best_tokens = *a.logprobs;
    a.generate.on_token = [&](const mamba2::GeneratedToken& token) {
      std::cerr << cli::logprobs_line(token, *tokenizer) << '\n';
    };
  }
  const auto done = mamba2::generate(*session, *sampler, *tokenizer, prompt, a.generate,
                                     [](std::string_view text) {
                                       std::cout << text << std::flush;
                                       return interrupted == 0 && std::cout.good();
                                     });
  if (!done) return done.error();
  std::cout << std::endl;
  if (done->reason == mamba2::StopReason::context_full) cli::show_full_context(session->state());
  if (a.stats) print_stats(*model, session->state(), load_seconds, prompt_read, *done, a);
  if (a.stats && *speculator) cli::SpeculateOption::print_stats(std::cerr, (*speculator)->stats());
  if (a.save_state.empty() || !prompt_read) return {};
  return cli::save_state(file, a.save_state, false);
}

mamba2::Result<void> run(const CLI::App& app, Arguments& a) {
  const mamba2::Result<std::string> prompt = read_prompt(app, a);
  if (!prompt) return prompt.error();
  if (const auto writable = cli::check_writable(a.save_state); !writable) {
    return writable.error();
  }
  if (!a.save_state.empty() && !a.sampling.can_be_saved()) {
    return mamba2::Error{mamba2::ErrorCode::invalid_argument,
                         "--save-state does not go with --logit-bias, --presence-penalty and "
                         "--frequency-penalty, which state files do not have"};
  }
  if (prompt->empty() && a.load_state.empty()) {
    return mamba2::Error{mamba2::ErrorCode::invalid_argument, "the prompt is empty"};
  }
  if (auto checked = a.speculate.check(); !checked) return checked;
  a.generate.stop_at_eos = !a.ignore_eos;
  if (app.count("--max-tokens") == 0) a.generate.finish_sentence = cli::kFinishSentence;
  for (std::string& stop : a.generate.stop) stop = cli::unescape(stop);
  return continue_text(*prompt, a, cli::plan_named(a.weights.of(a.model)));
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app;
  Arguments arguments;
  describe(app, arguments);
  const int status = cli::run(app, argc, argv, [&] { return run(app, arguments); });
  return status == 0 && interrupted != 0 ? kInterrupted : status;
}
