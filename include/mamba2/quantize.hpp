// SPDX-License-Identifier: Apache-2.0
// Rounding weights to few bits, and packing them for a CPU. The only part that needs Eigen.
#pragma once

#include "mamba2/quantize/gptq.hpp"
#include "mamba2/quantize/pack.hpp"
#include "mamba2/quantize/quantize_rows.hpp"
#include "mamba2/quantize/targets.hpp"
