// SPDX-License-Identifier: Apache-2.0
// chat: talks with a Mamba-2 model, in the terminal; the conversation outlasts the program.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <filesystem>
#include <iostream>
#include <mamba2/mamba2.hpp>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "../tools/chat_format.hpp"
#include "../tools/cli.hpp"
#include "../tools/keep_state.hpp"
#include "../tools/sampling.hpp"
#include "../tools/weights.hpp"

namespace {

/// A conversation with a model whose own form is not known.
constexpr const char* kUsualFormat = "User: {user}\\nAssistant:{assistant}\\n";

struct Arguments {
  std::string model;
  std::string system;
  std::string format;  ///< empty: not given
  std::string state;
  cli::WeightsOption weights = {.usual = std::string(mamba2::Int8::name)};
  cli::WorkerOptions workers;
  mamba2::KvPrecision kv = mamba2::KvPrecision::fp16;
  std::size_t context = 0;
  mamba2::GenerateOptions generate;
  cli::SamplingOptions sampling;
};

volatile std::sig_atomic_t interrupted = 0;

/// The next Ctrl-C sets `interrupted`, and the one after that ends the program; or the next one
/// does.
void catch_interrupt(bool once) {
  struct sigaction action {};
  if (once) {
    action.sa_handler = [](int) { interrupted = 1; };
    action.sa_flags = static_cast<int>(SA_RESETHAND);
  } else {
    action.sa_handler = SIG_DFL;
  }
  interrupted = 0;
  ::sigaction(SIGINT, &action, nullptr);
}

void describe(CLI::App& app, Arguments& a) {
  app.description(
      "Talks with a Mamba-2 language model, or tells a story with it: a line in, an answer out.");
  app.footer(
      "Examples:\n"
      "  chat MODEL --state tale.state\n"
      "  chat MODEL --template \"<|im_start|>user\\n{user}<|im_end|>\\n"
      "<|im_start|>assistant\\n{assistant}<|im_end|>\\n\"\n"
      "  chat MODEL --template \"Child: {user}\\nSailor:{assistant}\\n\" --system \"By the sea.\"\n"
      "\n"
      "A model that brings no chat template, in tokenizer_config.json, chat_template.jinja or a\n"
      "GGUF file, is no assistant as far as its files tell. It goes on with the lines that are\n"
      "typed: they and what it writes are one text, such as a story, and a line is a paragraph\n"
      "of it, or the rest of a sentence. --template makes it a conversation. The template that\n"
      "a model may bring is not applied; without --template a turn then looks like\n"
      "  User: {user}\\nAssistant:{assistant}\\n\n"
      "\n"
      "An answer ends with the model's end of text, before what follows {assistant} or, if that\n"
      "is white space, the user's next line, and when it is long enough.\n"
      "\n"
      "Ctrl-C stops an answer, Ctrl-D ends the program. With --state every turn that has ended\n"
      "is on the disk, whatever happens to the program or the machine afterwards, and the same\n"
      "command goes on there; what remains of a stopped answer is what was shown. If another\n"
      "program has written to the file meanwhile, its conversation stays, and this one goes to\n"
      "FILE.1 and ends.\n"
      "Exit status: 0 done, 1 something failed, 2 wrong usage.");
  app.option_defaults()->always_capture_default();
  app.add_option("MODEL", a.model, cli::kModelHelp)->required();
  app.add_option("--system", a.system,
                 "A line that a new conversation begins with; \\n and \\t are understood")
      ->default_str("");
  app.add_option("--template", a.format,
                 "What a turn looks like, with {user} and {assistant} in it; \\n and \\t are "
                 "understood")
      ->default_str("")
      ->check([](const std::string& text) -> std::string {
        return cli::ChatFormat::parse(text).is_story() ? "must have {user}, something, {assistant}"
                                                       : "";
      });
  app.add_option("--stop", a.generate.stop,
                 "End an answer before this text, too, or this special token; may be repeated")
      ->default_str("")
      ->allow_extra_args(false);
  app.add_option("--state", a.state, "Keep the conversation in this file, and go on from it")
      ->default_str("");
  a.weights.add(app);
  a.workers.add(app);
  cli::add_kv(app, a.kv);
  cli::add_context(app, a.context);
  app.add_option(
         "-n,--max-tokens", a.generate.max_tokens,
         "Tokens of an answer at most; where it is not given, a sentence that has begun may end")
      ->transform(cli::kWhole);
  a.sampling.add(app);
}

/// What turns look like. What there is to say about it goes to standard error. Errors: those of
/// cli::has_chat_template.
mamba2::Result<cli::ChatFormat> choose_format(const Arguments& a) {
  if (!a.format.empty()) return cli::ChatFormat::parse(cli::unescape(a.format));
  const auto has_template = cli::has_chat_template(a.model);
  if (!has_template) return has_template.error();
  if (*has_template) {
    std::cerr << "note: the chat template of the model is not applied: a turn looks like "
              << kUsualFormat << "; --template gives another form\n";
    return cli::ChatFormat::parse(cli::unescape(kUsualFormat));
  }
  std::cerr << "note: the model brings no chat template, so it is no assistant as far as its files "
               "tell: it goes on with what you type, such as the beginning of a story; for a "
               "conversation give --template\n";
  return cli::ChatFormat();
}

/// A conversation, or a story: what was said is what the session has read.
class Chat {
 public:
  Chat(mamba2::AnySession& session, mamba2::Sampler& sampler, const mamba2::Tokenizer& tokenizer,
       cli::ChatFormat format, const Arguments& a)
      : session_(session),
        sampler_(sampler),
        tokenizer_(tokenizer),
        format_(std::move(format)),
        system_(cli::unescape(a.system)),
        options_(a.generate),
        before_(session.state()) {
    if (!system_.empty()) system_ += '\n';
    options_.stop.push_back(format_.stop());
    options_.on_prompt = [](std::size_t, std::size_t) { return interrupted == 0; };
  }

