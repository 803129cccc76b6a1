// SPDX-License-Identifier: Apache-2.0
// Small models in types of GGUF that the gguf package cannot all read, with llama.cpp's logits.
#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <cstring>
#include <string>
#include <vector>

#include "mamba2/linear/mixed.hpp"
#include "tests/model_helpers.hpp"
#include "tests/reference/checkpoint.hpp"
#include "tests/reference/compare.hpp"

namespace {

std::vector<double> golden_logits(const std::string& file) {
  const std::string bytes = reference::read_file(file).value();
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return {values.begin(), values.end()};
}

template <class WeightT>
std::vector<float> gguf_logits(const std::string& file) {
  const auto model = mamba2::Mamba2Model<WeightT>::load(file).value();
  auto session = model.session().value();
  return tests::all_logits(session, std::vector<mamba2::Token>{5, 9, 3});
}

}  // namespace

TEST_CASE("gguf: models in Q2_0, MXFP4 and NVFP4 give llama.cpp's logits") {
  for (const std::string name : {"Q2_0", "MXFP4", "NVFP4"}) {
    CAPTURE(name);
    const std::string base = MAMBA2_SOURCE_DIR "/tests/golden/gguf_types/" + name;
    const std::vector<double> expected = golden_logits(base + ".f32");
    const double scale = reference::standard_deviation(expected);
    const double floats =
        reference::max_abs_difference(gguf_logits<mamba2::Fp32>(base + ".gguf"), expected) / scale;
    const double mixed =
        reference::max_abs_difference(gguf_logits<mamba2::Mixed>(base + ".gguf"), expected) / scale;
    MESSAGE(name, ": ", floats, " standard deviations with fp32 weights, ", mixed, " with mixed");
    // llama.cpp rounds the inputs of products to 8 bits, a scale for 32 of them.
    CHECK(floats < 0.12);
    CHECK(mixed < 0.12);
  }
}
