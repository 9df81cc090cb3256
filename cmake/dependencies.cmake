# SPDX-License-Identifier: MIT
# Third-party libraries, all of them packages of the distribution (tools/packages.txt); none is in the tree.
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(CLI11 REQUIRED)
find_package(tl-expected REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(tomlplusplus REQUIRED)
find_package(zstd REQUIRED)
# boost::unordered_flat_set came with 1.81; headers only.
find_package(Boost 1.81 REQUIRED)

# Used inline (XXH_INLINE_ALL), so there is nothing to link.
find_path(SHOOTDOWN_XXHASH_INCLUDE xxhash.h REQUIRED)

# What every library of ours may use: formatting, expected values, hashing, hash sets, threads.
add_library(shootdown_common INTERFACE)
target_link_libraries(shootdown_common INTERFACE shootdown_options fmt::fmt tl::expected Boost::headers
                                                 Threads::Threads)
