// SPDX-License-Identifier: Apache-2.0
// Options of what a program loads beside a model's weights, and of where it keeps these.
#pragma once

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <mamba2/mamba2.hpp>
#include <string>
#include <utility>

#include "cli.hpp"

namespace cli {

/// --lora, and --repeat-start, -end and -count.
struct AdapterOptions {
  std::string lora;
  mamba2::LayerRepeat repeat;

  void add(CLI::App& app) {
    app.add_option("--lora", lora, "Adapter of BitMamba-2 (.lora.bin) to add to the model")
        ->default_str("");
    app.add_option("--repeat-count", repeat.count,
                   "Times that the layers from --repeat-start to --repeat-end run once more")
        ->capture_default_str()
        ->transform(cli::kWhole);
    for (const auto& [name, place] :
         {std::pair("--repeat-start", &repeat.first), std::pair("--repeat-end", &repeat.last)}) {
      app.add_option(name, *place, "A layer, counted from 0")
          ->capture_default_str()
          ->transform(cli::kWhole);
    }
  }
  [[nodiscard]] bool are_given() const { return !lora.empty() || repeat.count > 0; }
  /// Errors: those of Checkpoint::add_lora and repeat.
  [[nodiscard]] mamba2::Result<void> add_to(mamba2::Checkpoint& checkpoint) const {
    if (!lora.empty()) {
      if (auto added = checkpoint.add_lora(std::filesystem::path(lora)); !added) return added;
    }
    return checkpoint.repeat(repeat);
  }
};

/// The folder for what programs can make again: $XDG_CACHE_HOME/mamba2, or ~/.cache/mamba2; empty
/// if the environment names neither.
[[nodiscard]] inline std::filesystem::path user_cache() {
  const auto value = [](const char* name) {
    const char* found = std::getenv(name);
    return std::filesystem::path(found != nullptr ? found : "");
  };
  // A relative path is to be passed over, says the XDG Base Directory Specification.
  if (const auto folder = value("XDG_CACHE_HOME"); folder.is_absolute()) return folder / "mamba2";
  const auto home = value("HOME");
  return home.is_absolute() ? home / ".cache" / "mamba2" : std::filesystem::path();
}

/// --cache and --cache-folder.
struct CacheOption {
  bool wanted = false;
  std::string folder;

  void add(CLI::App& app) {
    app.add_flag(
        "--cache", wanted,
        "Keep the weights as they are packed, for the next start: in "
        "$XDG_CACHE_HOME/mamba2 or ~/.cache/mamba2, whose files may be removed at any time");
    app.add_option("--cache-folder", folder, "Keep them in this folder")->default_str("");
  }
  [[nodiscard]] bool is_given() const { return wanted || !folder.empty(); }
  /// Where, or nowhere. Error invalid_argument: nobody has said where.
  [[nodiscard]] mamba2::Result<mamba2::CacheOptions> get() const {
    mamba2::CacheOptions options;
    if (!folder.empty()) options.folder = folder;
    if (options.folder.empty() && wanted) {
      options.folder = user_cache();
      if (options.folder.empty()) {
        return mamba2::Error{mamba2::ErrorCode::invalid_argument,
                             "--cache: neither XDG_CACHE_HOME nor HOME names a folder; "
                             "--cache-folder does"};
      }
    }
    return options;
  }
};

/// What a program that runs a model loads beside its weights, and where it keeps these;
/// --unchecked.
struct LoadingOptions : AdapterOptions {
  CacheOption cache;
  bool unchecked = false;

  void add(CLI::App& app) {
    AdapterOptions::add(app);
    cache.add(app);
    app.add_flag("--unchecked", unchecked,
                 "Of a packed file: do not read it all for its hash, so that experts that no token "
                 "chooses stay on the disk");
  }
  /// Loads a model, and shows on standard error how far that has come, the model's notes, and what
  /// would make the next start shorter. Errors: those of AnyModel::load; see CacheOption::get().
  [[nodiscard]] mamba2::Result<mamba2::AnyModel> load(const std::string& model,
                                                      const mamba2::Plan& plan,
                                                      const mamba2::Workers& workers) const {
    auto kept = cache.get();
    if (!kept) return std::move(kept).error();
    const auto start = std::chrono::steady_clock::now();
    auto loaded = [&] {
      Progress progress("loading");
      mamba2::LoadOptions options = {.workers = workers};
      options.progress = [&](std::size_t done, std::size_t all) { progress.update(done, all); };
      options.lora = lora;
      options.repeat = repeat;
      options.check_hash = !unchecked;
      options.cache = *std::move(kept);
      return mamba2::AnyModel::load(model, plan, options);
    }();
    if (!loaded) return loaded;
    show_notes(loaded->notes());
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    if (seconds.count() > 1.0 && !cache.is_given() && ::isatty(STDERR_FILENO) == 1) {
      std::cerr << "loading took " << static_cast<long>(seconds.count() + 0.5)
                << " s; --cache keeps the weights as they are packed, for the next start\n";
    }
    return loaded;
  }
};

}  // namespace cli
