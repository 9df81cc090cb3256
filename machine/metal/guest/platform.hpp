// SPDX-License-Identifier: MIT
// What the flattened device tree says about the machine: console, interrupt controller, CPUs, memory, boot
// arguments. A bounded scan that trusts no length or offset of the blob; nothing is kept of it afterwards.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace shootdown::metal::guest {

inline constexpr unsigned max_cpus = 8;

struct PhysicalRegion {
  std::uint64_t base = 0;
  std::uint64_t size = 0;
};

/// The machine as the device tree describes it. Sizes of 0 mean "not found".
struct Platform {
  PhysicalRegion uart;         ///< a PL011
  PhysicalRegion distributor;  ///< GICv3
  std::array<PhysicalRegion, 4> redistributors{};
  unsigned redistributor_count = 0;
  PhysicalRegion memory;  ///< the first bank
  std::array<std::uint64_t, max_cpus> mpidr{};
  unsigned cpu_count = 0;  ///< those that fit into `mpidr`
  bool psci_smc = false;   ///< conduit of PSCI calls: SMC, otherwise HVC
  std::array<char, 1024> bootargs{};
  bool bootargs_truncated = false;
};

namespace fdt {

inline constexpr std::uint32_t magic = 0xd00dfeed;
/// The boot protocol allows no larger blob.
inline constexpr std::size_t max_size = std::size_t{2} << 20;
inline constexpr unsigned max_depth = 8;

struct Bytes {
  const unsigned char* data = nullptr;
  std::size_t size = 0;
};

constexpr std::uint32_t be32(const unsigned char* p) {
  return std::uint32_t{p[0]} << 24 | std::uint32_t{p[1]} << 16 | std::uint32_t{p[2]} << 8 | p[3];
}

/// A value of `cells` 32-bit words at word `index` of a property; 0 past its end.
constexpr std::uint64_t cells_at(Bytes b, std::size_t index, unsigned cells) {
  std::uint64_t v = 0;
  for (unsigned i = 0; i < cells; ++i) {
    const std::size_t at = (index + i) * 4;
    if (at + 4 > b.size) return 0;
    v = v << 32 | be32(b.data + at);
  }
  return v;
}

/// Does a property hold this string, as its only one or as one of a list?
constexpr bool has_string(Bytes b, const char* s) {
  for (std::size_t start = 0; start < b.size;) {
    std::size_t i = 0;
    while (start + i < b.size && b.data[start + i] != 0 && s[i] != 0 &&
           b.data[start + i] == static_cast<unsigned char>(s[i]))
      ++i;
    if (s[i] == 0 && start + i < b.size && b.data[start + i] == 0) return true;
    while (start < b.size && b.data[start] != 0) ++start;
    ++start;
  }
  return false;
}

/// The properties of one node that a platform is described by.
struct Node {
  Bytes compatible, device_type, reg, bootargs, method;
  unsigned parent_address_cells = 2;
  unsigned parent_size_cells = 1;

  constexpr PhysicalRegion region(unsigned i) const {
    const std::size_t at = std::size_t{i} * (parent_address_cells + parent_size_cells);
    return {cells_at(reg, at, parent_address_cells),
            cells_at(reg, at + parent_address_cells, parent_size_cells)};
  }
};

/// Takes over what a finished node says.
constexpr void take(const Node& n, Platform& p) {
  if (has_string(n.compatible, "arm,pl011") && p.uart.size == 0) p.uart = n.region(0);
  if (has_string(n.compatible, "arm,gic-v3") && p.distributor.size == 0) {
    p.distributor = n.region(0);
    for (unsigned i = 0; i < p.redistributors.size(); ++i) {
      // Beyond the redistributors `reg` goes on with GICv2 frames; QEMU's virt has one or two regions.
      const PhysicalRegion r = n.region(i + 1);
      if (r.size < 0x20000) break;
      p.redistributors[p.redistributor_count++] = r;
    }
  }
  if (has_string(n.device_type, "memory") && p.memory.size == 0) p.memory = n.region(0);
  if (has_string(n.device_type, "cpu") && p.cpu_count < max_cpus)
    p.mpidr[p.cpu_count++] = cells_at(n.reg, 0, n.parent_address_cells);
  if (has_string(n.method, "smc")) p.psci_smc = true;
  if (n.bootargs.size > 0) {
    std::size_t i = 0;
    for (; i + 1 < p.bootargs.size() && i < n.bootargs.size && n.bootargs.data[i] != 0; ++i)
      p.bootargs[i] = static_cast<char>(n.bootargs.data[i]);
    p.bootargs[i] = '\0';
    p.bootargs_truncated = i < n.bootargs.size && n.bootargs.data[i] != 0;
  }
}

/// Walks the structure block once. Every step checks what is left of it.
class Scanner {
 public:
  constexpr Scanner(Bytes structure, Bytes strings) : structure_(structure), strings_(strings) {}

