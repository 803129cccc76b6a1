// SPDX-License-Identifier: Apache-2.0
// Writers of GGUF and safetensors: what they write, the parsers read.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "mamba2/io/gguf.hpp"
#include "mamba2/io/gguf_writer.hpp"
#include "mamba2/io/safetensors.hpp"
#include "mamba2/io/safetensors_writer.hpp"

using mamba2::DType;
using mamba2::ErrorCode;
using mamba2::Result;

namespace {

using Bytes = std::vector<std::byte>;
using Shape = std::vector<std::size_t>;

/// A file in memory.
mamba2::ByteSink append_to(Bytes& file) {
  return [&file](std::span<const std::byte> bytes) {
    file.insert(file.end(), bytes.begin(), bytes.end());
    return Result<void>();
  };
}

/// 0, 1, 2, ...
Bytes counting(std::size_t count) {
  Bytes bytes(count);
  for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>(i);
  return bytes;
}

void check_error(const Result<void>& outcome, std::string_view part) {
  REQUIRE(!outcome);
  CAPTURE(outcome.error().message);
  CHECK(outcome.error().code == ErrorCode::invalid_argument);
  CHECK(outcome.error().message.find(part) != std::string::npos);
}

/// Announces three tensors of 34, 16 and 8 bytes.
template <class Writer>
void add_three(Writer& writer, DType first) {
  const std::size_t block = mamba2::dtype_block(first);
  writer.add_tensor("first", first, Shape{34 / mamba2::dtype_size(first), block}).value();
  writer.add_tensor("second", DType::F32, Shape{2, 2}).value();
  writer.add_tensor("third", DType::F16, Shape{4}).value();
}

/// Writes so many bytes, some at a time.
template <class Writer>
Result<void> write_in_parts(Writer& writer, std::size_t bytes, std::size_t part) {
  const Bytes data = counting(bytes);
  for (std::size_t i = 0; i < bytes; i += part) {
    const auto rest = std::span(data).subspan(i);
    if (auto written = writer.write(rest.first(std::min(part, rest.size()))); !written) {
      return written;
    }
  }
  return {};
}

void check_tensor(const mamba2::TensorView* tensor, DType dtype, const Shape& shape,
                  unsigned first_byte) {
  REQUIRE(tensor != nullptr);
  CHECK(tensor->dtype == dtype);
  CHECK(tensor->shape == shape);
  for (std::size_t i = 0; i < tensor->data.size(); ++i) {
    CHECK(tensor->data[i] == static_cast<std::byte>(first_byte + i));
  }
}

}  // namespace

TEST_CASE_TEMPLATE("writers: the data comes in parts of any size", Writer, mamba2::GgufWriter,
                   mamba2::SafetensorsWriter) {
  for (const std::size_t part : {1U, 7U, 34U, 58U}) {
    Bytes file;
    Writer writer;
    add_three(writer, DType::F16);
    writer.start(append_to(file)).value();
    write_in_parts(writer, 34 + 16 + 8, part).value();
    writer.finish().value();
    const auto check = [](const auto& parsed) {
      check_tensor(parsed.find("first"), DType::F16, {17, 1}, 0);
      check_tensor(parsed.find("second"), DType::F32, {2, 2}, 34);
      check_tensor(parsed.find("third"), DType::F16, {4}, 50);
    };
    if constexpr (std::is_same_v<Writer, mamba2::GgufWriter>) {
      check(mamba2::Gguf::parse(file, "file").value());
      CHECK(file.size() % 32 == 0);
    } else {
      check(mamba2::Safetensors::parse(file, "file").value());
    }
  }
}

TEST_CASE_TEMPLATE("writers: too much, too little, and none at all", Writer, mamba2::GgufWriter,
                   mamba2::SafetensorsWriter) {
  Bytes file;
  Writer writer;
  add_three(writer, DType::F16);
  check_error(writer.write(counting(1)), "found 1 bytes more");  // not started
  writer.start(append_to(file)).value();
  check_error(writer.finish(), "\"first\" must have 34 bytes, found 0");
  writer.write(counting(40)).value();
  check_error(writer.finish(), "\"second\" must have 16 bytes, found 6");
  writer.write(counting(18)).value();
  writer.finish().value();
  check_error(writer.write(counting(1)), "found 1 bytes more");

  Writer empty;
  file.clear();
  empty.start(append_to(file)).value();
  empty.finish().value();
  CHECK(!file.empty());
}

