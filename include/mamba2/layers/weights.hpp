// SPDX-License-Identifier: Apache-2.0
// The weights of a model, packed in one arena.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "mamba2/core/arena.hpp"
#include "mamba2/kernels/hadamard.hpp"
#include "mamba2/layers/attention.hpp"
#include "mamba2/layers/config.hpp"
#include "mamba2/layers/mamba2.hpp"
#include "mamba2/layers/mlp.hpp"
#include "mamba2/layers/moe.hpp"
#include "mamba2/layers/parallel.hpp"
#include "mamba2/layers/shared_block.hpp"
#include "mamba2/layers/short_conv.hpp"
#include "mamba2/layers/slot.hpp"
#include "mamba2/linear/plan.hpp"
#include "mamba2/linear/rows_of_floats.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// What a layer may compute: one file a kind.
using MixerWeights = std::variant<Mamba2Weights, AttentionWeights, MlpWeights, MoeWeights,
                                  ParallelWeights, ShortConvWeights, SharedBlockWeights>;

/// The weights of one layer, residual += mixer(norm(residual)).
struct LayerWeights {
  const float* norm = nullptr;  ///< (d_model)
  MixerWeights mixer;

  /// Of the number'th layer. experts: of which there shall be places at most.
  LayerWeights(const Config& c, std::size_t number,
               std::size_t experts = std::numeric_limits<std::size_t>::max())
      : mixer(mixer_of(c, number, experts)) {}

  /// The mixer of a Mamba-2 layer.
  [[nodiscard]] Mamba2Weights& mamba2() { return *std::get_if<Mamba2Weights>(&mixer); }
  [[nodiscard]] const Mamba2Weights& mamba2() const { return *std::get_if<Mamba2Weights>(&mixer); }

 private:
  [[nodiscard]] static MixerWeights mixer_of(const Config& c, std::size_t number,
                                             std::size_t experts) {
    const LayerKind kind = c.kind(number);
    if (kind == LayerKind::attention) return AttentionWeights(c);
    if (kind == LayerKind::mlp) return MlpWeights(c);
    if (kind == LayerKind::moe) return MoeWeights(c, experts);
    if (kind == LayerKind::parallel) return ParallelWeights(c);
    if (kind == LayerKind::short_conv) return ShortConvWeights(c);
    if (kind == LayerKind::shared_block) return SharedBlockWeights(c, c.owns_block(number));
    return Mamba2Weights(c);
  }
};

/// Calls body(mixer) with the mixer of a layer as what it is. mixer: MixerWeights, const or not.
template <class AnyMixer, class Body>
void with_mixer(AnyMixer& mixer, Body body) {
  if (auto* mamba2 = std::get_if<Mamba2Weights>(&mixer)) body(*mamba2);
  if (auto* attention = std::get_if<AttentionWeights>(&mixer)) body(*attention);
  if (auto* mlp = std::get_if<MlpWeights>(&mixer)) body(*mlp);
  if (auto* moe = std::get_if<MoeWeights>(&mixer)) body(*moe);
  if (auto* parallel = std::get_if<ParallelWeights>(&mixer)) body(*parallel);
  if (auto* short_conv = std::get_if<ShortConvWeights>(&mixer)) body(*short_conv);
  if (auto* shared_block = std::get_if<SharedBlockWeights>(&mixer)) body(*shared_block);
}

/// The Mamba-2 mixer of a layer, alone or beside another; nullptr: there is none.
[[nodiscard]] inline const Mamba2Weights* mamba2_of(const MixerWeights& mixer) {
  const Mamba2Weights* found = std::get_if<Mamba2Weights>(&mixer);
  with_mixer(mixer, [&](const auto& weights) {
    if constexpr (requires { weights.mamba2; }) found = &weights.mamba2;
  });
  return found;
}

/// Lists the tensors of the number'th layer, in the order in which a token meets them; see Slot.
/// w: LayerWeights, const or not.
template <class AnyWeights, class Visit>
void layer_tensors(const Config& c, std::size_t number, AnyWeights& w, Visit visit) {
  const auto visit_in_layer = [&](Slot slot, auto& place) {
    slot.layer = number;
    visit(std::as_const(slot), place);
  };
  visit_in_layer(Slot{"norm.weight", Role::norm, c.d_model}, w.norm);
  with_mixer(w.mixer, [&](auto& mixer) { mixer_tensors(c, mixer, visit_in_layer); });
}

