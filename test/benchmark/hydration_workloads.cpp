#include "filling.hpp"
#include "measuring.hpp"
#include "references.hpp"
#include "subject.hpp"
#include "workloads.hpp"

namespace maestro::benchmark {

namespace {

using steady = std::chrono::steady_clock;

auto seconds_since(steady::time_point began) -> double { return std::chrono::duration<double>(steady::now() - began).count(); }

struct hydration_scene {
  hydration_scene(const surroundings& at, std::size_t aggregates, int events) : uri(fresh_schema(at.server, "bench")), server(find_postmaster(at.server)) {
    ids = fill_ledgers(uri, aggregates, events);
    vacuum(at.server, "bench.event_log");
  }
  std::string uri;
  pid_t server;
  std::vector<typed_id<ledger>> ids;
};

// Each round is a node of its own, so that nothing is in memory.
auto long_histories() -> workload {
  return {.name = "hydration",
          .title = "hydration of 100,000 events, against rows read raw",
          .unit = "events/s",
          .wanted = goal::ratio_at_least,
          .target = 0.4,
          .set_up = [](const surroundings& at) -> contest {
            constexpr int events = 100'000;
            const auto all = std::make_shared<hydration_scene>(at, 5, events);
            const auto ours = [all](std::chrono::milliseconds) {
              subject nodes(all->uri, all->server);
              sample taken;
              const meter meter({::getpid()}, all->server);
              const auto began = steady::now();
              for (const auto& id : all->ids)
                if (must(nodes.client().get(id)).sequence != events) throw std::runtime_error("events are missing");
              const double total = static_cast<double>(all->ids.size()) * events;
              taken.value = total / seconds_since(began);
              meter.stop(taken, total);
              return taken;
            };
            std::vector<std::string> hex;
            for (const auto& id : all->ids) hex.push_back(id.text());
            return {{{"ours", ours}, raw_reads(all->uri, hex)}, all};
          }};
}

auto cold_start() -> workload {
  return {.name = "cold_start",
          .title = "10,000 aggregates of ten events hit once each after a restart, 64 callers",
          .set_up = [](const surroundings& at) -> contest {
            const auto all = std::make_shared<hydration_scene>(at, 10'000, 10);
            const auto ours = [all](std::chrono::milliseconds) {
              subject nodes(all->uri, all->server);
              std::atomic<std::size_t> next{0};
              const meter meter({::getpid()}, all->server);
              auto taken = let_call_times(64, all->ids.size(), [&](std::size_t, answered done) {
                send_options options;
                options.retry = false;
                nodes.client().send_async(all->ids[next++], record{example_entry()}, options,
                                          [done = std::move(done)](const receipt& got) { done(!got.answer.failure); });
              });
              meter.stop(taken, static_cast<double>(all->ids.size()));
              return taken;
            };
            return {{{"ours", ours}, pgbench_inserts(at, all->uri, 64, entry_json())}, all};
          }};
}

auto start_up() -> workload {
  return {.name = "start_up",
          .title = "from exec to ready, on an existing database",
          .unit = "ms",
          .wanted = goal::value_at_most,
          .target = 200,
          .set_up = [](const surroundings& at) -> contest {
            const auto all = std::make_shared<hydration_scene>(at, 1000, 10);
            const auto ours = [all, at](std::chrono::milliseconds) {
              const auto began = steady::now();
              test::process node({at.executable, "serve", "--store", all->uri, "--port", "0"});
              if (!node.wait_for_line("ready ")) throw std::runtime_error("the node did not start: " + node.errors());
              sample taken;
              taken.value = seconds_since(began) * 1000;
              return taken;
            };
            return {{{"ours", ours}}, all};
          }};
}

}  // namespace

auto hydration_workloads() -> std::vector<workload> { return {long_histories(), cold_start(), start_up()}; }

}  // namespace maestro::benchmark
