// SPDX-License-Identifier: Apache-2.0
// Any text as a model.safetensors.index.json, and behind a NUL any bytes as each of its shards.
#include <algorithm>
#include <cstdint>
#include <mamba2/mamba2.hpp>
#include <span>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const std::size_t length = std::min(size, all.find('\0'));
  const auto shard = std::as_bytes(std::span(data, size)).subspan(std::min(size, length + 1));
  const auto index = mamba2::detail::parse_shard_index(all.substr(0, length), "index");
  if (!index) return 0;
  for (const std::string& name : index->shards) {
    // What the checkpoint will open beside the index, and nowhere else.
    if (name.empty() || name.find('/') != name.npos || name.find("..") != name.npos)
      __builtin_trap();
  }
  std::vector<mamba2::Safetensors> shards;
  for (const std::string& name : index->shards) {
    auto parsed = mamba2::Safetensors::parse(shard, name);
    if (!parsed || shards.size() == 8) return 0;
    shards.push_back(*std::move(parsed));
  }
  static_cast<void>(mamba2::detail::check_shards(*index, shards, "index"));
  return 0;
}
