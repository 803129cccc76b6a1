// SPDX-License-Identifier: Apache-2.0
#include "mamba2/model/packed.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <vector>

#include "mamba2/core/hash.hpp"
#include "mamba2/quantize/pack.hpp"
#include "mamba2/tokenizer/tokenizer.hpp"
#include "tests/io/temp_dir.hpp"
#include "tests/memory/small_model.hpp"
#include "tests/model_helpers.hpp"
#include "tests/reference/random_weights.hpp"
#include "tests/tokenizer/tiny_tokenizer.hpp"

using mamba2::ErrorCode;
using mamba2::Mamba2Model;
using mamba2::PackedFile;
using mamba2::PackedHeader;
using mamba2::Weights;

namespace {

/// A packed file in memory, on a multiple of 64 bytes.
class Packed {
 public:
  explicit Packed(const mamba2::PackedParts& parts)
      : Packed(parts.header.size() + parts.weights.size() + parts.tokenizer.size()) {
    std::byte* end = std::copy(parts.header.begin(), parts.header.end(), data_);
    end = std::copy(parts.weights.begin(), parts.weights.end(), end);
    std::copy(parts.tokenizer.begin(), parts.tokenizer.end(), end);
  }
  Packed(const Packed& other) : Packed(other.size_) { std::copy_n(other.data_, size_, data_); }
  Packed& operator=(const Packed&) = delete;
  ~Packed() { ::operator delete (data_, std::align_val_t{64}); }

  [[nodiscard]] std::span<std::byte> bytes() const { return {data_, size_}; }
  [[nodiscard]] PackedHeader header() const { return PackedFile::parse(bytes()).value().header; }

 private:
  explicit Packed(std::size_t size)
      : data_(static_cast<std::byte*>(::operator new (size, std::align_val_t{64}))), size_(size) {}

  std::byte* data_;
  std::size_t size_;
};

/// Works on a random model, or on a file of codes and scales.
template <class Use>
auto with_packed_checkpoint(bool quantized, Use use) {
  if (quantized) {
    return use(mamba2::Checkpoint::open(MAMBA2_SOURCE_DIR "/tests/golden/quantized").value());
  }
  return tests::with_checkpoint(tests::small_config(),
                                reference::random_weights(tests::small_config(), 41),
                                [&](auto checkpoint) { return use(checkpoint.value()); });
}

template <class WeightT>
Weights loaded_weights(bool quantized = false) {
  return with_packed_checkpoint(quantized, [](const mamba2::Checkpoint& checkpoint) {
    return mamba2::load_weights(checkpoint, mamba2::kPlan<WeightT>, {.workers = {.threads = 1}})
        .value();
  });
}

template <class WeightT>
Packed packed_natively(bool quantized = false) {
  return Packed(
      mamba2::packed_parts(loaded_weights<WeightT>(quantized), mamba2::layouts::Native::name));
}

std::span<const std::byte> arena_of(const Weights& weights) {
  return {weights.arena.data(), weights.arena.size()};
}

bool equal_bytes(std::span<const std::byte> a, std::span<const std::byte> b) {
  return std::ranges::equal(a, b);
}

template <class WeightT>
void check_in_place(bool quantized = false) {
  CAPTURE(std::string(WeightT::name));
  const Packed file = packed_natively<WeightT>(quantized);
  const auto expected = mamba2::AnyModel::from_weights(loaded_weights<WeightT>(quantized));
  const auto found = Mamba2Model<WeightT>::from_packed(file.bytes()).value();
  CHECK(found.weight_bytes() == expected.weight_bytes());
  CHECK(found.fingerprint() == expected.fingerprint());
  CHECK(found.fingerprint() != 0);
  CHECK(found.config().eos_token_ids == expected.config().eos_token_ids);

  const auto weights = mamba2::packed_weights(file.bytes(), mamba2::kPlan<WeightT>).value();
  CHECK(weights.arena.data() == file.bytes().data() + file.header().weights_offset);

  const mamba2::SessionOptions options = {.prefill_batch = 20, .workers = {.threads = 1}};
  auto session = found.session(options).value();
  auto reference_session = expected.session(options).value();
  const auto tokens = reference::Random(42).tokens(25, found.config().vocab_size);
  CHECK(tests::all_logits(session, tokens) == tests::all_logits(reference_session, tokens));
}

/// Packing by layout gives the bytes that loading gives.
template <class Own, class ByLayout>
void check_same_bytes(bool quantized = false) {
  CAPTURE(std::string(Own::name));
  CHECK(equal_bytes(arena_of(loaded_weights<Own>(quantized)),
                    arena_of(loaded_weights<ByLayout>(quantized))));
}

template <class WeightT>
std::uint64_t neon_hash(bool quantized = false) {
  return mamba2::Hash::of(arena_of(loaded_weights<WeightT>(quantized)));
}

/// A file with another header; the prefix fits it.
Packed with_header(const Packed& file, PackedHeader header) {
  const auto parsed = PackedFile::parse(file.bytes()).value();
  mamba2::PackedParts parts;
  parts.header = mamba2::packed_header_bytes(header);
  parts.weights = parsed.weights;
  return Packed(parts);
}

template <class WeightT = mamba2::Int8>
mamba2::Error packed_error(std::span<const std::byte> file) {
  const auto found = mamba2::packed_weights(file, mamba2::kPlan<WeightT>, "file");
  REQUIRE_FALSE(found);
  return found.error();
}

/// The error of a file whose header says something else.
template <class Change>
std::string changed_error(const Packed& file, Change change) {
  PackedHeader header = file.header();
  change(header);
  return packed_error(with_header(file, header).bytes()).message;
}

}  // namespace

