// SPDX-License-Identifier: Apache-2.0
// The shapes of published models have their numbers of parameters.
#include "tools/shapes.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <map>
#include <string>

#include "mamba2/io/tensor_names.hpp"

TEST_CASE("shapes: every one is valid, and has as many parameters as the published model") {
  // Millions, rounded, as the classes of transformers count them.
  const std::map<std::string, std::size_t> published = {{"granite-4.0-h-350m", 340},
                                                        {"granite-4.0-h-1b", 1462},
                                                        {"granite-4.0-h-micro", 3191},
                                                        {"granite-4.0-h-tiny", 6939},
                                                        {"granite-4.0-h-small", 32207},
                                                        {"bamba-9b", 9780},
                                                        {"lfm2-350m", 354},
                                                        {"lfm2-700m", 742},
                                                        {"lfm2-1.2b", 1170},
                                                        {"lfm2-8b-a1b", 8340},
                                                        {"zamba2-1.2b", 1205},
                                                        {"zamba2-2.7b", 2662},
                                                        {"zamba2-7b", 7357},
                                                        {"nemotron-nano-9b-v2", 8888},
                                                        {"nemotron-3-nano-4b", 3974},
                                                        {"nemotron-3-nano-30b-a3b", 31578},
                                                        {"falcon-h1-0.5b", 521},
                                                        {"falcon-h1-1.5b", 1555}};
  std::size_t known = 0;
  for (const std::string& name : cli::shape_names()) {
    CAPTURE(name);
    const mamba2::Config config = cli::config_of_shape(name);
    CHECK(config.validate());
    std::size_t parameters = 0;
    (void)mamba2::expected_tensors(config, [&](const mamba2::TensorSpec& spec) {
      std::size_t elements = 1;
      for (const std::size_t n : spec.shape) elements *= n;
      parameters += elements;
      return mamba2::Result<void>();
    });
    const auto found = published.find(name);
    if (found == published.end()) continue;
    CHECK((parameters + 500'000) / 1'000'000 == found->second);
    ++known;
  }
  CHECK(known == published.size());
}
