// SPDX-License-Identifier: MIT
// Splitting the console into lines and reading those that are ours.
#include "machine/metal/guest_log.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace shootdown::metal {

namespace {

using nlohmann::json;

/// Reads keys of one object; the first that is missing or of the wrong type is remembered.
class Reader {
 public:
  explicit Reader(const json& object) : object_(object) {}

  std::uint64_t number(const char* key) {
    const json* v = find(key);
    if (v == nullptr || !v->is_number_unsigned()) return miss(key), 0;
    return v->get<std::uint64_t>();
  }
  /// The guest writes differences modulo 2^64.
  std::int64_t difference(const char* key) { return static_cast<std::int64_t>(number(key)); }
  unsigned small(const char* key) {
    const std::uint64_t v = number(key);
    if (v > 0xffff) miss(key);
    return static_cast<unsigned>(v & 0xffff);
  }
  bool boolean(const char* key) {
    const json* v = find(key);
    if (v == nullptr || !v->is_boolean()) return miss(key), false;
    return v->get<bool>();
  }
  std::optional<bool> optional_boolean(const char* key) {
    if (find(key) == nullptr) return std::nullopt;
    return boolean(key);
  }
  std::string text(const char* key) {
    const json* v = find(key);
    if (v == nullptr || !v->is_string()) return miss(key), std::string();
    return v->get<std::string>();
  }
  /// Counters by name; a name that we do not know is as wrong as a missing key.
  template <typename NameOf, std::size_t N>
  void counters(const char* key, std::array<std::uint64_t, N>& out, NameOf&& name_of) {
    const json* v = find(key);
    if (v == nullptr || !v->is_object()) return miss(key);
    for (const auto& [name, count] : v->items()) {
      std::size_t i = 0;
      while (i < N && name != name_of(i)) ++i;
      if (i == N || !count.is_number_unsigned()) return miss(key);
      out[i] = count.template get<std::uint64_t>();
    }
  }

  const std::string& wrong() const { return wrong_; }

 private:
  const json* find(const char* key) const {
    const auto it = object_.find(key);
    return it == object_.end() ? nullptr : &*it;
  }
  void miss(const char* key) {
    if (wrong_.empty()) wrong_ = key;
  }

  const json& object_;
  std::string wrong_;
};

GuestStart read_start(Reader& r) {
  if (r.number("version") != 1) r.boolean("version 1");
  return {.page_shift = r.small("page_shift"),
          .va_bits = r.small("va_bits"),
          .cpus = r.small("cpus"),
          .memory_bytes = r.number("memory_bytes"),
          .boot_base = r.number("boot_base"),
          .counter_hz = r.number("counter_hz"),
          .range_tlbi = r.boolean("range_tlbi"),
          .hardware_access_flag = r.boolean("hardware_access_flag"),
          .bbm_level = r.small("bbm_level")};
}

report::Counts read_counts(Reader& r) {
  report::Counts c;
  r.counters("tlbi", c.tlbi,
             [](std::size_t i) { return std::string(vmsa::tlbi_name(vmsa::tlbi_ops[i]).c_str()); });
  r.counters("dsb", c.dsb, [](std::size_t i) { return std::string(machine::dsb_names[i]); });
  c.isb = r.number("isb");
  c.sgi = r.number("sgi");
  c.descriptor_stores = r.number("descriptor_stores");
  c.tables_freed = r.number("tables_freed");
  return c;
}

GuestResult read_result(Reader& r) {
  GuestResult g;
  g.strategy = r.text("strategy");
  g.stale_accesses = r.number("stale_accesses");
  g.freed_reads = r.number("freed_reads");
  g.expected_faults = r.number("expected_faults");
  g.other_faults = r.number("other_faults");
  g.bad_fault_esr = r.text("bad_fault_esr");
  g.bad_fault_va = r.text("bad_fault_va");
  g.bad_values = r.number("bad_values");
  g.counts = read_counts(r);
  g.tables_allocated = r.number("tables_allocated");
  g.released_bytes = r.number("released_bytes");
  g.add_ticks = r.number("add_ticks");
  g.remove_ticks = r.number("remove_ticks");
  g.tree_restored = r.boolean("tree_restored");
  g.tables_kept = r.difference("tables_retained");
  g.empty_tables_before = r.number("empty_tables_before");
  g.empty_tables = r.number("empty_tables");
  g.leaves_added = r.number("leaves_added");
  g.vmemmap_pages_restored = r.boolean("vmemmap_pages_restored");
  g.free_pages_lost = r.difference("free_pages_lost");
  g.memblock_restored = r.boolean("memblock_restored");
  g.again_identical = r.optional_boolean("again_identical");
  g.again_restored = r.optional_boolean("again_restored");
  g.warnings = r.number("warnings");
  return g;
}

/// For error messages: whatever came, as printable ASCII of bounded length.
std::string printable(std::string_view text) {
  constexpr std::size_t longest = 200;
  std::string out;
  for (char c : text.substr(0, longest)) out += c >= ' ' && c < 0x7f ? c : '?';
  if (text.size() > longest) out += "...";
  return out;
}

}  // namespace

