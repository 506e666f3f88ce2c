// The adapter that a cluster shares: what only a server can do, and what only a network can do to it.
#include "counters.hpp"
#include "faulty_proxy.hpp"
#include "postgres_role.hpp"
#include "several_writers.hpp"

#include <boost/test/unit_test.hpp>

#include <atomic>
#include <stdexcept>
#include <thread>
#include <utility>

using namespace maestro;
using namespace maestro::test;

namespace {

const store_under_test postgres{"postgres", [] { return std::make_unique<postgres_place>(); }};

auto own_process(store& store) -> std::int64_t {
  return value_of(store.query("SELECT pg_backend_pid()", {})).at(0).at(0).as<std::int64_t>();
}

// The seed's own migrations, as Ecto runs them.
constexpr const char* seed_schema = R"(
  CREATE TABLE event_log (timestamp bytea NOT NULL, aggregate_id bytea NOT NULL, sequence integer NOT NULL,
                          type varchar(256) NOT NULL, body jsonb NOT NULL, PRIMARY KEY (timestamp));
  ALTER TABLE event_log ADD CONSTRAINT hlc_field_timestamp_size CHECK (length(timestamp) = 16);
  ALTER TABLE event_log ADD CONSTRAINT hlc_field_aggregate_id_size CHECK (length(aggregate_id) = 16);
  ALTER TABLE event_log ADD CONSTRAINT sequence CHECK (sequence > 0);
  CREATE UNIQUE INDEX aggregate_sequence_index ON event_log (aggregate_id, sequence);
  CREATE TABLE snapshots (aggregate_id bytea NOT NULL, sequence integer NOT NULL, body jsonb NOT NULL, PRIMARY KEY (aggregate_id));
  ALTER TABLE snapshots ADD CONSTRAINT hlc_field_aggregate_id_size CHECK (length(aggregate_id) = 16);
  INSERT INTO event_log VALUES ('\x01a206ac419a00000000000005474ce1', '\x01a206ac419a00000000000005474ce0', 1,
                                'counter_incremented', '{"message": "increment"}');
  INSERT INTO snapshots VALUES ('\x01a206ac419a00000000000005474ce0', 1, '{"value": 1}');
)";

// Its other migration: a log in partitions, here two.
constexpr const char* seed_partitioned_schema = R"(
  CREATE TABLE event_log (timestamp bytea NOT NULL, aggregate_id bytea NOT NULL, sequence integer NOT NULL,
                          type varchar(256) NOT NULL, body jsonb NOT NULL, PRIMARY KEY (aggregate_id, timestamp))
    PARTITION BY HASH (aggregate_id);
  CREATE TABLE event_log_0 PARTITION OF event_log FOR VALUES WITH (MODULUS 2, REMAINDER 0);
  CREATE UNIQUE INDEX event_log_0_timestamp_idx ON event_log_0 (timestamp);
  CREATE TABLE event_log_1 PARTITION OF event_log FOR VALUES WITH (MODULUS 2, REMAINDER 1);
  CREATE UNIQUE INDEX event_log_1_timestamp_idx ON event_log_1 (timestamp);
  ALTER TABLE event_log ADD CONSTRAINT hlc_field_timestamp_size CHECK (length(timestamp) = 16);
  ALTER TABLE event_log ADD CONSTRAINT hlc_field_aggregate_id_size CHECK (length(aggregate_id) = 16);
  ALTER TABLE event_log ADD CONSTRAINT sequence CHECK (sequence > 0);
  CREATE UNIQUE INDEX aggregate_sequence_index ON event_log (aggregate_id, sequence);
  CREATE TABLE snapshots (aggregate_id bytea NOT NULL, sequence integer NOT NULL, body jsonb NOT NULL, PRIMARY KEY (aggregate_id));
  ALTER TABLE snapshots ADD CONSTRAINT hlc_field_aggregate_id_size CHECK (length(aggregate_id) = 16);
)";

// Statement by statement.
void run_script(store& with, std::string script) {
  for (; script.find(';') != script.npos; script.erase(0, script.find(';') + 1))
    value_of(with.query(script.substr(0, script.find(';')), {}));
}

// A server whose log is made in partitions.
class partitioned_place final : public postgres_place {
 public:
  [[nodiscard]] auto open(const store_settings& settings) -> std::shared_ptr<database> override {
    auto in_partitions = settings;
    in_partitions.partitions = 3;
    return postgres_place::open(in_partitions);
  }
};

auto has_citus() -> bool {
  return run_on_server("SELECT to_regclass('pg_catalog.pg_dist_schema') IS NOT NULL").at(0).at(0).as<bool>();
}

auto is_no_citus(boost::unit_test::test_unit_id) -> boost::test_tools::assertion_result {
  boost::test_tools::assertion_result is(!has_citus());
  is.message() << "the database has Citus";
  return is;
}

}  // namespace

auto maestro::test::stores_under_test() -> std::vector<store_under_test> {
  require_server();
  return {{"postgres", [] { return std::make_unique<postgres_place>(); }},
          {"postgres_several_writers", [] { return with_several_writers(std::make_unique<postgres_place>()); }},
          {"postgres_partitions", [] { return std::make_unique<partitioned_place>(); }, true}};
}

BOOST_AUTO_TEST_SUITE(postgres_adapter)

BOOST_AUTO_TEST_CASE(a_database_that_the_seed_made_is_upgraded_in_place) {
  postgres_place where;
  auto opened = where.open({});
  auto writer = opened->open_writer();
  run_script(*writer, seed_schema);
  value_of(opened->migrate({}));
  succeed(opened->check({}));

  const auto id = *aggregate_id::parse("01a206ac419a00000000000005474ce0");
  const auto old = value_of(writer->get_events(id, {}));
  BOOST_TEST_REQUIRE(old.size() == 1U);
  BOOST_TEST(old[0].type == "counter_incremented");
  BOOST_TEST(old[0].body == R"({"message":"increment"})");
  BOOST_TEST(old[0].aggregate_type.empty());
  BOOST_TEST(!old[0].command_id);
  BOOST_TEST(value_of(writer->get_snapshot(id))->version_sequence == 0);
  BOOST_TEST(value_of(writer->query("SELECT transaction_id FROM event_log", {})).at(0).at(0).is_null());

  request_maker make;
  succeed(writer->commit_events(make.request(id, 1, 2, 1, old[0].timestamp).units[0].events, old[0].timestamp));
  // The seed's application goes on writing.
  value_of(writer->query("INSERT INTO event_log (timestamp, aggregate_id, sequence, type, body) "
                         "VALUES ('\\x01a206ac419b00000000000005474ce1', $1, 4, 'counter_incremented', '{}')",
                         std::vector<sql_value>{id}));
  BOOST_TEST(value_of(writer->get_events(id, {})).size() == 4U);
}

// `mix ecto.rollback` and `mix ecto.migrate` of the seed's application: the table of migrations knows nothing of it.
BOOST_AUTO_TEST_CASE(tables_that_the_seed_has_made_anew_are_noticed_and_upgraded_again) {
  for (const char* schema : {seed_schema, seed_partitioned_schema}) {
    postgres_place where;
    auto opened = where.open({});
    auto writer = opened->open_writer();
    run_script(*writer, schema);
    value_of(opened->migrate({}));
    value_of(writer->query("DROP TABLE event_log, snapshots", {}));
    run_script(*writer, schema);
    const auto checked = opened->check({});
    BOOST_TEST_REQUIRE(!checked);
    BOOST_TEST((checked.failure().message.find("event_log.command_id") != std::string::npos), checked.failure().message);
    BOOST_TEST(!value_of(opened->migrate({})).empty());
    succeed(opened->check({}));
    BOOST_TEST(opened->warnings().empty());
    request_maker make;
    succeed(writer->commit_events(make.request().units[0].events, {}));
    for (const char* sql : {"TRUNCATE event_log", "DELETE FROM event_log"}) BOOST_TEST(!writer->query(sql, {}), sql);
  }
}

