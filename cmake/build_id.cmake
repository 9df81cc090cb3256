# SPDX-License-Identifier: MIT
# shootdown_build_id: a library of one function that names the sources which decide a replay's course.
# A replay token made by one build must be refused by another whose model could take other steps.
set(fingerprint_sources)
foreach(dir vmsa mm machine shadow explore scenario)
  file(GLOB_RECURSE found CONFIGURE_DEPENDS RELATIVE "${PROJECT_SOURCE_DIR}" "${PROJECT_SOURCE_DIR}/${dir}/*.cpp"
       "${PROJECT_SOURCE_DIR}/${dir}/*.hpp" "${PROJECT_SOURCE_DIR}/${dir}/*.S" "${PROJECT_SOURCE_DIR}/${dir}/*.ld")
  list(APPEND fingerprint_sources ${found})
endforeach()
list(SORT fingerprint_sources)

set(fingerprint_list "${PROJECT_BINARY_DIR}/generated/fingerprint_sources.txt")
list(JOIN fingerprint_sources "\n" fingerprint_text)
file(CONFIGURE OUTPUT "${fingerprint_list}" CONTENT "${fingerprint_text}\n" @ONLY)

set(fingerprint_cpp "${PROJECT_BINARY_DIR}/generated/build_id.cpp")
list(TRANSFORM fingerprint_sources PREPEND "${PROJECT_SOURCE_DIR}/" OUTPUT_VARIABLE fingerprint_paths)
add_custom_command(
  OUTPUT "${fingerprint_cpp}"
  COMMAND "${CMAKE_COMMAND}" -D "ROOT=${PROJECT_SOURCE_DIR}" -D "LIST=${fingerprint_list}" -D "OUT=${fingerprint_cpp}"
          -P "${PROJECT_SOURCE_DIR}/cmake/write_build_id.cmake"
  DEPENDS ${fingerprint_paths} "${fingerprint_list}" "${PROJECT_SOURCE_DIR}/cmake/write_build_id.cmake"
  COMMENT "Taking the fingerprint of the sources"
  VERBATIM)
add_library(shootdown_build_id STATIC "${fingerprint_cpp}")
target_link_libraries(shootdown_build_id PRIVATE shootdown_options)
