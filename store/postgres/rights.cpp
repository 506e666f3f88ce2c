#include <maestro/store/postgres/rights.hpp>

#include <maestro/store/postgres/sql.hpp>

namespace maestro::postgres {

auto look_at_rights(connection& with) -> missing_right {
  missing_right found;
  for (const auto& row : with.query(sql::look_at_rights, {}))
    found = {row.at(0).as<std::string>(), row.at(1).as<std::string>(), row.at(2).as<std::string>(),
             row.at(3).as<std::string>() == "true", row.at(4).as<std::string>() == "true"};
  return found;
}

auto advice_for_migrating(const missing_right& of, const std::string& store) -> std::string {
  const std::string instead = "the role that owns the store's tables runs `maestro migrate --store " + store +
                              "`, and the nodes have node.migrate = false";
  if (of.may_create_tables) return "role " + of.role + " does not own what has to be changed: " + instead;
  return "role " + of.role + " may not create tables in schema " + of.schema + ": GRANT CREATE ON SCHEMA " + of.schema +
         " TO " + of.role + ", or " + instead;
}

auto advice_for_rebuilding(const missing_right& of) -> std::string {
  if (of.may_create_schemas)
    return "role " + of.role +
           " has to own the projection's tables and the store's to rebuild: ask a node whose role does";
  return "role " + of.role + " may not create schemas in database " + of.database +
         ", which a rebuild does: GRANT CREATE ON DATABASE " + of.database + " TO " + of.role +
         ", or ask a node whose role owns the tables";
}

}  // namespace maestro::postgres
