// What a rebuild on PostgreSQL does to those who work on the same server meanwhile.
#include "counters.hpp"
#include "own_server.hpp"
#include "postgres_role.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <utility>

using namespace maestro;
using namespace maestro::test;
using namespace std::chrono_literals;

namespace {

const store_under_test postgres{"postgres", [] { return std::make_unique<postgres_place>(); }};

// A table with a handle for each account, and what makes it unique.
auto handles(const std::string& indexed) -> rebuild_plan {
  rebuild_plan plan;
  plan.projection = "handles";
  plan.schema = {{"handles", 1, "CREATE TABLE handles (id bytea PRIMARY KEY, handle text)", "-"},
                 {"handles", 2, "CREATE UNIQUE INDEX handles_handle ON handles (" + indexed + ")", "-"}};
  plan.sources = {{"account", std::make_shared<function_projector>([](transaction& tx, const event& event) {
                     const bool takes = event.type != "release";
                     tx.execute("INSERT INTO handles VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET handle = excluded.handle", event.aggregate_id,
                                takes ? sql_value(event.type) : sql_value(nullptr));
                   })}};
  return plan;
}

// One account's events, with timestamps from any clock.
struct account {
  aggregate_id id;
  sequence_number sequence = 0;
  timestamp newest;

  void commit(workbench& bench, const std::string& type, hybrid_clock& clock) {
    auto request = bench.request(id, 1, 1, sequence, newest);
    auto& event = request.units[0].events[0];
    event.type = type;
    event.timestamp = clock.now_above(newest);
    bench.committed(request);
    ++sequence;
    newest = event.timestamp;
  }
};

// Appends the first events of `count` aggregates in one statement, `ahead` of the database's clock. `type` is SQL, in which `n` is 1, 2 ...
void append(workbench& bench, int count, std::chrono::milliseconds ahead, const std::string& type = "'new'") {
  const auto salt = bench.fresh_id().text();
  bench.query("INSERT INTO event_log (timestamp, aggregate_id, sequence, type, body, aggregate_type, command_id) "
              "SELECT decode(lpad(to_hex(at), 12, '0') || '0000' || substr(md5('" + salt + "' || n), 1, 16), 'hex'), decode(md5(n || '" + salt +
              "'), 'hex'), 1, " + type + ", '{}', 'account', decode(md5('command' || n), 'hex') "
              "FROM generate_series(1, " + std::to_string(count) + ") AS n, "
              "LATERAL (SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint + " + std::to_string(ahead.count()) + " AS at) AS clock");
}

// Whether a rebuild has left something of its own behind.
auto has_left_something(workbench& bench) -> bool {
  return !bench.query("SELECT FROM pg_trigger WHERE tgname LIKE 'maestro_rebuild%' AND tgrelid = 'event_log'::regclass").empty();
}

}  // namespace

BOOST_AUTO_TEST_SUITE(postgres_rebuild)

BOOST_AUTO_TEST_CASE(an_index_is_built_while_commands_go_on_and_is_cancelled_when_the_node_ends) {
  workbench bench(postgres);
  bench.query("CREATE FUNCTION slow(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(60); RETURN $1; END'");
  for (int i = 0; i < 5; ++i) bench.committed(bench.request());
  const auto plan = handles("slow(handle)");
  value_of(bench.opened->migrate(plan.schema));
  std::atomic<bool> stop{false};
  auto rebuilt = std::async(std::launch::async, [&] { return bench.opened->rebuild(plan, [&](const rebuild_progress&) { return !stop; }); });
  const auto is_building = [&] {
    return !bench.query("SELECT FROM pg_stat_progress_create_index WHERE datname = current_database() AND phase LIKE 'building index%'").empty();
  };
  await("the index", is_building);
  bench.committed(bench.request());
  stop = true;
  BOOST_TEST_REQUIRE((rebuilt.wait_for(10s) == std::future_status::ready));
  const auto done = rebuilt.get();
  BOOST_TEST_REQUIRE(!done);
  BOOST_TEST((done.failure().code == errc::shutting_down), to_string(done.failure()));
  BOOST_TEST(!is_building());
  // It can be taken up again.
  bench.query("CREATE OR REPLACE FUNCTION slow(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT $1'");
  bench.query("ALTER TABLE handles DROP COLUMN handle");  // Whatever is wrong with the old one.
  bench.query("ALTER TABLE handles ADD COLUMN handle text");
  auto again = plan;
  again.sources[0].projector = std::make_shared<function_projector>([](transaction& tx, const event& event) {
    tx.execute("INSERT INTO handles VALUES ($1, $2) ON CONFLICT (id) DO NOTHING", event.aggregate_id, event.aggregate_id.text());
  });
  again.mode = rebuild_mode::restart;
  BOOST_TEST(value_of(bench.opened->rebuild(again, {})).done == 6U);
}

