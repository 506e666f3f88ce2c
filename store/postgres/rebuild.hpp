// `database::rebuild` on PostgreSQL.
//
// The new tables are made in a schema of their own, which comes first in the search path of the connection that fills them, so
// that a projection's statements, which name no schema, reach them. That schema also holds how far each aggregate has come
// (`marks`) and which aggregates got events meanwhile (`news`, filled by a trigger on event_log, so that every writer takes part:
// other nodes, older ones, and applications of the seed). Whatever is there is committed together with the rows it speaks of.
//
// The log is locked once, at the end, for what does not grow with the data. A node that stands still in it is declared dead by the others,
// which end its sessions, or has them ended by the server (sql::configure).
#pragma once

#include <maestro/store/postgres/postgres_store.hpp>
#include <maestro/store/rebuild.hpp>

#include <memory>

namespace maestro::postgres {

/// As `database::rebuild` says. `plan` has been checked.
[[nodiscard]] auto rebuild(const std::shared_ptr<const source>& from, const rebuild_plan& plan, const rebuild_watch& watch)
    -> result<rebuild_progress>;

}  // namespace maestro::postgres
