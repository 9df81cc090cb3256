// SPDX-License-Identifier: MIT
// Layout, all numbers little-endian:
//   header   magic[8], u32 version, u32 size, JSON
//   frame    u32 compressed bytes, u32 bytes, zstd frame          (repeated)
//   trailer  a frame, of JSON
//   index    u64 offset, u64 first event                          (one a frame)
//   end      u64 trailer offset, u64 frames, u64 events, magic[8]
#include "audit/trace/file.hpp"

#include <zstd.h>

#include <array>
#include <bit>
#include <cstring>
#include <iterator>
#include <nlohmann/json.hpp>

namespace shootdown::audit {
namespace {

static_assert(std::endian::native == std::endian::little, "traces are little-endian");

constexpr std::string_view begin_magic = "SHTDTRC\n";
constexpr std::string_view end_magic = "SHTDEND\n";
constexpr std::size_t end_bytes = 3 * 8 + 8;
/// Far above any chunk that the plugin writes: a damaged size must not become an allocation of its own.
constexpr std::uint32_t frame_bytes_max = 64u << 20;
constexpr int compression_level = 3;

template <typename T>
bool load(const std::vector<std::uint8_t>& bytes, std::uint64_t offset, T& value) {
  if (offset > bytes.size() || bytes.size() - offset < sizeof value) return false;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return true;
}

nlohmann::json to_json(const TraceHeader& h) {
  return {{"kernel", h.kernel},
          {"release", h.release},
          {"workload", h.workload},
          {"cpu_model", h.cpu_model},
          {"cpus", h.cpus},
          {"page_shift", h.page_shift},
          {"memory_bytes", h.memory_bytes},
          {"ram_start", h.ram_start},
          {"ram_bytes", h.ram_bytes},
          {"maintenance", h.maintenance},
          {"blind_spots", h.blind_spots}};
}

bool from_json(const nlohmann::json& j, TraceHeader& h) {
  try {
    h = {j.at("kernel"),    j.at("release"),     j.at("workload"),     j.at("cpu_model"),
         j.at("cpus"),      j.at("page_shift"),  j.at("memory_bytes"), j.at("ram_start"),
         j.at("ram_bytes"), j.at("maintenance"), j.at("blind_spots")};
    return h.cpus >= 1 && (h.page_shift == 12 || h.page_shift == 14 || h.page_shift == 16);
  } catch (const nlohmann::json::exception&) {
    return false;
  }
}

bool from_json(const nlohmann::json& j, TraceTrailer& t) {
  try {
    t.seconds = j.at("seconds");
    for (const auto& entry : j.at("symbols")) t.symbols.emplace(entry.at(0), entry.at(1));
    return true;
  } catch (const nlohmann::json::exception&) {
    return false;
  }
}

}  // namespace

void TraceWriter::write(const void* data, std::size_t bytes) {
  file_.write(static_cast<const char*>(data), static_cast<std::streamsize>(bytes));
  offset_ += bytes;
}

Expected<TraceWriter> TraceWriter::create(const std::filesystem::path& path, const TraceHeader& header) {
  TraceWriter w;
  w.path_ = path;
  w.file_.open(path, std::ios::binary | std::ios::trunc);
  if (!w.file_) return fail(ExitCode::missing_input, "cannot write the trace {}", path.string());
  const std::string json = to_json(header).dump();
  const auto size = static_cast<std::uint32_t>(json.size());
  w.write(begin_magic.data(), begin_magic.size());
  w.write(&trace_version, sizeof trace_version);
  w.write(&size, sizeof size);
  w.write(json.data(), json.size());
  return w;
}

void TraceWriter::chunk(std::span<const std::uint8_t> bytes, std::uint32_t event_count) {
  compressed_.resize(ZSTD_compressBound(bytes.size()));
  const std::size_t n =
      ZSTD_compress(compressed_.data(), compressed_.size(), bytes.data(), bytes.size(), compression_level);
  frames_.push_back({offset_, events_});
  events_ += event_count;
  const std::array<std::uint32_t, 2> sizes{static_cast<std::uint32_t>(n),
                                           static_cast<std::uint32_t>(bytes.size())};
  write(sizes.data(), sizeof sizes);
  write(compressed_.data(), n);
}

Expected<void> TraceWriter::finish(const TraceTrailer& trailer) {
  nlohmann::json json = {{"seconds", trailer.seconds}, {"symbols", nlohmann::json::array()}};
  for (const auto& [address, name] : trailer.symbols) json["symbols"].push_back({address, name});
  const std::string text = json.dump();
  const std::uint64_t trailer_offset = offset_;
  const std::uint64_t events = events_;
  chunk({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}, 0);
  frames_.pop_back();
  for (const FrameAt& f : frames_) write(&f, sizeof f);
  const std::array<std::uint64_t, 3> end{trailer_offset, frames_.size(), events};
  write(end.data(), sizeof end);
  write(end_magic.data(), end_magic.size());
  file_.flush();
  if (!file_)
    return fail(ExitCode::missing_input, "cannot write the trace {}: is the disk full?", path_.string());
  return {};
}

tl::unexpected<Error> TraceReader::bad(std::string_view what) const {
  return fail(ExitCode::bad_data, "{} {}", name_, what);
}

Expected<TraceReader> TraceReader::open(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return fail(ExitCode::missing_input, "cannot read the trace {}", path.string());
  return parse(std::vector<std::uint8_t>((std::istreambuf_iterator<char>(file)), {}), path.string());
}

Expected<TraceReader> TraceReader::parse(std::vector<std::uint8_t> bytes, std::string name) {
  TraceReader r;
  r.name_ = std::move(name);
  r.bytes_ = std::move(bytes);
  if (r.bytes_.size() < begin_magic.size() ||
      std::memcmp(r.bytes_.data(), begin_magic.data(), begin_magic.size()) != 0)
    return r.bad("is no shootdown trace");
  std::uint32_t version = 0;
  std::uint32_t size = 0;
  if (!load(r.bytes_, 8, version) || !load(r.bytes_, 12, size))
    return r.bad("is truncated: it ends inside its header");
  if (version != trace_version)
    return fail(ExitCode::bad_data,
                "{} is a trace of version {}, this program reads version {}: record it again", r.name_,
                version, trace_version);
  if (size > r.bytes_.size() - 16) return r.bad("is truncated: it ends inside its header");
  const auto* text = reinterpret_cast<const char*>(r.bytes_.data()) + 16;
  const auto json = nlohmann::json::parse(text, text + size, nullptr, false);
  if (json.is_discarded() || !from_json(json, r.header_)) return r.bad("has a damaged header");
  if (auto ok = r.read_index(); !ok) return tl::unexpected(ok.error());
  return r;
}

Expected<void> TraceReader::read_index() {
  const std::uint64_t size = bytes_.size();
  if (size < end_bytes + 16 || std::memcmp(bytes_.data() + size - 8, end_magic.data(), 8) != 0)
    return bad("is truncated: the recording did not end properly");
  std::uint64_t trailer_offset = 0;
  std::uint64_t count = 0;
  load(bytes_, size - end_bytes, trailer_offset);
  load(bytes_, size - end_bytes + 8, count);
  load(bytes_, size - end_bytes + 16, events_);
  if (count > size / sizeof(FrameAt) || trailer_offset > size) return bad("has a damaged index");
  const std::uint64_t index = size - end_bytes - count * sizeof(FrameAt);
  frames_.resize(count);
  if (index > size || trailer_offset > index) return bad("has a damaged index");
  if (count > 0) std::memcpy(frames_.data(), bytes_.data() + index, count * sizeof(FrameAt));
  frames_.push_back({trailer_offset, events_});
  auto text = frame(count);
  frames_.pop_back();
  if (!text) return tl::unexpected(text.error());
  const auto json = nlohmann::json::parse(text->begin(), text->end(), nullptr, false);
  if (json.is_discarded() || !from_json(json, trailer_)) return bad("has a damaged trailer");
  return {};
}

Expected<std::vector<std::uint8_t>> TraceReader::frame(std::size_t i) const {
  const std::uint64_t offset = frames_[i].offset;
  std::uint32_t compressed = 0;
  std::uint32_t size = 0;
  if (!load(bytes_, offset, compressed) || !load(bytes_, offset + 4, size) || size > frame_bytes_max ||
      compressed > bytes_.size() - offset - 8)
    return bad("has a damaged frame");
  std::vector<std::uint8_t> events(size);
  const std::size_t n = ZSTD_decompress(events.data(), size, bytes_.data() + offset + 8, compressed);
  if (ZSTD_isError(n) || n != size) return bad("has a damaged frame");
  return events;
}

}  // namespace shootdown::audit