// With the index in place, a handle is given up before another account takes it: however often it changes hands meanwhile, and whatever the
// clocks of the nodes say.
BOOST_AUTO_TEST_CASE(a_handle_that_changes_hands_while_its_index_is_there_is_no_violation) {
  workbench bench(postgres);
  const auto plan = handles("handle");
  value_of(bench.opened->migrate(plan.schema));
  hybrid_clock right;
  hybrid_clock late(std::chrono::minutes{5}, -std::chrono::minutes{3});
  std::vector<account> accounts(6);
  for (auto& each : accounts) each.id = bench.fresh_id();
  std::size_t holder = 0;
  for (auto& each : accounts) each.commit(bench, "release", late);
  accounts[0].commit(bench, "wanderer", right);
  int passes = 0;
  (void)value_of(bench.opened->rebuild(plan, [&](const rebuild_progress& progress) {
    // From the moment on that all was projected once.
    if (progress.paused || progress.done < 7 || passes == 30) return true;
    ++passes;
    for (int move = 0; move < 4; ++move) {
      const auto next = (holder + 5) % accounts.size();
      accounts[holder].commit(bench, "release", right);
      accounts[next].commit(bench, "wanderer", (passes + move) % 3 == 0 ? right : late);
      holder = next;
    }
    return true;
  }));
  BOOST_TEST(passes >= 2);
  const auto rows = bench.query("SELECT id FROM handles WHERE handle = 'wanderer'");
  BOOST_TEST_REQUIRE(rows.size() == 1U);
  BOOST_TEST((rows[0][0].as<sql_bytes>().bytes == accounts[holder].id.view()));
}

// Events that came while the index was built are each read some few times, however many wait.
BOOST_AUTO_TEST_CASE(what_waits_while_an_index_is_built_is_projected_in_a_time_that_grows_with_it_and_no_faster) {
  workbench bench(postgres);
  const auto plan = handles("handle");
  value_of(bench.opened->migrate(plan.schema));
  append(bench, 100, -1h, "'a' || n");
  const auto clients = [&] {
    return bench.query("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'").at(0).at(0).as<std::int64_t>();
  };
  const auto read = [&] {
    return bench.query("SELECT (coalesce(idx_tup_fetch, 0) + seq_tup_read)::bigint FROM pg_stat_user_tables WHERE relid = 'event_log'::regclass").at(0).at(0).as<std::int64_t>();
  };
  constexpr int waiting = 10'000;
  const auto others = clients();
  bool appended = false;
  const auto done = value_of(bench.opened->rebuild(plan, [&](const rebuild_progress& progress) {
    if (progress.done == 100 && !std::exchange(appended, true)) append(bench, waiting, -1min, "'b' || n");
    return true;
  }));
  BOOST_TEST(done.done == 100U + waiting);
  BOOST_TEST(bench.count("handles") == 100 + waiting);
  await("the end of the rebuild's connections", [&] { return clients() == others; });
  BOOST_TEST(read() < 6 * waiting);
}

