// Every statement that the PostgreSQL adapter sends, apart from the schema (migrations.cpp).
#pragma once

#include <string>

namespace maestro::postgres::sql {

/// A statement that is prepared under a name when a connection first needs it.
struct named {
  const char* name;
  const char* text;
};

// What the URI's own `options` set stays. Plans are made once and must hold while tables grow from nothing to millions of
// rows between two runs of ANALYZE, so a sequential scan is not to be chosen where there is an index, nor code compiled for it.
// Citus hands a SET LOCAL, such as that of a shorter wait for locks, on to its workers only when it is told to.
// synchronous_commit is raised where a role or a database has it below what a commit promises. A COMMIT that warns is in
// doubt, so that warnings have to arrive, whatever a role, a database or the URI says. The server itself ends a session of a
// process that stands still within a transaction ($3), and of a machine that has gone. Returns what holds now.
inline constexpr const char* configure = R"(
  SELECT wanted.name,
         CASE WHEN wanted.value IS NULL OR (setting.source = 'client' AND NOT wanted.always) OR setting.setting = ANY(wanted.enough)
              THEN setting.setting
              ELSE set_config(wanted.name, wanted.value, false) END
  FROM (VALUES ('lock_timeout', $1, false, '{}'::text[]), ('statement_timeout', $2, false, '{}'), ('enable_seqscan', 'off', false, '{}'),
               ('jit', 'off', false, '{}'), ('bytea_output', 'hex', true, '{}'),
               ('default_transaction_isolation', 'read committed', true, '{}'),
               ('synchronous_commit', 'on', false, '{on,remote_apply}'),
               ('client_min_messages', 'warning', true,
                '{debug5,debug4,debug3,debug2,debug1,debug,log,info,notice,warning}'),
               ('idle_in_transaction_session_timeout', $3, false, '{}'),
               ('tcp_keepalives_idle', '10', false, '{}'), ('tcp_keepalives_interval', '5', false, '{}'),
               ('tcp_keepalives_count', '2', false, '{}'), ('tcp_user_timeout', '20000', false, '{}'),
               ('citus.propagate_set_commands', 'local', false, '{}'),
               ('fsync', NULL, false, '{}'), ('full_page_writes', NULL, false, '{}')) AS wanted (name, value, always, enough)
  JOIN pg_settings AS setting ON setting.name = wanted.name
)";

// All rows or none: the condition does not depend on the new rows, so it is evaluated once. One probe of
// aggregate_sequence_index per predecessor; that the predecessor is the newest event is for the unique index to judge.
inline constexpr named insert_events{"maestro_insert_events", R"(
  INSERT INTO event_log (timestamp, aggregate_id, sequence, type, body, aggregate_type, command_id, metadata)
  SELECT timestamp, aggregate_id, sequence, type, body, aggregate_type, command_id, metadata
  FROM unnest($1::bytea[], $2::bytea[], $3::integer[], $4::text[], $5::jsonb[], $6::text[], $7::bytea[], $8::jsonb[])
    AS new (timestamp, aggregate_id, sequence, type, body, aggregate_type, command_id, metadata)
  WHERE NOT EXISTS (
    SELECT FROM unnest($9::bytea[], $10::integer[], $11::bytea[]) AS predecessor (aggregate_id, sequence, timestamp)
    WHERE predecessor.timestamp IS DISTINCT FROM (
      SELECT log.timestamp FROM event_log AS log
      WHERE log.aggregate_id = predecessor.aggregate_id AND log.sequence = predecessor.sequence))
)"};

// The same for one event, whose predecessor has the sequence before it.
inline constexpr named insert_event{"maestro_insert_event", R"(
  INSERT INTO event_log (timestamp, aggregate_id, sequence, type, body, aggregate_type, command_id, metadata)
  SELECT $1::bytea, $2::bytea, $3::integer, $4::text, $5::jsonb, $6::text, $7::bytea, $8::jsonb
  WHERE $9::bytea = (SELECT log.timestamp FROM event_log AS log WHERE log.aggregate_id = $2::bytea AND log.sequence = $3::integer - 1)
)"};

// The same for an aggregate's first. Not one statement with the other, by `$9 IS NULL OR`: Citus answers it with INSERT 0 0.
inline constexpr named insert_first_event{"maestro_insert_first_event", R"(
  INSERT INTO event_log (timestamp, aggregate_id, sequence, type, body, aggregate_type, command_id, metadata)
  VALUES ($1::bytea, $2::bytea, $3::integer, $4::text, $5::jsonb, $6::text, $7::bytea, $8::jsonb)
)"};

// For a session that only reads, until it ends.
inline constexpr const char* only_read = "SET default_transaction_read_only = on";

