// SPDX-License-Identifier: Apache-2.0
// The files that the converter writes.
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <mamba2/export.hpp>
#include <mamba2/mamba2.hpp>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "tools/convert/companions.hpp"
#include "tools/convert/copy_tensors.hpp"
#include "tools/convert/folder_files.hpp"
#include "tools/convert/model_source.hpp"

namespace convert {

/// A model, and how it shall be written.
struct Job {
  const ModelSource& source;
  const Companions& companions;
  std::filesystem::path out;
  std::string name;  ///< the model's, for people
  mamba2::DType matrices;
  mamba2::Executor& executor;
  Report report;
};

/// Writes header and tensors. Errors: those of AtomicFile and TensorCopier.
template <class Writer>
[[nodiscard]] mamba2::Result<void> write_tensors(const Job& job,
                                                 std::span<const mamba2::ExportedTensor> tensors,
                                                 Writer& writer, mamba2::AtomicFile& file) {
  for (const auto& tensor : tensors) {
    auto added = writer.add_tensor(tensor.name, tensor.dtype, tensor.shape);
    if (!added) return added;
  }
  auto outcome = writer.start([&](std::span<const std::byte> bytes) { return file.write(bytes); });
  if (outcome) {
    outcome = TensorCopier<Writer>(job.source, job.executor, writer).copy(tensors, job.report);
  }
  return outcome ? writer.finish() : outcome;
}

/// Takes over what another GGUF file says of the model, and its tokenizer, unless it is about how
/// that file was made.
inline void copy_metadata(const Companions& companions, mamba2::GgufWriter& writer) {
  companions.metadata()->for_each([&](std::string_view key, const mamba2::GgufValue& value) {
    const bool is_about_file = key == "general.alignment" || key.ends_with(".vocab_size") ||
                               key.starts_with("split.") || key.starts_with("quantize.");
    const bool is_dropped = key.starts_with("tokenizer.") && !companions.has_tokenizer();
    if (!is_about_file && !is_dropped) writer.set_value(key, value);
  });
}

/// What texts begin with is the tokenizer's to say. Errors: what GGUF cannot say of the tokenizer,
/// or a file beside it is malformed.
[[nodiscard]] inline mamba2::Result<void> set_tokenizer(const Job& job, mamba2::GgufWriter& writer,
                                                        mamba2::SpecialTokens& special) {
  if (!job.companions.has_tokenizer()) return {};
  const auto tokenizer = job.companions.tokenizer();
  if (!tokenizer) return tokenizer.error();
  auto set = mamba2::detail::set_gguf_tokenizer(writer, *tokenizer, job.source.config().vocab_size,
                                                job.companions.tokenizer_file());
  if (!set) return Companions::with_hint(set.error());
  if (!tokenizer->prefix.empty()) special.bos = tokenizer->prefix[0];
  const auto& ends = job.source.config().eos_token_ids;
  if (!tokenizer->suffix.empty() && (ends.empty() || ends[0] != tokenizer->suffix[0])) {
    return Companions::with_hint(
        {mamba2::ErrorCode::unsupported,
         mamba2::detail::concat(job.companions.tokenizer_file(),
                                ": the token that texts end with must be the model's first "
                                "eos_token_id in a GGUF file, found ",
                                tokenizer->suffix[0])});
  }
  const auto templates = templates_of_folder(job.companions.folder());
  if (!templates) return Companions::with_hint(templates.error());
  set_gguf_templates(writer, *templates);
  return {};
}

/// A writer of GGUF that knows all but the tensors. Errors: what the format cannot say of a model.
[[nodiscard]] inline mamba2::Result<mamba2::GgufWriter> describe_gguf(const Job& job) {
  const mamba2::Config& config = job.source.config();
  if (auto possible = mamba2::check_gguf_export(config); !possible) return possible.error();
  mamba2::GgufWriter writer;
  writer.set_text("general.name", job.name);
  mamba2::SpecialTokens special = job.companions.special();
  if (job.companions.metadata() != nullptr) {
    copy_metadata(job.companions, writer);
  } else if (auto set = set_tokenizer(job, writer, special); !set) {
    return set.error();
  }
  mamba2::set_gguf_config(writer, config, special, job.matrices);
  return writer;
}

/// Writes a GGUF file.
[[nodiscard]] inline mamba2::Result<void> write_gguf(const Job& job) {
  auto writer = describe_gguf(job);
  if (!writer) return writer.error();
  auto file = mamba2::AtomicFile::create(job.out);
  if (!file) return file.error();
  const auto tensors = mamba2::gguf_export(job.source.config(), job.matrices);
  auto written = write_tensors(job, tensors, *writer, *file);
  return written ? file->commit() : written;
}

/// A directory that is removed again, with the files of these names, unless it is kept, if it was
/// made here.
class NewDirectory {
 public:
  explicit NewDirectory(std::filesystem::path path) : path_(std::move(path)) {
    made_ = std::filesystem::create_directory(path_, error_);
  }
  NewDirectory(const NewDirectory&) = delete;
  NewDirectory& operator=(const NewDirectory&) = delete;
  ~NewDirectory() {
    std::error_code ignored;  // it may have got other files meanwhile
    if (!made_) return;
    for (const std::string& name : names_) std::filesystem::remove(path_ / name, ignored);
    std::filesystem::remove(path_, ignored);
  }
  void add(const std::string& name) { names_.push_back(name); }
  [[nodiscard]] const std::error_code& error() const noexcept { return error_; }
  void keep() noexcept { made_ = false; }

