// SPDX-License-Identifier: Apache-2.0
#include <iostream>
#include <mamba2/mamba2.hpp>

int main() {
  const std::string path = "examples/models/llama-tales-14m";
  const auto model = mamba2::Mamba2Model<mamba2::Int8>::load(path);
  const auto tokenizer = mamba2::Tokenizer::load(path);
  if (!model || !tokenizer) {
    std::cerr << (model ? tokenizer.error() : model.error()).message << '\n';
    return 1;
  }
  auto session = model->session().value();
  mamba2::generate(session, *tokenizer, "Once upon a time", {.max_tokens = 100},
                   [](std::string_view text) {
                     std::cout << text << std::flush;
                     return true;
                   })
      .value();
}
