// SPDX-License-Identifier: Apache-2.0
// What the command-line programs have in common.
#pragma once

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <iostream>
#include <mamba2/core/platform.hpp>
#include <mamba2/core/result.hpp>
#include <mamba2/io/atomic_file.hpp>
#include <new>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/numbers.hpp"
#include "cli/words.hpp"

namespace cli {

/// What a model may be, for --help: to run it, and to look at it or make another of it.
inline constexpr const char* kModelHelp =
    "Folder with config.json, *.safetensors and tokenizer.json, or a *.safetensors in it, or\n"
    "GGUF file, or model.bin of BitMamba-2, or packed file of mamba2-quantize --pack";
inline constexpr const char* kCheckpointHelp =
    "Folder with config.json and *.safetensors, or a *.safetensors in it, or GGUF file, or\n"
    "model.bin of BitMamba-2";

/// What work() returns, or the exception that it throws (out of memory, say) as an error.
template <class Work>
[[nodiscard]] mamba2::Result<void> guarded(Work&& work) {
  try {
    return work();
  } catch (const std::bad_alloc&) {
    return mamba2::Error{mamba2::ErrorCode::out_of_memory, "not enough memory"};
  } catch (const std::exception& failure) {
    return mamba2::Error{mamba2::ErrorCode::io, failure.what()};
  }
}

/// "\n" and "\t" as people type them in a shell.
[[nodiscard]] inline std::string unescape(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char next = text[i] == '\\' && i + 1 < text.size() ? text[i + 1] : '\0';
    const char plain = next == 'n' ? '\n' : next == 't' ? '\t' : next == '\\' ? '\\' : '\0';
    out += plain != '\0' ? plain : text[i];
    if (plain != '\0') ++i;
  }
  return out;
}

/// Runs a program: parses the arguments, calls work(), prints its error. Returns the exit status:
/// 0 done, 1 failed, 2 wrong usage, said in one line.
template <class Work>
int run(CLI::App& app, int argc, char** argv, Work&& work) {
  const std::string name = std::filesystem::path(argv[0]).filename().string();
  app.set_version_flag(
      "--version", name + " (mamba2 " + MAMBA2_VERSION + ", " + std::string(mamba2::isa()) + ")");
  const auto wrong_usage = [&name](std::string_view what) {
    std::cerr << name << ": " << what << '\n';
    return 2;
  };
  const auto words = Words(app, argc, argv).read();
  if (!words) return wrong_usage(words.error().message);
  std::vector<const char*> arguments;
  for (const std::string& word : *words) arguments.push_back(word.c_str());
  try {
    app.parse(static_cast<int>(arguments.size()), arguments.data());
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // what --help and --version show
    return wrong_usage(usage_error(app, error));
  }
  const mamba2::Result<void> outcome = guarded(work);
  if (outcome && std::cout.flush().good()) return 0;
  std::cerr << name << ": "
            << (outcome ? "standard output cannot be written" : outcome.error().message) << '\n';
  return 1;
}

/// Shows what a model's notes say, on standard error.
inline void show_notes(std::span<const std::string> notes) {
  for (const std::string& note : notes) std::cerr << "note: " << note << '\n';
}

/// Error: io, if a file of this name, unless it is empty, could not be written. To be asked before
/// hours of work, not after.
[[nodiscard]] inline mamba2::Result<void> check_writable(const std::string& path) {
  if (path.empty()) return {};
  const auto probe = mamba2::AtomicFile::create(path);
  return probe ? mamba2::Result<void>() : probe.error();
}

/// Writes a whole file. Errors: those of AtomicFile.
[[nodiscard]] inline mamba2::Result<void> write_file(const std::string& path,
                                                     std::string_view text) {
  auto file = mamba2::AtomicFile::create(path);
  if (!file) return file.error();
  const auto written = file->write(std::as_bytes(std::span(text)));
  return written ? file->commit() : written;
}

/// Does nothing if the path is empty. Names out of files and of files need not be UTF-8.
[[nodiscard]] inline mamba2::Result<void> write_json(const std::string& path,
                                                     const nlohmann::ordered_json& json) {
  if (path.empty()) return {};
  using Handler = nlohmann::ordered_json::error_handler_t;
  return write_file(path, json.dump(2, ' ', false, Handler::replace) + "\n");
}

/// A line on the terminal that tells how far a long piece of work has come; nothing where standard
/// error is not a terminal, or the work is short.
class Progress {
 public:
  explicit Progress(std::string what) : what_(std::move(what)) {}
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress() { clear(); }

  void update(std::size_t done, std::size_t total) {
    const std::chrono::duration<double> elapsed = Clock::now() - start_;
    if (done == total) return clear();
    if (!terminal_ || elapsed.count() < 0.5) return;
    shown_ = true;
    const double left =
        elapsed.count() * static_cast<double>(total - done) / static_cast<double>(done);
    std::cerr << '\r' << what_ << ' ' << 100 * done / total << " %, "
              << static_cast<long>(left + 0.5) << " s left\033[K" << std::flush;
  }

 private:
  using Clock = std::chrono::steady_clock;

  void clear() {
    if (std::exchange(shown_, false)) std::cerr << "\r\033[K" << std::flush;
  }

  std::string what_;
  Clock::time_point start_ = Clock::now();
  bool terminal_ = ::isatty(STDERR_FILENO) == 1;
  bool shown_ = false;
};

}  // namespace cli
