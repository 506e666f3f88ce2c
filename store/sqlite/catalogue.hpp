// What is left of what the migrations made: somebody may have taken it away while the table of migrations still says that it is there.
#pragma once

#include <maestro/store/projection_tables.hpp>
#include <maestro/store/sqlite/connection.hpp>

#include <span>
#include <string>
#include <vector>

namespace maestro::sqlite {

/// What is wrong with a schema, one line each.
struct schema_faults {
  std::vector<std::string> broken;               ///< A key, a unique index, a column.
  std::vector<std::string> unguarded;            ///< A trigger that keeps events from being changed.
  std::vector<projection_table> missing_tables;  ///< Of projections.
  bool can_be_repaired = false;                  ///< Some of it is for `repair`.
};

/// To be asked where all of the store's own steps were applied. Throws `sql_error`.
[[nodiscard]] auto look_for_faults(connection& with, std::span<const projection_table> tables) -> schema_faults;

/// Puts back what is missing of the store's own and can be put back without touching a row. Leaves what is there. Throws `sql_error`.
void repair(connection& with);

}  // namespace maestro::sqlite
