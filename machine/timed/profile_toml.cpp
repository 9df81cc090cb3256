// SPDX-License-Identifier: MIT
// The strict TOML reader of profiles: unknown keys, wrong units and values out of range are refused.
#include "machine/timed/profile_toml.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>

// toml++ 3.3 asserts what its input may break (a key that begins with a dot), and its shared library assumes it: so it
// is compiled in here, and an assertion of its becomes an exception of ours.
namespace {
struct TomlAssertion {};
[[noreturn]] void toml_assertion_failed() { throw TomlAssertion(); }
}  // namespace
#undef TOML_HEADER_ONLY
#undef TOML_SHARED_LIB
#define TOML_HEADER_ONLY  1
#define TOML_ASSERT(expr) ((expr) ? void() : toml_assertion_failed())
#include <toml++/toml.h>

namespace shootdown::timed {

namespace {

using Failure = tl::unexpected<ProfileError>;

/// Positions in one text, for errors.
struct Context {
  std::string file;

  Failure fail(const toml::node& at, std::string message) const {
    return fail(at.source().begin.line, std::move(message));
  }
  Failure fail(unsigned line, std::string message) const {
    return Failure(ProfileError{file, line, std::move(message)});
  }
};
using Result = tl::expected<void, ProfileError>;

std::string expected_range(const ParamInfo& p) {
  return fmt::format("expected {} to {}", readable(p, p.low), readable(p, p.high));
}

/// What one unit of the figure is worth: nanoseconds, or 1.
tl::expected<double, ProfileError> unit_scale(const Context& in, const toml::table& figure,
                                              const ParamInfo& p) {
  const toml::node* unit = figure.get("unit");
  if (p.dimension != Dimension::time) {
    const std::string_view wanted = p.dimension == Dimension::count ? "count" : "ratio";
    if (unit == nullptr || unit->value_or(std::string_view{}) == wanted) return 1.0;
    return in.fail(*unit,
                   fmt::format("{}.{} is a plain number: unit = \"{}\" or none", p.group, p.key, wanted));
  }
  if (unit == nullptr)
    return in.fail(figure, fmt::format("{}.{} needs a unit: ns, us, ms or s", p.group, p.key));
  for (const TimeUnit& u : time_units)
    if (unit->value_or(std::string_view{}) == u.name) return u.nanoseconds;
  return in.fail(*unit, fmt::format("{}.{} is a time: the unit must be ns, us, ms or s", p.group, p.key));
}

tl::expected<double, ProfileError> number(const Context& in, const toml::node& node, const ParamInfo& p,
                                          double scale) {
  const auto value = node.value<double>();
  if (!node.is_number() || !value || !std::isfinite(*value))
    return in.fail(node, fmt::format("{}.{} must be a number; {}", p.group, p.key, expected_range(p)));
  const double scaled = *value * scale;
  if (scaled < p.low || scaled > p.high)
    return in.fail(node, fmt::format("{}.{} = {} is out of range; {}", p.group, p.key, readable(p, scaled),
                                     expected_range(p)));
  return scaled;
}

Result read_range(const Context& in, const toml::node& node, const ParamInfo& p, double scale,
                  Figure& figure) {
  const toml::array* range = node.as_array();
  if (range == nullptr || range->size() != 2)
    return in.fail(node, fmt::format("{}.{}: range must be [low, high]", p.group, p.key));
  const auto low = number(in, *range->get(0), p, scale);
  if (!low) return Failure(low.error());
  const auto high = number(in, *range->get(1), p, scale);
  if (!high) return Failure(high.error());
  figure.low = *low;
  figure.high = *high;
  if (figure.low <= figure.value && figure.value <= figure.high) return {};
  return in.fail(node,
                 fmt::format("{}.{}: the value {} is not inside its own range {} to {}", p.group, p.key,
                             readable(p, figure.value), readable(p, figure.low), readable(p, figure.high)));
}

Result read_status(const Context& in, const toml::node& node, Figure& figure) {
  const auto text = node.value_or(std::string_view{});
  for (std::size_t i = 0; i < status_names.size(); ++i)
    if (text == status_names[i]) return figure.status = static_cast<Status>(i), Result{};
  return in.fail(node, "status must be published, derived, guess or user");
}

/// One figure. A whole profile must say everything; an override may give the value alone, which is then exact.
Result read_figure(const Context& in, const toml::node& node, const ParamInfo& p, bool whole, Figure& out) {
  const toml::table* table = node.as_table();
  if (table == nullptr)
    return in.fail(
        node, fmt::format("{}.{} must be a table such as {{ value = 1, unit = \"ns\" }}", p.group, p.key));
  for (const auto& [key, value] : *table)
    if (key != "value" && key != "unit" && key != "range" && key != "status" && key != "source")
      return in.fail(value,
                     fmt::format("unknown key '{}' in {}.{}; expected value, unit, range, status, source",
                                 std::string_view(key.str()), p.group, p.key));
  for (const char* key : {"value", "range", "status", "source"})
    if (!table->contains(key) && (whole || std::string_view(key) == "value"))
      return in.fail(*table, fmt::format("{}.{} lacks '{}'", p.group, p.key, key));
  const auto scale = unit_scale(in, *table, p);
  if (!scale) return Failure(scale.error());
  const auto value = number(in, *table->get("value"), p, *scale);
  if (!value) return Failure(value.error());
  Figure figure{*value, *value, *value, Status::user, "the user's own profile " + in.file};
  if (const toml::node* source = table->get("source")) {
    if (!source->is_string())
      return in.fail(*source, fmt::format("{}.{}: source must be a string", p.group, p.key));
    figure.source = source->value_or(std::string{});
  }
  if (const toml::node* status = table->get("status"))
    if (Result r = read_status(in, *status, figure); !r) return r;
  if (const toml::node* range = table->get("range"))
    if (Result r = read_range(in, *range, p, *scale, figure); !r) return r;
  out = std::move(figure);
  return {};
}

Result read_machine(const Context& in, const toml::node& node, Profile& profile) {
  const toml::table* table = node.as_table();
  if (table == nullptr) return in.fail(node, "machine must be a table");
  for (const auto& [key, value] : *table) {
    const std::string_view name = key.str();
    if (name == "cpus" || name == "sockets") {
      const auto n = value.value<std::int64_t>();
      const std::int64_t most = name == "cpus" ? 4096 : 64;
      if (!value.is_integer() || !n || *n < 1 || *n > most)
        return in.fail(value, fmt::format("machine.{} must be a whole number, expected 1 to {}", name, most));
      (name == "cpus" ? profile.cpus : profile.sockets) = static_cast<unsigned>(*n);
    } else if (name == "range_tlbi" || name == "repeat_tlbi_affected") {
      if (!value.is_boolean()) return in.fail(value, fmt::format("machine.{} must be true or false", name));
      (name == "range_tlbi" ? profile.range_tlbi : profile.repeat_tlbi_affected) = value.value_or(false);
    } else if (name == "bbm") {
      const auto found = std::find(bbm_names.begin(), bbm_names.end(), value.value_or(std::string_view{}));
      if (found == bbm_names.end())
        return in.fail(value, "machine.bbm must be level0, level1, level2 or level2_no_abort");
      profile.bbm = static_cast<vmsa::BbmLevel>(found - bbm_names.begin());
    } else {
      return in.fail(value, fmt::format("unknown key 'machine.{}'; expected cpus, sockets, range_tlbi, bbm, "
                                        "repeat_tlbi_affected",
                                        name));
    }
  }
  if (profile.sockets > profile.cpus) return in.fail(node, "machine.sockets is larger than machine.cpus");
  return {};
}

std::string keys_of(std::string_view group) {
  std::string keys;
  for (const ParamInfo& p : param_infos)
    if (p.group == group) keys += fmt::format("{}{}", keys.empty() ? "" : ", ", p.key);
  return keys;
}

/// All figures of one group, such as [broadcast].
Result read_group(const Context& in, std::string_view group, const toml::node& node, bool whole,
                  Profile& profile, std::array<bool, param_count>& given) {
  const std::string keys = keys_of(group);
  if (keys.empty())
    return in.fail(node,
                   fmt::format("unknown key '{}'; expected name, title, base, machine, broadcast, barrier, "
                               "bystander, memory, interrupt, kernel",
                               group));
  const toml::table* table = node.as_table();
  if (table == nullptr) return in.fail(node, fmt::format("{} must be a table", group));
  for (const auto& [key, value] : *table) {
    const std::string_view name = key.str();
    const auto p = std::find_if(param_infos.begin(), param_infos.end(),
                                [&](const ParamInfo& i) { return i.group == group && i.key == name; });
    if (p == param_infos.end())
      return in.fail(value, fmt::format("unknown key '{}.{}'; expected {}", group, name, keys));
    if (Result r = read_figure(in, value, *p, whole, profile[p->param]); !r) return r;
    given[static_cast<std::size_t>(p->param)] = true;
  }
  return {};
}

constexpr int max_base_depth = 4;

tl::expected<Profile, ProfileError> parse(std::string_view text, const Context& in, int depth,
                                          const Profile* below);

tl::expected<Profile, ProfileError> parse_builtin(std::string_view name, const Context& in, unsigned line,
                                                  int depth) {
  for (const BuiltinProfile& b : builtin_profiles())
    if (b.name == name) return parse(b.text, {fmt::format("profiles/{}.toml", b.name)}, depth + 1, nullptr);
  std::string names;
  for (const BuiltinProfile& b : builtin_profiles())
    names += fmt::format("{}{}", names.empty() ? "" : ", ", b.name);
  ProfileError error{in.file, line, fmt::format("no profile '{}'; there are {}", name, names), true};
  return Failure(std::move(error));
}

Result read_strings(const Context& in, const toml::table& root, Profile& profile) {
  for (const char* key : {"name", "title", "base"})
    if (const toml::node* node = root.get(key); node != nullptr && !node->is_string())
      return in.fail(*node, fmt::format("{} must be a string", key));
  profile.name = root["name"].value_or(profile.name);
  profile.title = root["title"].value_or(profile.title);
  return {};
}

tl::expected<Profile, ProfileError> read_root(const toml::table& root, const Context& in, int depth,
                                              const Profile* below) {
  Profile profile;
  bool whole = below == nullptr;
  if (below != nullptr) profile = *below;
  if (const toml::node* base = root.get("base")) {
    if (depth >= max_base_depth) return in.fail(*base, "base profiles lead in a circle");
    auto parsed = parse_builtin(base->value_or(std::string_view{}), in, base->source().begin.line, depth);
    if (!parsed) return parsed;
    profile = std::move(*parsed);
    whole = false;
  }
  if (Result r = read_strings(in, root, profile); !r) return Failure(r.error());
  std::array<bool, param_count> given{};
  for (const auto& [key, value] : root) {
    const std::string_view name = key.str();
    if (name == "name" || name == "title" || name == "base") continue;
    const Result r = name == "machine" ? read_machine(in, value, profile)
                                       : read_group(in, name, value, whole, profile, given);
    if (!r) return Failure(r.error());
  }
  for (const ParamInfo& p : param_infos)
    if (whole && !given[static_cast<std::size_t>(p.param)])
      return in.fail(0u,
                     fmt::format("{}.{} is missing ({}; {}); to change single values only, begin with base = "
                                 "\"NAME\"",
                                 p.group, p.key, p.meaning, expected_range(p)));
  return profile;
}

tl::expected<Profile, ProfileError> parse(std::string_view text, const Context& in, int depth,
                                          const Profile* below) {
  // toml++ 3.3 reaches a point it marks unreachable for some letters beyond ASCII in keys: nothing beyond gets there.
  const auto foreign = std::find_if(text.begin(), text.end(), [](char c) { return (c & 0x80) != 0; });
  if (foreign != text.end())
    return in.fail(1 + static_cast<unsigned>(std::count(text.begin(), foreign, '\n')),
                   "not plain ASCII; write us for microseconds, and names without accents");
  try {
    return read_root(toml::parse(text, in.file), in, depth, below);
  } catch (const toml::parse_error& e) {
    return in.fail(e.source().begin.line, fmt::format("not TOML: {}", e.description()));
  } catch (const TomlAssertion&) {
    return in.fail(0u, "not TOML: a key begins with a character that none can begin with");
  }
}

tl::expected<std::string, ProfileError> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (file) text << file.rdbuf();
  if (!file) return Failure(ProfileError{path, 0, "cannot be read", true});
  return std::move(text).str();
}

/// An override that gave itself no name still has that of what it was laid over.
bool is_base_name(std::string_view name, const Profile* below) {
  if (below != nullptr && below->name == name) return true;
  return std::any_of(builtin_profiles().begin(), builtin_profiles().end(),
                     [&](const BuiltinProfile& b) { return b.name == name; });
}

tl::expected<Profile, ProfileError> load_one(std::string_view spec, const Profile* below) {
  const bool is_path = spec.find('/') != std::string_view::npos || spec.ends_with(".toml");
  if (!is_path) return parse_builtin(spec, {"--profile"}, 0, 0);
  const auto text = read_file(std::string(spec));
  if (!text) return Failure(text.error());
  auto profile = parse(*text, {std::string(spec)}, 0, below);
  if (profile && (profile->name.empty() || is_base_name(profile->name, below)))
    profile->name += (profile->name.empty() ? "" : "+") + std::filesystem::path(spec).stem().string();
  return profile;
}

}  // namespace

std::string ProfileError::text() const {
  return line == 0 ? fmt::format("{}: {}", file, message) : fmt::format("{}:{}: {}", file, line, message);
}

tl::expected<Profile, ProfileError> parse_profile(std::string_view text, const std::string& file) {
  return parse(text, {file}, 0, nullptr);
}

tl::expected<Profile, ProfileError> load_profile(std::string_view spec) {
  tl::expected<Profile, ProfileError> profile;
  for (bool first = true;; first = false) {
    const std::size_t comma = spec.find(',');
    profile = load_one(spec.substr(0, comma), first ? nullptr : &*profile);
    if (!profile || comma == std::string_view::npos) return profile;
    spec.remove_prefix(comma + 1);
  }
}

}  // namespace shootdown::timed
