// The statements of a rebuild. `{shadow}` stands for the schema of the new tables, quoted; `{types}` for the aggregate types as an
// array; `{trigger}` for the trigger's name.
#pragma once

namespace maestro::postgres::rebuild_sql {

// The schema that the store's and the projections' tables are in.
inline constexpr const char* home = "SELECT quote_ident(current_schema()), to_regclass('event_log') IS NOT NULL";

inline constexpr const char* use_shadow = "SELECT set_config('search_path', '{shadow}, ' || current_setting('search_path'), false)";

inline constexpr const char* take_lock = "SELECT pg_try_advisory_lock(hashtextextended('{shadow}', 0))";

inline constexpr const char* find_state = R"(
  SELECT to_regclass('{shadow}.maestro_rebuild_state') IS NOT NULL
)";

inline constexpr const char* create_shadow = "CREATE SCHEMA {shadow}";

inline constexpr const char* drop_shadow = R"(
  DROP TRIGGER IF EXISTS {trigger} ON event_log;
  DROP SCHEMA IF EXISTS {shadow} CASCADE;
)";

// Constraints that hold between aggregates are met by all of them together, not by each on its way: they come back at the end.
// Primary keys stay: a projection's own upserts need them.
inline constexpr const char* make_constraint_list = R"(
  CREATE TABLE {shadow}.maestro_rebuild_constraints (
    number  integer NOT NULL PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    back    text    NOT NULL,
    off     text    NOT NULL,
    is_rule boolean NOT NULL,  -- Rows of two aggregates can be at odds with it.
    is_back boolean NOT NULL DEFAULT false
  )
)";

inline constexpr const char* put_constraints_off = R"(
  INSERT INTO {shadow}.maestro_rebuild_constraints (back, off, is_rule)
  SELECT format('ALTER TABLE {shadow}.%I ADD CONSTRAINT %I %s', owner.relname, rule.conname, pg_get_constraintdef(rule.oid)),
         format('ALTER TABLE {shadow}.%I DROP CONSTRAINT IF EXISTS %I', owner.relname, rule.conname), true
  FROM pg_constraint AS rule JOIN pg_class AS owner ON owner.oid = rule.conrelid
  WHERE rule.connamespace = '{shadow}'::regnamespace AND rule.contype IN ('u', 'x') AND rule.conparentid = 0
  UNION ALL
  SELECT pg_get_indexdef(kept.oid), format('DROP INDEX IF EXISTS {shadow}.%I', kept.relname), true
  FROM pg_index AS index JOIN pg_class AS kept ON kept.oid = index.indexrelid
  WHERE kept.relnamespace = '{shadow}'::regnamespace AND index.indisunique AND NOT index.indisprimary AND NOT kept.relispartition
    AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = kept.oid);
)";

inline constexpr const char* take_constraints_off = R"(
  DO $block$
  DECLARE
    one text;
  BEGIN
    FOR one IN SELECT off FROM {shadow}.maestro_rebuild_constraints ORDER BY number LOOP
      EXECUTE one;
    END LOOP;
  END $block$;
  UPDATE {shadow}.maestro_rebuild_constraints SET is_back = false WHERE is_back;
)";

inline constexpr const char* next_constraint = R"(
  SELECT number, back FROM {shadow}.maestro_rebuild_constraints WHERE NOT is_back ORDER BY number LIMIT 1
)";
inline constexpr const char* has_constraints = "SELECT EXISTS (SELECT FROM {shadow}.maestro_rebuild_constraints WHERE is_rule)";
inline constexpr const char* constraint_is_back = "UPDATE {shadow}.maestro_rebuild_constraints SET is_back = true WHERE number = $1";

