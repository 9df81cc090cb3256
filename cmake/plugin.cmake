# SPDX-License-Identifier: MIT
# shootdown-audit.so: the QEMU plugin of audit/plugin, placed beside the shootdown executable.
file(GLOB plugin_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/audit/plugin/*.cpp")
if(NOT plugin_sources)
  return()
endif()
add_library(shootdown-audit MODULE ${plugin_sources})
# QEMU is no program of ours: nothing but the plugin's entry points may be visible in its process, and the
# qemu_plugin_* functions are found in it at load time.
set_target_properties(shootdown-audit PROPERTIES PREFIX "" CXX_VISIBILITY_PRESET hidden
                      SHOOTDOWN_GUEST_OF_ANOTHER_PROGRAM ON LIBRARY_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}")
target_link_libraries(shootdown-audit PRIVATE shootdown_common shootdown_vmsa zstd::libzstd_shared)
if(TARGET shootdown)
  add_dependencies(shootdown shootdown-audit)
endif()