// A page of what waits takes as long as it takes, as long as the log is not locked.
BOOST_AUTO_TEST_CASE(following_the_log_with_an_index_in_place_is_under_no_timeout) {
  workbench bench(postgres);
  const auto plan = handles("handle");
  value_of(bench.opened->migrate(plan.schema));
  append(bench, 100, -1h, "'a' || n");
  store_settings settings;
  settings.lock_timeout = 30s;
  settings.statement_timeout = 500ms;
  const auto rebuilding = value_of(open_database(dynamic_cast<postgres_place&>(*bench.where).uri(), settings));
  const auto blocking = value_of(open_database(dynamic_cast<postgres_place&>(*bench.where).uri()))->open_writer();
  const auto looking = value_of(open_database(dynamic_cast<postgres_place&>(*bench.where).uri()))->open_reader();
  bool appended = false;
  bool held = false;
  std::future<void> freed;
  const auto done = value_of(rebuilding->rebuild(plan, [&](const rebuild_progress& progress) {
    if (progress.done == 100 && !std::exchange(appended, true)) append(bench, 1500, -1min, "'b' || n");
    if (progress.paused || progress.done == 100 || !appended || std::exchange(held, true)) return true;
    value_of(blocking->query("BEGIN", {}));
    value_of(blocking->query("LOCK TABLE event_log IN ACCESS EXCLUSIVE MODE", {}));
    freed = std::async(std::launch::async, [&] {
      await("a statement of the rebuild to take a second", [&] {
        return !value_of(looking->query("SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' "
                                         "AND clock_timestamp() - query_start > interval '1 s'", {})).empty();
      });
      value_of(blocking->query("ROLLBACK", {}));
    });
    return true;
  }));
  BOOST_TEST_REQUIRE(held);
  freed.get();
  BOOST_TEST(done.done == 1600U);
}

// Commands wait exactly as long as `paused` says so.
BOOST_AUTO_TEST_CASE(a_last_step_that_was_taken_back_is_no_pause) {
  workbench bench(postgres);
  const auto plan = handles("handle");
  value_of(bench.opened->migrate(plan.schema));
  append(bench, 10, -1h, "'a' || n");
  bool appended = false;
  bool has_clash = false;
  bool was_paused = false;
  int tells = 0;
  const auto done = bench.opened->rebuild(plan, [&](const rebuild_progress& progress) {
    if (progress.done == 10 && !std::exchange(appended, true)) append(bench, 1, -1min, "'b'");
    else if (progress.done > 10 && !progress.paused && !std::exchange(has_clash, true)) append(bench, 1, -1min, "'b'");  // Too late to be seen before.
    const bool is_locked = !bench.query("SELECT FROM pg_locks WHERE relation = 'event_log'::regclass AND mode = 'ShareRowExclusiveLock' AND granted "
                                        "AND pid <> pg_backend_pid()").empty();
    if (was_paused) ++tells;
    if (progress.paused) was_paused = true;
    if (progress.done > 0) BOOST_TEST(progress.paused == is_locked);
    return true;
  });
  BOOST_TEST(has_clash);
  BOOST_TEST(was_paused);
  BOOST_TEST(tells > 0);
  BOOST_TEST_REQUIRE(!done);
  BOOST_TEST((done.failure().code == errc::projection_failed), to_string(done.failure()));
}

