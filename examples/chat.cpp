// SPDX-License-Identifier: Apache-2.0
// chat: talks with a Mamba-2 model, in the terminal; the conversation outlasts the program.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <filesystem>
#include <iostream>
#include <mamba2/chat.hpp>
#include <mamba2/mamba2.hpp>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "../tools/chat_format.hpp"
#include "../tools/cli.hpp"
#include "../tools/keep_state.hpp"
#include "../tools/loading.hpp"
#include "../tools/sampling.hpp"
#include "../tools/speculate.hpp"
#include "../tools/talk.hpp"
#include "../tools/weights.hpp"

namespace {

struct Arguments {
  std::string model;
  std::string system;
  std::string format;    ///< empty: not given
  std::string thinking;  ///< empty: not given
  std::string tools;
  std::string state;
  cli::WeightsOption weights = {.usual = std::string(mamba2::Int8::name)};
  cli::WorkerOptions workers;
  cli::LoadingOptions loading;
  mamba2::KvPrecision kv = mamba2::KvPrecision::fp16;
  std::size_t context = 0;
  mamba2::GenerateOptions generate;
  cli::SamplingOptions sampling;
  cli::SpeculateOption speculate;
};

/// The next Ctrl-C sets `interrupted`, and the one after that ends the program; or the next one
/// does.
void catch_interrupt(bool once) {
  struct sigaction action {};
  if (once) {
    action.sa_handler = [](int) { cli::interrupted = 1; };
    action.sa_flags = static_cast<int>(SA_RESETHAND);
  } else {
    action.sa_handler = SIG_DFL;
  }
  cli::interrupted = 0;
  ::sigaction(SIGINT, &action, nullptr);
}

void describe(CLI::App& app, Arguments& a) {
  app.description(
      "Talks with a Mamba-2 language model, or tells a story with it: a line in, an answer out.");
  app.footer(
      "Examples:\n"
      "  chat MODEL --state tale.state\n"
      "  chat MODEL --template chatml --system \"You are brief.\"\n"
      "  chat MODEL --template \"Child: {user}\\nSailor:{assistant}\\n\" --system \"By the sea.\"\n"
      "\n"
      "A model's own chat template, in chat_template.jinja, tokenizer_config.json or a GGUF file,\n"
      "says what a conversation looks like, where it has one of the forms that are known:\n"
      "  granite, nemotron-3, nemotron-nano-v2, falcon-h1, lfm2, lfm2.5, zamba2, chatml, llama-3,\n"
      "  llama-3.1, mistral-v1, mistral-v3, mistral-v3-tekken, mistral-v7, mistral-v7-tekken,\n"
      "  mistral-v11, codestral, plain\n"
      "--template chooses one of them by its name, or has a turn as a text. Plain is\n"
      "  User: {user}\\nAssistant:{assistant}\\n\n"
      "\n"
      "A model that brings no chat template is no assistant as far as its files tell. It goes on\n"
      "with the lines that are typed: they and what it writes are one text, such as a story, and\n"
      "a line is a paragraph of it, or the rest of a sentence.\n"
      "\n"
      "Where a model calls one of the tools of --tools, the next line is what the tool gives.\n"
      "\n"
      "An answer ends with the model's end of text, at what the template has after an answer (or,\n"
      "if that is white space, at the user's next line), and when it is long enough.\n"
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
                 "What a new conversation begins with; \\n and \\t are understood")
      ->default_str("");
  app.add_option(
         "--template", a.format,
         "The form of a conversation by its name, or what a turn looks like, with {user} and "
         "{assistant} in it; \\n and \\t are understood")
      ->default_str("")
      ->check([](const std::string& text) -> std::string {
        const bool is_known = mamba2::ChatTemplate::named(text).has_value() ||
                              !cli::ChatFormat::parse(text).is_story();
        return is_known ? ""
                        : "must have {user}, something, {assistant}, or be one of " +
                              mamba2::ChatTemplate::names();
      });
  app.add_option("--thinking", a.thinking, "on or off: whether an answer begins with thoughts")
      ->default_str("")
      ->check(CLI::IsMember({"on", "off"}));
  app.add_option("--tools", a.tools, "Tools that the model may call: a JSON list in this file")
      ->default_str("");
  app.add_option("--stop", a.generate.stop,
                 "End an answer before this text, too, or this special token; may be repeated")
      ->default_str("")
      ->allow_extra_args(false);
  app.add_option("--state", a.state, "Keep the conversation in this file, and go on from it")
      ->default_str("");
  a.weights.add(app);
  a.workers.add(app);
  a.loading.add(app);
  cli::add_kv(app, a.kv);
  cli::add_context(app, a.context);
  app.add_option(
         "-n,--max-tokens", a.generate.max_tokens,
         "Tokens of an answer at most; where it is not given, a sentence that has begun may end")
      ->transform(cli::kWhole);
  a.sampling.add(app);
  a.speculate.add(app);
}

/// A model's own template, of which there is something to say on standard error, or the one that
/// was asked for; nothing: a story. Errors: those of ChatTemplate::load.
mamba2::Result<std::optional<mamba2::ChatTemplate>> choose_template(const Arguments& a) {
  using Chosen = std::optional<mamba2::ChatTemplate>;
  auto own = mamba2::ChatTemplate::load(a.model);
  if (!a.format.empty()) {
    const auto lines = cli::ChatFormat::parse(cli::unescape(a.format));
    if (!lines.is_story()) {
      return Chosen(mamba2::ChatTemplate::lines(lines.before, lines.between, lines.after));
    }
    // The model's own has words for tools, too.
    if (own && *own && (*own)->name() == a.format) return own;
    auto named = mamba2::ChatTemplate::named(a.format);
    if (!named) return named.error();
    return Chosen(*std::move(named));
  }
  if (!own) {
    const bool is_unknown = own.error().code == mamba2::ErrorCode::unsupported;
    return mamba2::Error{own.error().code,
                         own.error().message + (is_unknown ? "; --template chooses one" : "")};
  }
  if (*own) {
    std::cerr << "note: the chat template of the model has the form " << (*own)->name() << '\n';
  } else {
    std::cerr << "note: the model brings no chat template, so it is no assistant as far as its "
                 "files tell: it goes on with what you type, such as the beginning of a story; for "
                 "a conversation give --template\n";
  }
  return own;
}

/// The conversation that is to begin; nothing: a story. Errors: those of choose_template and of
/// reading the tools; unsupported, for what the template does not have.
mamba2::Result<std::optional<mamba2::ChatConversation>> choose_conversation(const Arguments& a) {
  using Conversation = std::optional<mamba2::ChatConversation>;
  const auto form = choose_template(a);
  if (!form) return form.error();
  const auto refuse = [](const std::string& what) {
    return mamba2::Error{mamba2::ErrorCode::unsupported, what};
  };
  mamba2::ChatOptions options;
  options.today = cli::local_date();
  options.thinking = a.thinking != "off";
  if (!a.thinking.empty() && (!*form || !(*form)->has_thinking())) {
    return refuse("--thinking: the chat template has no choice of it");
  }
  if (!a.tools.empty()) {
    constexpr std::size_t kMost = std::size_t{1} << 20;
    auto tools = mamba2::read_text_file(a.tools, kMost);
    if (!tools) return tools.error();
    options.tools = *std::move(tools);
    if (!*form || !(*form)->has_tools()) {
      return refuse("--tools: the chat template has no words for tools");
    }
  }
  if (!*form) return Conversation();
  // What is wrong with the tools is said before the first line.
  const auto possible =
      (*form)->render(std::vector<mamba2::ChatMessage>{{mamba2::ChatRole::user, "."}}, options);
  if (!possible) return possible.error();
  return Conversation(mamba2::ChatConversation(**form, options, cli::unescape(a.system)));
}

mamba2::Result<void> talk(Arguments& a, const mamba2::Plan& plan) {
  const auto workers = a.workers.start();
  if (!workers) return workers.error();
  const auto model = a.loading.load(a.model, plan, *workers);
  if (!model) return model.error();
  const auto tokenizer = mamba2::Tokenizer::load(a.model);
  if (!tokenizer) return tokenizer.error();
  const mamba2::SessionOptions options = {
      .kv = a.kv, .context = a.context, .rewind = a.speculate.rewind(), .workers = *workers};
  auto session = model->session(options);
  if (!session) return session.error();
  if (auto resolved = a.sampling.resolve(*tokenizer); !resolved) return resolved;
  auto sampler = mamba2::make_sampler(a.sampling.values(), *tokenizer, session->config());
  if (!sampler) return sampler.error();
  auto speculator = a.speculate.start(*session, *tokenizer, options);
  if (!speculator) return speculator.error();
  if (*speculator) a.generate.speculator = &**speculator;

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

  auto conversation = choose_conversation(a);
  if (!conversation) return conversation.error();
  const std::string system = cli::unescape(a.system);
  cli::Talk chat(*session, *sampler, *tokenizer, *std::move(conversation),
                 system.empty() ? "" : system + '\n', a.generate);
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
    if (auto checked = arguments.speculate.check(); !checked) return checked;
    for (std::string& stop : arguments.generate.stop) stop = cli::unescape(stop);
    if (app.count("--max-tokens") == 0) arguments.generate.finish_sentence = cli::kFinishSentence;
    if (auto writable = cli::check_writable(arguments.state); !writable) return writable;
    return talk(arguments, cli::plan_named(arguments.weights.of(arguments.model)));
  });
}
