// SPDX-License-Identifier: Apache-2.0
// Attention of a batch of tokens by many threads: parts of one sequence or of several.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <span>
#include <type_traits>

#include "mamba2/core/executor.hpp"
#include "mamba2/core/views.hpp"
#include "mamba2/kernels/attention.hpp"
#include "mamba2/kernels/hadamard.hpp"
#include "mamba2/kernels/kv_cache.hpp"
#include "mamba2/kernels/token_tiles.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels {

/// The heads of an attention layer.
struct Attention {
  std::size_t heads;
  std::size_t kv_heads;  ///< query head h reads keys and values of h / (heads / kv_heads)
  std::size_t headdim;
  float scale;  ///< of the products of queries and keys

  [[nodiscard]] constexpr std::size_t group() const noexcept { return heads / kv_heads; }
};

/// Consecutive tokens of one sequence, in a batch: its rows [first, first + count).
struct AttentionPart {
  std::byte* cache;
  KvLayout layout;       ///< its context is at least position + count
  std::size_t position;  ///< of the first token
  std::size_t first;
  std::size_t count;

  /// How attend() goes about it; set by it.
  struct Plan {
    bool split = false;  ///< a task is a block, rather than rows
    std::size_t first_task = 0;
    std::size_t first_row = 0;  ///< of its running rows
  } plan = {};
};

/// Running rows (RunningRows::stride(headdim) floats each) that attend() needs for batches of
/// `tokens` tokens; with so many, one part of at most `together` tokens is spread over threads by
/// the blocks of its `context` tokens, too, and not only by its heads.
[[nodiscard]] constexpr std::size_t running_rows(const Attention& attention, std::size_t tokens,
                                                 std::size_t context,
                                                 std::size_t together = 1) noexcept {
  return attention.heads * (tokens + KvLayout::blocks(context) * together);
}

/// Makes token t of a part ready: its keys and values (kv_heads * headdim) go into the cache, its
/// queries (heads * headdim) to where attend() expects them. q and k, which have their norms and
/// rotary embedding, may be changed. Different tokens may be at work in different threads: best 16
/// neighbours from a multiple of 16 positions on in one, as their keys share cache lines.
inline void prepare_token(const Attention& attention, const AttentionPart& part, std::size_t t,
                          float* q, float* k, const float* v, float* queries) noexcept {
  const std::size_t n = attention.headdim;
  const std::size_t group = attention.group();
  with_stored(part.layout.precision, [&]<class Stored>(Stored) {
    for (std::size_t head = 0; head < attention.kv_heads; ++head) {
      store_key_value<Stored>(part.layout, part.cache, part.position + t, head, k + head * n,
                              v + head * n);
    }
  });
  if (part.layout.scaled()) hadamard(q, attention.heads * n, hadamard_width(n, std::bit_floor(n)));
  float* to = queries + part.first * attention.heads * n;
  for (std::size_t head = 0; head < attention.kv_heads; ++head, q += group * n) {
    float* rows = to + (head * part.count + t) * group * n;
    for_each_vector(group * n, [&](std::size_t i, auto lanes) {
      lanes.store(lanes.load(q + i) * Floats(attention.scale), rows + i);
    });
  }
}

/// Attention of a batch at work. Kernels: attend<Stored>() as of NativeAttention.
template <class Kernels>
class Attend {
 public:
  Attend(const Attention& attention, std::span<AttentionPart> parts, const float* queries,
         float* running, std::size_t rows, const MutableRows& out) noexcept
      : a_(attention), parts_(parts), queries_(queries), running_(running, a_.headdim), out_(out) {
    plan(rows);
  }

  void run(Executor& executor) const noexcept {
    executor.run(tasks_, [&](std::size_t task) { attend(task); });
    if (most_blocks_ == 0) return;
    // The calling thread alone is faster at it than others are at waking up.
    constexpr std::size_t kFew = 16;
    const std::size_t count = parts_.size() * a_.kv_heads;
    const std::size_t each = most_blocks_ < kFew ? count : 1;
    executor.run((count + each - 1) / each, [&](std::size_t task) {
      for (std::size_t i = task * each; i < std::min(count, (task + 1) * each); ++i) {
        const AttentionPart& part = parts_[i / a_.kv_heads];
        if (part.plan.split) combine(part, i % a_.kv_heads);
      }
    });
  }

 private:
  /// Rows of a task: while they meet a block, it stays in the L2 cache.
  static constexpr std::size_t kTaskRows = 96;

  [[nodiscard]] std::size_t rows_of(const AttentionPart& part) const noexcept {
    return part.count * a_.group();
  }
  [[nodiscard]] static std::size_t blocks_of(const AttentionPart& part) noexcept {
    return KvLayout::blocks(part.position + part.count);
  }

  void plan(std::size_t rows) noexcept {
    std::size_t tokens = 0;
    for (const AttentionPart& part : parts_) tokens += part.count;
    std::size_t left = rows - tokens * a_.heads;
    std::size_t row = 0;
    for (AttentionPart& part : parts_) {
      const std::size_t blocks = blocks_of(part);
      const std::size_t needed = part.count * a_.heads;
      const std::size_t more = (blocks - 1) * needed;
      const bool split = part.count <= kFewTokens && blocks > 1 && more <= left;
      if (split) left -= more;
      part.plan = {split, tasks_, row};
      row += split ? blocks * needed : needed;
      tasks_ += a_.kv_heads * (split ? blocks : (rows_of(part) + kTaskRows - 1) / kTaskRows);
      if (split) most_blocks_ = std::max(most_blocks_, blocks);
    }
  }

