// SPDX-License-Identifier: Apache-2.0
// Lines of an input that has no end yet.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <mamba2/mamba2.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace eval {

struct Line {
  std::string text;    ///< without its end
  bool whole = false;  ///< else it is longer than lines may be, and its end is left out
};

/// Reads lines from a file descriptor; unlike a stream it can be interrupted.
class LineReader {
 public:
  static constexpr std::size_t kMaxBytes = std::size_t{64} << 20;  ///< of a line

  explicit LineReader(int descriptor) : descriptor_(descriptor) {}

  /// The next line; nothing at the end of the input. Error: io (also for a signal that is handled).
  [[nodiscard]] mamba2::Result<std::optional<Line>> next() {
    Line line{.text = {}, .whole = true};
    for (bool any = false;; any = true) {
      if (rest_.empty()) {
        const ssize_t count = ::read(descriptor_, buffer_.data(), buffer_.size());
        if (count < 0) {
          return mamba2::Error{mamba2::ErrorCode::io,
                               errno == EINTR ? "interrupted" : "standard input cannot be read"};
        }
        if (count == 0) return any ? std::optional(line) : std::nullopt;
        rest_ = std::string_view(buffer_.data(), static_cast<std::size_t>(count));
      }
      const std::size_t end = std::min(rest_.find('\n'), rest_.size());
      const std::size_t room = std::min(end, kMaxBytes - line.text.size());
      line.text += rest_.substr(0, room);
      line.whole = line.whole && room == end;
      const bool ended = end < rest_.size();
      rest_.remove_prefix(ended ? end + 1 : end);
      if (ended) return std::optional(std::move(line));
    }
  }

 private:
  int descriptor_;
  std::array<char, 1 << 16> buffer_;
  std::string_view rest_;  // of the buffer
};

}  // namespace eval
