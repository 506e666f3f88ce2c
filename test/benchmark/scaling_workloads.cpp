#include "filling.hpp"
#include "measuring.hpp"
#include "references.hpp"
#include "subject.hpp"
#include "workloads.hpp"

namespace maestro::benchmark {

namespace {

using scene_ptr = std::shared_ptr<scene<ledger>>;

// A node with `adjust`ed settings, so many ledgers in use, and so many rows of others in its log.
auto grown(const surroundings& at, const std::string& schema, std::size_t aggregates, const adjust_settings& adjust = {}, std::int64_t rows = 0) -> scene_ptr {
  const auto uri = fresh_schema(at.server, schema);
  if (rows > 0) {
    (void)must(must(open_database(uri))->migrate({}));
    fill_log(uri, rows);
    vacuum(at.server, schema + ".event_log");
  }
  return std::make_shared<scene<ledger>>(uri, aggregates, find_postmaster(at.server), adjust);
}

// The same with ledgers that have so many events each, and are in memory.
auto inhabited(const surroundings& at, std::size_t aggregates, int events_each) -> scene_ptr {
  const auto uri = fresh_schema(at.server, "bench");
  auto ids = fill_ledgers(uri, aggregates, events_each);
  vacuum(at.server, "bench.event_log");
  const adjust_settings keep_all = [=](node_settings& settings) { settings.max_live_aggregates = 2 * aggregates; };
  const auto all = std::make_shared<scene<ledger>>(uri, std::move(ids), find_postmaster(at.server), keep_all);
  all->accounts.hydrate(all->nodes.client(), all->accounts.ids());
  return all;
}

// Something is changed, against the default beside it.
auto changed(std::string name, std::string title, std::size_t callers, std::function<scene_ptr(const surroundings&)> make, std::size_t usual_aggregates = 1000)
    -> workload {
  return {.name = std::move(name),
          .title = std::move(title),
          .set_up = [callers, usual_aggregates, make = std::move(make)](const surroundings& at) -> contest {
            const auto other = make(at);
            const auto usual = grown(at, "bench_usual", usual_aggregates);
            return {{{"changed", other->sends(callers)}, {"usual", usual->sends(callers)}}, std::make_shared<std::pair<scene_ptr, scene_ptr>>(other, usual)};
          }};
}

auto with_writers(std::size_t writers, std::size_t callers) -> workload {
  return changed("writers_" + std::to_string(writers) + "_callers_" + std::to_string(callers),
                 many(writers, "writer") + ", " + many(callers, "caller") + ", against one", callers, [=](const surroundings& at) {
                   return grown(at, "bench", 1000, [=](node_settings& settings) { settings.store_writers = writers; });
                 });
}

auto with_threads(std::size_t threads, std::size_t callers) -> workload {
  const auto title = many(threads, "scheduler thread") + ", " + many(callers, "caller") + ", against a thread per core";
  return changed("threads_" + std::to_string(threads) + "_callers_" + std::to_string(callers), title, callers, [=](const surroundings& at) {
    return grown(at, "bench", 1000, [=](node_settings& settings) { settings.caf.max_threads = threads; });
  });
}

auto as_caf_shares(std::size_t callers) -> workload {
  return changed("sharing_callers_" + std::to_string(callers),
                 "CAF's scheduler.policy sharing, " + many(callers, "caller") + ", against ours", callers,
                 [](const surroundings& at) {
                   return grown(at, "bench", 1000, [](node_settings& settings) { settings.caf.scheduler_policy = "sharing"; });
                 });
}

// One aggregate that everybody wants, with one command per commit.
auto without_evaluating_ahead() -> workload {
  return changed("hot_64_one_by_one", "one hot aggregate, 64 callers, one command per commit, against evaluating ahead", 64, [](const surroundings& at) {
    return grown(at, "bench", 1, [](node_settings& settings) { settings.aggregate.max_commands_ahead = 1; });
  }, 1);
}

auto with_rows(std::string name, std::string words, std::int64_t rows) -> workload {
  return changed("log_" + std::move(name), "64 callers on a log of " + std::move(words) + " events, against a short one", 64, [=](const surroundings& at) {
    return grown(at, "bench", 1000, adjust_settings{}, rows);
  });
}

auto with_aggregates(std::string name, std::string words, std::size_t count) -> workload {
  return changed("live_" + std::move(name), "64 callers, each command to one of " + std::move(words) + " live aggregates, against 1,000", 64,
                 [=](const surroundings& at) { return inhabited(at, count, 1); });
}

auto with_histories(std::string name, std::string words, int events) -> workload {
  return changed("events_each_" + std::move(name), "64 callers, aggregates with " + std::move(words) + " events each, against new ones", 64,
                 [=](const surroundings& at) { return inhabited(at, 1000, events); });
}

}  // namespace

auto scaling_workloads() -> std::vector<workload> {
  return {without_evaluating_ahead(),
          with_writers(2, 4),
          with_writers(2, 16),
          with_writers(2, 64),
          with_writers(2, 1024),
          with_writers(4, 1024),
          as_caf_shares(1),
          as_caf_shares(64),
          as_caf_shares(1024),
          with_threads(1, 1),
          with_threads(1, 64),
          with_threads(1, 1024),
          with_threads(4, 1024),
          with_rows("1m", "1,000,000", 1'000'000),
          with_rows("10m", "10,000,000", 10'000'000),
          with_aggregates("10k", "10,000", 10'000),
          with_aggregates("100k", "100,000", 100'000),
          with_aggregates("1m", "1,000,000", 1'000'000),
          with_histories("1k", "1,000", 1'000)};
}

}  // namespace maestro::benchmark
