// SPDX-License-Identifier: Apache-2.0
// Writes a quantized model.
#pragma once

#include <algorithm>
#include <cstddef>
#include <mamba2/export.hpp>
#include <mamba2/io/dialects/dialect.hpp>
#include <mamba2/io/tensor_names.hpp>
#include <mamba2/mamba2.hpp>
#include <mamba2/quantize.hpp>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tools/convert/outputs.hpp"
#include "tools/quantize/matrix_quantizer.hpp"
#include "tools/quantize/plan.hpp"
#include "tools/quantize/q4_0.hpp"
#include "tools/quantize/rounding.hpp"

namespace quantize {

/// What became of a matrix.
struct Outcome {
  const Target* target;
  std::optional<double> relative_error;  ///< nothing where this program did not quantize it
  bool unseen = false;                   ///< see MatrixRounding
};

/// Writes the tensors of a model, of which some are quantized here.
/// @tparam Writer GgufWriter or SafetensorsWriter
template <class Writer>
class ModelWriter {
 public:
  ModelWriter(const convert::Job& job, const Plan& plan, const Method& method, Writer& writer)
      : job_(job),
        plan_(plan),
        method_(method),
        writer_(writer),
        quantizer_(job.source, job.executor),
        copier_(job.source, job.executor, writer) {}

  /// tensors: as a file of floats would have them. Errors: those of AtomicFile, TensorCopier,
  /// MatrixQuantizer and MatrixRounding; io (interrupted).
  mamba2::Result<std::vector<Outcome>> write(std::vector<mamba2::ExportedTensor> tensors,
                                             mamba2::AtomicFile& file) {
    for (auto& tensor : tensors) {
      if (const Target* target = plan_.find(tensor.canonical)) {
        tensor.dtype = target->format.dtype;
        if (auto alike = check_alike(tensor); !alike) return alike.error();
      }
      if (auto added = announce(tensor); !added) return added.error();
      total_ += tensor.elements();
    }
    auto outcome =
        writer_.start([&](std::span<const std::byte> bytes) { return file.write(bytes); });
    for (auto tensor = tensors.begin(); outcome && tensor != tensors.end(); ++tensor) {
      outcome = write_tensor(*tensor);
    }
    if (outcome) outcome = writer_.finish();
    if (!outcome) return outcome.error();
    return std::move(outcomes_);
  }

 private:
  /// Matrices of one tensor have one type.
  mamba2::Result<void> check_alike(const mamba2::ExportedTensor& tensor) const {
    for (const std::string& other : tensor.below) {
      const Target* target = plan_.find(other);
      if (target == nullptr || target->format.dtype == tensor.dtype) continue;
      return mamba2::Error{
          mamba2::ErrorCode::invalid_argument,
          mamba2::detail::concat(tensor.name, ": all matrices must be ",
                                 mamba2::dtype_name(tensor.dtype), ", as the first, found ", other,
                                 " as ", mamba2::dtype_name(target->format.dtype))};
    }
    return {};
  }

  mamba2::Result<void> announce(const mamba2::ExportedTensor& t) {
    if (!mamba2::has_scales(t.dtype)) return writer_.add_tensor(t.name, t.dtype, t.shape);
    const bool is_8_bits = t.dtype == DType::INT8;
    const std::size_t rows = t.shape[0];
    const std::size_t cols = t.shape[1];
    const auto codes = std::to_array({rows, is_8_bits ? cols : cols / 2});
    auto added = writer_.add_tensor(t.name, is_8_bits ? DType::I8 : DType::U8, codes);
    if (!added) return added;
    const auto scales = std::to_array({rows, cols / mamba2::dtype_block(t.dtype)});
    return writer_.add_tensor(t.name + "_scale", is_8_bits ? DType::F32 : DType::F16,
                              std::span(scales).first(is_8_bits ? 1 : 2));
  }

  mamba2::Result<void> write_tensor(const mamba2::ExportedTensor& tensor) {
    const Target* target = plan_.find(tensor.canonical);
    const std::size_t elements = tensor.elements();
    const bool here = mamba2::has_scales(tensor.dtype) || tensor.dtype == DType::Q4_0;
    mamba2::Result<void> outcome;
    if (target != nullptr && here) return write_matrices(tensor);
    const auto report = [&](std::size_t done, std::size_t) {
      return job_.report(done_ + done, total_);
    };
    outcome = copier_.copy({&tensor, 1}, report);
    if (outcome && target != nullptr) outcomes_.push_back({target, std::nullopt});
    for (const std::string& other : tensor.below) {
      if (outcome && target != nullptr) outcomes_.push_back({plan_.find(other), std::nullopt});
    }
    done_ += elements;
    return outcome;
  }

  /// One, or a stack of the matrices of experts.
  mamba2::Result<void> write_matrices(const mamba2::ExportedTensor& tensor) {
    mamba2::ExportedTensor matrix = tensor;
    matrix.below.clear();
    for (std::size_t i = 0; i <= tensor.below.size(); ++i) {
      if (i > 0) matrix.canonical = tensor.below[i - 1];
      const Target& target = *plan_.find(matrix.canonical);
      if (auto written = write_matrix(matrix, target); !written) return written;
      done_ += target.rows * target.cols;
    }
    return {};
  }

