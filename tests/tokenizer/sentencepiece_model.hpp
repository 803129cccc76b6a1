// SPDX-License-Identifier: Apache-2.0
// Makes model files of SentencePiece, right or wrong.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mamba2_tests {

/// Bytes in the wire format of protocol buffers.
class ProtobufBytes {
 public:
  ProtobufBytes& varint(std::uint32_t field, std::uint64_t value) {
    number(std::uint64_t{field} << 3);
    number(value);
    return *this;
  }
  ProtobufBytes& text(std::uint32_t field, std::string_view value) {
    number(std::uint64_t{field} << 3 | 2);
    number(value.size());
    bytes += value;
    return *this;
  }
  ProtobufBytes& number_32(std::uint32_t field, float value) {
    number(std::uint64_t{field} << 3 | 5);
    char raw[sizeof value];
    std::memcpy(raw, &value, sizeof value);
    bytes.append(raw, sizeof value);
    return *this;
  }

  std::string bytes;

 private:
  void number(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
    bytes += static_cast<char>(value);
  }
};

/// The pieces and settings of a model; absent settings are not written.
struct SentencePieceModel {
  struct Piece {
    std::string text;
    float score = 0.0F;
    std::uint64_t type = 1;
  };

  std::vector<Piece> pieces;
  std::optional<std::uint64_t> model_type = 2, byte_fallback, bos_id, eos_id, suffix;
  std::optional<std::uint64_t> dummy_prefix, remove_extra = 0, escape;
  std::string charsmap;

  /// <unk>, <s>, </s>, all bytes, the letters of "the cat", and some of what they make.
  [[nodiscard]] static SentencePieceModel tiny() {
    SentencePieceModel model;
    model.pieces = {{"<unk>", 0, 2}, {"<s>", 0, 3}, {"</s>", 0, 3}};
    constexpr std::string_view kDigits = "0123456789ABCDEF";
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const std::string digits = {kDigits[byte / 16], kDigits[byte % 16]};
      model.pieces.push_back({"<0x" + digits + ">", 0, 6});
    }
    float score = 0;
    for (const char* text : {"he", "\u2581t", "\u2581the", "at", "\u2581c", "\u2581\u2581",
                             "\u2581", "t", "h", "e", "c", "a"}) {
      model.pieces.push_back({text, score--, 1});
    }
    model.byte_fallback = 1;
    return model;
  }

  [[nodiscard]] std::string bytes() const {
    ProtobufBytes out;
    for (const Piece& piece : pieces) {
      ProtobufBytes message;
      message.text(1, piece.text).number_32(2, piece.score);
      if (piece.type != 1) message.varint(3, piece.type);
      out.text(1, message.bytes);
    }
    const auto add = [](ProtobufBytes& to, std::uint32_t field,
                        std::optional<std::uint64_t> value) {
      if (value) to.varint(field, *value);
    };
    ProtobufBytes trainer, normalizer;
    add(trainer, 3, model_type);
    add(trainer, 24, suffix);
    add(trainer, 35, byte_fallback);
    add(trainer, 41, bos_id);
    add(trainer, 42, eos_id);
    normalizer.text(1, "identity");
    if (!charsmap.empty()) normalizer.text(2, charsmap);
    add(normalizer, 3, dummy_prefix);
    add(normalizer, 4, remove_extra);
    add(normalizer, 5, escape);
    return out.text(2, trainer.bytes).text(3, normalizer.bytes).bytes;
  }
};

}  // namespace mamba2_tests
