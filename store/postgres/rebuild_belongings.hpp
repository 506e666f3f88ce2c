// What hangs on a projection's tables and no migration step has made: policies, grants on columns, indexes, triggers, comments ... The new
// tables get it when they take the places of the old ones; where that is not possible the rebuild is refused before anything is changed.
#pragma once

#include <maestro/store/postgres/rebuild_session.hpp>

#include <string>
#include <vector>

namespace maestro::postgres {

struct rebuild_belongings {
  std::vector<std::string> lost;     ///< What would go, each named. Empty unless the rebuild is to be refused.
  std::vector<std::string> indexes;  ///< The names of those that the new tables lack.
  std::vector<std::string> carried;  ///< Statements that give the rest to the new tables, to be run when these have taken the places.
};

/// Compares the tables in the shadow with the old ones. Throws `failure`.
[[nodiscard]] auto look_for_belongings(rebuild_session& session) -> rebuild_belongings;

/// Adds the indexes that were made by hand to those that are built on the new tables (maestro_rebuild_constraints). Throws `failure`.
void list_own_indexes(rebuild_session& session);

}  // namespace maestro::postgres
