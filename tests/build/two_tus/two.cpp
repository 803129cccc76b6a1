// SPDX-License-Identifier: Apache-2.0
// Links with one.cpp, which includes the same headers.
#include "mamba2/mamba2.hpp"

std::string_view isa_of_two();
std::string_view isa_of_two() { return mamba2::isa(); }
