#include <maestro/store/postgres/migrations.hpp>

#include <maestro/store/postgres/member_tables.hpp>
#include <maestro/store/postgres/trigger_functions.hpp>

#include <string>
#include <vector>

namespace maestro::postgres {

namespace {

// The seed's own tables, as its Ecto migrations make them, where they are not there yet.
constexpr const char* create_log = R"(
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
)";

// The seed's partitioned log: an index over all partitions must hold the key they are cut by, so that timestamps are unique
// within each partition only.
constexpr const char* create_partitioned_log = R"(
  DO $block$
  BEGIN
    IF to_regclass('event_log') IS NOT NULL THEN
      RETURN;
    END IF;
    CREATE TABLE event_log (
      timestamp    bytea        NOT NULL,
      aggregate_id bytea        NOT NULL,
      sequence     integer      NOT NULL,
      type         varchar(256) NOT NULL,
      body         jsonb        NOT NULL,
      PRIMARY KEY (aggregate_id, timestamp),
      CONSTRAINT hlc_field_timestamp_size    CHECK (length(timestamp) = 16),
      CONSTRAINT hlc_field_aggregate_id_size CHECK (length(aggregate_id) = 16),
      CONSTRAINT sequence                    CHECK (sequence > 0)
    ) PARTITION BY HASH (aggregate_id);
    FOR number IN 0 .. {partitions} - 1 LOOP
      EXECUTE format('CREATE TABLE event_log_%s PARTITION OF event_log FOR VALUES WITH (MODULUS {partitions}, REMAINDER %s)',
                     number, number);
      EXECUTE format('CREATE UNIQUE INDEX event_log_%s_timestamp_idx ON event_log_%s (timestamp)', number, number);
    END LOOP;
  END $block$;
)";

// The rest of the first step: the columns that Maestro adds, none of which touches the seed's rows.
constexpr const char* complete_tables = R"(
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

// Triggers, not rights: the owner of the tables is the one to whom accidents happen. The one on rows is inherited by
// partitions, the one on TRUNCATE is not. A statement that changes no row is let through.
constexpr const char* refuse_rewrites = R"(
  CREATE TRIGGER event_log_no_rewrite BEFORE UPDATE OR DELETE ON event_log
    FOR EACH ROW EXECUTE FUNCTION maestro_refuse_rewrite();

  DO $block$
  DECLARE
    part regclass;
  BEGIN
    FOR part IN SELECT 'event_log'::regclass UNION SELECT relid FROM pg_partition_tree('event_log') LOOP
      EXECUTE format('CREATE TRIGGER event_log_no_truncate BEFORE TRUNCATE ON %s '
                     'FOR EACH STATEMENT EXECUTE FUNCTION maestro_refuse_rewrite()', part);
    END LOOP;
  END $block$;
)";

// What comes with the tables of the nodes that share this store.
constexpr const char* begin_members = "INSERT INTO maestro_cluster (version) VALUES (0);";
constexpr const char* index_members = "CREATE UNIQUE INDEX maestro_members_alive_index ON maestro_members (name) WHERE status = 'alive';";

// An application of the seed reads an aggregate's events by timestamp. Its own reading may be below the one of the event before, which a
// node of ours wrote in the same millisecond, or with a clock that is ahead. What comes without a command id is from such an application.
// The lifted reading has a node of its own, since the application's clock may make the same reading for another event.
constexpr const char* lift_timestamps = R"(
  CREATE TRIGGER event_log_lift_timestamp BEFORE INSERT ON event_log
    FOR EACH ROW WHEN (NEW.command_id IS NULL) EXECUTE FUNCTION maestro_lift_timestamp();
)";

// Earlier first steps gave transaction_id a default. Nothing reads the column, and Citus inserts no row where a default is volatile.
constexpr const char* forget_transactions = "ALTER TABLE event_log ALTER COLUMN transaction_id DROP DEFAULT;";

// What each of them serves. Null where a node does not say so.
constexpr const char* add_served = R"(
  ALTER TABLE maestro_members
    ADD COLUMN IF NOT EXISTS served_digest varchar(16),
    ADD COLUMN IF NOT EXISTS served        text;
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

auto migrations(int partitions) -> std::vector<migration_step> {
  std::string log = partitions > 0 ? create_partitioned_log : create_log;
  for (const std::string place = "{partitions}"; log.find(place) != log.npos;)
    log.replace(log.find(place), place.size(), std::to_string(partitions));
  return {
      {std::string(store_component), 1, log + complete_tables},
      {std::string(store_component), 2, index_aggregate_types},
      {std::string(store_component), 3, std::string("CREATE ") + refuse_rewrite_function + refuse_rewrites},
      {std::string(store_component), 4, std::string("CREATE TABLE ") + cluster_table + begin_members + "CREATE TABLE " + members_table + index_members},
      {std::string(store_component), 5, std::string("CREATE ") + lift_timestamp_function + lift_timestamps},
      {std::string(store_component), 6, forget_transactions},
      {std::string(store_component), 7, add_served},
  };
}

}  // namespace maestro::postgres
