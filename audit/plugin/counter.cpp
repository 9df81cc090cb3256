// SPDX-License-Identifier: MIT
#include "audit/plugin/counter.hpp"

#include <fcntl.h>
#include <unistd.h>

#include "machine/metal/marks.hpp"

namespace shootdown::audit::plugin {

bool Counter::open(const char* path) {
  instructions_ = {qemu_plugin_scoreboard_new(sizeof(std::uint64_t)), 0};
  fd_ = ::open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
  return fd_ >= 0;
}

void Counter::translated(qemu_plugin_tb* block) {
  const std::size_t count = qemu_plugin_tb_n_insns(block);
  for (std::size_t i = 0; i < count; ++i) {
    qemu_plugin_insn* insn = qemu_plugin_tb_get_insn(block, i);
    std::uint32_t opcode = 0;
    if (qemu_plugin_insn_data(insn, &opcode, sizeof opcode) != sizeof opcode) continue;
    const std::uint16_t mark = metal::mark_of(opcode);
    if (mark < static_cast<std::uint16_t>(metal::Mark::teardown_begin) ||
        mark > static_cast<std::uint16_t>(metal::Mark::resume))
      continue;
    const std::lock_guard lock(mutex_);
    Place& place = places_.try_emplace({mark, count - i}, Place{this, mark, count - i}).first->second;
    qemu_plugin_register_vcpu_insn_exec_cb(insn, on_mark, QEMU_PLUGIN_CB_NO_REGS, &place);
  }
  qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(block, QEMU_PLUGIN_INLINE_ADD_U64, instructions_, count);
}

void Counter::on_mark(unsigned cpu, void* place) {
  const Place& p = *static_cast<const Place*>(place);
  p.counter->marked(cpu, p);
}

void Counter::marked(unsigned cpu, const Place& place) {
  const std::lock_guard lock(mutex_);
  const std::uint64_t counter = qemu_plugin_u64_get(instructions_, cpu) - place.ahead;
  // The mark itself is not the procedure's.
  switch (static_cast<metal::Mark>(place.mark)) {
    case metal::Mark::teardown_begin: meter_.begin(cpu, counter + 1); break;
    case metal::Mark::pause: meter_.pause(cpu, counter); break;
    case metal::Mark::resume: meter_.resume(cpu, counter + 1); break;
    case metal::Mark::teardown_end: {
      if (!meter_.runs_on(cpu)) break;
      const std::string line = std::to_string(meter_.end(cpu, counter)) + "\n";
      [[maybe_unused]] const ssize_t written = write(fd_, line.data(), line.size());
      break;
    }
  }
}

}  // namespace shootdown::audit::plugin
