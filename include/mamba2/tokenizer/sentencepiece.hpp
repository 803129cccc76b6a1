// SPDX-License-Identifier: Apache-2.0
// Reads the model files of SentencePiece, tokenizer.model and its kind: a protocol buffer. Field
// numbers and defaults are those of sentencepiece_model.proto.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "mamba2/core/result.hpp"
#include "mamba2/io/printable.hpp"
#include "mamba2/layers/config.hpp"
#include "mamba2/tokenizer/added_tokens.hpp"
#include "mamba2/tokenizer/decoder.hpp"
#include "mamba2/tokenizer/gguf_rules.hpp"
#include "mamba2/tokenizer/protobuf.hpp"
#include "mamba2/tokenizer/tokenizer_file.hpp"
#include "mamba2/unicode/utf8.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// Which tokens texts begin and end with, of which SentencePiece's files say nothing.
struct SentencePieceAround {
  struct One {
    bool is_added;
    std::string asked_by = {};  ///< what says so, for messages; it must be there, then
    std::string text = {};      ///< the piece; that of the file's settings if empty
  };
  One bos = {true}, eos = {false};  // as models trained with such files have it
};

class SentencePieceFile {
 public:
  SentencePieceFile(std::string_view bytes, std::string_view name, SentencePieceAround around)
      : bytes_(bytes), name_(name), around_(std::move(around)) {}

  /// Errors: malformed; unsupported, naming what is.
  [[nodiscard]] Result<TokenizerFile> read() {
    file_.vocab_key = "pieces";
    file_.merges_key = "pieces";
    read_fields(bytes_, [this](const ProtobufField& field) {
      using Kind = ProtobufField::Kind;
      if (field.kind != Kind::bytes) return;
      if (field.number == 1) read_piece(field.bytes);
      if (field.number == 2) read_trainer(field.bytes);
      if (field.number == 3) read_normalizer(field.bytes);
    });
    if (!error_) check();
    if (error_) return *std::move(error_);
    set_sentencepiece_rules(rules_, file_);
    if (const Result<void> indexed = index_vocab(name_, file_); !indexed) return indexed.error();
    add_around(around_.bos, bos_, file_.prefix);
    add_around(around_.eos, eos_, file_.suffix);
    if (error_) return *std::move(error_);
    if (file_.byte_fallback) {
      for (std::size_t byte = 0; byte < 256; ++byte) {
        if (file_.find(byte_name(byte)) != nullptr) continue;
        refuse("pieces", concat("of all bytes, as trainer_spec.byte_fallback is set"),
               concat("no ", in_quotes(byte_name(byte))));
        return *std::move(error_);
      }
    }
    return std::move(file_);
  }

 private:
  /// Kinds of pieces, under their numbers in files.
  enum class Piece { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };

  void refuse(std::string_view key, std::string_view expected, std::string_view found,
              ErrorCode code = ErrorCode::malformed) {
    if (error_) return;
    error_ = Error{code, concat(name_, ": ", key, " must be ", expected, ", found ", found)};
  }

  /// Calls visit(field) for each field of a message.
  template <class Visit>
  void read_fields(std::string_view message, const Visit& visit) {
    ProtobufReader reader(message);
    while (const auto field = reader.next()) {
      visit(*field);
      if (error_) return;
    }
    if (!reader.failed()) return;
    refuse("the file", "a model of SentencePiece", "bytes that are no protocol buffer");
  }

  void read_piece(std::string_view message) {
    std::string_view text;
    float score = 0.0F;
    std::uint64_t type = 1;
    read_fields(message, [&](const ProtobufField& field) {
      if (field.number == 1) text = field.bytes;
      if (field.number == 2) score = field.number_32().value_or(0.0F);
      if (field.number == 3) type = field.value;
    });
    const auto id = static_cast<Token>(file_.vocab.size());
    const std::string key = concat("pieces[", id, "]");
    if (file_.vocab.size() > TokenizerFile::kMaxId) {
      return refuse("pieces", concat("at most ", TokenizerFile::kMaxId + 1), "more");
    }
    if (text.empty() || valid_utf8_prefix(text) != text.size()) {
      return refuse(key, "valid UTF-8 that is not empty", in_quotes(text));
    }
    if (!(std::abs(score) < 1e30F)) return refuse(concat(key, ".score"), "finite", concat(score));
    if (type < 1 || type > 6) return refuse(concat(key, ".type"), "in 1..6", concat(type));
    add_piece(static_cast<Piece>(type), text, score, id, key);
  }

