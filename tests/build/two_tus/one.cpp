// SPDX-License-Identifier: Apache-2.0
// Links with two.cpp, which includes the same headers.
#include "mamba2/mamba2.hpp"

std::string_view isa_of_two();

int main() { return mamba2::isa() == isa_of_two() ? 0 : 1; }
