// The schema of the store in PostgreSQL.
#pragma once

#include <maestro/store/migration_plan.hpp>

#include <span>

namespace maestro::postgres {

/// What must be there before the first step can be recorded. Safe to run again.
[[nodiscard]] auto bookkeeping() -> const char*;

/// The store's own steps. A step that is released never changes; a new one is added at the end.
[[nodiscard]] auto migrations() -> std::span<const migration_step>;

}  // namespace maestro::postgres
