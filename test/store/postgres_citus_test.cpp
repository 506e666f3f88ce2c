// A store in a schema that Citus keeps on one of its workers, through the coordinator. Run where MAESTRO_TEST_POSTGRES
// names a database with Citus and workers, with MAESTRO_TEST_PLACE=schema: a database made for the test would not have
// it.
#include "counters.hpp"
#include "forwarding_store.hpp"
#include "postgres_server.hpp"

#include <boost/test/unit_test.hpp>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

using namespace maestro;
using namespace maestro::test;

namespace {

auto is_citus(boost::unit_test::test_unit_id) -> boost::test_tools::assertion_result {
  const postgres_place where;
  const auto has_workers =
      value_of(open_database(where.uri()))
          ->open_reader()
          ->query("SELECT EXISTS (SELECT FROM pg_dist_node WHERE isactive AND shouldhaveshards)", {});
  boost::test_tools::assertion_result is(has_workers && has_workers->at(0).at(0).as<bool>());
  is.message() << "the tests' database has no Citus with workers";
  return is;
}

// Takes the schema back from the worker where tables are made or changed: store/ON_CITUS.md.
class database_on_a_worker final : public forwarding_database {
 public:
  database_on_a_worker(std::shared_ptr<database> inner, std::string schema)
      : forwarding_database(std::move(inner)), schema_(std::move(schema)) {}
  auto migrate(std::span<const migration> components) -> result<std::vector<std::string>> override {
    take_back();
    auto migrated = forwarding_database::migrate(components);
    distribute();
    return migrated;
  }
  auto rebuild(const rebuild_plan& plan, const rebuild_watch& watch) -> result<rebuild_progress> override {
    take_back();
    auto rebuilt = forwarding_database::rebuild(plan, watch);
    distribute();
    return rebuilt;
  }

 private:
  void take_back() {
    const std::vector<sql_value> schema{schema_};
    const auto with = inner().open_writer();
    const auto is_away = value_of(
        with->query("SELECT EXISTS (SELECT FROM pg_dist_schema WHERE schemaid = $1::text::regnamespace)", schema));
    if (is_away.at(0).at(0).as<bool>())
      value_of(with->query("SELECT citus_schema_undistribute('" + schema_ + "')", {}));
  }
  void distribute() {
    const auto with = inner().open_writer();
    value_of(with->query("SET citus.enable_unsafe_triggers = on", {}));
    value_of(with->query("SELECT citus_schema_distribute('" + schema_ + "')", {}));
  }

  const std::string schema_;
};

class place_on_a_worker final : public postgres_place {
 public:
  [[nodiscard]] auto open(const store_settings& settings) -> std::shared_ptr<database> override {
    return std::make_shared<database_on_a_worker>(postgres_place::open(settings), name());
  }
};

const store_under_test on_a_worker{"citus_worker", [] { return std::make_unique<place_on_a_worker>(); }};

}  // namespace

BOOST_AUTO_TEST_SUITE(postgres_citus, *boost::unit_test::precondition(is_citus))

BOOST_AUTO_TEST_CASE(events_snapshots_and_projections_on_a_worker_are_those_of_any_store) {
  workbench bench(on_a_worker, {}, counters);
  BOOST_TEST(bench.query("SELECT count(*) FROM pg_dist_shard WHERE logicalrelid = 'event_log'::regclass")
                 .at(0)
                 .at(0)
                 .as<std::int64_t>() == 1);
  BOOST_TEST(bench.opened->warnings().empty());
  for (const bool projecting : {false, true})
    for (const std::size_t size : {1U, 3U}) {
      const auto made = [&](commit_request request) {
        return projecting ? with_projection(std::move(request), count_up) : request;
      };
      const auto first = made(bench.request(2, size));
      const auto head = static_cast<sequence_number>(2 * size);
      bench.committed(first);
      BOOST_TEST(bench.commit(first).committed == 2U);  // The same again.
      const auto rival = made(bench.request(first.aggregate_id, 2, size));
      BOOST_TEST((bench.commit(rival).failure.code == errc::retry_command));
      // One event after another, and one after what is not the newest any more.
      const auto newest = bench.events(first.aggregate_id).back().timestamp;
      bench.committed(made(bench.request(first.aggregate_id, 1, 1, head, newest)));
      const auto late = made(bench.request(first.aggregate_id, 1, 1, head, newest));
      BOOST_TEST((bench.commit(late).failure.code == errc::retry_command));
      BOOST_TEST(bench.sequences(first.aggregate_id) == numbers(1, head + 1));
      succeed(bench.writer->commit_snapshot({first.aggregate_id, head, "account", "{}", 1, head}));
      const std::array ids{first.aggregate_id};
      BOOST_TEST(value_of(bench.reader->get_histories(ids, 10)).at(0).events.size() == 2U);
    }
  const auto counted = [&] {
    return bench.query("SELECT sum(value)::bigint FROM counters").at(0).at(0).as<std::int64_t>();
  };
  BOOST_TEST(counted() == 3 + 7);
  for (const char* sql : {"UPDATE event_log SET type = 'other'", "DELETE FROM event_log", "TRUNCATE event_log"})
    BOOST_TEST(!bench.writer->query(sql, {}), sql);

  value_of(bench.opened->rebuild(counting(), {}));
  BOOST_TEST(counted() == 20);
  bench.committed(with_projection(bench.request(), count_up));
  BOOST_TEST(counted() == 21);
}

BOOST_AUTO_TEST_CASE(members_of_a_store_on_a_worker_see_each_other_and_end_each_others_sessions) {
  workbench bench(on_a_worker);
  hybrid_clock clock;
  const auto members = bench.opened->open_members();
  const member self{"north", clock.fresh<incarnation_id>(), "somewhere:1"};
  value_of(members->join(self));
  BOOST_TEST(value_of(members->beat(self.incarnation)).members.front().heartbeat == 1);

  const auto stopped = bench.where->open({});
  const member other{"south", clock.fresh<incarnation_id>(), "somewhere:2"};
  const auto earlier = stopped->open_members();
  value_of(earlier->join(other));
  const auto session = stopped->open_writer();
  const auto process = value_of(session->query("SELECT pg_backend_pid()", {})).at(0).at(0).as<std::int64_t>();
  BOOST_TEST(value_of(members->declare_dead(other, value_of(members->list()).version)));
  BOOST_TEST(bench.query("SELECT FROM pg_locks WHERE pid = $1", {process}).empty());
}

// A migration while the schema is on its worker is refused, and nothing is changed.
BOOST_AUTO_TEST_CASE(tables_on_a_worker_are_not_made_or_changed_there) {
  place_on_a_worker where;
  const auto away = where.open({});
  value_of(away->migrate({}));
  const auto direct = where.postgres_place::open({});
  BOOST_TEST(value_of(direct->migrate({})).empty());
  for (const auto& refused : {direct->migrate(counters).failure(), direct->rebuild(counting(), {}).failure()}) {
    BOOST_TEST((refused.code == errc::invalid_argument), to_string(refused));
    BOOST_TEST((refused.message.find("citus_schema_undistribute('" + where.name() + "')") != std::string::npos),
               refused.message);
  }
  value_of(away->migrate(counters));
  succeed(direct->check(counters));
}

BOOST_AUTO_TEST_SUITE_END()