  /// Reads a line and writes the answer to standard output. An interrupted answer counts as far as
  /// it was shown; a line that was not read to its end does not count at all.
  [[nodiscard]] mamba2::Result<void> turn(const std::string& line) {
    const bool first = session_.state().tokens() == 0;
    const std::string prompt =
        (first ? system_ + format_.before : format_.next(answer_, line)) + line + format_.between;
    const auto tokens = tokenizer_.encode(prompt, {.add_special = first});
    if (tokens.size() > session_.state().room()) return note_full_context();
    before_ = session_.state();
    const auto read = generate(prompt, 0);
    if (!read) return read.error();
    if (read->reason == mamba2::StopReason::cancelled) return session_.set_state(before_);

    before_ = session_.state();
    answer_.clear();
    const auto done = generate("", options_.max_tokens);
    if (!done) return done.error();
    if (done->reason == mamba2::StopReason::context_full) return note_full_context();
    const bool whole =
        done->reason == mamba2::StopReason::eos || done->reason == mamba2::StopReason::max_tokens;
    return whole ? mamba2::Result<void>() : remember_answer();
  }

  /// An empty line.
  void begin_anew_if_full() {
    if (is_full_) session_.reset();
    is_full_ = false;
  }

 private:
  [[nodiscard]] mamba2::Result<void> note_full_context() {
    is_full_ = true;
    std::cerr << "\nthe context of " << session_.state().context()
              << " tokens is full: an empty line begins anew; --context has room for more\n";
    return {};
  }

  [[nodiscard]] mamba2::Result<mamba2::Generated> generate(const std::string& prompt,
                                                           std::size_t max_tokens) {
    mamba2::GenerateOptions options = options_;
    options.max_tokens = max_tokens;
    return mamba2::generate(session_, sampler_, tokenizer_, prompt, options,
                            [this](std::string_view text) {
                              if (interrupted != 0) return false;
                              answer_ += text;
                              std::cout << text << std::flush;
                              return std::cout.good();
                            });
  }

