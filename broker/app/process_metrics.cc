#include "broker/app/process_metrics.h"

#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>

namespace broker::app {

namespace {

// A counter only grows; what the kernel says may begin again with a new network namespace.
void advance(prometheus::Counter& counter, double to) {
  if (to > counter.Value()) counter.Increment(to - counter.Value());
}

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

// read_bytes and write_bytes of /proc/self/io: what reached the block layer.
double disk_bytes() {
  std::ifstream file("/proc/self/io");
  double sum = 0, value = 0;
  std::string name;
  while (file >> name >> value) {
    if (name == "read_bytes:" || name == "write_bytes:") sum += value;
  }
  return sum;
}

// Sent and received by every interface of this network namespace but loopback.
double network_bytes() {
  std::ifstream file("/proc/self/net/dev");
  double sum = 0;
  for (std::string line; std::getline(file, line);) {
    auto colon = line.find(':');
    if (colon == std::string::npos || line.find("lo:") != std::string::npos) continue;
    std::istringstream fields(line.substr(colon + 1));
    double value = 0;
    for (int i = 0; fields >> value; i++) {
      if (i == 0 || i == 8) sum += value;
    }
  }
  return sum;
}

double resident_bytes() {
  std::ifstream file("/proc/self/statm");
  double size = 0, resident = 0;
  file >> size >> resident;
  return resident * 4096;
}

}  // namespace

double usable_cores() {
  double all = static_cast<double>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN)));
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (!(file >> quota >> period) || quota == "max" || period <= 0) return all;
  return std::min(all, std::strtod(quota.c_str(), nullptr) / period);
}

ProcessMetrics::ProcessMetrics(Metrics& metrics, std::string data_directory)
    : data_directory_(std::move(data_directory)),
      cpu_seconds_(metrics.counter("sluice_process_cpu_seconds_total",
                                   "Processor time of the broker.")),
      disk_bytes_(metrics.counter("sluice_process_disk_bytes_total",
                                  "Bytes that the broker read from and wrote to disks.")),
      network_bytes_(metrics.counter("sluice_network_bytes_total",
                                     "Bytes sent and received by the pod.")),
      cpu_cores_(metrics.gauge("sluice_process_cpu_cores", "Processors that the broker may use.")),
      memory_bytes_(metrics.gauge("sluice_process_memory_bytes", "Resident memory.")),
      volume_used_(metrics.gauge("sluice_volume_used_bytes", "Used bytes of the data volume.")),
      volume_capacity_(metrics.gauge("sluice_volume_capacity_bytes",
                                     "Bytes of the data volume that the broker may use.")) {
  cpu_cores_.Set(usable_cores());
}

void ProcessMetrics::refresh() {
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) == 0) {
    advance(cpu_seconds_, seconds(usage.ru_utime) + seconds(usage.ru_stime));
  }
  advance(disk_bytes_, disk_bytes());
  advance(network_bytes_, network_bytes());
  memory_bytes_.Set(resident_bytes());
  struct statvfs volume {};
  if (statvfs(data_directory_.c_str(), &volume) != 0) return;
  auto block = static_cast<double>(volume.f_frsize);
  double used = static_cast<double>(volume.f_blocks - volume.f_bfree) * block;
  volume_used_.Set(used);
  volume_capacity_.Set(used + static_cast<double>(volume.f_bavail) * block);
}

}  // namespace broker::app
