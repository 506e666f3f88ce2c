// What the migrations made and somebody took away: a start notices, and a migration puts back what can be.
#include "conformance.hpp"
#include "counters.hpp"

#include <boost/algorithm/string/join.hpp>

using namespace maestro;
using namespace maestro::test;
namespace data = boost::unit_test::data;

namespace {

// What `check` and `migrate` say, which must be the same.
auto refusal(database& opened, std::span<const migration> components = {}) -> std::string {
  const auto checked = opened.check(components);
  BOOST_TEST_REQUIRE(!checked);
  BOOST_TEST((checked.failure().code == errc::store_unavailable), to_string(checked.failure()));
  return checked.failure().message;
}

void tells(const std::string& message, const std::string& what) {
  BOOST_TEST((message.find(what) != std::string::npos), message << " does not tell " << what);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(conformance_catalogue)

BOOST_DATA_TEST_CASE(the_index_that_decides_between_writers_is_looked_for_and_put_back, data::make(stores_under_test()), store) {
  workbench bench(store);
  const auto first = bench.request();
  bench.committed(first);
  for (const bool is_other : {false, true}) {
    bench.query("DROP INDEX aggregate_sequence_index");
    if (is_other) bench.query("CREATE INDEX aggregate_sequence_index ON event_log (aggregate_id, sequence)");
    tells(refusal(*bench.opened), "aggregate_sequence_index");
    tells(refusal(*bench.opened), "maestro migrate");
    const auto done = value_of(bench.opened->migrate({}));
    BOOST_TEST_REQUIRE(!done.empty());
    tells(boost::join(done, "; "), "aggregate_sequence_index");
    succeed(bench.opened->check({}));
    BOOST_TEST(value_of(bench.opened->migrate({})).empty());
    BOOST_TEST((bench.commit(bench.request(first.aggregate_id)).failure.code == errc::retry_command));
  }
}

// Two histories of one aggregate: no index can be made, and nothing decides which of them is right.
BOOST_DATA_TEST_CASE(an_index_that_cannot_be_put_back_keeps_a_node_from_starting, data::make(stores_under_test()), store) {
  workbench bench(store);
  const auto first = bench.request();
  bench.committed(first);
  bench.query("DROP INDEX aggregate_sequence_index");
  const auto other = bench.opened->sql_dialect() == dialect::postgres ? "'\\x01a206ac419b00000000000005474ce1'::bytea"
                                                                     : "x'01a206ac419b00000000000005474ce1'";
  bench.query("INSERT INTO event_log (timestamp, aggregate_id, sequence, type, body) "
              "SELECT " + std::string(other) + ", aggregate_id, sequence, type, body FROM event_log");
  const auto migrated = bench.opened->migrate({});
  BOOST_TEST_REQUIRE(!migrated);
  tells(migrated.failure().message, "aggregate_sequence_index");
  tells(refusal(*bench.opened), "aggregate_sequence_index");
}

BOOST_DATA_TEST_CASE(a_column_of_ours_is_looked_for_and_put_back, data::make(stores_under_test()), store) {
  workbench bench(store);
  bench.query("ALTER TABLE event_log DROP COLUMN metadata");
  bench.query("ALTER TABLE snapshots DROP COLUMN version_sequence");
  const auto said = refusal(*bench.opened);
  tells(said, "event_log.metadata");
  tells(said, "snapshots.version_sequence");
  BOOST_TEST(value_of(bench.opened->migrate({})).size() == 2U);
  succeed(bench.opened->check({}));
  auto request = bench.request();
  bench.committed(request);
  succeed(bench.writer->commit_snapshot({request.aggregate_id, 1, "account", "{}", 1, 1}));
}

BOOST_DATA_TEST_CASE(a_column_that_held_events_is_for_a_backup, data::make(stores_under_test()), store) {
  workbench bench(store);
  bench.query("ALTER TABLE event_log DROP COLUMN body");
  tells(refusal(*bench.opened), "event_log.body");
  const auto migrated = bench.opened->migrate({});
  BOOST_TEST_REQUIRE(!migrated);
  tells(migrated.failure().message, "backup");
}

BOOST_DATA_TEST_CASE(a_trigger_that_is_missing_is_a_warning_and_put_back, data::make(stores_under_test()), store) {
  workbench bench(store);
  BOOST_TEST(bench.opened->warnings().empty());
  const bool is_server = bench.opened->sql_dialect() == dialect::postgres;
  bench.query(is_server ? "DROP TRIGGER event_log_no_rewrite ON event_log" : "DROP TRIGGER event_log_no_delete");
  succeed(bench.opened->check({}));
  BOOST_TEST_REQUIRE(!bench.opened->warnings().empty());
  tells(bench.opened->warnings()[0].message, is_server ? "event_log_no_rewrite" : "event_log_no_delete");
  BOOST_TEST(!bench.opened->warnings()[0].is_critical);
  BOOST_TEST(!value_of(bench.opened->migrate({})).empty());
  BOOST_TEST(bench.opened->warnings().empty());
  bench.committed(bench.request());
  BOOST_TEST(!bench.writer->query("DELETE FROM event_log", {}));
}

BOOST_DATA_TEST_CASE(a_table_of_a_projection_is_looked_for, data::make(stores_under_test()), store) {
  workbench bench(store, {}, counters);
  succeed(bench.opened->check(counters));
  bench.query("DROP TABLE counters");
  succeed(bench.opened->check({}));  // A program without this projection does not care.
  const auto migrated = bench.opened->migrate(counters);
  BOOST_TEST_REQUIRE(!migrated);
  for (const auto& said : {refusal(*bench.opened, counters), migrated.failure().message}) {
    tells(said, "table counters");
    tells(said, "maestro rebuild counters");
  }
  // What the message says to do.
  bench.query("DELETE FROM maestro_migrations WHERE component = 'counters'");
  value_of(bench.opened->migrate(counters));
  succeed(bench.opened->check(counters));
}

// Nothing in them outlasts the nodes that run.
BOOST_DATA_TEST_CASE(the_tables_of_the_members_are_looked_for_and_made_again, data::make(stores_under_test()), store) {
  workbench bench(store);
  if (!bench.where->is_shared()) return;  // There they are none of the store's.
  hybrid_clock clock;
  for (const std::vector<std::string>& gone : {std::vector<std::string>{"maestro_members"}, {"maestro_cluster"}, {"maestro_cluster", "maestro_members"}}) {
    for (const auto& table : gone) bench.query("DROP TABLE " + table);
    tells(refusal(*bench.opened), gone[0]);
    tells(boost::join(value_of(bench.opened->migrate({})), "; "), gone[0]);
    succeed(bench.opened->check({}));
    BOOST_TEST(value_of(bench.opened->migrate({})).empty());
    const auto members = bench.opened->open_members();
    const member self{"north", clock.fresh<incarnation_id>(), "somewhere:1"};
    BOOST_TEST(value_of(members->join(self)).members.size() >= 1U);
    BOOST_TEST(value_of(members->list()).version > 0);
    // The index among them, too.
    BOOST_TEST(!bench.hand->query("INSERT INTO maestro_members SELECT '\\x01a206ac419a00000000000005474ce1'::bytea, name, address, run, status FROM maestro_members "
                                  "WHERE status = 'alive'", {}).has_value());
  }
}

// A repair locks tables that are at work: it is not for what it cannot put back.
BOOST_DATA_TEST_CASE(a_fault_that_cannot_be_put_back_is_told_without_a_repair, data::make(stores_under_test()), store) {
  store_settings settings;
  settings.lock_timeout = std::chrono::milliseconds{50};
  settings.max_retries = 0;
  workbench bench(store, settings);
  const bool is_server = bench.opened->sql_dialect() == dialect::postgres;
  if (is_server) {
    bench.query("ALTER TABLE event_log ALTER COLUMN metadata TYPE text");
    bench.query("BEGIN");
    bench.query("LOCK TABLE event_log IN ROW EXCLUSIVE MODE");
  } else {
    bench.query("ALTER TABLE event_log DROP COLUMN metadata");
    bench.query("ALTER TABLE event_log ADD COLUMN metadata INTEGER");
  }
  const auto migrated = bench.opened->migrate({});
  if (is_server) bench.query("ROLLBACK");
  BOOST_TEST_REQUIRE(!migrated);
  tells(migrated.failure().message, "event_log.metadata");
  tells(migrated.failure().message, "is of type");
  tells(migrated.failure().message, "backup");
  // Beside it, the rest comes back.
  bench.query(is_server ? "DROP TRIGGER event_log_no_rewrite ON event_log" : "DROP TRIGGER event_log_no_delete");
  BOOST_TEST(!bench.opened->migrate({}).has_value());
  BOOST_TEST(!bench.writer->query("SELECT 1 FROM " + std::string(is_server ? "pg_trigger WHERE tgname = 'event_log_no_rewrite' AND tgrelid = 'event_log'::regclass"
                                                                         : "sqlite_master WHERE name = 'event_log_no_delete'"), {}).value().empty());
}

BOOST_DATA_TEST_CASE(a_key_column_that_is_gone_keeps_none_of_the_rest_from_coming_back, data::make(stores_under_test()), store) {
  workbench bench(store);
  const bool is_server = bench.opened->sql_dialect() == dialect::postgres;
  if (store.partitioned) return;  // The key of its partitions cannot go.
  bench.query(is_server ? "DROP TRIGGER event_log_no_rewrite ON event_log" : "DROP TRIGGER event_log_no_delete");
  if (!is_server) bench.query("DROP TRIGGER event_log_no_update");
  for (const char* index : {"aggregate_sequence_index", "aggregate_type_index"}) bench.query("DROP INDEX IF EXISTS " + std::string(index));
  bench.query("ALTER TABLE event_log DROP COLUMN sequence");
  const auto migrated = bench.opened->migrate({});
  BOOST_TEST_REQUIRE(!migrated);
  tells(migrated.failure().message, "event_log.sequence");
  tells(migrated.failure().message, "backup");
  BOOST_TEST(!bench.writer->query("SELECT 1 FROM " + std::string(is_server ? "pg_trigger WHERE tgname = 'event_log_no_rewrite' AND tgrelid = 'event_log'::regclass"
                                                                         : "sqlite_master WHERE name = 'event_log_no_delete'"), {}).value().empty());
}

BOOST_AUTO_TEST_SUITE_END()
