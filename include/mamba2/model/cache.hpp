// SPDX-License-Identifier: Apache-2.0
// Weights that are kept as they are packed: CacheOptions says what for.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "mamba2/core/hash.hpp"
#include "mamba2/core/result.hpp"
#include "mamba2/formats/dtype.hpp"
#include "mamba2/io/checkpoint.hpp"
#include "mamba2/io/fingerprint.hpp"
#include "mamba2/linear/layouts.hpp"
#include "mamba2/linear/plan.hpp"
#include "mamba2/model/load.hpp"
#include "mamba2/model/packed.hpp"
#include "mamba2/model/write_packed.hpp"
#include "mamba2/version.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// The weights of one checkpoint in one cache.
class WeightsCache {
 public:
  WeightsCache(const CacheOptions& options, const Checkpoint& checkpoint, const Plan& plan)
      : options_(options), checkpoint_(checkpoint), plan_(plan), path_(options.folder / name()) {}

  /// Those that are kept; nullptr if there are none, or if they are damaged.
  [[nodiscard]] std::shared_ptr<const Weights> find() const {
    auto weights =
        open_packed_weights(path_, plan_, {.check_hash = options_.check_hash}, checkpoint_.notes());
    if (!weights) return nullptr;
    std::error_code ignored;  // a folder that cannot be written to: it keeps its order
    std::filesystem::last_write_time(path_, std::filesystem::file_time_type::clock::now(), ignored);
    return *weights;
  }

  /// Keeps them. Errors: io; invalid_argument, for what is larger than the cache may be.
  [[nodiscard]] Result<void> keep(const Weights& weights) const {
    if (weights.arena.size() > options_.most_bytes) {
      return Error{ErrorCode::invalid_argument,
                   concat(options_.folder.native(), ": has room for ", options_.most_bytes,
                          " bytes, and the weights have ", weights.arena.size())};
    }
    std::error_code failed;
    std::filesystem::create_directories(options_.folder, failed);
    if (failed) {
      return Error{ErrorCode::io,
                   concat(options_.folder.native(), ": cannot be made: ", failed.message())};
    }
    make_room(weights.arena.size());
    return write_packed_file(weights, layouts::Native::name, path_);
  }

 private:
  struct Kept {
    std::filesystem::path path;
    std::uint64_t bytes;
    std::filesystem::file_time_type used;
  };

  static constexpr std::string_view kSuffix = ".mamba2-cache";

  /// Of what the weights are made of, and of how they are packed.
  [[nodiscard]] std::string name() const {
    Hash hash;
    add_text(hash, MAMBA2_VERSION);
    add_text(hash, layouts::Native::name);
    add_text(hash, plan_.name);
    add_config(hash, checkpoint_.config());
    for (const Token token : checkpoint_.config().eos_token_ids) {
      hash.add(static_cast<std::uint64_t>(token));
    }
    add_tensors(hash);
    std::string name;
    for (unsigned shift = 60;; shift -= 4) {
      name += "0123456789abcdef"[hash.value() >> shift & 15U];
      if (shift == 0) return name.append(kSuffix);
    }
  }

  /// Files, tensors, and a few of their pages: as many as are read in no time, also from a disk.
  void add_tensors(Hash& hash) const {
    constexpr std::size_t kPages = 64;
    constexpr std::size_t kPage = 4096;
    const std::span<const TensorView> tensors = checkpoint_.tensors();
    std::string_view file;
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      const TensorView& tensor = tensors[i];
      if (tensor.file != file) add_file(hash, tensor.file);
      file = tensor.file;
      add_text(hash, tensor.name);
      add_text(hash, dtype_name(tensor.dtype));
      hash.add(tensor.rotation);
      hash.add(tensor.data.size());
      const bool is_sampled = i * kPages / tensors.size() != (i + 1) * kPages / tensors.size();
      if (!is_sampled || tensor.data.empty()) continue;
      const std::size_t bytes = std::min(tensor.data.size(), kPage);
      const std::size_t pages = tensor.data.size() / bytes;
      const auto page = tensor.data.subspan(i % pages * bytes, bytes);
      hash.add(page);
      checkpoint_.release(tensor.data);  // the system may have mapped many pages around it
    }
  }

  /// Also the time of its last change, where the system tells.
  static void add_file(Hash& hash, const std::filesystem::path& file) {
    std::error_code failed;
    add_text(hash, std::filesystem::absolute(file, failed).native());
    hash.add(std::filesystem::file_size(file, failed));
    const auto changed = std::filesystem::last_write_time(file, failed);
    hash.add(static_cast<std::uint64_t>(changed.time_since_epoch().count()));
  }

  /// Whether a program has ended while it wrote this: nobody writes for an hour.
  [[nodiscard]] static bool is_left_over(const std::filesystem::directory_entry& entry) {
    std::error_code gone;
    return entry.path().extension() == ".partial" &&
           entry.path().native().find(kSuffix) != std::string::npos &&
           entry.last_write_time(gone) <
               std::filesystem::file_time_type::clock::now() - std::chrono::hours(1);
  }

  /// Removes files of this cache until there is room for so many bytes. What cannot be removed, or
  /// has gone meanwhile, is left to itself.
  void make_room(std::uint64_t bytes) const {
    std::error_code failed;
    std::vector<Kept> kept;
    for (std::filesystem::directory_iterator it(options_.folder, failed), end; !failed && it != end;
         it.increment(failed)) {
      std::error_code gone;
      if (is_left_over(*it)) std::filesystem::remove(it->path(), gone);
      if (it->path().extension() != kSuffix || !it->is_regular_file(gone)) continue;
      kept.push_back({it->path(), it->file_size(gone), it->last_write_time(gone)});
      if (gone) kept.pop_back();
    }
    std::ranges::sort(kept, std::greater(), &Kept::used);
    for (const Kept& file : kept) {
      if (file.bytes <= options_.most_bytes - bytes) {
        bytes += file.bytes;
      } else {
        std::filesystem::remove(file.path, failed);
      }
    }
  }

  const CacheOptions& options_;
  const Checkpoint& checkpoint_;
  const Plan& plan_;
  std::filesystem::path path_;
};

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
