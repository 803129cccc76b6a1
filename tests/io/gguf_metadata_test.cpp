// SPDX-License-Identifier: Apache-2.0
// The header and the metadata of GGUF files: every type of value, every rule.
#include "mamba2/io/gguf_metadata.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "tests/io/gguf_refused.hpp"
#include "tests/io/gguf_writer.hpp"

using mamba2::ErrorCode;
using mamba2::GgufMetadata;
using mamba2::GgufValue;
using mamba2_tests::GgufBytes;
using mamba2_tests::GgufType;
using mamba2_tests::GgufWriter;

namespace {

using Bytes = std::vector<std::byte>;

void check_metadata_refused(const Bytes& bytes, ErrorCode code,
                            std::initializer_list<std::string_view> parts) {
  mamba2_tests::check_refused(GgufMetadata::parse(bytes, "f.gguf"), code, parts);
}

/// A file whose only key "k" has the value that `write` writes, type first.
template <class Write>
Bytes with_value(const Write& write) {
  GgufWriter writer;
  write(writer.key("k"));
  return writer.bytes();
}

Bytes header(std::uint32_t version, std::uint64_t tensors, std::uint64_t keys) {
  GgufBytes file;
  return file.raw("GGUF").number(version).number(tensors).number(keys).bytes;
}

/// A value of each type, and arrays.
GgufWriter every_type() {
  GgufWriter writer;
  writer.add("u8", GgufType::uint8, std::uint8_t{200});
  writer.add("i8", GgufType::int8, std::int8_t{-3});
  writer.add("u16", GgufType::uint16, std::uint16_t{60000});
  writer.add("i16", GgufType::int16, std::int16_t{-300});
  writer.add("u32", std::uint32_t{4000000000});
  writer.add("i32", GgufType::int32, std::int32_t{-70000});
  writer.add("f32", 0.5F);
  writer.add("yes", true);
  writer.add("text", "Grüße\n");
  writer.add("u64", GgufType::uint64, std::numeric_limits<std::uint64_t>::max());
  writer.add("i64", GgufType::int64, std::int64_t{1} << 40);
  writer.add("f64", GgufType::float64, 0.1);
  writer.add("words", std::vector<std::string>{"a", "", "bc"});
  writer.add("numbers", std::vector<std::int32_t>{-1, 2});
  GgufBytes& flags = writer.key("flags").type(GgufType::array).type(GgufType::boolean);
  flags.number(std::uint64_t{2}).number(std::uint8_t{0}).number(std::uint8_t{1});
  GgufBytes& nested = writer.key("nested").type(GgufType::array).type(GgufType::array);
  nested.number(std::uint64_t{2});
  nested.type(GgufType::uint16).number(std::uint64_t{1}).number(std::uint16_t{7});
  nested.type(GgufType::string).number(std::uint64_t{1}).string("deep");
  writer.add("after", std::uint32_t{9});
  return writer;
}

}  // namespace

TEST_CASE("gguf metadata: every type of value") {
  for (const std::uint32_t version : {2U, 3U}) {
    GgufWriter writer = every_type();
    writer.version = version;
    const Bytes bytes = writer.bytes();
    const GgufMetadata metadata = GgufMetadata::parse(bytes, "f.gguf").value();
    CHECK(metadata.size() == 17);
    CHECK(metadata.tensor_count() == 0);
    CHECK(metadata.file() == "f.gguf");
    const auto value = [&](std::string_view key) -> const GgufValue& {
      REQUIRE(metadata.find(key) != nullptr);
      return *metadata.find(key);
    };
    CHECK(value("u8").integer() == 200);
    CHECK(!value("i8").integer());
    CHECK(value("i8").number() == -3.0);
    CHECK(value("u16").integer() == 60000);
    CHECK(value("i16").number() == -300.0);
    CHECK(value("u32").integer() == 4000000000U);
    CHECK(value("i32").number() == -70000.0);
    CHECK(value("f32").number() == 0.5);
    CHECK(!value("f32").integer());
    CHECK(value("yes").flag() == true);
    CHECK(!value("yes").integer());
    CHECK(value("text").text() == "Grüße\n");
    CHECK(value("u64").integer() == std::numeric_limits<std::uint64_t>::max());
    CHECK(value("i64").integer() == std::uint64_t{1} << 40);
    CHECK(value("f64").number() == 0.1);
    CHECK(!value("text").flag());
    CHECK(!value("text").number());
    CHECK(!value("words").text());
    CHECK(!value("numbers").number());
    CHECK(!value("flags").flag());
    std::vector<std::string> words;
    value("words").for_each_string([&](std::string_view word) { words.emplace_back(word); });
    CHECK(words == std::vector<std::string>{"a", "", "bc"});
    CHECK(value("numbers").count == 2);
    CHECK(value("numbers").int32_at(0) == -1);
    CHECK(value("numbers").int32_at(1) == 2);
    CHECK(value("nested").count == 2);
    CHECK(value("nested").type == GgufType::array);
    CHECK(value("after").integer() == 9);
    CHECK(metadata.find("") == nullptr);
    CHECK(metadata.find("u") == nullptr);
    CHECK(metadata.find("zz") == nullptr);
  }
}

