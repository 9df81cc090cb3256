// SPDX-License-Identifier: MIT
// Strategy: a trace reads back as it was written, frame by frame in any order; and every way in which a file is
// no complete trace of this version is refused in one line that names the file.
#include "audit/trace/file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "audit/trace/codec.hpp"

namespace shootdown::audit {
namespace {

using testing::HasSubstr;

const TraceHeader header{.kernel = "debian:6.12.43",
                         .release = "6.12.43+deb12-arm64",
                         .workload = "munmap",
                         .cpu_model = "cortex-a72",
                         .cpus = 4,
                         .page_shift = 12,
                         .memory_bytes = 1 << 26,
                         .ram_start = 0x40000000,
                         .ram_bytes = 1 << 30};
const TraceTrailer trailer{.symbols = {{0xffff800080010000, "start_kernel+0x0/0x8e0"}}, .seconds = 1.5};

std::vector<std::uint8_t> written_trace() {
  const auto path = std::filesystem::temp_directory_path() / fmt::format("shootdown-trace-test.{}", getpid());
  auto writer = TraceWriter::create(path, header);
  EventEncoder encoder;
  for (std::uint64_t chunk = 0; chunk < 3; ++chunk) {
    for (std::uint64_t i = 0; i < 100; ++i) encoder.put({.kind = EventKind::clock, .a = chunk * 1000 + i});
    writer->chunk(encoder.bytes(), encoder.event_count());
    encoder.clear();
  }
  EXPECT_TRUE(writer->finish(trailer));
  std::ifstream file(path, std::ios::binary);
  std::vector<std::uint8_t> bytes((std::istreambuf_iterator<char>(file)), {});
  std::filesystem::remove(path);
  return bytes;
}

TEST(TraceFile, ReadsBackInAnyOrder) {
  const auto trace = TraceReader::parse(written_trace(), "t");
  ASSERT_TRUE(trace) << trace.error().message;
  EXPECT_EQ(trace->header(), header);
  EXPECT_EQ(trace->trailer(), trailer);
  EXPECT_EQ(trace->event_count(), 300u);
  for (std::size_t i : {2u, 0u, 1u}) {
    EXPECT_EQ(trace->first_event(i), 100 * i);
    const auto frame = trace->frame(i);
    ASSERT_TRUE(frame);
    EventDecoder decoder(*frame);
    Event e;
    ASSERT_TRUE(decoder.next(e));
    EXPECT_EQ(e.a, 1000 * i);
  }
}

void expect_refused(std::vector<std::uint8_t> bytes, const char* why) {
  const auto trace = TraceReader::parse(std::move(bytes), "file.trc");
  ASSERT_FALSE(trace) << why;
  EXPECT_EQ(trace.error().code, ExitCode::bad_data);
  EXPECT_THAT(trace.error().message, HasSubstr("file.trc"));
  EXPECT_THAT(trace.error().message, HasSubstr(why));
}

TEST(TraceFile, WhatIsNoTraceIsRefused) {
  const auto good = written_trace();
  expect_refused({}, "is no shootdown trace");
  expect_refused({'h', 'e', 'l', 'l', 'o', ' ', 'w', 'o', 'r', 'l', 'd'}, "is no shootdown trace");

  auto other_version = good;
  other_version[8] = 99;
  expect_refused(other_version, "version 99");

  auto header_json = good;
  header_json[16] = 'x';
  expect_refused(header_json, "damaged header");

  auto cut = good;
  cut.resize(cut.size() - 1);
  expect_refused(cut, "truncated");
  cut.resize(12);
  expect_refused(cut, "truncated");
}

TEST(TraceFile, NoTruncationIsTakenForATrace) {
  const auto good = written_trace();
  for (std::size_t n = 0; n < good.size(); ++n)
    EXPECT_FALSE(TraceReader::parse({good.begin(), good.begin() + static_cast<std::ptrdiff_t>(n)}, "t"))
        << n << " bytes";
}

TEST(TraceFile, AMissingFileIsNamed) {
  const auto trace = TraceReader::open("/nonexistent/a.trc");
  ASSERT_FALSE(trace);
  EXPECT_EQ(trace.error().code, ExitCode::missing_input);
}

}  // namespace
}  // namespace shootdown::audit
