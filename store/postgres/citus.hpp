// What Citus, which spreads a database over several servers, has made of a store: store/ON_CITUS.md.
#pragma once

#include <maestro/store/postgres/connection.hpp>

#include <string>

namespace maestro::postgres {

struct distribution {
  bool log_by_rows = false;  ///< event_log lies in shards, by the values of one of its columns.
  std::string schema;        ///< The store's schema, quoted, where Citus keeps all of it on one of its workers; otherwise empty.
};

/// Asks a database that has Citus (`schema_look::has_citus`). Throws `failure`.
[[nodiscard]] auto look_at_distribution(connection& with) -> distribution;

/// Success, unless commits could lose events there: `invalid_setting`.
[[nodiscard]] auto check_distribution(const distribution& found) -> result<void>;

/// Why `what` cannot be done while the schema is a distributed one, and what to do: `invalid_argument`.
[[nodiscard]] auto refused_while_distributed(const distribution& found, const std::string& what) -> error;

}  // namespace maestro::postgres
