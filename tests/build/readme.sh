#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# readme.sh SOURCE: what README.md shows as C++ is compiled, to the letter: the first block is all of
# examples/hello.cpp but the comment at its top, the others are parts of tests/readme_test.cpp, there
# indented, each right at the beginning of a test that knows only the names of the first one. The
# block of examples/embedding.md is a part of tests/model/memory_test.cpp.
set -euo pipefail
cd "$1"

block() { # NUMBER [FILE]
  awk -v wanted="$1" '/^```cpp$/ { inside = ++n == wanted; next } /^```$/ { inside = 0 } inside' \
    "${2:-README.md}"
}
marked() { # FILE: its lines between the marks
  awk '/clang-format on/ { shown = 0 } shown { sub(/^  /, ""); print } /clang-format off/ { shown = 1 }' "$1"
}
compare() { # BLOCK FILE: with the file's text on standard input
  diff --label documentation --label "$2" -u <(echo "$1") -
}

[ -n "$(block 1)" ] && [ -n "$(block 2)" ] && [ -n "$(block 6)" ] && [ -z "$(block 7)" ] || {
  echo "README.md does not have six \`\`\`cpp blocks" >&2
  exit 1
}
awk '!begun && (/^\/\// || /^$/) { next } { begun = 1; print }' examples/hello.cpp |
  compare "$(block 1)" examples/hello.cpp
marked tests/readme_test.cpp | compare "$(block 2 && block 3 && block 4 && block 5 && block 6)" tests/readme_test.cpp
awk '/clang-format off/ && before !~ /^TEST_CASE_FIXTURE\(Hello, .*\{$/ {
    print FILENAME ":" FNR ": an example must begin where its test does" >"/dev/stderr"
    wrong = 1
  }
  { before = $0 }
  END { exit wrong }' tests/readme_test.cpp
embedding=$(block 1 examples/embedding.md)
[ -n "$embedding" ]
marked tests/model/memory_test.cpp | compare "$embedding" tests/model/memory_test.cpp
