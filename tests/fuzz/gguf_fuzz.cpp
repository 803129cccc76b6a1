// SPDX-License-Identifier: Apache-2.0
// Any bytes as a GGUF file: a model and a tokenizer, or errors.
#include <array>
#include <cstdint>
#include <mamba2/mamba2.hpp>
#include <span>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  if (const auto checkpoint = mamba2::Checkpoint::from_gguf(bytes)) {
    for (const mamba2::TensorView& tensor : checkpoint->tensors()) {
      std::array<float, 300> some;
      mamba2::read_floats(tensor, 0,
                          std::span(some).first(std::min(some.size(), tensor.elements())));
    }
  }
  if (const auto tokenizer = mamba2::Tokenizer::from_gguf(bytes)) {
    static_cast<void>(
        tokenizer->decode(tokenizer->encode("It's 12 o\xE2\x80\x99"
                                            "clock\n")));
  }
  return 0;
}
