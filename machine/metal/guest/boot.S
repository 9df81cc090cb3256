// SPDX-License-Identifier: MIT
// The first instructions of every CPU: the arm64 Linux image header, self-relocation, EL2 to EL1, a stack, the
// MMU. Everything that can be C++ is elsewhere.

#include "machine/metal/guest/layout.h"

        .section .head.start, "ax"
        .globl  _start
// The image header of the arm64 boot protocol. code1 is unused; the image may lie at any 2 MiB boundary.
_start:
        b       primary_entry
        .long   0
        .quad   0                       // text_offset
        // image_size comes here: image.ld writes it, for the assembler could only ask for a relocation
        .section .head.flags, "a"
        .quad   0xa                     // little endian, 4K aligned, anywhere in memory
        .quad   0, 0, 0
        .ascii  "ARM\x64"
        .long   0

        .text
// x0: device tree. MMU and caches are off.
primary_entry:
        mov     x19, x0
        bl      drop_to_el1
        adrp    x0, __stacks
        add     x0, x0, :lo12:__stacks
        mov     x1, #STACK_SIZE
        add     sp, x0, x1              // CPU 0's stack is the first one
        bl      relocate
        adrp    x0, __bss_start
        add     x0, x0, :lo12:__bss_start
        adrp    x1, __bss_end
        add     x1, x1, :lo12:__bss_end
1:      cmp     x0, x1
        b.hs    2f
        stp     xzr, xzr, [x0], #16     // both ends are 16-byte aligned by the linker script
        b       1b
2:      bl      set_vectors
        mov     x0, x19
        bl      metal_main
3:      wfi
        b       3b

// Entered by PSCI CPU_ON with MMU and caches off. x0: this CPU's struct Cpu.
        .globl  secondary_entry
secondary_entry:
        mov     x19, x0
        bl      drop_to_el1
        ldr     x1, [x19, #CPU_STACK_TOP]
        mov     sp, x1
        msr     tpidr_el1, x19
        bl      set_vectors
        adrp    x0, metal_mmu_registers
        add     x0, x0, :lo12:metal_mmu_registers
        bl      enable_mmu
        mov     x0, x19
        bl      metal_secondary_main
4:      wfi
        b       4b

set_vectors:
        adrp    x0, exception_vectors
        add     x0, x0, :lo12:exception_vectors
        msr     vbar_el1, x0
        isb
        ret

// Adds the load address to every pointer in the image. The image is linked at 0; only R_AARCH64_RELATIVE occurs.
relocate:
        adrp    x1, _start
        add     x1, x1, :lo12:_start
        adrp    x2, __rela_start
        add     x2, x2, :lo12:__rela_start
        adrp    x3, __rela_end
        add     x3, x3, :lo12:__rela_end
1:      cmp     x2, x3
        b.hs    2f
        ldp     x4, x5, [x2]            // r_offset, r_info
        ldr     x6, [x2, #16]           // r_addend
        add     x2, x2, #24
        add     x6, x6, x1
        str     x6, [x1, x4]
        b       1b
2:      ret

// From EL2 to EL1 with MMU off, if that is where we are. Clobbers x9, x10.
drop_to_el1:
        mrs     x9, CurrentEL
        cmp     x9, #(2 << 2)
        b.ne    1f
        mov     x9, #(1 << 31)          // HCR_EL2.RW: EL1 is AArch64; nothing is trapped
        msr     hcr_el2, x9
        mrs     x9, cnthctl_el2
        orr     x9, x9, #3              // EL1 may use the physical counter and timer
        msr     cnthctl_el2, x9
        msr     cntvoff_el2, xzr
        mov     x9, #0x33ff             // no traps of FP or trace
        msr     cptr_el2, x9
        msr     hstr_el2, xzr
        mrs     x9, midr_el1
        msr     vpidr_el2, x9
        mrs     x9, mpidr_el1
        msr     vmpidr_el2, x9
        mrs     x9, id_aa64pfr0_el1
        ubfx    x9, x9, #24, #4
        cbz     x9, 2f
        mrs     x9, S3_4_C12_C9_5       // ICC_SRE_EL2
        orr     x9, x9, #1              // SRE
        orr     x9, x9, #8              // Enable: EL1 may set its own
        msr     S3_4_C12_C9_5, x9
2:      mov     x9, #0x0980
        movk    x9, #0x30d0, lsl #16    // SCTLR_EL1: RES1 bits only
        msr     sctlr_el1, x9
        mov     x9, #0x3c5              // EL1h, everything masked
        msr     spsr_el2, x9
        msr     elr_el2, x30
        isb
        eret
1:      msr     daifset, #0xf
        ret

// x0: struct MmuRegisters. The caller runs from an identity mapping.
        .globl  enable_mmu
enable_mmu:
        ldp     x1, x2, [x0]
        ldp     x3, x4, [x0, #16]
        ldr     x5, [x0, #32]
        msr     mair_el1, x1
        msr     tcr_el1, x2
        msr     ttbr0_el1, x3
        msr     ttbr1_el1, x4
        isb
        tlbi    vmalle1                 // whatever firmware left behind
        ic      iallu
        dsb     nsh
        isb
        msr     sctlr_el1, x5
        isb
        ret

        .section .note.GNU-stack, "", %progbits
