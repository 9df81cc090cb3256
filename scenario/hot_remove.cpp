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

/// What a free page's last owner left. It points to a page that nobody owns.
std::uint64_t left_behind(const Regime& r) { return (table_pool + (pool_pages - 1) * r.page_size()) | 0x403; }
std::array<std::uint64_t, leftovers_per_page> left_behind_at(const Regime& r) {
  const std::uint64_t n = r.entries_per_table();
  return {0, n / 2 * sizeof(model::Descriptor), (n - 1) * sizeof(model::Descriptor)};
}

bool by_blocks(const HotRemoveConfig& c) {
  return c.path != Path::vmemmap && c.mapping.largest < vmsa::page_level;
}
bool by_vmemmap_blocks(const HotRemoveConfig& c) {
  return c.path == Path::vmemmap && c.vmemmap == VmemmapKind::block;
}

/// The vmalloc area ends below vmemmap, and shares tables with it down to the level that the real layout has.
mm::MemoryMap scaled_map(const HotRemoveConfig& c, const Regime& r, VirtAddr& vmalloc) {
  const auto shared = vmsa::deepest_shared_level(c.real, vmsa::layout(c.real, c.layout));
  const Level root = r.root_level();
  const unsigned entries = r.entry_count(root);
  // Three leaf tables of vmemmap need as many root entries with two levels; three sections' blocks need two with three.
  const unsigned vmemmap_entries = r.level_count() == 2 ? 3 : r.level_count() == 3 && !shared ? 2 : 1;
  const unsigned index = entries - vmemmap_entries;
  VirtAddr start = r.base() + index * r.span(root);
  // One entry of the shared table for vmalloc, the following ones for vmemmap.
  const std::uint64_t step = shared ? r.span(shared->next()) : r.span(root);
  if (shared) start += step;
  vmalloc = start - step;
  const unsigned linear_entries = r.level_count() == 2 ? index - 1 : entries / 2;
  const vmsa::VirtRange linear{r.base(), r.base() + linear_entries * r.span(root)};
  return {{linear, {start, VirtAddr(0)}, start}, PhysAddr(memory_start)};
}

/// Where things lie in the scaled linear map, in pages from the start of the kernel half.
struct Spots {
  std::uint64_t linear = 0;  ///< the linear map begins: with it vmemmap, which must not become too large
  std::uint64_t first = 0, last = 0;
  std::uint64_t neighbour = 0, neighbour_pages = 1;
};
Spots spots(const HotRemoveConfig& c, const Regime& r) {
  const bool two_levels = r.level_count() == 2;
  const std::uint64_t table = r.entries_per_table();  // pages under a table of pages
  const std::uint64_t upper = table * table;          // and under a table of those
  if (c.memmap_on_memory) return {.first = upper, .last = 3 * upper, .neighbour = 3 * upper};
  if (by_vmemmap_blocks(c)) {
    // Three sections, a block each: across two tables of blocks, or in one where a neighbour has pages.
    if (c.extent == Extent::across) return {.first = 3 * table, .last = 6 * table, .neighbour = 2 * upper};
    return {.first = table, .last = 4 * table, .neighbour = table - 1};
  }
  if (by_blocks(c)) {
    // Tables of blocks: the last entry of one, a whole one (or the level 1 block that takes its place), the first
    // entry of another. With two levels there is one, the root: a contiguous group of it.
    if (c.extent == Extent::inside)
      return {.first = table, .last = 4 * table, .neighbour = 0, .neighbour_pages = table};
    if (two_levels) return {.first = upper, .last = 2 * upper, .neighbour = 10 * table};
    return {.first = upper - table, .last = 2 * upper + table, .neighbour = 3 * upper};
  }
  if (c.extent == Extent::inside) return {.first = 1, .last = table, .neighbour = 0};
  // Tables of pages: the last page of one, a whole one, the first page of another; where there are tables above, the
  // first of them ends after the first page.
  if (two_levels) return {.first = table - 1, .last = 2 * table + 1, .neighbour = 4 * table};
  return {.linear = upper - table, .first = upper - 1, .last = upper + table + 1, .neighbour = 2 * upper};
}

void place(Arrangement& a, const Spots& at) {
  const std::uint64_t page = a.regime.page_size();
  const PhysAddr memory(memory_start);
  a.map.layout.linear.start += at.linear * page;
  a.map.memstart = memory + at.linear * page;
  a.range = {memory + at.first * page, memory + at.last * page};
  const PhysAddr neighbour = memory + at.neighbour * page;
  a.neighbour = {neighbour, neighbour + at.neighbour_pages * page};
}

