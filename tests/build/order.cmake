# SPDX-License-Identifier: Apache-2.0
# cmake -DSOURCE=... -P order.cmake: includes between folders point one way. A folder may include
# itself and those before it in the list; what stands in one line knows nothing of each other.
set(order
  core
  formats
  kernels
  linear
  layers
  io
  unicode
  regex
  tokenizer
  sequence
  model
  "text|quantize"
  include # mamba2.hpp and its kind
  tools
  bench)

# The place of a folder in the order; of a header that is not in one, "include".
function(place_of path result)
  set(place -1)
  string(REGEX REPLACE "^include/mamba2/" "" name "${path}")
  if(name STREQUAL "version.hpp")
    set(name core/version.hpp)
  elseif(NOT name MATCHES "/")
    set(name include/${name})
  endif()
  foreach(entry IN LISTS order)
    if(name MATCHES "^(${entry})/")
      list(FIND order "${entry}" place)
      set(${result}_folder "${CMAKE_MATCH_1}" PARENT_SCOPE)
    endif()
  endforeach()
  set(${result} ${place} PARENT_SCOPE)
endfunction()

file(GLOB_RECURSE files RELATIVE "${SOURCE}" "${SOURCE}/include/mamba2/*.hpp"
  "${SOURCE}/tools/*.hpp" "${SOURCE}/tools/*.cpp" "${SOURCE}/bench/*.hpp" "${SOURCE}/bench/*.cpp")
set(arrows 0)
set(wrong "")
foreach(file IN LISTS files)
  place_of("${file}" from)
  if(from LESS 0)
    string(APPEND wrong "  ${file}: is in a folder that the order does not know\n")
    continue()
  endif()
  file(STRINGS "${SOURCE}/${file}" lines REGEX "^#include [\"<](mamba2|tools|bench)/")
  foreach(line IN LISTS lines)
    string(REGEX REPLACE "^#include [\"<](mamba2/)?([^\">]+).*" "\\2" header "${line}")
    place_of("${header}" to)
    math(EXPR arrows "${arrows} + 1")
    if(to LESS 0 OR to GREATER from OR
        (to EQUAL from AND NOT to_folder STREQUAL from_folder))
      string(APPEND wrong "  ${file}: includes ${header}\n")
    endif()
  endforeach()
endforeach()
if(arrows LESS 100)
  message(FATAL_ERROR "only ${arrows} includes were found: the check sees nothing")
endif()
if(wrong)
  message(FATAL_ERROR "includes against the order of folders (${order}):\n${wrong}")
endif()
message("${arrows} includes, all in order")