BOOST_AUTO_TEST_CASE(a_trigger_that_is_disabled_stays_so_and_is_a_warning) {
  workbench bench(postgres);
  bench.query("ALTER TABLE event_log DISABLE TRIGGER event_log_no_truncate");
  for (int start = 0; start < 2; ++start) {
    BOOST_TEST(value_of(bench.opened->migrate({})).empty());
    BOOST_TEST_REQUIRE(bench.opened->warnings().size() == 1U);
    const auto said = bench.opened->warnings()[0].message;
    BOOST_TEST((said.find("ENABLE TRIGGER event_log_no_truncate") != std::string::npos), said);
  }
}

BOOST_AUTO_TEST_CASE(a_column_of_another_type_and_keys_that_are_gone_are_noticed) {
  workbench bench(postgres);
  bench.query("ALTER TABLE event_log ALTER COLUMN sequence TYPE bigint");
  bench.query("ALTER TABLE event_log DROP CONSTRAINT event_log_pkey");
  bench.query("ALTER TABLE maestro_members DROP CONSTRAINT maestro_members_pkey");
  auto checked = bench.opened->check({});
  BOOST_TEST_REQUIRE(!checked);
  for (const char* what : {"event_log.sequence is of type int8, not int4", "event_log (timestamp)", "maestro_members (incarnation)"})
    BOOST_TEST((checked.failure().message.find(what) != std::string::npos), checked.failure().message);
  BOOST_TEST(!bench.opened->migrate({}));
  bench.query("ALTER TABLE event_log ALTER COLUMN sequence TYPE integer");
  value_of(bench.opened->migrate({}));
  succeed(bench.opened->check({}));
}

// Nodes write and read them with each start and heartbeat.
BOOST_AUTO_TEST_CASE(columns_of_what_members_serve_that_are_gone_are_noticed_and_put_back) {
  workbench bench(postgres);
  for (const std::string column : {"served_digest", "served"}) {
    bench.query("ALTER TABLE maestro_members DROP COLUMN " + column);
    const auto checked = bench.opened->check({});
    BOOST_TEST_REQUIRE(!checked);
    BOOST_TEST((checked.failure().message.find("maestro_members." + column + " is missing") != std::string::npos),
               checked.failure().message);
    value_of(bench.opened->migrate({}));
    succeed(bench.opened->check({}));
  }
}

// The index over all partitions is valid only when each partition has its own.
BOOST_AUTO_TEST_CASE(an_index_that_is_not_valid_or_misses_a_partition_is_noticed) {
  store_settings three;
  three.partitions = 3;
  postgres_place where;
  auto opened = where.open(three);
  value_of(opened->migrate({}));
  auto with = opened->open_writer();
  value_of(with->query("DROP INDEX aggregate_sequence_index", {}));
  value_of(with->query("CREATE UNIQUE INDEX aggregate_sequence_index ON ONLY event_log (aggregate_id, sequence)", {}));
  value_of(with->query("DROP INDEX event_log_1_timestamp_idx", {}));
  const auto checked = opened->check({});
  BOOST_TEST_REQUIRE(!checked);
  for (const char* what : {"aggregate_sequence_index", "event_log_1 (timestamp)"})
    BOOST_TEST((checked.failure().message.find(what) != std::string::npos), checked.failure().message);
  value_of(opened->migrate({}));
  succeed(opened->check({}));
}

BOOST_AUTO_TEST_CASE(a_schema_that_may_not_be_used_is_not_said_to_lack_tables,
                     *boost::unit_test::precondition(is_superuser)) {
  workbench bench(postgres);
  const test_role role(bench);
  auto stranger = value_of(open_database(role.uri_of(place_of(bench))));
  for (const auto& refused : {stranger->check({}).failure(), stranger->migrate({}).failure()})
    BOOST_TEST((refused.message.find("GRANT USAGE ON SCHEMA " + place_of(bench).name()) != std::string::npos), refused.message);
}

BOOST_AUTO_TEST_CASE(migrations_that_run_at_the_same_time_are_applied_once) {
  postgres_place where;
  std::vector<std::size_t> applied(4);
  std::vector<std::string> problems(4);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < applied.size(); ++i)
    threads.emplace_back([&, i] {
      auto opened = open_database(where.uri());
      auto done = (*opened)->migrate(counters);
      if (done) applied[i] = done->size();
      else problems[i] = to_string(done.failure());
    });
  for (auto& thread : threads) thread.join();
  std::size_t total = 0;
  for (std::size_t i = 0; i < applied.size(); ++i) {
    BOOST_TEST(problems[i].empty(), problems[i]);
    total += applied[i];
  }
  BOOST_TEST(total == 8U);  // Seven of the store, one of the counters.
}

BOOST_AUTO_TEST_CASE(a_role_that_may_not_create_tables_can_use_those_that_are_there,
                     *boost::unit_test::precondition(is_superuser)) {
  workbench bench(postgres);
  const auto schema = place_of(bench).name();
  test_role role(bench);
  role.grant("USAGE ON SCHEMA " + schema);
  role.grant("SELECT, INSERT ON ALL TABLES IN SCHEMA " + schema);
  auto limited = value_of(open_database(role.uri_of(place_of(bench))));
  BOOST_TEST(value_of(limited->migrate({})).empty());
  succeed(limited->check({}));

  // What SECURITY.md says that it needs to be a node's.
  role.grant("INSERT, UPDATE ON " + schema + ".snapshots");
  role.grant("UPDATE ON " + schema + ".maestro_cluster");
  role.grant("INSERT, UPDATE, DELETE ON " + schema + ".maestro_members");
  const auto request = bench.request(2);
  const auto writer = limited->open_writer();
  const auto* one = &request;
  BOOST_TEST(!writer->commit_all({&one, 1}).front().failure);
  succeed(writer->commit_snapshot({request.aggregate_id, 2, "account", "{}", 1, 2}));
  hybrid_clock clock;
  const member self{"north", clock.fresh<incarnation_id>(), "somewhere:1"};
  const auto members = limited->open_members();
  value_of(members->join(self));
  BOOST_TEST(value_of(members->beat(self.incarnation)).members.front().heartbeat == 1);
  succeed(members->leave(self.incarnation));
}

// As TRUNCATE does, or a restore of the data alone into tables that were emptied first.
BOOST_AUTO_TEST_CASE(a_cluster_whose_row_is_gone_gets_it_back_with_a_version_above_all_before) {
  workbench bench(postgres);
  hybrid_clock clock;
  const member north{"north", clock.fresh<incarnation_id>(), "north.example:1"};
  const member south{"south", clock.fresh<incarnation_id>(), "south.example:1"};
  const auto table = bench.opened->open_members();
  const auto before = value_of(table->join(north));
  const auto empty = [&] { bench.query("TRUNCATE maestro_cluster"); };

  empty();
  const auto joined = value_of(table->join(south));
  BOOST_TEST(joined.version > before.version);
  BOOST_TEST(joined.members.size() == 2U);
  empty();
  const auto seen = value_of(table->beat(north.incarnation));
  BOOST_TEST(seen.members.size() == 2U);
  BOOST_TEST(seen.version > joined.version);
  empty();
  BOOST_TEST(value_of(table->list()).members.size() == 2U);
  empty();
  BOOST_TEST(!value_of(table->declare_dead(south, joined.version)));  // What was seen is not what there is.
  empty();
  succeed(table->leave(south.incarnation));
  BOOST_TEST(bench.count("maestro_cluster") == 1);
}

