// SPDX-License-Identifier: Apache-2.0
// The converter's way from a checkpoint's tensors to a file: transforms, and values that are
// refused.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/executor.hpp"
#include "mamba2/io/safetensors.hpp"
#include "tests/constants.hpp"
#include "tests/io/temp_dir.hpp"
#include "tests/io/toy_checkpoint.hpp"
#include "tools/convert/copy_tensors.hpp"
#include "tools/convert/model_source.hpp"

using convert::ModelSource;
using mamba2::DType;
using mamba2::ExportedTensor;
using mamba2::Result;
using mamba2_tests::TempDir;
using mamba2_tests::ToyCheckpoint;

namespace {

using Bytes = std::vector<std::byte>;

/// A model whose tensor 0, the embedding, is one row of these values.
ModelSource model_of(const TempDir& dir, std::vector<float> values, DType dtype = DType::F32) {
  ToyCheckpoint toy = ToyCheckpoint::small();
  mamba2_tests::SafetensorsWriter writer;
  for (const ToyCheckpoint::Tensor& tensor : toy.tensors) {
    const float one = tensor.name.ends_with("A_log") ? 0.75F : 1.0F;
    const bool is_first = &tensor == toy.tensors.data();
    if (is_first) values.resize(tensor.shape[0] * tensor.shape[1]);
    writer.add(tensor.name, tensor.shape, is_first ? values : std::vector<float>{one},
               is_first ? dtype : tensor.dtype);
  }
  dir.write("config.json", toy.config);
  dir.write("model.safetensors", writer.bytes());
  return ModelSource::open(dir.path()).value();
}

struct Copied {
  Result<void> outcome;
  Bytes file;
};

/// Writes one tensor into a file in memory.
Copied copy(const ModelSource& source, const ExportedTensor& tensor, bool go_on = true) {
  Bytes file;
  mamba2::SafetensorsWriter writer;
  writer.add_tensor(tensor.name, tensor.dtype, tensor.shape).value();
  writer
      .start([&](std::span<const std::byte> bytes) {
        file.insert(file.end(), bytes.begin(), bytes.end());
        return Result<void>();
      })
      .value();
  mamba2::SerialExecutor executor;
  const auto report = [go_on](std::size_t done, std::size_t total) {
    CHECK(done == total);
    return go_on;
  };
  const auto outcome = convert::TensorCopier(source, executor, writer).copy({&tensor, 1}, report);
  return {outcome, std::move(file)};
}

ExportedTensor embedding(DType dtype) {
  return {"t", "embedding.weight", {11, 6}, dtype, mamba2::Role::embedding};
}

std::vector<float> floats_of(const Copied& copied) {
  copied.outcome.value();
  const auto file = mamba2::Safetensors::parse(copied.file, "file").value();
  std::vector<float> values(file.find("t")->elements());
  mamba2::read_floats(*file.find("t"), 0, values);
  return values;
}

void check_not_copied(const Copied& copied, std::string_view reason) {
  REQUIRE(!copied.outcome);
  CAPTURE(copied.outcome.error().message);
  CHECK(copied.outcome.error().code == mamba2::ErrorCode::malformed);
  CHECK(copied.outcome.error().message.find(reason) != std::string::npos);
}

}  // namespace

TEST_CASE("convert: what is not finite, or would not be, is refused") {
  const TempDir dir;
  ModelSource source = model_of(dir, {1.0F, tests::kNan});
  check_not_copied(copy(source, embedding(DType::F32)),
                   "/model.safetensors: tensor embedding.weight: element 1 must be a finite value, "
                   "found nan");
  source = model_of(dir, {1.0F, 2.0F, -70000.0F});
  CHECK(floats_of(copy(source, embedding(DType::F32)))[2] == -70000.0F);
  CHECK(floats_of(copy(source, embedding(DType::BF16)))[2] == -70144.0F);
  check_not_copied(
      copy(source, embedding(DType::F16)),
      "element 2 must be at most 65504 in magnitude to be stored as F16, found -70000");
  source = model_of(dir, {tests::kInfinity}, DType::BF16);  // though it need not be converted
  check_not_copied(copy(source, embedding(DType::BF16)),
                   "element 0 must be a finite value, found inf");
}

TEST_CASE("convert: A and its logarithm") {
  const TempDir dir;
  const ModelSource source = model_of(dir, {1.0F});
  const auto same =
      floats_of(copy(source, {"t", "layers.1.mixer.A_log", {4}, DType::F32, mamba2::Role::decay}));
  CHECK(same == std::vector<float>(4, 0.75F));
  const auto A =
      floats_of(copy(source, {"t", "layers.1.mixer.A", {4, 1}, DType::F32, mamba2::Role::decay}));
  CHECK(A == std::vector<float>(4, -std::exp(0.75F)));
}

TEST_CASE("convert: interrupted") {
  const TempDir dir;
  const Copied copied = copy(model_of(dir, {1.0F}), embedding(DType::F32), false);
  REQUIRE(!copied.outcome);
  CHECK(copied.outcome.error().message == "interrupted");
}

TEST_CASE("convert: random weights are the same in parts, finite, and of the right size") {
  mamba2::Config config;
  config.d_model = 64;
  config.d_inner = config.d_ssm = 128;
  config.n_layer = 2;
  config.vocab_size = 20000;
  const ModelSource source = ModelSource::random(config);
  CHECK(source.dtype() == DType::F32);
  std::vector<float> whole(20000 * 64);  // more than the pool that they are drawn from
  source.read("embedding.weight", 0, whole);
  std::vector<float> part(1000);
  for (const std::size_t first : {0U, 999U, 999999U}) {
    source.read("embedding.weight", first, part);
    CHECK(std::equal(part.begin(), part.end(), whole.begin() + static_cast<std::ptrdiff_t>(first)));
  }
  double square = 0;
  for (const float value : whole) square += double{value} * value;
  CHECK(square / static_cast<double>(whole.size()) == doctest::Approx(1.0 / 64).epsilon(0.01));
  std::vector<float> A(2);
  source.read("layers.0.mixer.A", 0, A);
  for (const float value : A) CHECK((value < 0.0F && std::isfinite(value)));
  std::vector<float> other(2);
  source.read("layers.1.mixer.A", 0, other);
  CHECK(A != other);
}
