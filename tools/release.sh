#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Programs for ARM boards in an archive; tools/release.sh --help says more.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tools/lib.sh
. tools/lib.sh

usage() {
  cat <<'END'
usage: tools/release.sh [--out FOLDER] [--no-install]

Writes mamba2-VERSION-aarch64-linux.tar.xz and its .sha256 to FOLDER (build/release-tar): static
programs for Linux on 64-bit ARM, for Cortex-A76 and later and for any, the bundled model as a GGUF
file, and tools/board_report.sh. They run on any distribution, with nothing installed. Before that it
installs what it needs (apt-get; as root or with sudo) unless --no-install says not to.

The same sources and compiler give the same archive, to the byte: files are sorted, belong to nobody
and have the time SOURCE_DATE_EPOCH, or that of the last commit.
END
}

out=build/release-tar
want_packages=true
while [ $# -gt 0 ]; do
  case $1 in
    --out)
      [ -n "${2:-}" ] || { echo "--out needs a folder" >&2 && exit 2; }
      out=$2
      shift
      ;;
    --no-install) want_packages=false ;;
    --help | -h)
      usage
      exit
      ;;
    *)
      echo "unknown argument '$1'; tools/release.sh --help lists them" >&2
      exit 2
      ;;
  esac
  shift
done

emulator=()
packages=(g++-aarch64-linux-gnu cmake ninja-build xz-utils
  libeigen3-dev libxsimd-dev nlohmann-json3-dev libcli11-dev)
if [ "$(uname -m)" != aarch64 ]; then
  emulator=(qemu-aarch64-static)
  packages+=(qemu-user-static)
fi
if $want_packages; then
  need "${packages[@]}"
fi

programs=(generate mamba2-bench mamba2-inspect mamba2-quantize)
version=$(sed -n 's/.*define MAMBA2_VERSION "\(.*\)"/\1/p' include/mamba2/version.hpp)
name=mamba2-$version-aarch64-linux
mkdir -p "$out"
work=$(mktemp -d "$out/.partial.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
top=$work/$name

# The folders are named by what their programs need; build folder -> folder.
for build in aarch64-board:cortex-a76 aarch64-board-baseline:armv8-a; do
  preset=${build%:*} folder=$top/${build#*:}
  cmake --preset "$preset"
  cmake --build --preset "$preset" --parallel "$(cores)" --target "${programs[@]}"
  mkdir -p "$folder"
  for program in "${programs[@]}"; do cp "build/$preset/bin/$program" "$folder"; done
done

"${emulator[@]}" "$top/armv8-a/mamba2-quantize" examples/models/llama-tales-14m \
  "$top/llama-tales-14m.gguf" --type int8
# What board_report.sh expects of the processor that it runs on.
"${emulator[@]}" "$top/armv8-a/generate" "$top/llama-tales-14m.gguf" \
  "Once upon a time there was a" -t 0 -n 24 >"$top/llama-tales-14m.txt"
cp examples/models/llama-tales-14m/README.md "$top/llama-tales-14m.md"
cp LICENSE tools/board_report.sh tools/board_report_markdown.sh "$top"
cat >"$top/README.md" <<END
# mamba2 $version for Linux on 64-bit ARM
Programs that need nothing installed. \`cortex-a76/\` has those for Cortex-A76 and later (Orange Pi 5,
Raspberry Pi 5), \`armv8-a/\` those for any 64-bit ARM. Each has a \`--help\`.

    cortex-a76/generate llama-tales-14m.gguf "Once upon a time" --stats
    cortex-a76/mamba2-bench --random mamba2-130m --weights int8,int4
    ./board_report.sh

The last measures the board for ten to twenty minutes and writes \`mamba2-board-report.md\`, a report
that says how fast mamba2 is there, how fast it could be, and what the heat does to it.

A model is a folder with config.json, *.safetensors and tokenizer.json, or a GGUF file.
\`sha256sum -c SHA256SUMS\` checks the files. LICENSE is that of mamba2; \`licenses/\` has those of the
libraries that are part of the programs. llama-tales-14m.gguf has terms of its own, which
llama-tales-14m.md tells. **Built with Llama.**
END

# What the programs are linked with, or have compiled in.
mkdir "$top/licenses"
for package in libc6-dev-arm64-cross:glibc libstdc++-12-dev-arm64-cross:libstdc++ \
  libeigen3-dev:eigen libxsimd-dev:xsimd nlohmann-json3-dev:nlohmann-json libcli11-dev:cli11; do
  if ! cp "/usr/share/doc/${package%:*}/copyright" "$top/licenses/${package#*:}"; then
    echo "The licence of ${package#*:} is not in the archive: put it there before you give it away" >&2
  fi
done

chmod -R u=rwX,go=rX "$top"
(cd "$top" && find . -type f ! -name SHA256SUMS -printf '%P\0' | LC_ALL=C sort -z |
  xargs -0 sha256sum >../sums && mv ../sums SHA256SUMS)
LC_ALL=C tar -C "$work" --sort=name --format=ustar --owner=0 --group=0 --numeric-owner \
  --mtime="@${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}" -cf - "$name" |
  xz -6 -T1 >"$work/$name.tar.xz"
(cd "$work" && sha256sum "$name.tar.xz" >"$name.tar.xz.sha256")
mv "$work/$name.tar.xz" "$work/$name.tar.xz.sha256" "$out"
ls -l "$out/$name.tar.xz"
