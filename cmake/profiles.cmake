# SPDX-License-Identifier: MIT
# The hardware profiles become part of the program: profiles/*.toml as string literals, written again when one changes.
file(GLOB profiles CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/profiles/*.toml")
set(profile_entries "")
foreach(profile IN LISTS profiles)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${profile}")
  get_filename_component(name "${profile}" NAME_WE)
  file(READ "${profile}" text)
  string(APPEND profile_entries "      {\"${name}\", R\"profile(${text})profile\"},\n")
endforeach()
file(CONFIGURE OUTPUT "${PROJECT_BINARY_DIR}/builtin_profiles.cpp" @ONLY CONTENT
"// Written by cmake/profiles.cmake; do not edit.
#include \"machine/timed/profile_toml.hpp\"

namespace shootdown::timed {
const std::vector<BuiltinProfile>& builtin_profiles() {
  static const std::vector<BuiltinProfile> profiles{
@profile_entries@  };
  return profiles;
}
}  // namespace shootdown::timed
")
target_sources(shootdown_machine_timed PRIVATE "${PROJECT_BINARY_DIR}/builtin_profiles.cpp")
# The same figures on any machine: no fused multiply-add, whose rounding differs.
target_compile_options(shootdown_machine_timed PRIVATE -ffp-contract=off)
# The procedures are compiled into one loop with the machine they run on; -O3 is what inlines them that far.
set_source_files_properties("${PROJECT_SOURCE_DIR}/scenario/timed_hot_remove.cpp" PROPERTIES COMPILE_OPTIONS -O3)