inline constexpr const char* begin = "BEGIN";
inline constexpr const char* commit = "COMMIT";
inline constexpr const char* rollback = "ROLLBACK";
inline const std::string limit_lock_waits = "SET LOCAL lock_timeout = ";  // Milliseconds.
inline constexpr const char* begin_part = "SAVEPOINT part";
inline constexpr const char* keep_part = "RELEASE SAVEPOINT part";
inline constexpr const char* drop_part = "ROLLBACK TO SAVEPOINT part";

// For each event: whether it is stored as it is, whether its timestamp is on another event, and its aggregate's newest event.
inline constexpr named inspect{"maestro_inspect", R"(
  SELECT coalesce(stored.timestamp = wanted.timestamp, false),
         EXISTS (SELECT FROM event_log AS other WHERE other.timestamp = wanted.timestamp
                 AND (other.aggregate_id, other.sequence) <> (wanted.aggregate_id, wanted.sequence)),
         coalesce(newest.sequence, 0), newest.timestamp
  FROM unnest($1::bytea[], $2::bytea[], $3::integer[])
    WITH ORDINALITY AS wanted (timestamp, aggregate_id, sequence, position)
  LEFT JOIN LATERAL (SELECT timestamp FROM event_log
                     WHERE aggregate_id = wanted.aggregate_id AND sequence = wanted.sequence) AS stored ON true
  LEFT JOIN LATERAL (SELECT sequence, timestamp FROM event_log
                     WHERE aggregate_id = wanted.aggregate_id
                     ORDER BY sequence DESC LIMIT 1) AS newest ON true
  ORDER BY wanted.position
)"};

inline constexpr named get_events{"maestro_get_events", R"(
  SELECT timestamp, sequence, type, body::text, aggregate_type, command_id, metadata::text
  FROM event_log
  WHERE aggregate_id = $1::bytea AND sequence > $2::integer AND sequence <= $3::integer
  ORDER BY sequence
  LIMIT $4::bigint
)"};

// The same for who reads the binary form.
inline constexpr named scan_events{"maestro_scan_events", R"(
  SELECT timestamp, sequence, type, body, aggregate_type, command_id, metadata
  FROM event_log
  WHERE aggregate_id = $1::bytea AND sequence > $2::integer AND sequence <= $3::integer
  ORDER BY sequence
  LIMIT $4::bigint
)"};

// A row per event, or one with nulls; the snapshot's body stands on the first row of its aggregate.
inline constexpr named get_histories{"maestro_get_histories", R"(
  SELECT log.timestamp, log.sequence, log.type, log.body::text, log.aggregate_type, log.command_id, log.metadata::text,
         wanted.position, kept.sequence, kept.aggregate_type, kept.version, kept.version_sequence,
         CASE WHEN log.position IS NULL OR log.position = 1 THEN kept.body::text END
  FROM unnest($1::bytea[]) WITH ORDINALITY AS wanted (id, position)
  LEFT JOIN snapshots AS kept ON kept.aggregate_id = wanted.id
  LEFT JOIN LATERAL (SELECT *, row_number() OVER (ORDER BY sequence) AS position FROM event_log
                     WHERE aggregate_id = wanted.id AND sequence >= coalesce(kept.sequence, 1)
                     ORDER BY sequence LIMIT $2::bigint) AS log ON true
  ORDER BY wanted.position, log.sequence
)"};

// The inner query stops at the newest event of our own that is older than the command: none before it can be the command's.
inline constexpr named find_command{"maestro_find_command", R"(
  SELECT timestamp, sequence, type, body::text, aggregate_type, command_id, metadata::text
  FROM event_log
  WHERE aggregate_id = $1::bytea AND command_id = $2::bytea AND timestamp >= $3::bytea
    AND sequence > coalesce((SELECT sequence FROM event_log
                             WHERE aggregate_id = $1::bytea AND command_id IS NOT NULL AND timestamp < $3::bytea
                             ORDER BY sequence DESC LIMIT 1), 0)
  ORDER BY sequence
)"};

inline constexpr named get_heads{"maestro_get_heads", R"(
  SELECT wanted.id, newest.sequence, newest.timestamp
  FROM unnest($1::bytea[]) AS wanted (id)
  CROSS JOIN LATERAL (SELECT sequence, timestamp FROM event_log
                      WHERE aggregate_id = wanted.id
                      ORDER BY sequence DESC LIMIT 1) AS newest
)"};

// Rows of an application that does not record aggregate types are not listed: their type is null.
inline constexpr named list_aggregates{"maestro_list_aggregates", R"(
  SELECT first.aggregate_id, newest.sequence, newest.timestamp
  FROM event_log AS first
  CROSS JOIN LATERAL (SELECT sequence, timestamp FROM event_log
                      WHERE aggregate_id = first.aggregate_id
                      ORDER BY sequence DESC LIMIT 1) AS newest
  WHERE first.aggregate_type = $1::text AND first.sequence = 1 AND first.aggregate_id > $2::bytea
  ORDER BY first.aggregate_id
  LIMIT $3::bigint
)"};