// A projection whose rows say in which order the events came.
struct arrivals {
  rebuild_plan plan;
  arrivals() {
    plan.projection = "arrivals";
    plan.ordered_between_aggregates = true;
    plan.schema = {{"arrivals", 1, "CREATE TABLE arrivals (place bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY, timestamp bytea NOT NULL)", "-"}};
    plan.sources = {{"account", std::make_shared<function_projector>([](transaction& tx, const event& event) {
                       tx.execute("INSERT INTO arrivals (timestamp) VALUES ($1)", event.timestamp);
                     })}};
  }
  static void check(workbench& bench) {
    const auto by_place = bench.query("SELECT timestamp FROM arrivals ORDER BY place");
    const auto by_time = bench.query("SELECT timestamp FROM event_log ORDER BY timestamp");
    BOOST_TEST_REQUIRE(by_place.size() == by_time.size());
    for (std::size_t i = 0; i < by_time.size(); ++i) BOOST_TEST_REQUIRE((by_place[i][0].as<sql_bytes>() == by_time[i][0].as<sql_bytes>()));
  }
};

BOOST_AUTO_TEST_CASE(a_rebuild_in_the_order_of_time_goes_on_beside_commands_and_begins_anew_when_it_was_overtaken) {
  workbench bench(postgres);
  const arrivals of;
  value_of(bench.opened->migrate(of.plan.schema));
  hybrid_clock hours_ago(std::chrono::minutes{5}, -std::chrono::hours{2});
  hybrid_clock an_hour_ago(std::chrono::minutes{5}, -std::chrono::hours{1});
  hybrid_clock right;
  std::vector<account> accounts(40);
  for (auto& each : accounts) {
    each.id = bench.fresh_id();
    for (int i = 0; i < 60; ++i) each.commit(bench, "old", hours_ago);
    each.commit(bench, "less old", an_hour_ago);
  }
  int commits = 0;
  int beginnings = 0;
  const auto done = value_of(bench.opened->rebuild(of.plan, [&](const rebuild_progress& progress) {
    if (progress.paused) return true;
    if (progress.done == 0) ++beginnings;
    account fresh{bench.fresh_id(), 0, {}};
    // Once, one that is far behind what was projected.
    fresh.commit(bench, "new", progress.done >= 2000 && beginnings <= 2 ? hours_ago : right);
    ++commits;
    return true;
  }));
  BOOST_TEST(commits > 3);
  BOOST_TEST(beginnings > 2);
  BOOST_TEST(done.done == static_cast<std::uint64_t>(40 * 61 + commits));
  arrivals::check(bench);
}

// Some of them are newer than what the rebuild dares to project while commands go on.
BOOST_AUTO_TEST_CASE(what_is_projected_in_the_order_of_time_while_commands_wait_is_bounded) {
  workbench bench(postgres);
  const arrivals of;
  value_of(bench.opened->migrate(of.plan.schema));
  append(bench, 100, -1h);
  bool appended = false;
  std::uint64_t before = 0;
  const auto done = value_of(bench.opened->rebuild(of.plan, [&](const rebuild_progress& progress) {
    if (progress.done == 100 && !std::exchange(appended, true)) append(bench, 6000, 0s);
    if (progress.paused) before = progress.done;
    return true;
  }));
  BOOST_TEST(done.done == 6100U);
  BOOST_TEST(done.done - before <= 5000U);
  arrivals::check(bench);
}

BOOST_AUTO_TEST_CASE(a_rebuild_in_the_order_of_time_that_would_keep_commands_waiting_is_refused) {
  workbench bench(postgres);
  const arrivals of;
  value_of(bench.opened->migrate(of.plan.schema));
  append(bench, 6000, 1h);
  bool was_paused = false;
  const auto refused = bench.opened->rebuild(of.plan, [&](const rebuild_progress& progress) {
    was_paused = was_paused || progress.paused;
    return true;
  });
  BOOST_TEST_REQUIRE(!refused);
  BOOST_TEST((refused.failure().code == errc::store_unavailable), to_string(refused.failure()));
  for (const auto* part : {"arrivals", "nothing was changed", "clocks of all writers"})
    BOOST_TEST((refused.failure().message.find(part) != std::string::npos), refused.failure().message);
  BOOST_TEST(!was_paused);  // It need not try to know.
  BOOST_TEST(!has_left_something(bench));
  BOOST_TEST(bench.count("arrivals") == 0);
}

