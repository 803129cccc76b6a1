# SPDX-License-Identifier: Apache-2.0
# What packages of header-only libraries need beyond find_package. Installed with mamba2, whose
# users need it too.

# mamba2_find_headers(<target> <header>): makes <target> of the folder that holds <header>, if found.
# For cross builds: the package files of a Debian host lie where CMake does not look for another
# architecture, or name /usr/include, which would put the host's C library in front of the target's.
# So the folder is linked into the build tree, alone, and that is what the target includes.
function(mamba2_find_headers target header)
  string(MAKE_C_IDENTIFIER "mamba2_headers_${target}" variable)
  find_path(${variable} ${header} PATH_SUFFIXES eigen3 NO_CACHE)
  if(NOT ${variable})
    find_path(${variable} ${header} PATH_SUFFIXES eigen3 NO_CACHE NO_CMAKE_FIND_ROOT_PATH
      PATHS /usr/local/include /usr/include)
  endif()
  if(NOT ${variable})
    return()
  endif()
  string(REGEX MATCH "^[^/]+" folder ${header})
  set(links "${CMAKE_BINARY_DIR}/${variable}")
  file(MAKE_DIRECTORY "${links}")
  file(CREATE_LINK "${${variable}}/${folder}" "${links}/${folder}" SYMBOLIC)
  add_library(${target} INTERFACE IMPORTED GLOBAL)
  set_target_properties(${target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${links}")
endfunction()

# Debian's xsimd 8.1 links xtl, which it neither needs nor depends on: the linker would look in vain.
function(mamba2_mend_xsimd)
  get_target_property(libraries xsimd INTERFACE_LINK_LIBRARIES)
  if(libraries STREQUAL "xtl" AND NOT TARGET xtl)
    set_property(TARGET xsimd PROPERTY INTERFACE_LINK_LIBRARIES "")
  endif()
endfunction()
