// SPDX-License-Identifier: MIT
#include "scenario/hot_remove.hpp"

#include <algorithm>
#include <stdexcept>

#include "machine/model/stepper.hpp"
#include "scenario/tasks.hpp"

namespace shootdown::scenario {
namespace {

using mm::PhysAddr;
using mm::VirtAddr;
using model::Page;
using model::World;
using shadow::TableAt;
using vmsa::Level;
using vmsa::Regime;

/// Memory that the allocator gives out, below the memory that comes and goes.
constexpr std::uint64_t table_pool = 0x1000'0000;
constexpr std::uint64_t block_pool = 0x8000'0000;
constexpr std::uint64_t root_page = 0x0f00'0000;
constexpr std::uint64_t user_page = 0x0e00'0000;  // what the vmalloc user maps
constexpr std::uint64_t memory_start = 0x100'0000'0000;
constexpr unsigned pool_pages = 32;
constexpr unsigned pool_blocks = 3;

/// A free page holds what its last owner left: here, a word that looks like a valid page or table. It points to
/// a page that nobody owns.
std::uint64_t left_behind(const Regime& r) { return (table_pool + (pool_pages - 1) * r.page_size()) | 0x403; }

bool by_blocks(const HotRemoveConfig& c) { return c.mapping.largest < vmsa::page_level; }

/// Two pages a section, so that two leaf tables have two used entries each; one block where blocks are mapped.
/// With contiguous groups twice that: the first group of a table is flushed by chance when the table is freed
/// (its flush names the table's first address), so there must be a second.
unsigned section_bits(const HotRemoveConfig& c) {
  const unsigned table_bits =
      c.geometry == Geometry::scaled ? vmsa::scaled(c.real).bits_per_level : c.real.bits_per_level;
  return (by_blocks(c) ? table_bits : 1) + (c.mapping.contiguous ? 1 : 0);
}

/// The vmalloc area ends below vmemmap, and shares tables with it down to the level that the real layout has.
mm::MemoryMap scaled_map(const HotRemoveConfig& c, const Regime& r, VirtAddr& vmalloc) {
  const auto shared = vmsa::deepest_shared_level(c.real, vmsa::layout(c.real, c.layout));
  const Level root = r.root_level();
  const unsigned entries = r.entry_count(root);
  const unsigned index = r.level_count() == 2 ? entries - 2 : entries - 1;
  VirtAddr start = r.base() + index * r.span(root);
  // One entry of the shared table for vmalloc, the following ones for vmemmap.
  const std::uint64_t step = shared ? r.span(shared->next()) : r.span(root);
  if (shared) start += step;
  vmalloc = start - step;
  const unsigned linear_entries = r.level_count() == 2 ? index - 1 : entries / 2;
  const vmsa::VirtRange linear{r.base(), r.base() + linear_entries * r.span(root)};
  return {{linear, {start, VirtAddr(0)}, start}, PhysAddr(memory_start)};
}

/// The live tables, root included.
std::vector<TableAt> linked_tables(const World& w, PhysAddr root) {
  const Regime& r = w.shadow.regime();
  const TableAt top{root, r.root_level(), r.base()};
  std::vector<TableAt> all{top};
  shadow::for_each_below(r, w.memory, top, {}, [&](const shadow::Place& p, PhysAddr, model::Descriptor d) {
    if (d.is_table(p.level)) all.push_back(shadow::table_of(r, p, d));
  });
  return all;
}

/// The addresses that a table translates: the span of the entry that points to it.
vmsa::VirtRange translated(const Regime& r, const TableAt& t) {
  return {t.va, t.va + r.span(t.level) * r.entry_count(t.level)};
}

bool is_empty(const World& w, const TableAt& t) { return w.memory.words_in(t.page).empty(); }

/// Runs a task alone, every store visible at once.
void run_alone(World& world, const model::Setup& setup, const model::Task& task) {
  model::Procedure procedure(task, {0, 1, setup.features, setup.root, nullptr});
  model::Stepper stepper(setup, world);
  auto& buffer = world.cpus[0].buffer;
  for (auto at = procedure.start(); !model::is<model::op::Done>(procedure.pending(at));) {
    const model::Operation op = procedure.pending(at);
    const model::Outcome way = stepper.outcomes(0, op).at(0);
    if (auto v = stepper.perform(0, op, way))
      throw std::logic_error(std::string("the experiment could not be built: ") + name(v->finding.harm));
    while (!buffer.empty()) stepper.drain(0, 0);
    at = procedure.step(at, way.answer);
  }
}

World empty_world(const HotRemoveConfig& c, const Arrangement& a) {
  World w{.memory = model::Memory(a.regime.page_shift), .shadow = shadow::Shadow(a.regime, c.cpus)};
  auto add = [&](std::uint64_t pa, unsigned order, model::PageState state, bool allocatable) {
    Page p;
    p.start = PhysAddr(pa);
    p.order = order;
    p.usage.state = state;
    p.allocatable = allocatable;
    w.pages.push_back(p);
  };
  add(user_page, 0, model::PageState::used, false);
  add(root_page, 0, model::PageState::table, false);
  for (unsigned i = 0; i < pool_pages; ++i) {
    const std::uint64_t pa = table_pool + i * a.regime.page_size();
    add(pa, 0, model::PageState::free, true);
    w.memory.write(PhysAddr(pa), model::Descriptor{left_behind(a.regime)});
  }
  const unsigned order = a.regime.bits_per_level;
  for (unsigned i = 0; i < pool_blocks && c.vmemmap == VmemmapKind::block; ++i)
    add(block_pool + i * a.regime.span(vmsa::pmd_level), order, model::PageState::free, true);
  add(a.neighbour.value, 0, model::PageState::used, false);
  // The range's memory, in the pieces that a leaf maps: whoever takes one over takes all of it.
  const unsigned piece = by_blocks(c) ? a.regime.bits_per_level : 0;
  for (PhysAddr pa = a.range.start; pa != a.range.end; pa += a.regime.page_size() << piece)
    add(pa.value, piece, model::PageState::used, false);
  std::sort(w.pages.begin(), w.pages.end(), [](const Page& x, const Page& y) { return x.start < y.start; });
  return w;
}

TaskSet tasks(const HotRemoveConfig& c, const Arrangement& a) {
  switch (c.real.page_shift) {
    case 12: return tasks_4k(c, a);
    case 14: return tasks_16k(c, a);
    default: return tasks_64k(c, a);
  }
}

/// The range's addresses, as far as the experiment maps them.
std::vector<vmsa::VirtRange> mapped_ranges(const HotRemoveConfig& c, const Arrangement& a) {
  std::vector<vmsa::VirtRange> all;
  if (c.path != Path::vmemmap) all.push_back(a.map.linear(a.range));
  if (c.path != Path::linear) all.push_back(a.map.vmemmap(a.regime, a.range));
  return all;
}

bool rule_allows(const HotRemoveConfig& c, const Arrangement& a, const TableAt& t) {
  const bool vmemmap = a.map.layout.vmemmap.contains(t.va) || t.va > a.map.layout.linear.end;
  if (vmemmap && !mm::frees_vmemmap_tables(c.real, {vmsa::layout(c.real, c.layout), {}}, c.table_rule))
    return false;
  const auto region = vmemmap ? a.map.layout.vmemmap : a.map.layout.linear;
  const auto part = translated(a.regime, t);
  return mm::table_bounds(c.table_rule, region).allow({part.start, part.end}, part.size());
}

/// What must hold when every CPU has finished.
std::optional<shadow::Finding> judge_end(const HotRemoveConfig& c, const Arrangement& a, const World& w) {
  auto leak = [](PhysAddr page) {
    shadow::Finding f;
    f.harm = shadow::Harm::leak;
    f.page = page;
    return f;
  };
  const auto linked = linked_tables(w, PhysAddr(root_page));
  for (const Page& p : w.pages) {
    if (p.usage.state != model::PageState::table) continue;
    const auto at =
        std::find_if(linked.begin(), linked.end(), [&](const TableAt& t) { return t.page == p.start; });
    if (at == linked.end()) return leak(p.start);
    for (const auto& range : mapped_ranges(c, a)) {
      const bool ours = at != linked.begin() && translated(a.regime, *at).overlaps(range);
      const bool others = translated(a.regime, *at).contains(a.map.phys_to_virt(a.neighbour)) ||
                          translated(a.regime, *at).contains(a.vmalloc);
      if (ours && (is_empty(w, *at) || !others) && rule_allows(c, a, *at)) return leak(p.start);
    }
  }
  for (const model::Cpu& cpu : w.cpus)
    if (!cpu.deferred.empty()) return leak(model::from_word<machine::Deferred>(cpu.deferred.back()).page);
  for (const auto& range : mapped_ranges(c, a))
    for (VirtAddr va = range.start; va != range.end; va += a.regime.page_size())
      if (walk(w.shadow, w.memory, 0, va).fault == vmsa::Fault::none) return leak(PhysAddr(root_page));
  return std::nullopt;
}

}  // namespace

const char* name(mm::TableRule rule) {
  switch (rule) {
    case mm::TableRule::floor_ceiling: return "floor-ceiling";
    case mm::TableRule::v7: return "v7";
    case mm::TableRule::any: return "any";
  }
  return "?";
}

const char* name(vmsa::LayoutAge age) { return age == vmsa::LayoutAge::today ? "today" : "old"; }

std::optional<std::string> refuse(const HotRemoveConfig& c) {
  if (c.cpus < 2 || c.cpus > model::max_cpus) return "the model has 2 to 4 CPUs";
  if (!vmsa::has_layout(c.real, c.layout)) return "the old layout has no 52-bit VA with 4K or 16K pages";
  if (c.vmemmap == VmemmapKind::block && !c.real.vmemmap_uses_blocks())
    return "vmemmap is mapped by blocks with 4K pages only";
  if (c.geometry == Geometry::full && !has_full_geometry(c.real))
    return "full geometry exists for 4K/48, 16K/47 and 64K/48 only";
  if (c.geometry == Geometry::full && c.mapping.contiguous)
    return "full geometry has no contiguous mappings: a real group's stores can become visible in too many "
           "orders";
  return std::nullopt;
}

vmsa::Regime model_regime(const HotRemoveConfig& c) {
  if (c.geometry == Geometry::scaled) return vmsa::scaled(c.real, section_bits(c));
  return vmsa::with_small_sections(c.real, section_bits(c));
}

Arrangement arrange(const HotRemoveConfig& c) {
  Arrangement a{.regime = model_regime(c)};
  const Regime& r = a.regime;
  if (c.geometry == Geometry::scaled) {
    a.map = scaled_map(c, r, a.vmalloc);
  } else {
    a.map = {vmsa::layout(c.real, c.layout), PhysAddr(memory_start)};
    a.vmalloc = (a.map.layout.vmalloc_end - 1).align_down(r.page_size());
  }
  // By pages: the last section of one leaf table and the first of the next. By blocks: the first two.
  const PhysAddr memory(memory_start);
  const std::uint64_t table_span = r.span(vmsa::pmd_level);
  const PhysAddr start = by_blocks(c) ? memory : memory + table_span - r.section_size();
  a.range = {start, start + 2 * r.section_size()};
  a.neighbour = memory + (r.level_count() == 2 ? 4 * table_span : r.span(vmsa::pud_level));
  a.vmalloc_page = PhysAddr(user_page);
  return a;
}

model::Setup set_up(const HotRemoveConfig& c) {
  const Arrangement a = arrange(c);
  TaskSet set = tasks(c, a);
  model::Setup setup{.world = empty_world(c, a), .root = PhysAddr(root_page)};
  setup.features = c.features;
  setup.mutation = c.mutation;
  setup.early_reads = c.early_reads;
  World world = setup.world;
  run_alone(world, setup, set.build);
  setup.world = std::move(world);
  setup.tasks = std::move(set.cpus);
  setup.allocation_may_fail = c.experiment == Experiment::hot_add;
  setup.final_check = [c, a](const World& w) { return judge_end(c, a, w); };
  return setup;
}

unsigned tables_retained(const HotRemoveConfig& c, const World& end) {
  const Arrangement a = arrange(c);
  const auto ranges = mapped_ranges(c, a);
  const auto linked = linked_tables(end, PhysAddr(root_page));
  return static_cast<unsigned>(std::count_if(linked.begin(), linked.end(), [&](const TableAt& t) {
    const auto part = translated(a.regime, t);
    // Before memory was added there were the neighbour's tables, and no others.
    const bool was_there = part.contains(a.map.phys_to_virt(a.neighbour));
    return !was_there &&
           std::any_of(ranges.begin(), ranges.end(), [&](const auto& r) { return part.overlaps(r); });
  }));
}

}  // namespace shootdown::scenario
