// SPDX-License-Identifier: MIT
#include "explore/cycles.hpp"

#include <algorithm>

namespace shootdown::explore {
namespace {

using Index = Graph::Index;
using States = std::vector<Index>;

/// Strongly connected components of a part of the graph, early reads left out (Tarjan, without recursion).
class Components {
 public:
  Components(const Graph& graph, Index state_count)
      : graph_(graph),
        part_(state_count, 0),
        number_(state_count, 0),
        low_(state_count, 0),
        on_(state_count, false) {}

  /// Those with a step inside, each ascending.
  std::vector<States> of(const States& states) {
    ++round_;
    for (const Index s : states) part_[s] = round_, number_[s] = 0;
    next_ = 0;
    found_.clear();
    for (const Index s : states)
      if (number_[s] == 0) visit(s);
    return std::move(found_);
  }

 private:
  struct Frame {
    Index state;
    unsigned edge;
  };

  void enter(Index s) {
    number_[s] = low_[s] = ++next_;
    stack_.push_back(s);
    on_[s] = true;
    frames_.push_back({s, 0});
  }
  void visit(Index root) {
    enter(root);
    while (!frames_.empty()) {
      auto& [s, i] = frames_.back();
      if (i < graph_.out_degree(s)) {
        const Graph::Edge e = graph_.edge(s, i++);
        if (e.early || part_[e.to] != round_) continue;
        if (number_[e.to] == 0)
          enter(e.to);
        else if (on_[e.to])
          low_[s] = std::min(low_[s], number_[e.to]);
        continue;
      }
      const Index done = s;
      frames_.pop_back();
      if (!frames_.empty()) low_[frames_.back().state] = std::min(low_[frames_.back().state], low_[done]);
      if (low_[done] == number_[done]) leave(done);
    }
  }
  void leave(Index root) {
    States all;
    Index s;
    do {
      s = stack_.back();
      stack_.pop_back();
      on_[s] = false;
      all.push_back(s);
    } while (s != root);
    bool loops = all.size() > 1;
    if (!loops) graph_.each_edge(root, [&](const Graph::Edge& e) { loops |= e.to == root && !e.early; });
    if (!loops) return;
    std::sort(all.begin(), all.end());
    found_.push_back(std::move(all));
  }

  const Graph& graph_;
  std::vector<std::uint32_t> part_;
  std::vector<std::uint32_t> number_, low_;
  std::vector<bool> on_;
  std::uint32_t round_ = 0, next_ = 0;
  States stack_;
  std::vector<Frame> frames_;
  std::vector<States> found_;
};

/// States that are left when those without a way into them, or out, are taken away again and again: all cycles are there.
States on_cycles(const Graph& graph, Index state_count) {
  std::vector<std::uint32_t> ways_in(state_count, 0);
  for (Index s = 0; s < state_count; ++s) graph.each_edge(s, [&](const Graph::Edge& e) { ++ways_in[e.to]; });
  States open;
  for (Index s = 0; s < state_count; ++s)
    if (ways_in[s] == 0) open.push_back(s);
  while (!open.empty()) {
    const Index s = open.back();
    open.pop_back();
    graph.each_edge(s, [&](const Graph::Edge& e) {
      if (--ways_in[e.to] == 0) open.push_back(e.to);
    });
  }
  States left;
  for (Index s = 0; s < state_count; ++s)
    if (ways_in[s] != 0) left.push_back(s);
  return left;
}

}  // namespace

bool has_cycle(const Graph& graph, Index state_count) { return !on_cycles(graph, state_count).empty(); }

std::optional<Endless> find_endless(const Graph& graph, Index state_count,
                                    const std::function<bool(Index, unsigned)>& served) {
  std::optional<Endless> first;
  std::vector<States> open{on_cycles(graph, state_count)};
  if (open.front().empty()) return first;
  Components components(graph, state_count);
  while (!open.empty()) {
    const States part = std::move(open.back());
    open.pop_back();
    for (States& states : components.of(part)) {
      Endless c;
      std::uint32_t always = ~0u;
      for (const Index s : states) {
        std::uint32_t here = 0;
        graph.each_edge(s, [&](const Graph::Edge& e) {
          here |= e.by.bit();
          if (!e.early && std::ranges::binary_search(states, e.to)) c.move |= e.by.bit();
        });
        always &= here;
        c.could |= here;
      }
      constexpr std::uint32_t patient = 1u << Mover::flag_update;
      if ((always & ~c.move & ~patient) != 0) continue;  // and so in every part of it
      // Where somebody would be served, and never is, nobody stays: what is left may be a cycle of its own.
      States rest;
      for (const Index s : states) {
        bool ends = false;
        graph.each_edge(s, [&](const Graph::Edge& e) {
          ends |= e.by.is_agent() && (c.move & e.by.bit()) == 0 && served(s, e.by.number);
        });
        if (!ends) rest.push_back(s);
      }
      if (rest.size() < states.size()) {
        open.push_back(std::move(rest));
        continue;
      }
      c.states = std::move(states);
      if (!first || c.states.front() < first->states.front()) first = std::move(c);
    }
  }
  return first;
}

}  // namespace shootdown::explore
