// `database::rebuild` on SQLite: one transaction, which nobody sees before it is committed.
#pragma once

#include <maestro/store/rebuild.hpp>
#include <maestro/store/sqlite/sqlite_store.hpp>

namespace maestro::sqlite {

/// As `database::rebuild` says. `plan` has been checked.
[[nodiscard]] auto rebuild(const source& from, const rebuild_plan& plan, const rebuild_watch& watch) -> result<rebuild_progress>;

}  // namespace maestro::sqlite
