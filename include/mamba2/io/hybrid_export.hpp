// SPDX-License-Identifier: Apache-2.0
// A hybrid as a checkpoint of Hugging Face transformers.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "mamba2/formats/dtype.hpp"
#include "mamba2/io/dialects/bamba_writing.hpp"
#include "mamba2/io/dialects/falcon_h1_writing.hpp"
#include "mamba2/io/dialects/granite_writing.hpp"
#include "mamba2/io/dialects/lfm2_writing.hpp"
#include "mamba2/io/dialects/names.hpp"
#include "mamba2/io/dialects/nemotron_h_writing.hpp"
#include "mamba2/io/dialects/writing.hpp"
#include "mamba2/io/dialects/zamba2_writing.hpp"
#include "mamba2/io/export.hpp"
#include "mamba2/io/json.hpp"
#include "mamba2/io/json_writer.hpp"
#include "mamba2/io/tensor_names.hpp"
#include "mamba2/layers/config.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

inline constexpr std::array<const DialectWriting*, 7> kDialectWritings = {
    &kZamba2Writing, &kFalconH1Writing, &kNemotronHWriting, &kLfm2MoeWriting,
    &kLfm2Writing,   &kBambaWriting,    &kGraniteWriting};

/// How a hybrid is written: the first that fits; the last, which refuses it, where none does.
[[nodiscard]] inline const DialectWriting& dialect_writing(const Config& c) noexcept {
  for (const DialectWriting* writing : kDialectWritings) {
    if (writing->fits(c)) return *writing;
  }
  return *kDialectWritings.back();
}

/// The keys of a hybrid but for those that all models have.
inline void write_hybrid_keys(JsonWriter& json, const Config& c) {
  const DialectWriting& writing = dialect_writing(c);
  json.member("architectures", Json::array({std::string(writing.architecture)}));
  json.member("model_type", writing.dialect->name);
  writing.write_keys(json, c);
}

/// All tensors of a hybrid in their order.
[[nodiscard]] inline std::vector<ExportedTensor> hybrid_export(const Config& config,
                                                               DType matrices) {
  const DialectWriting& writing = dialect_writing(config);
  const DialectNames& names = writing.dialect->names;
  std::vector<ExportedTensor> tensors;
  (void)expected_tensors(config, [&](const TensorSpec& spec) {
    ExportedTensor tensor{spec.name, spec.name, spec.shape,
                          is_matrix(spec.role) ? matrices : DType::F32, spec.role};
    if (auto theirs = tensor_in(names, config, spec.name)) {              // all but the head
      if (theirs->canonical.front() != spec.name) return Result<void>();  // comes with the first
      tensor.name = concat(writing.root, theirs->name);
      tensor.shape.front() *= theirs->canonical.size();
      tensor.below.assign(theirs->canonical.begin() + 1, theirs->canonical.end());
      tensor.stack(theirs->experts);
    }
    set_qk_order(tensor, config, false);
    tensors.push_back(std::move(tensor));
    return Result<void>();
  });
  return tensors;
}

}  // namespace detail

}  // namespace MAMBA2_ISA
}  // namespace mamba2
