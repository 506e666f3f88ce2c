#include "postgres_server.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include <unistd.h>

namespace maestro::test {

namespace {

// ctest counts a program that ends with 77 as skipped.
auto server_uri() -> const std::string& {
  static const std::string uri = [] {
    const char* given = std::getenv("MAESTRO_TEST_POSTGRES");
    if (given == nullptr || *given == '\0') {
      std::puts("skipped: MAESTRO_TEST_POSTGRES is not set to the URI of a PostgreSQL database");
      std::fflush(stdout);
      std::_Exit(77);
    }
    return std::string(given);
  }();
  return uri;
}

// The parts of a URI: scheme and user, host and port, database, parameters.
struct uri_parts {
  std::string before_host;
  std::string host;
  std::string parameters;
};

auto split(const std::string& uri) -> uri_parts {
  uri_parts parts;
  const auto start = uri.find("://") + 3;
  const auto query = std::min(uri.find('?'), uri.size());
  if (query < uri.size()) parts.parameters = uri.substr(query + 1);
  const auto slash = std::min(uri.find('/', start), query);
  const auto at = uri.rfind('@', slash);
  const auto host = at == uri.npos || at < start ? start : at + 1;
  parts.before_host = uri.substr(0, host);
  parts.host = uri.substr(host, slash - host);
  return parts;
}

// The database that all tests of this program share, gone when it ends.
class program_database {
 public:
  static auto name() -> const std::string& {
    static const program_database only;
    return only.name_;
  }

 private:
  program_database() : name_("maestro_test_" + std::to_string(::getpid())) { run_on_server("CREATE DATABASE " + name_); }
  ~program_database() { run_on_server("DROP DATABASE " + name_ + " WITH (FORCE)"); }
  const std::string name_;
};

}  // namespace

auto run_on_server(const std::string& sql) -> std::vector<sql_row> {
  return value_of(value_of(open_database(server_uri()))->open_writer()->query(sql, {}));
}

auto server_port() -> int { return std::stoi(run_on_server("SHOW port").at(0).at(0).as<std::string>()); }

postgres_place::postgres_place() {
  static int count = 0;
  name_ = "test_" + std::to_string(++count);
  value_of(value_of(open_database(uri()))->open_writer()->query("CREATE SCHEMA " + name_, {}));
}

postgres_place::~postgres_place() {
  const auto dropped = (*open_database(uri()))->open_writer()->query("DROP SCHEMA " + name_ + " CASCADE", {});
  BOOST_WARN_MESSAGE(dropped.has_value(), "schema " << name_ << " stays behind");
}

auto postgres_place::uri(const std::string& parameters, const std::string& options, int port) const -> std::string {
  const auto parts = split(server_uri());
  std::string uri = parts.before_host + (port == 0 ? parts.host : "127.0.0.1:" + std::to_string(port)) + "/" +
                    program_database::name() + "?options=-csearch_path%3D" + name_ + "%20" + options;
  for (const auto& some : {parts.parameters, parameters})
    if (!some.empty()) uri.append("&").append(some);
  return uri;
}

auto postgres_place::open(const store_settings& settings) -> std::shared_ptr<database> {
  return value_of(open_database(uri(), settings));
}

void require_server() { (void)server_uri(); }

}  // namespace maestro::test
