#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# readme.sh SOURCE: the first C++ block of README.md is examples/hello.cpp, to the letter, after the
# lines of comment and blank lines that hello.cpp begins with.
set -euo pipefail
cd "$1"
shown=$(awk '/^```cpp$/ { inside = 1; next } /^```$/ && inside { exit } inside' README.md)
compiled=$(awk '!begun && (/^\/\// || /^$/) { next } { begun = 1; print }' examples/hello.cpp)
if [ -z "$shown" ]; then
  echo "README.md has no \`\`\`cpp block" >&2
  exit 1
fi
diff --label README.md --label examples/hello.cpp -u <(echo "$shown") <(echo "$compiled")
