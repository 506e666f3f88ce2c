// A projection's tables, filled anew from the log while the log goes on.
#include "conformance.hpp"
#include "seed_application.hpp"

#include <algorithm>
#include <atomic>
#include <map>
#include <stdexcept>
#include <thread>

using namespace maestro;
using namespace maestro::test;
namespace data = boost::unit_test::data;

namespace {

// Who holds which handle, and how often each aggregate has changed it: `take:NAME` and `release` are the events.
auto schema() -> std::vector<migration> {
  return {{"holders", 1,
           "CREATE TABLE holders (id bytea PRIMARY KEY, handle text, changes bigint NOT NULL)",
           "CREATE TABLE holders (id BLOB NOT NULL PRIMARY KEY, handle TEXT, changes INTEGER NOT NULL) STRICT"},
          {"holders", 2, "CREATE UNIQUE INDEX holders_handle ON holders (handle)",
           "CREATE UNIQUE INDEX holders_handle ON holders (handle)"}};
}

constexpr std::string_view take = "take:";

void project_holder(transaction& tx, const event& event) {
  const bool takes = std::string_view(event.type).starts_with(take);
  const sql_value handle = takes ? sql_value(event.type.substr(take.size())) : sql_value(nullptr);
  tx.execute("INSERT INTO holders (id, handle, changes) VALUES ($1, $2, 1) "
             "ON CONFLICT (id) DO UPDATE SET handle = excluded.handle, changes = holders.changes + 1",
             event.aggregate_id, handle);
}

auto projector_of(function_projector::function function) -> std::shared_ptr<const projector> {
  return std::make_shared<function_projector>(std::move(function));
}

auto plan_with(std::shared_ptr<const projector> projector) -> rebuild_plan {
  rebuild_plan plan;
  plan.projection = "holders";
  plan.schema = schema();
  plan.sources = {{"account", std::move(projector)}};
  return plan;
}

auto plan() -> rebuild_plan { return plan_with(projector_of(project_holder)); }

// The rows of the table, one text for each aggregate.
auto rows_of(workbench& bench) -> std::map<std::string, std::string> {
  std::map<std::string, std::string> rows;
  for (const auto& row : bench.query("SELECT id, handle, changes FROM holders"))
    rows[hex(row[0].as<sql_bytes>().bytes)] =
        (row[1].is_null() ? "-" : row[1].as<std::string>()) + " " + std::to_string(row[2].as<std::int64_t>());
  return rows;
}

// What they have to be, from the log.
auto folded(workbench& bench, const std::vector<aggregate_id>& ids) -> std::map<std::string, std::string> {
  std::map<std::string, std::string> rows;
  for (const auto& id : ids) {
    std::string handle = "-";
    sequence_number changes = 0;
    for (auto page = bench.events(id); !page.empty(); page = bench.events(id, {changes})) {
      const auto& last = page.back();
      handle = std::string_view(last.type).starts_with(take) ? last.type.substr(take.size()) : "-";
      changes = last.sequence;
    }
    if (changes > 0) rows[id.text()] = handle + " " + std::to_string(changes);
  }
  return rows;
}

void hold(workbench& bench, const std::vector<aggregate_id>& ids) {
  BOOST_TEST((rows_of(bench) == folded(bench, ids)));
}

// One aggregate's next event.
struct account {
  aggregate_id id;
  sequence_number sequence = 0;
  timestamp newest;

  auto next(request_maker& make, const std::string& type) -> commit_request {
    auto request = make.request(id, 1, 1, sequence, newest);
    request.units[0].events[0].type = type;
    ++sequence;
    newest = request.units[0].events[0].timestamp;
    return request;
  }
};

// `count` aggregates that each take a handle of their own, `events` times.
auto fill(workbench& bench, std::size_t count, std::size_t events) -> std::vector<account> {
  std::vector<account> accounts;
  for (std::size_t i = 0; i < count; ++i) {
    auto request = bench.request(1, events);
    for (auto& event : request.units[0].events) event.type = std::string(take) + std::to_string(i) + "-" + std::to_string(event.sequence);
    bench.committed(request);
    const auto& last = request.units[0].events.back();
    accounts.push_back({request.aggregate_id, last.sequence, last.timestamp});
  }
  return accounts;
}

auto ids_of(const std::vector<account>& accounts) -> std::vector<aggregate_id> {
  std::vector<aggregate_id> ids;
  for (const auto& account : accounts) ids.push_back(account.id);
  return ids;
}

// Another process, so to speak, that goes on giving commands to `accounts`, with the projection.
class traffic {
 public:
  traffic(workbench& bench, std::vector<account>& accounts)
      : elsewhere_(bench.where->open({})), thread_([this, &bench, &accounts] { run(bench, accounts); }) {}
  ~traffic() { end(); }

