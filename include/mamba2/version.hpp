// SPDX-License-Identifier: Apache-2.0
#pragma once

// The one source of the version: CMake reads it from here.
#define MAMBA2_VERSION_MAJOR 0
#define MAMBA2_VERSION_MINOR 1
#define MAMBA2_VERSION_PATCH 0
#define MAMBA2_VERSION "0.1.0"
