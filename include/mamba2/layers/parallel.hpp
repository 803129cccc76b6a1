// SPDX-License-Identifier: Apache-2.0
// Mamba-2 and attention side by side over one norm: Falcon-H1, arXiv 2507.22448.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <type_traits>

#include "mamba2/layers/attention.hpp"
#include "mamba2/layers/config.hpp"
#include "mamba2/layers/mamba2.hpp"
#include "mamba2/layers/pass.hpp"
#include "mamba2/linear/product.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

struct ParallelWeights {
  Mamba2Weights mamba2;
  AttentionWeights attention;

  explicit ParallelWeights(const Config& c) : mamba2(c), attention(c) {}
};

/// The tensors of both mixers, under the names that they have alone; see Slot. w: ParallelWeights,
/// const or not.
template <class AnyWeights, class Visit>
requires std::same_as<std::remove_const_t<AnyWeights>, ParallelWeights>
void mixer_tensors(const Config& c, AnyWeights& w, Visit&& visit) {
  mixer_tensors(c, w.mamba2, visit);
  mixer_tensors(c, w.attention, visit);
}

/// The matrices that read the layer's input.
[[nodiscard]] inline std::array<const Matrix*, 4> reading(const ParallelWeights& w) {
  return {&w.mamba2.in_proj, &w.attention.q_proj, &w.attention.k_proj, &w.attention.v_proj};
}
/// As of Mamba2Weights.
[[nodiscard]] inline std::size_t input_count(const ParallelWeights& w) {
  return SharedInputs<4>(reading(w)).count;
}

/// The mixers of a layer at work on a batch. All threads meet as often as for both, less one time:
/// the projections of both come together.
class ParallelMixer {
 public:
  /// mamba2_index, attention_index: of the mixers among those of their kinds.
  ParallelMixer(const ParallelWeights& weights, std::size_t mamba2_index,
                std::size_t attention_index, const Mamba2Scratch& mamba2,
                const AttentionScratch& attention, const Pass& pass)
      : w_(weights),
        mamba2_(weights.mamba2, mamba2_index, mamba2, pass),
        attention_(weights.attention, attention_index, attention, pass),
        pass_(pass) {}

  /// As Mamba2Mixer::prepare().
  void prepare(std::size_t token) const { pass_.prepare(reading(w_), pass_.a.u[token], token); }

  /// As Mamba2Mixer::mix(), of one mixer after the other.
  template <class Then>
  void mix(Then then) const {
    const SharedInputs<4> shared(reading(w_));
    const std::array<Product, 3> qkv =
        attention_.projections({shared.number[1], shared.number[2], shared.number[3]});
    const Product products[] = {mamba2_.projection(shared.number[0]), qkv[0], qkv[1], qkv[2]};
    multiply(pass_.executor, products, pass_.equals,
             [&](std::size_t which, std::size_t first, std::size_t count) {
               if (which == 0) return mamba2_.projected(first, count);
               attention_.projected(which - 1, first, count);
             });
    mamba2_.mix_projected(then);
    attention_.mix_projected(then);
  }

 private:
  const ParallelWeights& w_;
  Mamba2Mixer mamba2_;
  AttentionMixer attention_;
  const Pass& pass_;
};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
