#include "meter.hpp"

#include "measuring.hpp"

#include <dirent.h>
#include <unistd.h>

#include <cctype>
#include <cstdlib>
#include <fstream>
#include <sstream>

namespace maestro::benchmark {

namespace {

struct times {
  pid_t parent = 0;
  double own = 0;       // Seconds.
  double children = 0;  // Of those that have ended.
};

// Nothing for a process that has just ended.
auto times_of(pid_t process) -> times {
  std::ifstream file("/proc/" + std::to_string(process) + "/stat");
  const std::string line{std::istreambuf_iterator<char>(file), {}};
  const auto name_ends = line.rfind(')');
  if (name_ends == line.npos) return {};
  std::istringstream rest(line.substr(name_ends + 2));
  std::vector<std::string> fields;
  for (std::string field; rest >> field;) fields.push_back(field);
  if (fields.size() < 15) return {};
  static const double ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
  const auto seconds = [&](std::size_t first) { return (std::stod(fields[first]) + std::stod(fields[first + 1])) / ticks; };
  return {std::stoi(fields[1]), seconds(11), seconds(13)};
}

auto cpu_of(pid_t process) -> double { return times_of(process).own; }

auto cpu_of_server(pid_t postmaster) -> double {
  const auto head = times_of(postmaster);
  double total = head.own + head.children;
  DIR* const processes = ::opendir("/proc");
  if (processes == nullptr) throw std::runtime_error("/proc cannot be read");
  while (const dirent* entry = ::readdir(processes)) {
    if (std::isdigit(static_cast<unsigned char>(entry->d_name[0])) == 0) continue;
    const auto each = times_of(std::atoi(entry->d_name));
    if (each.parent == postmaster) total += each.own;
  }
  ::closedir(processes);
  return total;
}

auto peak_megabytes(pid_t process) -> double {
  std::ifstream status("/proc/" + std::to_string(process) + "/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::stod(line.substr(6)) / 1024;
  return 0;
}

}  // namespace

auto find_postmaster(const std::string& uri) -> pid_t {
  const auto database = must(open_database(uri));
  const auto connection = database->open_reader();
  const auto backend = must(connection->query("SELECT pg_backend_pid()", {})).at(0).at(0).as<std::int64_t>();
  const auto parent = times_of(static_cast<pid_t>(backend)).parent;
  if (parent == 0) throw std::runtime_error("the server's processes are not on this machine");
  return parent;
}

meter::meter(std::vector<pid_t> own, pid_t server) : own_(std::move(own)), server_(server) {
  for (const auto process : own_) {
    std::ofstream("/proc/" + std::to_string(process) + "/clear_refs") << 5;  // The peak begins anew.
    own_before_ += cpu_of(process);
  }
  if (server_ != 0) server_before_ = cpu_of_server(server_);
}

void meter::stop(sample& into, double operations) const {
  double own = 0;
  for (const auto process : own_) {
    own += cpu_of(process);
    into.peak_mb += peak_megabytes(process);
  }
  if (operations <= 0) return;
  into.own_cpu = (own - own_before_) * 1e6 / operations;
  if (server_ != 0) into.server_cpu = (cpu_of_server(server_) - server_before_) * 1e6 / operations;
}

}  // namespace maestro::benchmark
