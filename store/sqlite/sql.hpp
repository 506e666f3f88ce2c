// Every statement that the SQLite adapter sends, apart from the schema (migrations.cpp).
#pragma once

namespace maestro::sqlite::sql {

// WAL lets readers go on while a transaction commits; FULL syncs every commit.
inline constexpr const char* configure = R"(
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = FULL;
  PRAGMA foreign_keys = ON;
  PRAGMA journal_size_limit = 67108864;
)";

inline constexpr const char* begin_write = "BEGIN IMMEDIATE";
inline constexpr const char* begin_read = "BEGIN";
inline constexpr const char* commit = "COMMIT";
inline constexpr const char* rollback = "ROLLBACK";
inline constexpr const char* begin_unit = "SAVEPOINT unit";
inline constexpr const char* keep_unit = "RELEASE unit";
inline constexpr const char* drop_unit = "ROLLBACK TO unit";

// Changes the file and leaves nothing behind.
inline constexpr const char* overwrite = R"(
  CREATE TABLE maestro_overwrite (unused INTEGER);
  DROP TABLE maestro_overwrite;
)";

inline constexpr const char* insert_event = R"(
  INSERT INTO event_log (timestamp, aggregate_id, sequence, type, body, aggregate_type, command_id, metadata)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
)";

inline constexpr const char* get_timestamp = R"(
  SELECT timestamp FROM event_log WHERE aggregate_id = $1 AND sequence = $2
)";

inline constexpr const char* has_timestamp = R"(
  SELECT 1 FROM event_log WHERE timestamp = $1
)";

inline constexpr const char* get_head = R"(
  SELECT sequence, timestamp FROM event_log WHERE aggregate_id = $1 ORDER BY sequence DESC LIMIT 1
)";

inline constexpr const char* get_events = R"(
  SELECT timestamp, sequence, type, body, aggregate_type, command_id, metadata
  FROM event_log
  WHERE aggregate_id = $1 AND sequence > $2 AND sequence <= $3
  ORDER BY sequence
  LIMIT $4
)";

// The inner query stops at the newest event of our own that is older than the command: none before it can be the command's.
inline constexpr const char* find_command = R"(
  SELECT timestamp, sequence, type, body, aggregate_type, command_id, metadata
  FROM event_log
  WHERE aggregate_id = $1 AND command_id = $2 AND timestamp >= $3
    AND sequence > coalesce((SELECT sequence FROM event_log
                             WHERE aggregate_id = $1 AND command_id IS NOT NULL AND timestamp < $3
                             ORDER BY sequence DESC LIMIT 1), 0)
  ORDER BY sequence
)";

inline constexpr const char* newest_timestamp = R"(
  SELECT timestamp FROM event_log ORDER BY timestamp DESC LIMIT 1
)";

inline constexpr const char* list_aggregates = R"(
  SELECT first.aggregate_id, newest.sequence, newest.timestamp
  FROM event_log first
  JOIN event_log newest ON newest.aggregate_id = first.aggregate_id
   AND newest.sequence = (SELECT max(sequence) FROM event_log WHERE aggregate_id = first.aggregate_id)
  WHERE first.aggregate_type = $1 AND first.sequence = 1 AND first.aggregate_id > $2
  ORDER BY first.aggregate_id
  LIMIT $3
)";

inline constexpr const char* get_snapshot = R"(
  SELECT sequence, body, aggregate_type, version, version_sequence
  FROM snapshots
  WHERE aggregate_id = $1 AND sequence > $2 AND sequence <= $3
)";

// Never goes back. At the same sequence a snapshot of another version, or a foreign one, is replaced.
inline constexpr const char* commit_snapshot = R"(
  INSERT INTO snapshots AS old (aggregate_id, sequence, body, aggregate_type, version, version_sequence)
  VALUES ($1, $2, $3, $4, $5, $2)
  ON CONFLICT (aggregate_id) DO UPDATE
  SET sequence = excluded.sequence, body = excluded.body, aggregate_type = excluded.aggregate_type,
      version = excluded.version, version_sequence = excluded.version_sequence
  WHERE old.sequence < excluded.sequence
     OR (old.sequence = excluded.sequence
         AND (old.version <> excluded.version OR old.version_sequence <> old.sequence))
)";

