// SPDX-License-Identifier: MIT
#include "machine/model/system.hpp"

#include <algorithm>
#include <stdexcept>

#include "machine/model/stepper.hpp"

namespace shootdown::model {
namespace {

/// Drops what this judge does not look for.
std::optional<Violation> judged(std::optional<Violation>&& v, Judge judge, const Operation& op) {
  const bool counts = judge == Judge::everything || (judge == Judge::hardware_update && v && v->hardware) ||
                      (judge == Judge::reuse && is<op::TakeReleased>(op));
  return counts ? std::move(v) : std::nullopt;
}

/// Does one thing to the world. An event is kept only when somebody wants an explanation.
class Actor {
 public:
  Actor(const Setup& setup, World& world, const Lookahead& ahead, Judge judge, bool explain)
      : setup_(setup), world_(world), ahead_(ahead), judge_(judge), explain_(explain) {}

  template <typename Describe, typename Act>
  void act(const Operation& op, Describe&& describe, Act&& perform) {
    if (!explain_) {
      Stepper stepper(setup_, world_, nullptr, &ahead_);
      violates = judged(perform(stepper), judge_, op).has_value();
      early = stepper.has_read_early();
      return;
    }
    Event event = describe();
    Stepper stepper(setup_, world_, &event, &ahead_);
    event.violation = judged(perform(stepper), judge_, op);
    violates = event.violation.has_value();
    early = stepper.has_read_early();
    events.push_back(std::move(event));
  }

  Events events;
  bool violates = false;
  bool early = false;

