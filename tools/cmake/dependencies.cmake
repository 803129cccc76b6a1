# SPDX-License-Identifier: Apache-2.0
# Where the headers of other projects come from: the parent project, else a package of this system,
# else a pinned release. All of them are system headers to the compiler.
include(FetchContent)
include("${CMAKE_CURRENT_LIST_DIR}/headers.cmake")

# mamba2_dependency(<package> TARGET <target> HEADER <header> VERSION <floor>
#                   URL <archive> SHA256 <hash of it>)
function(mamba2_dependency package)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "TARGET;HEADER;VERSION;URL;SHA256" "")
  if(TARGET ${arg_TARGET})
    return()
  endif()

  if(CMAKE_CROSSCOMPILING AND NOT CMAKE_DISABLE_FIND_PACKAGE_${package})
    mamba2_find_headers(${arg_TARGET} ${arg_HEADER})
  elseif(NOT CMAKE_CROSSCOMPILING)
    # The floor is checked here because some packages refuse every newer major version.
    find_package(${package} QUIET)
    if(TARGET ${arg_TARGET} AND ${package}_VERSION VERSION_LESS arg_VERSION)
      message(FATAL_ERROR "mamba2 needs ${package} ${arg_VERSION} or newer, found "
        "${${package}_VERSION} in ${${package}_DIR}; -DCMAKE_DISABLE_FIND_PACKAGE_${package}=ON "
        "fetches a release that fits")
    endif()
    if(TARGET ${arg_TARGET})
      # Visible where mamba2::mamba2 is: also in the project that includes this one.
      set_property(TARGET ${arg_TARGET} PROPERTY IMPORTED_GLOBAL TRUE)
    endif()
  endif()
  if(TARGET ${arg_TARGET})
    return()
  endif()

  message(STATUS "mamba2: ${package} ${arg_VERSION} is not installed here, taking ${arg_URL}")
  # No CMakeLists.txt is in that subdirectory: their headers are used, not their build system.
  FetchContent_Declare(${package} URL ${arg_URL} URL_HASH SHA256=${arg_SHA256}
    SOURCE_SUBDIR headers-only)
  FetchContent_MakeAvailable(${package})
  if(NOT TARGET ${arg_TARGET})
    FetchContent_GetProperties(${package} SOURCE_DIR source)
    find_path(include ${arg_HEADER} PATHS "${source}/include" "${source}" NO_CACHE NO_DEFAULT_PATH
      NO_CMAKE_FIND_ROOT_PATH REQUIRED)
    add_library(${arg_TARGET} INTERFACE IMPORTED GLOBAL)
    set_target_properties(${arg_TARGET} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${include}")
  endif()
endfunction()

# The programs' command lines.
function(mamba2_needs_cli11)
  mamba2_dependency(CLI11 TARGET CLI11::CLI11 HEADER CLI/CLI.hpp VERSION 2.1
    URL https://github.com/CLIUtils/CLI11/archive/refs/tags/v2.1.2.tar.gz
    SHA256 26291377e892ba0e5b4972cdfd4a2ab3bf53af8dac1f4ea8fe0d1376b625c8cb)
endfunction()
