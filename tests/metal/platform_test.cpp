// SPDX-License-Identifier: MIT
// Strategy: a device tree built by hand in the shape of QEMU's virt machine; then every length cut short, every
// byte changed, and lengths that lie. The scan may find less, but it must end and stay inside the blob.
#include "machine/metal/guest/platform.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace shootdown::metal::guest {
namespace {

using Blob = std::vector<unsigned char>;

/// Writes a flattened device tree.
class Tree {
 public:
  Tree& begin(const std::string& name) {
    word(1);
    bytes(Blob(name.begin(), name.end()), true);
    return *this;
  }
  Tree& end() { return word(2); }
  Tree& text(const std::string& name, const std::string& value) {
    Blob b(value.begin(), value.end());
    b.push_back(0);
    return property(name, b);
  }
  Tree& cells(const std::string& name, const std::vector<std::uint32_t>& values) {
    Blob b;
    for (std::uint32_t v : values)
      for (int shift = 24; shift >= 0; shift -= 8) b.push_back(static_cast<unsigned char>(v >> shift));
    return property(name, b);
  }
  Blob finish() {
    word(9);
    Blob blob(40);
    auto put = [&](std::size_t at, std::size_t v) {
      for (int i = 0; i < 4; ++i)
        blob[at + static_cast<std::size_t>(i)] = static_cast<unsigned char>(v >> (24 - 8 * i));
    };
    put(0, fdt::magic);
    put(4, 40 + structure_.size() + strings_.size());
    put(8, 40);
    put(12, 40 + structure_.size());
    put(32, strings_.size());
    put(36, structure_.size());
    blob.insert(blob.end(), structure_.begin(), structure_.end());
    blob.insert(blob.end(), strings_.begin(), strings_.end());
    return blob;
  }

 private:
  Tree& word(std::uint32_t v) {
    for (int shift = 24; shift >= 0; shift -= 8) structure_.push_back(static_cast<unsigned char>(v >> shift));
    return *this;
  }
  void bytes(const Blob& b, bool terminated) {
    structure_.insert(structure_.end(), b.begin(), b.end());
    if (terminated) structure_.push_back(0);
    while (structure_.size() % 4 != 0) structure_.push_back(0);
  }
  Tree& property(const std::string& name, const Blob& value) {
    word(3).word(static_cast<std::uint32_t>(value.size())).word(static_cast<std::uint32_t>(strings_.size()));
    strings_.insert(strings_.end(), name.begin(), name.end());
    strings_.push_back(0);
    bytes(value, false);
    return *this;
  }

  Blob structure_, strings_;
};

Blob virt(const std::string& bootargs = "sd.page=14", unsigned cpus = 4, const std::string& method = "hvc") {
  Tree t;
  t.begin("").cells("#address-cells", {2}).cells("#size-cells", {2});
  t.begin("psci").text("compatible", "arm,psci-1.0").text("method", method).end();
  t.begin("memory@40000000").cells("reg", {0, 0x40000000, 1, 0}).text("device_type", "memory").end();
  t.begin("pl011@9000000").cells("reg", {0, 0x9000000, 0, 0x1000});
  t.text("compatible", std::string("arm,pl011\0arm,primecell", 23)).end();
  t.begin("intc@8000000").cells("reg", {0, 0x8000000, 0, 0x10000, 0, 0x80a0000, 0, 0xf60000});
  t.text("compatible", "arm,gic-v3");
  t.begin("its@8080000")
      .text("compatible", "arm,gic-v3-its")
      .cells("reg", {0, 0x8080000, 0, 0x20000})
      .end()
      .end();
  t.begin("cpus").cells("#address-cells", {1}).cells("#size-cells", {0});
  for (std::uint32_t i = 0; i < cpus; ++i) t.begin("cpu").text("device_type", "cpu").cells("reg", {i}).end();
  t.end();
  t.begin("chosen").text("bootargs", bootargs).text("stdout-path", "/pl011@9000000").end();
  t.end();
  return t.finish();
}

TEST(Platform, ReadsQemusVirt) {
  const Blob blob = virt();
  Platform p;
  ASSERT_EQ(read_platform(blob.data(), blob.size(), p), nullptr);
  EXPECT_EQ(p.uart.base, 0x9000000u);
  EXPECT_EQ(p.distributor.base, 0x8000000u);
  ASSERT_EQ(p.redistributor_count, 1u);
  EXPECT_EQ(p.redistributors[0].base, 0x80a0000u);
  EXPECT_EQ(p.redistributors[0].size, 0xf60000u);
  EXPECT_EQ(p.memory.base, 0x40000000u);
  EXPECT_EQ(p.memory.size, std::uint64_t{1} << 32);
  EXPECT_EQ(p.cpu_count, 4u);
  EXPECT_EQ(p.mpidr[3], 3u);
  EXPECT_FALSE(p.psci_smc);
  EXPECT_STREQ(p.bootargs.data(), "sd.page=14");
}

TEST(Platform, ConduitAndCpusBeyondWhatFits) {
  const Blob blob = virt("", 20, "smc");
  Platform p;
  ASSERT_EQ(read_platform(blob.data(), blob.size(), p), nullptr);
  EXPECT_TRUE(p.psci_smc);
  EXPECT_EQ(p.cpu_count, max_cpus);
}

TEST(Platform, BootArgumentsThatDoNotFitAreSaidToBeCut) {
  const Blob blob = virt(std::string(5000, 'x'));
  Platform p;
  ASSERT_EQ(read_platform(blob.data(), blob.size(), p), nullptr);
  EXPECT_TRUE(p.bootargs_truncated);
  EXPECT_EQ(std::string(p.bootargs.data()).size(), p.bootargs.size() - 1);
}

TEST(Platform, NotADeviceTree) {
  Platform p;
  EXPECT_STREQ(read_platform(nullptr, 0, p), "there is no device tree");
  const Blob zeros(4096);
  EXPECT_STREQ(read_platform(zeros.data(), zeros.size(), p),
               "there is no device tree: the magic number is missing");
}

TEST(Platform, CutAtEveryLength) {
  const Blob blob = virt();
  for (std::size_t size = 0; size < blob.size(); ++size) {
    const Blob cut(blob.begin(),
                   blob.begin() + static_cast<std::ptrdiff_t>(size));  // so that a sanitizer sees the end
    Platform p;
    EXPECT_NE(read_platform(cut.data(), cut.size(), p), nullptr) << size;
  }
}

TEST(Platform, EveryByteChanged) {
  const Blob blob = virt();
  for (std::size_t at = 0; at < blob.size(); ++at)
    for (unsigned char value : {0x00, 0x01, 0x03, 0x7f, 0xff}) {
      Blob changed = blob;
      changed[at] = value;
      Platform p;
      read_platform(changed.data(), changed.size(), p);
      EXPECT_LE(p.cpu_count, max_cpus);
      EXPECT_LE(p.redistributor_count, p.redistributors.size());
    }
}

TEST(Platform, NestedTooDeeply) {
  Tree t;
  for (int i = 0; i < 100; ++i) t.begin("x");
  const Blob blob = t.finish();
  Platform p;
  EXPECT_STREQ(read_platform(blob.data(), blob.size(), p), "the device tree is nested too deeply");
}

}  // namespace
}  // namespace shootdown::metal::guest
