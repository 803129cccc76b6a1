// SPDX-License-Identifier: Apache-2.0
// Matrices on their way to codes and scales: what these cannot hold is refused.
#include "tools/quantize/matrix_quantizer.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "mamba2/core/executor.hpp"
#include "tests/io/temp_dir.hpp"
#include "tests/reference/random_weights.hpp"

using mamba2::DType;

namespace {

constexpr std::size_t kWidth = 64;

/// Quantizes the first out_proj of a model, of whose second row the first weights have this value.
mamba2::Result<quantize::ErrorSums> quantize_out_proj(const mamba2::StoredFormat& format,
                                                      double value, std::size_t count) {
  mamba2::Config config = reference::variants().front().config;
  config.d_model = 32;
  config.d_inner = config.d_ssm = kWidth;
  config.headdim = 16;
  reference::Weights weights = reference::random_weights(config, 71);
  auto row = weights.blocks[0].out_proj.begin() + kWidth;
  std::fill(row, row + kWidth, 0.0);
  std::fill(row, row + static_cast<std::ptrdiff_t>(count), value);
  const auto [json, file] = reference::to_checkpoint(config, weights);
  const mamba2_tests::TempDir dir;
  dir.write("config.json", json);
  dir.write("model.safetensors", file);
  const auto source = convert::ModelSource::open(dir.path()).value();
  mamba2::SerialExecutor executor;
  const quantize::Target target = {"layers.0.mixer.out_proj", config.d_model, kWidth, format};
  return quantize::MatrixQuantizer(source, executor)
      .quantize(target, format, {}, {}, [&](const quantize::QuantizedRows& rows) {
        // What is written can be read.
        CHECK(!mamba2::detail::find_bad_scale(format.dtype, rows.scales));
        return mamba2::Result<void>();
      });
}

std::string refusal(const mamba2::StoredFormat& format, double value, std::size_t count) {
  const auto outcome = quantize_out_proj(format, value, count);
  REQUIRE(!outcome);
  CHECK(outcome.error().code == mamba2::ErrorCode::malformed);
  const std::string& message = outcome.error().message;
  CHECK(message.find("/model.safetensors: tensor ") != std::string::npos);
  return message.substr(message.find("tensor "));
}

}  // namespace

TEST_CASE("quantizing: weights up to the limit of their format, and no larger") {
  const std::string element = "tensor layers.0.mixer.out_proj.weight: element 64 must be at most ";
  const double kLargest = std::numeric_limits<float>::max();
  for (const DType dtype : {DType::INT4_G32, DType::INT4_G64}) {
    CHECK(quantize_out_proj({dtype}, 7 * 65504.0, 1).value().relative() < 0.05);
    CHECK(refusal({dtype}, 1e7, 1) ==
          mamba2::detail::concat(element, "458528 in magnitude to be stored as ",
                                 mamba2::dtype_name(dtype), ", found 1e+07"));
  }
  CHECK(quantize_out_proj({DType::INT8}, kLargest / 128 * 127, 1));
  CHECK(refusal({DType::INT8}, kLargest, 1).find("to be stored as INT8, found 3.4") !=
        std::string::npos);
}

TEST_CASE("quantizing: rotated rows are checked once they are rotated") {
  const mamba2::StoredFormat rotated = {DType::INT4_G32, kWidth};
  CHECK(refusal(rotated, 1e5, kWidth) ==
        "tensor layers.0.mixer.out_proj.weight: element 64 must be at most 458528 in magnitude to "
        "be stored as INT4_G32 once its row is rotated, found 8e+05");
  CHECK(quantize_out_proj(rotated, 1e6, 1).value().relative() < 0.1);
  CHECK(refusal({DType::INT8, kWidth}, 1e38, kWidth).find("once its row is rotated, found inf") !=
        std::string::npos);
}
