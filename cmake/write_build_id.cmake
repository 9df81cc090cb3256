# SPDX-License-Identifier: MIT
# cmake -P script: hashes the files named in LIST (paths relative to ROOT) and writes OUT, the body of
# explore/build_id.hpp. Names and contents count, nothing else: two checkouts of the same sources agree.
file(STRINGS "${LIST}" sources)
set(text "")
foreach(source IN LISTS sources)
  file(SHA256 "${ROOT}/${source}" digest)
  string(APPEND text "${digest}  ${source}\n")
endforeach()
string(SHA256 fingerprint "${text}")
string(SUBSTRING "${fingerprint}" 0 16 fingerprint)
file(WRITE "${OUT}" "// Written by cmake/write_build_id.cmake; do not edit.
#include \"explore/build_id.hpp\"

namespace shootdown {
std::string_view build_fingerprint() noexcept { return \"${fingerprint}\"; }
}  // namespace shootdown
")
