// SPDX-License-Identifier: MIT
#include "audit/plugin/watcher.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "audit/watched.hpp"

namespace shootdown::audit::plugin {
namespace {

constexpr unsigned link_register = 30;
constexpr unsigned frame_register = 29;
constexpr unsigned batch_first_offset = 8;
constexpr unsigned batch_count_max = 31;

/// What is done where a watched function begins.
constexpr Action action_of(WatchedAs as) {
  switch (as) {
    case WatchedAs::free_page: return Action::free_page;
    case WatchedAs::put_page: return Action::put_page;
    case WatchedAs::free_batch: return Action::free_batch;
    case WatchedAs::free_root: return Action::free_root;
    case WatchedAs::copy_page: return Action::copy_page;
    case WatchedAs::mprotect: return Action::system_call;
    case WatchedAs::remove_memory: return Action::enter;
    case WatchedAs::vectors: return Action::user_entry;
  }
  return Action::user_entry;
}
constexpr Watched watched_of(WatchedAs as) {
  return as == WatchedAs::mprotect ? Watched::mprotect : Watched::arch_remove_memory;
}

/// The vectors for exceptions from 64-bit EL0, and from EL1 with its own stack: sync, IRQ, FIQ, SError (D1.3).
constexpr std::uint64_t user_vectors[]{0x400, 0x480, 0x500, 0x580};
constexpr std::uint64_t kernel_vectors[]{0x200, 0x280, 0x300, 0x380};

}  // namespace

bool Watcher::open(const char* ram_path, std::uint64_t ram_start, std::uint64_t ram_bytes, int fd,
                   const char* symbols) {
  if (!ram_.map(ram_path, ram_start, ram_bytes)) return false;
  pipe_.open(fd);
  load_symbols(symbols);
  scratch_ = g_byte_array_new();
  instructions_ = {qemu_plugin_scoreboard_new(sizeof(std::uint64_t)), 0};
  return !places_.empty();
}

void Watcher::place(std::uint64_t address, Action action, std::uint16_t op) {
  places_.emplace(address, Instruction{action, op, 31});
}

void Watcher::load_symbols(const char* path) {
  std::FILE* file = std::fopen(path, "re");
  if (file == nullptr) return;
  unsigned long long address = 0;
  char name[128];
  while (std::fscanf(file, "%llx %127s", &address, name) == 2) {
    for (const WatchedFunctions& f : watched_functions) {
      if (std::ranges::find(f.names, std::string_view(name)) == f.names.end()) continue;
      if (f.as != WatchedAs::vectors) {
        place(address, action_of(f.as), static_cast<std::uint16_t>(watched_of(f.as)));
        continue;
      }
      // Code for the trampoline of page-table isolation enters one instruction later.
      for (std::uint64_t v : user_vectors)
        place(address + v, Action::user_entry), place(address + v + 4, Action::user_entry);
    }
  }
  std::fclose(file);
}

void Watcher::add_cpu(unsigned cpu) {
  GArray* all = qemu_plugin_get_registers();
  const auto* descriptors = reinterpret_cast<const qemu_plugin_reg_descriptor*>(all->data);
  const std::lock_guard lock(mutex_);
  cpus_[cpu].registers.assign(31, nullptr);
  for (unsigned i = 0; i < all->len; ++i) {
    char* end = nullptr;
    if (descriptors[i].name[0] != 'x') continue;
    const unsigned long n = std::strtoul(descriptors[i].name + 1, &end, 10);
    if (*end == '\0' && n < 31) cpus_[cpu].registers[n] = descriptors[i].handle;
  }
  g_array_free(all, 1);
}

Site* Watcher::site_of(std::uint64_t pc, std::uint32_t opcode, std::uint64_t ahead) {
  const std::lock_guard lock(mutex_);
  // The instruction after a call of a watched function is where it returns to. A call ends its block, so the
  // place is known before that instruction is translated.
  if (auto target = call_target(opcode, pc)) {
    if (auto it = places_.find(*target); it != places_.end() && it->second.action == Action::enter)
      place(pc + 4, Action::leave, it->second.op);
  }
  Instruction wanted{};
  if (!is_of_interest(pc, opcode, wanted)) return nullptr;
  const auto [begin, end] = sites_.equal_range(pc);
  for (auto it = begin; it != end; ++it)
    if (it->second->instruction == wanted && it->second->ahead == ahead) return it->second.get();
  return sites_.emplace(pc, std::make_unique<Site>(Site{wanted, pc, ahead}))->second.get();
}

bool Watcher::is_of_interest(std::uint64_t pc, std::uint32_t opcode, Instruction& wanted) const {
  if (const auto decoded = decode(opcode)) {
    wanted = *decoded;
    // In user code a mark is all that counts; what else it may execute there is nobody's table maintenance.
    return is_kernel_code(pc) || wanted.action == Action::mark;
  }
  const auto found = places_.find(pc);
  if (found == places_.end()) return false;
  wanted = found->second;
  return true;
}

std::uint64_t Watcher::read_register(unsigned cpu, unsigned n) {
  if (n >= cpus_[cpu].registers.size() || cpus_[cpu].registers[n] == nullptr) return 0;
  g_byte_array_set_size(scratch_, 0);
  if (qemu_plugin_read_register(cpus_[cpu].registers[n], scratch_) < 8) return 0;
  std::uint64_t value;
  std::memcpy(&value, scratch_->data, sizeof value);
  return value;
}

Translation Watcher::kernel_tables(unsigned cpu) const {
  return {regime_of(cpus_[cpu].tcr, true), root_of(cpus_[cpu].ttbr1)};
}

std::uint32_t Watcher::stack_at(unsigned cpu, std::uint64_t pc) {
  if (pc >> 63 == 0 || cpus_[cpu].ttbr1 == 0) return 0;
  return stacks_.number_of({pc, read_register(cpu, frame_register), read_register(cpu, link_register)},
                           kernel_tables(cpu), cpu);
}

std::uint64_t Watcher::read_kernel(unsigned cpu, std::uint64_t va, unsigned bytes) const {
  const auto pa = translate(ram_, kernel_tables(cpu), va);
  if (!pa || !ram_.contains(*pa)) return 0;
  const std::uint64_t word = ram_.word(*pa & ~std::uint64_t{7}) >> (*pa % 8 * 8);
  return bytes == 8 ? word : word & ((std::uint64_t{1} << 8 * bytes) - 1);
}

void Watcher::put(unsigned cpu, EventKind kind, unsigned op, std::uint32_t stack, std::uint64_t a,
                  std::uint64_t b) {
  pipe_.put({kind, static_cast<std::uint8_t>(cpu), static_cast<std::uint8_t>(op), stack, a, b});
}

std::uint64_t Watcher::count_at(unsigned cpu, const Site& site) const {
  return qemu_plugin_u64_get(instructions_, cpu) - site.ahead;
}

void Watcher::executed(unsigned cpu, const Site& site) {
  const std::lock_guard lock(mutex_);
  const Instruction& i = site.instruction;
  if (i.action != Action::zero_block) record_zeroed(cpu);
  auto operand = [&] { return i.rt == 31 ? 0 : read_register(cpu, i.rt); };
  switch (i.action) {
    case Action::tlbi: put(cpu, EventKind::tlbi, i.op, stack_at(cpu, site.pc), operand(), 0); break;
    case Action::tlbi_other: put(cpu, EventKind::tlbi_other, 0, stack_at(cpu, site.pc), site.pc, 0); break;
    case Action::dsb: put(cpu, EventKind::dsb, i.op, stack_at(cpu, site.pc), 0, 0); break;
    case Action::isb: put(cpu, EventKind::isb, 0, stack_at(cpu, site.pc), 0, 0); break;
    case Action::sgi: put(cpu, EventKind::sgi, 0, stack_at(cpu, site.pc), operand(), 0); break;
    case Action::ttbr0:
    case Action::ttbr1:
    case Action::tcr:
    case Action::task: system_register(cpu, site, operand()); break;
    case Action::vectors:
      // There are several sets, for CPUs with and without branch history to be cleared.
      for (std::uint64_t v : kernel_vectors) place(operand() + v, Action::kernel_exception);
      break;
    case Action::zero_block: zero_block(cpu, site, operand()); break;
    case Action::mark:
      put(cpu, EventKind::mark, 0, 0, i.op, qemu_plugin_u64_sum(instructions_));
      pipe_.flush();
      break;
    case Action::free_page:
      free_pages(cpu, site, read_register(cpu, 0), static_cast<unsigned>(read_register(cpu, 1)),
                 Release::page);
      break;
    case Action::put_page: {
      // Only the last reference frees.
      const std::uint64_t page = read_register(cpu, 0);
      if (read_kernel(cpu, page + struct_page_refcount_offset, 4) == 1)
        free_pages(cpu, site, page, static_cast<unsigned>(read_register(cpu, 1)), Release::page);
      break;
    }
    case Action::free_batch: free_batch(cpu, site, read_register(cpu, 0)); break;
    case Action::free_root: free_root(cpu, site, read_register(cpu, 1)); break;
    case Action::copy_page: copy_page(cpu, site, read_register(cpu, 1)); break;
    case Action::system_call: put(cpu, EventKind::enter, i.op, stack_at(cpu, site.pc), 0, 0); break;
    case Action::user_entry: put(cpu, EventKind::user, 0, 0, 0, 0); break;
    case Action::enter:
      removed_start_ = read_register(cpu, 0);
      removed_bytes_ = read_register(cpu, 1);
      remover_ = cpus_[cpu].task;
      meter_.begin(cpu, count_at(cpu, site));
      put(cpu, EventKind::enter, i.op, 0, removed_start_, 0);
      break;
    case Action::kernel_exception:
      meter_.pause(cpu, count_at(cpu, site));
      put(cpu, EventKind::exception, 1, 0, 0, 0);
      break;
    case Action::exception_return:
      meter_.resume(cpu, count_at(cpu, site) + 1);
      put(cpu, EventKind::exception, 0, 0, 0, 0);
      break;
    case Action::leave:
      put(cpu, EventKind::leave, i.op, 0, removed_start_, meter_.end(cpu, count_at(cpu, site)));
      tables_.released(removed_start_, removed_bytes_);
      put(cpu, EventKind::release, static_cast<unsigned>(Release::range), stack_at(cpu, site.pc),
          removed_start_, removed_bytes_);
      break;
  }
}

void Watcher::name_thread(unsigned cpu, std::uint64_t task) {
  if (pid_offset_ == 0) return;
  // The name may lie across two words, and three words across two pages.
  auto bytes = [&](std::uint64_t va) {
    std::uint64_t word = 0;
    for (unsigned i = 0; i < 8; i += 4) word |= read_kernel(cpu, va + i, 4) << 8 * i;
    return word;
  };
  const ThreadName now{read_kernel(cpu, task + pid_offset_, 4), bytes(task + comm_offset_),
                       bytes(task + comm_offset_ + 8)};
  ThreadName& known = thread_names_[task];
  if (known == now) return;
  known = now;
  for (unsigned i = 0; i < now.size(); ++i) put(cpu, EventKind::thread, i, 0, task, now[i]);
}

void Watcher::system_register(unsigned cpu, const Site& site, std::uint64_t value) {
  Cpu& c = cpus_[cpu];
  switch (site.instruction.action) {
    case Action::tcr:
      c.tcr = value;
      put(cpu, EventKind::tcr, 0, 0, value, 0);
      break;
    case Action::ttbr0:
      c.ttbr0 = value;
      tables_.add_root(regime_of(c.tcr, false), root_of(value), cpu);
      put(cpu, EventKind::ttbr0, 0, 0, value, 0);
      break;
    case Action::ttbr1:
      c.ttbr1 = value;
      tables_.add_root(regime_of(c.tcr, true), root_of(value), cpu);
      put(cpu, EventKind::ttbr1, 0, 0, value, 0);
      break;
    default:
      // In the kernel SP_EL0 is the current task; on the way to user space it is the user's stack.
      if (value >> 63 == 0 || value == c.task) break;
      if (c.task == remover_) meter_.stop(cpu, count_at(cpu, site) + 1);
      if (value == remover_) meter_.start(cpu, count_at(cpu, site) + 1);
      c.task = value;
      name_thread(cpu, value);
      put(cpu, EventKind::task, 0, 0, value, 0);
      break;
  }
}

// How many bytes a DC ZVA zeroes, only the CPU knows (DCZID_EL0), and it has not done so yet. Its page is recorded
// as it is once this CPU does something else; a table that is in use is never cleared so.
void Watcher::zero_block(unsigned cpu, const Site& site, std::uint64_t va) {
  if (cpus_[cpu].ttbr1 == 0) return;
  std::optional<std::uint64_t> pa;
  if (va >> 63 != 0) {
    pa = translate(ram_, kernel_tables(cpu), va);
  } else if (site.pc >> 63 == 0) {
    pa = va;  // code under the identity map; any other kernel code clears a user's memory there
  }
  const std::uint64_t page = pa ? *pa & ~(regime_of(cpus_[cpu].tcr, true).page_size() - 1) : 0;
  if (page != cpus_[cpu].zeroed_page) record_zeroed(cpu);
  if (page == 0 || !tables_.may_hold_table(page)) return;
  cpus_[cpu].zeroed_page = page;
  cpus_[cpu].zeroed_by = stack_at(cpu, site.pc);
}

void Watcher::record_zeroed(unsigned cpu) {
  Cpu& c = cpus_[cpu];
  if (c.zeroed_page == 0) return;
  const auto bytes = static_cast<unsigned>(regime_of(c.tcr, true).page_size());
  tables_.stored(std::exchange(c.zeroed_page, 0), bytes, cpu, c.zeroed_by);
}

void Watcher::free_pages(unsigned cpu, const Site& site, std::uint64_t struct_page, unsigned order,
                         Release how) {
  const vmsa::Regime regime = regime_of(cpus_[cpu].tcr, true);
  const auto pa = vmemmap_.page_address(ram_, regime, struct_page);
  if (!pa || order > 20) return;
  const std::uint64_t bytes = regime.page_size() << order;
  tables_.released(*pa, bytes);
  put(cpu, EventKind::release, static_cast<unsigned>(how), stack_at(cpu, site.pc), *pa, bytes);
}

void Watcher::free_batch(unsigned cpu, const Site& site, std::uint64_t batch) {
  const std::uint64_t count = read_kernel(cpu, batch, 1);
  for (std::uint64_t i = 0; i < count && i < batch_count_max; ++i) {
    const std::uint64_t folio = read_kernel(cpu, batch + batch_first_offset + 8 * i, 8);
    // A large folio says its order in the low bits of its second struct page's flags.
    const bool large = (read_kernel(cpu, folio, 8) & page_flag_head) != 0;
    const auto order = large ? static_cast<unsigned>(read_kernel(cpu, folio + struct_page_bytes, 1)) : 0u;
    free_pages(cpu, site, folio, order, Release::batch);
  }
}

void Watcher::free_root(unsigned cpu, const Site& site, std::uint64_t root) {
  const vmsa::Regime regime = regime_of(cpus_[cpu].tcr, false);
  const std::uint64_t bytes =
      std::uint64_t{regime.entry_count(regime.root_level())} * sizeof(vmsa::Descriptor);
  const auto pa = translate(ram_, kernel_tables(cpu), root);
  // A root that fills a page goes to the page allocator, which is watched as well.
  if (!pa || bytes >= regime.page_size()) return;
  tables_.released(*pa, bytes);
  put(cpu, EventKind::release, static_cast<unsigned>(Release::root), stack_at(cpu, site.pc), *pa, bytes);
}

void Watcher::copy_page(unsigned cpu, const Site& site, std::uint64_t from) {
  const vmsa::Regime regime = regime_of(cpus_[cpu].tcr, true);
  const auto pa = vmemmap_.page_address(ram_, regime, from);
  if (pa) put(cpu, EventKind::copy, 0, stack_at(cpu, site.pc), *pa, regime.page_size());
}

/// The linear map is plain arithmetic; QEMU is asked for everything else, and at first for the linear map too.
std::uint64_t Watcher::store_address(unsigned cpu, qemu_plugin_meminfo_t info, std::uint64_t va) {
  constexpr unsigned checks = 10'000;
  const unsigned va_bits = 64 - static_cast<unsigned>(cpus_[cpu].tcr >> 16 & 63);
  const std::uint64_t offset = va - (~std::uint64_t{0} << va_bits);
  const bool linear = linear_is_plain_ && va >> 63 != 0 && offset < ram_.bytes();
  if (linear && linear_checks_ >= checks) return ram_.start() + offset;
  const qemu_plugin_hwaddr* where = qemu_plugin_get_hwaddr(info, va);
  if (where == nullptr || qemu_plugin_hwaddr_is_io(where)) return ~std::uint64_t{0};
  const std::uint64_t pa = qemu_plugin_hwaddr_phys_addr(where);
  if (linear) {
    ++linear_checks_;
    linear_is_plain_ = pa == ram_.start() + offset;
  }
  return pa;
}

void Watcher::stored(unsigned cpu, qemu_plugin_meminfo_t info, std::uint64_t va, std::uint64_t pc) {
  // Stores of kernel code to the user half are to the user's memory.
  if (cpus_[cpu].ttbr1 == 0 || (va >> 63 == 0 && pc >> 63 != 0)) return;
  const std::uint64_t pa = store_address(cpu, info, va);
  if (!tables_.may_hold_table(pa)) return;
  const std::lock_guard lock(mutex_);
  record_zeroed(cpu);
  tables_.stored(pa, 1u << qemu_plugin_mem_size_shift(info), cpu, stack_at(cpu, pc));
}

void Watcher::flush() {
  const std::lock_guard lock(mutex_);
  pipe_.flush();
}

}  // namespace shootdown::audit::plugin
