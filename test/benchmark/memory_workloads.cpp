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

#include <atomic>
#include <fstream>
#include <iostream>
#include <span>

namespace maestro::benchmark {

namespace {

auto resident_bytes() -> double {
  ::malloc_trim(0);
  std::ifstream statm("/proc/self/statm");
  double size = 0, resident = 0;
  statm >> size >> resident;
  return resident * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

// Asks each for its state, so that all are in memory.
void hydrate_all(client& node, std::span<const typed_id<ledger>> ids) {
  std::atomic<std::size_t> next{0};
  (void)let_call_times(256, ids.size(), [&](std::size_t, answered done) {
    query_request request;
    request.verb = static_cast<std::uint8_t>(query_verb::get);
    request.aggregate_type = ledger::type;
    request.aggregate_id = ids[next++];
    node.ask_async(std::move(request), std::chrono::minutes(1),
                   [done = std::move(done)](const query_reply& reply) { done(reply.code == 0 && reply.sequence == 1); });
  });
}

// The first tenth is there before the count begins, with the store's caches and all else that comes with the first ones.
auto bytes_of_aggregates(const std::string& uri, std::size_t count) -> double {
  const auto ids = fill_ledgers(uri, count + count / 10, 1);
  const auto node = start_node(uri, [&](node_settings& settings) { settings.max_live_aggregates = 2 * count; });
  const auto client = node->local_client();
  hydrate_all(*client, std::span(ids).first(count / 10));
  const double before = resident_bytes();
  hydrate_all(*client, std::span(ids).subspan(count / 10));
  return (resident_bytes() - before) / static_cast<double>(count);
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
           .rounds = 1}};
}

}  // namespace maestro::benchmark