// An index that was made by hand and is no rule: aggregate by aggregate is good enough, which reads no event twice.
BOOST_AUTO_TEST_CASE(an_index_that_is_no_rule_does_not_ask_for_the_order_of_time) {
  workbench bench(postgres);
  arrivals of;
  of.plan.ordered_between_aggregates = false;
  value_of(bench.opened->migrate(of.plan.schema));
  bench.query("CREATE INDEX by_time ON arrivals (timestamp)");
  append(bench, 100, -1h);
  bool appended = false;
  (void)value_of(bench.opened->rebuild(of.plan, [&](const rebuild_progress& progress) {
    if (progress.done == 100 && !std::exchange(appended, true)) append(bench, 50, -1min);
    return true;
  }));
  const auto rows = bench.query("SELECT aggregate_id FROM arrivals JOIN event_log USING (timestamp) WHERE place > 100 ORDER BY place");
  BOOST_TEST_REQUIRE(rows.size() == 50U);
  BOOST_TEST(std::is_sorted(rows.begin(), rows.end(), [](const auto& one, const auto& other) {
    return one[0].template as<sql_bytes>().bytes < other[0].template as<sql_bytes>().bytes;
  }));
}

// The count of the log is a statement that takes as long as it takes.
BOOST_AUTO_TEST_CASE(the_count_of_a_long_log_is_under_no_timeout) {
  store_settings settings;
  settings.lock_timeout = 30s;
  settings.statement_timeout = 500ms;
  workbench bench(postgres, settings);
  const arrivals of;
  value_of(bench.opened->migrate(of.plan.schema));
  for (int i = 0; i < 5; ++i) bench.committed(bench.request());
  const auto blocking = value_of(open_database(dynamic_cast<postgres_place&>(*bench.where).uri()))->open_reader();
  const auto looking = value_of(open_database(dynamic_cast<postgres_place&>(*bench.where).uri()))->open_reader();
  bool held = false;
  std::future<void> freed;
  const auto done = value_of(bench.opened->rebuild(of.plan, [&](const rebuild_progress&) {
    if (std::exchange(held, true)) return true;
    value_of(blocking->query("BEGIN", {}));
    value_of(blocking->query("LOCK TABLE event_log IN ACCESS EXCLUSIVE MODE", {}));
    freed = std::async(std::launch::async, [&] {
      await("the count to take a second", [&] {
        return !value_of(looking->query("SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' "
                                         "AND query LIKE '%count(*) FROM event_log%' AND clock_timestamp() - query_start > interval '1 s'", {})).empty();
      });
      value_of(blocking->query("ROLLBACK", {}));
    });
    return true;
  }));
  freed.get();
  BOOST_TEST(done.done == 5U);
}

BOOST_AUTO_TEST_CASE(sessions_of_a_process_that_stands_still_are_bounded_by_the_server) {
  workbench bench(postgres);
  const auto of = [&](const std::string& name) { return bench.query("SHOW " + name).at(0).at(0).as<std::string>(); };
  BOOST_TEST(of("idle_in_transaction_session_timeout") == "20s");
  BOOST_TEST(of("tcp_keepalives_idle") == "10");
  BOOST_TEST(of("tcp_keepalives_interval") == "5");
  BOOST_TEST(of("tcp_keepalives_count") == "2");
  BOOST_TEST(of("tcp_user_timeout") == "20000");
  // What the address says stays.
  const auto own = value_of(open_database(dynamic_cast<postgres_place&>(*bench.where).uri({}, "-cidle_in_transaction_session_timeout%3D7000")))->open_reader();
  BOOST_TEST(value_of(own->query("SHOW idle_in_transaction_session_timeout", {})).at(0).at(0).as<std::string>() == "7s");
}