TEST_CASE("gguf metadata: what values are called in messages") {
  const Bytes bytes = every_type().bytes();
  const GgufMetadata metadata = GgufMetadata::parse(bytes, "f").value();
  const auto described = [&](std::string_view key) {
    return mamba2::detail::describe(*metadata.find(key));
  };
  CHECK(described("i8") == "-3");
  CHECK(described("f32") == "0.5");
  CHECK(described("yes") == "true");
  CHECK(described("text") == "\"Grüße\\x0a\"");
  CHECK(described("u64") == "18446744073709551615");
  CHECK(described("words") == "a list of 3 string");
  CHECK(described("nested") == "a list of 2 array");
}

TEST_CASE("gguf metadata: magic, version, byte order") {
  check_metadata_refused({}, ErrorCode::malformed, {"is empty"});
  check_metadata_refused(Bytes(1), ErrorCode::malformed,
                         {"expected 4 bytes of \"GGUF\"", "after 1"});
  Bytes other = header(3, 0, 0);
  CHECK(GgufMetadata::parse(other, "f.gguf"));
  other[0] = std::byte{'g'};
  check_metadata_refused(other, ErrorCode::malformed, {"must begin with \"GGUF\""});
  for (const std::uint32_t version : {0U, 1U, 4U, 0xFFFFFFFFU}) {
    check_metadata_refused(header(version, 0, 0), ErrorCode::unsupported,
                           {"version must be 2 or 3, found ", std::to_string(version)});
  }
  for (const std::uint32_t version : {0x02000000U, 0x03000000U}) {
    check_metadata_refused(header(version, 0, 0), ErrorCode::unsupported,
                           {"must be little-endian, found big-endian"});
  }
}

TEST_CASE("gguf metadata: counts and lengths that the file cannot hold") {
  constexpr auto kMax = std::numeric_limits<std::uint64_t>::max();
  for (const std::uint64_t count : {std::uint64_t{1}, std::uint64_t{1} << 40, kMax}) {
    CAPTURE(count);
    check_metadata_refused(header(3, count, 0), ErrorCode::malformed,
                           {"tensor_count must be at most 0", std::to_string(count)});
    check_metadata_refused(header(3, 0, count), ErrorCode::malformed,
                           {"metadata_kv_count must be at most 0", std::to_string(count)});
    GgufBytes key;
    key.raw(header(3, 0, 1)).number(count).raw(std::string(20, '\0'));
    if (count > 1) {
      check_metadata_refused(
          key.bytes, ErrorCode::malformed,
          {"key 1 of 1: expected ", std::to_string(count), " bytes of key", "after 20"});
    }
  }
  for (const std::uint64_t length : {std::uint64_t{4}, std::uint64_t{1} << 63, kMax}) {
    CAPTURE(length);
    const auto text =
        with_value([&](GgufBytes& out) { out.type(GgufType::string).number(length).raw("abc"); });
    check_metadata_refused(Bytes(text.begin(), text.begin() + 24 + 9 + 12 + 3),
                           ErrorCode::malformed,
                           {"key \"k\": expected ", "bytes of string, found the end after 3"});
    for (const GgufType type : {GgufType::uint8, GgufType::string, GgufType::array,
                                GgufType::float64, GgufType::boolean}) {
      const auto list = with_value(
          [&](GgufBytes& out) { out.type(GgufType::array).type(type).number(length).raw("abc"); });
      check_metadata_refused(Bytes(list.begin(), list.begin() + 24 + 9 + 16 + 3),
                             ErrorCode::malformed,
                             {"key \"k\": array length must be at most ", std::to_string(length)});
    }
  }
}

