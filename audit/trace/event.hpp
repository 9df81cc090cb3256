// SPDX-License-Identifier: MIT
// What an audit records about a running kernel, one event at a time, in the order in which it happened (exact
// per CPU; across CPUs as far as the guest itself ordered it). Shared by the plugin, which writes events, and
// by everything that reads them. How they are stored: codec.hpp, file.hpp.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace shootdown::audit {

enum class EventKind : std::uint8_t {
  end,    ///< never written: a zero byte in a trace is an error
  store,  ///< a: physical address of a slot of a tracked table, b: what memory holds after the store
  table,  ///< a: page of a table that is tracked from here on, op: its level + 1, b: bytes of a root (it may be
          ///< smaller than a page), else 0
  content,     ///< after `table`, for each non-zero slot: a: its address, b: its value
  tlbi,        ///< op: index in vmsa::tlbi_ops, a: the operand register
  tlbi_other,  ///< a TLBI that is none of those (other exception levels, Outer Shareable); a: the instruction
  dsb,         ///< op: the CRm field
  isb,
  ttbr0,  ///< a: the value written
  ttbr1,
  tcr,
  sgi,      ///< a: the value written to ICC_SGI1R_EL1
  release,  ///< memory goes back to its provider; a: its start, b: bytes, op: Release
  copy,  ///< a page of a process is copied, and who writes to it from here on writes in vain; a: the page, b: bytes
  user,   ///< this CPU was at EL0 until just now
  mark,   ///< a: the guest's mark (protocol.hpp), b: instructions executed so far by all CPUs
  enter,  ///< op: Watched, a: first argument, b: 0
  leave,  ///< of arch_remove_memory; b: instructions that its thread executed inside, exceptions left out
  task,   ///< a: the thread that runs on this CPU from here on
  thread,  ///< before its `task`, where it is new or has changed; a: the thread, b: its pid (op 0), its name in two
           ///< halves (op 1, 2)
  clock,      ///< a: host time in microseconds since the start
  exception,  ///< op: 1: taken from EL1 to EL1; 0: a return from any exception
  frame,  ///< a: a stack's number, op: depth, b: return address; innermost first, before the stack is used
  count_
};
inline constexpr std::size_t event_kind_count = static_cast<std::size_t>(EventKind::count_);

/// How memory was given back.
enum class Release : std::uint8_t {
  page,   ///< to the page allocator
  batch,  ///< to the page allocator, as one of a batch of folios
  root,   ///< a user root table, smaller than a page: to its slab
  range,  ///< hot-plugged memory, to its provider
};

/// Functions whose entry is recorded. The return of a system call is its thread's return to EL0.
enum class Watched : std::uint8_t { arch_remove_memory, mprotect };

struct Event {
  EventKind kind = EventKind::end;
  std::uint8_t cpu = 0;
  std::uint8_t op = 0;
  std::uint32_t stack = 0;  ///< who did it; 0 where nobody asked
  std::uint64_t a = 0;
  std::uint64_t b = 0;

  friend bool operator==(const Event&, const Event&) = default;
};

/// Which of a, b a kind of event has.
struct EventShape {
  bool has_a = false;
  bool has_b = false;
};
constexpr EventShape shape(EventKind kind) {
  switch (kind) {
    case EventKind::end:
    case EventKind::count_:
    case EventKind::dsb:
    case EventKind::isb:
    case EventKind::user:
    case EventKind::exception: return {};
    case EventKind::tlbi:
    case EventKind::tlbi_other:
    case EventKind::ttbr0:
    case EventKind::ttbr1:
    case EventKind::tcr:
    case EventKind::sgi:
    case EventKind::task:
    case EventKind::clock: return {true, false};
    default: return {true, true};
  }
}

inline constexpr unsigned max_cpus = 64;

}  // namespace shootdown::audit
