// Between us and the server there may be a pooler (PgBouncer and its like). One that hands its server connections on after each
// transaction takes away what a session of ours relies on: prepared statements, settings, advisory locks.
#pragma once

#include <maestro/store/postgres/line_cutter.hpp>

#include <chrono>
#include <functional>
#include <string>

// libpq's own type.
typedef struct pg_conn PGconn;

namespace maestro::postgres {

/// Whether a session lasts as long as its connection.
enum class session_kind {
  own,      ///< As far as could be seen, which is for certain where the pooler has a server connection left for the look.
  shared,   ///< Server connections are handed on between transactions or statements.
  unknown,  ///< The look did not end in time, or was not let in.
};

/// Looks through a second connection, begun by `start` (PQconnectStartParams), which it closes: with sessions of their own, two open
/// connections never have one server process, and none changes its own. `first` is idle, and was served by `process`. Blocks until
/// `deadline` at most, and no longer than until `lines` are cut; then `first` may be left busy.
[[nodiscard]] auto look_at_sessions(PGconn* first, int process, const std::function<PGconn*()>& start,
                                    std::chrono::steady_clock::time_point deadline, const line_cutter& lines) -> session_kind;

/// What to say of a pooler that shares them; `at` is where it listens.
[[nodiscard]] auto shared_sessions_message(const std::string& at) -> std::string;

}  // namespace maestro::postgres
