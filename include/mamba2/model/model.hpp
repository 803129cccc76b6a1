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

#include "mamba2/model/load.hpp"
#include "mamba2/model/packed.hpp"
#include "mamba2/sequence/batch.hpp"
#include "mamba2/sequence/session.hpp"

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

/// The weights of a model, stored and multiplied as the policy WeightT says. Immutable: copies are
/// cheap and share the weights, and any number of threads may run Sessions of one model.
template <WeightPolicy WeightT>
class Mamba2Model {
 public:
  /// Loads a checkpoint: a directory with config.json and *.safetensors, or the path of one of
  /// these files, a shard standing for all; any float type, the names of Hugging Face or of
  /// state-spaces/mamba; or the path of a GGUF file. Or the path of a packed file
  /// (io/packed_file.hpp), which stays mapped and is used in place. Errors: io, malformed,
  /// unsupported, mismatch, out_of_memory; the message names the file, the tensor or key, what was
  /// expected and what was found.
  [[nodiscard]] static Result<Mamba2Model> load(const std::filesystem::path& path,
                                                const LoadOptions& options = {}) {
    if (is_packed_file(path)) {
      auto weights = open_packed_weights<WeightT>(path, {.check_hash = options.check_hash});
      if (!weights) return std::move(weights).error();
      return Mamba2Model(*std::move(weights));
    }
    const Result<Checkpoint> checkpoint = Checkpoint::open(path);
    if (!checkpoint) return checkpoint.error();
    return load(*checkpoint, options);
  }

  /// Loads an opened checkpoint, which may go once this returns.
  [[nodiscard]] static Result<Mamba2Model> load(const Checkpoint& checkpoint,
                                                const LoadOptions& options = {}) {
    Result<Weights<WeightT>> weights = load_weights<WeightT>(checkpoint, options);
    if (!weights) return std::move(weights).error();
    return from_weights(*std::move(weights));
  }

  /// A packed file that the application has in its memory, in .rodata, say, on a multiple of 64
  /// bytes: the weights are used in place, so it must outlive the model and all made of it. Errors:
  /// those of packed_weights().
  [[nodiscard]] static Result<Mamba2Model> from_packed(std::span<const std::byte> file,
                                                       const PackedOptions& options = {}) {
    auto weights = packed_weights<WeightT>(file, "packed model", options);
    if (!weights) return std::move(weights).error();
    return from_weights(*std::move(weights));
  }

  /// A model of weights that are packed already.
  [[nodiscard]] static Mamba2Model from_weights(Weights<WeightT> weights) {
    return Mamba2Model(std::make_shared<const Weights<WeightT>>(std::move(weights)));
  }

  /// The memory that a model of this shape will take, before anything is loaded. config as
  /// validate() accepts it.
  [[nodiscard]] static MemoryRequired memory_required(const Config& config,
                                                      const SessionOptions& options = {}) {
    return memory_required(Weights<WeightT>::planned(config), options);
  }

  /// The same for the model of a checkpoint: of policy Mixed, whose matrices are as large as those
  /// of the checkpoint; of a Config alone it takes them to be F32.
  [[nodiscard]] static MemoryRequired memory_required(const Checkpoint& checkpoint,
                                                      const SessionOptions& options = {}) {
    return memory_required(plan_weights<WeightT>(checkpoint), options);
  }

  /// A new, empty sequence. Errors: invalid_argument, out_of_memory.
  [[nodiscard]] Result<Session<WeightT>> session(const SessionOptions& options = {}) const {
    return Session<WeightT>::create(weights_, options);
  }

  /// Bytes of memory that session() takes with these options.
  [[nodiscard]] std::size_t session_bytes(const SessionOptions& options = {}) const {
    return Session<WeightT>::scratch_bytes(*weights_, options) +
           State::bytes(config(), options.state);
  }

  /// What reads tokens of many sequences at a time. Errors: invalid_argument, out_of_memory.
  [[nodiscard]] Result<Batch<WeightT>> batch(const BatchOptions& options = {}) const {
    return Batch<WeightT>::create(weights_, options);
  }

  /// The memory that a Batch of a model of this shape takes, besides the states. The weights are
  /// those of the model: see memory_required().
  [[nodiscard]] static std::size_t batch_bytes(const Config& config,
                                               const BatchOptions& options = {}) {
    return Batch<WeightT>::scratch_bytes(Weights<WeightT>::planned(config), options);
  }

  [[nodiscard]] const Config& config() const noexcept { return weights_->config; }

  /// Tells models apart, and the same model in different precisions: see io/fingerprint.hpp.
  [[nodiscard]] std::uint64_t fingerprint() const noexcept { return weights_->fingerprint; }

  /// What loading passed over or decided that somebody may not expect (Checkpoint::notes); none of
  /// a packed model.
  [[nodiscard]] std::span<const std::string> notes() const noexcept { return weights_->notes; }

  /// Bytes of memory that the weights take.
  [[nodiscard]] std::size_t weight_bytes() const noexcept { return weights_->arena.size(); }

  /// Bytes of memory that decoding one token needs: the weights once (of an embedding that is not
  /// the head one row, which does not count), the state read and written.
  [[nodiscard]] std::size_t bytes_per_token(
      StatePrecision state = StatePrecision::fp32) const noexcept {
    const std::size_t unread = config().tie_embeddings ? 0 : weights_->embedding.bytes();
    return weight_bytes() - unread + 2 * State::bytes(config(), state);
  }

 private:
  explicit Mamba2Model(std::shared_ptr<const Weights<WeightT>> weights)
      : weights_(std::move(weights)) {}

  [[nodiscard]] static MemoryRequired memory_required(Weights<WeightT> planned,
                                                      const SessionOptions& options) {
    const Config& c = planned.config;
    return {planned.carve(nullptr), State::bytes(c, options.state),
            Session<WeightT>::scratch_bytes(planned, options), loading_bytes<WeightT>(c)};
  }

  std::shared_ptr<const Weights<WeightT>> weights_;
};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