inline constexpr const char* has_migrations_table = R"(
  SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'maestro_migrations'
)";

inline constexpr const char* identify_store = R"(
  SELECT lower(hex(id)) FROM maestro_store
)";

inline constexpr const char* has_migration = R"(
  SELECT 1 FROM maestro_migrations WHERE component = $1 AND number = $2
)";

inline constexpr const char* record_migration = R"(
  INSERT INTO maestro_migrations (component, number) VALUES ($1, $2)
)";

inline constexpr const char* record_migration_once = R"(
  INSERT INTO maestro_migrations (component, number) VALUES ($1, $2) ON CONFLICT DO NOTHING
)";

// --- rebuilding a projection ---

inline constexpr const char* defer_foreign_keys = "PRAGMA defer_foreign_keys = ON";

inline constexpr const char* list_tables = R"(
  SELECT '"' || replace(name, '"', '""') || '"', upper(type) FROM sqlite_master
  WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\_%' ESCAPE '\'
  ORDER BY type = 'table'
)";

// Of a table, which is named in quotes: its columns, those tables whose rows are changed when its own are removed, and what was made on it.
inline constexpr const char* columns_of_table = R"(
  SELECT part.name FROM sqlite_master AS made JOIN pragma_table_info(made.name) AS part
  WHERE '"' || replace(made.name, '"', '""') || '"' = $1
)";
inline constexpr const char* dependent_rows = R"(
  SELECT '"' || replace(made.name, '"', '""') || '"' FROM sqlite_master AS made JOIN pragma_foreign_key_list(made.name) AS reference
  WHERE made.type = 'table' AND '"' || replace(reference."table", '"', '""') || '"' = $1 COLLATE NOCASE AND reference.on_delete <> 'NO ACTION'
)";
inline constexpr const char* names_on_table = R"(
  SELECT name FROM sqlite_master WHERE type IN ('index', 'trigger') AND '"' || replace(tbl_name, '"', '""') || '"' = $1 COLLATE NOCASE
)";
inline constexpr const char* statements_on_table = R"(
  SELECT name, sql FROM sqlite_master
  WHERE type IN ('index', 'trigger') AND sql IS NOT NULL AND '"' || replace(tbl_name, '"', '""') || '"' = $1 COLLATE NOCASE
)";

// Part of the transaction, and gone before its end.
inline constexpr const char* create_rebuild_list = R"(
  CREATE TABLE maestro_rebuild_list (aggregate_id BLOB NOT NULL PRIMARY KEY, aggregate_type TEXT NOT NULL) STRICT
)";
inline constexpr const char* add_to_rebuild_list = R"(
  INSERT INTO maestro_rebuild_list SELECT DISTINCT aggregate_id, aggregate_type FROM event_log WHERE aggregate_type = $1
)";
inline constexpr const char* count_rebuild_list = R"(
  SELECT count(*) FROM event_log JOIN maestro_rebuild_list USING (aggregate_id)
)";
inline constexpr const char* drop_rebuild_list = "DROP TABLE maestro_rebuild_list";

inline constexpr const char* read_log = R"(
  SELECT log.rowid, wanted.aggregate_type, log.timestamp, log.aggregate_id, log.sequence, log.type, log.body, log.aggregate_type,
         log.command_id, log.metadata
  FROM event_log AS log JOIN maestro_rebuild_list AS wanted ON wanted.aggregate_id = log.aggregate_id
  WHERE log.rowid > $1 ORDER BY log.rowid LIMIT $2
)";

inline constexpr const char* schema_minimum = "SELECT minimum FROM maestro_schema";

}  // namespace maestro::sqlite::sql
