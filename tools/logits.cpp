// SPDX-License-Identifier: Apache-2.0
// mamba2-logits: the raw logits of a text, for comparison with another implementation.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <mamba2/export.hpp>
#include <mamba2/mamba2.hpp>
#include <span>
#include <string>
#include <vector>

#include "cli.hpp"
#include "loading.hpp"
#include "weights.hpp"

namespace {

using mamba2::Result;
using mamba2::Token;

struct Arguments {
  std::string model, text, out;
  cli::WeightsOption weights = {.usual = std::string(mamba2::Fp32::name)};
  cli::WorkerOptions workers;
  cli::LoadingOptions loading;
  mamba2::KvPrecision kv = mamba2::KvPrecision::fp16;
  std::vector<Token> ids;
  bool all = false;
};

Result<std::vector<Token>> tokens_of(const Arguments& a, const mamba2::Config& config) {
  if (a.text.empty()) return a.ids;
  const auto tokenizer = mamba2::Tokenizer::load(a.model);
  if (!tokenizer) return tokenizer.error();
  auto tokens = tokenizer->encode(a.text);
  const auto known = mamba2::detail::check_tokens(tokens, *tokenizer, config);
  if (!known) return known.error();
  return tokens;
}

/// Writes the logits piece by piece: those of a long text need not fit in memory.
Result<void> write_logits(mamba2::AnySession& session, std::span<const Token> tokens, bool all,
                          mamba2::SafetensorsWriter& out) {
  if (!all) {
    const auto logits = session.prefill(tokens);
    if (!logits) return logits.error();
    return out.write(std::as_bytes(*logits));
  }
  constexpr std::size_t kPiece = 64;
  std::vector<float> logits(kPiece * session.config().vocab_size);
  for (std::size_t done = 0; done < tokens.size(); done += kPiece) {
    const auto piece = tokens.subspan(done, std::min(kPiece, tokens.size() - done));
    const auto part = std::span(logits).first(piece.size() * session.config().vocab_size);
    if (Result<void> outcome = session.prefill(piece, part); !outcome) return outcome;
    if (Result<void> written = out.write(std::as_bytes(part)); !written) return written;
  }
  return {};
}

Result<void> run(const Arguments& a, const mamba2::Plan& plan) {
  if (auto writable = cli::check_writable(a.out); !writable) return writable;
  const auto workers = a.workers.start();
  if (!workers) return workers.error();
  const auto model = a.loading.load(a.model, plan, *workers);
  if (!model) return model.error();
  const auto tokens = tokens_of(a, model->config());
  if (!tokens) return tokens.error();
  if (tokens->empty()) return mamba2::Error{mamba2::ErrorCode::invalid_argument, "no tokens"};
  auto session = model->session({.kv = a.kv, .context = tokens->size(), .workers = *workers});
  if (!session) return session.error();

  const std::size_t rows = model->config().vocab_size;
  const std::size_t logits_shape[] = {a.all ? tokens->size() : 1, rows};
  const std::size_t ids_shape[] = {tokens->size()};
  const std::vector<std::int64_t> ids(tokens->begin(), tokens->end());
  mamba2::SafetensorsWriter out;
  out.add_tensor("logits", mamba2::DType::F32, logits_shape).value();
  out.add_tensor("ids", mamba2::DType::I64, ids_shape).value();
  auto file = mamba2::AtomicFile::create(a.out);
  if (!file) return file.error();
  const auto sink = [&](std::span<const std::byte> bytes) { return file->write(bytes); };
  Result<void> written = out.start(sink);
  if (written) written = write_logits(*session, *tokens, a.all, out);
  if (written) written = out.write(std::as_bytes(std::span(ids)));
  return written ? file->commit() : written;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Writes the raw FP32 logits of a text or of token ids to a safetensors file: `logits`\n"
      "(positions, rows of the head, padding rows included) and `ids` (tokens).");
  Arguments a;
  app.add_option("MODEL", a.model, cli::kModelHelp)->required();
  auto* ids = cli::add_list(app, "--ids", a.ids, "Token ids: 1,5,9 (needs no tokenizer)", 0,
                            std::numeric_limits<Token>::max());
  auto* text = app.add_option("--text", a.text, "Text, encoded with the model's tokenizer");
  ids->excludes(text);
  app.add_flag("--all", a.all, "The logits after every token, not only after the last");
  a.weights.add(app);
  a.workers.add(app);
  a.loading.add(app);
  cli::add_kv(app, a.kv);
  app.add_option("--out", a.out, "The file to write")->required();
  app.footer(
      "Example, and how to read the file in Python:\n"
      "  mamba2-logits examples/models/llama-tales-14m --ids 1,5,9 --all --out logits.safetensors\n"
      "  logits = safetensors.numpy.load_file(\"logits.safetensors\")[\"logits\"]\n"
      "Exit status: 0 done, 1 something failed, 2 wrong usage.");
  app.callback([&] {
    if (ids->count() + text->count() == 0) throw CLI::RequiredError("--ids or --text");
  });
  return cli::run(app, argc, argv, [&] { return run(a, cli::plan_named(a.weights.of(a.model))); });
}
