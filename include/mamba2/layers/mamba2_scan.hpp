// SPDX-License-Identifier: Apache-2.0
// The recurrence of the Mamba-2 mixer over parts of sequences, chunk by chunk.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "mamba2/core/views.hpp"
#include "mamba2/kernels/scan.hpp"
#include "mamba2/kernels/scan_single.hpp"
#include "mamba2/kernels/ssd.hpp"
#include "mamba2/layers/pass.hpp"
#include "mamba2/layers/state.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// What a scan has of a batch, a row to a token: kernels::ScanRows and what the heads of a group
/// share.
struct ScanInputs {
  MutableRows x;   ///< (tokens, d_ssm): later y
  ConstRows B;     ///< (tokens, ngroups * d_state)
  ConstRows C;     ///< (tokens, ngroups * d_state)
  ConstRows dt;    ///< (tokens, nheads): the step sizes
  MutableRows CB;  ///< (tokens, ngroups * kChunk): see kernels::chunk_products()
};

/// The recurrence of one layer. The state's ssm stands where a chunk began (State::base()), and
/// rows since then are kept in the state: of the chunk at hand, as its later tokens need them, and
/// of tokens that may be taken back. Chunks whose tokens stay go into the ssm as soon as they are
/// whole; one that may be taken back goes, for the tokens behind it, into a copy of it.
class Mamba2Scan {
 public:
  /// index: of the layer among the Mamba-2 layers.
  Mamba2Scan(const kernels::Ssm& ssm, std::size_t index, const ScanInputs& inputs)
      : ssm_(ssm), index_(index), in_(inputs) {}

  /// Keeps the columns [first, first + count) of xBC behind x, as far as they are B's, of the chunk
  /// that a part begins or goes on with.
  void keep_first_B(const Part& part, std::size_t first, std::size_t count) const {
    if (ssm_.d_state > 1) keep_B(part, chunk_of(part, 0), first, count);
  }
  /// If the token is the last of a part: keeps the B of its other chunks. Not before all heads have
  /// been scanned, which may need what was kept in the same place before.
  void keep_last_B(std::span<const Part> parts, std::size_t token) const {
    if (ssm_.d_state == 1) return;
    const auto part =
        std::ranges::find_if(parts, [&](const Part& p) { return token == p.first + p.count - 1; });
    if (part == parts.end()) return;
    for_chunks(*part, [&](const Chunk& chunk) {
      if (chunk.first > 0) keep_B(*part, chunk, 0, in_.B.cols);
    });
  }

  /// Computes CB of a group for the tokens [first, end), which keep_first_B() is done with.
  void multiply_rows(std::span<const Part> parts, std::size_t first, std::size_t end,
                     std::size_t group) const {
    const std::size_t column = group * ssm_.d_state;
    for (const Part& part : parts) {
      const std::size_t from = std::max(first, part.first);
      const std::size_t to = std::min(end, part.first + part.count);
      for (std::size_t t = from; t < to; ++t) {
        const Chunk chunk = chunk_of(part, t - part.first);
        kernels::chunk_products(in_.C[t] + column, B(part, chunk).columns(column, ssm_.d_state),
                                chunk.rows + t - part.first - chunk.first,
                                in_.CB[t] + group * kernels::kChunk);
      }
    }
  }

  /// Takes so many rows of a chunk, which are kept in a state, into the ssm of a layer.
  static void take_up(const kernels::Ssm& ssm, State& state, std::size_t index,
                      std::uint64_t number, std::size_t rows) {
    if (state.precision() == StatePrecision::fp32) {
      take_up<float>(ssm, state, index, number, rows);
    } else {
      take_up<std::uint16_t>(ssm, state, index, number, rows);
    }
  }

  /// Takes the tokens of a part through the recurrence of a head; x becomes y.
  void run(const Part& part, std::size_t head) const {
    if (part.state->precision() == StatePrecision::fp32) {
      run<float>(part, head);
    } else {
      run<std::uint16_t>(part, head);
    }
  }

 private:
  /// What a part has of a chunk.
  struct Chunk {
    std::uint64_t number;
    std::size_t rows;   ///< that were read before the part
    std::size_t first;  ///< token of the part
    std::size_t count;  ///< of the part's tokens
    bool is_whole;      ///< with them
    bool is_kept;       ///< not whole, or of tokens that may be taken back
  };

  /// The chunk that has the token after `begin` others, which are not fewer than base().
  [[nodiscard]] static Chunk chunk_from(const Part& part, std::uint64_t begin) {
    const std::uint64_t before = part.state->tokens();
    const std::uint64_t number = begin / kernels::kChunk;
    const std::uint64_t whole = (number + 1) * kernels::kChunk;
    const std::uint64_t end = std::min(whole, before + part.count);
    const std::uint64_t first = std::clamp(before, begin, end);
    return {number,
            static_cast<std::size_t>(first - begin),
            static_cast<std::size_t>(first - std::min(first, before)),
            static_cast<std::size_t>(end - first),
            end == whole,
            whole > part.state->base(part.count)};
  }
  /// The chunk of a token of a part.
  [[nodiscard]] static Chunk chunk_of(const Part& part, std::size_t token) {
    const std::uint64_t place = part.state->tokens() + token;
    return chunk_from(part, std::max(part.state->base(), place - place % kernels::kChunk));
  }
  /// Calls body(chunk) for all chunks from base() to the end of a part.
  template <class Body>
  static void for_chunks(const Part& part, Body body) {
    const std::uint64_t end = part.state->tokens() + part.count;
    for (std::uint64_t begin = part.state->base(); begin < end;) {
      const Chunk chunk = chunk_from(part, begin);
      body(chunk);
      begin = (chunk.number + 1) * kernels::kChunk;
    }
  }

