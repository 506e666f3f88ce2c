// What a role may do in a database, for the messages about what it may not.
#pragma once

#include <maestro/store/postgres/connection.hpp>

#include <string>

namespace maestro::postgres {

/// What a role lacks, and what to do about it.
struct missing_right {
  std::string role;
  std::string schema;  ///< Where tables would be made.
  std::string database;
  bool may_create_tables = false;
  bool may_create_schemas = false;
};

/// Asks the server over `with`. Throws `failure`.
[[nodiscard]] auto look_at_rights(connection& with) -> missing_right;

/// For a migration that was forbidden.
[[nodiscard]] auto advice_for_migrating(const missing_right& of, const std::string& store) -> std::string;
/// For a rebuild that was forbidden.
[[nodiscard]] auto advice_for_rebuilding(const missing_right& of) -> std::string;

}  // namespace maestro::postgres
