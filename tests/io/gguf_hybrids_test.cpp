// SPDX-License-Identifier: Apache-2.0
// GGUF files of hybrids with something wrong.
#include <doctest/doctest.h>

#include <cstddef>
#include <span>
#include <string>

#include "mamba2/io/checkpoint.hpp"
#include "tests/reference/random_weights.hpp"
#include "tests/reference/safetensors_lite.hpp"

TEST_CASE("damaged hybrids in GGUF are refused, or models all the same") {
  const auto open = [](const std::string& file) {
    return mamba2::Checkpoint::from_gguf(std::as_bytes(std::span(file)), "f.gguf");
  };
  std::string golden;
  for (const std::string name :
       {"nemotron-q8_0", "falcon-norm-q8_0", "lfm2-q8_0", "lfm2moe-q8_0", "granite-q8_0"}) {
    CAPTURE(name);
    golden =
        reference::read_file(MAMBA2_SOURCE_DIR "/tests/golden/hybrids_gguf/" + name + "/model.gguf")
            .value();
    CHECK(open(golden));
    std::size_t refused = 0;
    reference::Random random(3);
    const auto directory = static_cast<double>(golden.find("token_embd.weight") + 4000);
    for (std::size_t i = 0; i < 2000; ++i) {
      std::string damaged = golden;
      damaged[static_cast<std::size_t>(random.uniform(0.0, 1.0) * directory)] ^=
          static_cast<char>(1 << i % 8);
      const auto checkpoint = open(damaged);
      if (!checkpoint) {
        CHECK(!checkpoint.error().message.empty());
        ++refused;
      }
    }
    CHECK(refused > 600);
  }
  // What a key says is said of it.
  const auto with_byte = [&](const std::string& key, std::size_t after, char value) {
    std::string changed = golden;
    changed[changed.find(key) + key.size() + after] = value;
    const auto checkpoint = open(changed);
    return checkpoint ? std::string("a model") : checkpoint.error().message;
  };
  // Behind a key: the type (4 bytes); of a list that of its elements (4) and their number (8).
  CHECK(with_byte("granitehybrid.expert_count", 4, 8) ==
        "f.gguf: granitehybrid.expert_used_count must be an integer of at least 1, found 0");
  CHECK(with_byte("granitehybrid.attention.head_count_kv", 16, 77)
            .starts_with("f.gguf: granitehybrid.attention.head_count_kv must be the same number"));
  CHECK(with_byte("granitehybrid.block_count", 4, 2)
            .starts_with("f.gguf: granitehybrid.attention.head_count_kv must be a list of 2"));
}
