// SPDX-License-Identifier: MIT
#include "machine/model/codec.hpp"

namespace shootdown::model {
namespace {

static_assert(sizeof(Memory::Word) == 2 * sizeof(std::uint64_t));  // encoded and decoded by copying

/// Takes words in the order they were appended.
class Reader {
 public:
  explicit Reader(std::span<const std::uint64_t> words) : words_(words) {}
  std::uint64_t next() { return words_[position_++]; }
  bool done() const { return position_ == words_.size(); }

 private:
  std::span<const std::uint64_t> words_;
  std::size_t position_ = 0;
};

void encode_memory(const Memory& memory, Words& out) {
  const auto* first = reinterpret_cast<const std::uint64_t*>(memory.words().data());
  out.assign(first, first + memory.words().size() * 2);
}

void encode_shadow(const shadow::Shadow& s, Words& out) {
  s.for_each([&](const shadow::Entry& e) {
    out.push_back(e.place.va.value);
    out.push_back(e.slot.value);
    out.push_back(e.value.bits);
    out.push_back(static_cast<std::uint64_t>(e.place.level.value + 1) | std::uint64_t{e.place.asid} << 8 |
                  e.holders.bits << 24 | e.unsynchronised.bits << 32 | std::uint64_t{e.dooms.size()} << 40);
    for (const shadow::Doom& d : e.dooms)
      out.push_back(d.issuer | (d.broadcast ? 1u : 0u) << 8 | d.cpus.bits << 16);
  });
}

unsigned cpu_count(const World& w) { return static_cast<unsigned>(std::popcount(w.shadow.cpus().bits)); }

void encode_queues(const World& w, Words& out) {
  const unsigned cpus = cpu_count(w);
  for (unsigned c = 0; c < cpus; ++c) {
    out.push_back(w.buffers[c].size() | std::uint64_t{w.deferred[c].size()} << 20 |
                  std::uint64_t{w.unsynchronised[c].size()} << 40);
    for (const BufferedStore& s : w.buffers[c]) out.insert(out.end(), {s.slot.value, s.value.bits});
    out.insert(out.end(), w.deferred[c].begin(), w.deferred[c].end());
    for (const PhysAddr slot : w.unsynchronised[c]) out.push_back(slot.value);
  }
}

void encode_owners(const World& w, Words& out) {
  for (const LockState& l : w.locks) out.push_back(l.exclusive | std::uint64_t{l.shared} << 8);
  out.push_back(w.memblock.size());
  for (PhysRange r : w.memblock) out.insert(out.end(), {r.start.value, r.end.value});
  // Eight pages a word: state, owner, two flags.
  std::uint64_t word = 0;
  for (std::size_t i = 0; i < w.pages.size(); ++i) {
    const Page& p = w.pages[i];
    const auto byte = static_cast<std::uint64_t>(p.state) | std::uint64_t{p.owner} << 3 |
                      (p.shared ? 1u : 0u) << 5 | (p.carries_data ? 1u : 0u) << 6;
    word |= byte << i % 8 * 8;
    if (i % 8 == 7 || i + 1 == w.pages.size()) {
      out.push_back(word);
      word = 0;
    }
  }
}

void decode_memory(std::span<const std::uint64_t> words, Memory& memory) {
  memory.assign({reinterpret_cast<const Memory::Word*>(words.data()), words.size() / 2});
}

void decode_shadow(std::span<const std::uint64_t> words, shadow::Shadow& s) {
  s.clear();
  for (Reader in(words); !in.done();) {
    shadow::Entry e;
    e.place.va = VirtAddr(in.next());
    e.slot = PhysAddr(in.next());
    e.value = Descriptor{in.next()};
    const std::uint64_t packed = in.next();
    e.place.level = vmsa::Level{static_cast<int>(packed & 0xff) - 1};
    e.place.asid = static_cast<std::uint16_t>(packed >> 8);
    e.holders = {packed >> 24 & 0xff};
    e.unsynchronised = {packed >> 32 & 0xff};
    for (std::uint64_t n = packed >> 40; n > 0; --n) {
      const std::uint64_t d = in.next();
      e.dooms.push_back({static_cast<unsigned>(d & 0xff), (d >> 8 & 1) != 0, {d >> 16}});
    }
    s.insert(std::move(e));
  }
}

void decode_queues(std::span<const std::uint64_t> words, World& w) {
  Reader in(words);
  for (unsigned c = 0; !in.done(); ++c) {
    const std::uint64_t sizes = in.next();
    w.buffers[c].clear();
    w.deferred[c].clear();
    w.unsynchronised[c].clear();
    for (std::uint64_t n = sizes & 0xfffff; n > 0; --n) {
      const PhysAddr slot(in.next());
      w.buffers[c].push_back({slot, Descriptor{in.next()}});
    }
    for (std::uint64_t n = sizes >> 20 & 0xfffff; n > 0; --n) w.deferred[c].push_back(in.next());
    for (std::uint64_t n = sizes >> 40; n > 0; --n) w.unsynchronised[c].emplace_back(in.next());
  }
}

void decode_owners(std::span<const std::uint64_t> words, World& w) {
  Reader in(words);
  for (LockState& l : w.locks) {
    const std::uint64_t packed = in.next();
    l = {static_cast<std::uint8_t>(packed), static_cast<std::uint8_t>(packed >> 8)};
  }
  w.memblock.clear();
  for (std::uint64_t n = in.next(); n > 0; --n) {
    const PhysAddr start(in.next());
    w.memblock.push_back({start, PhysAddr(in.next())});
  }
  std::uint64_t word = 0;
  for (std::size_t i = 0; i < w.pages.size(); ++i) {
    if (i % 8 == 0) word = in.next();
    const std::uint64_t byte = word >> i % 8 * 8 & 0xff;
    Page& p = w.pages[i];
    p.state = static_cast<PageState>(byte & 7);
    p.owner = static_cast<std::uint8_t>(byte >> 3 & 3);
    p.shared = (byte >> 5 & 1) != 0;
    p.carries_data = (byte >> 6 & 1) != 0;
  }
}

}  // namespace

void encode(Part part, const World& w, Words& out) {
  out.clear();
  switch (part) {
    case Part::memory: return encode_memory(w.memory, out);
    case Part::shadow: return encode_shadow(w.shadow, out);
    case Part::queues: return encode_queues(w, out);
    case Part::owners: return encode_owners(w, out);
  }
}

void decode(Part part, std::span<const std::uint64_t> words, World& w) {
  switch (part) {
    case Part::memory: return decode_memory(words, w.memory);
    case Part::shadow: return decode_shadow(words, w.shadow);
    case Part::queues: return decode_queues(words, w);
    case Part::owners: return decode_owners(words, w);
  }
}

}  // namespace shootdown::model
