// SPDX-License-Identifier: Apache-2.0
// Probabilities of tokens as lines of JSON.
#pragma once

#include <cmath>
#include <mamba2/text/generate_options.hpp>
#include <mamba2/tokenizer/tokenizer.hpp>
#include <nlohmann/json.hpp>
#include <string>

namespace cli {

/// {"id": 12, "text": " the", "logprob": -0.5, "best": [{"id", "text", "logprob"}, ...]}; text:
/// with U+FFFD for bytes that are not UTF-8 by themselves. A logarithm that is not finite is null.
[[nodiscard]] inline std::string logprobs_line(const mamba2::GeneratedToken& token,
                                               const mamba2::Tokenizer& tokenizer) {
  using Json = nlohmann::ordered_json;
  const auto entry = [&](mamba2::Token id, float logprob) {
    const double rounded = std::round(static_cast<double>(logprob) * 1e6) / 1e6;
    Json json = {
        {"id", id}, {"text", std::string(tokenizer.token_bytes(id))}, {"logprob", rounded}};
    if (!std::isfinite(logprob)) json["logprob"] = nullptr;
    return json;
  };
  Json line = entry(token.token, token.logprob);
  line["best"] = Json::array();
  for (const mamba2::TokenLogprob& b : token.best) {
    line["best"].push_back(entry(b.token, b.logprob));
  }
  return line.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace cli