TEST_CASE("packed weights are used in place, and give the same bits") {
  check_in_place<mamba2::Fp32>();
  check_in_place<mamba2::Fp16>();
  check_in_place<mamba2::Bf16>();
  check_in_place<mamba2::Int8>();
  check_in_place<mamba2::Int4>();
  check_in_place<mamba2::Mixed>();
  check_in_place<mamba2::Int4>(true);
  check_in_place<mamba2::Mixed>(true);
}

TEST_CASE("packing for this CPU as for another gives the bytes of loading") {
  using Own = mamba2::PoliciesFor<mamba2::layouts::Native>;
  check_same_bytes<mamba2::Fp32, Own::Fp32>();
  check_same_bytes<mamba2::Fp16, Own::Fp16>();
  check_same_bytes<mamba2::Int8, Own::Int8>();
  check_same_bytes<mamba2::Int4, Own::Int4>();
  check_same_bytes<mamba2::Int8, Own::Int8>(true);
  check_same_bytes<mamba2::Int4, Own::Int4>(true);
  check_same_bytes<mamba2::Mixed, Own::Mixed>(true);
}

// The same numbers on every machine: what is packed on one for ARM is what ARM itself has in
// memory. Without fused multiply-adds the scales of INT4 may differ in the last bit.
TEST_CASE("packing for ARM gives the same bytes on every machine") {
  using Arm = mamba2::PoliciesFor<mamba2::layouts::Neon>;
  CHECK(neon_hash<Arm::Fp16>() == 14767265432078036908U);
  CHECK(neon_hash<Arm::Int8>() == 9392517368714517595U);
  if (mamba2::isa() != "x86_64") CHECK(neon_hash<Arm::Int4>() == 7136865358512855826U);
  CHECK(neon_hash<Arm::Int4>(true) == 4684894698307061121U);
  CHECK(neon_hash<Arm::Mixed>(true) == 4684894698307061121U);
}

