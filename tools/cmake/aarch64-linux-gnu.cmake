# SPDX-License-Identifier: Apache-2.0
# Cross build for 64-bit ARM boards on a Debian host; programs and tests run under QEMU there.
# The environment variable QEMU_CPU names the CPU to emulate (qemu-aarch64-static -cpu help).
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
# Orange Pi 5 and Raspberry Pi 5; -DCMAKE_CXX_FLAGS=… says another one.
set(CMAKE_CXX_FLAGS_INIT -mcpu=cortex-a76)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64-static -L /usr/aarch64-linux-gnu)