  void add_piece(Piece kind, std::string_view text, float score, Token id, std::string_view key) {
    if (kind == Piece::unused) {
      return refuse(concat(key, ".type"), "another than UNUSED", in_quotes(text),
                    ErrorCode::unsupported);
    }
    if (kind == Piece::byte && named_byte(text) < 0) {
      return refuse(key, "a byte such as \"<0x0A>\"", in_quotes(text));
    }
    if (kind != Piece::normal) score = TokenizerFile::VocabEntry::kNoScore;
    file_.vocab.push_back({std::string(text), id, score});
    if (kind == Piece::normal || kind == Piece::byte) return;
    if (text.size() > AddedTokens::kMaxLength) {
      return refuse(key, concat("at most ", AddedTokens::kMaxLength, " bytes long"),
                    concat(text.size()), ErrorCode::unsupported);
    }
    const bool users = kind == Piece::user_defined;
    if (kind == Piece::unknown && file_.unk_token) {
      return refuse(concat(key, ".type"), "UNKNOWN for one piece only", in_quotes(text));
    }
    if (kind == Piece::unknown) file_.unk_token = text;
    file_.added_tokens.push_back({.content = std::string(text),
                                  .id = id,
                                  .special = !users,
                                  .normalized = users,
                                  .verbatim = users});
  }

  void add_around(const SentencePieceAround::One& one, std::int32_t usual,
                  std::vector<Token>& out) {
    if (!one.is_added) return;
    if (!one.text.empty()) {
      if (const auto* entry = file_.find(one.text)) return out.push_back(entry->id);
    } else if (usual >= 0 && static_cast<std::size_t>(usual) < file_.vocab.size()) {
      return out.push_back(static_cast<Token>(usual));
    }
    if (one.asked_by.empty() || error_) return;
    error_ = Error{ErrorCode::malformed,
                   concat(one.asked_by, " must be false, or the token a piece of ", name_,
                          ", found ", one.text.empty() ? "no token" : in_quotes(one.text))};
  }

  void read_trainer(std::string_view message) {
    read_fields(message, [&](const ProtobufField& field) {
      if (field.number == 3) model_type_ = field.value;
      if (field.number == 24 && field.value != 0) {
        refuse("trainer_spec.treat_whitespace_as_suffix", "false", "true", ErrorCode::unsupported);
      }
      if (field.number == 35) file_.byte_fallback = field.value != 0;
      if (field.number == 41) bos_ = static_cast<std::int32_t>(field.value);
      if (field.number == 42) eos_ = static_cast<std::int32_t>(field.value);
    });
  }

  void read_normalizer(std::string_view message) {
    read_fields(message, [&](const ProtobufField& field) {
      if (field.number == 2 && !field.bytes.empty()) {
        refuse("normalizer_spec.precompiled_charsmap", "empty (the rule identity)",
               concat(field.bytes.size(), " bytes"), ErrorCode::unsupported);
      }
      if (field.number == 3) rules_.add_dummy_prefix = field.value != 0;
      if (field.number == 4) rules_.remove_extra_whitespaces = field.value != 0;
      if (field.number == 5 && field.value == 0) {
        refuse("normalizer_spec.escape_whitespaces", "true", "false", ErrorCode::unsupported);
      }
    });
  }

  void check() {
    constexpr std::string_view kTypes[] = {"UNIGRAM", "BPE", "WORD", "CHAR"};
    if (file_.vocab.empty()) {
      return refuse("the file", "a model of SentencePiece", "no pieces");
    }
    if (model_type_ == 2) return;
    refuse("trainer_spec.model_type", "BPE",
           model_type_ >= 1 && model_type_ <= 4 ? kTypes[model_type_ - 1] : concat(model_type_),
           ErrorCode::unsupported);
  }

  std::string_view bytes_, name_;
  SentencePieceAround around_;
  TokenizerFile file_;
  SentencePieceRules rules_ = {.add_dummy_prefix = true, .remove_extra_whitespaces = true};
  std::uint64_t model_type_ = 1;
  std::int32_t bos_ = 1, eos_ = 2;
  std::optional<Error> error_;
};

/// A model file of SentencePiece. Errors: malformed; unsupported, naming what is.
[[nodiscard]] inline Result<TokenizerFile> read_sentencepiece(std::string_view bytes,
                                                              std::string_view name,
                                                              SentencePieceAround around = {}) {
  return SentencePieceFile(bytes, name, std::move(around)).read();
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
