// SPDX-License-Identifier: Apache-2.0
// A sequence as a file: saved, and taken up again.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "mamba2/core/hash.hpp"
#include "mamba2/core/linkage.hpp"
#include "mamba2/core/mapped_file.hpp"
#include "mamba2/io/atomic_file.hpp"
#include "mamba2/io/printable.hpp"
#include "mamba2/sequence/known_states.hpp"
#include "mamba2/sequence/sampler.hpp"
#include "mamba2/sequence/session.hpp"
#include "mamba2/sequence/state_header.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// Saves what a Session has read, what its next logits are made of, and what a Sampler goes by; and
/// brings them back. On the same machine and build the sequence then goes on bit for bit as if it
/// had never stopped. The bytes are the same on every machine: on another instruction set what was
/// saved comes back to the bit, too, and what is computed from there on differs as two instruction
/// sets differ anyway, by rounding: tests/sequence/state_elsewhere_test.cpp goes on from states of
/// AVX-512, within 1e-5 standard deviations of the logits. Only sessions of the same model
/// (Session::fingerprint: also the same WeightT) and the same StatePrecision can take it up.
/// Files of version 1, which have the next logits themselves, can be loaded. Session and sampler
/// must outlive it.
///
/// Two programs, or two StateFiles, that go on from one file do not overwrite what the other has
/// saved: a StateFile remembers what the files were that it loaded or saved (the last 16), and
/// save() does not replace one that is another by now.
class StateFile {
 public:
  /// sampler: nullptr: the sequence alone; a sampler that a file has is ignored.
  explicit StateFile(AnySession& session, Sampler* sampler = nullptr)
      : session_(session), sampler_(sampler) {}

  /// Writes the file: whole and on the disk, or, after an error, with what it had before. A file
  /// that was not loaded or saved here is replaced, and one that was and is gone written anew.
  /// Errors: io; mismatch, for a file that was, and that somebody else has changed since;
  /// invalid_argument, for a model without a fingerprint; unsupported, for a sampler with options
  /// that files do not have (StateHeader::holds).
  [[nodiscard]] Result<void> save(const std::filesystem::path& path) {
    return save(path, [&] { return known_.check(path); });
  }

  /// The same for a file that is not to be there yet. Errors: as save; mismatch, if it is.
  [[nodiscard]] Result<void> save_new(const std::filesystem::path& path) {
    return save(path, [&] { return detail::check_absent(path); });
  }

  /// The bytes of the file, for an application that keeps them elsewhere: calls
  /// sink(std::span<const std::byte>) -> Result<void> some times, until it answers an error.
  template <class Sink>
  [[nodiscard]] Result<void> write(Sink&& sink) const {
    const Result<detail::StateMark> written = write_marked(sink);
    return written ? Result<void>() : written.error();
  }

  /// Takes up what a file has; the sampler gets the file's options, too, and keeps its logit_bias
  /// and its presence and frequency penalty, which count from here on: no file has these. No second
  /// state is made in memory. After an error nothing has changed. Errors: io; malformed (another
  /// kind of file, a damaged or a cut one), unsupported (another version), mismatch (of another
  /// model, another precision, a tokenizer of another size, or without a sampler where there is one
  /// here).
  [[nodiscard]] Result<void> load(const std::filesystem::path& path) {
    const Result<MappedFile> file = MappedFile::open(path);
    if (!file) return file.error();
    Result<void> loaded = read(file->bytes(), path.native());
    if (loaded) known_.add(path, detail::StateMark::of(file->bytes()));
    return loaded;
  }

  /// The same with the bytes of a file; `name` stands for it in messages.
  [[nodiscard]] Result<void> read(std::span<const std::byte> file, std::string_view name = "state");

 private:
  using MayReplace = AtomicFile::MayReplace;

  [[nodiscard]] Result<void> save(const std::filesystem::path& path, const MayReplace& may_replace);
  template <class Sink>
  [[nodiscard]] Result<detail::StateMark> write_marked(Sink& sink) const;
  [[nodiscard]] StateHeader header() const;
  [[nodiscard]] Result<void> check(const StateHeader& header, std::uint64_t rows,
                                   std::string_view name) const;

  /// Beyond what anybody reads; sums of it and of chunks are still numbers.
  static constexpr std::uint64_t kMostTokens = std::uint64_t{1} << 62;
  /// That a session leaves out of its ssm: more would only take time to look at.
  static constexpr std::uint64_t kMostRows = StateOptions::kMaxRewind + kernels::kChunk;

