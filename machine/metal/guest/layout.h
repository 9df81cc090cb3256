/* SPDX-License-Identifier: MIT */
/* Offsets and sizes that assembly and C++ share; cpus.hpp asserts them. */
#ifndef SHOOTDOWN_METAL_GUEST_LAYOUT_H
#define SHOOTDOWN_METAL_GUEST_LAYOUT_H

#define CPU_FAULT_ESR 0
#define CPU_FAULT_FAR 8
#define CPU_STACK_TOP 16
#define STACK_SIZE    0x4000

#endif