BOOST_AUTO_TEST_CASE(what_the_uri_says_is_not_overridden) {
  workbench bench(postgres);
  auto shown = [&](database& opened, const std::string& name) {
    return value_of(opened.open_reader()->query("SHOW " + name, {})).at(0).at(0).as<std::string>();
  };
  BOOST_TEST(shown(*bench.opened, "application_name") == "maestro");
  BOOST_TEST(shown(*bench.opened, "lock_timeout") == "200ms");
  BOOST_TEST(shown(*bench.opened, "statement_timeout") == "10s");
  auto said = value_of(open_database(
      place_of(bench).uri("application_name=mine", "-clock_timeout%3D7s%20-cbytea_output%3Descape")));
  BOOST_TEST(shown(*said, "application_name") == "mine");
  BOOST_TEST(shown(*said, "lock_timeout") == "7s");
  BOOST_TEST(shown(*said, "statement_timeout") == "10s");
  BOOST_TEST(shown(*said, "bytea_output") == "hex");
}

BOOST_AUTO_TEST_CASE(a_server_that_is_not_there_is_unavailable_and_the_password_is_not_told) {
  store_settings settings;
  settings.reconnect_limit = std::chrono::milliseconds{5};
  auto away = value_of(open_database("postgresql://someone:s3cret@127.0.0.1:1/nothing", settings));
  BOOST_TEST(away->display_name() == "postgresql://someone:***@127.0.0.1:1/nothing");
  request_maker make;
  const auto request = make.request();
  const commit_request* only = &request;
  for (const auto& problem : {away->check({}).failure(), away->migrate({}).failure(),
                              away->open_reader()->newest_timestamp().failure(),
                              away->open_writer()->commit_all({&only, 1}).at(0).failure}) {
    BOOST_TEST((problem.code == errc::store_unavailable), to_string(problem));
    BOOST_TEST((problem.message.find("127.0.0.1") != std::string::npos));
    BOOST_TEST((problem.message.find("s3cret") == std::string::npos));
  }
}

BOOST_AUTO_TEST_CASE(a_wrong_password_and_a_wrong_uri_do_not_tell_the_password) {
  auto wrong = open_database(uri_of("maestro_nobody", "s3cret"));
  const auto refused = value_of(wrong)->check({});
  BOOST_TEST_REQUIRE(!refused);
  BOOST_TEST((refused.failure().code == errc::store_unavailable));
  BOOST_TEST((refused.failure().message.find("s3cret") == std::string::npos), refused.failure().message);
  for (const char* uri : {"postgresql://user:s3cret%@host/db", "postgresql://host/db?s3cret", "postgres://[s3cret"}) {
    const auto opened = open_database(uri);
    BOOST_TEST_REQUIRE(!opened, uri);
    BOOST_TEST((opened.failure().code == errc::invalid_setting));
    BOOST_TEST((opened.failure().message.find("s3cret") == std::string::npos));
  }
}

BOOST_AUTO_TEST_CASE(a_schema_is_made_or_looked_at_over_one_connection_with_which_the_first_store_goes_on,
                     *boost::unit_test::precondition(takes_plain_connections)) {
  faulty_proxy proxy(server_wire());
  postgres_place where;
  const auto uri = where.uri_through(proxy.port());
  const auto made = value_of(open_database(uri));
  BOOST_TEST(value_of(made->migrate(counters)).size() > 1U);
  value_of(made->open_reader()->newest_timestamp());
  BOOST_TEST(proxy.connections() == 1);
  const auto looked = value_of(open_database(uri));
  succeed(looked->check(counters));
  value_of(looked->open_writer()->newest_timestamp());
  BOOST_TEST(proxy.connections() == 2);
  // It is one store's alone.
  value_of(looked->open_writer()->newest_timestamp());
  BOOST_TEST(proxy.connections() == 3);
}

BOOST_AUTO_TEST_CASE(a_schema_with_many_steps_takes_as_many_round_trips_to_look_at_as_one_with_few,
                     *boost::unit_test::precondition(takes_plain_connections)) {
  faulty_proxy proxy(server_wire());
  postgres_place where;
  const auto uri = where.uri_through(proxy.port());
  std::vector<migration> many;
  for (int i = 1; i <= 20; ++i) many.push_back({"steps", i, "SELECT 1", "SELECT 1"});
  value_of(value_of(open_database(uri))->migrate(many));
  const auto round_trips = [&](auto ask) {
    const int before = proxy.round_trips();
    ask(*value_of(open_database(uri)));
    return proxy.round_trips() - before;
  };
  const auto few = round_trips([](database& with) { succeed(with.check({})); });
  BOOST_TEST(round_trips([&](database& with) { succeed(with.check(many)); }) == few);
  BOOST_TEST(round_trips([&](database& with) { BOOST_TEST(value_of(with.migrate(many)).empty()); }) == few);
}

BOOST_AUTO_TEST_CASE(a_batch_takes_one_round_trip_and_two_with_projections,
                     *boost::unit_test::precondition(takes_plain_connections)) {
  workbench bench(postgres, {}, counters);
  faulty_proxy proxy(server_wire());
  auto writer = value_of(open_database(place_of(bench).uri_through(proxy.port())))->open_writer();
  for (const bool projecting : {false, true})
    for (const bool prepared : {false, true}) {
      std::vector<commit_request> requests;
      std::vector<const commit_request*> batch;
      for (int i = 0; i < 256; ++i) requests.push_back(bench.request());
      if (projecting)
        for (auto& request : requests) request = with_projection(request, count_up);
      for (const auto& request : requests) batch.push_back(&request);
      const int before = proxy.round_trips();
      for (const auto& outcome : writer->commit_all(batch)) BOOST_TEST(!outcome.failure, to_string(outcome.failure));
      if (!prepared) continue;
      // What is longer than the proxy's buffer may look like more.
      BOOST_TEST(proxy.round_trips() - before <= (projecting ? 8 : 2));
    }
  BOOST_TEST(bench.count("counters") == 512);
}

BOOST_AUTO_TEST_CASE(a_new_connection_prepares_what_its_first_batch_uses,
                     *boost::unit_test::precondition(takes_plain_connections)) {
  workbench bench(postgres);
  faulty_proxy proxy(server_wire());
  for (const std::size_t events : {1U, 3U}) {
    const auto writer = value_of(open_database(place_of(bench).uri_through(proxy.port())))->open_writer();
    value_of(writer->query("SELECT 1", {}));  // connected
    const int before = proxy.round_trips();
    succeed(writer->commit_events(bench.request(1, events).units[0].events, {}));
    BOOST_TEST(proxy.round_trips() - before == 2);
  }
}

// As a server does that has lost the transaction and says so in the one place that libraries do not look at.
BOOST_AUTO_TEST_CASE(a_commit_that_is_answered_by_rollback_is_none, *boost::unit_test::precondition(takes_plain_connections)) {
  workbench bench(postgres, {}, counters);
  faulty_proxy proxy(server_wire());
  const auto writer = value_of(open_database(place_of(bench).uri_through(proxy.port())))->open_writer();
  // Without projections one statement is the whole transaction.
  const auto request = with_projection(bench.request(1, 2), count_up);
  const std::vector<const commit_request*> batch{&request};
  proxy.replace_request("COMMIT", "ABORT ");
  const auto refused = writer->commit_all(batch).at(0);
  BOOST_TEST(refused.committed == 0U);
  BOOST_TEST((refused.failure.message.find("rolled back") != std::string::npos), to_string(refused.failure));
  BOOST_TEST(bench.sequences(request.aggregate_id).empty());
  BOOST_TEST(writer->commit_all(batch).at(0).committed == 1U);
  BOOST_TEST(bench.sequences(request.aggregate_id) == numbers(1, 2));
}