  [[nodiscard]] auto committed() const -> int { return committed_; }
  /// Sees to it that something is committed between two transactions of a rebuild. For a moment only: within a transaction, where a
  /// statement takes its time, the others may have to wait for its locks.
  [[nodiscard]] auto between_transactions() const -> rebuild_watch {
    return [this](const rebuild_progress& progress) {
      const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(500);
      const int now = committed_;
      while (!progress.paused && committed_ < now + 2 && !ended_ && std::chrono::steady_clock::now() < until) std::this_thread::yield();
      return true;
    };
  }
  void end() {
    enough_ = true;
    if (thread_.joinable()) thread_.join();
  }
  /// Known after the end.
  [[nodiscard]] auto failures() const -> const std::vector<error>& { return failures_; }

 private:
  void run(request_maker& make, std::vector<account>& accounts) {
    const auto writer = elsewhere_->open_writer();
    const auto live = projector_of(project_holder);
    for (std::size_t i = 0; !enough_ && failures_.empty(); i = (i + 1) % accounts.size()) {
      auto request = accounts[i].next(make, i % 2 == 0 ? "release" : std::string(take) + std::to_string(i) + "+" + std::to_string(committed_));
      request.units[0].projector = live;
      const std::vector<const commit_request*> requests = {&request};
      auto outcome = writer->commit_all(requests).front();
      // The log was locked for longer than a statement waits, on a busy machine: nothing was stored.
      for (int more = 100; outcome.failure.code == errc::store_unavailable && more > 0; --more)
        outcome = writer->commit_all(requests).front();
      if (outcome.failure) failures_.push_back(std::move(outcome.failure));
      else ++committed_;
    }
    ended_ = true;
  }

  std::shared_ptr<database> elsewhere_;
  std::atomic<bool> enough_{false};
  std::atomic<bool> ended_{false};
  std::atomic<int> committed_{0};
  std::vector<error> failures_;
  std::thread thread_;
};

auto failure_of(workbench& bench, const rebuild_plan& plan, const rebuild_watch& watch = {}) -> error {
  const auto done = bench.opened->rebuild(plan, watch);
  return done ? error{} : done.failure();
}

}  // namespace

BOOST_AUTO_TEST_SUITE(conformance_rebuild)

BOOST_DATA_TEST_CASE(a_projection_that_was_added_later_is_filled_from_the_log, data::make(stores_under_test()), store) {
  workbench bench(store);
  const auto accounts = fill(bench, 40, 60);
  // Another type's events are not its matter.
  auto other = bench.request();
  other.aggregate_type = other.units[0].events[0].aggregate_type = "other";
  bench.committed(other);

  std::vector<rebuild_progress> heard;
  const auto done = value_of(bench.opened->rebuild(plan(), [&](const rebuild_progress& progress) {
    heard.push_back(progress);
    return true;
  }));
  BOOST_TEST(done.done == 2400U);
  BOOST_TEST(done.total == 2400U);
  BOOST_TEST(done.resumed == 0U);
  BOOST_TEST(heard.size() >= 3U);
  for (std::size_t i = 1; i < heard.size(); ++i) BOOST_TEST(heard[i].done >= heard[i - 1].done);
  hold(bench, ids_of(accounts));
  succeed(bench.opened->check(schema()));
  BOOST_TEST(value_of(bench.opened->migrate(schema())).empty());
  // Its constraints are there, and it goes on with the events that come.
  auto clash = bench.request();
  clash.units[0].events[0].type = std::string(take) + "7-60";
  clash.units[0].projector = projector_of(project_holder);
  BOOST_TEST((bench.commit(clash).failure.code == errc::projection_failed));
  (void)value_of(bench.opened->rebuild(plan(), {}));  // And again, with nothing new.
  hold(bench, ids_of(accounts));
}

BOOST_DATA_TEST_CASE(rows_that_were_wrong_are_right_afterwards_and_the_old_ones_stay_until_then, data::make(stores_under_test()),
                     store) {
  workbench bench(store, {}, schema());
  const auto accounts = fill(bench, 10, 3);
  bench.query("INSERT INTO holders VALUES ($1, 'wrong', 1)", {bench.fresh_id()});
  (void)value_of(bench.opened->rebuild(plan(), [&](const rebuild_progress& progress) {
    // In memory there is one connection, which sees what it does.
    if (progress.done < progress.total && store.name != "sqlite_memory") BOOST_TEST(bench.count("holders") == 1);
    return true;
  }));
  hold(bench, ids_of(accounts));
}

