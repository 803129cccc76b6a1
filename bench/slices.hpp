// SPDX-License-Identifier: Apache-2.0
// A measurement in slices, each with the roof beside it.
#pragma once

#include <algorithm>
#include <mamba2/mamba2.hpp>
#include <type_traits>
#include <vector>

#include "bench/operations.hpp"
#include "bench/report.hpp"
#include "bench/roof.hpp"
#include "bench/timing.hpp"
#include "bench/units.hpp"

namespace bench {

/// The instructions that products with these weights can be made of.
template <class W>
using MatrixUnit =
    std::conditional_t<W::name == "int8" || W::name.starts_with("int4") || W::name.starts_with("q"),
                       Int8Unit, std::conditional_t<W::name == "bf16", Bf16Unit, FmaUnit>>;

/// How many operations a second they do at best.
template <class W>
double matrix_peak(const mamba2::Matrix<W>&, const Threads& threads, double at_least) {
  return peak<MatrixUnit<W>>(threads, at_least);
}
inline double matrix_peak(const mamba2::Matrix<mamba2::Mixed>& m, const Threads& threads,
                          double at_least) {
  return m.visit([&](const auto& one) { return matrix_peak(one, threads, at_least); });
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
