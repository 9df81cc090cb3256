// SPDX-License-Identifier: MIT
// The entry points that QEMU calls. Arguments: ram=FILE,ram_start=N,ram_bytes=N,fd=N,symbols=FILE to watch a kernel
// (and task_pid=N,task_comm=N: offsets in its task_struct), count=FILE to count what the marks of our own image enclose.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "audit/plugin/counter.hpp"
#include "audit/plugin/watcher.hpp"

namespace {

using shootdown::audit::plugin::Counter;
using shootdown::audit::plugin::Site;
using shootdown::audit::plugin::Watcher;

/// QEMU's callbacks carry no state of ours; the watcher lives as long as the process.
Watcher& watcher() {
  static Watcher* const instance = new Watcher;
  return *instance;
}

Counter& counter() {
  static Counter* const instance = new Counter;
  return *instance;
}

void on_executed(unsigned cpu, void* site) { watcher().executed(cpu, *static_cast<const Site*>(site)); }

void on_stored(unsigned cpu, qemu_plugin_meminfo_t info, std::uint64_t va, void* pc) {
  watcher().stored(cpu, info, va, reinterpret_cast<std::uint64_t>(pc));
}

void on_translated(qemu_plugin_id_t, qemu_plugin_tb* block) {
  Watcher& w = watcher();
  const std::size_t count = qemu_plugin_tb_n_insns(block);
  for (std::size_t i = 0; i < count; ++i) {
    qemu_plugin_insn* insn = qemu_plugin_tb_get_insn(block, i);
    std::uint32_t opcode = 0;
    if (qemu_plugin_insn_data(insn, &opcode, sizeof opcode) != sizeof opcode) continue;
    const std::uint64_t pc = qemu_plugin_insn_vaddr(insn);
    if (Site* site = w.site_of(pc, opcode, count - i))
      qemu_plugin_register_vcpu_insn_exec_cb(insn, on_executed, QEMU_PLUGIN_CB_R_REGS, site);
    if (w.is_kernel_code(pc))
      qemu_plugin_register_vcpu_mem_cb(insn, on_stored, QEMU_PLUGIN_CB_R_REGS, QEMU_PLUGIN_MEM_W,
                                       reinterpret_cast<void*>(pc));
  }
  qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(block, QEMU_PLUGIN_INLINE_ADD_U64,
                                                    w.instruction_counter(), count);
}

void on_translated_to_count(qemu_plugin_id_t, qemu_plugin_tb* block) { counter().translated(block); }

void on_cpu(qemu_plugin_id_t, unsigned cpu) {
  if (cpu < shootdown::audit::max_cpus) watcher().add_cpu(cpu);
}

void on_exit(qemu_plugin_id_t, void*) { watcher().flush(); }

}  // namespace

extern "C" {

[[gnu::visibility("default")]] int qemu_plugin_version = qemu_plugin_interface_version;

[[gnu::visibility("default")]] int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t*, int argc,
                                                       char** argv) {
  auto argument = [&](std::string_view name) -> const char* {
    for (int i = 0; i < argc; ++i) {
      const std::string_view word = argv[i];
      if (word.starts_with(name) && word.size() > name.size() && word[name.size()] == '=')
        return argv[i] + name.size() + 1;
    }
    return "";
  };
  auto number = [&](std::string_view name) { return std::strtoull(argument(name), nullptr, 0); };
  if (*argument("count") != '\0') {
    if (!counter().open(argument("count"))) {
      std::fputs("shootdown-audit: the file for the counts cannot be written\n", stderr);
      return 1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translated_to_count);
    return 0;
  }
  if (!watcher().open(argument("ram"), number("ram_start"), number("ram_bytes"),
                      static_cast<int>(number("fd")), argument("symbols"))) {
    std::fputs("shootdown-audit: the guest's RAM file or the symbols cannot be read\n", stderr);
    return 1;
  }
  watcher().name_threads(number("task_pid"), number("task_comm"));
  qemu_plugin_register_vcpu_init_cb(id, on_cpu);
  qemu_plugin_register_vcpu_tb_trans_cb(id, on_translated);
  qemu_plugin_register_atexit_cb(id, on_exit, nullptr);
  return 0;
}
}
