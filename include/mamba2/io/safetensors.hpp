// SPDX-License-Identifier: Apache-2.0
// The safetensors format: 8 bytes of header length, a header of JSON, the data of the tensors.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/core/views.hpp"
#include "mamba2/io/printable.hpp"
#include "mamba2/io/safetensors_header.hpp"
#include "mamba2/io/stand_in.hpp"
#include "mamba2/io/tensor_view.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// One parsed file. Views into bytes that somebody else owns and that must outlive it.
class Safetensors {
 public:
  /// Checks every rule of the format: the tensors tile the data without gap or overlap, each has
  /// as many bytes as its shape and type need, nothing follows the last. Memory is proportional to
  /// the header. `name` is the file's, for messages. Error: malformed.
  [[nodiscard]] static Result<Safetensors> parse(std::span<const std::byte> bytes,
                                                 std::string_view name);

  /// The tensor of that name; nullptr if there is none.
  [[nodiscard]] const TensorView* find(std::string_view name) const { return table_.find(name); }

  /// All tensors in the order of their data.
  [[nodiscard]] std::span<const TensorView> tensors() const noexcept { return table_.tensors(); }

  /// What the writer noted in __metadata__.
  [[nodiscard]] const std::map<std::string, std::string>& metadata() const noexcept {
    return metadata_;
  }

 private:
  Safetensors(TensorTable table, std::map<std::string, std::string> metadata)
      : table_(std::move(table)), metadata_(std::move(metadata)) {}

  TensorTable table_;
  std::map<std::string, std::string> metadata_;
};

namespace detail {

/// Splits the file into its header and the data of its tensors.
[[nodiscard]] inline Result<std::pair<std::string_view, std::span<const std::byte>>>
split_safetensors(std::span<const std::byte> bytes, std::string_view file) {
  constexpr std::size_t kMaxHeader = 100'000'000;
  std::uint64_t length = 0;
  const auto failure = [&](const auto&... reason) {
    return Error{ErrorCode::malformed, concat(file, ": ", reason...)};
  };
  if (const std::string_view instead = stand_in(bytes); !instead.empty()) return failure(instead);
  if (bytes.size() < sizeof length) {
    return failure("expected at least 8 bytes of safetensors, found ", bytes.size());
  }
  std::memcpy(&length, bytes.data(), sizeof length);
  const std::span<const std::byte> rest = bytes.subspan(sizeof length);
  if (length > kMaxHeader) {
    return failure("the header length must be at most ", kMaxHeader, ", found ", length);
  }
  if (length > rest.size()) {
    return failure("expected a header of ", length, " bytes, found the end of the file after ",
                   rest.size());
  }
  const auto n = static_cast<std::size_t>(length);
  const std::string_view header(reinterpret_cast<const char*>(rest.data()), n);
  if (!header.starts_with('{')) return failure("the header must begin with {, found another byte");
  return std::pair(header, rest.subspan(n));
}

/// The view that an entry of the header stands for. `begin` is where its data must begin.
[[nodiscard]] inline Result<TensorView> view_entry(SafetensorsHeader::Entry&& entry,
                                                   std::size_t begin,
                                                   std::span<const std::byte> data,
                                                   std::string_view file) {
  const auto failure = [&](const auto&... reason) {
    return Error{ErrorCode::malformed,
                 concat(file, ": tensor ", in_quotes(entry.name), ": ", reason...)};
  };
  const std::optional<DType> dtype = parse_dtype(entry.dtype);
  if (!dtype) return failure("dtype must be a known type, found ", in_quotes(entry.dtype));
  const std::size_t end = entry.offsets[1];
  if (entry.offsets[0] != begin) {
    return failure("data must begin at offset ", begin, " where the data before it ends, found ",
                   entry.offsets[0]);
  }
  if (end < begin || end > data.size()) {
    return failure("data must end in ", begin, "..", data.size(), ", found ", end);
  }
  std::optional<std::size_t> size = element_count(entry.shape);
  size = size ? checked_product(*size, dtype_size(*dtype)) : size;
  if (size != end - begin) {
    return failure("data of shape ", shape_text(entry.shape), " and dtype ", entry.dtype,
                   " must have ", size ? concat(*size) : "more than 2^64", " bytes, found ",
                   end - begin);
  }
  return TensorView{std::move(entry.name), *dtype, std::move(entry.shape),
                    data.subspan(begin, end - begin), std::string(file)};
}

}  // namespace detail

inline Result<Safetensors> Safetensors::parse(std::span<const std::byte> bytes,
                                              std::string_view name) {
  const auto parts = detail::split_safetensors(bytes, name);
  if (!parts) return parts.error();
  const auto& [text, data] = *parts;
  detail::SafetensorsHeader header(name);
  if (!detail::read_json(text, header)) {
    return Error{ErrorCode::malformed, std::move(header.error)};
  }
  std::sort(header.entries.begin(), header.entries.end(),
            [](const auto& a, const auto& b) { return a.offsets < b.offsets; });
  std::vector<TensorView> tensors;
  tensors.reserve(header.entries.size());
  std::size_t end = 0;
  for (auto& entry : header.entries) {
    Result<TensorView> view = detail::view_entry(std::move(entry), end, data, name);
    if (!view) return view.error();
    end += view->data.size();
    tensors.push_back(*std::move(view));
  }
  if (end != data.size()) {
    return Error{ErrorCode::malformed, detail::concat(name, ": the tensors must fill the ",
                                                      data.size(), " bytes of data, found ", end)};
  }
  TensorTable table(std::move(tensors));
  if (const TensorView* twice = table.duplicate()) {
    return Error{ErrorCode::malformed,
                 detail::concat(name, ": tensor ", detail::in_quotes(twice->name),
                                " must occur once, found it twice")};
  }
  return Safetensors(std::move(table), std::move(header.metadata));
}

}  // namespace MAMBA2_ISA
}  // namespace mamba2
