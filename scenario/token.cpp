// SPDX-License-Identifier: MIT
// Replay tokens: the build, the configuration and the path, in one word that survives a mail.
#include <charconv>

#include <fmt/format.h>

#include "explore/build_id.hpp"
#include "machine/model/hash.hpp"
#include "scenario/campaign.hpp"
#include "scenario/token.hpp"

namespace shootdown::scenario {
namespace {

constexpr std::string_view magic = "sd1";
constexpr std::size_t path_limit = 100'000;

/// A path as text: two hex digits a step, six where the ordinal is large.
std::string encode_path(const std::vector<explore::Choice>& path) {
  std::string text;
  for (const explore::Choice c : path) {
    if (c.ordinal() < 31)
      text += fmt::format("{:02x}", c.agent() << 5 | c.ordinal());
    else
      text += fmt::format("{:02x}{:04x}", c.agent() << 5 | 31, c.ordinal());
  }
  return text;
}

bool take_hex(std::string_view& text, std::size_t digits, unsigned& value) {
  if (text.size() < digits) return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + digits, value, 16);
  if (error != std::errc{} || end != text.data() + digits) return false;
  text.remove_prefix(digits);
  return true;
}

bool decode_path(std::string_view text, std::vector<explore::Choice>& path) {
  while (!text.empty() && path.size() < path_limit) {
    unsigned first = 0;
    if (!take_hex(text, 2, first)) return false;
    unsigned ordinal = first & 31;
    if (ordinal == 31 && !take_hex(text, 4, ordinal)) return false;
    if (ordinal > 0x1fff) return false;
    path.emplace_back(first >> 5, ordinal);
  }
  return text.empty();
}

/// Splits off the text before the next dot.
std::string_view take_field(std::string_view& text) {
  const std::size_t dot = std::min(text.find('.'), text.size());
  const std::string_view field = text.substr(0, dot);
  text.remove_prefix(std::min(dot + 1, text.size()));
  return field;
}

/// A field that is one decimal number of at most `limit`.
bool number(std::string_view field, unsigned limit, unsigned& value) {
  const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), value);
  return error == std::errc{} && end == field.data() + field.size() && value <= limit;
}

unsigned strategy_index(const mm::Strategy& s) {
  for (unsigned i = 0; i < mm::strategies.size(); ++i)
    if (mm::strategies[i].name == s.name) return i;
  return 0;
}
unsigned mapping_index(const mm::Mapping& m) {
  for (unsigned i = 0; i < mm::mappings.size(); ++i)
    if (mm::mappings[i].name == m.name) return i;
  return 0;
}
unsigned regime_index(const vmsa::Regime& r) {
  for (unsigned i = 0; i < vmsa::regimes.size(); ++i)
    if (vmsa::regimes[i] == r) return i;
  return 0;
}
unsigned feature_bits(const machine::Features& f) {
  return (f.range_tlbi ? 1u : 0u) | (f.hardware_access_flag ? 2u : 0u) | (f.hardware_table_flag ? 4u : 0u) |
         (f.repeat_tlbi ? 8u : 0u) | static_cast<unsigned>(f.bbm) << 4;
}
machine::Features features_of(unsigned bits) {
  return {.range_tlbi = (bits & 1) != 0,
          .hardware_access_flag = (bits & 2) != 0,
          .hardware_table_flag = (bits & 4) != 0,
          .repeat_tlbi = (bits & 8) != 0,
          .bbm = static_cast<vmsa::BbmLevel>(bits >> 4 & 3)};
}
/// A mutant's name as a number: 0 is none. Its position in the campaign would have to be looked up by running the
/// procedure, which at full geometry takes seconds.
std::uint32_t mutant_key(const model::Mutation& m) {
  return static_cast<std::uint32_t>(model::hash_text(m.describe())) | 1;
}

