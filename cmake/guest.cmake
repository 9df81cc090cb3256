# SPDX-License-Identifier: MIT
# shootdown-guest: the static AArch64 program of audit/guest that runs workloads inside an audited kernel,
# placed beside the shootdown executable, which packs it into the guest's initramfs.
file(GLOB guest_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/audit/guest/*.cpp")
if(NOT SHOOTDOWN_CROSS_CXX)
  message(STATUS "no aarch64-linux-gnu-g++ (package g++-aarch64-linux-gnu): shootdown-guest is not built")
  return()
endif()

set(guest_flags -std=c++20 -O2 -static -pthread -fno-exceptions -fno-rtti -Wall -Wextra -Wpedantic -Werror
                # The oldest CPU that is audited has no LSE atomics; a helper call would do, this is smaller.
                -march=armv8-a -mno-outline-atomics "-I${PROJECT_SOURCE_DIR}")
set(guest_objects)
foreach(source IN LISTS guest_sources)
  get_filename_component(name "${source}" NAME_WE)
  set(object "${PROJECT_BINARY_DIR}/guest/${name}.o")
  file(MAKE_DIRECTORY "${PROJECT_BINARY_DIR}/guest")
  add_custom_command(
    OUTPUT "${object}"
    COMMAND ${CMAKE_CXX_COMPILER_LAUNCHER} "${SHOOTDOWN_CROSS_CXX}" ${guest_flags} -MD -MF "${object}.d" -c "${source}"
            -o "${object}"
    DEPENDS "${source}"
    DEPFILE "${object}.d"
    COMMENT "Cross compiling audit/guest/${name}.cpp"
    VERBATIM)
  list(APPEND guest_objects "${object}")
endforeach()

set(guest_program "${PROJECT_BINARY_DIR}/shootdown-guest")
add_custom_command(
  OUTPUT "${guest_program}"
  COMMAND "${SHOOTDOWN_CROSS_CXX}" ${guest_flags} -s ${guest_objects} -o "${guest_program}"
  DEPENDS ${guest_objects}
  COMMENT "Linking shootdown-guest"
  VERBATIM)
add_custom_target(shootdown-guest-program ALL DEPENDS "${guest_program}")
if(TARGET shootdown)
  add_dependencies(shootdown shootdown-guest-program)
endif()
