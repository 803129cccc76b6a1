// SPDX-License-Identifier: Apache-2.0
// A plugin of QEMU (-plugin file.so,out=FILE): how often each instruction is executed. Writes a
// line "address instructions count" (hexadecimal, decimal, decimal) for every translated block.
//
// The declarations are those of version 1 of QEMU's plugin interface, of which Debian has no
// header.
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <string>

// NOLINTBEGIN(readability-identifier-naming): they are QEMU's.
extern "C" {
struct qemu_plugin_tb;
struct qemu_info_t;
using qemu_plugin_id_t = std::uint64_t;
enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
                                           void (*callback)(qemu_plugin_id_t, qemu_plugin_tb*));
void qemu_plugin_register_vcpu_tb_exec_inline(qemu_plugin_tb* tb, qemu_plugin_op op, void* to,
                                              std::uint64_t value);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, void (*callback)(qemu_plugin_id_t, void*),
                                    void* data);
std::size_t qemu_plugin_tb_n_insns(const qemu_plugin_tb* tb);
std::uint64_t qemu_plugin_tb_vaddr(const qemu_plugin_tb* tb);

__attribute__((visibility("default"))) extern const int qemu_plugin_version;
const int qemu_plugin_version = 1;
__attribute__((visibility("default"))) int qemu_plugin_install(qemu_plugin_id_t id,
                                                               const qemu_info_t* info, int count,
                                                               char** arguments);
}
// NOLINTEND(readability-identifier-naming)

namespace {

struct Block {
  std::uint64_t address;
  std::size_t instructions;
  std::uint64_t count;
};

// Blocks must stay where they are: the code that QEMU makes of them adds to their counts.
std::deque<Block> blocks;
std::string file;

void translate(qemu_plugin_id_t, qemu_plugin_tb* tb) {
  blocks.push_back({qemu_plugin_tb_vaddr(tb), qemu_plugin_tb_n_insns(tb), 0});
  qemu_plugin_register_vcpu_tb_exec_inline(tb, QEMU_PLUGIN_INLINE_ADD_U64, &blocks.back().count, 1);
}

void finish(qemu_plugin_id_t, void*) {
  std::FILE* out = std::fopen(file.c_str(), "w");
  if (out == nullptr) return;
  for (const Block& block : blocks) {
    std::fprintf(out, "%" PRIx64 " %zu %" PRIu64 "\n", block.address, block.instructions,
                 block.count);
  }
  std::fclose(out);
}

}  // namespace

int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t*, int count, char** arguments) {
  if (count != 1 || std::strncmp(arguments[0], "out=", 4) != 0) return 1;
  file = arguments[0] + 4;
  qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
  qemu_plugin_register_atexit_cb(id, finish, nullptr);
  return 0;
}
