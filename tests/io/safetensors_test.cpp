// SPDX-License-Identifier: Apache-2.0
// The safetensors format: what is accepted, and every rule that refuses.
#include "mamba2/io/safetensors.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/io/safetensors_writer.hpp"

using mamba2::DType;
using mamba2::ErrorCode;
using mamba2::Safetensors;
using mamba2::TensorView;
using mamba2::detail::concat;
using mamba2_tests::raw_safetensors;
using mamba2_tests::SafetensorsWriter;

namespace {

using Bytes = std::vector<std::byte>;
using Shape = std::vector<std::size_t>;

/// Parsing must fail with one line that names the file and has this part.
void check_refused_bytes(std::span<const std::byte> bytes, std::string_view part) {
  const auto file = Safetensors::parse(bytes, "f.safetensors");
  CAPTURE(part);
  REQUIRE(!file);
  const std::string& message = file.error().message;
  CAPTURE(message);
  CHECK(file.error().code == ErrorCode::malformed);
  CHECK(message.starts_with("f.safetensors: "));
  CHECK(message.find('\n') == std::string::npos);
  CHECK(message.find(part) != std::string::npos);
}
/// The same for a header, before `data` bytes of data.
void check_header_refused(std::string_view header, std::size_t data, std::string_view part) {
  CAPTURE(header);
  check_refused_bytes(raw_safetensors(header, Bytes(data)), part);
}

/// An entry of a header.
std::string entry(std::string_view name, std::string_view dtype, std::string_view shape,
                  std::string_view offsets) {
  return concat("\"", name, "\":{\"dtype\":\"", dtype, "\",\"shape\":[", shape,
                "],\"data_offsets\":[", offsets, "]}");
}

/// Only the header length.
Bytes length_only(std::uint64_t length, std::size_t more = 0) {
  Bytes bytes(sizeof length + more, std::byte{'{'});
  std::memcpy(bytes.data(), &length, sizeof length);
  return bytes;
}

}  // namespace

TEST_CASE("safetensors: tensors in the order of their data, whatever the header's") {
  const std::string header = "{" + entry("second", "F32", "2,1", "6,14") + "," +
                             entry("first", "BF16", "3", "0,6") +
                             ",\"__metadata__\":{\"format\":\"pt\",\"\":\"x\"}}";
  const Bytes bytes = raw_safetensors(header, Bytes(14, std::byte{7}));
  const Safetensors file = Safetensors::parse(bytes, "f.safetensors").value();
  REQUIRE(file.tensors().size() == 2);
  const TensorView& first = file.tensors()[0];
  CHECK(first.name == "first");
  CHECK(first.dtype == DType::BF16);
  CHECK(first.shape == Shape{3});
  CHECK(first.elements() == 3);
  CHECK(first.data.data() == bytes.data() + 8 + header.size());
  CHECK(first.data.size() == 6);
  CHECK(first.file == "f.safetensors");
  const TensorView* second = file.find("second");
  REQUIRE(second == &file.tensors()[1]);
  CHECK(second->shape == Shape{2, 1});
  CHECK(second->data.data() == first.data.data() + 6);
  CHECK(second->data.size() == 8);
  CHECK(file.find("third") == nullptr);
  CHECK(file.find("__metadata__") == nullptr);
  CHECK(file.metadata().size() == 2);
  CHECK(file.metadata().at("format") == "pt");
}

TEST_CASE("safetensors: every type has its size") {
  for (int i = 0; i <= static_cast<int>(DType::BOOL); ++i) {
    const auto dtype = static_cast<DType>(i);
    const std::size_t size = 3 * mamba2::dtype_size(dtype);
    SafetensorsWriter writer;
    writer.add_bytes("x", {3}, mamba2::dtype_name(dtype), Bytes(size));
    CHECK(Safetensors::parse(writer.bytes(), "f").value().tensors()[0].dtype == dtype);
    SafetensorsWriter wrong;
    wrong.add_bytes("x", {3}, mamba2::dtype_name(dtype), Bytes(size + 1));
    check_refused_bytes(wrong.bytes(), concat("must have ", size, " bytes, found ", size + 1));
  }
  check_header_refused("{" + entry("x", "F4", "2", "0,1") + "}", 1,
                       "dtype must be a known type, found \"F4\"");
  check_header_refused("{" + entry("x", "f32", "1", "0,4") + "}", 4, "\"f32\"");
}

