// What a role may do on a server, and what libpq is told of it in a service file.
#include "counters.hpp"
#include "postgres_role.hpp"
#include "temporary_folder.hpp"

#include <maestro/store/clock.hpp>
#include <maestro/store/postgres/connection.hpp>

#include <boost/test/unit_test.hpp>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <libpq-fe.h>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

using namespace maestro;
using namespace maestro::test;

namespace {

const store_under_test on_server{"postgres", [] { return std::make_unique<postgres_place>(); }};

void says(const error& failure, const std::string& part) {
  BOOST_TEST((failure.message.find(part) != std::string::npos), "\"" << part << "\" in: " << failure.message);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(rights_on_a_server)

BOOST_AUTO_TEST_CASE(a_migration_that_is_forbidden_says_which_right_is_missing_and_what_to_do,
                     *boost::unit_test::precondition(is_superuser)) {
  workbench bench(on_server);
  test_role role(bench);
  {
    const postgres_place empty;
    role.grant("USAGE ON SCHEMA " + empty.name());
    const auto refused = value_of(open_database(role.uri_of(empty)))->migrate({});
    BOOST_TEST_REQUIRE(!refused);
    BOOST_TEST((refused.failure().code == errc::invalid_setting), to_string(refused.failure()));
    says(refused.failure(), "GRANT CREATE ON SCHEMA " + empty.name() + " TO " + role.name);
    says(refused.failure(), "node.migrate = false");
    BOOST_TEST((refused.failure().message.find("LINE") == std::string::npos), refused.failure().message);
    bench.query("REVOKE USAGE ON SCHEMA " + empty.name() + " FROM " + role.name);
  }
  // One that may create, and owns nothing of what is there.
  const auto& place = place_of(bench);
  role.grant("USAGE, CREATE ON SCHEMA " + place.name());
  role.grant("SELECT, INSERT ON ALL TABLES IN SCHEMA " + place.name());
  const std::vector<migration> more{
      {"more", 1, "CREATE INDEX more ON event_log (type)", "CREATE INDEX more ON event_log (type)"}};
  const auto refused = value_of(open_database(role.uri_of(place)))->migrate(more);
  BOOST_TEST_REQUIRE(!refused);
  BOOST_TEST((refused.failure().code == errc::invalid_setting), to_string(refused.failure()));
  says(refused.failure(), "role " + role.name + " does not own");
}

BOOST_AUTO_TEST_CASE(a_rebuild_that_is_forbidden_says_which_right_is_missing,
                     *boost::unit_test::precondition(is_superuser)) {
  workbench bench(on_server, {}, counters);
  bench.committed(bench.request(1, 2));
  test_role role(bench);
  role.grant("USAGE ON SCHEMA " + place_of(bench).name());
  role.grant("SELECT ON ALL TABLES IN SCHEMA " + place_of(bench).name());
  const auto limited = value_of(open_database(role.uri_of(place_of(bench))));
  const auto first = limited->rebuild(counting(), {});
  BOOST_TEST_REQUIRE(!first);
  BOOST_TEST((first.failure().code == errc::invalid_setting), to_string(first.failure()));
  says(first.failure(), "GRANT CREATE ON DATABASE");
  says(first.failure(), role.name);
  role.grant("CREATE ON DATABASE " +
             bench.query("SELECT quote_ident(current_database())").at(0).at(0).as<std::string>());
  const auto second = limited->rebuild(counting(), {});
  BOOST_TEST_REQUIRE(!second);
  BOOST_TEST((second.failure().code == errc::invalid_setting), to_string(second.failure()));
  says(second.failure(), "own");
}

BOOST_AUTO_TEST_CASE(a_right_that_is_taken_from_a_role_makes_the_store_unavailable_only_until_it_is_back,
                     *boost::unit_test::precondition(is_superuser)) {
  store_settings impatient;
  impatient.reconnect_limit = std::chrono::milliseconds{20};
  workbench bench(on_server);
  test_role role(bench);
  role.grant("USAGE ON SCHEMA " + place_of(bench).name());
  role.grant("SELECT, INSERT ON ALL TABLES IN SCHEMA " + place_of(bench).name());
  const auto writer = value_of(open_database(role.uri_of(place_of(bench)), impatient))->open_writer();
  const auto commit = [&] {
    const auto request = bench.request();
    return writer->commit_events(request.units[0].events, {});
  };
  succeed(commit());
  bench.query("REVOKE INSERT ON event_log FROM " + role.name);
  const auto refused = commit();
  BOOST_TEST_REQUIRE(!refused);
  BOOST_TEST((refused.failure().code == errc::store_unavailable), to_string(refused.failure()));
  says(refused.failure(), "permission denied for table event_log");
  role.grant("INSERT ON event_log");
  succeed(commit());
}

// As where each node logs in as a user of its own. They end when their process does.
BOOST_AUTO_TEST_CASE(sessions_of_the_dead_that_may_not_be_ended_are_left_to_end_by_themselves,
                     *boost::unit_test::precondition(is_superuser)) {
  workbench bench(on_server);
  test_role role(bench);
  const auto& place = place_of(bench);
  role.grant("USAGE ON SCHEMA " + place.name());
  role.grant("SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA " + place.name());
  hybrid_clock clock;
  const auto members = bench.opened->open_members();
  const member first{"north", clock.fresh<incarnation_id>(), "somewhere:1"};
  value_of(members->join(first));
  const auto session = bench.opened->open_reader();
  const auto process = value_of(session->query("SELECT pg_backend_pid()", {})).at(0).at(0).as<std::int64_t>();
  const auto others = value_of(open_database(role.uri_of(place) + "&application_name=others"))->open_members();
  const member second{"south", clock.fresh<incarnation_id>(), "somewhere:2"};
  const auto version = value_of(others->join(second)).version;
  const auto connections = [&] {
    std::set<std::int64_t> found;
    for (const auto& row : bench.query("SELECT pid FROM pg_stat_activity WHERE application_name = 'others' AND datname = current_database()"))
      found.insert(row.at(0).as<std::int64_t>());
    return found;
  };
  const auto before = connections();
  BOOST_TEST(value_of(others->declare_dead(first, version)));
  for (int i = 0; i < 3; ++i) value_of(others->beat(second.incarnation));
  BOOST_TEST((connections() == before));  // None is given up over it.
  BOOST_TEST(value_of(session->query("SELECT pg_backend_pid()", {})).at(0).at(0).as<std::int64_t>() == process);
}

BOOST_AUTO_TEST_CASE(what_a_service_file_says_is_not_overridden) {
  const auto given = std::unique_ptr<PQconninfoOption, void (*)(PQconninfoOption*)>(
      PQconninfoParse(postgres_place().uri().c_str(), nullptr), PQconninfoFree);
  const temporary_folder folder;
  const auto path = folder.path("services");
  {
    std::ofstream file(path);
    file << "[of_the_test]\n";
    for (const auto* option = given.get(); option->keyword != nullptr; ++option)
      if (option->val != nullptr && std::string_view(option->keyword) != "options")
        file << option->keyword << '=' << option->val << '\n';
    file << "application_name=mine\nconnect_timeout=77\nkeepalives_idle=88\ntcp_user_timeout=99000\noptions=-clock_"
            "timeout=7s\n";
  }
  ::setenv("PGSERVICEFILE", path.c_str(), 1);
  const auto value = [](const maestro::postgres::connection& of, std::string_view keyword) -> std::string {
    const auto all =
        std::unique_ptr<PQconninfoOption, void (*)(PQconninfoOption*)>(PQconninfo(of.raw()), PQconninfoFree);
    for (const auto* option = all.get(); option->keyword != nullptr; ++option)
      if (option->keyword == keyword) return option->val != nullptr ? option->val : "";
    return "";
  };
  const auto look = [&](const std::string& uri, const std::string& connect_timeout) {
    maestro::postgres::line_cutter lines;
    maestro::postgres::connection made(uri, {}, lines);
    BOOST_TEST(value(made, "application_name") == "mine");
    BOOST_TEST(value(made, "connect_timeout") == connect_timeout);
    BOOST_TEST(value(made, "keepalives_idle") == "88");
    BOOST_TEST(value(made, "tcp_user_timeout") == "99000");
    BOOST_TEST(value(made, "keepalives_interval") == "5");  // It says nothing of that.
    BOOST_TEST(made.query("SHOW lock_timeout", {}).at(0).at(0).as<std::string>() == "7s");
  };
  look("postgresql:///?service=of_the_test", "77");
  look("postgresql:///?service=of_the_test&connect_timeout=66", "66");
  ::setenv("PGSERVICE", "of_the_test", 1);
  look("postgresql:///", "77");
  ::unsetenv("PGSERVICE");
  ::unsetenv("PGSERVICEFILE");
}

BOOST_AUTO_TEST_SUITE_END()
