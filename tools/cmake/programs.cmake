# SPDX-License-Identifier: Apache-2.0
# How the project builds its own programs: warnings, the CPU, sanitizers. Nothing of it reaches the
# users of mamba2::mamba2.
include(CheckCXXCompilerFlag)

add_library(mamba2_development INTERFACE)
target_link_libraries(mamba2_development INTERFACE mamba2::mamba2)
target_compile_options(mamba2_development INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # False on "literal" + std::string (GCC bug 105651).
  target_compile_options(mamba2_development INTERFACE -Wno-restrict)
  # False on its own AVX-512 headers (GCC bug 105593) where they are not inlined into our code, as
  # without full optimisation.
  if(NOT CMAKE_BUILD_TYPE STREQUAL "Release")
    target_compile_options(mamba2_development INTERFACE -Wno-uninitialized
      -Wno-maybe-uninitialized)
  endif()
endif()
if(MAMBA2_WERROR)
  target_compile_options(mamba2_development INTERFACE -Werror)
endif()
if(MAMBA2_NATIVE)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
    set(native_flag -mcpu=native)
  else()
    set(native_flag -march=native)
  endif()
  check_cxx_compiler_flag(${native_flag} MAMBA2_HAS_NATIVE_FLAG)
  if(MAMBA2_HAS_NATIVE_FLAG)
    target_compile_options(mamba2_development INTERFACE ${native_flag})
  endif()
endif()
if(MAMBA2_SANITIZE)
  list(JOIN MAMBA2_SANITIZE "," sanitizers)
  target_compile_options(mamba2_development INTERFACE -fsanitize=${sanitizers}
    -fno-sanitize-recover=all -fno-omit-frame-pointer)
  if(MAMBA2_NO_SANITIZE)
    list(JOIN MAMBA2_NO_SANITIZE "," left_out)
    target_compile_options(mamba2_development INTERFACE -fno-sanitize=${left_out})
  endif()
  target_compile_definitions(mamba2_development INTERFACE _GLIBCXX_ASSERTIONS)
  target_link_options(mamba2_development INTERFACE -fsanitize=${sanitizers})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # The same checks in a third of the compile time of kernels: as calls instead of branches, and
    # without two analyses that take long for functions of that size.
    target_compile_options(mamba2_development INTERFACE -fira-region=one -fno-tree-pta
      "SHELL:--param asan-instrumentation-with-call-threshold=0")
  endif()
endif()

if(PROJECT_IS_TOP_LEVEL)
  set(CMAKE_CXX_EXTENSIONS OFF)
  set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
  if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
    set(CMAKE_BUILD_TYPE Release)
  endif()
endif()

# mamba2_program(<name> <source>...): an executable in bin/ of the build folder.
function(mamba2_program name)
  add_executable(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE mamba2_development)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin")
endfunction()

# mamba2_models: the library's large functions, compiled once for all programs and tests
# (tools/models.hpp).
if(MAMBA2_BUILD_TESTS OR MAMBA2_BUILD_EXAMPLES OR MAMBA2_BUILD_TOOLS OR MAMBA2_BUILD_BENCH)
  set(sources "")
  foreach(name IN ITEMS definitions products)
    set(source "${CMAKE_CURRENT_BINARY_DIR}/models/${name}.cpp")
    configure_file("${CMAKE_CURRENT_LIST_DIR}/../${name}.cpp.in" "${source}" COPYONLY)
    list(APPEND sources "${source}")
  endforeach()
  add_library(mamba2_models STATIC ${sources})
  target_compile_definitions(mamba2_models PUBLIC MAMBA2_SEPARATE)
  target_include_directories(mamba2_models PRIVATE "${PROJECT_SOURCE_DIR}")
  target_link_libraries(mamba2_models PRIVATE mamba2_development)
endif()
