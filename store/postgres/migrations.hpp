// The schema of the store in PostgreSQL.
#pragma once

#include <maestro/store/migration_plan.hpp>

#include <vector>

namespace maestro::postgres {

/// What must be there before the first step can be recorded. Safe to run again.
[[nodiscard]] auto bookkeeping() -> const char*;

/// The store's own steps. A step that is released never changes; a new one is added at the end. `partitions`: how many an
/// event_log that has to be made gets; 0 = it is one table.
[[nodiscard]] auto migrations(int partitions) -> std::vector<migration_step>;

}  // namespace maestro::postgres
