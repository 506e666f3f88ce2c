#include <maestro/store/postgres/migrations.hpp>

#include <vector>

namespace maestro::postgres {

namespace {

// The seed's own tables, as its Ecto migrations make them, where they are not there yet; then the columns that Maestro adds,
// none of which touches the seed's rows. transaction_id gets its default in a second step: a new column with a volatile
// default would rewrite the table.
constexpr const char* create_log_and_snapshots = R"(
  CREATE TABLE IF NOT EXISTS event_log (
    timestamp    bytea        NOT NULL PRIMARY KEY,
    aggregate_id bytea        NOT NULL,
    sequence     integer      NOT NULL,
    type         varchar(256) NOT NULL,
    body         jsonb        NOT NULL,
    CONSTRAINT hlc_field_timestamp_size    CHECK (length(timestamp) = 16),
    CONSTRAINT hlc_field_aggregate_id_size CHECK (length(aggregate_id) = 16),
    CONSTRAINT sequence                    CHECK (sequence > 0)
  );

  CREATE UNIQUE INDEX IF NOT EXISTS aggregate_sequence_index ON event_log (aggregate_id, sequence);

  CREATE TABLE IF NOT EXISTS snapshots (
    aggregate_id bytea   NOT NULL PRIMARY KEY,
    sequence     integer NOT NULL,
    body         jsonb   NOT NULL,
    CONSTRAINT hlc_field_aggregate_id_size CHECK (length(aggregate_id) = 16)
  );

  ALTER TABLE event_log
    ADD COLUMN IF NOT EXISTS aggregate_type varchar(256),
    ADD COLUMN IF NOT EXISTS command_id     bytea,
    ADD COLUMN IF NOT EXISTS metadata       jsonb,
    ADD COLUMN IF NOT EXISTS transaction_id xid8;
  ALTER TABLE event_log
    ALTER COLUMN transaction_id SET DEFAULT pg_current_xact_id(),
    ADD CONSTRAINT command_id_size CHECK (length(command_id) = 16) NOT VALID;

  ALTER TABLE snapshots
    ADD COLUMN IF NOT EXISTS aggregate_type   varchar(256),
    ADD COLUMN IF NOT EXISTS version          integer NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS version_sequence integer NOT NULL DEFAULT 0;
)";

// A step of its own: it reads the whole log, and must not do so under the lock that the new columns need.
constexpr const char* index_aggregate_types = R"(
  CREATE INDEX IF NOT EXISTS aggregate_type_index ON event_log (aggregate_type, aggregate_id)
    WHERE sequence = 1 AND aggregate_type IS NOT NULL;
)";

}  // namespace

auto bookkeeping() -> const char* {
  return R"(
    CREATE TABLE IF NOT EXISTS maestro_migrations (
      component  text        NOT NULL,
      number     integer     NOT NULL,
      applied_at timestamptz NOT NULL DEFAULT now(),
      PRIMARY KEY (component, number)
    );

    -- The number of the store's own step that a program must know to use this schema.
    CREATE TABLE IF NOT EXISTS maestro_schema (
      only_row boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (only_row),
      minimum  integer NOT NULL
    );

    INSERT INTO maestro_schema (minimum) VALUES (1) ON CONFLICT DO NOTHING;
  )";
}

auto migrations() -> std::span<const migration_step> {
  static const std::vector<migration_step> steps = {
      {std::string(store_component), 1, create_log_and_snapshots},
      {std::string(store_component), 2, index_aggregate_types},
  };
  return steps;
}

}  // namespace maestro::postgres