void GuestLog::note_trouble(std::string text) {
  if (trouble_.empty()) trouble_ = std::move(text);
}

void GuestLog::feed(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::size_t newline = bytes.find('\n');
    const std::string_view part = bytes.substr(0, newline);
    if (partial_.size() + part.size() > max_line) overlong_ = true;
    if (overlong_)
      partial_.clear();
    else
      partial_ += part;
    if (newline == std::string_view::npos) return;
    bytes.remove_prefix(newline + 1);
    if (!overlong_) line(partial_);
    partial_.clear();
    overlong_ = false;
  }
}

void GuestLog::finish() {
  if (!partial_.empty()) tail_.push_back(printable(partial_));
  if (tail_.size() > tail_lines) tail_.pop_front();
  partial_.clear();
}

void GuestLog::line(std::string_view text) {
  while (!text.empty() && (text.back() == '\r' || text.back() == ' ')) text.remove_suffix(1);
  if (text.empty()) return;
  tail_.push_back(printable(text));
  if (tail_.size() > tail_lines) tail_.pop_front();
  // Firmware and QEMU may talk on the same line before us; our objects begin like this and end with the line.
  const std::size_t begin = text.find("{\"metal\":");
  if (begin == std::string_view::npos) return;
  const json object = json::parse(text.substr(begin), nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) return note_trouble(fmt::format("a cut or garbled line: {}", tail_.back()));

  Reader r(object);
  const std::string kind = r.text("metal");
  if (kind == "start") {
    const GuestStart start = read_start(r);
    if (start_) note_trouble("the image started twice");
    if (r.wrong().empty()) start_ = start;
  } else if (kind == "result") {
    GuestResult result = read_result(r);
    if (r.wrong().empty()) results_.push_back(std::move(result));
  } else if (kind == "phase") {
    const std::string strategy = r.text("strategy");
    phase_ = printable(strategy + ": " + r.text("name"));
  } else if (kind == "warning") {
    const std::string what = printable(r.text("what"));
    if (warnings_.size() < 100 && std::find(warnings_.begin(), warnings_.end(), what) == warnings_.end())
      warnings_.push_back(what);
  } else if (kind == "end") {
    ended_ = true;
  } else if (kind == "unsupported") {
    unsupported_ = printable(r.text("what"));
  } else if (kind == "refused") {
    const std::string what = r.text("what");
    const std::string word = object.contains("word") ? r.text("word") : "";
    note_trouble(printable(word.empty() ? what : fmt::format("'{}': expected {}", word, what)));
  } else if (kind == "panic") {
    note_trouble(printable(r.text("what")));
  } else if (kind == "exception") {
    note_trouble(
        printable(fmt::format("an exception that nobody expected: ESR {}, at image offset {}, address {}",
                              r.text("esr"), r.text("elr"), r.text("far"))));
  }
  if (!r.wrong().empty())
    note_trouble(fmt::format("a line \"{}\" without a proper \"{}\"", printable(kind), r.wrong()));
}

}  // namespace shootdown::metal