  [[nodiscard]] static std::size_t next_bytes(const StateHeader& h) {
    return h.next * sizeof(float);
  }
  /// What a file has of the next token. A session that has read no token since it was loaded from a
  /// file of version 1 has only the logits: it writes that file again.
  [[nodiscard]] std::span<const float> next() const {
    return has_logits_alone() ? session_.logits_here() : session_.state().last();
  }
  [[nodiscard]] bool has_logits_alone() const {
    return session_.state().last().empty() && !session_.logits_here().empty();
  }
  [[nodiscard]] static std::size_t seen_bytes(const StateHeader& h) {
    return (std::size_t{h.sampler_tokens} + 7) / 8;
  }
  [[nodiscard]] std::size_t file_bytes(const StateHeader& h, std::uint64_t rows) const {
    return sizeof h + h.rows_bytes() +
           session_.state().layout().saved_bytes(h.tokens, h.tokens - rows) + next_bytes(h) +
           seen_bytes(h) + sizeof(std::uint64_t);
  }

  AnySession& session_;
  Sampler* sampler_;
  detail::KnownStates known_;
};

namespace detail {

[[nodiscard]] inline std::vector<std::byte> to_bits(const std::vector<bool>& flags) {
  std::vector<std::byte> bits((flags.size() + 7) / 8);
  for (std::size_t i = 0; i < flags.size(); ++i) {
    if (flags[i]) bits[i / 8] |= std::byte{1} << (i % 8);
  }
  return bits;
}

[[nodiscard]] inline std::vector<bool> from_bits(std::span<const std::byte> bits,
                                                 std::size_t count) {
  std::vector<bool> flags(count);
  for (std::size_t i = 0; i < count; ++i) {
    flags[i] = (bits[i / 8] >> (i % 8) & std::byte{1}) != std::byte{0};
  }
  return flags;
}

}  // namespace detail

template <class Sink>
Result<detail::StateMark> StateFile::write_marked(Sink& sink) const {
  if (session_.fingerprint() == 0) {
    return Error{ErrorCode::invalid_argument,
                 "state file: the model has no fingerprint: its weights come from no checkpoint"};
  }
  if (sampler_ != nullptr && !StateHeader::holds(sampler_->options())) {
    return Error{ErrorCode::unsupported,
                 "state file: a sampler with logit_bias, presence_penalty or frequency_penalty "
                 "cannot be saved"};
  }
  const StateHeader h = header();
  const State& state = session_.state();
  std::vector<std::byte> seen;
  if (sampler_ != nullptr) seen = detail::to_bits(sampler_->seen());
  Result<void> result = sink(std::as_bytes(std::span(&h, 1)));
  Hash hash;
  const auto add = [&](std::span<const std::byte> part) {
    hash.add(part);
    if (result && !part.empty()) result = sink(part);
  };
  const std::uint64_t rows = state.rows();
  add(std::as_bytes(std::span(&rows, 1)).first(h.rows_bytes()));
  state.for_parts(add);
  add(std::as_bytes(next()));
  add(seen);
  const detail::StateMark mark = {h.checksum, hash.value()};
  if (result) result = sink(std::as_bytes(std::span(&mark.rest, 1)));
  if (!result) return std::move(result).error();
  return mark;
}

#if MAMBA2_HAS_DEFINITIONS

MAMBA2_FUNCTION StateHeader StateFile::header() const {
  StateHeader h;
  if (has_logits_alone()) h.version = StateHeader::kWithLogits;
  h.precision = StateHeader::precision_of(session_.state().layout());
  h.fingerprint = session_.fingerprint();
  h.set_weights(session_.weights_->plan->name);
  h.tokens = session_.state().tokens();
  h.next = static_cast<std::uint32_t>(next().size());
  if (sampler_ != nullptr) {
    h.sampler_tokens = static_cast<std::uint32_t>(sampler_->seen().size());
    h.random = sampler_->random();
    h.set_options(sampler_->options());
  }
  h.file_bytes = file_bytes(h, session_.state().rows());
  h.checksum = h.computed_checksum();
  return h;
}

MAMBA2_FUNCTION Result<void> StateFile::save(const std::filesystem::path& path,
                                             const MayReplace& may_replace) {
  // A link stays, and what it leads to is replaced: written in place it could be lost half-way.
  std::error_code failed;
  const std::filesystem::path file_path = std::filesystem::canonical(path, failed);
  Result<AtomicFile> file = AtomicFile::create(failed ? path : file_path);
  if (!file) return file.error();
  const auto sink = [&](std::span<const std::byte> bytes) { return file->write(bytes); };
  const Result<detail::StateMark> written = write_marked(sink);
  if (!written) return written.error();
  Result<void> committed = file->commit(may_replace);
  if (committed) known_.add(path, *written);
  return committed;
}

