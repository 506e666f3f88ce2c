// The PostgreSQL server that the tests run against: MAESTRO_TEST_POSTGRES is the URI of a database on it, MAESTRO_TEST_PLACE says
// where on it. With `database` (the default) each program makes a database of its own, with `schema` it stays in the one that the URI
// names. Each test has a schema of its own. All names begin with maestro_test_ and what MAESTRO_TEST_RUN holds.
#pragma once

#include "conformance.hpp"
#include "faulty_proxy.hpp"

#include <boost/test/unit_test.hpp>

#include <memory>
#include <string>

namespace maestro::test {

/// A fresh schema, dropped with the object.
class postgres_place : public place {
 public:
  postgres_place();
  postgres_place(const postgres_place&) = delete;
  auto operator=(const postgres_place&) -> postgres_place& = delete;
  ~postgres_place() override;

  [[nodiscard]] auto open(const store_settings& settings) -> std::shared_ptr<database> override;
  [[nodiscard]] auto is_shared() const -> bool override { return true; }
  /// The schema by URI, with `parameters` (`a=b&c=d`) and server `options` (`-ca%3Db`) added; through port `port` of this
  /// machine unless that is 0.
  [[nodiscard]] auto uri(const std::string& parameters = {}, const std::string& options = {}, int port = 0) const
      -> std::string;
  /// The same through `port`, where a faulty proxy reads what is said.
  [[nodiscard]] auto uri_through(int port) const -> std::string { return uri("sslmode=disable&gssencmode=disable", {}, port); }
  [[nodiscard]] auto name() const -> const std::string& { return name_; }

 private:
  std::string name_;
};

/// Ends the program as skipped, with the reason, when MAESTRO_TEST_POSTGRES is not set.
void require_server();

/// Where the server is reached, for a faulty proxy.
[[nodiscard]] auto server_wire() -> wire_end;
/// The URI of the database that MAESTRO_TEST_POSTGRES names, for `user` with `password`.
[[nodiscard]] auto uri_of(const std::string& user, const std::string& password) -> std::string;
/// A name for something that is the whole server's, such as a role; another one for each program and `what`.
[[nodiscard]] auto name_on_server(const std::string& what) -> std::string;

/// Preconditions of test cases. A superuser can make roles and act for them.
[[nodiscard]] auto is_superuser(boost::unit_test::test_unit_id) -> boost::test_tools::assertion_result;
/// The server takes connections without TLS, such as a faulty proxy can read.
[[nodiscard]] auto takes_plain_connections(boost::unit_test::test_unit_id) -> boost::test_tools::assertion_result;

/// Runs `sql` in the database that MAESTRO_TEST_POSTGRES names.
auto run_on_server(const std::string& sql) -> std::vector<sql_row>;

}  // namespace maestro::test
