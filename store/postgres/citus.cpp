#include <maestro/store/postgres/citus.hpp>

namespace maestro::postgres {

namespace {

// partmethod is 'n' for a table that is whole somewhere. A schema that is distributed has a row in pg_dist_schema.
constexpr const char* look = R"(
  SELECT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = to_regclass('event_log') AND partmethod <> 'n'),
         (SELECT quote_ident(nspname) FROM pg_namespace JOIN pg_dist_schema ON schemaid = pg_namespace.oid
          WHERE pg_namespace.oid = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('event_log')))
)";

}  // namespace

auto look_at_distribution(connection& with) -> distribution {
  distribution found;
  for (const auto& row : with.query(look, {})) {
    found.log_by_rows = row.at(0).as<bool>();
    if (!row.at(1).is_null()) found.schema = row.at(1).as<std::string>();
  }
  return found;
}

auto check_distribution(const distribution& found) -> result<void> {
  if (!found.log_by_rows) return {};
  return error{errc::invalid_setting,
               "event_log is distributed by rows over Citus' workers, where a commit can lose a part of its events: "
               "SELECT undistribute_table('event_log'), and distribute the schema instead (store/ON_CITUS.md)"};
}

auto refused_while_distributed(const distribution& found, const std::string& what) -> error {
  const std::string argument = "('" + found.schema + "')";
  return {errc::invalid_argument,
          what + " is not possible while Citus has schema " + found.schema + " on a worker: SELECT citus_schema_undistribute" + argument +
              ", repeat it, then SELECT citus_schema_distribute" + argument + " again (store/ON_CITUS.md says how)"};
}

}  // namespace maestro::postgres
