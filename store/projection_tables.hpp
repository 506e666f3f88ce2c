// Which tables the schemas of projections make, read from their SQL: so that a store can be asked whether they are still there.
#pragma once

#include <maestro/store/migration_plan.hpp>

#include <span>
#include <string>
#include <vector>

namespace maestro {

struct projection_table {
  std::string component;  ///< The projection whose step makes it.
  std::string name;       ///< As the SQL writes it, with its schema and quotes.
};

/// The tables that are there when `steps`, in order, have run. Knows CREATE TABLE, DROP TABLE and ALTER TABLE ... RENAME TO; of a
/// component that does anything less plain (a block of code, other schemas) none is named, so that whatever is named has to be there.
[[nodiscard]] auto tables_of(std::span<const migration_step> steps) -> std::vector<projection_table>;

/// What to say when `table` is gone from the store called `store_name`.
[[nodiscard]] auto missing_table(const projection_table& table, const std::string& store_name) -> error;

}  // namespace maestro