BOOST_DATA_TEST_CASE(a_projection_that_fails_is_named_with_its_event_and_changes_nothing, data::make(stores_under_test()), store) {
  workbench bench(store, {}, schema());
  auto accounts = fill(bench, 5, 3);
  const auto before = rows_of(bench);
  bench.committed(accounts[3].next(bench, "odd"));
  const auto throwing = plan_with(projector_of([](transaction& tx, const event& event) {
    if (event.type == "odd") throw std::runtime_error("how odd");
    project_holder(tx, event);
  }));
  const auto refused = plan_with(projector_of([](transaction& tx, const event& event) {
    if (event.type == "odd") tx.execute("INSERT INTO holders (id, handle, changes) VALUES ($1, 'x', NULL)", event.aggregate_id);
    project_holder(tx, event);
  }));
  for (const auto& wrong : {throwing, refused}) {
    auto anew = wrong;
    anew.mode = rebuild_mode::restart;
    const auto failure = failure_of(bench, anew);
    BOOST_TEST((failure.code == errc::projection_failed), to_string(failure));
    for (const auto& part : {accounts[3].id.text(), std::string("sequence 4"), std::string("\"odd\"")})
      BOOST_TEST((failure.message.find(part) != std::string::npos), failure.message);
    BOOST_TEST((rows_of(bench) == before));
  }
  bench.committed(accounts[3].next(bench, "release"));  // Whatever is left of it is in nobody's way.
  (void)value_of(bench.opened->rebuild(plan(), {}));
  hold(bench, ids_of(accounts));
}

BOOST_DATA_TEST_CASE(a_handle_that_changed_hands_is_no_violation_and_one_that_two_hold_is, data::make(stores_under_test()), store) {
  workbench bench(store);
  std::vector<account> accounts;
  for (int i = 0; i < 20; ++i) accounts.push_back({bench.fresh_id(), 0, {}});
  for (auto& account : accounts) {
    bench.committed(account.next(bench, "take:wanderer"));
    bench.committed(account.next(bench, "release"));
  }
  bench.committed(accounts[7].next(bench, "take:wanderer"));
  (void)value_of(bench.opened->rebuild(plan(), {}));
  hold(bench, ids_of(accounts));

  bench.committed(accounts[9].next(bench, "take:wanderer"));  // Without the projection that would have refused it.
  const auto failure = failure_of(bench, plan());
  BOOST_TEST((failure.code == errc::projection_failed), to_string(failure));
  BOOST_TEST((failure.message.find("holders") != std::string::npos), failure.message);
  BOOST_TEST(rows_of(bench).size() == 20U);
}

BOOST_DATA_TEST_CASE(a_rebuild_that_was_stopped_can_be_run_again, data::make(stores_under_test()), store) {
  workbench bench(store);
  auto accounts = fill(bench, 30, 100);
  const auto stopped = failure_of(bench, plan(), [](const rebuild_progress& progress) { return progress.done < 1500; });
  BOOST_TEST((stopped.code == errc::shutting_down), to_string(stopped));
  BOOST_TEST(!bench.reader->query("SELECT * FROM holders", {}).has_value());
  for (auto& account : accounts) bench.committed(account.next(bench, "release"));
  const auto done = value_of(bench.opened->rebuild(plan(), {}));
  BOOST_TEST(done.total == 3030U);
  if (bench.opened->sql_dialect() == dialect::postgres) BOOST_TEST(done.resumed >= 1500U);
  hold(bench, ids_of(accounts));

  // Abandoned, it leaves the tables as they are.
  (void)failure_of(bench, plan(), [](const rebuild_progress& progress) { return progress.done < 1500; });
  auto abandoned = plan();
  abandoned.mode = rebuild_mode::abandon;
  (void)value_of(bench.opened->rebuild(abandoned, {}));
  hold(bench, ids_of(accounts));
  BOOST_TEST(value_of(bench.opened->rebuild(plan(), {})).resumed == 0U);

  // Begun with other tables, it has to be begun anew.
  auto changed = plan();
  changed.schema.push_back({"holders", 3, "ALTER TABLE holders ADD COLUMN note text", "ALTER TABLE holders ADD COLUMN note TEXT"});
  (void)failure_of(bench, plan(), [](const rebuild_progress& progress) { return progress.done < 1500; });
  if (bench.opened->sql_dialect() == dialect::postgres) BOOST_TEST((failure_of(bench, changed).code == errc::invalid_argument));
  changed.mode = rebuild_mode::restart;
  BOOST_TEST(value_of(bench.opened->rebuild(changed, {})).resumed == 0U);
  hold(bench, ids_of(accounts));
  BOOST_TEST(bench.query("SELECT note FROM holders").size() == 30U);
}

BOOST_DATA_TEST_CASE(commands_keep_arriving_while_it_is_rebuilt, data::make(stores_under_test()), store) {
  workbench bench(store, {}, schema());
  auto accounts = fill(bench, 30, 100);
  if (!bench.where->is_shared()) return;  // There commits wait, or are told to come back.
  traffic others(bench, accounts);
  for (int round = 0; round < 3; ++round) {
    const int before = others.committed();
    (void)value_of(bench.opened->rebuild(plan(), others.between_transactions()));
    BOOST_TEST(others.committed() > before);
  }
  others.end();
  for (const auto& failure : others.failures()) BOOST_TEST(!failure, to_string(failure));
  hold(bench, ids_of(accounts));
}