TEST_CASE("gguf metadata: types of values") {
  for (const std::uint32_t type : {13U, 14U, 0x80000000U}) {
    check_metadata_refused(
        with_value([&](GgufBytes& out) { out.number(type).raw(std::string(16, '\0')); }),
        ErrorCode::malformed,
        {"key \"k\": value type must be in 0..12, found ", std::to_string(type)});
    check_metadata_refused(with_value([&](GgufBytes& out) {
                             out.type(GgufType::array).number(type).raw(std::string(16, '\0'));
                           }),
                           ErrorCode::malformed, {"value type must be in 0..12"});
  }
  for (const std::uint8_t wrong : {std::uint8_t{2}, std::uint8_t{255}}) {
    check_metadata_refused(
        with_value([&](GgufBytes& out) { out.type(GgufType::boolean).number(wrong); }),
        ErrorCode::malformed, {"key \"k\": a bool must be 0 or 1"});
    check_metadata_refused(
        with_value([&](GgufBytes& out) {
          out.type(GgufType::array).type(GgufType::boolean).number(std::uint64_t{2});
          out.number(std::uint8_t{1}).number(wrong);
        }),
        ErrorCode::malformed, {"a bool must be 0 or 1, found ", std::to_string(wrong)});
  }
}

TEST_CASE("gguf metadata: nested arrays, to a depth") {
  const auto nested = [](int depth) {
    return with_value([depth](GgufBytes& out) {
      out.type(GgufType::array);
      for (int i = 0; i < depth; ++i) out.type(GgufType::array).number(std::uint64_t{1});
      out.type(GgufType::uint8).number(std::uint64_t{1}).number(std::uint8_t{1});
    });
  };
  for (const int depth : {0, 1, 3, 4}) CHECK(GgufMetadata::parse(nested(depth), "f"));
  for (const int depth : {5, 6, 100, 100000}) {
    check_metadata_refused(nested(depth), ErrorCode::unsupported, {"nested at most 4 deep"});
  }
}

TEST_CASE("gguf metadata: keys") {
  for (const std::string& key : {std::string(), std::string("a b"), std::string("ä"),
                                 std::string("a\n"), std::string(65536, 'a')}) {
    GgufWriter writer;
    writer.add(key, std::uint32_t{1});
    check_metadata_refused(writer.bytes(), ErrorCode::malformed, {"1..65535 printable ASCII"});
  }
  GgufWriter longest;
  longest.add(std::string(65535, 'a'), std::uint32_t{1});
  CHECK(GgufMetadata::parse(longest.bytes(), "f"));

  GgufWriter twice;
  twice.add("b", std::uint32_t{1});
  twice.add("a", std::uint32_t{1});
  twice.add("b", "other");
  check_metadata_refused(twice.bytes(), ErrorCode::malformed, {"key \"b\" must occur once"});
}

TEST_CASE("gguf metadata: every truncation is an error, no flipped bit a crash") {
  const Bytes bytes = every_type().bytes();
  const std::size_t end = GgufMetadata::parse(bytes, "f").value().end();
  for (std::size_t n = 0; n < end; ++n) {
    const Bytes cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(n));
    check_metadata_refused(cut, ErrorCode::malformed, {});
  }
  for (std::size_t bit = 0; bit < 8 * end; ++bit) {
    Bytes flipped = bytes;
    flipped[bit / 8] ^= std::byte{1} << bit % 8;
    const auto metadata = GgufMetadata::parse(flipped, "f");
    if (!metadata) CHECK(!metadata.error().message.empty());
  }
}