/// Whether session and sampler can take up what a file with this header has.
MAMBA2_FUNCTION Result<void> StateFile::check(const StateHeader& h, std::uint64_t rows,
                                              std::string_view name) const {
  const auto mismatch = [&](std::string_view what, const auto& expected, const auto& found) {
    return Error{ErrorCode::mismatch,
                 detail::concat(name, ": ", what, " must be ", expected, ", found ", found)};
  };
  const StateHeader own = header();
  if (h.weights != own.weights) {
    return mismatch("the weights of the session that was saved", own.weights_name(),
                    detail::in_quotes(h.weights_name()));
  }
  if (h.fingerprint != own.fingerprint) {
    return mismatch("the fingerprint of the model", own.fingerprint, h.fingerprint);
  }
  if (h.precision != own.precision) {
    return mismatch("the precision of the state", own.precision_name(), h.precision_name());
  }
  if (const std::size_t context = session_.state().context(); context > 0 && h.tokens > context) {
    return mismatch("the tokens of the state, which are to have room in the context,",
                    detail::concat("at most ", context), h.tokens);
  }
  if (sampler_ != nullptr && h.sampler_tokens != own.sampler_tokens) {
    return mismatch("the number of tokens of the sampler", own.sampler_tokens, h.sampler_tokens);
  }
  const StateLayout& layout = session_.state().layout();
  const bool is_possible =
      h.tokens <= kMostTokens &&
      (rows == 0 || (layout.has_chunks() && rows <= h.tokens && rows <= kMostRows));
  const Config& c = session_.config();
  const std::size_t next = h.version == StateHeader::kWithLogits ? c.vocab_size : c.d_model;
  if ((h.next != 0 && h.next != next) || h.sampler_tokens > c.vocab_size || !is_possible ||
      h.file_bytes != file_bytes(h, rows)) {
    return Error{ErrorCode::malformed, detail::concat(name, ": the header contradicts itself")};
  }
  return {};
}

MAMBA2_FUNCTION Result<void> StateFile::read(std::span<const std::byte> file,
                                             std::string_view name) {
  const Result<StateHeader> h = StateHeader::parse(file, name);
  if (!h) return h.error();
  std::span<const std::byte> rest = file.subspan(sizeof *h);
  const auto take = [&](std::size_t bytes) {
    bytes = std::min(bytes, rest.size());
    return std::exchange(rest, rest.subspan(bytes)).first(bytes);
  };
  const std::span<const std::byte> hashed =
      rest.first(rest.size() - std::min(rest.size(), sizeof(std::uint64_t)));
  std::uint64_t rows = 0;
  const auto rows_bytes = take(h->rows_bytes());
  std::copy(rows_bytes.begin(), rows_bytes.end(),
            std::as_writable_bytes(std::span(&rows, 1)).begin());
  if (Result<void> fits = check(*h, rows, name); !fits) return fits;

  const std::uint64_t computed = Hash::of(hashed);
  const auto parts = take(session_.state().layout().saved_bytes(h->tokens, h->tokens - rows));
  const auto next = take(next_bytes(*h));
  const auto seen = take(seen_bytes(*h));
  std::uint64_t checksum = 0;
  std::memcpy(&checksum, rest.data(), sizeof checksum);
  if (checksum != computed) {
    return Error{ErrorCode::malformed, detail::concat(name, ": is damaged: its checksum is wrong")};
  }
  if (sampler_ != nullptr) {
    Result<Sampler> sampler = Sampler::create(h->options(sampler_->options()), h->sampler_tokens);
    if (!sampler) {
      return Error{ErrorCode::malformed, detail::concat(name, ": ", sampler.error().message)};
    }
    sampler->resume(h->random, detail::from_bits(seen, h->sampler_tokens));
    *sampler_ = *std::move(sampler);
  }
  const std::span<const std::byte> none;
  const bool has_logits = h->version == StateHeader::kWithLogits;
  session_.restore(h->tokens, h->tokens - rows, parts, has_logits ? none : next,
                   has_logits ? next : none);
  return {};
}

#endif

}  // namespace MAMBA2_ISA
}  // namespace mamba2
