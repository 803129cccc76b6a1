// SPDX-License-Identifier: Apache-2.0
// A line in, a line out.
#pragma once

#include <csignal>
#include <cstddef>
#include <mamba2/mamba2.hpp>
#include <ostream>
#include <string>

#include "tools/eval/lines.hpp"
#include "tools/eval/server.hpp"

namespace eval {

/// Answers each line of an input by one, until there are no more or nobody reads the answers.
/// Error: io, where the input cannot be read, or a signal has set `interrupted`.
[[nodiscard]] inline Result<void> serve(Server& server, int input, std::ostream& output,
                                        const volatile std::sig_atomic_t& interrupted) {
  LineReader lines(input);
  for (std::size_t number = 1; output.good(); ++number) {
    const auto line = lines.next();
    if (!line) return line.error();
    if (!line->has_value()) break;
    output << server.answer(**line, concat("line ", number)) << std::endl;
    if (interrupted != 0) return Error{ErrorCode::io, "interrupted"};
  }
  return {};
}

}  // namespace eval