 private:
  std::filesystem::path path_;
  std::vector<std::string> names_;
  std::error_code error_;
  bool made_ = false;
};

/// A file of text on its way into place.
[[nodiscard]] inline mamba2::Result<mamba2::AtomicFile> text_file(const std::filesystem::path& path,
                                                                  std::string_view text) {
  auto file = mamba2::AtomicFile::create(path);
  if (!file) return file;
  if (auto written = file->write(std::as_bytes(std::span(text))); !written) return written.error();
  return file;
}

/// Removes what belonged to the model that was here before.
inline void remove_others(const std::filesystem::path& folder, std::span<const TextFile> files) {
  for (const std::string_view name : kFolderFiles) {
    std::error_code ignored;
    const bool is_new = std::ranges::find(files, name, &TextFile::name) != files.end();
    if (!is_new) std::filesystem::remove(folder / name, ignored);
  }
}

/// Writes a directory: model.safetensors by write(file), config.json with this text, and what goes
/// with them (folder_files). Its files get their names when all are complete, the weights last.
template <class Write>
[[nodiscard]] mamba2::Result<void> write_folder(const Job& job, std::string_view config,
                                                Write&& write) {
  auto texts = folder_files(job.companions, job.source.config());
  if (!texts) return texts.error();
  texts->push_back({"config.json", std::string(config)});
  NewDirectory directory(job.out);
  if (directory.error()) {
    return mamba2::Error{mamba2::ErrorCode::io,
                         job.out.native() + ": cannot be made: " +
                             mamba2::detail::errno_text(directory.error().value())};
  }
  auto weights = mamba2::AtomicFile::create(job.out / "model.safetensors");
  if (!weights) return weights.error();
  mamba2::Result<void> outcome = write(*weights);
  if (!outcome) return outcome;
  std::vector<mamba2::AtomicFile> files;
  for (const auto& [name, text] : *texts) {
    auto file = text_file(job.out / name, text);
    if (!file) return file.error();
    files.push_back(*std::move(file));
  }
  for (std::size_t i = 0; i < files.size() && outcome; ++i) {
    outcome = files[i].commit();
    if (outcome) directory.add((*texts)[i].name);
  }
  if (outcome) remove_others(job.out, *texts);
  if (outcome) outcome = weights->commit();
  if (outcome) directory.keep();
  return outcome;
}

/// Writes a directory as transformers has it.
[[nodiscard]] inline mamba2::Result<void> write_transformers(const Job& job) {
  const mamba2::Config& config = job.source.config();
  if (auto possible = mamba2::check_transformers_export(config); !possible) return possible;
  const std::string text =
      mamba2::transformers_config(config, job.companions.special(), job.matrices);
  return write_folder(job, text, [&](mamba2::AtomicFile& file) {
    mamba2::SafetensorsWriter writer;
    return write_tensors(job, mamba2::transformers_export(config, job.matrices), writer, file);
  });
}

}  // namespace convert