BOOST_AUTO_TEST_CASE(a_connection_that_was_lost_between_commits_costs_nothing) {
  workbench bench(postgres, {}, counters);
  for (const bool projecting : {false, true}) {
    auto request = bench.request();
    if (projecting) request = with_projection(request, count_up);
    bench.query("SELECT pg_terminate_backend($1::integer)", {own_process(*bench.writer)});
    bench.committed(request);
    BOOST_TEST(bench.sequences(request.aggregate_id) == numbers(1, 1));
    // A reader's, too.
    value_of(bench.writer->query("SELECT pg_terminate_backend($1::integer)", std::vector<sql_value>{own_process(*bench.reader)}));
    BOOST_TEST(bench.sequences(request.aggregate_id) == numbers(1, 1));
  }
}

BOOST_AUTO_TEST_CASE(a_scan_whose_connection_is_lost_goes_on_where_it_was) {
  workbench bench(postgres);
  const auto request = bench.request(4, 5);
  bench.committed(request);
  BOOST_TEST(bench.sequences(request.aggregate_id).size() == 20U);  // connected
  std::vector<sequence_number> seen;
  int losses = 0;
  const auto scanned = bench.reader->scan_events(request.aggregate_id, {0, max_sequence(), 6}, [&](std::span<event> page) -> result<bool> {
    for (const auto& each : page) seen.push_back(each.sequence);
    // By now the next page is on its way, or has come; the one after that has not.
    if (losses++ == 0)
      (void)value_of(bench.writer->query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                                         "WHERE datname = current_database() AND query LIKE '%FROM event_log%' AND pid <> pg_backend_pid()", {}));
    return true;
  });
  BOOST_TEST(scanned.has_value(), (scanned ? std::string() : to_string(scanned.failure())));
  BOOST_TEST(seen == numbers(1, 20));
}

// The server waits with the next page until there is room for it, and for as long its statement runs.
BOOST_AUTO_TEST_CASE(a_scan_may_take_longer_over_a_page_than_a_statement_may_run) {
  store_settings patient;  // A busy server takes a while to fill the log.
  patient.statement_timeout = std::chrono::minutes{2};
  workbench bench(postgres, patient);
  const auto id = bench.fresh_id();
  // The second page is some 24 MB, more than the sockets hold: the receiving one, which grows with what is read from it, has seen but
  // the first page, which is small.
  bench.query("INSERT INTO event_log (timestamp, aggregate_id, sequence, type, body) "
              "SELECT int8send(n) || int8send(7), $1, n, 'long', "
              "       (SELECT jsonb_build_object('text', string_agg(md5((n * i)::text), '')) "
              "        FROM generate_series(1, CASE WHEN n BETWEEN 25 AND 48 THEN 32000 ELSE 1 END) AS i) "
              "FROM generate_series(1, 72) AS n",
              {id});
  store_settings settings;
  settings.statement_timeout = std::chrono::seconds{4};  // Long enough for a busy server to fill the sockets.
  const auto reader = value_of(open_database(place_of(bench).uri(), settings))->open_reader();
  std::vector<sequence_number> seen;
  const auto scanned = reader->scan_events(id, {0, max_sequence(), 24}, [&](std::span<event> page) -> result<bool> {
    for (const auto& each : page) seen.push_back(each.sequence);
    const std::string its_statement = "FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%FROM event_log%' AND pid <> pg_backend_pid() ";
    // Some servers cancel it then at once, others when there is room.
    const std::string waits = "AND state = 'active' AND wait_event = 'ClientWrite' AND clock_timestamp() - query_start > interval '1 s'";
    const std::string is_overdue = "AND clock_timestamp() - query_start > interval '4100 ms'";
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes{1};
    for (const auto& condition : {waits, is_overdue})
      while (seen.size() == 24 && bench.query("SELECT count(*) " + its_statement + condition).at(0).at(0).as<std::int64_t>() == 0) {
        if (std::chrono::steady_clock::now() > deadline) return error{errc::internal_error, "in vain waited for a statement " + condition};
        std::this_thread::sleep_for(std::chrono::milliseconds{5});
      }
    return true;
  });
  BOOST_TEST(scanned.has_value(), (scanned ? std::string() : to_string(scanned.failure())));
  BOOST_TEST(seen == numbers(1, 72));
}

BOOST_AUTO_TEST_CASE(a_connection_that_is_lost_before_commit_costs_nothing) {
  workbench bench(postgres, {}, counters);
  int times = 2;
  const auto request = with_projection(bench.request(2), [&](transaction& tx, const event& event) {
    count_up(tx, event);
    if (times-- > 0) (void)tx.query("SELECT pg_terminate_backend(pg_backend_pid())");
  });
  bench.committed(request);
  BOOST_TEST(bench.query("SELECT value FROM counters").at(0).at(0).as<std::int64_t>() == 2);
}

BOOST_AUTO_TEST_CASE(a_wire_that_is_cut_before_the_events_or_between_them_and_their_projections_costs_nothing,
                     *boost::unit_test::precondition(takes_plain_connections)) {
  workbench bench(postgres, {}, counters);
  faulty_proxy proxy(server_wire());
  auto writer = value_of(open_database(place_of(bench).uri_through(proxy.port())))->open_writer();
  int cuts = 0;
  for (const bool after_events : {false, true}) {
    value_of(writer->newest_timestamp());  // connected
    bool is_first = true;
    const std::string next_word = after_events ? "the last word" : "the first word";
    auto request = with_projection(bench.request(2, 2), [&](transaction& tx, const event& event) {
      count_up(tx, event);
      // Once the events are there, and before the projection's next word.
      if (std::exchange(is_first, false) && after_events) {
        BOOST_TEST(tx.query("SELECT 1 FROM event_log WHERE timestamp = $1", event.timestamp).size() == 1U);
        proxy.lose_request(next_word);
      }
      (void)tx.query("SELECT '" + next_word + "'");
    });
    if (!after_events) proxy.lose_request(request.aggregate_type);
    const auto outcome = writer->commit_all(std::vector<const commit_request*>{&request}).at(0);
    BOOST_TEST(outcome.committed == 2U, to_string(outcome.failure));
    BOOST_TEST(proxy.cuts() == ++cuts);
    BOOST_TEST(bench.sequences(request.aggregate_id) == numbers(1, 4));
    BOOST_TEST(bench.query("SELECT value FROM counters WHERE id = $1", {request.aggregate_id}).at(0).at(0).as<std::int64_t>() == 4);
    const auto next = with_projection(bench.request(), count_up);
    BOOST_TEST(!writer->commit_all(std::vector{&next}).at(0).failure);
  }
}

// A pooler says so when it loses its own server, and hangs up. The code is that of a protocol violation.
BOOST_AUTO_TEST_CASE(a_commit_that_a_pooler_lost_is_settled_and_written_once,
                     *boost::unit_test::precondition(takes_plain_connections)) {
  using namespace std::string_literals;
  const auto fields = "SFATAL\0VFATAL\0C08P01\0Mserver conn crashed?\0\0"s;
  const auto goodbye = "E\0\0\0"s + static_cast<char>(fields.size() + 4) + fields;
  workbench bench(postgres, {}, counters);
  faulty_proxy proxy(server_wire());
  auto writer = value_of(open_database(place_of(bench).uri_through(proxy.port())))->open_writer();
  for (const bool projecting : {false, true}) {
    auto request = bench.request(1, 2);
    if (projecting) request = with_projection(request, count_up);
    value_of(writer->newest_timestamp());  // connected
    proxy.replace_answer_to(projecting ? "COMMIT" : request.aggregate_type, goodbye);
    const auto outcome = writer->commit_all(std::vector<const commit_request*>{&request}).at(0);
    BOOST_TEST(outcome.committed == 1U, to_string(outcome.failure));
    BOOST_TEST(bench.sequences(request.aggregate_id) == numbers(1, 2));
    const auto next = bench.request();
    BOOST_TEST(!writer->commit_all(std::vector{&next}).at(0).failure);
  }
  BOOST_TEST(proxy.cuts() == 2);
}