/// All weights of a language model.
struct Weights {
  Config config;
  const Plan* plan = nullptr;
  Arena arena;
  std::uint64_t fingerprint = 0;   ///< of the model (io/fingerprint.hpp); 0: made of no checkpoint
  std::vector<std::string> notes;  ///< those of the checkpoint

  std::vector<LayerWeights> layers;
  /// What runs, in its order: a layer, and which state of those that mixers of its kind have.
  struct Step {
    std::size_t layer = 0;
    std::size_t index = 0;            ///< of two mixers that of Mamba-2,
    std::size_t attention_index = 0;  ///< and that of attention
  };
  std::vector<Step> steps;
  const float* norm_f = nullptr;     ///< (d_model)
  const float* head_norm = nullptr;  ///< (d_model), of the head's input, or nullptr
  Matrix embedding;                  ///< (vocab_size, d_model)
  Matrix lm_head;                    ///< (vocab_size, d_model): the embedding itself where tied

  /// The shapes of all matrices, in the plan's formats for F32, and no memory yet. The plan must
  /// outlive the weights.
  [[nodiscard]] static Weights planned(const Config& config, const Plan& plan);

  /// Lays out what is planned in memory and returns the bytes that it takes; without memory it only
  /// counts them.
  std::size_t carve(std::byte* memory);

  /// Makes what is another's in other places the same there: the embedding of a tied model is its
  /// head, and a block that layers share is theirs.
  void link();

  /// Weights are const to everybody but those who fill them: where these write to a place.
  template <class T>
  [[nodiscard]] T* writable(const T* place) {
    return reinterpret_cast<T*>(arena.data() +
                                (reinterpret_cast<const std::byte*>(place) - arena.data()));
  }

  /// Bytes of the largest input of a product, made ready, and how many are made of one at most.
  [[nodiscard]] std::size_t input_bytes() const;
  [[nodiscard]] std::size_t most_inputs() const;
  /// Bytes of matrices that reading so many tokens at a time does not need: an embedding that is
  /// not the head, of which it is a few rows, and experts that none of them chooses, if all are
  /// chosen as often and independently.
  [[nodiscard]] std::size_t unread_bytes(std::size_t tokens = 1) const;
  /// Bytes of matrices that are read more than once in a pass, but for the first time: those of
  /// blocks that layers share.
  [[nodiscard]] std::size_t reread_bytes() const;
  /// What layers that are mixtures of experts need besides.
  [[nodiscard]] ExpertInputs expert_inputs() const;
};

/// The format of a matrix that a checkpoint stores in this type.
[[nodiscard]] inline const Format& format_of(const Config& c, const Plan& plan, Role role,
                                             DType stored) {
  return c.bitlinear && role == Role::embedding ? kRowsOfFloats : plan.format(role, stored);
}

/// Lists the tensors of no layer; see Slot. w: Weights, const or not. A tied model has no head.
template <class AnyWeights, class Visit>
void outer_tensors(const Config& c, AnyWeights& w, Visit visit) {
  visit(Slot{"norm_f.weight", Role::norm, c.d_model}, w.norm_f);
  if (c.head_norm) visit(Slot{"lm_head.norm.weight", Role::norm, c.d_model}, w.head_norm);
  visit(Slot{"embedding.weight", Role::embedding, c.vocab_size, c.d_model}, w.embedding);
  if (!c.tie_embeddings) {
    visit(Slot{"lm_head.weight", Role::head, c.vocab_size, c.d_model}, w.lm_head);
  }
}

/// Lists all tensors, so that decoding walks forward through memory.
template <class AnyWeights, class Visit>
void all_tensors(AnyWeights& w, Visit visit) {
  for (std::size_t i = 0; i < w.layers.size(); ++i) {
    layer_tensors(w.config, i, w.layers[i], visit);
  }
  outer_tensors(w.config, w, visit);
}

/// The same of matrices only.
template <class AnyWeights, class Visit>
void all_matrices(AnyWeights& w, Visit visit) {
  all_tensors(w, [&](const Slot& slot, auto& place) {
    if constexpr (std::is_same_v<std::remove_cvref_t<decltype(place)>, Matrix>) visit(slot, place);
  });
}

