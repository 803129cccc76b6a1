// SPDX-License-Identifier: Apache-2.0
#include <iostream>
#include <mamba2/mamba2.hpp>

int main() {
  auto model = mamba2::Mamba2Model<mamba2::Int8>::load("examples/models/llama-tales-14m").value();
  auto tokenizer = mamba2::Tokenizer::load("examples/models/llama-tales-14m").value();
  auto session = model.session().value();
  mamba2::generate(session, tokenizer, "Once upon a time", {.max_tokens = 100},
                   [](std::string_view text) {
                     std::cout << text << std::flush;
                     return true;
                   })
      .value();
}