inline constexpr named newest_timestamp{"maestro_newest_timestamp", R"(
  SELECT timestamp FROM event_log ORDER BY timestamp DESC LIMIT 1
)"};

inline constexpr named get_snapshot{"maestro_get_snapshot", R"(
  SELECT sequence, aggregate_type, version, version_sequence, body::text
  FROM snapshots
  WHERE aggregate_id = $1::bytea AND sequence > $2::integer AND sequence <= $3::integer
)"};

// Never goes back. At the same sequence a snapshot of another version, or a foreign one, is replaced.
inline constexpr named commit_snapshot{"maestro_commit_snapshot", R"(
  INSERT INTO snapshots AS old (aggregate_id, sequence, body, aggregate_type, version, version_sequence)
  VALUES ($1::bytea, $2::integer, $3::jsonb, nullif($4::text, ''), $5::integer, $2::integer)
  ON CONFLICT (aggregate_id) DO UPDATE
  SET sequence = excluded.sequence, body = excluded.body, aggregate_type = excluded.aggregate_type,
      version = excluded.version, version_sequence = excluded.version_sequence
  WHERE old.sequence < excluded.sequence
     OR (old.sequence = excluded.sequence
         AND (old.version <> excluded.version OR old.version_sequence <> old.sequence))
)"};

// Which server process serves this connection. Process ids are used again, so its start tells too.
inline constexpr const char* own_backend = R"(
  SELECT pid, extract(epoch FROM backend_start)::text FROM pg_stat_activity WHERE pid = pg_backend_pid()
)";

// A lock that nobody waits for, held by all connections of one run of a node: what they are known by.
inline constexpr const char* mark_session = "SELECT pg_advisory_lock_shared($1::bigint)";

// Those of runs that are taken for dead, but were perhaps only stopped: their open transactions would hold their locks for
// as long. A run that came back, as another member, is not dead.
inline constexpr const char* dead_sessions = R"(
  SELECT pid FROM pg_locks
  WHERE locktype = 'advisory' AND mode = 'ShareLock' AND objsubid = 1 AND pid <> pg_backend_pid()
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (classid::bigint << 32 | objid::bigint) IN (SELECT run FROM maestro_members WHERE status = 'dead'
                                                    EXCEPT SELECT run FROM maestro_members WHERE status = 'alive')
)";

inline constexpr const char* end_session = "SELECT pg_terminate_backend($1::integer)";

inline constexpr named terminate_backend{"maestro_terminate_backend", R"(
  SELECT pg_terminate_backend(pid) FROM pg_stat_activity
  WHERE pid = $1::integer AND extract(epoch FROM backend_start)::text = $2::text
)"};

// A commit of its own with something to write: where commits wait for standbys, it waits until they have all before it.
inline constexpr const char* wait_for_standbys = "SELECT pg_logical_emit_message(true, 'maestro', '')";

// For a connection that changes members: whoever stands still in such a change keeps all others from theirs.
inline constexpr const char* hurry_changes = R"(
  SELECT set_config(name, '2000', false) FROM pg_settings
  WHERE name = 'idle_in_transaction_session_timeout' AND setting::bigint NOT BETWEEN 1 AND 2000
)";

// Members of the cluster. Every change of who is alive begins here: the row's lock keeps the others away until its end.
inline constexpr const char* change_members = "UPDATE maestro_cluster SET version = version + 1 RETURNING version";

// The only row, where it was removed. A clock's milliseconds are above every version that was counted up to.
inline constexpr const char* restore_cluster = R"(
  INSERT INTO maestro_cluster AS cluster (version) VALUES ((extract(epoch FROM clock_timestamp()) * 1000)::bigint)
  ON CONFLICT (only_row) DO UPDATE SET version = cluster.version + 1
  RETURNING version
)";

// Earlier runs of the same name, but not the same run again.
inline constexpr named supersede_member{"maestro_supersede_member", R"(
  UPDATE maestro_members SET status = 'dead', ended_at = now()
  WHERE name = $1::text AND status = 'alive' AND incarnation <> $2::bytea
)"};

inline constexpr const char* forget_members = R"(
  DELETE FROM maestro_members WHERE ended_at < now() - interval '1 day'
)";

inline constexpr named add_member{"maestro_add_member", R"(
  INSERT INTO maestro_members (incarnation, name, address, run, status, served_digest, served)
  VALUES ($1::bytea, $2::text, $3::text, $4::bigint, 'alive', nullif($5::text, ''), nullif($6::text, ''))
  ON CONFLICT (incarnation) DO NOTHING
)"};

