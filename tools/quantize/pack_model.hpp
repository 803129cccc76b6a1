// SPDX-License-Identifier: Apache-2.0
// mamba2-quantize --pack: the weights as a program has them in memory, in one file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <mamba2/quantize/pack.hpp>
#include <string>
#include <system_error>

#include "tools/cli.hpp"
#include "tools/convert/companions.hpp"
#include "tools/convert/output_path.hpp"
#include "tools/loading.hpp"
#include "tools/weights.hpp"

namespace quantize {

struct PackArguments {
  const std::string& in;
  const std::string& out;
  std::string type;  ///< int8 or int4; empty: int4, or the precisions that the model has
  const std::string& target;
  const cli::AdapterOptions& adapter;
  bool no_tokenizer;
  bool force;
};

/// Errors: io, for an output that exists; those of Checkpoint and mamba2::pack().
[[nodiscard]] inline mamba2::Result<void> pack_model(const PackArguments& a,
                                                     const cli::WorkerOptions& worker_options) {
  namespace fs = std::filesystem;
  std::error_code error;
  if (fs::exists(a.out, error)) {
    const char* why = fs::equivalent(a.in, a.out, error)   ? "must be another than the model"
                      : !fs::is_regular_file(a.out, error) ? "expected a file, found something else"
                      : !a.force                           ? "exists; --force replaces it"
                                                           : nullptr;
    if (why != nullptr) return mamba2::Error{mamba2::ErrorCode::io, a.out + ": " + why};
  }
  if (auto fine = cli::check_writable(a.out); !fine) return fine;
  auto checkpoint = mamba2::Checkpoint::open(a.in);
  if (!checkpoint) return checkpoint.error();
  if (auto added = a.adapter.add_to(*checkpoint); !added) return added;
  cli::show_notes(checkpoint->notes());
  auto companions = convert::Companions::open(a.in);
  if (!companions) return companions.error();
  if (a.no_tokenizer) companions->drop_tokenizer();
  mamba2::Result<std::string> tokenizer = std::string();
  if (companions->has_tokenizer()) tokenizer = companions->tokenizer_text();
  if (!tokenizer) return tokenizer.error();
  const auto workers = worker_options.start();
  if (!workers) return workers.error();

  const std::string own = cli::has_own_precision(a.in) ? "mixed" : "int4";
  const std::string policy = a.type.empty() ? own : a.type;
  cli::Progress progress("packing");
  mamba2::PackOptions options;
  options.tokenizer_json = *tokenizer;
  options.load = {.workers = *workers, .progress = [&](std::size_t done, std::size_t total) {
                    progress.update(done, total);
                    // There is a file to clean up from now on.
                    if (done == total) convert::catch_signals();
                  }};
  options.go_on = [] { return convert::interrupted == 0; };
  if (auto done = mamba2::pack(*checkpoint, policy, a.target, a.out, options); !done) return done;
  const std::uintmax_t bytes = fs::file_size(a.out, error);
  const std::string layout(mamba2::layout_of(a.target));
  std::printf("%s: %s, packed for %s, %.1f MB\n", a.out.c_str(), policy.c_str(), layout.c_str(),
              error ? 0.0 : static_cast<double>(bytes) / 1e6);
  return {};
}

}  // namespace quantize
