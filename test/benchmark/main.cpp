// maestro_bench: runs workloads, each in rounds that alternate with those of what it is compared to, and prints medians and
// ratios. test/benchmark/run starts a server and runs it; test/benchmark/README.md says what the figures mean.
#include "ledger.hpp"
#include "measuring.hpp"
#include "report.hpp"
#include "workloads.hpp"

#include <maestro/runtime/logging.hpp>
#include <maestro/runtime/node.hpp>

#include <CLI/CLI.hpp>
#include <caf/config.hpp>
#include <nlohmann/json.hpp>

#include <sys/utsname.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <sstream>
#include <thread>

using namespace maestro;
using namespace maestro::benchmark;

namespace {

struct options {
  int rounds = 5;
  int milliseconds = 3000;
  std::vector<std::string> only;
  bool table_only = false;
  bool smoke = false;
  std::string json_file;
};

struct folder {
  folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "maestro_benchmark_XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no folder can be made at " + pattern);
    path = pattern;
  }
  folder(const folder&) = delete;
  auto operator=(const folder&) -> folder& = delete;
  ~folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  std::string path;
};

auto all_workloads() -> std::vector<workload> {
  std::vector<workload> all;
  for (const auto& some : {commit_workloads(), network_workloads(), hydration_workloads(), memory_workloads(), embedded_workloads(), scaling_workloads()})
    all.insert(all.end(), some.begin(), some.end());
  return all;
}

auto is_chosen(const workload& each, const options& how) -> bool {
  if (how.smoke) return each.name == "embedded_64";
  if (how.table_only && each.wanted == goal::none) return false;
  if (how.only.empty()) return true;
  return std::any_of(how.only.begin(), how.only.end(), [&](const auto& part) { return each.name.find(part) != each.name.npos; });
}

auto take_turns(const workload& what, const surroundings& at, const options& how) -> workload_result {
  const auto contest = what.set_up(at);
  workload_result result{what, {}};
  for (const auto& each : contest.contestants) result.contestants.push_back({each.name, {}, {}});
  const std::chrono::milliseconds length(how.milliseconds);
  // Not counted: caches, plans and connections come to be.
  if (what.rounds != 1)
    for (const auto& each : contest.contestants) (void)each.round(std::min(length, std::chrono::milliseconds(1000)));
  for (int round = 0; round < (what.rounds > 0 ? what.rounds : how.rounds); ++round)
    for (std::size_t i = 0; i < contest.contestants.size(); ++i) result.contestants[i].rounds.push_back(contest.contestants[i].round(length));
  for (auto& each : result.contestants) each.median = median_of(each.rounds);
  return result;
}

auto describe_machine(const surroundings& at) -> nlohmann::json {
  utsname system{};
  ::uname(&system);
  nlohmann::json machine = {{"system", std::string(system.sysname) + " " + system.release + " " + system.machine},
                            {"cores", std::thread::hardware_concurrency()},
                            {"compiler", "g++ " __VERSION__},
                            {"caf", std::to_string(CAF_MAJOR_VERSION) + "." + std::to_string(CAF_MINOR_VERSION) + "." + std::to_string(CAF_PATCH_VERSION)}};
  const auto now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::ostringstream date;
  date << std::put_time(std::gmtime(&now), "%F");
  machine["date"] = date.str();
  if (!at.server.empty())
    machine["postgresql"] = must(must(open_database(at.server))->open_reader()->query("SHOW server_version", {})).at(0).at(0).as<std::string>();
  return machine;
}

auto run_workloads(const options& how) -> int {
  const char* server = std::getenv("MAESTRO_TEST_POSTGRES");
  if (server == nullptr && !how.smoke) throw std::runtime_error("MAESTRO_TEST_POSTGRES is not set; test/benchmark/run sets it");
  must(set_up_logging("warn", ""));
  const folder scratch;
  const surroundings at{server == nullptr ? "" : server, scratch.path, std::filesystem::read_symlink("/proc/self/exe").string()};
  std::vector<workload> chosen;
  for (auto& each : all_workloads())
    if (is_chosen(each, how)) chosen.push_back(std::move(each));
  if (chosen.empty()) throw std::runtime_error("there is no such workload; see --list");

  std::printf("%-26s%9s%9s%9s%9s%7s%8s%8s%7s\n%-26s%9s%9s%9s%9s%7s%8s%8s%7s\n", "", "rate or", "p50", "p99", "p99.9", "batch", "CPU us", "server", "peak",
              "", "value", "ms", "ms", "ms", "", "each", "us each", "MB");
  nlohmann::json json = {{"machine", describe_machine(at)}, {"rounds", how.rounds}, {"milliseconds", how.milliseconds}};
  bool all_met = true;
  for (const auto& each : chosen) {
    const auto result = take_turns(each, at, how);
    std::cout << as_text(result) << std::endl;
    json["workloads"].push_back(as_json(result));
    all_met = all_met && result.is_met();
    if (!how.json_file.empty()) std::ofstream(how.json_file) << json.dump(1) << '\n';
  }
  std::cout << (all_met ? "All goals are met.\n" : "Some goals are not met.\n");
  return all_met || how.smoke ? 0 : 3;
}

}  // namespace

int main(int argc, char** argv) try {
  // A node of a workload, in a process of its own.
  if (argc > 1 && std::string_view(argv[1]) == "serve") return run_node(argc - 1, argv + 1, ledger_types());
  if (argc == 5 && std::string_view(argv[1]) == "memory") return measure_memory(argv[2], std::stoul(argv[3]), argv[4]);

  options how;
  bool list = false;
  CLI::App app{"Measures workloads against what users would otherwise do."};
  app.add_option("--rounds", how.rounds, "Rounds of each workload")->capture_default_str()->check(CLI::Range(1, 1000));
  app.add_option("--milliseconds", how.milliseconds, "Length of a round; pgbench takes whole seconds")->capture_default_str()->check(CLI::Range(10, 600'000));
  app.add_option("--only", how.only, "Workloads whose name holds one of these");
  app.add_flag("--table", how.table_only, "Only those with a goal");
  app.add_option("--json", how.json_file, "Also write the results to this file");
  app.add_flag("--smoke", how.smoke, "Only one that needs no server: whether it runs");
  app.add_flag("--list", list, "Print the workloads' names, and end");
  CLI11_PARSE(app, argc, argv);
  if (list) {
    for (const auto& each : all_workloads())
      if (is_chosen(each, how)) std::cout << each.name << '\t' << each.title << '\n';
    return 0;
  }
  return run_workloads(how);
} catch (const std::exception& problem) {
  std::cerr << "maestro_bench: " << problem.what() << std::endl;
  return 1;
}
