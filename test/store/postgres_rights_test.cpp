// What a role may do on a server, and what libpq is told of it in a service file.
#include "counters.hpp"
#include "postgres_role.hpp"
#include "temporary_folder.hpp"

#include <maestro/store/postgres/connection.hpp>

#include <boost/test/unit_test.hpp>

#include <cstdlib>
#include <fstream>
#include <libpq-fe.h>
#include <memory>
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
