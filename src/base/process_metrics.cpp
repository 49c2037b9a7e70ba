#include "base/process_metrics.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>

#include "base/metric_text.hpp"
#include "base/read_file.hpp"

namespace rowcrew {
namespace {

constexpr std::size_t kMaxStatus = 16384;

/// Of /proc/self/status: "Threads:\t7" and "VmRSS:\t  8124 kB".
std::optional<std::uint64_t> status_number(const std::string& status, const std::string& key) {
  const auto at = status.find("\n" + key + ":");
  unsigned long long value = 0;
  if (at == std::string::npos || std::sscanf(status.c_str() + at + key.size() + 2, "%llu", &value) != 1) return std::nullopt;
  return value;
}

std::optional<std::uint64_t> open_descriptors() {
  std::error_code failed;
  std::uint64_t count = 0;
  for (std::filesystem::directory_iterator at("/proc/self/fd", failed), end; !failed && at != end; at.increment(failed)) ++count;
  if (failed || count == 0) return std::nullopt;
  return count - 1;  // the one that lists them
}

double seconds(const timeval& time) { return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6; }

std::string cpu_metric() {
  rusage used{};
  if (::getrusage(RUSAGE_SELF, &used) != 0) return {};
  MetricFamily cpu("process_cpu_seconds_total", "counter", "Processor time of this process, without child programs.");
  cpu.add({}, seconds(used.ru_utime) + seconds(used.ru_stime));
  return cpu.text();
}

}  // namespace

std::string process_metrics(std::chrono::system_clock::time_point started) {
  MetricFamily memory("process_resident_memory_bytes", "gauge", "Memory of this process.");
  MetricFamily threads("process_threads", "gauge", "Threads of this process.");
  MetricFamily open("process_open_fds", "gauge", "Open file descriptors.");
  MetricFamily most("process_max_fds", "gauge", "How many file descriptors may be open.");
  MetricFamily start("process_start_time_seconds", "gauge", "When this process started, since 1970.");
  const std::string status = "\n" + read_file("/proc/self/status", kMaxStatus).content;
  if (const auto kib = status_number(status, "VmRSS")) memory.add({}, *kib * 1024);
  if (const auto count = status_number(status, "Threads")) threads.add({}, *count);
  if (const auto count = open_descriptors()) open.add({}, *count);
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) most.add({}, static_cast<std::uint64_t>(limit.rlim_cur));
  // Milliseconds: a double that moved in its last digits would look like a restart.
  const auto since = std::chrono::duration_cast<std::chrono::milliseconds>(started.time_since_epoch());
  start.add({}, static_cast<double>(since.count()) / 1000);
  return cpu_metric() + memory.text() + threads.text() + open.text() + most.text() + start.text();
}

std::string build_metrics(std::string_view version, int schema) {
  MetricFamily build("rowcrew_build_info", "gauge", "What runs here.");
  if (schema == 0) {
    build.add({{"version", version}, {"compiler", __VERSION__}}, 1);
  } else {
    build.add({{"version", version}, {"schema", std::to_string(schema)}, {"compiler", __VERSION__}}, 1);
  }
  return build.text();
}

}  // namespace rowcrew
