// SPDX-License-Identifier: Apache-2.0
// Writing models: GGUF, and the folders of transformers.
#pragma once

#include "mamba2/formats/encode.hpp"
#include "mamba2/io/atomic_file.hpp"
#include "mamba2/io/export.hpp"
#include "mamba2/io/gguf_export.hpp"
#include "mamba2/io/gguf_writer.hpp"
#include "mamba2/io/quantization.hpp"
#include "mamba2/io/safetensors_writer.hpp"
#include "mamba2/io/transformers_export.hpp"
#include "mamba2/io/update_config.hpp"
#include "mamba2/tokenizer/tokenizer_export.hpp"
