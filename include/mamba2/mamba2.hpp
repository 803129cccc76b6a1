// SPDX-License-Identifier: Apache-2.0
// The face: what it takes to run a model. What writes models is in export.hpp, what rounds and
// packs their weights in quantize.hpp.
#pragma once

#include "mamba2/core/executor.hpp"
#include "mamba2/core/platform.hpp"
#include "mamba2/core/result.hpp"
#include "mamba2/core/thread_pool.hpp"
#include "mamba2/io/checkpoint.hpp"
#include "mamba2/layers/config.hpp"
#include "mamba2/layers/state.hpp"
#include "mamba2/linear/floats.hpp"
#include "mamba2/linear/int4.hpp"
#include "mamba2/linear/int8.hpp"
#include "mamba2/linear/mixed.hpp"
#include "mamba2/linear/ternary.hpp"
#include "mamba2/model/model.hpp"
#include "mamba2/sequence/batch.hpp"
#include "mamba2/sequence/prefix_cache.hpp"
#include "mamba2/sequence/sampler.hpp"
#include "mamba2/sequence/session.hpp"
#include "mamba2/sequence/speculative_decoder.hpp"
#include "mamba2/sequence/state_file.hpp"
#include "mamba2/text/generate.hpp"
#include "mamba2/text/same_tokens.hpp"
#include "mamba2/tokenizer/tokenizer.hpp"
#include "mamba2/version.hpp"