inline constexpr named end_member{"maestro_end_member", R"(
  UPDATE maestro_members SET status = $2::text, ended_at = now() WHERE incarnation = $1::bytea AND status = 'alive'
)"};

inline constexpr named end_still_member{"maestro_end_still_member", R"(
  UPDATE maestro_members SET status = 'dead', ended_at = now()
  WHERE incarnation = $1::bytea AND status = 'alive' AND heartbeat = $2::bigint
)"};

// One look at one moment, and which members have a session. A row of nulls stands for a table without members.
inline constexpr named list_sessions{"maestro_list_sessions", R"(
  SELECT cluster.version, member.incarnation, member.name, member.address, member.status, member.heartbeat,
         (extract(epoch FROM clock_timestamp()) * 1000)::bigint, left(member.served_digest, 16),
         member.run IN (
           SELECT classid::bigint << 32 | objid::bigint FROM pg_locks
           WHERE locktype = 'advisory' AND mode = 'ShareLock' AND objsubid = 1
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
  FROM maestro_cluster AS cluster LEFT JOIN maestro_members AS member ON true
  ORDER BY member.name COLLATE "C", member.incarnation
)"};

// What tells this store from every other one: the server's installation, the database and the schema in it, and when its tables were
// made. A copy made with pg_dump or from a template differs in one of them at least; one of the whole server's files does not.
inline constexpr const char* identify_store = R"(
  SELECT concat_ws('/', (SELECT system_identifier FROM pg_control_system()),
                   (SELECT oid FROM pg_database WHERE datname = current_database()),
                   (SELECT relnamespace FROM pg_class WHERE oid = 'maestro_cluster'::regclass),
                   (SELECT extract(epoch FROM min(applied_at)) FROM maestro_migrations))
)";
// The same for a role that may not see which installation it is.
inline constexpr const char* identify_store_in_part = R"(
  SELECT concat_ws('/', (SELECT oid FROM pg_database WHERE datname = current_database()),
                   (SELECT relnamespace FROM pg_class WHERE oid = 'maestro_cluster'::regclass),
                   (SELECT extract(epoch FROM min(applied_at)) FROM maestro_migrations))
)";

// The same without the sessions, and a heartbeat of one's own, which the look does not see yet.
inline constexpr named beat_member{"maestro_beat_member", R"(
  WITH beat AS (
    UPDATE maestro_members SET heartbeat = heartbeat + 1 WHERE incarnation = $1::bytea AND status = 'alive'
    RETURNING incarnation, heartbeat)
  SELECT cluster.version, member.incarnation, member.name, member.address, member.status, coalesce(beat.heartbeat, member.heartbeat),
         (extract(epoch FROM clock_timestamp()) * 1000)::bigint, left(member.served_digest, 16)
  FROM maestro_cluster AS cluster LEFT JOIN maestro_members AS member ON true LEFT JOIN beat ON beat.incarnation = member.incarnation
  ORDER BY member.name COLLATE "C", member.incarnation
)"};

// What a digest stands for, in any of the rows that say it.
inline constexpr named read_served{"maestro_read_served", R"(
  SELECT served FROM maestro_members
  WHERE served_digest = $1::text AND octet_length(served) <= $2::bigint
  ORDER BY status = 'alive' DESC LIMIT 1
)"};

// Whose session this is, and what it may make.
inline constexpr const char* look_at_rights = R"(
  SELECT quote_ident(current_user), quote_ident(coalesce(current_schema(), 'public')), quote_ident(current_database()),
         coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)::text,
         has_database_privilege(current_database(), 'CREATE')::text
)";

// What is applied, and the step that a program must know. A component of null stands for a schema without steps.
inline constexpr const char* look_at_schema = R"(
  SELECT (SELECT coalesce(max(minimum), 1) FROM maestro_schema), migration.component, migration.number
  FROM (SELECT) AS one_row LEFT JOIN maestro_migrations AS migration ON true
)";

inline constexpr named has_migration{"maestro_has_migration", R"(
  SELECT EXISTS (SELECT FROM maestro_migrations WHERE component = $1::text AND number = $2::integer)
)"};

inline constexpr named record_migration{"maestro_record_migration", R"(
  INSERT INTO maestro_migrations (component, number) VALUES ($1::text, $2::integer)
)"};

// One migration at a time; the number is the bytes of "maestro". Whoever waits does so for as long as an index may take to
// build, but a step itself must not queue behind a long reader, where everybody else would queue behind it.
inline constexpr const char* take_migration_lock = R"(
  SET LOCAL statement_timeout = 0;
  SET LOCAL lock_timeout = '60s';
  SELECT pg_advisory_xact_lock(30787860818063983);
)";

}  // namespace maestro::postgres::sql
