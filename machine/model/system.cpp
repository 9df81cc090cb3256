// SPDX-License-Identifier: MIT
#include "machine/model/system.hpp"

#include "machine/model/codec.hpp"
#include "machine/model/stepper.hpp"

namespace shootdown::model {
namespace {

/// Drops what this judge does not look for.
std::optional<Violation> judged(std::optional<Violation> v, Judge judge, const Op& op) {
  const bool counts = judge == Judge::everything || (judge == Judge::hardware_update && v && v->hardware) ||
                      (judge == Judge::reuse && op.kind == OpKind::take_released);
  return counts ? v : std::nullopt;
}

/// Performs one operation after another, keeping the events and the first violation.
class Actor {
 public:
  Actor(const Setup& setup, World& world, bool explain) : setup_(setup), world_(world), explain_(explain) {}

  template <typename Act>
  void act(Event event, Judge judge, Act&& perform) {
    Stepper stepper(setup_, world_, explain_ ? &event : nullptr);
    auto v = judged(perform(stepper), judge, event.op);
    if (explain_) {
      event.violation = v;
      events.push_back(std::move(event));
    }
    if (v && !violation) violation = std::move(v);
  }

  Events events;
  std::optional<Violation> violation;

 private:
  const Setup& setup_;
  World& world_;
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
}

Env System::encode(const World& world) {
  const EncodedWorld e = encode_world(world);
  const std::array<std::uint64_t, 2> parts{
      memories_.intern(e.memory) | std::uint64_t{shadows_.intern(e.shadow)} << 32,
      queues_.intern(e.queues) | std::uint64_t{owners_.intern(e.owners)} << 32};
  return envs_.intern(parts);
}

const World& System::world(Env env) {
  if (env != decoded_) {
    const auto parts = envs_[env];
    auto low = [](std::uint64_t w) { return static_cast<std::uint32_t>(w); };
    auto high = [](std::uint64_t w) { return static_cast<std::uint32_t>(w >> 32); };
    world_ = decode_world(
        {memories_[low(parts[0])], shadows_[high(parts[0])], queues_[low(parts[1])], owners_[high(parts[1])]},
        setup_.world);
    decoded_ = env;
  }
  return world_;
}

System::State System::initial() {
  State s{encode(setup_.world), {}};
  for (unsigned cpu = 0; cpu < cpu_count(); ++cpu) s.locals[cpu] = procedures_[cpu].start();
  return s;
}

template <typename Sink>
void System::each_env_step(Env env, Judge judge, bool explain, Sink&& sink) {
  const World before = world(env);
  auto step = [&](Event event, auto&& perform) {
    World next = before;
    Actor actor(setup_, next, explain);
    actor.act(std::move(event), judge, perform);
    sink(Step{encode(next), 0, actor.violation.has_value()}, std::move(actor.events));
  };
  World probe = before;
  const Stepper stepper(setup_, probe);
  for (unsigned cpu = 0; cpu < cpu_count(); ++cpu)
    for (unsigned index : stepper.drainable(cpu))
      step({.kind = Event::Kind::drain, .cpu = cpu}, [&](Stepper& s) { return s.drain(cpu, index); });
  for (const Stepper::FlagUpdate& u : stepper.flag_updates())
    step({.kind = Event::Kind::hardware_access_flag, .cpu = u.holders.lowest()},
         [&](Stepper& s) { return s.update_flag(u); });
}

template <typename Sink>
void System::each_cpu_step(Env env, unsigned cpu, Local local, Judge judge, bool explain, Sink&& sink) {
  Procedure& procedure = procedures_[cpu];
  if (is_done(cpu, local)) return;
  const World before = world(env);
  World probe = before;
  const Op first = procedure.pending(local);
  for (std::uint64_t answer : Stepper(setup_, probe).answers(cpu, first)) {
    World next = before;
    Actor actor(setup_, next, explain);
    Local to = local;
    auto perform = [&](const Op& op, std::uint64_t a) {
      actor.act({.cpu = cpu, .op = op, .site = explain ? procedure.site(to) : Site{}, .answer = a}, judge,
                [&](Stepper& s) { return s.perform(cpu, op, a); });
      to = procedure.step(to, a);
    };
    perform(first, answer);
    while (setup_.join_private_steps && !actor.violation) {
      const Op op = procedure.pending(to);
      const Stepper stepper(setup_, next);
      if (!stepper.is_private(cpu, op)) break;
      perform(op, stepper.answers(cpu, op).front());
    }
    sink(Step{encode(next), to, actor.violation.has_value()}, std::move(actor.events));
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
    const Op& op = procedures_[cpu].pending(state.locals[cpu]);
    if (op.kind == OpKind::take_released) continue;  // nothing was released: there is nothing to reuse
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
  std::size_t n = memories_.bytes() + shadows_.bytes() + queues_.bytes() + owners_.bytes() + envs_.bytes();
  for (const Procedure& p : procedures_) n += p.bytes();
  return n;
}

}  // namespace shootdown::model