BOOST_AUTO_TEST_CASE(every_connection_of_a_rebuild_and_of_the_members_carries_the_mark_of_its_run) {
  workbench bench(postgres, {}, counters);
  bench.committed(bench.request());
  const rebuild_plan plan = counting();
  const auto members = bench.opened->open_members();
  value_of(members->list());
  bool looked = false;
  value_of(bench.opened->rebuild(plan, [&](const rebuild_progress&) {
    looked = true;
    const auto bare = bench.query("SELECT query FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend' "
                                  "AND pid NOT IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ShareLock')");
    BOOST_TEST(bare.empty(), "a session without a mark, last at: " << (bare.empty() ? "" : bare[0].at(0).as<std::string>()));
    return true;
  }));
  BOOST_TEST(looked);
}

// --- what hangs on the tables ---

BOOST_AUTO_TEST_CASE(a_role_that_sees_one_row_of_three_sees_one_row_of_three_afterwards,
                     *boost::unit_test::precondition(is_superuser)) {
  workbench bench(postgres, {}, counters);
  test_role role(bench);
  role.grant("USAGE ON SCHEMA " + place_of(bench).name());
  const auto one = bench.request();
  bench.committed(with_projection(one, count_up));
  for (int i = 0; i < 2; ++i) bench.committed(with_projection(bench.request(), count_up));
  role.grant("SELECT (id) ON counters");
  bench.query("ALTER TABLE counters ENABLE ROW LEVEL SECURITY");
  bench.query("ALTER TABLE counters FORCE ROW LEVEL SECURITY");
  bench.query("CREATE POLICY mine ON counters FOR SELECT TO " + role.name + " USING (id = '\\x" + one.aggregate_id.text() + "')");
  const auto seen = [&] {
    bench.query("SET ROLE " + role.name);
    const auto rows = bench.query("SELECT id FROM counters").size();
    const bool sees_all_columns = bench.hand->query("SELECT value FROM counters", {}).has_value();
    bench.query("RESET ROLE");
    BOOST_TEST(!sees_all_columns);
    return rows;
  };
  BOOST_TEST(seen() == 1U);
  for (const bool ordered : {false, true}) {
    auto plan = counting();
    plan.ordered_between_aggregates = ordered;
    BOOST_TEST(value_of(bench.opened->rebuild(plan, {})).done == 3U);
    BOOST_TEST(seen() == 1U);
    BOOST_TEST(bench.query("SELECT FROM pg_class WHERE oid = 'counters'::regclass AND relrowsecurity AND relforcerowsecurity").size() == 1U);
  }
}