TEST_CASE("safetensors: scalars, zero dimensions, no tensors, padding") {
  SafetensorsWriter writer;
  const std::vector<float> values = {1.5F};
  writer.add_bytes("empty", {4, 0, 3}, "F32", {});
  writer.add("scalar", {}, values);
  writer.add_bytes("also empty", {0}, "F64", {});
  const Bytes bytes = writer.bytes();
  const Safetensors file = Safetensors::parse(bytes, "f").value();
  REQUIRE(file.find("scalar") != nullptr);
  CHECK(file.find("scalar")->shape.empty());
  float value = 0;
  mamba2::read_floats(*file.find("scalar"), 0, std::span(&value, 1));
  CHECK(value == 1.5F);
  CHECK(file.find("empty")->elements() == 0);
  CHECK(file.find("empty")->shape == Shape{4, 0, 3});
  CHECK(file.find("also empty")->elements() == 0);
  // Zero times whatever is zero.
  CHECK(Safetensors::parse(
      raw_safetensors("{" + entry("x", "F32", "0,18446744073709551615,9", "0,0") + "}"), "f"));
  CHECK(Safetensors::parse(raw_safetensors("{}"), "f").value().tensors().empty());
  CHECK(Safetensors::parse(raw_safetensors("{}     "), "f"));
  CHECK(Safetensors::parse(raw_safetensors("{\"__metadata__\":{}}"), "f"));
  check_header_refused("{}", 1, "must fill the 1 bytes of data, found 0");
}

TEST_CASE("safetensors: the header length") {
  check_refused_bytes({}, "is empty");
  check_refused_bytes(Bytes(1), "at least 8 bytes of safetensors, found 1");
  check_refused_bytes(Bytes(7), "at least 8 bytes of safetensors, found 7");
  check_refused_bytes(length_only(0), "begin with {");
  check_refused_bytes(length_only(1),
                      "expected a header of 1 bytes, found the end of the file after 0");
  check_refused_bytes(length_only(101, 100), "a header of 101 bytes");
  check_refused_bytes(length_only(100'000'000, 10), "a header of 100000000 bytes");
  check_refused_bytes(length_only(100'000'001, 10), "at most 100000000, found 100000001");
  check_refused_bytes(length_only(std::uint64_t{1} << 63, 10), "found 9223372036854775808");
  check_refused_bytes(length_only(~std::uint64_t{0}, 10), "found 18446744073709551615");
}

TEST_CASE("safetensors: the header is one JSON object that begins with {") {
  check_header_refused(" {}", 0, "begin with {");
  check_header_refused("\xef\xbb\xbf{}", 0, "begin with {");
  check_header_refused("[]", 0, "begin with {");
  check_header_refused("{} {}", 0, "a syntax error at byte");
  check_header_refused(std::string_view("{}\0", 3), 0, "a syntax error at byte 2 of it");
  check_header_refused("{\"a\":NaN}", 0, "a syntax error");
  check_header_refused("{\"a\":1e999}", 0, "a number out of range");
  check_header_refused("{\"\xff\":{}}", 0, "a syntax error");
  check_header_refused("{" + entry("\xed\xa0\x80", "F32", "", "0,4") + "}", 4, "a syntax error");
  check_header_refused("{" + entry("x", "\xff", "", "0,4") + "}", 4, "a syntax error");
  check_header_refused(std::string(1000000, '{'), 0, "a syntax error");
  std::string deep = "{\"x\":{\"shape\":";
  deep.append(1000000, '[');
  check_header_refused(deep, 0,
                       "tensor \"x\": shape must be a list of integers >= 0, found a list");
}