  /// The session has read on, into a stop string, say: back to what was shown.
  [[nodiscard]] mamba2::Result<void> remember_answer() {
    if (auto set = session_.set_state(before_); !set) return set;
    const std::vector<mamba2::Token> tokens =
        tokenizer_.encode(answer_, {.add_special = false, .special_names = false});
    if (tokens.empty()) return {};
    const auto logits = session_.prefill(tokens);
    return logits ? mamba2::Result<void>() : logits.error();
  }

  mamba2::AnySession& session_;
  mamba2::Sampler& sampler_;
  const mamba2::Tokenizer& tokenizer_;
  cli::ChatFormat format_;
  std::string system_;
  mamba2::GenerateOptions options_;
  mamba2::State before_;
  std::string answer_;
  bool is_full_ = false;
};

mamba2::Result<void> talk(Arguments& a, const mamba2::Plan& plan) {
  const auto workers = a.workers.start();
  if (!workers) return workers.error();
  const auto model = mamba2::AnyModel::load(a.model, plan, {.workers = *workers});
  if (!model) return model.error();
  cli::show_notes(model->notes());
  const auto tokenizer = mamba2::Tokenizer::load(a.model);
  if (!tokenizer) return tokenizer.error();
  auto session = model->session({.kv = a.kv, .context = a.context, .workers = *workers});
  if (!session) return session.error();
  if (auto resolved = a.sampling.resolve(*tokenizer); !resolved) return resolved;
  auto sampler = mamba2::make_sampler(a.sampling.values(), *tokenizer, session->config());
  if (!sampler) return sampler.error();

  if (!a.state.empty() && !a.sampling.can_be_saved()) {
    return mamba2::Error{mamba2::ErrorCode::invalid_argument,
                         "--state does not go with --logit-bias, --presence-penalty and "
                         "--frequency-penalty, which state files do not have"};
  }
  mamba2::StateFile file(*session, &*sampler);
  std::error_code ignored;  // opening the file says what is wrong
  bool is_new = !std::filesystem::exists(a.state, ignored);
  if (!a.state.empty() && !is_new) {
    if (auto loaded = cli::load_state(file, *sampler, a.state, a.sampling); !loaded) return loaded;
  }

  auto format = choose_format(a);
  if (!format) return format.error();
  Chat chat(*session, *sampler, *tokenizer, *std::move(format), a);
  const bool terminal = ::isatty(STDIN_FILENO) == 1;
  if (terminal && session->state().tokens() > 0) {
    std::cerr << a.state << ": goes on after " << session->state().tokens() << " tokens\n";
  }
  std::string line;
  for (;;) {
    if (terminal) std::cout << "> " << std::flush;
    if (!std::getline(std::cin, line)) break;
    if (line.empty()) {
      chat.begin_anew_if_full();
      continue;
    }
    catch_interrupt(true);
    if (auto outcome = chat.turn(line); !outcome) return outcome;
    if (!a.state.empty()) {
      if (auto saved = cli::save_state(file, a.state, is_new); !saved) return saved;
      is_new = false;
    }
    catch_interrupt(false);
    std::cout << std::endl;  // the turn is on the disk
    if (!std::cout.good()) break;
  }
  if (terminal) std::cout << std::endl;
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app;
  Arguments arguments;
  describe(app, arguments);
  return cli::run(app, argc, argv, [&]() -> mamba2::Result<void> {
    for (std::string& stop : arguments.generate.stop) stop = cli::unescape(stop);
    if (app.count("--max-tokens") == 0) arguments.generate.finish_sentence = cli::kFinishSentence;
    if (auto writable = cli::check_writable(arguments.state); !writable) return writable;
    return talk(arguments, cli::plan_named(arguments.weights.of(arguments.model)));
  });
}
