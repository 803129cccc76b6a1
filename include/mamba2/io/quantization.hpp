// SPDX-License-Identifier: Apache-2.0
// Quantized checkpoints: safetensors with the codes and scales of matrices, and a config.json that
// says which they are.
//
//   "quantization_config": {
//     "quant_method": "mamba2",
//     "version": 1,
//     "matrices": {
//       "embedding": {"bits": 8},
//       "layers.0.mixer.in_proj": {"bits": 4, "group": 32},
//       "layers.0.mixer.out_proj": {"bits": 4, "group": 32, "rotation": 256},
//       ...
//
// A matrix (rows, cols) has two tensors; weight = scale * code:
//   8 bits   X.weight        I8 (rows, cols)          codes -127..127
//            X.weight_scale  F32 (rows)
//   4 bits   X.weight        U8 (rows, cols / 2)      codes -8..7, each plus 8: that of column 2 j
//                                                     in the low half of byte j, of 2 j + 1 in the
//                                                     high half
//            X.weight_scale  F16 (rows, cols / group) group: 32, 64 or 128
// rotation: the rows of out_proj are those of the original times the transpose of the
// block-diagonal, orthonormal Hadamard matrix (kernels/hadamard.hpp) with blocks so wide: a power
// of two, or 12 or 40 times one, that divides cols. Its inputs are multiplied by that matrix.
// Matrices that are not named, and all else, are floats.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/linkage.hpp"
#include "mamba2/core/result.hpp"
#include "mamba2/formats/dtype.hpp"
#include "mamba2/io/tensor_view.hpp"
#include "mamba2/layers/config.hpp"

#if MAMBA2_HAS_DEFINITIONS
#include "mamba2/formats/scaled_codes.hpp"
#include "mamba2/io/foreign_quantization.hpp"
#include "mamba2/io/json.hpp"
#include "mamba2/io/json_fields.hpp"
#include "mamba2/io/printable.hpp"
#include "mamba2/io/tensor_names.hpp"
#include "mamba2/kernels/hadamard.hpp"
#endif

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// How a matrix is stored.
struct StoredFormat {
  DType dtype = DType::F32;  ///< INT8, INT4_G32, INT4_G64, INT4_G128; or a type of floats
  std::size_t rotation = 1;  ///< width of the Hadamard blocks; 1: not rotated

  friend bool operator==(const StoredFormat&, const StoredFormat&) = default;
};

/// The quantized matrices of a checkpoint, by canonical names without ".weight".
using Quantization = std::map<std::string, StoredFormat, std::less<>>;

/// Reads quantization_config from the text of a config.json; empty if it has none, or that of
/// another program whose weights are read. `name` is the
/// file's, for messages. Errors: malformed, unsupported (another method or version).
[[nodiscard]] Result<Quantization> parse_quantization(std::string_view json,
                                                      std::string_view name = "config.json");

/// Whether all of these are matrices of a model of this Config, and only those are rotated that may
/// be. `name` is that of config.json, for messages. Errors: mismatch, malformed.
[[nodiscard]] Result<void> check_quantization(const Quantization& quantization,
                                              const Config& config, std::string_view name);

/// Joins the tensors of quantized matrices: X.weight gets its type of codes, its shape as a matrix,
/// the data of X.weight_scale and its rotation. Errors: mismatch (a tensor is missing, or of
/// another type or shape). `name` is the checkpoint's, for messages.
[[nodiscard]] Result<TensorTable> join_scales(TensorTable tensors, const Quantization& quantization,
                                              std::string_view name);

#if MAMBA2_HAS_DEFINITIONS

namespace detail {

inline constexpr std::size_t kQuantizationVersion = 1;

[[nodiscard]] inline std::optional<DType> coded_type(std::size_t bits, std::size_t group) {
  if (bits == 8 && group == 0) return DType::INT8;
  for (const DType dtype : {DType::INT4_G32, DType::INT4_G64, DType::INT4_G128}) {
    if (bits == 4 && group == dtype_block(dtype)) return dtype;
  }
  return std::nullopt;
}

/// The entry of one matrix.
[[nodiscard]] inline StoredFormat read_stored_format(JsonFields& fields) {
  const std::size_t bits = fields.integer("bits", 0);
  const std::size_t group = fields.integer("group", 0, 0);
  const std::size_t rotation = fields.integer("rotation", 1);
  const auto dtype = coded_type(bits, group);
  if (!dtype) {
    fields.refuse("bits", "8, or 4 with a group of 32, 64 or 128",
                  concat(bits, " with a group of ", group), ErrorCode::unsupported);
  }
  if (kernels::hadamard_base(rotation) == 0) {
    fields.refuse("rotation", "a power of two, or 12 or 40 times one", concat(rotation));
  }
  return {dtype.value_or(DType::INT8), rotation};
}

/// What a matrix becomes that two tensors make up.
[[nodiscard]] inline Result<TensorView> join_tensors(TensorView codes, const TensorView* scales,
                                                     const StoredFormat& format) {
  const auto failure = [](const TensorView& tensor, const auto&... reason) {
    return Error{ErrorCode::mismatch,
                 concat(tensor.file, ": tensor ", in_quotes(tensor.name), reason...)};
  };
  const bool is_8_bits = format.dtype == DType::INT8;
  const DType stored = is_8_bits ? DType::I8 : DType::U8;
  if (codes.dtype != stored || codes.shape.size() != 2) {
    return failure(codes, ": as quantization_config has it, must be ", dtype_name(stored),
                   " with two dimensions, found ", dtype_name(codes.dtype), " ",
                   shape_text(codes.shape));
  }
  if (!is_8_bits) codes.shape[1] *= 2;
  const std::size_t cols = codes.shape[1];
  const std::size_t group = dtype_block(format.dtype);
  if (cols % group != 0 || cols % format.rotation != 0) {
    return failure(codes, ": must have columns in whole groups of ", group, " and rotations of ",
                   format.rotation, ", found ", cols);
  }
  if (scales == nullptr) return failure(codes, " must have its \"_scale\" tensor, found none");
  const DType scale_type = is_8_bits ? DType::F32 : DType::F16;
  const std::vector<std::size_t> shape =
      is_8_bits ? std::vector{codes.shape[0]} : std::vector{codes.shape[0], cols / group};
  if (scales->dtype != scale_type || scales->shape != shape) {
    return failure(*scales, " must be ", dtype_name(scale_type), " ", shape_text(shape), ", found ",
                   dtype_name(scales->dtype), " ", shape_text(scales->shape));
  }
  codes.dtype = format.dtype;
  codes.scales = scales->data;
  codes.rotation = format.rotation;
  return codes;
}

}  // namespace detail

