// The adapter that a cluster shares: PostgreSQL, through libpqxx and libpq.
#pragma once

#include <maestro/store/store.hpp>

#include <memory>
#include <string>

namespace maestro::postgres {

/// Opens `uri`, a URI as libpq reads it. Nothing connects yet. Settings of the connection that neither the URI nor the
/// environment gives are Maestro's: application name, time limits, keepalives, and only a server that takes writes.
/// Errors: `invalid_setting`.
[[nodiscard]] auto open(const std::string& uri, const store_settings& settings) -> result<std::shared_ptr<database>>;

}  // namespace maestro::postgres