TEST_CASE("a packed file on disk is mapped, and brings its tokenizer") {
  const mamba2_tests::TempDir folder;
  const auto path = folder.path() / "model.packed";
  const std::string tokenizer = tiny::tokenizer().dump();
  with_packed_checkpoint(false, [&](const mamba2::Checkpoint& checkpoint) {
    mamba2::PackOptions options;
    options.tokenizer_json = tokenizer;
    options.load.workers.threads = 1;
    mamba2::pack(checkpoint, "int8", "native", path, options).value();
    const auto unknown = mamba2::pack(checkpoint, "int8", "z80", folder.path() / "other", options);
    REQUIRE_FALSE(unknown);
    CHECK(unknown.error().message.find("cortex-a76") != std::string::npos);
    CHECK_FALSE(mamba2::pack(checkpoint, "int3", "native", folder.path() / "other", options));
    options.go_on = [] { return false; };
    CHECK_FALSE(mamba2::pack(checkpoint, "int8", "neon", folder.path() / "other", options));
    return 0;
  });
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);
  CHECK(mamba2::is_packed_file(path));
  CHECK_FALSE(mamba2::is_packed_file(folder.path()));
  const auto model = Mamba2Model<mamba2::Int8>::load(path).value();
  auto session = model.session({.workers = {.threads = 1}}).value();
  auto expected = Mamba2Model<mamba2::Int8>::from_weights(loaded_weights<mamba2::Int8>())
                      .session({.workers = {.threads = 1}})
                      .value();
  CHECK(std::ranges::equal(session.decode(3).value(), expected.decode(3).value()));
  CHECK(mamba2::Tokenizer::load(path).value().vocab_size() ==
        mamba2::Tokenizer::from_json(tokenizer).value().vocab_size());

  // A file with a weight that has changed: refused, unless its hash is not asked for.
  auto text = mamba2::read_text_file(path, 1 << 24).value();
  const auto damaged = PackedFile::parse(std::as_bytes(std::span(text))).value();
  char& byte = text[damaged.header.weights_offset + 50001];
  byte = static_cast<char>(byte ^ 1);
  const auto damaged_path = folder.write("damaged.packed", text);
  const auto refused = Mamba2Model<mamba2::Int8>::load(damaged_path);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message ==
        damaged_path.native() + ": the weights are damaged: their hash does not fit");
  CHECK(Mamba2Model<mamba2::Int8>::load(damaged_path, {.check_hash = false}));
}

TEST_CASE("packed files for another CPU or policy are refused by name") {
  const Packed file = packed_natively<mamba2::Int8>();
  const bool is_arm = mamba2::layouts::Native::name == "neon";
  const auto wrong = [&](const std::string& layout) {
    return changed_error(file, [&](PackedHeader& header) { header.layout = layout; });
  };
  const std::string own(mamba2::layouts::Native::cpu);
  const std::string but = ", but this program is compiled for CPUs like " + own +
                          ": pack the model again with mamba2-quantize --pack " + own;
  CHECK(wrong(is_arm ? "avx2" : "neon") ==
        "file: is packed for CPUs like " + std::string(is_arm ? "x86-64-v3" : "cortex-a76") + but);
  CHECK(wrong("z80") == "file: is packed for CPUs like \"z80\"" + but);
  CHECK(mamba2::layout_of(own) == mamba2::layouts::Native::name);
  const auto policy = packed_error<mamba2::Int4>(file.bytes());
  CHECK(policy.code == ErrorCode::mismatch);
  CHECK(policy.message == "file: weights must be int4, found \"int8\"");
}

TEST_CASE("damaged packed files are refused") {
  const Packed file = packed_natively<mamba2::Int8>();
  const std::size_t weights = file.header().weights_offset;
  SUBCASE("cut off") {
    for (std::size_t size = 0; size < file.bytes().size(); size += size < 700 ? 1 : 4001) {
      CAPTURE(size);
      CHECK(packed_error(file.bytes().first(size)).code == ErrorCode::malformed);
    }
  }
  SUBCASE("a bit changed in the header") {
    std::uint32_t size = 0;
    std::memcpy(&size, file.bytes().data() + 12, sizeof size);
    for (std::size_t i = 0; i < size; ++i) {
      CAPTURE(i);
      const Packed changed(file);
      changed.bytes()[i] ^= std::byte{4};
      packed_error(changed.bytes());
    }
  }
  SUBCASE("a bit changed in the weights") {
    const Packed changed(file);
    changed.bytes()[weights + 50001] ^= std::byte{1};
    CHECK(packed_error(changed.bytes()).message ==
          "file: the weights are damaged: their hash does not fit");
    CHECK(mamba2::packed_weights(changed.bytes(), mamba2::kPlan<mamba2::Int8>, "file",
                                 {.check_hash = false}));
  }
  SUBCASE("another version") {
    const Packed changed(file);
    changed.bytes()[8] = std::byte{1};
    const auto error = packed_error(changed.bytes());
    CHECK(error.code == ErrorCode::unsupported);
    CHECK(error.message == "file: version of a packed model must be in 2..4, found 1");
  }
  SUBCASE("not aligned") {
    std::vector<std::byte> room(file.bytes().size() + 128);
    void* start = room.data();
    std::size_t space = room.size();
    std::align(64, file.bytes().size(), start, space);
    auto* place = static_cast<std::byte*>(start) + 8;
    std::copy(file.bytes().begin(), file.bytes().end(), place);
    const auto error = packed_error({place, file.bytes().size()});
    CHECK(error.code == ErrorCode::invalid_argument);
    CHECK(error.message ==
          "file: memory must start on a multiple of 64 bytes, found 8 bytes past one");
  }
}

