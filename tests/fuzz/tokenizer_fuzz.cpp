// SPDX-License-Identifier: Apache-2.0
// Any text as a tokenizer.json, and behind a NUL any bytes as a text to encode and decode.
#include <algorithm>
#include <cstdint>
#include <mamba2/mamba2.hpp>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const std::size_t length = std::min(size, all.find('\0'));
  const std::string_view text = all.substr(std::min(size, length + 1));
  if (const auto tokenizer = mamba2::Tokenizer::from_json(all.substr(0, length))) {
    static_cast<void>(tokenizer->decode(tokenizer->encode(text)));
  }
  return 0;
}
