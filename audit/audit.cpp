// SPDX-License-Identifier: MIT
#include "audit/audit.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <fstream>
#include <iterator>

#include "audit/guest/protocol.hpp"
#include "audit/judge/judge.hpp"
#include "audit/kernel/elf_symbols.hpp"
#include "audit/kernel/kallsyms.hpp"
#include "audit/trace/file.hpp"

namespace shootdown::audit {
namespace {

/// QEMU's CPU models without 16K pages, among those that an audit is likely to be asked for.
constexpr std::array models_without_16k{"cortex-a53", "cortex-a57", "cortex-a72"};

/// Symbols, and where the image is linked (0: they do not say).
Expected<Kallsyms> given_symbols(const AuditRequest& request) {
  Expected<SymbolTable> symbols;
  if (!request.vmlinux.empty()) {
    symbols = read_elf_symbols(request.vmlinux);
  } else {
    std::ifstream file(request.system_map);
    if (!file) return fail(ExitCode::missing_input, "cannot read {}", request.system_map.string());
    symbols = parse_system_map(std::string((std::istreambuf_iterator<char>(file)), {}),
                               request.system_map.string());
  }
  if (!symbols) return tl::unexpected(symbols.error());
  const std::uint64_t base = symbols->address_of("_text").value_or(0);
  return Kallsyms{std::move(*symbols), base};
}

Expected<Kallsyms> find_symbols(const AuditRequest& request, const KernelImage& image) {
  const std::filesystem::path& file = request.vmlinux.empty() ? request.system_map : request.vmlinux;
  if (file.empty()) return read_kallsyms(image);
  auto symbols = given_symbols(request);
  if (!symbols) return symbols;
  if (auto same = check_symbols_of(symbols->symbols, image, file.string()); !same)
    return tl::unexpected(same.error());
  return symbols;
}

Expected<std::string> choose_cpu_model(const AuditRequest& request, const KernelImage& image) {
  const bool needs_16k = image.page_shift == 14;
  if (request.cpu_model.empty()) return needs_16k ? "neoverse-n1" : "cortex-a72";
  if (needs_16k && std::ranges::find(models_without_16k, request.cpu_model) != models_without_16k.end())
    return fail(ExitCode::usage, "a {} has no 16K pages, which this kernel needs: take neoverse-n1 or max",
                request.cpu_model);
  return request.cpu_model;
}

Expected<GuestOptions> guest_options(const AuditRequest& request, const Kernel& kernel,
                                     const KernelImage& image, const Progress& progress) {
  GuestOptions o;
  o.kernel = kernel;
  o.workload = request.user_program.empty() ? request.workload : "user";
  const auto* known = std::ranges::find(protocol::workloads, o.workload, &protocol::Workload::name);
  if (known == protocol::workloads.end() && request.user_program.empty())
    return fail(
        ExitCode::usage,
        "no workload {}: `list workloads` shows them; a script of your own is given as --workload ./FILE",
        o.workload);
  o.memory_bytes =
      request.memory_bytes.value_or(known == protocol::workloads.end() ? 0 : known->memory_bytes);
  if (o.workload == "hot-unplug" &&
      (o.memory_bytes == 0 || o.memory_bytes % (128 << 20) != 0 || o.memory_bytes > std::uint64_t{32} << 30))
    return fail(ExitCode::usage, "--memory must be a multiple of 128M, at most 32G, for hot-unplug");
  if (o.workload != "hot-unplug" && o.memory_bytes > guest_ram_bytes / 2)
    return fail(ExitCode::usage, "--memory is at most 512M for the workload {}", o.workload);
  auto model = choose_cpu_model(request, image);
  if (!model) return tl::unexpected(model.error());
  o.cpu_model = *model;
  o.cpus = request.cpus;
  o.timeout_s = request.timeout_s;
  o.task = read_task_layout(image);
  o.user_program = request.user_program;
  o.guest_program = request.programs_dir / "shootdown-guest";
  if (request.plugin) o.plugin = request.programs_dir / "shootdown-audit.so";
  o.interrupted = request.interrupted;
  if (!request.user_program.empty()) {
    std::ifstream program(request.user_program);
    std::string begin(2, '\0');
    program.read(begin.data(), 2);
    if (begin == "#!") {
      auto busybox = find_busybox(progress);
      if (!busybox) return tl::unexpected(busybox.error());
      o.busybox = *busybox;
    }
  }
  return o;
}

TraceHeader header_of(const GuestOptions& o, const KernelImage& image, const Kallsyms& symbols,
                      std::vector<std::string> blind_spots) {
  return {.kernel = o.kernel.name,
          .release = o.kernel.release,
          .workload = o.workload,
          .cpu_model = o.cpu_model,
          .cpus = o.cpus,
          .page_shift = image.page_shift,
          .memory_bytes = o.memory_bytes,
          .ram_start = guest_ram_start,
          .ram_bytes = guest_ram_bytes,
          .maintenance = maintenance_functions(image, symbols.base, symbols.symbols),
          .blind_spots = std::move(blind_spots)};
}

AuditResult result_of(Judge& judge, const std::vector<std::string>& required) {
  AuditResult result = judge.result();
  std::ranges::copy_if(required, std::back_inserter(result.required_not_reached),
                       [&](const std::string& function) { return !judge.reached(function); });
  return result;
}

}  // namespace

Expected<AuditResult> audit_guest(const AuditRequest& request, const Progress& progress) {
  auto kernel = find_kernel(request.kernel, progress);
  if (!kernel) return tl::unexpected(kernel.error());
  if (!request.modules_dir.empty()) kernel->modules_dir = request.modules_dir;
  auto image = load_image(kernel->image);
  if (!image) return tl::unexpected(image.error());
  auto symbols = find_symbols(request, *image);
  if (!symbols) return tl::unexpected(symbols.error());
  auto options = guest_options(request, *kernel, *image, progress);
  if (!options) return tl::unexpected(options.error());

  auto watched = watched_places(symbols->symbols);
  if (!watched) return tl::unexpected(watched.error());
  options->watched = std::move(watched->places);

  const TraceHeader header = header_of(*options, *image, *symbols, std::move(watched->blind_spots));
  Judge judge(header, [&](std::uint64_t address) { return symbols->symbols.describe(address); });
  std::optional<TraceWriter> writer;
  if (!request.record.empty()) {
    auto created = TraceWriter::create(request.record, header);
    if (!created) return tl::unexpected(created.error());
    writer = std::move(*created);
  }
  bool damaged = false;
  const GuestCallbacks callbacks{
      .chunk =
          [&](std::span<const std::uint8_t> bytes, std::uint32_t events) {
            if (writer) writer->chunk(bytes, events);
            damaged |= !judge.chunk(bytes);
          },
      .progress = progress,
  };
  auto outcome = run_guest(*options, callbacks);
  const bool stopped = !outcome && (outcome.error().code == ExitCode::guest_failed ||
                                    outcome.error().code == ExitCode::interrupted);
  if (!outcome) {
    // Half a trace would only be refused later.
    std::error_code ignored;
    if (writer) std::filesystem::remove(request.record, ignored);
    if (!stopped) return tl::unexpected(outcome.error());
    AuditResult result = result_of(judge, request.required);
    result.release = options->kernel.release;
    result.stopped = outcome.error();
    return result;
  }
  if (damaged) return fail(ExitCode::internal, "the plugin sent events that cannot be decoded");
  if (writer) {
    if (auto done = writer->finish({judge.stacks().names(), outcome->seconds}); !done)
      return tl::unexpected(done.error());
  }
  judge.ended();
  AuditResult result = result_of(judge, request.required);
  result.release = outcome->release;
  result.seconds = outcome->seconds;
  return result;
}

Expected<AuditResult> audit_trace(const std::filesystem::path& path,
                                  const std::vector<std::string>& required) {
  auto trace = TraceReader::open(path);
  if (!trace) return tl::unexpected(trace.error());
  const auto started = std::chrono::steady_clock::now();
  const auto& names = trace->trailer().symbols;
  Judge judge(trace->header(), [&](std::uint64_t address) {
    const auto it = names.find(address);
    return it == names.end() ? fmt::format("0x{:x}", address) : it->second;
  });
  for (std::size_t i = 0; i < trace->frame_count(); ++i) {
    auto frame = trace->frame(i);
    if (!frame) return tl::unexpected(frame.error());
    if (!judge.chunk(*frame)) return fail(ExitCode::bad_data, "{} has a damaged frame", path.string());
  }
  judge.ended();
  AuditResult result = result_of(judge, required);
  result.seconds = trace->trailer().seconds;
  result.judge_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  return result;
}

}  // namespace shootdown::audit