TEST_CASE("safetensors: the form of the entries") {
  for (const std::string_view value : {"null", "true", "1", "-1", "0.5", "\"x\"", "[]", "[1]"}) {
    check_header_refused(concat("{\"t\":", value, "}"), 0,
                         "the entry \"t\" must be an object, found");
    check_header_refused(concat("{\"__metadata__\":", value, "}"), 0,
                         "the entry \"__metadata__\" must be an object, found");
  }
  for (const std::string_view value : {"null", "true", "1", "-1", "0.5", "{}", "[]"}) {
    check_header_refused(concat("{\"__metadata__\":{\"k\":", value, "}}"), 0,
                         "__metadata__ \"k\" must be a string, found");
    check_header_refused(concat("{\"t\":{\"dtype\":", value, "}}"), 0,
                         "tensor \"t\": dtype must be a string, found");
  }
  for (const std::string_view value :
       {"null", "4", "\"4\"", "{}", "[-1]", "[-0]", "[1.0]", "[1e0]", "[18446744073709551616]",
        "[null]", "[[1]]", "[\"1\"]", "[{}]", "[false]"}) {
    check_header_refused(concat("{\"t\":{\"shape\":", value, "}}"), 0,
                         "tensor \"t\": shape must be a list of integers >= 0, found");
    check_header_refused(concat("{\"t\":{\"data_offsets\":", value, "}}"), 0,
                         "tensor \"t\": data_offsets must be a list of two integers >= 0, found");
  }
  for (const std::string_view offsets : {"", "0", "0,4,4", "0,4,8,12"}) {
    check_header_refused("{" + entry("t", "F32", "1", offsets) + "}", 4,
                         "data_offsets must be a list of two integers >= 0, found");
  }
  check_header_refused("{\"t\":{}}", 0, "tensor \"t\" must have dtype, shape and data_offsets");
  check_header_refused("{\"t\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "found some of them only");
  check_header_refused("{\"t\":{\"dtype\":\"F32\",\"strides\":[1]}}", 4, "found \"strides\"");
  check_header_refused("{\"t\":{\"dtype\":\"F32\",\"dtype\":\"F32\"}}", 4, "found again \"dtype\"");
  check_header_refused("{\"t\":{\"shape\":[1],\"shape\":[]}}", 4, "found again \"shape\"");
}

TEST_CASE("safetensors: names occur once") {
  check_header_refused(
      "{" + entry("t", "F32", "1", "0,4") + "," + entry("t", "F32", "1", "4,8") + "}", 8,
      "tensor \"t\" must occur once");
  check_header_refused(
      "{" + entry("t", "F32", "0", "0,0") + "," + entry("t", "F32", "0", "0,0") + "}", 0,
      "tensor \"t\" must occur once");
  check_header_refused(
      "{" + entry("t", "F32", "0", "0,0") + "," + entry("\\u0074", "F32", "0", "0,0") + "}", 0,
      "tensor \"t\" must occur once");
  check_header_refused(R"({"__metadata__":{},"__metadata__":{}})", 0,
                       "\"__metadata__\" occurs twice");
  check_header_refused(R"({"__metadata__":{"a":"1","a":"1"}})", 0, "\"a\" occurs twice");
}

TEST_CASE("safetensors: the data has no gaps, no overlap, nothing before or after") {
  const auto two = [](std::string_view a, std::string_view b) {
    return "{" + entry("a", "F32", "2", a) + "," + entry("b", "F32", "1", b) + "}";
  };
  REQUIRE(Safetensors::parse(raw_safetensors(two("0,8", "8,12"), Bytes(12)), "f"));
  REQUIRE(Safetensors::parse(raw_safetensors(two("4,12", "0,4"), Bytes(12)), "f"));
  check_header_refused(two("0,8", "9,13"), 13, "tensor \"b\": data must begin at offset 8");
  check_header_refused(two("0,8", "7,11"), 11,
                       "must begin at offset 8 where the data before it ends, found 7");
  check_header_refused(two("0,8", "0,4"), 8, "must begin at offset");
  check_header_refused(two("4,12", "12,16"), 16, "tensor \"a\": data must begin at offset 0");
  check_header_refused(two("0,8", "8,12"), 13, "must fill the 13 bytes of data, found 12");
  check_header_refused(two("0,8", "8,12"), 11, "tensor \"b\": data must end in 8..11, found 12");
  check_header_refused(two("0,8", "8,7"), 12, "data must end in 8..12, found 7");
  check_header_refused(two("0,8", "8,18446744073709551615"), 12, "data must end in 8..12");
  check_header_refused(two("0,8", "18446744073709551615,18446744073709551615"), 12, "must begin");
  check_header_refused(two("0,12", "12,12"), 12,
                       "of shape (2) and dtype F32 must have 8 bytes, found 12");
}

TEST_CASE("safetensors: sizes that overflow") {
  for (const std::string_view shape :
       {"4294967296,4294967296", "9223372036854775808,2", "18446744073709551615,2",
        "4611686018427387904", "9223372036854775808,2,0", "65536,65536,65536,65536,4"}) {
    check_header_refused("{" + entry("t", "F32", shape, "0,0") + "}", 0,
                         "more than 2^64 bytes, found 0");
  }
  check_header_refused("{" + entry("t", "F32", "4611686018427387903", "0,0") + "}", 0,
                       "must have 18446744073709551612 bytes, found 0");
  std::string many = "1";
  for (int i = 0; i < 100000; ++i) many += ",1";
  check_header_refused("{" + entry("t", "U8", many, "0,2") + "}", 2,
                       "(1, 1, 1, 1, 1, 1, 1, 1, ...)");
}

TEST_CASE("safetensors: every truncation is an error, every flipped bit an error or harmless") {
  SafetensorsWriter writer;
  const std::vector<float> values = {1.0F, 2.0F, 3.0F, 4.0F, 5.0F, 6.0F};
  writer.add("alpha", {2, 3}, values, DType::BF16);
  writer.add("beta", {1, 1, 3}, std::span(values).first(3), DType::F32);
  writer.add("gamma", {}, std::span(values).first(1), DType::F64);
  const Bytes bytes = writer.bytes();
  const Safetensors whole = Safetensors::parse(bytes, "f").value();
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    // A copy of its own: reading past the end is then seen by the sanitizers.
    const Bytes truncated(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(n));
    CHECK(!Safetensors::parse(truncated, "f"));
  }
  const std::size_t header_end = bytes.size() - 12 - 12 - 8;
  int harmless = 0;
  for (std::size_t bit = 0; bit < 8 * header_end; ++bit) {
    CAPTURE(bit);
    Bytes flipped = bytes;
    flipped[bit / 8] ^= std::byte{1} << bit % 8;
    const auto file = Safetensors::parse(flipped, "f");
    if (!file) continue;
    ++harmless;  // it hit a name: everything else is as it was
    REQUIRE(file->tensors().size() == 3);
    for (std::size_t i = 0; i < 3; ++i) {
      const TensorView& was = whole.tensors()[i];
      const TensorView& is = file->tensors()[i];
      CHECK(is.dtype == was.dtype);
      CHECK(is.shape == was.shape);
      CHECK(is.data.data() - flipped.data() == was.data.data() - bytes.data());
      CHECK(is.data.size() == was.data.size());
    }
  }
  CHECK(harmless > 0);
  CHECK(harmless <= 8 * 16);
}

TEST_CASE("safetensors: a moved file keeps its tensors") {
  SafetensorsWriter writer;
  const std::vector<float> values = {1.0F};
  writer.add("x", {1}, values);
  const Bytes bytes = writer.bytes();
  Safetensors file = Safetensors::parse(bytes, "f").value();
  const TensorView* tensor = file.find("x");
  const Safetensors moved = std::move(file);
  CHECK(moved.find("x") == tensor);
}