BOOST_DATA_TEST_CASE(what_depends_on_the_order_between_aggregates_sees_it, data::make(stores_under_test()), store) {
  workbench bench(store);
  std::vector<account> accounts;
  for (int i = 0; i < 10; ++i) accounts.push_back({bench.fresh_id(), 0, {}});
  std::string last;
  for (std::size_t i = 0; i < 300; ++i) {
    auto& account = accounts[(i * 7) % accounts.size()];
    last = "turn " + std::to_string(i);
    bench.committed(account.next(bench, last));
  }
  rebuild_plan ordered;
  ordered.projection = "latest";
  ordered.ordered_between_aggregates = true;
  ordered.schema = {{"latest", 1, "CREATE TABLE latest (only_row bigint PRIMARY KEY, type text NOT NULL, events bigint NOT NULL)",
                     "CREATE TABLE latest (only_row INTEGER PRIMARY KEY, type TEXT NOT NULL, events INTEGER NOT NULL) STRICT"}};
  ordered.sources = {{"account", projector_of([](transaction& tx, const event& event) {
                        tx.execute("INSERT INTO latest VALUES (1, $1, 1) ON CONFLICT (only_row) DO UPDATE "
                                   "SET type = excluded.type, events = latest.events + 1", event.type);
                      })}};
  const auto done = value_of(bench.opened->rebuild(ordered, {}));
  BOOST_TEST(done.done == 300U);
  const auto row = bench.query("SELECT type, events FROM latest").at(0);
  BOOST_TEST(row[0].as<std::string>() == last);
  BOOST_TEST(row[1].as<std::int64_t>() == 300);
}

// Pages are bounded by their bytes: large events are read a few at a time.
BOOST_DATA_TEST_CASE(a_rebuild_in_the_order_of_time_reads_pages_that_fit_the_size_of_the_events, data::make(stores_under_test()), store) {
  workbench bench(store);
  hybrid_clock an_hour_ago(std::chrono::minutes{5}, -std::chrono::hours{1});  // A rebuild does not leave them for its last step.
  constexpr std::size_t count = 100;
  for (std::size_t i = 0; i < count; ++i) {
    auto request = bench.request();
    auto& event = request.units[0].events[0];
    event.timestamp = an_hour_ago.now();
    event.body = "{\"text\":\"" + std::string(256 * 1024, 'x') + "\"}";  // 32 of them are 8 MiB.
    bench.committed(request);
  }
  auto ordered = plan();
  ordered.ordered_between_aggregates = true;
  std::uint64_t before = 0;
  std::uint64_t most = 0;
  const auto done = value_of(bench.opened->rebuild(ordered, [&](const rebuild_progress& progress) {
    most = std::max(most, progress.done - before);
    before = progress.done;
    return true;
  }));
  BOOST_TEST(done.done == count);
  BOOST_TEST(most > 0U);
  BOOST_TEST(most <= 40U);
}

BOOST_DATA_TEST_CASE(events_of_an_application_of_the_seed_count_where_the_aggregate_is_known, data::make(stores_under_test()), store) {
  workbench bench(store);
  auto accounts = fill(bench, 2, 1);
  seed_application seed(*bench.writer);
  hybrid_clock clock;
  value_of(seed.append(accounts[0].id, 2, clock.now_above(accounts[0].newest), "take:seeds", "{}"));
  value_of(seed.append(bench.fresh_id(), 1, clock.now(), "take:unknown", "{}"));
  for (const bool ordered : {false, true}) {
    auto with = plan();
    with.ordered_between_aggregates = ordered;
    BOOST_TEST(value_of(bench.opened->rebuild(with, {})).done == 3U);
    hold(bench, ids_of(accounts));
  }
}

BOOST_DATA_TEST_CASE(a_plan_that_makes_no_sense_is_refused, data::make(stores_under_test()), store) {
  workbench bench(store);
  std::vector<rebuild_plan> senseless(5, plan());
  senseless[0].schema.clear();
  senseless[1].sources.clear();
  senseless[2].sources[0].projector = nullptr;
  senseless[3].schema[1].component = "other";
  senseless[4].schema[0].postgres = senseless[4].schema[0].sqlite = "CREATE TABBLE holders (id bigint)";
  for (const auto& wrong : senseless) {
    const auto failure = failure_of(bench, wrong);
    BOOST_TEST((failure.code == errc::invalid_argument), to_string(failure));
  }
  (void)value_of(bench.opened->rebuild(plan(), {}));
}

BOOST_AUTO_TEST_SUITE_END()