TEST_CASE_TEMPLATE("writers: a sink that fails ends it", Writer, mamba2::GgufWriter,
                   mamba2::SafetensorsWriter) {
  std::size_t calls_left = 2;
  Writer writer;
  add_three(writer, DType::F16);
  writer
      .start([&](std::span<const std::byte>) {
        return calls_left-- > 0 ? Result<void>() : mamba2::Error{ErrorCode::io, "full"};
      })
      .value();
  const auto written = write_in_parts(writer, 58, 20);
  REQUIRE(!written);
  CHECK(written.error().message == "full");
}

TEST_CASE_TEMPLATE("writers: what cannot be announced", Writer, mamba2::GgufWriter,
                   mamba2::SafetensorsWriter) {
  Writer writer;
  writer.add_tensor("a", DType::F32, Shape{2}).value();
  check_error(writer.add_tensor("a", DType::F32, Shape{2}), "\"a\" is announced twice");
  check_error(writer.add_tensor("b", DType::F32, Shape{2, 0}), "found shape (2, 0)");
  constexpr std::size_t kMuch = std::size_t{1} << 33;
  check_error(writer.add_tensor("c", DType::F32, Shape{kMuch, kMuch}), "less than 2^64 bytes");
  check_error(writer.add_tensor("d", DType::F32, Shape{kMuch / 2, kMuch}), "less than 2^64 bytes");
}

TEST_CASE("safetensors_writer: no quantized types; names that JSON must escape") {
  mamba2::SafetensorsWriter writer;
  check_error(writer.add_tensor("q", DType::Q8_0, Shape{32}), "no type Q8_0");
  const std::string name = "a \"name\"\n\xC3\xA9";
  writer.add_tensor(name, DType::F32, Shape{}).value();
  Bytes file;
  writer.start(append_to(file)).value();
  CHECK(file.size() % 8 == 0);
  writer.write(counting(4)).value();
  check_tensor(mamba2::Safetensors::parse(file, "file").value().find(name), DType::F32, {}, 0);
}

TEST_CASE("gguf_writer: limits of the format") {
  mamba2::GgufWriter writer;
  check_error(writer.add_tensor("i", DType::U16, Shape{32}), "no type U16");
  check_error(writer.add_tensor("q", DType::Q8_0, Shape{32, 8}), "whole blocks of Q8_0");
  check_error(writer.add_tensor("d", DType::F32, Shape{1, 1, 1, 1, 1}), "at most 4 dimensions");
  check_error(writer.add_tensor(std::string(64, 'n'), DType::F32, Shape{1}), "at most 63 bytes");
  writer.add_tensor(std::string(63, 'n'), DType::Q4_0, Shape{3, 64}).value();
}

TEST_CASE("gguf_writer: keys of every type, copied and replaced") {
  mamba2::GgufWriter writer;
  writer.set_integer("integer", 7);
  writer.set_number("number", 0.5F);
  writer.set_flag("flag", true);
  writer.set_text("text", "before");
  writer.set_text("text", "after");
  const std::vector<std::string> texts = {"a", "", "\xC4\xA0"};
  const std::vector<std::int32_t> integers = {-1, 2};
  writer.set_texts("texts", texts);
  writer.set_integers("integers", integers);
  CHECK(writer.has_key("text"));
  CHECK(!writer.has_key("none"));
  Bytes first;
  writer.start(append_to(first)).value();

  const auto check = [&](std::span<const std::byte> file) {
    const auto metadata = mamba2::GgufMetadata::parse(file, "file").value();
    CHECK(metadata.size() == 6);
    CHECK(metadata.find("integer")->integer() == 7U);
    CHECK(metadata.find("number")->number() == 0.5);
    CHECK(metadata.find("flag")->flag() == true);
    CHECK(metadata.find("text")->text() == "after");
    std::vector<std::string> found;
    metadata.find("texts")->for_each_string(
        [&](std::string_view text) { found.emplace_back(text); });
    CHECK(found == texts);
    CHECK(metadata.find("integers")->int32_at(0) == -1);
    return metadata;
  };
  mamba2::GgufWriter copy;
  check(first).for_each(
      [&](std::string_view key, const mamba2::GgufValue& value) { copy.set_value(key, value); });
  Bytes second;
  copy.start(append_to(second)).value();
  check(second);
}