  void attend(std::size_t task) const noexcept {
    const auto later = std::upper_bound(
        parts_.begin(), parts_.end(), task,
        [](std::size_t t, const AttentionPart& part) { return t < part.plan.first_task; });
    const AttentionPart& part = *(later - 1);
    task -= part.plan.first_task;
    with_stored(part.layout.precision, [&]<class Stored>(Stored) {
      if (part.plan.split) {
        // Neighbours follow each other in memory.
        attend_block<Stored>(part, task / a_.kv_heads, task % a_.kv_heads);
      } else {
        const std::size_t each = (rows_of(part) + kTaskRows - 1) / kTaskRows;
        attend_rows<Stored>(part, task / each, task % each * kTaskRows);
      }
    });
  }

  /// Running rows of a kv head, for a block where the part is split.
  [[nodiscard]] RunningRows running(const AttentionPart& part, std::size_t block,
                                    std::size_t head) const noexcept {
    return running_.from(part.plan.first_row + (block * a_.kv_heads + head) * rows_of(part));
  }

  template <class Stored>
  void attend_block(const AttentionPart& part, std::size_t block, std::size_t head) const noexcept {
    const RunningRows rows = running(part, block, head);
    meet<Stored>(part, block, head, 0, rows_of(part), true, rows);
  }

  template <class Stored>
  void attend_rows(const AttentionPart& part, std::size_t head, std::size_t first) const noexcept {
    const std::size_t end = std::min(first + kTaskRows, rows_of(part));
    const RunningRows rows = running(part, 0, head);
    const std::size_t tokens = part.position + (end - 1) / a_.group() + 1;
    for (std::size_t block = 0; block < KvLayout::blocks(tokens); ++block) {
      meet<Stored>(part, block, head, first, end, block == 0, rows);
    }
    for (std::size_t r = first; r < end; ++r) finish(part, head, r, rows);
  }

  /// The rows [first, end) of a head see a block. fresh: nothing before it is in their running
  /// rows.
  template <class Stored>
  void meet(const AttentionPart& part, std::size_t block, std::size_t head, std::size_t first,
            std::size_t end, bool fresh, const RunningRows& rows) const noexcept {
    // Rows before the block see nothing of it.
    const std::size_t begin = block * KvLayout::kBlock;
    if (begin > part.position) first = std::max(first, (begin - part.position) * a_.group());
    const float* queries = queries_ + (part.first * a_.heads + head * rows_of(part)) * a_.headdim;
    const KvUnit unit(part.layout, part.cache, block, head);
    if (part.count <= kFewTokens) {
      passes<true, Stored>(part, unit, begin, queries, first, end, fresh, rows);
    } else {
      passes<false, Stored>(part, unit, begin, queries, first, end, fresh, rows);
    }
  }
  /// The same, of the block of the tokens from `begin` on. Never inlined: the stack of many would
  /// be part of that of few.
  template <bool kFew, class Stored>
  [[gnu::noinline]] void passes(const AttentionPart& part, const KvUnit& unit, std::size_t begin,
                                const float* queries, std::size_t first, std::size_t end,
                                bool fresh, const RunningRows& rows) const noexcept {
    constexpr std::size_t kMost = kFew ? kFewRows : kManyRows;
    std::array<std::size_t, kMost> seen;
    // As even as possible: a pass of few rows takes hardly less time.
    const std::size_t count = (end - first + kMost - 1) / kMost;
    for (std::size_t pass = 0; pass < count; ++pass) {
      const std::size_t r = first + (end - first) * pass / count;
      const std::size_t size = first + (end - first) * (pass + 1) / count - r;
      for (std::size_t i = 0; i < size; ++i) {
        const std::size_t tokens = part.position + (r + i) / a_.group() + 1 - begin;
        seen[i] = std::min(tokens, KvLayout::kBlock);
      }
      Kernels::template attend<kFew, Stored>(unit, queries + r * a_.headdim, seen.data(), size,
                                             fresh, rows.from(r));
    }
  }

  void combine(const AttentionPart& part, std::size_t head) const noexcept {
    const RunningRows rows = running(part, 0, head);
    for (std::size_t r = 0; r < rows_of(part); ++r) {
      const std::size_t tokens = part.position + r / a_.group() + 1;
      for (std::size_t block = 1; block < KvLayout::blocks(tokens); ++block) {
        merge_row(running(part, block, head).from(r), rows.from(r));
      }
      finish(part, head, r, rows);
    }
  }

  void finish(const AttentionPart& part, std::size_t head, std::size_t r,
              const RunningRows& rows) const noexcept {
    const std::size_t group = a_.group();
    finish_row(rows.from(r), a_.headdim,
               out_[part.first + r / group] + (head * group + r % group) * a_.headdim);
  }

  const Attention& a_;
  std::span<AttentionPart> parts_;
  const float* queries_;
  RunningRows running_;
  const MutableRows& out_;
  std::size_t tasks_ = 0;
  std::size_t most_blocks_ = 0;  // of a part that is split
};

/// Attention of the tokens of all parts, which prepare_token() has made ready, each as it is alone,
/// to the bit, whatever the number of threads and however a sequence is cut into parts. queries
/// (tokens, heads, headdim) of prepare_token(); running: `rows` running rows, at least heads times
/// the tokens, see running_rows(); out (tokens, heads * headdim). Threads meet once, twice where a
/// part is split by blocks.
template <class Kernels = NativeAttention>
void attend(Executor& executor, const Attention& attention, std::span<AttentionPart> parts,
            const float* queries, float* running, std::size_t rows, MutableRows out) noexcept {
  Attend<Kernels>(attention, parts, queries, running, rows, out).run(executor);
}

}  // namespace kernels
}  // namespace MAMBA2_ISA
}  // namespace mamba2