inline Weights Weights::planned(const Config& c, const Plan& plan) {
  Weights weights;
  weights.config = c;
  weights.plan = &plan;
  weights.layers.reserve(c.n_layer);
  std::array<std::size_t, 256> counts{};  // of mixers, by the characters of their kinds
  const auto next = [&counts](LayerKind kind) {
    return counts[static_cast<unsigned char>(kind)]++;
  };
  for (std::size_t i = 0; i < c.n_layer; ++i) weights.layers.emplace_back(c, i);
  weights.steps.reserve(c.n_step());
  for (std::size_t i = 0; i < c.n_step(); ++i) {
    const std::size_t layer = c.layer_of(i);
    const bool has_two =
        c.has_in(layer, LayerKind::mamba2) && c.has_in(layer, LayerKind::attention);
    Step& step = weights.steps.emplace_back();
    step.layer = layer;
    step.index = next(has_two ? LayerKind::mamba2 : c.kind(layer));
    if (has_two) step.attention_index = next(LayerKind::attention);
  }
  all_matrices(weights, [&](const Slot& slot, Matrix& m) {
    m = {&format_of(c, plan, slot.role, DType::F32), nullptr, slot.rows, slot.cols};
    const bool rotated = slot.may_rotate && plan.rotation != kRotationAsStored;
    m.rotation = kernels::hadamard_width(m.cols, rotated ? plan.rotation : 0);
  });
  weights.link();
  return weights;
}

inline void Weights::link() {
  if (config.tie_embeddings) lm_head = embedding;
  std::vector<const SharedBlock*> blocks;
  for (LayerWeights& layer : layers) {
    auto* shared = std::get_if<SharedBlockWeights>(&layer.mixer);
    if (shared == nullptr) continue;
    if (!shared->owns_block)
      shared->block = *blocks[blocks.size() % config.shared_block.num_blocks];
    blocks.push_back(&shared->block);
  }
}

inline std::size_t Weights::carve(std::byte* memory) {
  Carver carver(memory);
  all_tensors(*this, [&](const Slot& slot, auto& place) { mamba2::carve(carver, slot, place); });
  link();
  return carver.used();
}

inline std::size_t Weights::input_bytes() const {
  std::size_t most = lm_head.input_bytes();
  all_matrices(*this, [&](const Slot& slot, const Matrix& m) {
    if (slot.role != Role::embedding) most = std::max(most, m.input_bytes());
  });
  return most;
}

inline std::size_t Weights::unread_bytes(std::size_t tokens) const {
  std::size_t experts = 0;
  all_matrices(*this, [&](const Slot& slot, const Matrix& m) {
    if (slot.expert != Slot::kNoExpert) experts += m.bytes();
  });
  const MoeConfig& moe = config.moe;
  auto idle = static_cast<double>(experts);
  for (std::size_t t = 0; idle >= 1.0 && t < tokens; ++t) {
    idle *= static_cast<double>(moe.num_experts - moe.num_experts_per_tok) /
            static_cast<double>(moe.num_experts);
  }
  return (config.tie_embeddings ? 0 : embedding.bytes()) + static_cast<std::size_t>(idle);
}

inline std::size_t Weights::reread_bytes() const {
  std::size_t sum = 0;
  for (const LayerWeights& layer : layers) {
    const auto* shared = std::get_if<SharedBlockWeights>(&layer.mixer);
    if (shared == nullptr || shared->owns_block) continue;
    block_tensors(config, shared->block, [&]<class Place>(const Slot&, const Place& place) {
      if constexpr (std::is_same_v<Place, Matrix>) sum += place.bytes();
    });
  }
  return sum;
}

inline ExpertInputs Weights::expert_inputs() const {
  ExpertInputs inputs;
  for (const LayerWeights& layer : layers) {
    if (const auto* moe = std::get_if<MoeWeights>(&layer.mixer)) inputs.add(*moe);
  }
  return inputs;
}

inline std::size_t Weights::most_inputs() const {
  std::size_t most = 1;
  for (const LayerWeights& layer : layers) {
    with_mixer(layer.mixer, [&](const auto& mixer) { most = std::max(most, input_count(mixer)); });
  }
  return most;
}

}  // namespace MAMBA2_ISA
}  // namespace mamba2