  /// nullptr, or what is wrong with the blob.
  constexpr const char* run(Platform& p) {
    for (;;) {
      if (!room(4)) return "the device tree ends without its end token";
      const std::uint32_t token = be32(structure_.data + at_);
      at_ += 4;
      const char* error = nullptr;
      switch (token) {
        case 1: error = begin(p); break;
        case 2: error = end(p); break;
        case 3: error = property(); break;
        case 4: break;
        case 9: return depth_ == 0 ? nullptr : "the device tree ends inside a node";
        default: return "the device tree holds an unknown token";
      }
      if (error != nullptr) return error;
    }
  }

 private:
  struct Frame {
    Node node;
    unsigned address_cells = 2;
    unsigned size_cells = 1;
    bool taken = false;  ///< its properties are complete: they come before child nodes
  };

  constexpr bool room(std::size_t bytes) const { return structure_.size - at_ >= bytes; }
  constexpr Frame& top() { return frames_[depth_ - 1]; }

  constexpr void finish(Platform& p) {
    if (depth_ == 0 || top().taken) return;
    top().taken = true;
    take(top().node, p);
  }

  constexpr const char* begin(Platform& p) {
    finish(p);
    while (room(1) && structure_.data[at_] != 0) ++at_;
    if (!room(1)) return "a node name of the device tree has no end";
    at_ = (at_ + 4) & ~std::size_t{3};
    if (at_ > structure_.size) return "the device tree is cut short";
    if (depth_ == max_depth) return "the device tree is nested too deeply";
    Frame f;
    if (depth_ > 0) {
      f.node.parent_address_cells = top().address_cells;
      f.node.parent_size_cells = top().size_cells;
    }
    frames_[depth_++] = f;
    return nullptr;
  }

  constexpr const char* end(Platform& p) {
    if (depth_ == 0) return "the device tree ends a node that it has not begun";
    finish(p);
    --depth_;
    return nullptr;
  }

  constexpr const char* property() {
    if (depth_ == 0) return "a property of the device tree lies outside any node";
    if (!room(8)) return "the device tree is cut short";
    const std::size_t size = be32(structure_.data + at_);
    const std::size_t name = be32(structure_.data + at_ + 4);
    at_ += 8;
    if (!room(size)) return "a property of the device tree is longer than the tree";
    const Bytes value{structure_.data + at_, size};
    const std::size_t padded = (size + 3) & ~std::size_t{3};
    if (!room(padded)) return "the device tree is cut short";
    at_ += padded;
    assign(name, value);
    return nullptr;
  }

  constexpr bool is_named(std::size_t name, const char* s) const {
    std::size_t i = 0;
    for (; name + i < strings_.size && s[i] != 0; ++i)
      if (strings_.data[name + i] != static_cast<unsigned char>(s[i])) return false;
    return s[i] == 0 && name + i < strings_.size && strings_.data[name + i] == 0;
  }

  constexpr void assign(std::size_t name, Bytes value) {
    Frame& f = top();
    if (is_named(name, "compatible")) f.node.compatible = value;
    if (is_named(name, "device_type")) f.node.device_type = value;
    if (is_named(name, "reg")) f.node.reg = value;
    if (is_named(name, "bootargs")) f.node.bootargs = value;
    if (is_named(name, "method")) f.node.method = value;
    if (is_named(name, "#address-cells")) f.address_cells = cells(value);
    if (is_named(name, "#size-cells")) f.size_cells = cells(value);
  }

  /// More than two cells fit no 64-bit address: the low ones count.
  static constexpr unsigned cells(Bytes value) {
    const std::uint64_t n = cells_at(value, 0, 1);
    return n > 4 ? 4 : static_cast<unsigned>(n);
  }

  Bytes structure_, strings_;
  std::size_t at_ = 0;
  unsigned depth_ = 0;
  std::array<Frame, max_depth> frames_{};
};

}  // namespace fdt

/// Reads the blob at `data`, of which at most `size` bytes may be looked at. nullptr, or what is wrong with it;
/// what was found before the fault stays in `p`.
constexpr const char* read_platform(const unsigned char* data, std::size_t size, Platform& p) {
  if (data == nullptr || size < 40) return "there is no device tree";
  if (fdt::be32(data) != fdt::magic) return "there is no device tree: the magic number is missing";
  std::size_t total = fdt::be32(data + 4);
  if (total > fdt::max_size) return "the device tree claims to be larger than 2 MiB";
  if (total > size) return "the device tree is cut short";
  const std::size_t structure = fdt::be32(data + 8);
  const std::size_t strings = fdt::be32(data + 12);
  const std::size_t strings_size = fdt::be32(data + 32);
  const std::size_t structure_size = fdt::be32(data + 36);
  if (structure > total || structure_size > total - structure || strings > total ||
      strings_size > total - strings)
    return "a block of the device tree lies outside of it";
  return fdt::Scanner({data + structure, structure_size}, {data + strings, strings_size}).run(p);
}

}  // namespace shootdown::metal::guest
