#include <maestro/store/migration_plan.hpp>

#include <map>

namespace maestro {

auto plan_migrations(std::span<const migration_step> own, std::span<const migration> components, dialect dialect)
    -> result<std::vector<migration_step>> {
  std::vector<migration_step> steps(own.begin(), own.end());
  std::map<std::string, int> newest;
  for (const auto& migration : components) {
    migration_step step{migration.component, migration.number,
                        dialect == dialect::postgres ? migration.postgres : migration.sqlite};
    if (step.component.empty() || step.component == store_component)
      return error{errc::invalid_argument, "a migration needs the name of its projection; '" + step.component + "' is none"};
    if (const int expected = ++newest[step.component]; step.number != expected)
      return error{errc::invalid_argument,
                   "migration " + step.name() + " is out of order: number " + std::to_string(expected) +
                       " comes here (or two projections have one name)"};
    if (step.sql.find_first_not_of(" \t\r\n;") == step.sql.npos)
      return error{errc::invalid_argument, "migration " + step.name() + " has no SQL for " +
                                               (dialect == dialect::postgres ? "postgres" : "sqlite")};
    steps.push_back(std::move(step));
  }
  return steps;
}

auto check_plan(const rebuild_plan& plan, dialect dialect) -> result<void> {
  const auto refuse = [&plan](const std::string& why) {
    return error{errc::invalid_argument, "projection \"" + plan.projection + "\" cannot be rebuilt: " + why};
  };
  if (plan.schema.empty()) return refuse("it has no schema, so that nobody knows its tables");
  if (plan.sources.empty()) return refuse("no aggregate type feeds it");
  for (const auto& source : plan.sources)
    if (source.projector == nullptr) return refuse("aggregate type \"" + source.aggregate_type + "\" has no projector");
  for (const auto& step : plan.schema)
    if (step.component != plan.projection) return refuse("migration " + step.component + " is not its own");
  if (auto steps = plan_migrations({}, plan.schema, dialect); !steps) return steps.failure();
  return {};
}

auto check_schema_minimum(std::int64_t minimum, std::span<const migration_step> known) -> result<void> {
  const int newest = known.back().number;
  if (minimum <= newest) return {};
  return error{errc::schema_too_new, "the schema asks for a program that knows step " + std::to_string(minimum) +
                                         ", this one knows " + std::to_string(newest)};
}

auto missing_migration(const migration_step& step, const std::string& store_name) -> error {
  std::string how = "run the node's program with --migrate and the same settings";
  if (step.component == store_component) how += " (or, for the store's own tables alone, `maestro migrate --store " + store_name + "`)";
  return {errc::store_unavailable, "store " + store_name + " lacks tables, migration " + step.name() + ": " + how};
}

}  // namespace maestro