BOOST_AUTO_TEST_CASE(a_log_that_was_not_migrated_says_what_to_do) {
  postgres_place where;
  store_settings settings;
  settings.reconnect_limit = std::chrono::milliseconds{5};
  auto opened = where.open(settings);
  auto writer = opened->open_writer();
  run_script(*writer, seed_schema);
  request_maker make;
  const auto request = make.request();
  for (const auto& problem : {writer->commit_events(request.units[0].events, {}).failure(),
                              writer->get_events(request.aggregate_id, {}).failure()}) {
    BOOST_TEST((problem.code == errc::store_unavailable), to_string(problem));
    BOOST_TEST((problem.message.find("maestro migrate") != std::string::npos), problem.message);
  }
  value_of(opened->migrate({}));
  succeed(writer->commit_events(request.units[0].events, {}));
}

// The answer to the commit is lost, once after it was committed and once before it arrived.
BOOST_AUTO_TEST_CASE(a_commit_whose_answer_is_lost_is_settled_and_written_once,
                     *boost::unit_test::precondition(takes_plain_connections)) {
  workbench bench(postgres, {}, counters);
  faulty_proxy proxy(server_wire());
  auto writer = value_of(open_database(place_of(bench).uri_through(proxy.port())))->open_writer();
  int cuts = 0;
  for (const bool projecting : {false, true})
    for (const bool arrives : {false, true}) {
      auto request = bench.request(2, 2);
      if (projecting) request = with_projection(request, count_up);
      auto other = bench.request();
      value_of(writer->newest_timestamp());  // connected
      const std::string message = projecting ? "COMMIT" : request.aggregate_type;
      if (arrives) proxy.lose_answer_to(message);
      else proxy.lose_request(message);
      const std::vector<const commit_request*> batch{&request, &other};
      for (const auto& outcome : writer->commit_all(batch)) BOOST_TEST(!outcome.failure, to_string(outcome.failure));
      BOOST_TEST(proxy.cuts() == ++cuts);
      BOOST_TEST(bench.sequences(request.aggregate_id) == numbers(1, 4));
      BOOST_TEST(bench.sequences(other.aggregate_id) == numbers(1, 1));
      if (projecting)
        BOOST_TEST(bench.query("SELECT value FROM counters WHERE id = $1", {request.aggregate_id}).at(0).at(0).as<std::int64_t>() == 4);
    }
}

BOOST_AUTO_TEST_CASE(a_commit_in_doubt_while_the_server_stays_away_says_so_and_is_settled_later,
                     *boost::unit_test::precondition(takes_plain_connections)) {
  workbench bench(postgres);
  store_settings impatient;
  impatient.reconnect_limit = std::chrono::milliseconds{20};
  auto request = bench.request(2);
  auto proxy = std::make_unique<faulty_proxy>(server_wire());
  const auto through = place_of(bench).uri_through(proxy->port());
  auto writer = value_of(open_database(through, impatient))->open_writer();
  value_of(writer->newest_timestamp());
  // The commit arrives, its answer does not, and no connection is made again.
  proxy->turn_away(true);
  proxy->lose_answer_to(request.aggregate_type);
  const std::vector<const commit_request*> batch{&request};
  BOOST_TEST((writer->commit_all(batch).at(0).failure.code == errc::in_doubt));
  request.in_doubt = true;
  BOOST_TEST((writer->commit_all(batch).at(0).failure.code == errc::in_doubt));

  proxy->turn_away(false);
  const auto outcome = writer->commit_all(batch).at(0);
  BOOST_TEST(outcome.committed == 2U);
  BOOST_TEST(bench.sequences(request.aggregate_id) == numbers(1, 2));
}

// The last part of a careful batch lost all it had: taking it back must not share a message, and a fate, with COMMIT.
BOOST_AUTO_TEST_CASE(a_commit_after_a_part_that_was_taken_back_is_in_doubt_when_its_answer_is_lost,
                     *boost::unit_test::precondition(takes_plain_connections)) {
  workbench bench(postgres, {}, counters);
  store_settings impatient;
  impatient.reconnect_limit = std::chrono::milliseconds{20};
  auto proxy = std::make_unique<faulty_proxy>(server_wire());
  auto writer = value_of(open_database(place_of(bench).uri_through(proxy->port()), impatient))->open_writer();
  const auto failing = [](transaction&, const event&) { throw std::runtime_error("no such luck"); };
  const auto first = with_projection(bench.request(), failing);
  BOOST_TEST((writer->commit_all(std::vector{&first}).at(0).failure.code == errc::program_failed));

  std::vector<commit_request> requests;
  for (int i = 0; i < 17; ++i)
    requests.push_back(with_projection(bench.request(), i == 16 ? function_projector::function(failing) : count_up));
  std::vector<const commit_request*> batch;
  for (const auto& request : requests) batch.push_back(&request);
  proxy->turn_away(true);
  proxy->lose_answer_to("COMMIT");
  const auto outcomes = writer->commit_all(batch);
  proxy->turn_away(false);
  for (std::size_t i = 0; i < 16; ++i)
    BOOST_TEST((outcomes[i].failure.code == errc::in_doubt), i << ": " << to_string(outcomes[i].failure));
}

BOOST_AUTO_TEST_CASE(a_statement_that_takes_too_long_is_put_off_at_once_and_costs_nobody_else) {
  store_settings settings;
  settings.statement_timeout = std::chrono::milliseconds{200};
  workbench bench(postgres, settings, counters);
  std::vector<commit_request> requests;
  for (int i = 0; i < 64; ++i)
    requests.push_back(with_projection(bench.request(), [i](transaction& tx, const event& event) {
      if (i == 40) tx.execute("SELECT pg_sleep(60)");
      count_up(tx, event);
    }));
  std::vector<const commit_request*> batch;
  for (const auto& request : requests) batch.push_back(&request);
  const auto outcomes = bench.commit(batch);
  for (std::size_t i = 0; i < 64; ++i) {
    if (i == 40) BOOST_TEST((outcomes[i].failure.code == errc::store_unavailable), to_string(outcomes[i].failure));
    else BOOST_TEST(outcomes[i].committed == 1U, to_string(outcomes[i].failure));
  }
  BOOST_TEST((outcomes[40].failure.message.find("statement timeout") != std::string::npos), outcomes[40].failure.message);
  BOOST_TEST(bench.count("counters") == 63);
}

BOOST_AUTO_TEST_CASE(a_table_that_changes_under_a_prepared_statement_rejects_nobody) {
  workbench bench(postgres, {}, counters);
  const auto look = [](transaction& tx, const event& event) {
    (void)tx.query("SELECT * FROM counters");
    count_up(tx, event);
  };
  bench.committed(with_projection(bench.request(), look));
  bench.query("ALTER TABLE counters ADD COLUMN note text");
  bench.committed(with_projection(bench.request(), look));
}