/// Full tables, two of their entries in use: the last section of one table and the first of the next.
Spots spots_in_full_tables(const HotRemoveConfig& c, const Regime& r) {
  const std::uint64_t section = r.section_size() / r.page_size();
  if (c.extent == Extent::long_range)
    return {.first = section, .last = 2 * section, .neighbour = section - 1};
  const std::uint64_t table = r.entries_per_table();
  const std::uint64_t first = by_blocks(c) ? 0 : table - section;
  return {.first = first, .last = first + 2 * section, .neighbour = table * table};
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

/// The memory is in the pieces that a leaf maps: whoever takes one over takes all of it. Where nothing maps it, they
/// are as large as they can be.
unsigned piece_order(const HotRemoveConfig& c, const Arrangement& a, PhysAddr pa, PhysAddr end) {
  const Regime& r = a.regime;
  const auto fits = [&](std::uint64_t size) { return pa.is_aligned(size) && size <= end - pa; };
  if (c.path == Path::vmemmap) {
    unsigned order = r.section_shift - r.page_shift;
    while (!fits(r.page_size() << order)) --order;
    return order;
  }
  for (Level level = c.mapping.largest; level < vmsa::page_level; level = level.next())
    if (r.has_block(level) && fits(r.span(level))) return r.span_shift(level) - r.page_shift;
  return 0;
}

/// A long range is removed in few steps where its leaves are large; the rest is arithmetic.
bool has_long_range(const HotRemoveConfig& c) {
  return c.experiment == Experiment::hot_remove && c.path == Path::linear && !c.mapping.contiguous &&
         c.mapping.largest == vmsa::pud_level && c.real.has_block(vmsa::pud_level) &&
         has_full_geometry(c.real);
}
/// As Linux has it: where the struct pages of a memory block fill level 2 blocks. By pages it would be far too many.
bool has_memmap_on_memory(const HotRemoveConfig& c) {
  return c.real.vmemmap_uses_blocks() && c.path == Path::both && c.vmemmap == VmemmapKind::block &&
         by_blocks(c) && c.geometry == Geometry::scaled && c.extent == Extent::across;
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
    for (const std::uint64_t offset : left_behind_at(a.regime))
      w.memory.write(PhysAddr(pa + offset), model::Descriptor{left_behind(a.regime)});
  }
  const unsigned order = a.regime.bits_per_level;
  for (unsigned i = 0; i < pool_blocks && c.vmemmap == VmemmapKind::block; ++i)
    add(block_pool + i * a.regime.span(vmsa::pmd_level), order, model::PageState::free, true);
  auto pages = [&](mm::PhysRange range) {
    for (PhysAddr pa = range.start; pa != range.end;) {
      const unsigned order = piece_order(c, a, pa, range.end);
      add(pa.value, order, model::PageState::used, false);
      pa += a.regime.page_size() << order;
    }
  };
  pages(a.neighbour);
  pages(a.range);
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

/// The neighbour's addresses pass through this table.
bool serves_neighbour(const HotRemoveConfig& c, const Arrangement& a, const TableAt& t) {
  const auto part = translated(a.regime, t);
  if (part.overlaps(a.map.linear(a.neighbour))) return true;
  return maps_struct_pages_of_neighbour(c) && part.overlaps(a.map.vmemmap(a.regime, a.neighbour));
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
      const bool others = serves_neighbour(c, a, *at) || translated(a.regime, *at).contains(a.vmalloc);
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

std::vector<vmsa::VirtRange> mapped_ranges(const HotRemoveConfig& c, const Arrangement& a) {
  std::vector<vmsa::VirtRange> all;
  if (c.path != Path::vmemmap) all.push_back(a.map.linear(a.range));
  if (c.path != Path::linear) all.push_back(a.map.vmemmap(a.regime, a.range));
  return all;
}

const char* name(mm::TableRule rule) {
  switch (rule) {
    case mm::TableRule::floor_ceiling: return "floor-ceiling";
    case mm::TableRule::v7: return "v7";
    case mm::TableRule::any: return "any";
  }
  return "?";
}

bool maps_struct_pages_of_neighbour(const HotRemoveConfig& c) {
  return c.extent == Extent::inside && (c.path != Path::linear || c.experiment == Experiment::hot_add);
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
  if (c.geometry == Geometry::full && c.extent == Extent::inside)
    return "full geometry has ranges across tables, and the long one";
  if (c.extent == Extent::inside && c.path != Path::vmemmap && c.mapping.contiguous)
    return "a scaled contiguous group fills its table: no range lies inside";
  if (c.extent == Extent::inside && by_blocks(c) && c.real.level_count() == 2)
    return "with two levels blocks are in the root table, which is never freed: across says it all";
  if (c.extent == Extent::long_range && !has_long_range(c))
    return "a long range is one of level 1 blocks: removal of a linear map by blocks with 4K pages and 48 "
           "bits of VA";
  if (c.memmap_on_memory && !has_memmap_on_memory(c))
    return "struct pages are carved from the range as one block a section: 4K pages, both regions, blocks in "
           "both";
  return std::nullopt;
}

vmsa::Regime model_regime(const HotRemoveConfig& c) {
  if (c.extent == Extent::long_range) return vmsa::with_small_sections(c.real, long_range_bits);
  if (c.geometry == Geometry::full)
    return vmsa::with_small_sections(c.real, by_blocks(c) ? c.real.bits_per_level : 1);
  return vmsa::scaled_for_hotplug(c.real, by_blocks(c) ? scaled_block_bits : 0);
}

Arrangement arrange(const HotRemoveConfig& c) {
  Arrangement a{.regime = model_regime(c)};
  const Regime& r = a.regime;
  if (has_scaled_tables(c)) {
    a.map = scaled_map(c, r, a.vmalloc);
    place(a, spots(c, r));
  } else {
    a.map = {vmsa::layout(c.real, c.layout), PhysAddr(memory_start)};
    a.vmalloc = (a.map.layout.vmalloc_end - 1).align_down(r.page_size());
    place(a, spots_in_full_tables(c, r));
  }
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
  setup.any_page = c.cpus == 2;  // with more the orders of reuse alone would be most of the search
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
    return !serves_neighbour(c, a, t) &&
           std::any_of(ranges.begin(), ranges.end(), [&](const auto& r) { return part.overlaps(r); });
  }));
}

}  // namespace shootdown::scenario
