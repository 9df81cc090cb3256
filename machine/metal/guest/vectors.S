// SPDX-License-Identifier: MIT
// EL1 exception vectors. A fault of a probe is noted and stepped over; an interrupt is handled; anything else
// is reported and ends the run.

#include "machine/metal/guest/layout.h"

        .macro  unexpected kind
        .balign 0x80
        mov     x0, #\kind
        b       report_unexpected
        .endm

        .text
        .balign 0x800
        .globl  exception_vectors
exception_vectors:
        unexpected 0                    // current EL, SP_EL0: never used
        unexpected 1
        unexpected 2
        unexpected 3
        .balign 0x80                    // current EL, SP_EL1
        b       synchronous
        .balign 0x80
        b       interrupt
        unexpected 6
        unexpected 7
        unexpected 8                    // lower ELs: there are none
        unexpected 9
        unexpected 10
        unexpected 11
        unexpected 12
        unexpected 13
        unexpected 14
        unexpected 15

// Data aborts between probe_begin and probe_end: ESR and FAR go to this CPU's struct Cpu, x1 becomes 1, and the
// access is stepped over. x1 belongs to the probe; x16 and x17 are restored.
synchronous:
        stp     x16, x17, [sp, #-16]!
        mrs     x16, elr_el1
        adr     x17, probe_begin
        cmp     x16, x17
        b.lo    1f
        adr     x17, probe_end
        cmp     x16, x17
        b.hs    1f
        mrs     x17, esr_el1
        lsr     x17, x17, #26
        cmp     x17, #0x25              // data abort from the same EL
        b.ne    1f
        add     x16, x16, #4
        msr     elr_el1, x16
        mrs     x17, tpidr_el1
        mrs     x16, esr_el1
        str     x16, [x17, #CPU_FAULT_ESR]
        mrs     x16, far_el1
        str     x16, [x17, #CPU_FAULT_FAR]
        mov     x1, #1
        ldp     x16, x17, [sp], #16
        eret
1:      mov     x0, #4
report_unexpected:
        mrs     x1, esr_el1
        mrs     x2, elr_el1
        mrs     x3, far_el1
        bl      metal_unexpected
2:      wfi
        b       2b

// An interrupt is none of what it interrupts: pause and resume of machine/metal/marks.hpp around it.
interrupt:
        movz    xzr, #0x5e03
        sub     sp, sp, #192
        stp     x0, x1, [sp]
        stp     x2, x3, [sp, #16]
        stp     x4, x5, [sp, #32]
        stp     x6, x7, [sp, #48]
        stp     x8, x9, [sp, #64]
        stp     x10, x11, [sp, #80]
        stp     x12, x13, [sp, #96]
        stp     x14, x15, [sp, #112]
        stp     x16, x17, [sp, #128]
        stp     x18, x30, [sp, #144]
        mrs     x0, elr_el1
        mrs     x1, spsr_el1
        stp     x0, x1, [sp, #160]
        bl      metal_interrupt
        ldp     x0, x1, [sp, #160]
        msr     elr_el1, x0
        msr     spsr_el1, x1
        ldp     x18, x30, [sp, #144]
        ldp     x16, x17, [sp, #128]
        ldp     x14, x15, [sp, #112]
        ldp     x12, x13, [sp, #96]
        ldp     x10, x11, [sp, #80]
        ldp     x8, x9, [sp, #64]
        ldp     x6, x7, [sp, #48]
        ldp     x4, x5, [sp, #32]
        ldp     x2, x3, [sp, #16]
        ldp     x0, x1, [sp]
        add     sp, sp, #192
        movz    xzr, #0x5e04
        eret

// Access probe_load(va) -> x0: value, x1: 1 if it faulted.
        .globl  probe_load
probe_load:
        mov     x1, #0
probe_begin:
        ldr     x0, [x0]
        ret
// uint64_t probe_store(va, value) -> x0: 1 if it faulted.
        .globl  probe_store
probe_store:
        mov     x2, x1
        mov     x1, #0
        str     x2, [x0]
probe_end:
        mov     x0, x1
        ret

        .section .note.GNU-stack, "", %progbits
