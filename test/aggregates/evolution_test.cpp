// Events outlive the code that wrote them. The histories here are as the log holds them, written by versions of the domain that
// are gone; they stay as they are, whatever becomes of profile.hpp.
#include "harness.hpp"
#include "profile.hpp"

#include <maestro/aggregates/hydrate.hpp>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <ostream>
#include <string>
#include <utility>
#include <vector>

using namespace maestro;
using namespace ::test;

namespace {

struct golden_history {
  std::string written;
  std::vector<std::pair<std::string, std::string>> rows;  // Type and body.
  std::string state;
  std::string city;  // Its row in `cities`: city and sequence; empty for none.
  friend auto operator<<(std::ostream& out, const golden_history& history) -> std::ostream& { return out << history.written; }
};

const std::vector<golden_history> golden_histories{
    {"by_the_first_version",
     {{"registered", R"({"name":"Ada"})"},
      {"moved", R"({"address":"1 Low Road, Ely"})"},
      {"nickname_set", R"({"nickname":"ad","since":1843})"},
      {"moved", R"({"address":"Kirkby"})"},
      {"nickname_set", R"({"nickname":"Ada L"})"}},
     R"({"name":"Ada L","language":"en","street":"1 Low Road","city":"Kirkby","changes":5})",
     "Kirkby 4"},
    {"by_the_second_version",
     {{"registered", R"({"name":"Jo","language":"fr","newsletter":true})"},
      {"relocated", R"({"address":"Rue Basse, Lyon","by":"post"})"}},
     R"({"name":"Jo","language":"fr","street":"Rue Basse","city":"Lyon","changes":3})",
     "Lyon 2"},
    {"by_several_in_turn",
     {{"registered", R"({"name":"Kim"})"},
      {"teleported", R"({"place":7})"},
      {"town_changed", R"({"city":"Oslo"})"},
      {"street_changed", R"({"street":"Gata 2"})"}},
     R"({"name":"Kim","language":"en","street":"Gata 2","city":"Oslo","changes":5})",
     "Oslo 3"},
    {"without_a_city", {{"registered", R"({"name":"Lu"})"}}, R"({"name":"Lu","language":"en","street":"","city":"","changes":1})", ""},
};

struct old_log {
  old_log() {
    const auto steps = type->migrations();
    if (auto migrated = store->migrate(steps); !migrated) BOOST_FAIL(to_string(migrated.failure()));
  }

  auto write(const std::vector<std::pair<std::string, std::string>>& rows) -> aggregate_id {
    const auto id = clock.fresh<aggregate_id>();
    timestamp before;
    sequence_number sequence = 0;
    for (const auto& [name, body] : rows) {
      event row;
      row.timestamp = clock.now();
      row.aggregate_id = id;
      row.sequence = ++sequence;
      row.aggregate_type = type->type();
      row.type = name;
      row.body = body;
      if (auto written = writer->commit_events({row}, before); !written) BOOST_FAIL(to_string(written.failure()));
      before = row.timestamp;
    }
    return id;
  }
  auto failure_of(const aggregate_id& id) -> error {
    auto read = hydrate(*reader, *type, id);
    BOOST_TEST_REQUIRE(!read);
    return read.failure();
  }
  auto city_of(const aggregate_id& id) -> std::string {
    const std::vector<sql_value> parameters{id};
    const auto rows = reader->query("select city, sequence from cities where profile = $1", parameters).value();
    return rows.empty() ? "" : rows.at(0).at(0).as<std::string>() + " " + std::to_string(rows.at(0).at(1).as<std::int64_t>());
  }

  caf::actor_system_config configuration;
  caf::actor_system system{configuration};
  const maestro::test::test_store fresh;
  std::shared_ptr<database> store = open_database(fresh.uri()).value();
  std::unique_ptr<maestro::store> writer = store->open_writer();
  std::unique_ptr<maestro::store> reader = store->open_reader();
  definition_ptr type = define<profile>();
  hybrid_clock clock;
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(evolution, old_log)

BOOST_DATA_TEST_CASE(what_a_former_version_wrote_is_read_as_it_was_meant, boost::unit_test::data::make(golden_histories), history) {
  const auto id = write(history.rows);
  const auto read = maestro::test::value_of(hydrate(*reader, *type, id));
  BOOST_TEST(type->encode_state(read.state).value() == history.state);
  BOOST_TEST(read.sequence == static_cast<sequence_number>(history.rows.size()));
}

BOOST_DATA_TEST_CASE(commands_go_on_where_a_former_version_ended, boost::unit_test::data::make(golden_histories), history) {
  const auto id = write(history.rows);
  owner node(system, *store);
  const auto actor = node.start(*type, id);
  const auto got = node.send(actor, id, change_street{"New Street"}).get();
  BOOST_TEST(!got.failure, to_string(got.failure));
  BOOST_TEST(got.first == static_cast<sequence_number>(history.rows.size()) + 1);
  BOOST_TEST(decode<profile_state>(node.ask(actor, id, query_kind::get).state).value().street == "New Street");
}

BOOST_DATA_TEST_CASE(a_projection_is_rebuilt_from_what_former_versions_wrote, boost::unit_test::data::make(golden_histories), history) {
  const auto id = write(history.rows);
  const auto projection = type->projections().at(0);
  const rebuild_plan plan{.projection = projection.name, .schema = projection.schema, .sources = {{std::string(type->type()), projection.projector}}};
  const auto done = maestro::test::value_of(store->rebuild(plan, {}));
  BOOST_TEST(done.done >= history.rows.size());
  BOOST_TEST(city_of(id) == history.city);
}

BOOST_AUTO_TEST_CASE(what_cannot_be_brought_up_to_date_breaks_its_aggregate_by_name_and_no_other) {
  const auto sound = write({{"registered", R"({"name":"Ada"})"}});
  owner node(system, *store);
  const auto actor = node.start(*type, sound);
  const std::vector<std::pair<std::pair<std::string, std::string>, std::string>> broken{
      {{"teleported", R"({"place":-1})"}, "there is no such place"},
      {{"teleported", R"({"place":0})"}, "never given a name"},
      {{"teleported", R"({"place":"here"})"}, "teleported"},
      {{"evaporated", R"({})"}, "has no event"}};
  for (const auto& [row, part] : broken) {
    const auto id = write({{"registered", R"({"name":"Eve"})"}, row});
    const auto failure = failure_of(id);
    BOOST_TEST((failure.code == errc::cannot_hydrate), to_string(failure));
    for (const auto& named : {id.text(), std::string("sequence 2"), row.first, part})
      BOOST_TEST((failure.message.find(named) != std::string::npos), named << " in " << failure.message);
    const auto refused = node.send(node.start(*type, id), id, change_street{"x"}).get();
    BOOST_TEST((refused.failure.code == errc::cannot_hydrate), to_string(refused.failure));
    BOOST_TEST(!node.send(actor, sound, change_street{"y"}).get().failure);
  }
}

BOOST_AUTO_TEST_SUITE_END()