MAMBA2_FUNCTION Result<Quantization> parse_quantization(std::string_view json,
                                                        std::string_view name) {
  Quantization quantization;
  const Result<detail::Json> document = detail::parse_json(json, name);
  if (!document) return document.error();
  if (!document->is_object()) return quantization;
  detail::JsonFields config(*document, name);
  const Result<bool> foreign = detail::read_foreign_quantization(config);
  if (!foreign) return foreign.error();
  if (*foreign) return quantization;  // which their tensors tell, see foreign_scales.hpp
  const detail::Json* value = config.find_value(detail::kQuantizationKey);
  if (value == nullptr) return quantization;
  if (!value->is_object())
    config.refuse(detail::kQuantizationKey, "an object", detail::describe(*value));
  if (config.error()) return *config.error();

  detail::JsonFields fields(*value, name, "quantization_config.");
  fields.require({"quant_method", "version", "matrices"});
  if (fields.error()) return *fields.error();
  const detail::Json& method = *fields.find("quant_method");
  if (!detail::is_text(method, detail::kQuantMethod)) {
    fields.refuse("quant_method", "\"mamba2\"", detail::describe(method), ErrorCode::unsupported);
  }
  if (const std::size_t version = fields.integer("version", 1);
      version != detail::kQuantizationVersion) {
    fields.refuse("version", "1", detail::concat(version), ErrorCode::unsupported);
  }
  const detail::Json& matrices = *fields.find("matrices");
  if (!matrices.is_object()) fields.refuse("matrices", "an object", detail::describe(matrices));
  if (fields.error()) return *fields.error();

  for (const auto& [matrix, entry] : detail::JsonFields(matrices, name).entries()) {
    const std::string key = detail::concat("matrices.", detail::in_quotes(matrix));
    if (!entry.is_object()) {
      fields.refuse(key, "an object", detail::describe(entry));
      return *fields.error();
    }
    const std::string prefix = detail::concat(detail::kQuantizationKey, ".", key, ".");
    detail::JsonFields of_matrix(entry, name, prefix);
    quantization[matrix] = detail::read_stored_format(of_matrix);
    if (of_matrix.error()) return *of_matrix.error();
  }
  return quantization;
}

MAMBA2_FUNCTION Result<void> check_quantization(const Quantization& quantization,
                                                const Config& config, std::string_view name) {
  // Whether a head that is stored counts is decided later.
  Config with_head = config;
  with_head.tie_embeddings = false;
  for (const auto& [matrix, format] : quantization) {
    const auto refusal = [&, &key = matrix](ErrorCode code, const auto&... parts) {
      return Error{code, detail::concat(name, ": ", detail::kQuantizationKey, ".matrices.",
                                        detail::in_quotes(key), parts...)};
    };
    const auto spec = expected_tensor(with_head, matrix + ".weight");
    if (!spec || !is_matrix(spec->role)) {
      return refusal(ErrorCode::mismatch, " must be a matrix of the model");
    }
    if (format.rotation > 1 && !spec->may_rotate) {
      return refusal(ErrorCode::malformed,
                     ".rotation must be 1, as this matrix is not rotated, found ", format.rotation);
    }
  }
  return {};
}

MAMBA2_FUNCTION Result<TensorTable> join_scales(TensorTable tensors,
                                                const Quantization& quantization,
                                                std::string_view name) {
  constexpr std::string_view kWeight = ".weight";
  constexpr std::string_view kScale = ".weight_scale";
  if (quantization.empty()) return tensors;
  const auto format_of = [&](std::string_view tensor, std::string_view end) {
    return tensor.ends_with(end) ? quantization.find(tensor.substr(0, tensor.size() - end.size()))
                                 : quantization.end();
  };
  std::vector<TensorView> joined;
  std::size_t found = 0;
  for (const TensorView& tensor : tensors.tensors()) {
    if (format_of(tensor.name, kScale) != quantization.end()) continue;
    const auto entry = format_of(tensor.name, kWeight);
    if (entry == quantization.end()) {
      joined.push_back(tensor);
      continue;
    }
    ++found;
    Result<TensorView> matrix = detail::join_tensors(
        tensor, tensors.find(detail::concat(entry->first, kScale)), entry->second);
    if (!matrix) return matrix.error();
    joined.push_back(*std::move(matrix));
  }
  for (const auto& [matrix, format] : quantization) {
    if (found == quantization.size() || tensors.find(detail::concat(matrix, kWeight)) != nullptr) {
      continue;
    }
    return Error{ErrorCode::mismatch,
                 detail::concat(name, ": tensor ", detail::in_quotes(matrix + ".weight"),
                                " of quantization_config must be there, found none")};
  }
  return TensorTable(std::move(joined));
}

#endif

}  // namespace MAMBA2_ISA
}  // namespace mamba2