// The trigger's function acts with the rights of the role that rebuilds: writers need none on these tables. The events of one
// statement share a turn: turns follow each other as the statements did, whatever the writers' clocks say.
inline constexpr const char* follow_log = R"(
  CREATE TABLE {shadow}.maestro_rebuild_state (schema text NOT NULL, listed boolean NOT NULL DEFAULT false);
  CREATE TABLE {shadow}.maestro_rebuild_marks (
    aggregate_id   bytea   NOT NULL PRIMARY KEY,
    aggregate_type text    NOT NULL,
    sequence       integer NOT NULL DEFAULT 0,
    head           integer NOT NULL
  );
  CREATE INDEX ON {shadow}.maestro_rebuild_marks (aggregate_id) WHERE sequence < head;
  CREATE SEQUENCE {shadow}.maestro_rebuild_turn;
  CREATE TABLE {shadow}.maestro_rebuild_news (aggregate_id bytea NOT NULL, aggregate_type text, head integer NOT NULL, turn bigint NOT NULL);
  CREATE TABLE {shadow}.maestro_rebuild_turns (aggregate_id bytea NOT NULL, head integer NOT NULL, turn bigint NOT NULL);
  CREATE INDEX ON {shadow}.maestro_rebuild_turns (aggregate_id, head);
  CREATE TABLE {shadow}.maestro_rebuild_line (
    turn bigint NOT NULL, timestamp bytea NOT NULL, aggregate_id bytea NOT NULL, sequence integer NOT NULL);
  CREATE INDEX ON {shadow}.maestro_rebuild_line (turn, timestamp, aggregate_id, sequence);

  CREATE FUNCTION {shadow}.maestro_rebuild_note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog
  AS $function$
  DECLARE
    own_turn bigint := nextval('{shadow}.maestro_rebuild_turn');
  BEGIN
    INSERT INTO {shadow}.maestro_rebuild_news
    SELECT aggregate_id, max(aggregate_type), max(sequence), own_turn FROM appended GROUP BY aggregate_id;
    RETURN NULL;
  END $function$;
  CREATE TRIGGER {trigger} AFTER INSERT ON event_log REFERENCING NEW TABLE AS appended
    FOR EACH STATEMENT EXECUTE FUNCTION {shadow}.maestro_rebuild_note();
)";

// Everything that was committed before the trigger was there; what came since is news.
// It reads the whole log, which is no matter for an index.
inline constexpr const char* list_aggregates = R"(
  SET LOCAL enable_seqscan = on;
  INSERT INTO {shadow}.maestro_rebuild_marks (aggregate_id, aggregate_type, head)
  SELECT aggregate_id, max(aggregate_type), max(sequence) FROM event_log
  GROUP BY aggregate_id HAVING max(aggregate_type) = ANY({types})
  ON CONFLICT (aggregate_id) DO NOTHING;
  UPDATE {shadow}.maestro_rebuild_state SET listed = true;
  ANALYZE {shadow}.maestro_rebuild_marks;
)";

// Without a look at the log, which may be long, and is locked in the end. Events without a type, an application's of the seed, are
// those of the aggregate that the marks name.
inline constexpr const char* read_news = R"(
  WITH gone AS (DELETE FROM {shadow}.maestro_rebuild_news RETURNING aggregate_id, aggregate_type, head, turn),
       noted AS (INSERT INTO {shadow}.maestro_rebuild_turns SELECT aggregate_id, head, turn FROM gone),
       changed AS (SELECT aggregate_id, max(aggregate_type) AS aggregate_type, max(head) AS head FROM gone GROUP BY aggregate_id)
  INSERT INTO {shadow}.maestro_rebuild_marks AS mark (aggregate_id, aggregate_type, head)
  SELECT aggregate_id, coalesce(changed.aggregate_type, known.aggregate_type), changed.head
  FROM changed LEFT JOIN {shadow}.maestro_rebuild_marks AS known USING (aggregate_id)
  WHERE coalesce(changed.aggregate_type, known.aggregate_type) = ANY({types})
  ON CONFLICT (aggregate_id) DO UPDATE SET head = greatest(mark.head, excluded.head)
)";

inline constexpr const char* count = R"(
  SELECT coalesce(sum(sequence), 0)::bigint, coalesce(sum(head), 0)::bigint FROM {shadow}.maestro_rebuild_marks
)";

inline constexpr const char* count_rest = R"(
  SELECT coalesce(sum(head - sequence), 0)::bigint FROM {shadow}.maestro_rebuild_marks WHERE sequence < head
)";

inline constexpr const char* next_aggregates = R"(
  SELECT aggregate_id, aggregate_type, sequence, head FROM {shadow}.maestro_rebuild_marks
  WHERE sequence < head AND aggregate_id > $1 ORDER BY aggregate_id LIMIT 1000
)";

inline constexpr const char* set_mark = "UPDATE {shadow}.maestro_rebuild_marks SET sequence = $2 WHERE aggregate_id = $1";

// Where all that is news is projected, whatever its order.
inline constexpr const char* forget_turns = "TRUNCATE {shadow}.maestro_rebuild_turns";

// The events that wait, of all aggregates, by their turns, which is nearly the order in which they were committed. They are sought once
// for many pages.
inline constexpr const char* line_up = R"(
  TRUNCATE {shadow}.maestro_rebuild_line;
  INSERT INTO {shadow}.maestro_rebuild_line (turn, timestamp, aggregate_id, sequence)
  SELECT coalesce(own.turn, 0), log.timestamp, log.aggregate_id, log.sequence FROM {shadow}.maestro_rebuild_marks AS mark
  JOIN event_log AS log ON log.aggregate_id = mark.aggregate_id AND log.sequence > mark.sequence AND log.sequence <= mark.head
  LEFT JOIN LATERAL (SELECT turn FROM {shadow}.maestro_rebuild_turns
                     WHERE aggregate_id = mark.aggregate_id AND head >= log.sequence ORDER BY head LIMIT 1) AS own ON true
  WHERE mark.sequence < mark.head;
  TRUNCATE {shadow}.maestro_rebuild_turns;
  ANALYZE {shadow}.maestro_rebuild_line;
)";

