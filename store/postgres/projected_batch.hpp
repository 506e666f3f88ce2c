// A batch with projections, written in one transaction.
#pragma once

#include <maestro/store/careful_mode.hpp>
#include <maestro/store/group_commit.hpp>
#include <maestro/store/postgres/connection.hpp>

#include <chrono>
#include <optional>
#include <span>

namespace maestro::postgres {

/// Writes `units` and their projections, as `batch_writer::write` promises: all at once, or, while projections have been
/// failing, in parts that can be taken back one by one. `lock_wait`: instead of the connection's own lock_timeout.
[[nodiscard]] auto write_with_projections(connection& connection, std::span<const write_unit> units,
                                          std::optional<std::chrono::milliseconds> lock_wait, careful_mode& careful) -> write_outcome;

}  // namespace maestro::postgres