 private:
  const Setup& setup_;
  World& world_;
  const Lookahead& ahead_;
  Judge judge_;
  bool explain_;
};

/// Operations behind which no read of the CPU is older than they are, whatever they are answered.
bool orders_reads(const Operation& op) {
  return std::visit(
      Overloaded{
          [](const op::Dsb& o) { return o.kind == machine::Dsb::ish || o.kind == machine::Dsb::ishst; },
          [](const op::Dmb& o) { return o.kind != machine::Dmb::ishst; },
          [](const op::FetchUpdate& o) { return acquires(o.order); },
          [](const op::TakeLock&) { return true; }, [](const op::TakeLockShared&) { return true; },
          [](const op::TakeReleased&) { return true; }, [](const op::BeginGrace&) { return true; },
          [](const op::AwaitGrace&) { return true; }, [](const auto&) { return false; }},
      op);
}

}  // namespace

System::System(Setup setup)
    : setup_(std::move(setup)),
      wants_early_reads_(setup_.early_reads),
      ahead_(static_cast<unsigned>(setup_.tasks.size() + setup_.handlers.size())) {
  const auto cpus = static_cast<unsigned>(setup_.tasks.size());
  if (cpus + setup_.handlers.size() > max_agents) throw std::length_error("too many agents");
  agents_.reserve(max_agents);
  auto add = [&](unsigned cpu, Level level, const Task& task) {
    const bool mutated = cpu == 0 && level == Level::task && setup_.mutation;
    agents_.push_back(
        {cpu, level,
         Procedure(task, {cpu, cpus, setup_.features, setup_.root, mutated ? &*setup_.mutation : nullptr})});
  };
  for (unsigned cpu = 0; cpu < cpus; ++cpu) add(cpu, Level::task, setup_.tasks[cpu]);
  for (const Handler& h : setup_.handlers) add(h.cpu, h.level, h.task);
  setup_.issued.resize(cpus);
  setup_.early_reads = false;
  for (unsigned agent = 0; agent < agent_count(); ++agent) rehearse(agent);
  begin_again();
}

/// One agent alone, each operation in its first way: most of what it does is known before the search.
void System::rehearse(unsigned agent) {
  const unsigned cpu = cpu_of(agent);
  World world = setup_.world;
  Stepper stepper(setup_, world);
  // A copy: what the search learns of the procedure itself, it learns with its logs (keep_logs).
  Procedure procedure = agents_[agent].procedure;
  Local at = procedure.start();
  for (unsigned steps = 0; steps < 10'000 && !is<op::Done>(procedure.pending(at)); ++steps) {
    const Operation op = procedure.pending(at);
    learn(cpu, op);
    const auto ways = stepper.outcomes(cpu, op);
    if (ways.empty() && world.cpus[cpu].buffer.empty()) return;
    if (ways.empty()) {
      stepper.drain(cpu, stepper.drainable(cpu).front());
      continue;
    }
    if (stepper.perform(cpu, op, ways.front())) return;
    at = procedure.step(at, ways.front().answer);
  }
}

void System::begin_again() {
  if (begun_ && !outdated_) {
    setup_.early_reads = wants_early_reads_;
    ahead_.settle();
  }
  begun_ = true;
  outdated_ = false;
  interners_ = {};
  envs_ = {};
  world_ = setup_.world;
  Stepper(setup_, world_);  // tells the shadow what it has to know
  for (unsigned agent = 0; agent < agent_count(); ++agent) watch(agent, agents_[agent].procedure.start());
  for (const Part part : parts) {
    encode(part, world_, scratch_);
    at_[static_cast<std::size_t>(part)] = interners_[static_cast<std::size_t>(part)].intern(scratch_);
  }
  at_env_ = start_ = intern_env();
  world_.memory.mark_unchanged();
  world_.shadow.mark_unchanged();
}

System::PartIds System::parts_of(Env env) const {
  const auto words = envs_[env];
  PartIds ids;
  for (std::size_t i = 0; i < ids.size(); ++i)
    ids[i] = static_cast<std::uint32_t>(words[i / 2] >> i % 2 * 32);
  return ids;
}

Env System::intern_env() {
  std::array<std::uint64_t, (parts.size() + 1) / 2> words{};
  for (std::size_t i = 0; i < at_.size(); ++i) words[i / 2] |= std::uint64_t{at_[i]} << i % 2 * 32;
  return envs_.intern(words);
}

Env System::keep() {
  bool elsewhere = false;
  for (const Part part : parts) {
    const auto i = static_cast<std::size_t>(part);
    // Memory and shadow know when they change; the rest is small enough to be compared.
    if (part == Part::memory && !world_.memory.changed()) continue;
    if (part == Part::shadow && !world_.shadow.changed()) continue;
    encode(part, world_, scratch_);
    if (std::ranges::equal(interners_[i][at_[i]], scratch_)) continue;
    at_[i] = interners_[i].intern(scratch_);
    elsewhere = true;
  }
  world_.memory.mark_unchanged();
  world_.shadow.mark_unchanged();
  if (elsewhere) at_env_ = intern_env();
  return at_env_;
}

const World& System::world(Env env) {
  if (env == at_env_) return world_;
  const auto wanted = parts_of(env);
  for (const Part part : parts) {
    const auto i = static_cast<std::size_t>(part);
    if (at_[i] != wanted[i]) decode(part, interners_[i][wanted[i]], world_);
  }
  at_ = wanted;
  at_env_ = env;
  world_.memory.mark_unchanged();
  world_.shadow.mark_unchanged();
  return world_;
}

System::State System::initial() {
  State s{start_, {}};
  for (unsigned a = 0; a < agent_count(); ++a) s.locals[a] = agents_[a].procedure.start();
  return s;
}

void System::learn(unsigned cpu, const Operation& op) {
  met_[op.index()] = true;
  const auto* tlbi = std::get_if<op::Tlbi>(&op);
  if (tlbi == nullptr) return;
  auto& known = setup_.issued[cpu];
  if (std::ranges::find(known, tlbi->tlbi) != known.end()) return;
  known.push_back(tlbi->tlbi);
  outdated_ = true;
}

/// The agent has come to another state: of what its CPU might have read early, forget what it will not.
void System::watch(unsigned agent, Local to) {
  const auto& [cpu, level, procedure] = agents_[agent];
  if (has_handlers(cpu)) return;
  Cpu& c = world_.cpus[cpu];
  c.over = is_done(agent, to);
  c.watched = setup_.early_reads ? ahead_.watched(agent, to) : Lookahead::everything;
  std::erase_if(c.early, [&](const Early& e) { return c.over || !ahead_.watches(c.watched, e.slot); });
}

bool System::has_handlers(unsigned cpu) const {
  return std::ranges::any_of(setup_.handlers, [&](const Handler& h) { return h.cpu == cpu; });
}

template <typename Sink>
void System::each_env_step(Env env, Judge judge, bool explain, Sink&& sink) {
  auto step = [&](Local what, auto&& describe, auto&& perform) {
    world(env);
    Actor actor(setup_, world_, ahead_, judge, explain);
    actor.act(Operation{}, describe, perform);
    sink(Step{keep(), what, false, actor.violates}, std::move(actor.events));
  };
  for (unsigned cpu = 0; cpu < cpu_count(); ++cpu) {
    world(env);
    for (unsigned index : Stepper(setup_, world_).drainable(cpu))
      step(
          cpu, [&] { return Event{.kind = Event::Kind::drain, .cpu = cpu}; },
          [&](Stepper& s) { return s.drain(cpu, index); });
  }
  world(env);
  for (const Stepper::FlagUpdate& u : Stepper(setup_, world_).flag_updates()) {
    hardware_set_flags_ = true;
    step(
        flag_update,
        [&] { return Event{.kind = Event::Kind::hardware_access_flag, .cpu = u.walkers.lowest()}; },
        [&](Stepper& s) { return s.update_flag(u); });
  }
  world(env);
  for (unsigned index : Stepper(setup_, world_).ended_graces())
    step(
        grace_end, [&] { return Event{.kind = Event::Kind::callback, .cpu = world_.callbacks[index].cpu}; },
        [&](Stepper& s) { return s.run_callback(index); });
}

template <typename Sink>
void System::each_agent_step(Env env, unsigned agent, Local local, Judge judge, bool explain, Sink&& sink) {
  auto& [cpu, level, procedure] = agents_[agent];
  world(env);
  const std::uint8_t active = world_.cpus[cpu].active;
  const auto own = static_cast<std::uint8_t>(1u << static_cast<unsigned>(level));
  if (active >= 2 * own) return;  // something of a higher level runs on this CPU
  auto interrupt = [&](Event::Kind kind, auto&& act, Local to) {
    Actor actor(setup_, world_, ahead_, judge, explain);
    actor.act(
        Operation{}, [&, c = cpu, l = level] { return Event{.kind = kind, .cpu = c, .level = l}; },
        [&](Stepper& s) { return act(s), std::nullopt; });
    sink(Step{keep(), to, false, false}, std::move(actor.events));
  };
  if (level != Level::task && (active & own) == 0) {
    if (Stepper(setup_, world_).may_interrupt(cpu, level))
      interrupt(
          Event::Kind::interrupt, [&, c = cpu, l = level](Stepper& s) { s.enter_interrupt(c, l); }, local);
    return;
  }
  if (is_done(agent, local)) {
    if (level != Level::task)
      interrupt(
          Event::Kind::interrupt_return, [&, c = cpu, l = level](Stepper& s) { s.leave_interrupt(c, l); },
          procedure.start());
    return;
  }
  const Operation op = procedure.pending(local);
  learn(cpu, op);
  looked_at_.clear();
  const auto ways = Stepper(setup_, world_, nullptr, &ahead_, &looked_at_).outcomes(cpu, op);
  for (const PhysAddr slot : looked_at_) ahead_.reads(agent, local, slot);
  if (orders_reads(op)) ahead_.orders(agent, local);
  for (const Outcome way : ways) {
    world(env);
    Actor actor(setup_, world_, ahead_, judge, explain);
    actor.act(
        op,
        [&, c = cpu, l = level] {
          return Event{.cpu = c,
                       .level = l,
                       .op = op,
                       .site = agents_[agent].procedure.site(local),
                       .answer = way.answer};
        },
        [&, c = cpu](Stepper& s) { return s.perform(c, op, way); });
    const Local to = procedure.step(local, way.answer);
    ahead_.steps(agent, local, to);
    watch(agent, to);
    sink(Step{keep(), to, actor.early, actor.violates}, std::move(actor.events));
  }
}

void System::env_steps(Env env, Judge judge, Steps& out) {
  each_env_step(env, judge, false, [&](Step s, Events&&) { out.push_back(s); });
}

void System::agent_steps(Env env, unsigned agent, Local local, Judge judge, Steps& out) {
  each_agent_step(env, agent, local, judge, false, [&](Step s, Events&&) { out.push_back(s); });
}

Events System::explain_env_step(Env env, Judge judge, std::size_t choice) {
  Events chosen;
  each_env_step(env, judge, true, [&, i = std::size_t{0}](Step, Events&& e) mutable {
    if (i++ == choice) chosen = std::move(e);
  });
  return chosen;
}

Events System::explain_agent_step(Env env, unsigned agent, Local local, Judge judge, std::size_t choice) {
  Events chosen;
  each_agent_step(env, agent, local, judge, true, [&, i = std::size_t{0}](Step, Events&& e) mutable {
    if (i++ == choice) chosen = std::move(e);
  });
  return chosen;
}

std::optional<Violation> System::judge_end(const State& state) {
  for (unsigned agent = 0; agent < agent_count(); ++agent) {
    const auto& [cpu, level, procedure] = agents_[agent];
    if (level != Level::task || is_done(agent, state.locals[agent])) continue;
    const Operation& op = procedure.pending(state.locals[agent]);
    if (is<op::TakeReleased>(op)) continue;  // nothing was released: there is nothing to reuse
    return plain(shadow::Harm::deadlock, cpu);
  }
  const World& w = world(state.env);
  for (const LockState& l : w.locks) {
    if (l.exclusive == 0 && l.shared == 0) continue;
    const unsigned holder = l.exclusive != 0 ? l.exclusive - 1u : shadow::CpuSet{l.shared}.lowest();
    return plain(shadow::Harm::warning, holder, {}, "ends with a lock held");
  }
  if (!setup_.final_check) return std::nullopt;
  const auto finding = setup_.final_check(w);
  return finding ? std::optional(Violation{*finding, 0}) : std::nullopt;
}

bool System::is_served(const State& state, unsigned agent) {
  const auto& [cpu, level, procedure] = agents_[agent];
  if (level != Level::task && (world(state.env).cpus[cpu].active >> static_cast<unsigned>(level) & 1) == 0)
    return true;
  const Operation& op = procedure.pending(state.locals[agent]);
  return is<op::TakeLock>(op) || is<op::TakeLockShared>(op);
}

Violation System::judge_endless(const State& state, std::uint32_t move, std::uint32_t could) const {
  unsigned mover = 0;
  for (unsigned agent = agent_count(); agent-- > 0;) {
    const auto& [cpu, level, procedure] = agents_[agent];
    if ((move >> agent & 1) != 0) mover = cpu;
    if ((could >> agent & 1) != 0) continue;
    const Operation& op = procedure.pending(state.locals[agent]);
    if (is<op::TakeLock>(op) || is<op::TakeLockShared>(op) || is<op::AwaitWord>(op) || is<op::AwaitGrace>(op))
      return plain(shadow::Harm::deadlock, cpu);
  }
  return plain(shadow::Harm::livelock, mover);
}

shadow::HarmSet System::raisable() const {
  using shadow::Harm;
  shadow::HarmSet all;
  auto met = [&](auto... kinds) { return (met_[kinds.index()] || ...); };
  auto can = [&](Harm h, bool raised) {
    if (raised) all.add(h);
  };
  const bool stores = met(kind_of<op::WriteOnce>, kind_of<op::Cmpxchg>, kind_of<op::FetchUpdate>);
  const bool gives = met(kind_of<op::FreePages>, kind_of<op::ReleaseRange>, kind_of<op::FreeAfterGrace>);
  const bool accesses = met(kind_of<op::Load>, kind_of<op::Store>, kind_of<op::Fetch>);
  const bool waits = met(kind_of<op::TakeLock>, kind_of<op::TakeLockShared>, kind_of<op::AwaitWord>,
                         kind_of<op::AwaitGrace>);
  can(Harm::stale_page, stores || gives || met(kind_of<op::WriteTtbr0>));
  can(Harm::stale_table, stores || gives || met(kind_of<op::WriteTtbr0>));
  can(Harm::walker_table, (stores || met(kind_of<op::ReadOnce>)) && gives);
  can(Harm::break_before_make, stores);
  can(Harm::stale_permission, met(kind_of<op::Rely>));
  can(Harm::lost_update, hardware_set_flags_ || met(kind_of<op::Rely>));
  can(Harm::unexpected_fault, accesses);
  can(Harm::livelock, accesses || stores || met(kind_of<op::ReadOnce>));
  can(Harm::deadlock, waits);
  can(Harm::leak, setup_.final_check != nullptr);
  can(Harm::warning, true);
  return all;
}

void System::keep_logs() {
  for (Agent& a : agents_) a.procedure.keep_logs();
}

std::string System::audit() {
  for (Agent& a : agents_)
    if (auto found = a.procedure.audit(); !found.empty()) return found;
  return {};
}

std::size_t System::bytes() const {
  std::size_t n = envs_.bytes();
  for (const Interner& part : interners_) n += part.bytes();
  for (const Agent& a : agents_) n += a.procedure.bytes();
  return n;
}

}  // namespace shootdown::model
