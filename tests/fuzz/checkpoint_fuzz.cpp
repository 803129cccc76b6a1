// SPDX-License-Identifier: Apache-2.0
// Any text as a config.json (and as a generation_config.json), and behind a NUL any bytes as a
// safetensors file: a model, or errors.
#include <algorithm>
#include <array>
#include <cstdint>
#include <mamba2/mamba2.hpp>
#include <span>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto length = static_cast<std::size_t>(std::find(data, data + size, 0) - data);
  const std::string_view config(reinterpret_cast<const char*>(data), length);
  const auto shard = bytes.subspan(std::min(size, length + 1));
  static_cast<void>(mamba2::Checkpoint::from_bytes(config, std::span(&shard, 1), config));
  static_cast<void>(mamba2::detail::parse_shard_index(config, "index"));
  return 0;
}