// The next of those after the place ($1, $2, $3, $4). Each row is looked up by itself (OFFSET 0): a join that reads a whole table for a page,
// as the planner may prefer, would do so for every page.
inline constexpr const char* next_events = R"(
  SELECT log.timestamp, next.aggregate_id, next.sequence, log.type, log.body, log.aggregate_type, log.command_id, log.metadata,
         next.aggregate_type, next.mark, next.turn
  FROM (SELECT line.turn, line.timestamp, line.aggregate_id, line.sequence, mark.aggregate_type, mark.sequence AS mark
        FROM {shadow}.maestro_rebuild_line AS line CROSS JOIN LATERAL (
          SELECT aggregate_type, sequence FROM {shadow}.maestro_rebuild_marks WHERE aggregate_id = line.aggregate_id OFFSET 0) AS mark
        WHERE (line.turn, line.timestamp, line.aggregate_id, line.sequence) > ($1::bigint, $2::bytea, $3::bytea, $4::integer)
          AND line.sequence > mark.sequence
        ORDER BY line.turn, line.timestamp, line.aggregate_id, line.sequence LIMIT $5::bigint) AS next
  CROSS JOIN LATERAL (
    SELECT timestamp, type, body::text AS body, aggregate_type, command_id, metadata::text AS metadata FROM event_log
    WHERE aggregate_id = next.aggregate_id AND sequence = next.sequence OFFSET 0) AS log
  ORDER BY next.turn, next.timestamp, next.aggregate_id, next.sequence
)";

// Rows come and go, but nothing is put on the tables.
inline constexpr const char* hold_old_tables = R"(
  DO $block$
  DECLARE
    old text;
  BEGIN
    FOR old IN SELECT format('{home}.%I', was.relname) FROM pg_class AS was JOIN pg_class AS made USING (relname)
               WHERE was.relnamespace = '{home}'::regnamespace AND was.relkind IN ('r', 'p') AND made.relnamespace = '{shadow}'::regnamespace
               ORDER BY 1
    LOOP
      EXECUTE 'LOCK TABLE ' || old || ' IN SHARE UPDATE EXCLUSIVE MODE';
    END LOOP;
  END $block$;
)";

// Writers wait, readers do not.
inline constexpr const char* pause_writers = "LOCK TABLE event_log IN SHARE ROW EXCLUSIVE MODE";

// The new tables take the names, the owner and the grants of the old ones. What depends on an old one (a view, a foreign key)
// stops it here.
inline constexpr const char* swap_tables = R"(
  DROP TRIGGER IF EXISTS {trigger} ON event_log;
  DROP TABLE IF EXISTS {shadow}.maestro_rebuild_state, {shadow}.maestro_rebuild_constraints, {shadow}.maestro_rebuild_marks,
    {shadow}.maestro_rebuild_news, {shadow}.maestro_rebuild_turns, {shadow}.maestro_rebuild_line;
  DROP FUNCTION IF EXISTS {shadow}.maestro_rebuild_note();
  DROP SEQUENCE IF EXISTS {shadow}.maestro_rebuild_turn;
  DO $block$
  DECLARE
    made record;
    old oid;
    old_owner oid;
    granted record;
    grants text[];
    statement text;
  BEGIN
    FOR made IN SELECT oid, relname, CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'TABLE' END AS kind
                FROM pg_class WHERE relnamespace = '{shadow}'::regnamespace AND relkind IN ('r', 'p', 'v', 'm') AND NOT relispartition
                ORDER BY relkind IN ('v', 'm') DESC
    LOOP
      old := to_regclass('{home}.' || quote_ident(made.relname));
      grants := '{}';
      IF old IS NOT NULL THEN
        SELECT relowner INTO old_owner FROM pg_class WHERE oid = old;
        SELECT array_agg(format('GRANT %s ON {home}.%I TO %s%s', privilege_type, made.relname,
                                CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END,
                                CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END))
          INTO grants FROM pg_class, aclexplode(relacl) WHERE oid = old AND grantee <> relowner;
        EXECUTE format('DROP %s {home}.%I', made.kind, made.relname);
      END IF;
      EXECUTE format('ALTER %s {shadow}.%I SET SCHEMA {home}', made.kind, made.relname);
      IF old IS NOT NULL THEN  -- What default privileges have given to the new one.
        FOR granted IN SELECT DISTINCT grantee FROM pg_class, aclexplode(relacl) WHERE oid = made.oid AND grantee <> relowner LOOP
          EXECUTE format('REVOKE ALL ON {home}.%I FROM %s', made.relname,
                         CASE granted.grantee WHEN 0 THEN 'PUBLIC' ELSE granted.grantee::regrole::text END);
        END LOOP;
      END IF;
      IF old IS NOT NULL AND old_owner <> (SELECT relowner FROM pg_class WHERE oid = made.oid) THEN
        EXECUTE format('ALTER %s {home}.%I OWNER TO %s', made.kind, made.relname, old_owner::regrole);
      END IF;
      FOREACH statement IN ARRAY coalesce(grants, '{}') LOOP
        EXECUTE statement;
      END LOOP;
    END LOOP;
  END $block$;
  DROP SCHEMA {shadow};
)";