TEST_CASE("packed files that lie are refused") {
  const Packed file = packed_natively<mamba2::Int8>();
  const auto error = [&](auto change) { return changed_error(file, change); };
  CHECK(error([](PackedHeader& h) { h.config.d_model = 0; }) ==
        "file: d_model must be in 1..131072, found 0");
  CHECK(error([](PackedHeader& h) { h.config.vocab_size *= 2; }).find("weights must have ") !=
        std::string::npos);
  CHECK(error([](PackedHeader& h) {
          h.config.n_layer = 60000;
        }).find("formats and 60000 rotations") != std::string::npos);
  CHECK(error([](PackedHeader& h) {
          h.config.n_layer = 60000;
          h.formats.resize(120002);
          h.rotations.resize(60000);
        }) == "file: 60000 layers must have more weights, found " +
                  std::to_string(file.header().weights_bytes) + " bytes");
  CHECK(error([](PackedHeader& h) { h.rotations[1] = 3; }) ==
        "file: layer 1: rotation must be 64, found 3");
  CHECK(error([](PackedHeader& h) { h.rotations[0] = 1; }) ==
        "file: layer 0: rotation must be 64, found 1");
  CHECK(error([](PackedHeader& h) { h.formats[2] = 1; }) ==
        "file: a matrix has a format that is not one of int8");
  CHECK(error([](PackedHeader& h) { h.weights_bytes += 64; }).find("the file must have") !=
        std::string::npos);
  CHECK(error([](PackedHeader& h) { h.weights_bytes = ~std::uint64_t{0}; }) != "");
  CHECK(error([](PackedHeader& h) { h.tokenizer_bytes = 1; }) != "");
}

// Whatever a header says, if its hash fits: an error, or a model that runs.
TEST_CASE("packed files with headers of random bits do no harm") {
  const Packed file = packed_natively<mamba2::Int8>();
  std::uint32_t size = 0;
  std::memcpy(&size, file.bytes().data() + 12, sizeof size);
  const std::span<std::byte> members = file.bytes().subspan(24, size - 24);
  const std::vector<std::byte> original(members.begin(), members.end());
  reference::Random random(43);
  const auto below = [&random](std::size_t n) { return random.next() % n; };
  std::size_t loaded = 0;
  for (int i = 0; i < 2000; ++i) {
    for (std::size_t changes = 1 + below(2); changes > 0; --changes) {
      members[below(members.size())] ^= std::byte{1} << below(8);
    }
    const std::uint64_t hash = mamba2::Hash::of(members);
    std::memcpy(file.bytes().data() + 16, &hash, sizeof hash);
    const auto model = Mamba2Model<mamba2::Int8>::from_packed(file.bytes(), {.check_hash = false});
    if (model && ++loaded < 100) {
      auto session = model->session({.prefill_batch = 2, .workers = {.threads = 1}});
      if (session) CHECK(session->decode(0).has_value());
    }
    std::ranges::copy(original, members.begin());
  }
  CHECK(loaded > 0);
  CHECK(loaded < 2000);
}

TEST_CASE("packed values that are not finite are refused") {
  Weights weights = loaded_weights<mamba2::Int8>();
  const auto error = [&](const float* place, float value) {
    float* writable = weights.writable(place);
    const float before = *writable;
    *writable = value;
    const Packed file(mamba2::packed_parts(weights, mamba2::layouts::Native::name));
    *writable = before;
    return packed_error(file.bytes()).message;
  };
  CHECK(error(weights.norm_f, NAN) == "file: norm_f.weight must have finite values");
  const mamba2::Mamba2Weights& mixer = weights.layers[1].mamba2();
  CHECK(error(mixer.ssm.A, 1.0F) ==
        "file: layers.1.mixer.A_log must have finite values, and A at most 0");
  CHECK(error(mixer.conv.weight + 5, INFINITY) ==
        "file: layers.1.mixer.conv1d.weight must have finite values");
}