  /// The B of the rows of a chunk up to the part's last.
  [[nodiscard]] ConstRows B(const Part& part, const Chunk& chunk) const {
    if (chunk.rows == 0) return in_.B.middle(part.first + chunk.first, chunk.count);
    return {part.state->chunk(index_, chunk.number).B, chunk.rows + chunk.count, in_.B.cols};
  }
  /// Keeps the columns [first, first + count), as far as there are so many, of the B of a chunk.
  void keep_B(const Part& part, const Chunk& chunk, std::size_t first, std::size_t count) const {
    if ((!chunk.is_kept && chunk.rows == 0) || first >= in_.B.cols) return;
    float* kept = part.state->chunk(index_, chunk.number).B + chunk.rows * in_.B.cols + first;
    for (std::size_t t = 0; t < chunk.count; ++t, kept += in_.B.cols) {
      std::copy_n(in_.B[part.first + chunk.first + t] + first, std::min(count, in_.B.cols - first),
                  kept);
    }
  }

  template <class Element>
  static void take_up(const kernels::Ssm& ssm, State& state, std::size_t index,
                      std::uint64_t number, std::size_t rows) {
    const ChunkMemory kept = state.chunk(index, number);
    const MutableRows none(nullptr, 0, 0);
    for (std::size_t head = 0; head < ssm.nheads; ++head) {
      Element* S = state.ssm<Element>(index) + head * ssm.headdim * ssm.d_state;
      const ConstRows x(kept.x + head * kernels::kChunk * ssm.headdim, rows, ssm.headdim);
      const ConstRows B = ConstRows(kept.B, rows, ssm.ngroups * ssm.d_state)
                              .columns(ssm.group(head) * ssm.d_state, ssm.d_state);
      const kernels::ChunkTokens tokens = {x,          B, none, none, kept.delta + head,
                                           ssm.nheads, 0, none};
      const kernels::Decays decays = {kept.since + head * kernels::kChunk, kept.entering + head};
      kernels::ChunkHead<Element>(ssm, head, tokens, decays, S).run(S);
    }
  }

  template <class Element>
  void run(const Part& part, std::size_t head) const {
    State& state = *part.state;
    const std::size_t offset = head * ssm_.headdim * ssm_.d_state;
    Element* const S = state.ssm<Element>(index_) + offset;
    if (ssm_.d_state == 1) {
      const kernels::ScanRows rows = {in_.x, in_.B, in_.C, in_.dt};
      return kernels::scan_single(ssm_, head, rows.middle(part.first, part.count), S);
    }
    const Element* begin = S;
    for_chunks(part, [&](const Chunk& chunk) {
      const bool is_last = chunk.first + chunk.count == part.count;
      Element* end = nullptr;
      if (chunk.is_whole && !chunk.is_kept) end = S;
      if (chunk.is_whole && chunk.is_kept && !is_last) end = state.ssm_ahead<Element>() + offset;
      if (end != nullptr || chunk.count > 0) scan(part, chunk, head, begin, end);
      if (end != nullptr) begin = end;
    });
  }

  /// From the state where a chunk begins to that where it ends, if it is wanted.
  template <class Element>
  void scan(const Part& part, const Chunk& chunk, std::size_t head, const Element* begin,
            Element* end) const {
    const ChunkMemory kept = part.state->chunk(index_, chunk.number);
    const std::size_t first = part.first + chunk.first;
    const std::size_t group = ssm_.group(head);
    const std::size_t headdim = ssm_.headdim;
    const std::size_t rows = chunk.rows + chunk.count;
    const MutableRows x = in_.x.columns(head * headdim, headdim).middle(first, chunk.count);
    const MutableRows all(kept.x + head * kernels::kChunk * headdim, rows, headdim);
    for (std::size_t t = 0; (chunk.is_kept || chunk.rows > 0) && t < chunk.count; ++t) {
      std::copy_n(x[t], headdim, all[chunk.rows + t]);
      kept.delta[(chunk.rows + t) * ssm_.nheads + head] = in_.dt[first + t][head];
    }
    const bool is_here = chunk.rows == 0;
    const kernels::ChunkTokens tokens = {
        is_here ? x : all,
        B(part, chunk).columns(group * ssm_.d_state, ssm_.d_state),
        in_.C.columns(group * ssm_.d_state, ssm_.d_state).middle(first, chunk.count),
        in_.CB.columns(group * kernels::kChunk, kernels::kChunk).middle(first, chunk.count),
        (is_here ? in_.dt[first] : kept.delta) + head,
        is_here ? in_.dt.stride : ssm_.nheads,
        part.state->is_rewound() ? 0 : chunk.rows,
        x};
    const kernels::Decays decays = {kept.since + head * kernels::kChunk, kept.entering + head};
    kernels::ChunkHead<Element>(ssm_, head, tokens, decays, begin).run(end);
  }

  const kernels::Ssm& ssm_;
  std::size_t index_;
  ScanInputs in_;
};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
