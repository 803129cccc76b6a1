// SPDX-License-Identifier: Apache-2.0
// What the command-line programs have in common.
#pragma once

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <mamba2/core/result.hpp>
#include <string>
#include <system_error>
#include <utility>

namespace cli {

/// Runs a program: parses the arguments, calls work(), prints its error. Returns the exit status:
/// 0 done, 1 failed, 2 wrong usage.
template <class Work>
int run(CLI::App& app, int argc, char** argv, Work&& work) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  const mamba2::Result<void> outcome = work();
  if (outcome && std::cout.flush().good()) return 0;
  std::cerr << std::filesystem::path(argv[0]).filename().string() << ": "
            << (outcome ? "standard output cannot be written" : outcome.error().message) << '\n';
  return 1;
}

/// Writes a file that appears under its name whole or not at all.
class AtomicFile {
 public:
  explicit AtomicFile(std::string path)
      : path_(std::move(path)),
        temporary_(path_ + ".partial"),
        out_(temporary_, std::ios::binary) {}
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile() {
    if (!committed_) std::remove(temporary_.c_str());
  }

  void write(const char* bytes, std::size_t count) {
    out_.write(bytes, static_cast<std::streamsize>(count));
  }
  [[nodiscard]] bool good() const { return out_.good(); }

  /// Gives the file its name. Error: io, if anything since the opening has failed.
  [[nodiscard]] mamba2::Result<void> commit() {
    out_.close();
    std::error_code failure;
    if (out_.good()) std::filesystem::rename(temporary_, path_, failure);
    if (!out_.good() || failure) {
      return mamba2::Error{mamba2::ErrorCode::io, path_ + ": cannot be written"};
    }
    committed_ = true;
    return {};
  }

 private:
  std::string path_;
  std::string temporary_;
  std::ofstream out_;
  bool committed_ = false;
};

inline mamba2::Result<void> write_json(const std::string& path,
                                       const nlohmann::ordered_json& json) {
  const std::string text = json.dump(2) + "\n";
  AtomicFile file(path);
  file.write(text.data(), text.size());
  return file.commit();
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
