// What is left of what the migrations made: asked of the server's catalogue at each start, since a program beside ours, or a person,
// may have taken it away while the table of migrations still says that it is there.
#pragma once

#include <maestro/store/postgres/connection.hpp>
#include <maestro/store/projection_tables.hpp>

#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace maestro::postgres {

/// What is wrong with a schema, one line each.
struct schema_faults {
  std::vector<std::string> broken;    ///< Without it events can be lost, doubled or unreadable: a key, a unique index, a column.
  std::vector<std::string> unguarded; ///< A trigger that is missing or disabled: nothing keeps events from being changed, or in order.
  std::vector<projection_table> missing_tables;  ///< Of projections.
  bool can_be_repaired = false;  ///< Some of it is for `repair_script`, which locks tables: it is not to be run for the rest.
};

/// One look at one moment.
struct schema_look {
  bool has_books = false;  ///< The tables that say what is applied.
  bool has_citus = false;  ///< The database is one of Citus' nodes.
  int partitions = 0;
  std::string forbidden;   ///< Schemas of the search path that the role may not use.
  schema_faults faults;    ///< To be judged only where all of the store's own steps were applied.
};

/// Asks in one round trip. Throws `failure`.
[[nodiscard]] auto look_for_schema(connection& with, std::span<const projection_table> tables) -> schema_look;

/// SQL that puts back what is missing of the store's own tables and can be put back without touching a row: keys, indexes, the columns
/// that Maestro adds, triggers, and the members' tables, in which nothing outlasts its nodes. Leaves what is there.
[[nodiscard]] auto repair_script() -> std::string;

}  // namespace maestro::postgres
