// SPDX-License-Identifier: Apache-2.0
// A Mamba-2 language model.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "mamba2/core/linkage.hpp"
#include "mamba2/linear/plan.hpp"
#include "mamba2/model/load.hpp"
#include "mamba2/model/packed.hpp"
#include "mamba2/sequence/batch.hpp"
#include "mamba2/sequence/session.hpp"
#include "mamba2/sequence/state_header.hpp"

#if MAMBA2_HAS_DEFINITIONS
#include "mamba2/model/cache.hpp"
#endif

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// The memory that a model and a Session of it take, in bytes.
struct MemoryRequired {
  std::size_t weights;
  std::size_t state;
  std::size_t scratch;  ///< of a Session
  std::size_t loading;  ///< while the weights are packed, before there is a Session

  /// Of a Session: state and scratch.
  [[nodiscard]] std::size_t session() const noexcept { return state + scratch; }

  /// The most at any one time.
  [[nodiscard]] std::size_t peak() const noexcept { return weights + std::max(session(), loading); }
};

/// The weights of a model, stored and multiplied as a Plan says: what a Mamba2Model<WeightT> is
/// whatever WeightT. Immutable: copies are cheap and share the weights, and any number of threads
/// may run Sessions of one model.
class AnyModel {
 public:
  /// Mamba2Model::load() with weights of this plan, which must outlive the model.
  [[nodiscard]] static Result<AnyModel> load(const std::filesystem::path& path, const Plan& plan,
                                             const LoadOptions& options = {});
  [[nodiscard]] static Result<AnyModel> load(const Checkpoint& checkpoint, const Plan& plan,
                                             const LoadOptions& options = {});

  /// Mamba2Model::from_packed(), for a file of this plan.
  [[nodiscard]] static Result<AnyModel> from_packed(std::span<const std::byte> file,
                                                    const Plan& plan,
                                                    const PackedOptions& options = {});

  /// A model of weights that are packed already.
  [[nodiscard]] static AnyModel from_weights(Weights weights) {
    return AnyModel(std::make_shared<const Weights>(std::move(weights)));
  }

  /// A new, empty sequence. Errors: invalid_argument, out_of_memory.
  [[nodiscard]] Result<AnySession> session(const SessionOptions& options = {}) const {
    return AnySession::create(weights_, options);
  }

  /// Bytes of memory that session() takes with these options.
  [[nodiscard]] std::size_t session_bytes(const SessionOptions& options = {}) const {
    return AnySession::scratch_bytes(*weights_, options) +
           State::bytes(config(), options.state_options());
  }

  /// What reads tokens of many sequences at a time. Errors: invalid_argument, out_of_memory.
  [[nodiscard]] Result<AnyBatch> batch(const BatchOptions& options = {}) const {
    return AnyBatch::create(weights_, options);
  }

  /// Bytes of memory that batch() takes with these options.
  [[nodiscard]] std::size_t batch_bytes(const BatchOptions& options = {}) const {
    return AnyBatch::scratch_bytes(*weights_, options);
  }

  [[nodiscard]] const Config& config() const noexcept { return weights_->config; }
  /// How its weights are stored.
  [[nodiscard]] const Plan& plan() const noexcept { return *weights_->plan; }

  /// Tells models apart, and the same model in different precisions: see io/fingerprint.hpp.
  [[nodiscard]] std::uint64_t fingerprint() const noexcept { return weights_->fingerprint; }

  /// What loading passed over or decided that somebody may not expect (Checkpoint::notes); none of
  /// a packed model.
  [[nodiscard]] std::span<const std::string> notes() const noexcept { return weights_->notes; }

  /// Bytes of memory that the weights take.
  [[nodiscard]] std::size_t weight_bytes() const noexcept { return weights_->arena.size(); }

  /// Bytes of memory that decoding one token needs: the weights once (of an embedding that is not
  /// the head one row, which does not count, of experts those that are chosen, and of blocks that
  /// layers share as often as layers read them), and what it moves of the state after `tokens`
  /// tokens: StateLayout::moved_bytes().
  [[nodiscard]] std::size_t bytes_per_token(StatePrecision state = StatePrecision::fp32,
                                            KvPrecision kv = KvPrecision::fp16,
                                            std::size_t tokens = 0) const {
    const StateLayout layout(config(), {state, kv, StateOptions::kMaxContext});
    return bytes_of_weights(1) + layout.moved_bytes(tokens);
  }

  /// Bytes of weights that reading so many tokens at a time needs (Weights::unread_bytes(),
  /// reread_bytes()).
  [[nodiscard]] std::size_t bytes_of_weights(std::size_t tokens) const {
    return weight_bytes() - weights_->unread_bytes(tokens) + weights_->reread_bytes();
  }

 private:
  explicit AnyModel(std::shared_ptr<const Weights> weights) : weights_(std::move(weights)) {}

  std::shared_ptr<const Weights> weights_;
};

/// The memory that a model with these planned weights will take.
[[nodiscard]] inline MemoryRequired memory_required(Weights planned,
                                                    const SessionOptions& options) {
  return {planned.carve(nullptr), State::bytes(planned.config, options.state_options()),
          AnySession::scratch_bytes(planned, options), loading_bytes(planned)};
}

