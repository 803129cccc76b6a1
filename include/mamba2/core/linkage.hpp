// SPDX-License-Identifier: Apache-2.0
// Whether this translation unit has the definitions of large functions that are not templates.
//
// As a rule every one has: there is nothing to link. A program of many source files compiles faster
// if it defines MAMBA2_SEPARATE for all of them, and in one of them, before the include,
// MAMBA2_IMPLEMENTATION: parsers, tokenizer and the larger kernels are then compiled there, and
// there only. (Of templates such as Session, "extern template" does the same.)
#pragma once

#if !defined(MAMBA2_SEPARATE)
#define MAMBA2_HAS_DEFINITIONS 1
#define MAMBA2_FUNCTION inline
#elif defined(MAMBA2_IMPLEMENTATION)
#define MAMBA2_HAS_DEFINITIONS 1
#define MAMBA2_FUNCTION
#else
#define MAMBA2_HAS_DEFINITIONS 0
#endif

// Before an explicit instantiation, for a program with MAMBA2_SEPARATE: its definition, or the
// promise that there is one elsewhere.
#if MAMBA2_HAS_DEFINITIONS
#define MAMBA2_INSTANTIATION template
#else
#define MAMBA2_INSTANTIATION extern template
#endif
