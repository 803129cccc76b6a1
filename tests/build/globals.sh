#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# globals.sh INCLUDE OBJDUMP OBJECT...: of the library, compiled whole, nothing that can be written to lies
# in static memory, and no code runs before main(): it may be used from any thread at any time, and
# in several places of a program at once.
set -euo pipefail
include=$1 objdump=$2
shift 2

# Of the C++ library, compiled into whoever uses it:
#   __waiter_pool_base::_S_for::__w    where threads sleep that wait for an atomic: the thread pool's
#   _Sp_make_shared_tag::_S_ti::__tag  never written to
#   DW.ref.__gxx_personality_v0        by clang: for exceptions, written to by the dynamic linker only
known='std::__detail::__waiter_pool_base::_S_for|std::_Sp_make_shared_tag::_S_ti'
known+='|DW\.ref\.__gxx_personality_v0'

symbols=$("$objdump" --syms --demangle "$@")
fail() {
  printf '%s:\n%s\n' "$1" "$2" >&2
  exit 1
}
if found=$(grep -rnE '# *include <(i|o|f|s|io)stream>|# *include <iomanip>' "$include"); then
  fail "headers of streams" "$found"
fi
# .data.rel.* is written to by the dynamic linker only: pointers, as in tables of virtual functions.
if found=$(grep -E '[[:space:]]\.(data|bss|tdata|tbss)[^[:space:]]*[[:space:]]+[0-9a-f]+ ' <<<"$symbols" |
  grep -vE '[[:space:]]\.data\.rel\.|[[:space:]]d[[:space:]]+\.|'"$known"); then
  fail "data that can be written to" "$found"
fi
if found=$(grep -E '_GLOBAL__sub_I|\.init_array|std::ios_base::Init|std::c(out|err|in|log)$' <<<"$symbols"); then
  fail "code that runs before main(), or streams" "$found"
fi
functions=$(grep -c ' F \.text' <<<"$symbols")
echo "$functions functions, no data that can be written to"
[ "$functions" -gt 1000 ] # it was the library
