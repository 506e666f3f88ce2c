// A role of the server for one test.
#pragma once

#include "conformance.hpp"
#include "postgres_server.hpp"

#include <string>

namespace maestro::test {

/// The database of `bench`, which is on a PostgreSQL server.
inline auto place_of(workbench& bench) -> postgres_place& {
  return dynamic_cast<postgres_place&>(*bench.where);
}

/// Made by the role of `on`, which must be allowed to, and dropped at the end with all that was granted to it.
class test_role {
 public:
  explicit test_role(workbench& on)
      : on_(on), name("maestro_test_role_" + on.query("SELECT pg_backend_pid()::text").at(0).at(0).as<std::string>()) {
    on_.query("CREATE ROLE " + name);
  }
  ~test_role() {
    for (const char* each : {"RESET ROLE", "DROP OWNED BY ", "DROP ROLE "}) {
      const std::string statement = each;
      (void)on_.hand->query(statement.back() == ' ' ? statement + name : statement, {});
    }
  }
  test_role(const test_role&) = delete;
  auto operator=(const test_role&) -> test_role& = delete;

  void grant(const std::string& what) { on_.query("GRANT " + what + " TO " + name); }
  /// For sessions that have this role.
  [[nodiscard]] auto uri_of(const postgres_place& where) const -> std::string {
    return where.uri({}, "-crole%3D" + name);
  }

 private:
  workbench& on_;

 public:
  const std::string name;
};

}  // namespace maestro::test