BOOST_AUTO_TEST_CASE(a_constraint_that_is_checked_at_commit_rejects_its_command_alone) {
  workbench bench(postgres, {}, counters);
  bench.query("ALTER TABLE counters ADD CONSTRAINT small UNIQUE (value) DEFERRABLE INITIALLY DEFERRED");
  const auto one = with_projection(bench.request(), count_up);
  bench.committed(one);
  const auto same = with_projection(bench.request(), count_up);
  const auto more = with_projection(bench.request(1, 2), count_up);
  const auto free = bench.request();
  const auto outcomes = bench.commit({&same, &more, &free});
  BOOST_TEST((outcomes[0].failure.code == errc::projection_failed), to_string(outcomes[0].failure));
  BOOST_TEST((outcomes[0].failure.message.find("\"small\"") != std::string::npos), outcomes[0].failure.message);
  BOOST_TEST(outcomes[1].committed == 1U);
  BOOST_TEST(outcomes[2].committed == 1U);
}

BOOST_AUTO_TEST_CASE(a_row_that_another_transaction_holds_costs_only_who_needs_it) {
  store_settings settings;
  settings.lock_timeout = std::chrono::milliseconds{20};
  settings.max_retries = 3;
  workbench bench(postgres, settings, counters);
  const auto held = with_projection(bench.request(), count_up);
  bench.committed(held);
  auto holder = bench.opened->open_writer();
  value_of(holder->query("BEGIN", {}));
  value_of(holder->query("UPDATE counters SET value = 10", {}));

  const auto blocked =
      with_projection(bench.request(held.aggregate_id, 1, 1, 1, held.units[0].events[0].timestamp), count_up);
  std::vector<commit_request> requests;
  for (int i = 0; i < 20; ++i) requests.push_back(with_projection(bench.request(), count_up));
  std::vector<const commit_request*> batch{&blocked};
  for (const auto& request : requests) batch.push_back(&request);
  const auto outcomes = bench.commit(batch);
  BOOST_TEST((outcomes[0].failure.code == errc::store_unavailable), to_string(outcomes[0].failure));
  for (std::size_t i = 1; i < outcomes.size(); ++i) BOOST_TEST(outcomes[i].committed == 1U);
  value_of(holder->query("ROLLBACK", {}));
  bench.committed(blocked);
}

BOOST_AUTO_TEST_CASE(a_statement_that_runs_too_long_is_given_up) {
  store_settings settings;
  settings.statement_timeout = std::chrono::milliseconds{500};
  settings.max_retries = 1;
  workbench bench(postgres, settings);
  const auto slow = with_projection(bench.request(), [](transaction& tx, const event&) { tx.execute("SELECT pg_sleep(60)"); });
  const auto quick = bench.request();
  const auto outcomes = bench.commit({&slow, &quick});
  BOOST_TEST((outcomes[0].failure.code == errc::store_unavailable));
  BOOST_TEST(outcomes[1].committed == 1U);
}

BOOST_AUTO_TEST_CASE(a_log_that_the_seed_partitioned_is_upgraded_and_answers_a_race_as_any_other) {
  postgres_place where;
  auto opened = where.open({});
  auto writer = opened->open_writer();
  run_script(*writer, seed_partitioned_schema);
  value_of(opened->migrate({}));
  succeed(opened->check({}));
  request_maker make;
  for (int i = 0; i < 16; ++i) {
    const auto first = make.request();
    succeed(writer->commit_events(first.units[0].events, {}));
    const auto late = writer->commit_events(make.request(first.aggregate_id).units[0].events, {});
    BOOST_TEST_REQUIRE(!late);
    BOOST_TEST((late.failure().code == errc::retry_command), to_string(late.failure()));
    // A timestamp that its partition knows already: stamped again, it fits.
    auto twin = make.request(first.aggregate_id, 1, 1, 1, first.units[0].events[0].timestamp);
    twin.units[0].events[0].timestamp = first.units[0].events[0].timestamp;
    twin.units[0].events[0].command_id = command_id{make.fresh_id().bytes};  // One of the seed's would be lifted.
    const auto same = writer->commit_events(twin.units[0].events, twin.predecessor);
    BOOST_TEST_REQUIRE(!same);
    BOOST_TEST((same.failure().code == errc::retry_command), to_string(same.failure()));
  }
  for (const char* sql : {"TRUNCATE event_log", "TRUNCATE event_log_1", "DELETE FROM event_log_0", "DELETE FROM event_log_1"})
    BOOST_TEST(!writer->query(sql, {}), sql);
}

BOOST_AUTO_TEST_CASE(a_log_is_partitioned_when_it_is_made_or_never) {
  store_settings three;
  three.partitions = 3;
  const auto partitions = [](store& with) {
    return value_of(with.query("SELECT count(*) FROM pg_inherits WHERE inhparent = 'event_log'::regclass", {})).at(0).at(0).as<std::int64_t>();
  };
  postgres_place cut;
  auto opened = cut.open(three);
  value_of(opened->migrate({}));
  succeed(opened->check({}));
  BOOST_TEST(partitions(*opened->open_reader()) == 3);
  succeed(cut.open({})->check({}));  // Who does not care takes it as it is.

  postgres_place whole;
  value_of(whole.open({})->migrate({}));
  for (auto* place : {&cut, &whole}) {
    store_settings five;
    five.partitions = 5;
    const auto other = place->open(five);
    for (const auto& refused : {other->check({}).failure(), other->migrate({}).failure()}) {
      BOOST_TEST((refused.code == errc::invalid_setting), to_string(refused));
      BOOST_TEST((refused.message.find("store.partitions") != std::string::npos), refused.message);
    }
  }
}

BOOST_AUTO_TEST_CASE(tables_that_are_rebuilt_keep_their_grants_and_what_depends_on_them,
                     *boost::unit_test::precondition(is_superuser)) {
  workbench bench(postgres, {}, counters);
  for (int i = 0; i < 5; ++i) bench.committed(bench.request(1, 2));
  // Of the whole database, where rebuilds that other tests stopped wait to be taken up.
  const auto shadows = [&] { return bench.query("SELECT FROM pg_namespace WHERE nspname LIKE 'maestro_rebuild%counters%'").size(); };
  const auto before = shadows();
  const test_role role(bench);
  bench.query("GRANT SELECT ON counters TO " + role.name + " WITH GRANT OPTION");
  bench.query("CREATE VIEW shown AS SELECT value FROM counters");
  const auto refused = bench.opened->rebuild(counting(), {});
  BOOST_TEST_REQUIRE(!refused);
  BOOST_TEST((refused.failure().code == errc::invalid_argument), to_string(refused.failure()));
  BOOST_TEST((refused.failure().message.find("counters") != std::string::npos), refused.failure().message);
  BOOST_TEST(bench.count("counters") == 0);
  bench.query("DROP VIEW shown");
  BOOST_TEST(value_of(bench.opened->rebuild(counting(), {})).done == 10U);
  BOOST_TEST(bench.count("counters") == 5);
  BOOST_TEST(bench.query("SELECT has_table_privilege($1, 'counters', 'SELECT WITH GRANT OPTION')", {role.name}).at(0).at(0).as<bool>());
  BOOST_TEST(!bench.query("SELECT has_table_privilege($1, 'counters', 'INSERT')", {role.name}).at(0).at(0).as<bool>());
  // Nothing of it stays behind.
  BOOST_TEST(shadows() == before);
  BOOST_TEST(bench.query("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'maestro_rebuild%' AND tgrelid = 'event_log'::regclass")
                 .at(0).at(0).as<std::int64_t>() == 0);
}

