# SPDX-License-Identifier: MIT
# Language level, optimisation, warnings and sanitizers of the host code.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}")

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
# Assertions are part of the product: a checker that goes on after a broken invariant proves nothing.
# So Release is -O2 without the -DNDEBUG that CMake would add.
set(CMAKE_CXX_FLAGS_RELEASE "-O2" CACHE STRING "Flags of a Release build (assertions on)" FORCE)

add_library(shootdown_options INTERFACE)
target_include_directories(shootdown_options INTERFACE "${PROJECT_SOURCE_DIR}")
# Designated initializers name what they set on purpose; the rest has its default.
target_compile_options(shootdown_options INTERFACE -Wall -Wextra -Wpedantic -Wno-missing-field-initializers)

if(SHOOTDOWN_SANITIZE)
  set(sanitizer_flags -fsanitize=${SHOOTDOWN_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  # A sanitizer build that takes longer than the tests themselves would not be run: what computes is optimised by file
  # (CMakeLists.txt). A fuzzer does nothing else.
  set(level -O0)
  if(SHOOTDOWN_FUZZ)
    set(level -O1)
  endif()
  set(CMAKE_CXX_FLAGS_RELEASE "${level} -g1" CACHE STRING "Flags of a sanitizer build (assertions on)" FORCE)
  # What is loaded into a program that is not ours (property SHOOTDOWN_GUEST_OF_ANOTHER_PROGRAM) cannot bring the
  # run-time library that must have been first in that process.
  set(ours $<NOT:$<BOOL:$<TARGET_PROPERTY:SHOOTDOWN_GUEST_OF_ANOTHER_PROGRAM>>>)
  target_compile_options(shootdown_options INTERFACE "$<${ours}:${sanitizer_flags}>" -Wno-maybe-uninitialized)
  target_link_options(shootdown_options INTERFACE "$<${ours}:${sanitizer_flags}>")
  target_compile_definitions(shootdown_options INTERFACE $<${ours}:SHOOTDOWN_SANITIZED> _GLIBCXX_ASSERTIONS)
else()
  # Not with sanitizers: their instrumentation gives g++ 12 false alarms of -Wmaybe-uninitialized and kin.
  target_compile_options(shootdown_options INTERFACE -Werror)
endif()

find_program(SHOOTDOWN_CCACHE ccache)
if(SHOOTDOWN_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${SHOOTDOWN_CCACHE}")
endif()
