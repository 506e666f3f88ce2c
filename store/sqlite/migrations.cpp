#include <maestro/store/sqlite/migrations.hpp>

#include <vector>

namespace maestro::sqlite {

namespace {

// The seed's tables in SQLite's words, with the columns that Maestro adds. Ids and timestamps are 16 bytes, bodies are
// JSON objects as text. There is no transaction_id: commits are serial, and rowid is their order.
constexpr const char* create_log_and_snapshots = R"(
  CREATE TABLE event_log (
    timestamp      BLOB    NOT NULL PRIMARY KEY
                   CONSTRAINT hlc_field_timestamp_size CHECK (length(timestamp) = 16),
    aggregate_id   BLOB    NOT NULL
                   CONSTRAINT hlc_field_aggregate_id_size CHECK (length(aggregate_id) = 16),
    sequence       INTEGER NOT NULL
                   CONSTRAINT sequence CHECK (sequence BETWEEN 1 AND 2147483647),
    type           TEXT    NOT NULL
                   CONSTRAINT type_size CHECK (length(type) <= 256),
    body           TEXT    NOT NULL,
    aggregate_type TEXT
                   CONSTRAINT aggregate_type_size CHECK (length(aggregate_type) <= 256),
    command_id     BLOB
                   CONSTRAINT command_id_size CHECK (length(command_id) = 16),
    metadata       TEXT
  ) STRICT;

  CREATE UNIQUE INDEX aggregate_sequence_index ON event_log (aggregate_id, sequence);

  CREATE INDEX aggregate_type_index ON event_log (aggregate_type, aggregate_id)
    WHERE sequence = 1;

  CREATE TABLE snapshots (
    aggregate_id     BLOB    NOT NULL PRIMARY KEY
                     CONSTRAINT hlc_field_aggregate_id_size CHECK (length(aggregate_id) = 16),
    sequence         INTEGER NOT NULL,
    body             TEXT    NOT NULL,
    aggregate_type   TEXT
                     CONSTRAINT aggregate_type_size CHECK (length(aggregate_type) <= 256),
    version          INTEGER NOT NULL DEFAULT 0,
    version_sequence INTEGER NOT NULL DEFAULT 0
  ) STRICT;
)";

// SQLite has no settings of a transaction: the way out is a row that is there while the change is made.
constexpr const char* refuse_rewrites = R"(
  CREATE TABLE maestro_allow_rewrite (
    only_row INTEGER NOT NULL PRIMARY KEY DEFAULT 1 CHECK (only_row = 1)
  ) STRICT;

  CREATE TRIGGER event_log_no_update BEFORE UPDATE ON event_log
    WHEN NOT EXISTS (SELECT 1 FROM maestro_allow_rewrite)
    BEGIN SELECT RAISE(ABORT, 'UPDATE on event_log is refused: events are never changed or removed'); END;

  CREATE TRIGGER event_log_no_delete BEFORE DELETE ON event_log
    WHEN NOT EXISTS (SELECT 1 FROM maestro_allow_rewrite)
    BEGIN SELECT RAISE(ABORT, 'DELETE on event_log is refused: events are never changed or removed'); END;
)";

}  // namespace

auto bookkeeping() -> const char* {
  return R"(
    CREATE TABLE IF NOT EXISTS maestro_migrations (
      component  TEXT    NOT NULL,
      number     INTEGER NOT NULL,
      applied_at TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
      PRIMARY KEY (component, number)
    ) STRICT;

    -- The number of the store's own step that a program must know to use this schema.
    CREATE TABLE IF NOT EXISTS maestro_schema (
      only_row INTEGER NOT NULL PRIMARY KEY DEFAULT 1 CHECK (only_row = 1),
      minimum  INTEGER NOT NULL
    ) STRICT;

    -- Said in full: SQLite gives an omitted INTEGER PRIMARY KEY a number of its own, whatever its default.
    INSERT INTO maestro_schema (only_row, minimum) VALUES (1, 1) ON CONFLICT DO NOTHING;

    -- Tells this store from every other one.
    CREATE TABLE IF NOT EXISTS maestro_store (
      only_row INTEGER NOT NULL PRIMARY KEY DEFAULT 1 CHECK (only_row = 1),
      id       BLOB    NOT NULL
    ) STRICT;
    INSERT INTO maestro_store (only_row, id) VALUES (1, randomblob(16)) ON CONFLICT DO NOTHING;
  )";
}

auto refuse_rewrites_again() -> std::string {
  std::string script = refuse_rewrites;
  for (const std::string what : {"CREATE TABLE ", "CREATE TRIGGER "})
    for (auto at = script.find(what); at != script.npos; at = script.find(what, at + what.size())) script.insert(at + what.size(), "IF NOT EXISTS ");
  return script;
}

auto migrations() -> std::span<const migration_step> {
  static const std::vector<migration_step> steps = {
      {std::string(store_component), 1, create_log_and_snapshots},
      {std::string(store_component), 2, refuse_rewrites},
  };
  return steps;
}

}  // namespace maestro::sqlite
