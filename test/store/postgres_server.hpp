// The PostgreSQL server that the tests run against: MAESTRO_TEST_POSTGRES is the URI of a database on it whose user may
// create databases and roles. Each program works in a database of its own, each test in a schema of its own.
#pragma once

#include "conformance.hpp"

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

/// The port on which the server listens on this machine.
[[nodiscard]] auto server_port() -> int;

/// Runs `sql` in the database that MAESTRO_TEST_POSTGRES names.
auto run_on_server(const std::string& sql) -> std::vector<sql_row>;

}  // namespace maestro::test
