// SPDX-License-Identifier: Apache-2.0
// The tokenizer as a filter, for referee_tokenizers.py and bench/tokenizer_speed.py:
//   referee_tokenizer TOKENIZER encode|plain|decode|stream|time [skip]
// Reads records (uint32 length, bytes) until the end of the input and answers each with a record:
// encode: text -> int32 ids; plain: the same, but nothing is added and no special token found;
// decode, stream: int32 ids -> text; skip leaves out special tokens.
// time: encodes all texts again and again, one answer: milliseconds to load, seconds per pass.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "mamba2/tokenizer/tokenizer.hpp"
#include "tests/referee_records.hpp"

namespace {

using tests::read_record;
using tests::write_record;
using Clock = std::chrono::steady_clock;

std::string decode(const mamba2::Tokenizer& tokenizer, std::string_view record,
                   mamba2::DecodeOptions options, bool stream) {
  std::vector<mamba2::Token> ids(record.size() / sizeof(mamba2::Token));
  std::memcpy(ids.data(), record.data(), ids.size() * sizeof(mamba2::Token));
  if (!stream) return tokenizer.decode(ids, options);
  mamba2::StreamingDecoder decoder(tokenizer, options);
  std::string text;
  for (const mamba2::Token id : ids) text += decoder.push(id);
  return text += decoder.finish();
}

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void time_passes(const mamba2::Tokenizer& tokenizer, double load_seconds) {
  std::vector<std::string> texts;
  while (auto text = read_record()) texts.push_back(*std::move(text));
  double best = std::numeric_limits<double>::infinity();
  std::size_t tokens = 0;
  const auto begin = Clock::now();
  do {
    const auto start = Clock::now();
    tokens = 0;
    for (const std::string& text : texts) tokens += tokenizer.encode(text).size();
    best = std::min(best, seconds_since(start));
  } while (seconds_since(begin) < 2.0);
  std::printf("%.3f %.9f %zu\n", 1e3 * load_seconds, best, tokens);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fputs("usage: referee_tokenizer TOKENIZER encode|plain|decode|stream|time [skip]\n",
               stderr);
    return 2;
  }
  const std::string_view mode = argv[2];
  const mamba2::DecodeOptions options{.skip_special = argc > 3};
  const auto start = Clock::now();
  const auto tokenizer = mamba2::Tokenizer::load(argv[1]);
  const double load_seconds = seconds_since(start);
  if (!tokenizer) {
    std::fprintf(stderr, "%s\n", tokenizer.error().message.c_str());
    return 1;
  }
  if (mode == "time") {
    time_passes(*tokenizer, load_seconds);
    return 0;
  }
  while (const auto record = read_record()) {
    if (mode == "encode" || mode == "plain") {
      const bool names = mode == "encode";
      const auto ids = tokenizer->encode(*record, {.add_special = names, .special_names = names});
      write_record(ids.data(), ids.size() * sizeof(mamba2::Token));
    } else {
      const std::string text = decode(*tokenizer, *record, options, mode == "stream");
      write_record(text.data(), text.size());
    }
  }
  return 0;
}