  mamba2::Result<void> write_matrix(const mamba2::ExportedTensor& tensor, const Target& target) {
    const bool is_q4_0 = target.format.dtype == DType::Q4_0;
    const mamba2::StoredFormat format =
        is_q4_0 ? mamba2::StoredFormat{DType::INT4_G32} : target.format;
    const auto index = static_cast<std::size_t>(&target - plan_.targets().data());
    const auto rounding = MatrixRounding::of(plan_, index, method_);
    if (!rounding) return rounding.error();
    scales_.clear();
    whole_.clear();
    const auto take = [&](const QuantizedRows& rows) -> mamba2::Result<void> {
      if (!job_.report(done_ + (rows.first + rows.count) * target.cols, total_)) {
        return interruption();
      }
      if (!is_q4_0) {
        scales_.insert(scales_.end(), rows.scales.begin(), rows.scales.end());
        return writer_.write(rows.codes);
      }
      to_q4_0(rows, blocks_);
      scale_q4_0(tensor, rows.first, rows.count, blocks_);
      if (tensor.is_in_order()) return writer_.write(blocks_);
      whole_.insert(whole_.end(), blocks_.begin(), blocks_.end());
      return {};
    };
    const auto sums = quantizer_.quantize(target, format, rounding->rounding(method_), {}, take);
    if (!sums) return sums.error();
    outcomes_.push_back({&target, sums->relative(), rounding->unseen});
    return tensor.is_in_order() ? writer_.write(scales_) : write_in_order(tensor, target.rows);
  }

  /// Writes the rows of a matrix that has been quantized whole in the order of the file.
  mamba2::Result<void> write_in_order(const mamba2::ExportedTensor& tensor, std::size_t rows) {
    const std::size_t row_bytes = whole_.size() / rows;
    for (std::size_t row = 0; row < rows; ++row) {
      const auto from = std::span(whole_).subspan(tensor.source_row(row) * row_bytes, row_bytes);
      if (auto written = writer_.write(from); !written) return written;
    }
    return {};
  }

  const convert::Job& job_;
  const Plan& plan_;
  const Method& method_;
  Writer& writer_;
  MatrixQuantizer quantizer_;
  convert::TensorCopier<Writer> copier_;
  std::vector<std::byte> scales_;  // of the matrix that is being written
  std::vector<std::byte> blocks_;
  std::vector<std::byte> whole_;  // of the matrix, where its rows are written in another order
  std::vector<Outcome> outcomes_;
  std::size_t done_ = 0;
  std::size_t total_ = 0;
};

/// Writes a GGUF file. Errors: those of ModelWriter; what the format cannot say of the model.
[[nodiscard]] inline mamba2::Result<std::vector<Outcome>> write_gguf(const convert::Job& job,
                                                                     const Plan& plan,
                                                                     const Method& method) {
  auto writer = convert::describe_gguf(job);
  if (!writer) return writer.error();
  auto file = mamba2::AtomicFile::create(job.out);
  if (!file) return file.error();
  auto tensors = mamba2::gguf_export(job.source.config(), DType::F32);
  auto outcomes = ModelWriter(job, plan, method, *writer).write(std::move(tensors), *file);
  if (!outcomes) return outcomes;
  if (auto committed = file->commit(); !committed) return committed.error();
  return outcomes;
}

/// The tensors of a folder: as transformers names them; of a hybrid, which has other matrices
/// there, under this library's names.
[[nodiscard]] inline std::vector<mamba2::ExportedTensor> folder_tensors(
    const mamba2::Config& config) {
  if (!config.is_hybrid()) return mamba2::transformers_export(config, DType::F32);
  std::vector<mamba2::ExportedTensor> tensors;
  (void)mamba2::expected_tensors(config, [&](const mamba2::TensorSpec& spec) {
    tensors.push_back({mamba2::detail::concat(mamba2::detail::kOwnNames, spec.name), spec.name,
                       spec.shape, DType::F32, spec.role});
    return mamba2::Result<void>();
  });
  return tensors;
}

/// Writes a folder. Errors: those of ModelWriter; for a model in GGUF, what config.json cannot say.
[[nodiscard]] inline mamba2::Result<std::vector<Outcome>> write_folder(const convert::Job& job,
                                                                       const Plan& plan,
                                                                       const Method& method) {
  const mamba2::Config& config = job.source.config();
  std::string text = job.companions.config_text();
  if (!text.empty()) {
    text = mamba2::update_config(text, config);
  } else {
    if (auto possible = mamba2::check_transformers_export(config); !possible) {
      return possible.error();
    }
    text = mamba2::transformers_config(config, job.companions.special(), DType::F32);
  }
  std::vector<Outcome> outcomes;
  const auto write = [&](mamba2::AtomicFile& file) -> mamba2::Result<void> {
    mamba2::SafetensorsWriter writer;
    auto written = ModelWriter(job, plan, method, writer).write(folder_tensors(config), file);
    if (!written) return written.error();
    outcomes = *std::move(written);
    return {};
  };
  auto written =
      convert::write_folder(job, mamba2::set_quantization(text, plan.quantization()), write);
  if (!written) return written.error();
  return outcomes;
}

}  // namespace quantize
