// SPDX-License-Identifier: Apache-2.0
// A measurement in slices, each with the roof beside it.
#pragma once

#include <algorithm>
#include <mamba2/mamba2.hpp>
#include <string_view>
#include <vector>

#include "bench/operations.hpp"
#include "bench/report.hpp"
#include "bench/roof.hpp"
#include "bench/timing.hpp"
#include "bench/units.hpp"

namespace bench {

/// How many operations a second the instructions do at best that products of a format are made of.
[[nodiscard]] inline double matrix_peak(const mamba2::Format& format, const Threads& threads,
                                        double at_least) {
  const std::string_view name = format.name;
  if (name == "bf16") return peak<Bf16Unit>(threads, at_least);
  const bool is_int8 = name == "int8" || name.starts_with("int4") || name.starts_with("q");
  return is_int8 ? peak<Int8Unit>(threads, at_least) : peak<FmaUnit>(threads, at_least);
}

/// Tokens with their time, and the roof beside it.
struct Slice {
  double seconds_per_token;
  double bytes_per_s;
  double operations_per_s;
};

/// What a rate was in the slices: rate(slice).
template <class Rate>
[[nodiscard]] Spread spread(const std::vector<Slice>& slices, Rate rate) {
  std::vector<double> values;
  for (const Slice& one : slices) values.push_back(rate(one));
  return {median(values), std::ranges::min(values), std::ranges::max(values)};
}

/// Speed and roofs of a row.
inline void summarize(const std::vector<Slice>& slices, const Operations& operations, Row& row) {
  row.operations_per_token = operations.total();
  row.tokens_per_s = spread(slices, [](const Slice& s) { return 1.0 / s.seconds_per_token; });
  row.roof_bytes_per_s = spread(slices, [](const Slice& s) { return s.bytes_per_s; }).median;
  row.roof_operations_per_s =
      spread(slices, [](const Slice& s) { return s.operations_per_s; }).median;
}

}  // namespace bench
