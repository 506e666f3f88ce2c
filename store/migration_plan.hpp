// What `database::migrate` has to apply, checked before anything is touched: the store's own steps, then each component's.
#pragma once

#include <maestro/store/error.hpp>
#include <maestro/store/projection.hpp>
#include <maestro/store/rebuild.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace maestro {

/// The component that the store's own tables belong to.
inline constexpr std::string_view store_component = "maestro";

/// One step in the SQL of one dialect.
struct migration_step {
  std::string component;
  int number = 0;
  std::string sql;

  /// `component number`, as `database::migrate` reports it.
  [[nodiscard]] auto name() const -> std::string { return component + " " + std::to_string(number); }
};

/// `own` followed by `components` in `dialect`. Errors: `invalid_argument` when a component has no name or the store's own,
/// when its numbers are not 1, 2, 3 ... in that order, or when a step has no SQL for `dialect`.
[[nodiscard]] auto plan_migrations(std::span<const migration_step> own, std::span<const migration> components,
                                   dialect dialect) -> result<std::vector<migration_step>>;

/// Whether `plan` can be followed in `dialect`. Errors: `invalid_argument`.
[[nodiscard]] auto check_plan(const rebuild_plan& plan, dialect dialect) -> result<void>;

/// Whether a program that knows the steps `known` may use a schema that asks for step `minimum`. Errors: `schema_too_new`.
[[nodiscard]] auto check_schema_minimum(std::int64_t minimum, std::span<const migration_step> known) -> result<void>;

/// What to say when `step` was not applied to the store called `store_name`.
[[nodiscard]] auto missing_migration(const migration_step& step, const std::string& store_name) -> error;

}  // namespace maestro