BOOST_AUTO_TEST_CASE(a_projection_is_rebuilt_by_one_at_a_time_and_goes_on_after_a_lost_connection) {
  workbench bench(postgres, {}, counters);
  for (int i = 0; i < 30; ++i) bench.committed(bench.request(1, 100));
  bool tried = false;
  const auto lost = bench.opened->rebuild(counting(), [&](const rebuild_progress& progress) {
    if (progress.done < 1500) return true;
    if (!std::exchange(tried, true)) {
      const auto second = bench.where->open({})->rebuild(counting(), {});
      BOOST_TEST((second.failure().code == errc::store_in_use), to_string(second.failure()));
      // As a kill would end it.
      bench.query("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock' "
                  "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())");
    }
    return true;
  });
  BOOST_TEST_REQUIRE(!lost);
  BOOST_TEST((lost.failure().code == errc::store_unavailable), to_string(lost.failure()));
  BOOST_TEST(bench.count("counters") == 0);
  bench.committed(bench.request(1, 1));
  const auto done = value_of(bench.opened->rebuild(counting(), {}));
  BOOST_TEST(done.resumed >= 1500U);
  BOOST_TEST(done.done == 3001U);
  BOOST_TEST(bench.query("SELECT sum(value)::bigint FROM counters").at(0).at(0).as<std::int64_t>() == 3001);
}

BOOST_AUTO_TEST_CASE(a_log_with_a_trigger_that_drops_rows_is_never_reported_as_committed) {
  workbench bench(postgres);
  bench.query("CREATE FUNCTION drop_row() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'");
  bench.query("CREATE TRIGGER dropping BEFORE INSERT ON event_log FOR EACH ROW WHEN (NEW.sequence = 2) EXECUTE FUNCTION drop_row()");
  const auto request = bench.request(1, 3);
  const auto outcome = bench.commit(request);
  BOOST_TEST(outcome.committed == 0U);
  BOOST_TEST((outcome.failure.code == errc::internal_error), to_string(outcome.failure));
}

// As a server of several machines warns that one of them did not take part: what was committed is for the log to say.
BOOST_AUTO_TEST_CASE(a_commit_that_comes_with_a_warning_is_looked_up) {
  workbench bench(postgres, {}, counters);
  bench.query("CREATE FUNCTION warn() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE WARNING ''not everywhere''; RETURN NULL; END'");
  bench.query("CREATE CONSTRAINT TRIGGER warning AFTER INSERT ON event_log DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION warn()");
  for (const bool projecting : {false, true}) {
    const auto before = own_process(*bench.writer);
    auto request = bench.request(1, 2);
    if (projecting) request = with_projection(request, count_up);
    bench.committed(request);
    BOOST_TEST(bench.sequences(request.aggregate_id) == numbers(1, 2));
    BOOST_TEST(own_process(*bench.writer) != before);  // Over another connection, once the doubtful process had ended.
  }
  BOOST_TEST(bench.query("SELECT value FROM counters").at(0).at(0).as<std::int64_t>() == 2);
}

// Without them no commit would seem to be in doubt.
BOOST_AUTO_TEST_CASE(warnings_arrive_also_where_the_settings_keep_them_back) {
  workbench bench(postgres);
  const auto level = [&](const std::string& asked) {
    const auto opened = value_of(open_database(place_of(bench).uri({}, "-cclient_min_messages%3D" + asked)));
    return value_of(opened->open_writer()->query("SHOW client_min_messages", {})).at(0).at(0).as<std::string>();
  };
  BOOST_TEST(level("error") == "warning");
  for (const char* more : {"debug5", "log", "notice", "warning"}) BOOST_TEST(level(more) == more);
  BOOST_TEST(level("debug") == "debug2");
}

// A page of the index that is damaged, under one aggregate.
BOOST_AUTO_TEST_CASE(an_insert_that_meets_damaged_data_costs_its_aggregate_alone,
                     *boost::unit_test::precondition(is_no_citus)) {
  store_settings impatient;
  impatient.reconnect_limit = std::chrono::milliseconds{20};
  workbench bench(postgres, impatient, counters);
  bench.query("CREATE FUNCTION damaged() RETURNS trigger LANGUAGE plpgsql AS "
              "'BEGIN RAISE EXCEPTION ''invalid page in block 7'' USING ERRCODE = ''XX001''; END'");
  for (const bool projecting : {false, true}) {
    std::vector<commit_request> requests;
    std::vector<const commit_request*> batch;
    for (int i = 0; i < 16; ++i) requests.push_back(projecting ? with_projection(bench.request(), count_up) : bench.request());
    for (const auto& request : requests) batch.push_back(&request);
    bench.query("CREATE TRIGGER failing BEFORE INSERT ON event_log FOR EACH ROW WHEN (NEW.aggregate_id = '\\x" +
                requests[11].aggregate_id.text() + "') EXECUTE FUNCTION damaged()");
    const auto outcomes = bench.commit(batch);
    bench.query("DROP TRIGGER failing ON event_log");
    for (std::size_t i = 0; i < outcomes.size(); ++i) {
      if (i != 11) BOOST_TEST(outcomes[i].committed == 1U, to_string(outcomes[i].failure));
      else BOOST_TEST((outcomes[i].failure.code == errc::store_unavailable), to_string(outcomes[i].failure));
    }
    BOOST_TEST((outcomes[11].failure.message.find("invalid page in block 7") != std::string::npos), outcomes[11].failure.message);
    bench.committed(requests[11]);
  }
}

// As Citus says at COMMIT that it has lost a worker: the transaction may have been carried out there. There an insert alone
// is a commit.
BOOST_AUTO_TEST_CASE(a_commit_that_ends_in_an_internal_error_is_in_doubt) {
  store_settings impatient;
  impatient.reconnect_limit = std::chrono::milliseconds{20};
  workbench bench(postgres, impatient, counters);
  bench.query("CREATE FUNCTION defect() RETURNS trigger LANGUAGE plpgsql AS "
              "'BEGIN RAISE EXCEPTION ''failure on connection'' USING ERRCODE = ''XX000''; END'");
  for (const bool projecting : {false, true}) {
    if (!projecting && !has_citus()) continue;
    bench.query("CREATE CONSTRAINT TRIGGER failing AFTER INSERT ON event_log DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION defect()");
    auto request = bench.request(1, 2);
    if (projecting) request = with_projection(request, count_up);
    const auto outcome = bench.commit(request);
    BOOST_TEST((outcome.failure.code == errc::in_doubt), to_string(outcome.failure));
    bench.query("DROP TRIGGER failing ON event_log");
    request.in_doubt = true;
    BOOST_TEST(bench.commit(request).committed == 1U);
    BOOST_TEST(bench.sequences(request.aggregate_id) == numbers(1, 2));
  }
}

// On Citus an index has its shard's number behind its name.
BOOST_AUTO_TEST_CASE(a_race_is_decided_by_an_index_with_a_shards_name) {
  workbench bench(postgres);
  bench.query("ALTER INDEX event_log_pkey RENAME TO event_log_pkey_102009");
  bench.query("ALTER INDEX aggregate_sequence_index RENAME TO aggregate_sequence_index_102009");
  for (const std::size_t events : {1U, 3U}) {
    const auto first = bench.request(1, static_cast<int>(events));
    bench.committed(first);
    BOOST_TEST(bench.commit(first).committed == 1U);  // The same again.
    auto second = bench.request(1, static_cast<int>(events));
    second.aggregate_id = first.aggregate_id;
    for (auto& event : second.units[0].events) event.aggregate_id = first.aggregate_id;
    const auto outcome = bench.commit(second);
    BOOST_TEST((outcome.failure.code == errc::retry_command), to_string(outcome.failure));
    BOOST_TEST(bench.sequences(first.aggregate_id).size() == events);
  }
}