/// A language model whose weights are stored and multiplied as the policy WeightT says: Fp32, Fp16,
/// Bf16, Int8, Int8A32, Int4, Mixed, ... Only the formats of that policy are part of a program.
template <WeightPolicy WeightT>
class Mamba2Model : public AnyModel {
 public:
  /// Loads a checkpoint: a directory with config.json and *.safetensors, or the path of one of
  /// these files, a shard standing for all; any float type, the names of Hugging Face or of
  /// state-spaces/mamba; or the path of a GGUF file. Or the path of a packed file
  /// (io/packed_file.hpp), which stays mapped and is used in place. Errors: io, malformed,
  /// unsupported, mismatch, out_of_memory; the message names the file, the tensor or key, what was
  /// expected and what was found.
  [[nodiscard]] static Result<Mamba2Model> load(const std::filesystem::path& path,
                                                const LoadOptions& options = {}) {
    return of(AnyModel::load(path, kPlan<WeightT>, options));
  }

  /// Loads an opened checkpoint, which may go once this returns.
  [[nodiscard]] static Result<Mamba2Model> load(const Checkpoint& checkpoint,
                                                const LoadOptions& options = {}) {
    return of(AnyModel::load(checkpoint, kPlan<WeightT>, options));
  }

  /// A packed file that the application has in its memory, in .rodata, say, on a multiple of 64
  /// bytes: the weights are used in place, so it must outlive the model and all made of it. Errors:
  /// those of packed_weights().
  [[nodiscard]] static Result<Mamba2Model> from_packed(std::span<const std::byte> file,
                                                       const PackedOptions& options = {}) {
    return of(AnyModel::from_packed(file, kPlan<WeightT>, options));
  }

  /// The memory that a model of this shape will take, before anything is loaded. config as
  /// validate() accepts it.
  [[nodiscard]] static MemoryRequired memory_required(const Config& config,
                                                      const SessionOptions& options = {}) {
    return mamba2::memory_required(Weights::planned(config, kPlan<WeightT>), options);
  }

  /// The same for the model of a checkpoint: of policy Mixed, whose matrices are as large as those
  /// of the checkpoint; of a Config alone it takes them to be F32.
  [[nodiscard]] static MemoryRequired memory_required(const Checkpoint& checkpoint,
                                                      const SessionOptions& options = {}) {
    return mamba2::memory_required(plan_weights(checkpoint, kPlan<WeightT>), options);
  }

  /// The memory that a Batch of a model of this shape takes, besides the states. The weights are
  /// those of the model: see memory_required().
  using AnyModel::batch_bytes;
  [[nodiscard]] static std::size_t batch_bytes(const Config& config,
                                               const BatchOptions& options = {}) {
    return AnyBatch::scratch_bytes(Weights::planned(config, kPlan<WeightT>), options);
  }

 private:
  // State files keep it.
  static_assert(WeightT::name.size() <= sizeof StateHeader::weights);

  explicit Mamba2Model(AnyModel model) : AnyModel(std::move(model)) {}

  [[nodiscard]] static Result<Mamba2Model> of(Result<AnyModel> model) {
    if (!model) return std::move(model).error();
    return Mamba2Model(*std::move(model));
  }
};

#if MAMBA2_HAS_DEFINITIONS

MAMBA2_FUNCTION Result<AnyModel> AnyModel::load(const std::filesystem::path& path, const Plan& plan,
                                                const LoadOptions& options) {
  if (is_packed_file(path)) {
    if (!options.lora.empty() || options.repeat.count > 0) {
      return Error{ErrorCode::unsupported,
                   detail::concat(path.native(),
                                  ": is packed: an adapter, or layers that run more "
                                  "than once, need the model that it was packed from")};
    }
    auto weights = open_packed_weights(path, plan, {.check_hash = options.check_hash});
    if (!weights) return std::move(weights).error();
    return AnyModel(*std::move(weights));
  }
  Result<Checkpoint> checkpoint = Checkpoint::open(path);
  if (!checkpoint) return std::move(checkpoint).error();
  if (!options.lora.empty()) {
    if (auto added = checkpoint->add_lora(options.lora); !added) return added.error();
  }
  if (auto repeated = checkpoint->repeat(options.repeat); !repeated) return repeated.error();
  if (options.cache.folder.empty() || !options.memory.empty()) {
    return load(*checkpoint, plan, options);
  }
  const detail::WeightsCache cache(options.cache, *checkpoint, plan);
  if (auto kept = cache.find()) return AnyModel(std::move(kept));
  Result<Weights> weights = load_weights(*checkpoint, plan, options);
  if (!weights) return std::move(weights).error();
  // A model that cannot be kept runs all the same.
  if (auto kept = cache.keep(*weights); !kept) weights->notes.push_back(kept.error().message);
  return from_weights(*std::move(weights));
}

MAMBA2_FUNCTION Result<AnyModel> AnyModel::load(const Checkpoint& checkpoint, const Plan& plan,
                                                const LoadOptions& options) {
  Result<Weights> weights = load_weights(checkpoint, plan, options);
  if (!weights) return std::move(weights).error();
  return from_weights(*std::move(weights));
}

MAMBA2_FUNCTION Result<AnyModel> AnyModel::from_packed(std::span<const std::byte> file,
                                                       const Plan& plan,
                                                       const PackedOptions& options) {
  auto weights = packed_weights(file, plan, "packed model", options);
  if (!weights) return std::move(weights).error();
  return from_weights(*std::move(weights));
}

#endif

}  // namespace MAMBA2_ISA
}  // namespace mamba2
