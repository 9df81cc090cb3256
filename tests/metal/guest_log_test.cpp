// SPDX-License-Identifier: MIT
// Strategy: the console as the image writes it, then every way in which it can be cut, garbled, repeated or
// missing. The log must never guess: what is not complete and well-formed is trouble or noise.
#include "machine/metal/guest_log.hpp"

#include <gtest/gtest.h>

namespace shootdown::metal {
namespace {

const std::string start_line =
    R"({"metal":"start","version":1,"page_shift":12,"va_bits":48,"cpus":4,"memory_bytes":1073741824,)"
    R"("boot_base":1073741824,"counter_hz":1000000000,"range_tlbi":true,"hardware_access_flag":true,"bbm_level":2})"
    "\n";
const std::string result_line =
    R"({"metal":"result","strategy":"B","stale_accesses":3,"freed_reads":1,"expected_faults":1065088,)"
    R"("other_faults":0,"bad_fault_esr":"0x0000000000000000","bad_fault_va":"0x0000000000000000","bad_values":0,)"
    R"("watch_loads":2688,"watch_faults":1632,"tlbi":{"VAAE1IS":513,"VAALE1IS":8,"RVAALE1IS":1},)"
    R"("dsb":{"ISHST":522,"ISH":522},"isb":522,"sgi":0,"descriptor_stores":262665,"tables_freed":513,)"
    R"("tables_allocated":513,"released_bytes":1073741824,"add_ticks":8773332,"remove_ticks":35309709,)"
    R"("tree_restored":true,"tables_retained":0,"empty_tables_before":0,"empty_tables":0,"leaves_added":262152,)"
    R"("vmemmap_pages_restored":true,"free_pages_lost":0,"memblock_restored":true,"again_identical":true,)"
    R"("again_restored":true,"warnings":0})"
    "\n";
const std::string end_line = R"({"metal":"end","sgi_sent":7})"
                             "\n";

GuestLog read(std::string_view text, std::size_t piece = std::string_view::npos) {
  GuestLog log;
  for (std::size_t at = 0; at < text.size(); at += std::min(piece, text.size()))
    log.feed(text.substr(at, piece));
  log.finish();
  return log;
}

std::string replace(std::string text, std::string_view what, std::string_view with) {
  const std::size_t at = text.find(what);
  EXPECT_NE(at, std::string::npos) << what;
  return text.replace(at, what.size(), with);
}

TEST(GuestLog, ReadsACompleteRunInPiecesOfAnySize) {
  const std::string all = "firmware says hello\r\n" + start_line +
                          R"({"metal":"phase","strategy":"B","name":"remove"})" + "\r\n" + result_line +
                          end_line;
  for (std::size_t piece : {1u, 7u, 100000u}) {
    const GuestLog log = read(all, piece);
    ASSERT_TRUE(log.start());
    EXPECT_EQ(log.start()->page_shift, 12u);
    EXPECT_EQ(log.start()->boot_base, std::uint64_t{1} << 30);
    EXPECT_TRUE(log.start()->range_tlbi);
    ASSERT_EQ(log.results().size(), 1u);
    const GuestResult& r = log.results().front();
    EXPECT_EQ(r.strategy, "B");
    EXPECT_EQ(r.stale_accesses, 3u);
    EXPECT_EQ(r.counts.tlbi[vmsa::tlbi_index(vmsa::vaae1is)], 513u);
    EXPECT_EQ(r.counts.dsb[static_cast<std::size_t>(machine::Dsb::ish)], 522u);
    EXPECT_EQ(r.counts.descriptor_stores, 262665u);
    EXPECT_EQ(r.counts.instructions, std::nullopt);
    EXPECT_EQ(r.again_identical, true);
    EXPECT_TRUE(log.ended());
    EXPECT_EQ(log.trouble(), "");
    EXPECT_EQ(log.phase(), "B: remove");
    EXPECT_EQ(log.tail().front(), "firmware says hello");
  }
}

TEST(GuestLog, TextBeforeOurObjectOnTheSameLineIsPassedOver) {
  EXPECT_TRUE(read("UEFI v2 " + start_line).start());
}

TEST(GuestLog, ACutLineIsTroubleWhereverItIsCut) {
  for (std::size_t length = 12; length + 2 < result_line.size(); ++length) {
    const GuestLog log = read(start_line + result_line.substr(0, length) + "\n");
    EXPECT_TRUE(log.results().empty()) << length;
    EXPECT_NE(log.trouble(), "") << length;
  }
}

TEST(GuestLog, AnUnfinishedLastLineCountsForNothing) {
  const GuestLog log = read(start_line + end_line.substr(0, end_line.size() - 1));
  EXPECT_FALSE(log.ended());
  EXPECT_EQ(log.trouble(), "");
}

TEST(GuestLog, NumbersMustBeNumbersThatFit) {
  for (const char* bad : {"-1", "1.5", "\"1\"", "null", "18446744073709551616", "[1]", "true"}) {
    const GuestLog log =
        read(start_line + replace(result_line, "\"isb\":522", std::string("\"isb\":") + bad));
    EXPECT_TRUE(log.results().empty()) << bad;
    EXPECT_EQ(log.trouble(), "a line \"result\" without a proper \"isb\"") << bad;
  }
}

TEST(GuestLog, UnknownOperationsAreNotDropped) {
  const GuestLog log = read(start_line + replace(result_line, "RVAALE1IS", "RVAALE9IS"));
  EXPECT_TRUE(log.results().empty());
  EXPECT_EQ(log.trouble(), "a line \"result\" without a proper \"tlbi\"");
}

TEST(GuestLog, AnotherVersionIsRefused) {
  const GuestLog log = read(replace(start_line, "\"version\":1", "\"version\":2"));
  EXPECT_FALSE(log.start());
  EXPECT_NE(log.trouble(), "");
}

TEST(GuestLog, TwoStartsAreAReboot) {
  EXPECT_EQ(read(start_line + start_line).trouble(), "the image started twice");
}

TEST(GuestLog, WhatTheImageComplainsAbout) {
  EXPECT_EQ(read(R"({"metal":"unsupported","what":"16K pages","page_shift":14,"va_bits":48})"
                 "\n")
                .unsupported(),
            "16K pages");
  EXPECT_EQ(read(R"({"metal":"refused","what":"on or off","word":"sd.range=maybe"})"
                 "\n")
                .trouble(),
            "'sd.range=maybe': expected on or off");
  EXPECT_EQ(read(R"({"metal":"panic","what":"a CPU did not come up"})"
                 "\n")
                .trouble(),
            "a CPU did not come up");
  EXPECT_EQ(read(R"({"metal":"exception","vector":4,"esr":"0x96000004","elr":"0x1234","far":"0x10"})"
                 "\n")
                .trouble(),
            "an exception that nobody expected: ESR 0x96000004, at image offset 0x1234, address 0x10");
}

TEST(GuestLog, TheFirstTroubleIsTheOneToldAndWarningsAreToldOnce) {
  const std::string warning = R"({"metal":"warning","cpu":0,"what":"a page is freed twice"})"
                              "\n";
  const GuestLog log = read(warning + warning + R"({"metal":"panic","what":"first"})" + "\n" +
                            R"({"metal":"panic","what":"second"})" + "\n");
  EXPECT_EQ(log.trouble(), "first");
  EXPECT_EQ(log.warnings(), std::vector<std::string>{"a page is freed twice"});
}

TEST(GuestLog, NoiseIsBoundedAndPrintable) {
  GuestLog log;
  for (int i = 0; i < 1000; ++i) log.feed("\x1b[2Jnoise\xff\n");
  log.feed(std::string(1 << 22, 'x'));  // a line without an end
  log.feed("\n" + start_line);
  log.finish();
  EXPECT_TRUE(log.start());
  EXPECT_EQ(log.tail().size(), GuestLog::tail_lines);
  EXPECT_EQ(log.tail().front(), "?[2Jnoise?");
  EXPECT_LE(log.tail().back().size(), 210u);
}

}  // namespace
}  // namespace shootdown::metal
