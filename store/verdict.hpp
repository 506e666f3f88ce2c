// Between a database's errors and the store's: each adapter says in a table of its own (its failure.cpp) what an error means where
// it came, and what follows from that is the same for all.
#pragma once

#include <maestro/store/error.hpp>
#include <maestro/store/group_commit.hpp>

#include <cstdint>
#include <string>

namespace maestro {

/// What was going on when an error came: the same one means different things.
enum class stage : std::uint8_t {
  begin,       ///< Nothing of the transaction was done.
  events,      ///< The insert of events, which COMMIT follows.
  insert,      ///< The insert of events, which is the whole transaction.
  projection,  ///< A projection's statement.
  commit,      ///< COMMIT.
  call,        ///< A statement of the store's own that is no commit of events.
  query,       ///< SQL that a tool asked for.
  migration,   ///< SQL of a migration's step.
};

/// What follows from an error, for who asked.
enum class verdict : std::uint8_t {
  unavailable,        ///< `store_unavailable`; nothing was written, another connection or a later time may help.
  in_doubt,           ///< `store_unavailable`; perhaps it was written.
  contention,         ///< `store_unavailable`; nothing was written, other units may fare better.
  too_slow,           ///< `store_unavailable`, for the unit alone.
  damaged,            ///< The same: what it needs of the store is damaged, perhaps only that (`error::is_damage`).
  conflict,           ///< The log decides.
  projection_failed,  ///< From here on the error's own code, for the unit alone.
  program_failed,
  invalid_event,
  internal_error,
  invalid_argument,
  invalid_setting,  ///< The store's settings, or the rights of its role, have to change first.
};

/// What a caller is told.
[[nodiscard]] auto error_from(verdict said, std::string message) -> error;
/// What has become of the transaction.
[[nodiscard]] auto status_of(verdict said) -> write_status;

}  // namespace maestro
