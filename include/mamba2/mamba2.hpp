// SPDX-License-Identifier: Apache-2.0
// Everything: include this one.
#pragma once

#include "mamba2/config.hpp"
#include "mamba2/core/executor.hpp"
#include "mamba2/core/platform.hpp"
#include "mamba2/core/result.hpp"
#include "mamba2/core/thread_pool.hpp"
#include "mamba2/generate.hpp"
#include "mamba2/io/checkpoint.hpp"
#include "mamba2/linear/floats.hpp"
#include "mamba2/linear/int4.hpp"
#include "mamba2/linear/int8.hpp"
#include "mamba2/model.hpp"
#include "mamba2/sampler.hpp"
#include "mamba2/session.hpp"
#include "mamba2/state.hpp"
#include "mamba2/tokenizer.hpp"
#include "mamba2/version.hpp"