BOOST_AUTO_TEST_CASE(what_was_put_on_the_tables_by_hand_is_there_afterwards) {
  workbench bench(postgres, {}, counters);
  for (int i = 0; i < 3; ++i) bench.committed(bench.request());
  const std::pair<const char*, const char*> kinds[] = {
      {"CREATE INDEX by_value ON counters (value) WHERE value > 0", "SELECT FROM pg_indexes WHERE indexname = 'by_value' AND indexdef LIKE '%(value) WHERE (value > 0)'"},
      {"CREATE UNIQUE INDEX by_id_and_value ON counters (id, value)", "SELECT FROM pg_index WHERE indexrelid = 'by_id_and_value'::regclass AND indisunique AND indisvalid"},
      {"COMMENT ON INDEX by_value IS 'fast'", "SELECT WHERE obj_description('by_value'::regclass) = 'fast'"},
      {"CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'", "SELECT"},
      {"CREATE TRIGGER noting BEFORE UPDATE ON counters FOR EACH ROW EXECUTE FUNCTION noted()", "SELECT FROM pg_trigger WHERE tgrelid = 'counters'::regclass AND tgname = 'noting' AND tgenabled = 'O'"},
      {"CREATE TRIGGER sleeping AFTER INSERT ON counters FOR EACH ROW EXECUTE FUNCTION noted()", "SELECT"},
      {"ALTER TABLE counters DISABLE TRIGGER sleeping", "SELECT FROM pg_trigger WHERE tgrelid = 'counters'::regclass AND tgname = 'sleeping' AND tgenabled = 'D'"},
      {"ALTER TABLE counters REPLICA IDENTITY USING INDEX counters_pkey", "SELECT FROM pg_index WHERE indexrelid = 'counters_pkey'::regclass AND indisreplident"},
      {"ALTER TABLE counters SET (fillfactor = 70, autovacuum_enabled = false)", "SELECT FROM pg_class WHERE oid = 'counters'::regclass AND reloptions @> '{fillfactor=70,autovacuum_enabled=false}'"},
      {"ALTER TABLE counters ALTER COLUMN value SET STATISTICS 500", "SELECT FROM pg_attribute WHERE attrelid = 'counters'::regclass AND attname = 'value' AND attstattarget = 500"},
      {"ALTER TABLE counters ALTER COLUMN id SET STORAGE EXTERNAL", "SELECT FROM pg_attribute WHERE attrelid = 'counters'::regclass AND attname = 'id' AND attstorage = 'e'"},
      {"ALTER TABLE counters ALTER COLUMN value SET (n_distinct = 5)", "SELECT FROM pg_attribute WHERE attrelid = 'counters'::regclass AND attname = 'value' AND 'n_distinct=5' = ANY (attoptions)"},
      {"COMMENT ON TABLE counters IS 'it''s ours'", "SELECT WHERE obj_description('counters'::regclass) = 'it''s ours'"},
      {"COMMENT ON COLUMN counters.value IS 'how many'", "SELECT WHERE col_description('counters'::regclass, 2) = 'how many'"},
      {"COMMENT ON CONSTRAINT counters_pkey ON counters IS 'key'", "SELECT FROM pg_description JOIN pg_constraint ON pg_constraint.oid = objoid WHERE conname = 'counters_pkey' AND description = 'key' AND conrelid = 'counters'::regclass"},
      {"CREATE STATISTICS both_columns ON id, value FROM counters", "SELECT FROM pg_statistic_ext WHERE stxname = 'both_columns' AND stxrelid = 'counters'::regclass"},
      {"CREATE RULE kept AS ON DELETE TO counters DO INSTEAD NOTHING", "SELECT FROM pg_rules WHERE tablename = 'counters' AND rulename = 'kept' AND schemaname = current_schema()"},
  };
  for (const auto& [put, check] : kinds) {
    bench.query(put);
    BOOST_TEST_REQUIRE(bench.query(check).size() == 1U, put);
  }
  const auto publication = "maestro_test_" + bench.query("SELECT current_schema()::text").at(0).at(0).as<std::string>();
  bench.query("CREATE PUBLICATION " + publication + " FOR TABLE counters");
  for (const bool ordered : {false, true}) {
    auto plan = counting();
    plan.ordered_between_aggregates = ordered;
    BOOST_TEST(value_of(bench.opened->rebuild(plan, {})).done == 3U);
    for (const auto& [put, check] : kinds) BOOST_TEST(bench.query(check).size() == 1U, put);
    BOOST_TEST(bench.query("SELECT FROM pg_publication_rel WHERE prrelid = 'counters'::regclass").size() == 1U);
    BOOST_TEST(bench.count("counters") == 3);
  }
  bench.query("DROP PUBLICATION " + publication);
}