/// Every choice of a configuration as a small number, in a fixed order, with its largest value.
struct Field {
  unsigned value;
  unsigned limit;
};
std::vector<Field> fields(const HotRemoveConfig& c, std::uint32_t mutant) {
  return {{static_cast<unsigned>(c.experiment), 1},
          {strategy_index(c.strategy), mm::strategies.size() - 1},
          {regime_index(c.real), vmsa::regimes.size() - 1},
          {static_cast<unsigned>(c.geometry), 1},
          {c.cpus, model::max_cpus},
          {static_cast<unsigned>(c.path), 2},
          {static_cast<unsigned>(c.extent), 2},
          {mapping_index(c.mapping), mm::mappings.size() - 1},
          {static_cast<unsigned>(c.vmemmap), 1},
          {static_cast<unsigned>(c.layout), 1},
          {static_cast<unsigned>(c.table_rule), 2},
          {feature_bits(c.features), 63},
          {(c.dumper_takes_lock ? 1u : 0u) | (c.memblock_last ? 2u : 0u) | (c.early_reads ? 4u : 0u) |
               (c.memmap_on_memory ? 8u : 0u),
           15},
          {mutant, 0xffff'ffff}};
}
HotRemoveConfig config_of(const std::vector<unsigned>& v) {
  HotRemoveConfig c;
  c.experiment = static_cast<Experiment>(v[0]);
  c.strategy = mm::strategies[v[1]];
  c.real = vmsa::regimes[v[2]];
  c.geometry = static_cast<Geometry>(v[3]);
  c.cpus = v[4];
  c.path = static_cast<Path>(v[5]);
  c.extent = static_cast<Extent>(v[6]);
  c.mapping = mm::mappings[v[7]];
  c.vmemmap = static_cast<VmemmapKind>(v[8]);
  c.layout = static_cast<vmsa::LayoutAge>(v[9]);
  c.table_rule = static_cast<mm::TableRule>(v[10]);
  c.features = features_of(v[11]);
  c.dumper_takes_lock = (v[12] & 1) != 0;
  c.memblock_last = (v[12] & 2) != 0;
  c.early_reads = (v[12] & 4) != 0;
  c.memmap_on_memory = (v[12] & 8) != 0;
  return c;
}

tl::unexpected<std::string> malformed(std::string_view what) {
  return tl::unexpected(fmt::format("not a replay token: {} (copy the whole of what `check` printed)", what));
}

}  // namespace

std::string text_of(const Token& token) {
  std::string text = fmt::format("{}.{}", magic, build_fingerprint());
  for (const Field& f : fields(token.config, token.mutant)) text += fmt::format(".{}", f.value);
  return text + "." + encode_path(token.path);
}

std::string make_token(const HotRemoveConfig& config, const std::vector<explore::Choice>& path) {
  return text_of({config, config.mutation ? mutant_key(*config.mutation) : 0, path});
}

tl::expected<Token, std::string> parse_token(std::string_view text) {
  if (take_field(text) != magic) return malformed("it does not begin with 'sd1.'");
  const std::string_view build = take_field(text);
  if (build.size() != build_fingerprint().size() ||
      build.find_first_not_of("0123456789abcdef") != std::string_view::npos)
    return malformed("its build is no fingerprint");
  if (build != build_fingerprint())
    return tl::unexpected(
        fmt::format("the token was made by build {}, this is build {}: replay it there, or run "
                    "the check again here",
                    build, build_fingerprint()));
  std::vector<unsigned> values;
  for (const Field& f : fields(HotRemoveConfig{}, 0)) {
    unsigned value = 0;
    if (!number(take_field(text), f.limit, value))
      return malformed("a field of the configuration is out of range");
    values.push_back(value);
  }
  Token token{config_of(values), values.back(), {}};
  if (auto why = refuse(token.config)) return malformed(*why);
  if (!decode_path(text, token.path)) return malformed("its path is cut or damaged");
  return token;
}

tl::expected<HotRemoveConfig, std::string> configuration(const Token& token) {
  HotRemoveConfig config = token.config;
  if (token.mutant == 0) return config;
  for (const model::Mutation& m : mutants(config)) {
    if (mutant_key(m) != token.mutant) continue;
    config.mutation = m;
    return config;
  }
  return malformed("there is no such mutant");
}

}  // namespace shootdown::scenario
