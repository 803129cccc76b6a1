// SPDX-License-Identifier: Apache-2.0
// Any text as a config.json (and as a generation_config.json), and behind a NUL any bytes as a
// safetensors file: a model, or errors. Or a file of BitMamba-2, with an adapter behind it.
#include <algorithm>
#include <array>
#include <cstdint>
#include <mamba2/mamba2.hpp>
#include <span>
#include <string_view>

namespace {

/// Where an adapter begins, if one does.
std::size_t adapter_in(std::span<const std::byte> bytes) {
  constexpr std::array kMagic = {std::byte{0x32}, std::byte{0x52}, std::byte{0x4F},
                                 std::byte{0x4C}};
  const auto found = std::search(bytes.begin(), bytes.end(), kMagic.begin(), kMagic.end());
  return static_cast<std::size_t>(found - bytes.begin());
}

int bitmamba(std::span<const std::byte> bytes) {
  const std::size_t end = adapter_in(bytes);
  auto checkpoint = mamba2::Checkpoint::from_bitmamba(bytes.first(end));
  if (!checkpoint) return 0;
  if (end < bytes.size()) static_cast<void>(checkpoint->add_lora(bytes.subspan(end), "lora"));
  static_cast<void>(checkpoint->repeat({.first = bytes.size() % 3, .last = 1, .count = 1}));
  const auto model = mamba2::Mamba2Model<mamba2::Fp32>::load(*checkpoint);
  if (!model) return 0;
  auto session = model->session({.prefill_batch = 2, .workers = {.threads = 1}});
  if (session) static_cast<void>(session->decode(0));
  return 0;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  if (mamba2::detail::is_bitmamba(bytes)) return bitmamba(bytes);
  const auto length = static_cast<std::size_t>(std::find(data, data + size, 0) - data);
  const std::string_view config(reinterpret_cast<const char*>(data), length);
  const auto shard = bytes.subspan(std::min(size, length + 1));
  static_cast<void>(mamba2::Checkpoint::from_bytes(config, std::span(&shard, 1), config));
  static_cast<void>(mamba2::detail::parse_shard_index(config, "index"));
  return 0;
}
