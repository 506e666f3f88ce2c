// The schema of the store in SQLite.
#pragma once

#include <maestro/store/migration_plan.hpp>

#include <span>
#include <string>

namespace maestro::sqlite {

/// What must be there before the first step can be recorded. Safe to run again.
[[nodiscard]] auto bookkeeping() -> const char*;

/// The store's own steps. A step that is released never changes; a new one is added at the end.
[[nodiscard]] auto migrations() -> std::span<const migration_step>;

/// The step that guards events, for a store where a part of it is missing.
[[nodiscard]] auto refuse_rewrites_again() -> std::string;

}  // namespace maestro::sqlite
