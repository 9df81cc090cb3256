// SPDX-License-Identifier: MIT
// Trace files: a header, chunks of events as zstd frames, an index of the frames and the names that the events
// refer to. Any frame can be read on its own. docs/audit.md describes the bytes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "audit/error.hpp"

namespace shootdown::audit {

inline constexpr std::uint32_t trace_version = 4;

/// What was run: enough to judge the events without the machine that produced them.
struct TraceHeader {
  std::string kernel;
  std::string release;
  std::string workload;
  std::string cpu_model;
  unsigned cpus = 0;
  unsigned page_shift = 12;
  std::uint64_t memory_bytes = 0;
  std::uint64_t ram_start = 0;
  std::uint64_t ram_bytes = 0;
  std::vector<std::string> maintenance;  ///< the kernel's functions that issue TLBIs, sorted
  std::vector<std::string> blind_spots;  ///< what the kernel's symbols do not let an audit see

  friend bool operator==(const TraceHeader&, const TraceHeader&) = default;
};

/// Written last: what every address in a `frame` event is called, and how long the run took.
struct TraceTrailer {
  std::map<std::uint64_t, std::string> symbols;
  double seconds = 0;

  friend bool operator==(const TraceTrailer&, const TraceTrailer&) = default;
};

class TraceWriter {
 public:
  /// Errors: `missing_input` when the file cannot be made.
  static Expected<TraceWriter> create(const std::filesystem::path& path, const TraceHeader& header);
  void chunk(std::span<const std::uint8_t> bytes, std::uint32_t event_count);
  /// Writes trailer and index; a file without them counts as truncated.
  Expected<void> finish(const TraceTrailer& trailer);

 private:
  struct FrameAt {
    std::uint64_t offset;
    std::uint64_t first_event;
  };
  std::ofstream file_;
  std::filesystem::path path_;
  std::vector<FrameAt> frames_;
  std::uint64_t offset_ = 0;
  std::uint64_t events_ = 0;
  std::vector<std::uint8_t> compressed_;

  void write(const void* data, std::size_t bytes);
};

class TraceReader {
 public:
  /// Errors: `missing_input` when there is no such file, `bad_data` when it is no trace, of another version,
  /// or truncated.
  static Expected<TraceReader> open(const std::filesystem::path& path);
  /// The same over bytes in memory; `name` is for messages.
  static Expected<TraceReader> parse(std::vector<std::uint8_t> bytes, std::string name);

  const TraceHeader& header() const { return header_; }
  const TraceTrailer& trailer() const { return trailer_; }
  std::size_t frame_count() const { return frames_.size(); }
  std::uint64_t event_count() const { return events_; }
  std::uint64_t first_event(std::size_t frame) const { return frames_[frame].first_event; }
  /// The events of one frame, to be decoded. Errors: `bad_data`.
  Expected<std::vector<std::uint8_t>> frame(std::size_t i) const;

 private:
  struct FrameAt {
    std::uint64_t offset;
    std::uint64_t first_event;
  };
  Expected<void> read_index();
  tl::unexpected<Error> bad(std::string_view what) const;

  std::string name_;
  std::vector<std::uint8_t> bytes_;
  TraceHeader header_;
  TraceTrailer trailer_;
  std::vector<FrameAt> frames_;
  std::uint64_t events_ = 0;
};

}  // namespace shootdown::audit