BOOST_AUTO_TEST_CASE(no_column_of_the_log_has_a_default) {
  workbench bench(postgres);
  const auto defaults = [&] {
    return bench.query("SELECT count(*) FROM pg_attrdef WHERE adrelid = 'event_log'::regclass").at(0).at(0).as<std::int64_t>();
  };
  BOOST_TEST(defaults() == 0);
  // As the first step of earlier programs made it.
  bench.query("ALTER TABLE event_log ALTER COLUMN transaction_id SET DEFAULT pg_current_xact_id()");
  bench.query("DELETE FROM maestro_migrations WHERE component = 'maestro' AND number = 6");
  value_of(bench.opened->migrate({}));
  BOOST_TEST(defaults() == 0);
}

// Its catalogue, made by hand: what is whole on a worker serves as it is, and is not changed there.
BOOST_AUTO_TEST_CASE(a_schema_that_citus_has_distributed_is_used_and_not_changed, *boost::unit_test::precondition(is_no_citus)) {
  workbench bench(postgres, {}, counters);
  const auto name = place_of(bench).name();
  bench.query("CREATE TABLE pg_dist_partition (logicalrelid regclass, partmethod \"char\")");
  bench.query("CREATE TABLE pg_dist_schema (schemaid oid, colocationid integer)");
  const auto says = [](const error& failure, const std::string& what) {
    BOOST_TEST((failure.message.find(what) != std::string::npos), failure.message);
  };
  bench.query("INSERT INTO pg_dist_partition VALUES ('event_log', 'n'), ('counters', 'n')");
  bench.query("INSERT INTO pg_dist_schema VALUES ('" + name + "'::regnamespace, 7)");
  BOOST_TEST(value_of(bench.opened->migrate(counters)).empty());
  succeed(bench.opened->check(counters));
  bench.committed(bench.request());

  const auto rebuilt = bench.opened->rebuild(counting(), {});
  BOOST_TEST_REQUIRE(!rebuilt);
  BOOST_TEST((rebuilt.failure().code == errc::invalid_argument));
  says(rebuilt.failure(), "citus_schema_undistribute('" + name + "')");
  bench.query("DROP INDEX aggregate_sequence_index");
  const auto repaired = bench.opened->migrate(counters);
  BOOST_TEST_REQUIRE(!repaired);
  says(repaired.failure(), "citus_schema_undistribute('" + name + "')");
  bench.query("DELETE FROM maestro_migrations WHERE number = 6");
  const auto migrated = bench.opened->migrate(counters);
  BOOST_TEST_REQUIRE(!migrated);
  says(migrated.failure(), "migration maestro 6");
  bench.query("TRUNCATE pg_dist_schema");
  BOOST_TEST(!value_of(bench.opened->migrate(counters)).empty());

  // A log in shards by its rows: a commit can lose a part of them.
  bench.query("UPDATE pg_dist_partition SET partmethod = 'h' WHERE logicalrelid = 'event_log'::regclass");
  for (const auto& refused : {bench.opened->check(counters).failure(), bench.opened->migrate(counters).failure()}) {
    BOOST_TEST((refused.code == errc::invalid_setting), to_string(refused));
    says(refused, "undistribute_table('event_log')");
  }
}

BOOST_AUTO_TEST_CASE(tables_that_are_missing_say_what_to_do) {
  postgres_place where;
  store_settings settings;
  settings.reconnect_limit = std::chrono::milliseconds{5};
  auto opened = where.open(settings);
  request_maker make;
  const auto request = make.request();
  const auto refused = opened->open_writer()->commit_events(request.units[0].events, {});
  BOOST_TEST_REQUIRE(!refused);
  BOOST_TEST((refused.failure().code == errc::store_unavailable));
  BOOST_TEST((refused.failure().message.find("maestro migrate") != std::string::npos), refused.failure().message);
  const auto read = opened->open_reader()->get_events(request.aggregate_id, {});
  BOOST_TEST((read.failure().code == errc::store_unavailable));
}

BOOST_AUTO_TEST_CASE(a_write_uses_the_indexes_however_small_the_tables_were_when_it_was_planned) {
  workbench bench(postgres);
  auto request = bench.request();
  bench.committed(request);
  bench.query("ANALYZE event_log");
  const auto plan = value_of(bench.writer->query(
      "EXPLAIN SELECT timestamp FROM event_log WHERE aggregate_id = '\\x00' AND sequence = 1", {}));
  std::string text;
  for (const auto& row : plan) text += row.at(0).as<std::string>() + "\n";
  BOOST_TEST((text.find("aggregate_sequence_index") != std::string::npos), text);
}

// One that was only stopped would hold what its open transaction has locked.
BOOST_AUTO_TEST_CASE(who_is_declared_dead_loses_its_connections) {
  workbench bench(postgres);
  hybrid_clock clock;
  const auto stopped = bench.where->open({});
  const auto still_open = stopped->open_writer();
  const auto process = own_process(*still_open);
  const auto is_there = [&] {
    return !bench.query("SELECT FROM pg_stat_activity WHERE pid = $1", {process}).empty();
  };
  const auto earlier = stopped->open_members();
  const member first{"north", clock.fresh<incarnation_id>(), "somewhere:1"};
  value_of(earlier->join(first));
  const auto ours = own_process(*bench.writer);

  const auto others = bench.opened->open_members();
  const auto locks = [&](std::int64_t of) { return bench.query("SELECT FROM pg_locks WHERE pid = $1", {of}).size(); };
  BOOST_TEST(is_there());
  BOOST_TEST(locks(process) > 0U);
  BOOST_TEST(value_of(others->declare_dead(first, value_of(others->list()).version)));
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (locks(process) > 0U) BOOST_TEST_REQUIRE((std::chrono::steady_clock::now() < deadline), "its session is still there");
  while (is_there()) BOOST_TEST_REQUIRE((std::chrono::steady_clock::now() < deadline), "its connection is still there");

  // A later run of the name does the same. Our own are left alone.
  const auto again = own_process(*still_open);
  value_of(earlier->join({"north", clock.fresh<incarnation_id>(), "somewhere:1"}));
  value_of(others->join({"north", clock.fresh<incarnation_id>(), "somewhere:2"}));
  while (!bench.query("SELECT FROM pg_stat_activity WHERE pid = $1", {again}).empty())
    BOOST_TEST_REQUIRE((std::chrono::steady_clock::now() < deadline), "its connection is still there");
  BOOST_TEST(own_process(*bench.writer) == ours);
}

// The answer to the change is lost, and the change is there when it is made again.
BOOST_AUTO_TEST_CASE(who_is_declared_dead_loses_its_connections_also_when_the_answer_is_lost,
                     *boost::unit_test::precondition(takes_plain_connections)) {
  workbench bench(postgres);
  hybrid_clock clock;
  faulty_proxy proxy(server_wire());
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  for (const bool joins : {false, true}) {
    const auto stopped = bench.where->open({});
    const auto still_open = stopped->open_writer();
    const auto process = own_process(*still_open);
    const member first{"north", clock.fresh<incarnation_id>(), "somewhere:1"};
    value_of(stopped->open_members()->join(first));
    const auto others = value_of(open_database(place_of(bench).uri_through(proxy.port())))->open_members();
    const auto version = value_of(others->list()).version;
    proxy.lose_answer_to("COMMIT");
    if (joins) value_of(others->join({"north", clock.fresh<incarnation_id>(), "somewhere:2"}));
    else (void)value_of(others->declare_dead(first, version));
    while (!bench.query("SELECT FROM pg_locks WHERE pid = $1", {process}).empty())
      BOOST_TEST_REQUIRE((std::chrono::steady_clock::now() < deadline), "its session is still there");
  }
  BOOST_TEST(proxy.cuts() == 2);
}

BOOST_AUTO_TEST_SUITE_END()
