// SPDX-License-Identifier: MIT
#include "machine/model/system.hpp"

#include <algorithm>

#include "machine/model/stepper.hpp"

namespace shootdown::model {
namespace {

/// Drops what this judge does not look for.
std::optional<Violation> judged(std::optional<Violation>&& v, Judge judge, const Operation& op) {
  const bool counts = judge == Judge::everything || (judge == Judge::hardware_update && v && v->hardware) ||
                      (judge == Judge::reuse && is<op::TakeReleased>(op));
  return counts ? std::move(v) : std::nullopt;
}

/// Performs one operation after another. Events are kept only when somebody wants an explanation.
class Actor {
 public:
  Actor(const Setup& setup, World& world, Judge judge, bool explain)
      : setup_(setup), world_(world), judge_(judge), explain_(explain) {}

  template <typename Describe, typename Act>
  void act(const Operation& op, Describe&& describe, Act&& perform) {
    if (!explain_) {
      Stepper stepper(setup_, world_);
      violates |= judged(perform(stepper), judge_, op).has_value();
      return;
    }
    Event event = describe();
    Stepper stepper(setup_, world_, &event);
    event.violation = judged(perform(stepper), judge_, op);
    violates |= event.violation.has_value();
    events.push_back(std::move(event));
  }

  Events events;
  bool violates = false;

 private:
  const Setup& setup_;
  World& world_;
  Judge judge_;
  bool explain_;
};

}  // namespace

System::System(Setup setup) : setup_(std::move(setup)) {
  const auto count = static_cast<unsigned>(setup_.tasks.size());
  procedures_.reserve(count);
  for (unsigned cpu = 0; cpu < count; ++cpu)
    procedures_.emplace_back(setup_.tasks[cpu],
                             Procedure::Setting{cpu, count, setup_.features, setup_.root,
                                                cpu == 0 && setup_.mutation ? &*setup_.mutation : nullptr});
  world_ = setup_.world;
  for (const Part part : parts) {
    encode(part, world_, scratch_);
    at_[static_cast<std::size_t>(part)] = interners_[static_cast<std::size_t>(part)].intern(scratch_);
  }
  at_env_ = start_ = intern_env();
}

std::array<std::uint32_t, parts.size()> System::parts_of(Env env) const {
  const auto words = envs_[env];
  auto low = [](std::uint64_t w) { return static_cast<std::uint32_t>(w); };
  auto high = [](std::uint64_t w) { return static_cast<std::uint32_t>(w >> 32); };
  return {low(words[0]), high(words[0]), low(words[1]), high(words[1])};
}

Env System::intern_env() {
  const std::array<std::uint64_t, 2> words{at_[0] | std::uint64_t{at_[1]} << 32,
                                           at_[2] | std::uint64_t{at_[3]} << 32};
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
  for (unsigned cpu = 0; cpu < cpu_count(); ++cpu) s.locals[cpu] = procedures_[cpu].start();
  return s;
}

template <typename Sink>
void System::each_env_step(Env env, Judge judge, bool explain, Sink&& sink) {
  auto step = [&](auto&& describe, auto&& perform) {
    world(env);
    Actor actor(setup_, world_, judge, explain);
    actor.act(Operation{}, describe, perform);
    sink(Step{keep(), 0, actor.violates}, std::move(actor.events));
  };
  for (unsigned cpu = 0; cpu < cpu_count(); ++cpu) {
    world(env);
    for (unsigned index : Stepper(setup_, world_).drainable(cpu))
      step([&] { return Event{.kind = Event::Kind::drain, .cpu = cpu}; },
           [&](Stepper& s) { return s.drain(cpu, index); });
  }
  world(env);
  for (const Stepper::FlagUpdate& u : Stepper(setup_, world_).flag_updates())
    step([&] { return Event{.kind = Event::Kind::hardware_access_flag, .cpu = u.holders.lowest()}; },
         [&](Stepper& s) { return s.update_flag(u); });
}

template <typename Sink>
void System::each_cpu_step(Env env, unsigned cpu, Local local, Judge judge, bool explain, Sink&& sink) {
  Procedure& procedure = procedures_[cpu];
  if (is_done(cpu, local)) return;
  world(env);
  const Operation first = procedure.pending(local);
  for (std::uint64_t answer : Stepper(setup_, world_).answers(cpu, first)) {
    world(env);
    Actor actor(setup_, world_, judge, explain);
    Local to = local;
    bool asks = true;
    auto perform = [&](const Operation& op, std::uint64_t a) {
      actor.act(
          op, [&] { return Event{.cpu = cpu, .op = op, .site = procedure.site(to), .answer = a}; },
          [&](Stepper& s) { return s.perform(cpu, op, a); });
      to = procedure.step(to, a);
      asks &= only_asks(op);
    };
    perform(first, answer);
    while (setup_.join_private_steps && !actor.violates) {
      const Operation op = procedure.pending(to);
      const Stepper stepper(setup_, world_);
      if (!stepper.is_private(cpu, op)) break;
      perform(op, stepper.answers(cpu, op).front());
    }
    sink(Step{asks ? env : keep(), to, actor.violates}, std::move(actor.events));
  }
}

void System::env_steps(Env env, Judge judge, Steps& out) {
  each_env_step(env, judge, false, [&](Step s, Events&&) { out.push_back(s); });
}

void System::cpu_steps(Env env, unsigned cpu, Local local, Judge judge, Steps& out) {
  each_cpu_step(env, cpu, local, judge, false, [&](Step s, Events&&) { out.push_back(s); });
}

Events System::explain_env_step(Env env, Judge judge, std::size_t choice) {
  Events chosen;
  each_env_step(env, judge, true, [&, i = std::size_t{0}](Step, Events&& e) mutable {
    if (i++ == choice) chosen = std::move(e);
  });
  return chosen;
}

Events System::explain_cpu_step(Env env, unsigned cpu, Local local, Judge judge, std::size_t choice) {
  Events chosen;
  each_cpu_step(env, cpu, local, judge, true, [&, i = std::size_t{0}](Step, Events&& e) mutable {
    if (i++ == choice) chosen = std::move(e);
  });
  return chosen;
}

std::optional<Violation> System::judge_end(const State& state) {
  for (unsigned cpu = 0; cpu < cpu_count(); ++cpu) {
    if (is_done(cpu, state.locals[cpu])) continue;
    const Operation& op = procedures_[cpu].pending(state.locals[cpu]);
    if (is<op::TakeReleased>(op)) continue;  // nothing was released: there is nothing to reuse
    Violation v;
    v.finding.harm = shadow::Harm::deadlock;
    v.finding.holders = shadow::CpuSet::one(cpu);
    v.cpu = cpu;
    return v;
  }
  if (!setup_.final_check) return std::nullopt;
  const auto finding = setup_.final_check(world(state.env));
  return finding ? std::optional(Violation{*finding, 0}) : std::nullopt;
}

std::size_t System::bytes() const {
  std::size_t n = envs_.bytes();
  for (const Interner& part : interners_) n += part.bytes();
  for (const Procedure& p : procedures_) n += p.bytes();
  return n;
}

}  // namespace shootdown::model
