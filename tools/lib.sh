# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Shared by the scripts of this folder.

# have PACKAGE: is what this Debian package brings there, wherever it came from?
have() {
  local header
  case $1 in
    ninja-build) command -v ninja ;;
    qemu-user) command -v qemu-aarch64 ;;
    qemu-user-static) command -v qemu-aarch64-static ;;
    xz-utils) command -v xz ;;
    g++-aarch64-linux-gnu) command -v aarch64-linux-gnu-g++ ;;
    llvm-19) command -v llvm-mca-19 ;;
    python3-venv) python3 -c 'import ensurepip, venv' 2>&1 ;;
    libclang-rt-14-dev) compgen -G '/usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer-*' ;;
    ca-certificates) [ -e /etc/ssl/certs/ca-certificates.crt ] ;;
    libeigen3-dev) header=eigen3/Eigen/Core ;;
    libxsimd-dev) header=xsimd/xsimd.hpp ;;
    nlohmann-json3-dev) header=nlohmann/json.hpp ;;
    doctest-dev) header=doctest/doctest.h ;;
    libcli11-dev) header=CLI/CLI.hpp ;;
    libbenchmark-dev) header=benchmark/benchmark.h ;;
    *) command -v "$1" ;;
  esac >/dev/null || return 1
  [ -z "${header:-}" ] || [ -e "/usr/include/$header" ] || [ -e "/usr/local/include/$header" ]
}

# need PACKAGE...: installs those that are missing, or says how and ends the script with status 2.
need() {
  local package missing=() install become=()
  for package in "$@"; do
    have "$package" || [[ " ${missing[*]} " == *" $package "* ]] || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0

  echo "missing: ${missing[*]}"
  install=(apt-get install -y --no-install-recommends "${missing[@]}")
  if ! command -v apt-get >/dev/null; then
    echo "This is not a Debian system: install what these packages are called here, then give" \
      "--no-install." >&2
    exit 2
  fi
  if [ "$(id -u)" -ne 0 ]; then
    become=(sudo)
    [ -t 0 ] || become+=(-n) # nobody there to type a password
    if ! command -v sudo >/dev/null || ! "${become[@]}" true; then
      echo "Neither root nor sudo. Have this run, then try again:" >&2
      echo "  apt-get update && ${install[*]}" >&2
      exit 2
    fi
  fi
  echo "installing with apt-get: ${missing[*]}"
  "${become[@]}" apt-get update -qq </dev/null
  # dpkg asks nothing and writes no progress bars.
  "${become[@]}" env DEBIAN_FRONTEND=noninteractive "${install[@]}" -qq -o Dpkg::Use-Pty=0 \
    </dev/null
}

# The number of compilers to run at once.
cores() { nproc 2>/dev/null || echo 2; }
