// SPDX-License-Identifier: Apache-2.0
// Texts that keep to a grammar: JSON, by a schema. mamba2.hpp has Constraint, which holds a text to
// one.
#pragma once

#include "mamba2/text/grammar/constraint.hpp"
#include "mamba2/text/grammar/json_schema.hpp"