BOOST_AUTO_TEST_CASE(a_rebuild_that_would_lose_something_is_refused_and_names_it) {
  const std::vector<std::pair<std::vector<const char*>, const char*>> kinds = {
      {{"ALTER TABLE counters ADD COLUMN extra text"}, "counters.extra"},
      {{"ALTER TABLE counters ALTER COLUMN value SET DEFAULT 7"}, "default of column counters.value"},
      {{"ALTER TABLE counters ALTER COLUMN value TYPE numeric"}, "counters.value"},
      {{"ALTER TABLE counters ALTER COLUMN value DROP NOT NULL"}, "counters.value"},
      {{"ALTER TABLE counters ADD CONSTRAINT positive CHECK (value > 0)"}, "positive"},
      {{"ALTER TABLE counters ADD CONSTRAINT once UNIQUE (value, id)"}, "once"},
      {{"CREATE TABLE owners (id bytea PRIMARY KEY)", "ALTER TABLE counters ADD CONSTRAINT owned FOREIGN KEY (id) REFERENCES owners"}, "owned"},
      {{"CREATE TABLE notes (id bytea REFERENCES counters)"}, "notes_id_fkey"},
      {{"CREATE VIEW shown AS SELECT value FROM counters"}, "shown"},
      {{"CREATE MATERIALIZED VIEW kept AS SELECT value FROM counters"}, "kept"},
      {{"CREATE TABLE child () INHERITS (counters)"}, "child"},
      {{"CREATE TABLE base (id bytea)", "ALTER TABLE counters INHERIT base"}, "inherits from base"},
      {{"CREATE FUNCTION all_of() RETURNS SETOF counters LANGUAGE sql AS 'SELECT * FROM counters'"}, "all_of"},
      {{"ALTER TABLE counters SET UNLOGGED"}, "another kind of table"},
  };
  for (const auto& [put, named] : kinds) {
    workbench bench(postgres, {}, counters);
    for (int i = 0; i < 3; ++i) bench.committed(bench.request());
    for (const auto* sql : put) bench.query(sql);
    const auto before = bench.query("SELECT 'counters'::regclass::oid").at(0).at(0).as<std::int64_t>();
    for (const bool ordered : {false, true}) {
      auto plan = counting();
      plan.ordered_between_aggregates = ordered;
      const auto refused = bench.opened->rebuild(plan, {});
      BOOST_TEST_REQUIRE(!refused, put.back());
      BOOST_TEST((refused.failure().code == errc::invalid_argument), to_string(refused.failure()));
      BOOST_TEST((refused.failure().message.find(named) != std::string::npos), put.back() << ": " << refused.failure().message);
      BOOST_TEST(bench.query("SELECT 'counters'::regclass::oid").at(0).at(0).as<std::int64_t>() == before);
      BOOST_TEST(bench.query("SELECT FROM pg_trigger WHERE tgname LIKE 'maestro_rebuild%' AND tgrelid = 'event_log'::regclass").empty());
    }
  }
}

BOOST_AUTO_TEST_CASE(a_rebuild_that_is_refused_when_it_goes_on_keeps_what_it_has) {
  workbench bench(postgres, {}, counters);
  append(bench, 2500, -1h);
  const auto stopped = bench.opened->rebuild(counting(), [](const rebuild_progress& progress) { return progress.done < 1000; });
  BOOST_TEST_REQUIRE(!stopped);
  BOOST_TEST((stopped.failure().code == errc::shutting_down), to_string(stopped.failure()));
  bench.query("ALTER TABLE counters ADD COLUMN extra text");
  const auto refused = bench.opened->rebuild(counting(), {});
  BOOST_TEST_REQUIRE(!refused);
  BOOST_TEST((refused.failure().message.find("counters.extra") != std::string::npos), to_string(refused.failure()));
  bench.query("ALTER TABLE counters DROP COLUMN extra");
  const auto done = value_of(bench.opened->rebuild(counting(), {}));
  BOOST_TEST(done.resumed >= 1000U);
  BOOST_TEST(done.done == 2500U);
  // One that was refused at its beginning leaves nothing.
  bench.query("ALTER TABLE counters ADD COLUMN extra text");
  BOOST_TEST(!bench.opened->rebuild(counting(), {}).has_value());
  BOOST_TEST(!has_left_something(bench));
}

BOOST_AUTO_TEST_SUITE_END()
