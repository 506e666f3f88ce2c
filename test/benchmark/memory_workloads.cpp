#include "filling.hpp"
#include "measuring.hpp"
#include "references.hpp"
#include "subject.hpp"
#include "workloads.hpp"

#include <maestro/runtime/logging.hpp>

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/send.hpp>

#include <malloc.h>

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <iostream>
#include <latch>
#include <memory>
#include <span>
#include <thread>

namespace maestro::benchmark {

namespace {

auto resident_bytes() -> double {
  ::malloc_trim(0);
  std::ifstream statm("/proc/self/statm");
  double size = 0, resident = 0;
  statm >> size >> resident;
  return resident * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

// A node in this process, and ledgers that it finds in its log.
struct inhabited {
  inhabited(const std::string& uri, std::size_t count)
      : ids(fill_ledgers(uri, count, 1)),
        node(start_node(uri, [&](node_settings& settings) { settings.max_live_aggregates = 2 * count; })),
        client(node->local_client()) {}
  const std::vector<typed_id<ledger>> ids;
  const std::unique_ptr<maestro::node> node;
  const std::unique_ptr<maestro::client> client;
};

// The first tenth is there before the count begins, with the store's caches and all else that comes with the first ones.
auto bytes_of_aggregates(const std::string& uri, std::size_t count) -> double {
  const inhabited here(uri, count + count / 10);
  const std::span all(here.ids);
  ledgers<ledger>::hydrate(*here.client, all.first(count / 10));
  const double before = resident_bytes();
  ledgers<ledger>::hydrate(*here.client, all.subspan(count / 10));
  return (resident_bytes() - before) / static_cast<double>(count);
}

// All that the process has, in MB.
auto megabytes_with_aggregates(const std::string& uri, std::size_t count) -> double {
  const inhabited here(uri, count);
  ledgers<ledger>::hydrate(*here.client, here.ids);
  return resident_bytes() / 1e6;
}

// Each waits for a commit that does not end: what the client, the node and the aggregate hold of it.
auto bytes_of_commands(const std::string& uri, std::size_t count) -> double {
  const auto node = start_node(uri, [&](node_settings& settings) { settings.max_commands_per_client = count; });
  const auto client = node->local_client();
  const ledgers<held_ledger> held(1000);
  const auto ask = held.sends(*client, example_record);
  (void)let_call_times(1, 10'000, ask);  // Each is in memory, most likely, and what comes with the first ones.
  gate::is_open = false;
  held_ledger::evaluated = 0;
  const double before = resident_bytes();
  std::latch answers(static_cast<std::ptrdiff_t>(count));
  std::atomic<bool> failed{false};
  for (std::size_t i = 0; i < count; ++i)
    ask(i, [&](bool good) {
      if (!good) failed = true;
      answers.count_down();
    });
  while (held_ledger::evaluated < count) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  const double each = (resident_bytes() - before) / static_cast<double>(count);
  gate::is_open = true;
  gate::is_open.notify_all();
  answers.wait();
  if (failed) throw std::runtime_error("a command was not answered as expected");
  return each;
}

struct bare_actor : caf::event_based_actor {
  using caf::event_based_actor::event_based_actor;
  auto make_behavior() -> caf::behavior override {
    return {[](retire_aggregate) {}};
  }
};

auto bytes_of_actors(std::size_t count) -> double {
  caf::actor_system_config configuration;
  caf::actor_system system(configuration);
  std::vector<caf::actor> actors;
  actors.reserve(count);
  const double before = resident_bytes();
  for (std::size_t i = 0; i < count; ++i) actors.push_back(caf::actor_cast<caf::actor>(system.spawn<bare_actor>()));
  const double each = (resident_bytes() - before) / static_cast<double>(count);
  for (const auto& actor : actors) caf::anon_send_exit(actor, caf::exit_reason::user_shutdown);
  return each;
}

auto measured_elsewhere(const surroundings& at, const std::string& kind, std::size_t count) -> contestant {
  return {kind, [=](std::chrono::milliseconds) {
            const auto uri = "sqlite:" + fresh_file(at, "memory");
            const auto ended = test::run({at.executable, "memory", kind, std::to_string(count), uri}, std::chrono::minutes(10));
            if (ended.status != 0) throw std::runtime_error(ended.errors);
            sample taken;
            taken.value = std::stod(ended.out);
            return taken;
          }};
}

}  // namespace

auto measure_memory(const std::string& kind, std::size_t count, const std::string& uri) -> int {
  must(set_up_logging("warn", ""));
  if (kind == "aggregate") std::cout << bytes_of_aggregates(uri, count) << std::endl;
  else if (kind == "actor") std::cout << bytes_of_actors(count) << std::endl;
  else if (kind == "command") std::cout << bytes_of_commands(uri, count) << std::endl;
  else if (kind == "process") std::cout << megabytes_with_aggregates(uri, count) << std::endl;
  else throw std::runtime_error("there is no memory to measure of \"" + kind + '"');
  return 0;
}

auto memory_workloads() -> std::vector<workload> {
  return {{.name = "idle_bytes",
           .title = "bytes of an idle live aggregate, against a bare CAF actor",
           .unit = "bytes",
           .wanted = goal::value_at_most,
           .target = 2'000,
           .set_up =
               [](const surroundings& at) -> contest {
             return {{measured_elsewhere(at, "aggregate", 100'000), measured_elsewhere(at, "actor", 100'000)}, {}};
           },
           .rounds = 1},
          {.name = "idle_1m",
           .title = "the whole process with 1,000,000 live idle aggregates",
           .unit = "MB",
           .wanted = goal::value_at_most,
           .target = 2'500,
           .set_up = [](const surroundings& at) -> contest { return {{measured_elsewhere(at, "process", 1'000'000)}, {}}; },
           .rounds = 1},
          {.name = "queued_bytes",
           .title = "bytes of a command that waits for a commit, its client's part included",
           .unit = "bytes",
           .set_up = [](const surroundings& at) -> contest { return {{measured_elsewhere(at, "command", 90'000)}, {}}; },
           .rounds = 1}};
}

}  // namespace maestro::benchmark
