#include "measuring.hpp"
#include "references.hpp"
#include "subject.hpp"
#include "workloads.hpp"

namespace maestro::benchmark {

namespace {

// A node on a schema of its own.
template <class Ledger>
auto one_node(const surroundings& at, std::size_t aggregates) {
  return std::make_shared<scene<Ledger>>(fresh_schema(at.server, "bench"), aggregates, find_postmaster(at.server));
}

// Text that does not compress to nothing, the same each time.
auto note_of(std::size_t bytes) -> std::string {
  std::string note;
  std::uint64_t state = 88172645463325252;
  while (note.size() < bytes) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    note += "abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ,.0123456789"[state % 64];
  }
  return note;
}

// Ours, pgbench with as many clients, and one connection with large statements.
auto plain(std::string name, std::string title, std::size_t aggregates, std::size_t callers, double target, int clients = 64) -> workload {
  return {.name = std::move(name),
          .title = std::move(title),
          .wanted = target > 0 ? goal::ratio_at_least : goal::none,
          .target = target,
          .set_up = [=](const surroundings& at) -> contest {
            const auto all = one_node<ledger>(at, aggregates);
            return {{{"ours", all->sends(callers)},
                     pgbench_inserts(at, all->uri, clients, entry_json()),
                     large_inserts(all->uri, entry_json())},
                    all};
          }};
}

// For the plots: throughput and latency against the number of callers.
auto callers(std::size_t count) -> workload {
  return plain("callers_" + std::to_string(count), "1,000 aggregates, " + many(count, "caller"), 1000, count, 0,
               static_cast<int>(std::min<std::size_t>(count, 64)));
}

auto several_events(int count) -> workload {
  return {.name = "events_" + std::to_string(count),
          .title = "1,000 aggregates, 64 callers, " + std::to_string(count) + " events a command",
          .unit = "events/s",
          .set_up = [=](const surroundings& at) -> contest {
            const auto all = one_node<ledger>(at, 1000);
            const auto make = [count] { return record_many{count, example_entry().note}; };
            return {{{"ours", all->sends(64, make, count)},
                     pgbench_inserts(at, all->uri, 64, entry_json()),
                     large_inserts(all->uri, entry_json())},
                    all};
          }};
}

auto body_of(const std::string& name, const std::string& size, std::size_t bytes) -> workload {
  return {.name = "body_" + name,
          .title = "1,000 aggregates, 64 callers, bodies of " + size,
          .set_up = [=](const surroundings& at) -> contest {
            const auto all = one_node<ledger>(at, 1000);
            const auto note = note_of(bytes - 70);  // What the other members take.
            const auto make = [note] { return record{example_entry(1, note)}; };
            return {{{"ours", all->sends(64, make)},
                     pgbench_inserts(at, all->uri, 64, entry_json(note)),
                     large_inserts(all->uri, entry_json(note))},
                    all};
          }};
}

auto with_projection() -> workload {
  return {.name = "projection",
          .title = "1,000 aggregates, 64 callers, a projection of one row",
          .wanted = goal::ratio_at_least,
          .target = 2,
          .set_up = [](const surroundings& at) -> contest {
            const auto all = one_node<projected_ledger>(at, 1000);
            return {{{"ours", all->sends(64)}, pgbench_inserts(at, all->uri, 64, entry_json())}, all};
          }};
}

auto with_failures() -> workload {
  return {.name = "failing_projection",
          .title = "the same, 1 in 100 fails in its projection, against none",
          .wanted = goal::ratio_at_least,
          .target = 0.5,
          .set_up = [](const surroundings& at) -> contest {
            const auto all = one_node<projected_ledger>(at, 1000);
            const auto some_fail = [] { return record{example_entry(ledgers<ledger>::random_below(100) == 0 ? -1 : 1)}; };
            return {{{"1 in 100", all->sends(64, some_fail, 1, true)}, {"none", all->sends(64)}}, all};
          }};
}

// Of five requests four read.
auto mostly_reads() -> workload {
  return {.name = "mixed_reads",
          .title = "1,000 aggregates, 64 callers, 80 % of them reading",
          .unit = "requests/s",
          .set_up = [](const surroundings& at) -> contest {
            const auto all = one_node<ledger>(at, 1000);
            const auto gets = all->accounts.gets(all->nodes.client());
            const auto sends = all->accounts.sends(all->nodes.client(), example_record);
            const next_request ask = [gets, sends](std::size_t caller, answered done) {
              if (ledgers<ledger>::random_below(5) == 0) sends(caller, std::move(done));
              else gets(caller, std::move(done));
            };
            return {{{"ours", [all, ask](auto length) { return all->nodes.round(64, length, ask); }},
                     pgbench_inserts(at, all->uri, 64, entry_json(), 4)},
                    all};
          }};
}

}  // namespace

auto commit_workloads() -> std::vector<workload> {
  return {plain("many_64", "1,000 aggregates, 64 callers", 1000, 64, 4),
          plain("many_1024", "1,000 aggregates, 1,024 callers", 1000, 1024, 5),
          plain("hot_64", "one hot aggregate, 64 callers", 1, 64, 3),
          with_projection(),
          with_failures(),
          plain("one_caller", "one aggregate, one caller", 1, 1, 0.8, 1),
          plain("hot_512", "one hot aggregate, 512 callers", 1, 512, 0),
          several_events(2),
          several_events(10),
          body_of("200b", "200 bytes", 200),
          body_of("2kb", "2 kB", 2'000),
          body_of("50kb", "50 kB", 50'000),
          mostly_reads(),
          callers(1),
          callers(4),
          callers(16),
          callers(64),
          callers(256),
          callers(1024)};
}

}  // namespace maestro::benchmark
