// SPDX-License-Identifier: Apache-2.0
// UTF-8 stands in unicode/utf8.hpp; this name is for those that still include it.
#pragma once

#include "mamba2/unicode/utf8.hpp"
