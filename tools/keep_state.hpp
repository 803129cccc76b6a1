// SPDX-License-Identifier: Apache-2.0
// State files of the programs: no text is lost because another program has the same file.
#pragma once

#include <mamba2/sequence/sampler.hpp>
#include <mamba2/sequence/state_file.hpp>
#include <string>
#include <utility>

#include "sampling.hpp"

namespace cli {

/// Goes on from a state file, sampling as it was saved but for what the options say.
[[nodiscard]] inline mamba2::Result<void> load_state(mamba2::StateFile& file,
                                                     mamba2::Sampler& sampler,
                                                     const std::string& path,
                                                     const SamplingOptions& sampling) {
  if (auto loaded = file.load(path); !loaded) return loaded;
  auto resumed = sampling.resume(sampler);
  if (!resumed) return resumed.error();
  sampler = *std::move(resumed);
  return {};
}

/// Saves to a file, is_new: where none is to be yet. If another program has written to it
/// meanwhile, its file stays, and what was to be saved goes to FILE.1, or the first such name that
/// is free: the error says so.
[[nodiscard]] inline mamba2::Result<void> save_state(mamba2::StateFile& file,
                                                     const std::string& path, bool is_new) {
  using mamba2::ErrorCode;
  const auto saved = is_new ? file.save_new(path) : file.save(path);
  if (saved || saved.error().code != ErrorCode::mismatch) return saved;
  constexpr int kTries = 1000;
  for (int i = 1; i <= kTries; ++i) {
    const std::string beside = path + "." + std::to_string(i);
    const auto kept = file.save_new(beside);
    if (!kept && kept.error().code == ErrorCode::mismatch) continue;  // the name is taken
    return mamba2::Error{ErrorCode::mismatch,
                         saved.error().message + (kept ? "; what was to be saved is in " + beside
                                                       : "; " + kept.error().message)};
  }
  return saved;
}

}  // namespace cli
