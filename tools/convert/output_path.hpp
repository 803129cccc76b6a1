// SPDX-License-Identifier: Apache-2.0
// What programs that write models ask before they begin, and heed until they end.
#pragma once

#include <csignal>
#include <filesystem>
#include <mamba2/io/model_path.hpp>
#include <mamba2/mamba2.hpp>
#include <string>
#include <string_view>
#include <system_error>

#include "tools/cli.hpp"

namespace convert {

/// The signal that asked the program to end; 0: none.
inline volatile std::sig_atomic_t interrupted = 0;

/// From now on the signals that end a program set `interrupted`.
inline void catch_signals() {
  struct sigaction action {};
  action.sa_handler = [](int signal) { interrupted = signal; };
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) ::sigaction(signal, &action, nullptr);
  // A limit of the size of files is an error like a full disk, not the end.
  action.sa_handler = SIG_IGN;
  ::sigaction(SIGXFSZ, &action, nullptr);
}

/// Whether an output is to be a GGUF file; else it is a folder.
[[nodiscard]] inline bool is_gguf(const std::filesystem::path& out) {
  return out.extension() == ".gguf";
}

/// Whether the output may be written, asked before any work is done. in: the model that is read, or
/// empty. Error: io.
[[nodiscard]] inline mamba2::Result<void> check_out(const std::string& in, const std::string& out,
                                                    bool force) {
  namespace fs = std::filesystem;
  const auto io_error = [&out](std::string_view reason) {
    return mamba2::Error{mamba2::ErrorCode::io, mamba2::detail::concat(out, ": ", reason)};
  };
  const bool to_gguf = is_gguf(out);
  std::error_code error;
  if (!fs::exists(out, error)) return to_gguf ? cli::check_writable(out) : mamba2::Result<void>();
  if (!in.empty()) {
    const bool is_shard = !to_gguf && !fs::is_directory(in, error);
    if (fs::equivalent(is_shard ? fs::absolute(in).parent_path() : fs::path(in), out, error)) {
      return io_error("must be another than the model that is read");
    }
  }
  if (to_gguf) {
    const bool is_file = fs::is_regular_file(out, error);
    if (is_file && !force) return io_error("exists; --force replaces it");
    return cli::check_writable(out);
  }
  if (!fs::is_directory(out, error)) return io_error("expected a directory, found a file");
  if (!force && !fs::is_empty(out, error)) {
    return io_error("is not empty; --force replaces the model in it");
  }
  // It would no longer belong to what lies beside it.
  if (fs::exists(fs::path(out) / "model.safetensors.index.json", error)) {
    return io_error("has a model in several parts, which --force does not replace");
  }
  return cli::check_writable(fs::path(out) / "model.safetensors");
}

/// A model's name, from its path: that of its folder, or of its file if that is all of it.
[[nodiscard]] inline std::string name_of_model(const std::filesystem::path& in) {
  namespace fs = std::filesystem;
  const auto folder = mamba2::detail::checkpoint_folder(in);
  fs::path path = fs::absolute(folder ? *folder : in).lexically_normal();
  if (path.filename().empty()) path = path.parent_path();
  return (fs::is_directory(path) ? path.filename() : path.stem()).native();
}

}  // namespace convert
