#include "postgres_server.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <sstream>
#include <stdexcept>

#include <libpq-fe.h>
#include <unistd.h>

namespace maestro::test {

namespace {

auto variable(const char* name) -> std::string {
  const char* given = std::getenv(name);
  return given != nullptr ? given : "";
}

// ctest counts a program that ends with 77 as skipped.
auto server_uri() -> const std::string& {
  static const std::string uri = [] {
    auto given = variable("MAESTRO_TEST_POSTGRES");
    if (given.empty()) {
      std::puts("skipped: MAESTRO_TEST_POSTGRES is not set to the URI of a PostgreSQL database");
      std::fflush(stdout);
      std::_Exit(77);
    }
    return given;
  }();
  return uri;
}

// The parts of a URI: scheme and user, host and port, database, parameters without `options`, and those.
struct uri_parts {
  std::string before_host;
  std::string host;
  std::string database;
  std::string parameters;
  std::string options;
};

auto split(const std::string& uri) -> uri_parts {
  uri_parts parts;
  const auto start = uri.find("://") + 3;
  const auto query = std::min(uri.find('?'), uri.size());
  const auto slash = std::min(uri.find('/', start), query);
  const auto at = uri.rfind('@', slash);
  const auto host = at == uri.npos || at < start ? start : at + 1;
  parts.before_host = uri.substr(0, host);
  parts.host = uri.substr(host, slash - host);
  if (slash < query) parts.database = uri.substr(slash + 1, query - slash - 1);
  std::istringstream given(query < uri.size() ? uri.substr(query + 1) : "");
  for (std::string each; std::getline(given, each, '&');) {
    if (each.starts_with("options=")) parts.options = each.substr(8) + "%20";
    else if (!each.empty()) parts.parameters.append("&").append(each);
  }
  return parts;
}

auto is_place_a_schema() -> bool {
  const auto place = variable("MAESTRO_TEST_PLACE");
  if (!place.empty() && place != "schema" && place != "database")
    throw std::runtime_error("MAESTRO_TEST_PLACE is database or schema, not " + place);
  return place == "schema";
}

// A busy server takes a while to make or drop a database.
auto on_server(const std::string& sql) -> result<std::vector<sql_row>> {
  store_settings patient;
  patient.lock_timeout = patient.statement_timeout = std::chrono::minutes{2};
  const auto opened = open_database(server_uri(), patient);
  if (!opened) return opened.failure();
  return (*opened)->open_writer()->query(sql, {});
}

// The database that all tests of this program share: one that goes when the program ends, or the URI's own.
class program_database {
 public:
  static auto name() -> const std::string& {
    static const program_database only;
    return only.name_;
  }

 private:
  program_database() : is_own_(!is_place_a_schema()), name_(is_own_ ? name_on_server("database") : split(server_uri()).database) {
    if (is_own_) run_on_server("CREATE DATABASE " + name_);
  }
  ~program_database() {
    if (!is_own_) return;
    const auto dropped = on_server("DROP DATABASE " + name_ + " WITH (FORCE)");
    if (!dropped) std::cerr << "database " << name_ << " stays behind: " << to_string(dropped.failure()) << std::endl;
  }
  const bool is_own_;
  const std::string name_;
};

}  // namespace

auto run_on_server(const std::string& sql) -> std::vector<sql_row> { return value_of(on_server(sql)); }

auto name_on_server(const std::string& what) -> std::string {
  const auto run = variable("MAESTRO_TEST_RUN");
  return "maestro_test_" + (run.empty() ? "" : run + "_") + what + "_" + std::to_string(::getpid());
}

auto server_wire() -> wire_end {
  const std::unique_ptr<PGconn, decltype(&PQfinish)> connection(PQconnectdb(server_uri().c_str()), PQfinish);
  BOOST_REQUIRE_MESSAGE(PQstatus(connection.get()) == CONNECTION_OK, PQerrorMessage(connection.get()));
  return {PQhost(connection.get()), PQport(connection.get())};
}

auto uri_of(const std::string& user, const std::string& password) -> std::string {
  const auto parts = split(server_uri());
  const auto scheme = parts.before_host.substr(0, parts.before_host.find("://") + 3);
  return scheme + user + ":" + password + "@" + parts.host + "/" + parts.database +
         (parts.parameters.empty() ? "" : "?" + parts.parameters.substr(1));
}

auto is_superuser(boost::unit_test::test_unit_id) -> boost::test_tools::assertion_result {
  const auto rows = run_on_server("SELECT rolsuper FROM pg_roles WHERE rolname = current_user");
  boost::test_tools::assertion_result is(rows.at(0).at(0).as<bool>());
  is.message() << "the user is no superuser";
  return is;
}

auto takes_plain_connections(boost::unit_test::test_unit_id) -> boost::test_tools::assertion_result {
  faulty_proxy proxy(server_wire());
  postgres_place place;
  const auto asked = value_of(open_database(place.uri_through(proxy.port())))->open_reader()->query("SELECT 1", {});
  boost::test_tools::assertion_result takes(asked.has_value());
  takes.message() << "the server takes no connections without TLS";
  return takes;
}

postgres_place::postgres_place() {
  static int count = 0;
  name_ = (is_place_a_schema() ? name_on_server("schema") : "test") + "_" + std::to_string(++count);
  value_of(value_of(open_database(uri()))->open_writer()->query("CREATE SCHEMA " + name_, {}));
}

postgres_place::~postgres_place() {
  const auto with = (*open_database(uri()))->open_writer();
  // A rebuild that was not ended has a schema of its own, and a trigger of the same name.
  if (const auto shadows = with->query("SELECT tgname::text FROM pg_trigger WHERE tgrelid = to_regclass('" + name_ + ".event_log') "
                                       "AND tgname LIKE 'maestro\\_rebuild\\_%'", {}))
    for (const auto& row : *shadows) (void)with->query("DROP SCHEMA IF EXISTS " + row.at(0).as<std::string>() + " CASCADE", {});
  const auto dropped = with->query("DROP SCHEMA " + name_ + " CASCADE", {});
  BOOST_WARN_MESSAGE(dropped.has_value(), "schema " << name_ << " stays behind");
}

auto postgres_place::uri(const std::string& parameters, const std::string& options, int port) const -> std::string {
  const auto parts = split(server_uri());
  const bool direct = port == 0;
  std::string uri = parts.before_host + (direct ? parts.host : "127.0.0.1:" + std::to_string(port)) + "/" + program_database::name() +
                    "?options=" + parts.options + "-csearch_path%3D" + name_ + "%20" + options;
  // A proxy is another host than the one that the URI may name among its parameters.
  if (direct || parts.parameters.find("&host") == uri.npos) uri += parts.parameters;
  if (!parameters.empty()) uri.append("&").append(parameters);
  return uri;
}

auto postgres_place::open(const store_settings& settings) -> std::shared_ptr<database> {
  return value_of(open_database(uri(), settings));
}

void require_server() { (void)server_uri(); }

}  // namespace maestro::test
