// SPDX-License-Identifier: Apache-2.0
// Whether the head of a model is its embedding: what the config says, and what is stored.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mamba2/core/mapped_file.hpp"
#include "mamba2/formats/dtype.hpp"
#include "mamba2/io/printable.hpp"
#include "mamba2/io/tensor_view.hpp"
#include "mamba2/layers/config.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

inline constexpr std::string_view kEmbeddingName = "embedding.weight";
inline constexpr std::string_view kHeadName = "lm_head.weight";

/// Whether two tensors have the same values. They are read piece by piece, and the memory that this
/// takes of `files` is given back.
class SameValues {
 public:
  explicit SameValues(std::span<const MappedFile> files) : files_(files) {}

  [[nodiscard]] bool operator()(const TensorView& a, const TensorView& b) const {
    if (a.shape != b.shape) return false;
    if (a.dtype == b.dtype && a.rotation == b.rotation) {
      return same_bytes(a.data, b.data) && same_bytes(a.scales, b.scales);
    }
    return is_float(a.dtype) && is_float(b.dtype) && same_floats(a, b);
  }

 private:
  [[nodiscard]] bool same_bytes(std::span<const std::byte> a, std::span<const std::byte> b) const {
    constexpr std::size_t kPiece = std::size_t{1} << 22;
    bool same = a.size() == b.size();
    for (std::size_t first = 0; same && first < a.size(); first += kPiece) {
      const std::size_t count = std::min(kPiece, a.size() - first);
      same = std::memcmp(&a[first], &b[first], count) == 0;
      release_part(files_, a.first(first + count));
      release_part(files_, b.first(first + count));
    }
    return same;
  }

  [[nodiscard]] bool same_floats(const TensorView& a, const TensorView& b) const {
    constexpr std::size_t kPiece = std::size_t{1} << 16;  // whole blocks of every type
    const std::size_t elements = a.elements();
    std::vector<float> values_a(std::min(kPiece, elements));
    std::vector<float> values_b(values_a.size());
    bool same = true;
    for (std::size_t first = 0; same && first < elements; first += kPiece) {
      const std::size_t count = std::min(kPiece, elements - first);
      read_floats(a, first, std::span(values_a).first(count));
      read_floats(b, first, std::span(values_b).first(count));
      same = std::equal(values_a.begin(), values_a.begin() + static_cast<std::ptrdiff_t>(count),
                        values_b.begin());
      release_part(files_, a.part(0, first + count));
      release_part(files_, b.part(0, first + count));
    }
    return same;
  }

  std::span<const MappedFile> files_;
};

/// Sets tie_embeddings to what the tensors of a checkpoint say: tied where there is no head, and
/// not tied, with a note, where there is one of other values than the embedding's.
inline void decide_head(Config& config, const TensorTable& all, std::span<const MappedFile> files,
                        std::vector<std::string>& notes) {
  const TensorView* head = all.find(kHeadName);
  const TensorView* embedding = all.find(kEmbeddingName);
  if (head == nullptr) config.tie_embeddings = true;
  if (!config.tie_embeddings || head == nullptr || embedding == nullptr) return;
  if (SameValues(files)(*head, *embedding)) return;
  config.tie_embeddings = false;
  notes.push_back(concat(
      head->file, ": tensors ", in_quotes(kHeadName), " and ", in_quotes(kEmbeddingName),
      " differ, though the config says that they are one: the head is ", in_quotes(kHeadName)));
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
