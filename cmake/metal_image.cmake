# SPDX-License-Identifier: MIT
# shootdown-metal.img and .elf: the freestanding AArch64 EL1 image of machine/metal/guest, cross compiled,
# placed beside the shootdown executable, which looks for it there.
find_program(SHOOTDOWN_CROSS_CXX aarch64-linux-gnu-g++)
find_program(SHOOTDOWN_CROSS_OBJCOPY aarch64-linux-gnu-objcopy)
file(GLOB_RECURSE metal_sources CONFIGURE_DEPENDS RELATIVE "${PROJECT_SOURCE_DIR}/machine/metal/guest"
     "${PROJECT_SOURCE_DIR}/machine/metal/guest/*.S" "${PROJECT_SOURCE_DIR}/machine/metal/guest/*.cpp")
list(SORT metal_sources)
set(metal_script "${PROJECT_SOURCE_DIR}/machine/metal/image.ld")
file(GLOB metal_script_found CONFIGURE_DEPENDS "${metal_script}")

if(NOT metal_sources OR NOT metal_script_found)
  message(STATUS "no machine/metal/guest or image.ld yet: shootdown-metal.img is not built")
  return()
endif()
if(NOT SHOOTDOWN_CROSS_CXX OR NOT SHOOTDOWN_CROSS_OBJCOPY)
  message(STATUS "no aarch64-linux-gnu-g++ (package g++-aarch64-linux-gnu): shootdown-metal.img is not built")
  return()
endif()

set(metal_flags
    # Position independent: the image relocates itself, so that a loader may put it where it likes.
    # -O3, as for the timed machine: the procedures are one loop with the machine they run on, page by page.
    # Blocks in order, nothing moved up out of a branch: instructions are counted, and loops are short.
    -std=c++20 -O3 -freorder-blocks-algorithm=simple -fno-sched-spec -g -ffreestanding -nostdlib -fpie -fvisibility=hidden
    -fno-exceptions -fno-rtti -fno-threadsafe-statics -fno-asynchronous-unwind-tables -fno-stack-protector
    # Exception entry saves no SIMD state, and before the MMU is on every access must be aligned.
    -mgeneral-regs-only -mstrict-align
    # The baseline that every CPU model has; range TLBI and the like are encoded by hand and gated at run time.
    -march=armv8-a -mno-outline-atomics
    -ffunction-sections -fdata-sections
    -Wall -Wextra -Wpedantic -Wno-missing-field-initializers -Werror
    "-I${PROJECT_SOURCE_DIR}")

set(metal_dir "${PROJECT_BINARY_DIR}/metal")
set(metal_objects)
foreach(source IN LISTS metal_sources)
  set(object "${metal_dir}/${source}.o")
  get_filename_component(object_dir "${object}" DIRECTORY)
  file(MAKE_DIRECTORY "${object_dir}")
  add_custom_command(
    OUTPUT "${object}"
    COMMAND ${CMAKE_CXX_COMPILER_LAUNCHER} "${SHOOTDOWN_CROSS_CXX}" ${metal_flags} -MD -MF "${object}.d" -c
            "${PROJECT_SOURCE_DIR}/machine/metal/guest/${source}" -o "${object}"
    DEPENDS "${PROJECT_SOURCE_DIR}/machine/metal/guest/${source}"
    DEPFILE "${object}.d"
    COMMENT "Cross compiling machine/metal/guest/${source}"
    VERBATIM)
  list(APPEND metal_objects "${object}")
endforeach()

set(metal_elf "${PROJECT_BINARY_DIR}/shootdown-metal.elf")
set(metal_image "${PROJECT_BINARY_DIR}/shootdown-metal.img")
add_custom_command(
  OUTPUT "${metal_elf}" "${metal_image}"
  COMMAND "${SHOOTDOWN_CROSS_CXX}" ${metal_flags} -static-pie -Wl,-T,${metal_script} -Wl,--build-id=none -Wl,--gc-sections
          -Wl,--fatal-warnings -Wl,-z,max-page-size=65536 -Wl,-z,noexecstack -Wl,--no-warn-rwx-segments
          ${metal_objects} -lgcc -o "${metal_elf}"
  COMMAND "${SHOOTDOWN_CROSS_OBJCOPY}" -O binary "${metal_elf}" "${metal_image}"
  DEPENDS ${metal_objects} "${metal_script}"
  COMMENT "Linking shootdown-metal.img"
  COMMAND_EXPAND_LISTS VERBATIM)
add_custom_target(shootdown-metal ALL DEPENDS "${metal_elf}" "${metal_image}")
if(TARGET shootdown)
  add_dependencies(shootdown shootdown-metal)
endif()