// --- In the order of time: for projections that depend on the order between aggregates. ---

// As follow_log, but what is noted is the place of each event in that order.
inline constexpr const char* follow_order = R"(
  CREATE TABLE {shadow}.maestro_rebuild_news (
    timestamp bytea NOT NULL, aggregate_id bytea NOT NULL, sequence integer NOT NULL, aggregate_type text);

  CREATE FUNCTION {shadow}.maestro_rebuild_note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog
  AS $function$
  BEGIN
    INSERT INTO {shadow}.maestro_rebuild_news SELECT timestamp, aggregate_id, sequence, aggregate_type FROM appended;
    RETURN NULL;
  END $function$;
  CREATE TRIGGER {trigger} AFTER INSERT ON event_log REFERENCING NEW TABLE AS appended
    FOR EACH STATEMENT EXECUTE FUNCTION {shadow}.maestro_rebuild_note();
)";

// What was committed behind the place that the rebuild has come to ($1), as well as an application of the seed's earlier events of an
// aggregate whose type is only known now. Whatever else is news the rebuild will come to.
inline constexpr const char* read_late_news = R"(
  WITH gone AS (DELETE FROM {shadow}.maestro_rebuild_news RETURNING timestamp, aggregate_id, sequence, aggregate_type)
  SELECT gone.timestamp, gone.aggregate_id, gone.timestamp <= $1::bytea FROM gone
  WHERE (gone.timestamp <= $1::bytea
         AND (gone.aggregate_type = ANY({types})
              OR (gone.aggregate_type IS NULL AND EXISTS (SELECT FROM event_log AS other WHERE other.aggregate_id = gone.aggregate_id
                                                          AND other.aggregate_type = ANY({types})))))
     OR (gone.aggregate_type = ANY({types})
         AND NOT EXISTS (SELECT FROM event_log AS other WHERE other.aggregate_id = gone.aggregate_id
                         AND other.sequence < gone.sequence AND other.aggregate_type = ANY({types}))
         AND EXISTS (SELECT FROM event_log AS other WHERE other.aggregate_id = gone.aggregate_id
                     AND other.sequence < gone.sequence AND other.timestamp <= $1::bytea))
)";

inline constexpr const char* count_log = R"(
  SET LOCAL enable_seqscan = on;
  SELECT count(*) FROM event_log AS log WHERE aggregate_type = ANY({types})
    OR (aggregate_type IS NULL AND EXISTS (SELECT FROM event_log AS other WHERE other.aggregate_id = log.aggregate_id
                                           AND other.aggregate_type = ANY({types})))
)";

// What is later than $1; no more than $2 are counted.
inline constexpr const char* count_later = R"(
  SELECT count(*) FROM (
    SELECT FROM event_log AS log
    WHERE timestamp > $1::bytea
      AND (aggregate_type = ANY({types})
           OR (aggregate_type IS NULL AND EXISTS (SELECT FROM event_log AS other WHERE other.aggregate_id = log.aggregate_id
                                                  AND other.aggregate_type = ANY({types}))))
    LIMIT $2::bigint) AS later
)";

inline constexpr const char* milliseconds = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";

inline constexpr const char* read_log = R"(
  SELECT timestamp, aggregate_id, sequence, type, body::text, aggregate_type, command_id, metadata::text,
         coalesce(aggregate_type, (SELECT max(aggregate_type) FROM event_log AS other WHERE other.aggregate_id = log.aggregate_id))
  FROM event_log AS log
  WHERE timestamp > $1::bytea AND timestamp <= $2::bytea
    AND (aggregate_type = ANY({types})
         OR (aggregate_type IS NULL AND EXISTS (SELECT FROM event_log AS other WHERE other.aggregate_id = log.aggregate_id
                                                AND other.aggregate_type = ANY({types}))))
  ORDER BY timestamp LIMIT $3::bigint
)";

}  // namespace maestro::postgres::rebuild_sql
