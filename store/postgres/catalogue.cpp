#include <maestro/store/postgres/catalogue.hpp>

#include <maestro/store/postgres/member_tables.hpp>
#include <maestro/store/postgres/trigger_functions.hpp>

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <set>
#include <string_view>

namespace maestro::postgres {

namespace {

struct wanted_column {
  std::string_view table, name, types;  // Types between spaces.
  bool is_ours = false;  // It can be put back: what it holds may be null, or has a default.
};

// What the statements of sql.hpp read and write. transaction_id is not among them: nothing of ours reads it.
constexpr std::array store_columns{
    wanted_column{"event_log", "timestamp", " bytea "},
    wanted_column{"event_log", "aggregate_id", " bytea "},
    wanted_column{"event_log", "sequence", " int4 "},
    wanted_column{"event_log", "type", " varchar text "},
    wanted_column{"event_log", "body", " jsonb "},
    wanted_column{"event_log", "aggregate_type", " varchar text ", true},
    wanted_column{"event_log", "command_id", " bytea ", true},
    wanted_column{"event_log", "metadata", " jsonb ", true},
    wanted_column{"snapshots", "aggregate_id", " bytea "},
    wanted_column{"snapshots", "sequence", " int4 "},
    wanted_column{"snapshots", "body", " jsonb "},
    wanted_column{"snapshots", "aggregate_type", " varchar text ", true},
    wanted_column{"snapshots", "version", " int4 ", true},
    wanted_column{"snapshots", "version_sequence", " int4 ", true},
    wanted_column{"maestro_cluster", "only_row", " bool "},
    wanted_column{"maestro_cluster", "version", " int8 "},
    wanted_column{"maestro_members", "incarnation", " bytea "},
    wanted_column{"maestro_members", "name", " varchar text "},
    wanted_column{"maestro_members", "address", " varchar text "},
    wanted_column{"maestro_members", "run", " int8 "},
    wanted_column{"maestro_members", "status", " varchar text "},
    wanted_column{"maestro_members", "heartbeat", " int8 "},
    wanted_column{"maestro_members", "joined_at", " timestamptz "},
    wanted_column{"maestro_members", "ended_at", " timestamptz "},
    wanted_column{"maestro_members", "served_digest", " varchar text ", true},
    wanted_column{"maestro_members", "served", " varchar text ", true},
};

struct wanted_index {
  std::string_view table, columns;
  std::string_view name;  // Empty where any will do.
  std::string_view what;
};

constexpr std::array store_indexes{
    wanted_index{"event_log", "aggregate_id,sequence", "aggregate_sequence_index",
                 "the unique index aggregate_sequence_index of event_log (aggregate_id, sequence), which decides between two writers,"},
    wanted_index{"snapshots", "aggregate_id", "", "the primary key of snapshots (aggregate_id)"},
    wanted_index{"maestro_cluster", "only_row", "", "the primary key of maestro_cluster (only_row)"},
    wanted_index{"maestro_members", "incarnation", "", "the primary key of maestro_members (incarnation)"},
    wanted_index{"maestro_members", "name where", "maestro_members_alive_index",
                 "the unique index maestro_members_alive_index of maestro_members (name)"},
};

// Rows of four texts: what, table, name, more.
constexpr const char* look = R"(
  WITH own AS (
    SELECT name, to_regclass(name)::oid AS id
    FROM unnest('{event_log,snapshots,maestro_cluster,maestro_members}'::text[]) AS name),
  part AS (
    SELECT id, 'event_log' AS root, true AS is_root FROM own WHERE name = 'event_log' AND id IS NOT NULL
    UNION SELECT relid, 'event_log', false FROM pg_partition_tree(to_regclass('event_log')) WHERE level > 0 AND isleaf
    UNION SELECT id, name, true FROM own WHERE name <> 'event_log' AND id IS NOT NULL)
  SELECT 'books', '', '', (to_regclass('maestro_migrations') IS NOT NULL AND to_regclass('maestro_schema') IS NOT NULL)::text
  UNION ALL
  SELECT 'citus', '', '', (to_regclass('pg_dist_partition') IS NOT NULL AND to_regclass('pg_dist_schema') IS NOT NULL)::text
  UNION ALL
  SELECT 'partitions', '', '', count(*)::text FROM pg_inherits WHERE inhparent = to_regclass('event_log')
  UNION ALL
  SELECT 'forbidden', '', nspname, '' FROM pg_namespace
  WHERE nspname = ANY(SELECT trim(both '" ' FROM replace(entry, '$user', current_user))
                      FROM unnest(string_to_array(current_setting('search_path'), ',')) AS entry)
    AND NOT has_schema_privilege(oid, 'USAGE')
  UNION ALL
  SELECT 'column', own.name, attname, typname
  FROM own JOIN pg_attribute ON attrelid = own.id AND attnum > 0 AND NOT attisdropped JOIN pg_type ON pg_type.oid = atttypid
  UNION ALL
  SELECT 'index', table_class.relname, index_class.relname,
         CASE WHEN part.is_root THEN part.root ELSE 'partition' END || ':' ||
         (SELECT string_agg(coalesce(attname, '?'), ',' ORDER BY position)
          FROM unnest(indkey::smallint[]) WITH ORDINALITY AS key (number, position)
          LEFT JOIN pg_attribute ON attrelid = indrelid AND attnum = key.number AND key.number > 0
          WHERE position <= indnkeyatts) ||
         CASE WHEN indpred IS NULL THEN '' ELSE ' where' END
  FROM part
  JOIN pg_index ON indrelid = part.id AND indisunique AND indisvalid AND indisready AND indislive AND indimmediate
  JOIN pg_class AS table_class ON table_class.oid = indrelid
  JOIN pg_class AS index_class ON index_class.oid = indexrelid
  UNION ALL
  SELECT 'part', relname, part.is_root::text, '' FROM part JOIN pg_class ON oid = part.id WHERE part.root = 'event_log'
  UNION ALL
  SELECT 'trigger', relname, tgname, tgenabled::text
  FROM part JOIN pg_class ON oid = part.id JOIN pg_trigger ON tgrelid = part.id AND (tgname LIKE 'event_log_no_%' OR tgname = 'event_log_lift_timestamp')
  WHERE part.root = 'event_log'
  UNION ALL
  SELECT 'gone', '', number::text, ''
  FROM unnest($1::text[]) WITH ORDINALITY AS wanted (name, number) WHERE to_regclass(wanted.name) IS NULL
)";

struct key {
  std::string table, name;
  auto operator<=>(const key&) const = default;
};

struct facts {
  std::map<key, std::string> columns;                       // Their types.
  std::map<std::string, std::set<std::string>> unique;      // By "table:columns": the indexes' names.
  std::map<std::string, std::set<std::string>> part_unique; // By the partition's name: its columns.
  std::map<key, char> triggers;
  std::string log = "event_log";
  std::vector<std::string> parts;  // Of the log, which they do not include.
};

// What of it repair_script can put back.
class repairs {
 public:
  explicit repairs(const facts& found) : found_(found) {
    for (const auto& [column, type] : found.columns) tables_.insert(column.table);
  }

  /// The rows of these are gone with them.
  [[nodiscard]] auto has_log() const -> bool { return tables_.contains("event_log") && tables_.contains("snapshots"); }
  [[nodiscard]] auto of_column(const wanted_column& wanted) const -> bool {
    if (tables_.contains(wanted.table)) return wanted.is_ours && (has_log() || is_of_members(wanted.table));
    return is_of_members(wanted.table);
  }
  /// Of an index over columns that are as they should be, or will be.
  [[nodiscard]] auto of_index(std::string_view table) const -> bool {
    if (!is_of_members(table) && !has_log()) return false;
    for (const auto& wanted : store_columns)
      if (wanted.table == table && !has_right(wanted) && !of_missing(wanted)) return false;
    return true;
  }
  [[nodiscard]] auto has_right(const wanted_column& wanted) const -> bool {
    const auto there = found_.columns.find({std::string(wanted.table), std::string(wanted.name)});
    return there != found_.columns.end() && wanted.types.find(" " + there->second + " ") != wanted.types.npos;
  }

 private:
  static auto is_of_members(std::string_view table) -> bool { return table == "maestro_cluster" || table == "maestro_members"; }
  [[nodiscard]] auto of_missing(const wanted_column& wanted) const -> bool {
    return !found_.columns.contains({std::string(wanted.table), std::string(wanted.name)}) && of_column(wanted);
  }

  const facts& found_;
  std::set<std::string, std::less<>> tables_;
};

void judge_columns(const facts& found, const repairs& can, schema_faults& faults) {
  for (const auto& wanted : store_columns) {
    if (can.has_right(wanted)) continue;
    const auto there = found.columns.find({std::string(wanted.table), std::string(wanted.name)});
    const std::string name = std::string(wanted.table) + "." + std::string(wanted.name);
    if (there == found.columns.end()) {
      faults.broken.push_back("column " + name + " is missing");
      faults.can_be_repaired = faults.can_be_repaired || can.of_column(wanted);
    } else {
      faults.broken.push_back("column " + name + " is of type " + there->second + ", not" + std::string(wanted.types.substr(0, wanted.types.find(' ', 1))));
    }
  }
}

void judge_indexes(const facts& found, const repairs& can, schema_faults& faults) {
  const auto has = [&](std::string_view table, std::string_view columns, std::string_view name) {
    const auto there = found.unique.find(std::string(table) + ":" + std::string(columns));
    return there != found.unique.end() && (name.empty() || there->second.contains(std::string(name)));
  };
  const auto miss = [&](std::string_view table, const std::string& what) {
    faults.broken.push_back(what + " is missing or not valid");
    faults.can_be_repaired = faults.can_be_repaired || can.of_index(table);
  };
  for (const auto& wanted : store_indexes)
    if (!has(wanted.table, wanted.columns, wanted.name)) miss(wanted.table, std::string(wanted.what));
  if (found.parts.empty() && !has("event_log", "timestamp", "")) miss("event_log", "the primary key of event_log (timestamp)");
  for (const auto& part : found.parts) {
    const auto there = found.part_unique.find(part);
    for (const char* columns : {"aggregate_id,sequence", "timestamp"})
      if (there == found.part_unique.end() || !there->second.contains(columns))
        miss("event_log", "a unique index of partition " + part + " (" + columns + ")");
  }
}

void judge_triggers(const facts& found, const repairs& can, schema_faults& faults) {
  std::vector<std::string> tables{found.log};
  tables.insert(tables.end(), found.parts.begin(), found.parts.end());
  for (const auto& table : tables)
    for (const char* name : {"event_log_no_rewrite", "event_log_no_truncate", "event_log_lift_timestamp"}) {
      const auto there = found.triggers.find({table, name});
      if (there == found.triggers.end()) {
        faults.can_be_repaired = faults.can_be_repaired || can.has_log();
        faults.unguarded.push_back("trigger " + std::string(name) + " of " + table + " is missing: `maestro migrate` puts it back");
      } else if (there->second != 'O' && there->second != 'A') {
        faults.unguarded.push_back("trigger " + std::string(name) + " of " + table + " is disabled: ALTER TABLE " + table + " ENABLE TRIGGER " + name);
      }
    }
}

// An array of texts in its own syntax.
auto array_of(std::span<const projection_table> tables) -> std::string {
  std::string text = "{";
  for (const auto& table : tables) {
    text += text.size() == 1 ? "\"" : ",\"";
    for (const char letter : table.name) {
      if (letter == '"' || letter == '\\') text += '\\';
      text += letter;
    }
    text += '"';
  }
  return text + "}";
}

}  // namespace

auto look_for_schema(connection& with, std::span<const projection_table> tables) -> schema_look {
  schema_look seen;
  facts found;
  const std::vector<sql_value> parameters{array_of(tables)};
  for (const auto& row : with.query(look, parameters)) {
    const auto what = row.at(0).as<std::string>();
    const auto table = row.at(1).as<std::string>();
    const auto name = row.at(2).as<std::string>();
    const auto more = row.at(3).as<std::string>();
    if (what == "books") seen.has_books = more == "true";
    else if (what == "citus") seen.has_citus = more == "true";
    else if (what == "partitions") seen.partitions = std::stoi(more);
    else if (what == "forbidden") seen.forbidden += (seen.forbidden.empty() ? "" : ", ") + name;
    else if (what == "column") found.columns[{table, name}] = more;
    else if (what == "part" && name == "false") found.parts.push_back(table);
    else if (what == "part") found.log = table;
    else if (what == "trigger") found.triggers[{table, name}] = more.at(0);
    else if (what == "gone") seen.faults.missing_tables.push_back(tables[static_cast<std::size_t>(std::stoul(name) - 1)]);
    else if (more.starts_with("partition:")) found.part_unique[table].insert(more.substr(more.find(':') + 1));
    else found.unique[more].insert(name);
  }
  const repairs can(found);
  judge_columns(found, can, seen.faults);
  judge_indexes(found, can, seen.faults);
  judge_triggers(found, can, seen.faults);
  std::sort(seen.faults.unguarded.begin(), seen.faults.unguarded.end());
  return seen;
}

// An index that is there under our name, but does not judge, gives way to one that does: no row is touched by that.
auto repair_script() -> std::string {
  return std::string(R"(
  DO $block$
  DECLARE
    part record;
    one record;
    is_partitioned boolean;
  BEGIN
    -- Looked for along the whole search path, as all statements do: tables in another of its schemas must not be hidden by new ones.
    IF to_regclass('maestro_cluster') IS NULL THEN
      CREATE TABLE )") + cluster_table + R"(
    END IF;
    IF to_regclass('maestro_members') IS NULL THEN
      CREATE TABLE )" + members_table + R"(
    END IF;
    -- Heartbeats wait for each lock on this table, and an index of the log may be built in this transaction: none is taken in vain.
    IF (SELECT count(*) FROM pg_attribute WHERE attrelid = 'maestro_members'::regclass AND attname IN ('served_digest', 'served')
                                                AND NOT attisdropped) < 2 THEN
      ALTER TABLE maestro_members
        ADD COLUMN IF NOT EXISTS served_digest varchar(16),
        ADD COLUMN IF NOT EXISTS served        text;
    END IF;
    FOR one IN
      SELECT indexrelid::regclass AS name FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
      WHERE indrelid = 'maestro_members'::regclass AND relname = 'maestro_members_alive_index'
        AND NOT (indisunique AND indisvalid AND indisready AND indimmediate AND indpred IS NOT NULL)
    LOOP
      EXECUTE format('DROP INDEX %s', one.name);
    END LOOP;
    IF NOT EXISTS (SELECT FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
                   WHERE indrelid = 'maestro_members'::regclass AND relname = 'maestro_members_alive_index') THEN
      CREATE UNIQUE INDEX maestro_members_alive_index ON maestro_members (name) WHERE status = 'alive';
    END IF;

    is_partitioned := coalesce((SELECT relkind = 'p' FROM pg_class WHERE oid = to_regclass('event_log')), false);
    FOR one IN
      SELECT owner, key_column
      FROM (VALUES ('maestro_cluster', 'only_row'), ('maestro_members', 'incarnation'), ('snapshots', 'aggregate_id'), ('event_log', 'timestamp'))
        AS wanted (owner, key_column)
      WHERE EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass(owner) AND attname = key_column AND NOT attisdropped)
        AND NOT (owner = 'event_log' AND is_partitioned)
        AND NOT EXISTS (SELECT FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[0]
                        WHERE indrelid = to_regclass(owner) AND indisunique AND indisvalid AND indisready AND indimmediate AND indpred IS NULL
                          AND indnkeyatts = 1 AND attname = key_column)
    LOOP
      IF EXISTS (SELECT FROM pg_index WHERE indrelid = to_regclass(one.owner) AND indisprimary) THEN
        EXECUTE format('CREATE UNIQUE INDEX ON %I (%I)', one.owner, one.key_column);
      ELSE
        EXECUTE format('ALTER TABLE %I ADD PRIMARY KEY (%I)', one.owner, one.key_column);
      END IF;
    END LOOP;

    IF to_regclass('event_log') IS NULL OR to_regclass('snapshots') IS NULL THEN
      RETURN;  -- Their rows are gone with them: that is for a backup.
    END IF;

    IF (SELECT count(*) FROM pg_attribute WHERE attrelid = 'event_log'::regclass AND NOT attisdropped
        AND attname IN ('aggregate_type', 'command_id', 'metadata', 'transaction_id')) < 4 THEN
      ALTER TABLE event_log
        ADD COLUMN IF NOT EXISTS aggregate_type varchar(256),
        ADD COLUMN IF NOT EXISTS command_id     bytea,
        ADD COLUMN IF NOT EXISTS metadata       jsonb,
        ADD COLUMN IF NOT EXISTS transaction_id xid8;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = 'event_log'::regclass AND conname = 'command_id_size') THEN
      ALTER TABLE event_log ADD CONSTRAINT command_id_size CHECK (length(command_id) = 16) NOT VALID;
    END IF;
    IF (SELECT count(*) FROM pg_attribute WHERE attrelid = 'snapshots'::regclass AND NOT attisdropped
        AND attname IN ('aggregate_type', 'version', 'version_sequence')) < 3 THEN
      ALTER TABLE snapshots
        ADD COLUMN IF NOT EXISTS aggregate_type   varchar(256),
        ADD COLUMN IF NOT EXISTS version          integer NOT NULL DEFAULT 0,
        ADD COLUMN IF NOT EXISTS version_sequence integer NOT NULL DEFAULT 0;
    END IF;

    -- A column that is gone or changed keeps none of the rest from coming back.
    IF (SELECT count(*) FROM pg_attribute WHERE attrelid = 'event_log'::regclass AND NOT attisdropped
        AND (attname, format_type(atttypid, NULL)) IN (('aggregate_id', 'bytea'), ('sequence', 'integer'))) = 2 THEN
      FOR one IN
        SELECT indexrelid::regclass AS name FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
        WHERE indrelid = 'event_log'::regclass AND relname = 'aggregate_sequence_index'
          AND NOT (indisunique AND indisvalid AND indisready AND indimmediate AND indpred IS NULL AND indnkeyatts = 2
                   AND (SELECT array_agg(attname::text ORDER BY position)
                        FROM unnest(indkey::smallint[]) WITH ORDINALITY AS key (number, position)
                        JOIN pg_attribute ON attrelid = indrelid AND attnum = key.number WHERE position <= 2)
                       = '{aggregate_id,sequence}'::text[])
      LOOP
        EXECUTE format('DROP INDEX %s', one.name);
      END LOOP;
      CREATE UNIQUE INDEX IF NOT EXISTS aggregate_sequence_index ON event_log (aggregate_id, sequence);
      CREATE INDEX IF NOT EXISTS aggregate_type_index ON event_log (aggregate_type, aggregate_id)
        WHERE sequence = 1 AND aggregate_type IS NOT NULL;
    END IF;

    IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'event_log'::regclass AND attname = 'timestamp' AND NOT attisdropped) THEN
      IF is_partitioned AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = 'event_log'::regclass AND indisprimary) THEN
        ALTER TABLE event_log ADD PRIMARY KEY (aggregate_id, timestamp);
      END IF;
      FOR part IN SELECT relid, relname FROM pg_partition_tree('event_log') JOIN pg_class ON oid = relid WHERE level > 0 AND isleaf LOOP
        IF NOT EXISTS (SELECT FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[0]
                       WHERE indrelid = part.relid AND indisunique AND indisvalid AND indpred IS NULL AND indnkeyatts = 1
                         AND attname = 'timestamp') THEN
          EXECUTE format('DROP INDEX IF EXISTS %I', part.relname || '_timestamp_idx');
          EXECUTE format('CREATE UNIQUE INDEX %I ON %s (timestamp)', part.relname || '_timestamp_idx', part.relid::regclass);
        END IF;
      END LOOP;
    END IF;

    CREATE OR REPLACE )" + refuse_rewrite_function + R"(
    IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = 'event_log'::regclass AND tgname = 'event_log_no_rewrite') THEN
      CREATE TRIGGER event_log_no_rewrite BEFORE UPDATE OR DELETE ON event_log FOR EACH ROW EXECUTE FUNCTION maestro_refuse_rewrite();
    END IF;
    CREATE OR REPLACE )" + lift_timestamp_function + R"(
    IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = 'event_log'::regclass AND tgname = 'event_log_lift_timestamp') THEN
      CREATE TRIGGER event_log_lift_timestamp BEFORE INSERT ON event_log
        FOR EACH ROW WHEN (NEW.command_id IS NULL) EXECUTE FUNCTION maestro_lift_timestamp();
    END IF;
    FOR one IN SELECT 'event_log'::regclass AS name UNION SELECT relid FROM pg_partition_tree('event_log') LOOP
      IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = one.name AND tgname = 'event_log_no_truncate') THEN
        EXECUTE format('CREATE TRIGGER event_log_no_truncate BEFORE TRUNCATE ON %s '
                       'FOR EACH STATEMENT EXECUTE FUNCTION maestro_refuse_rewrite()', one.name);
      END IF;
    END LOOP;
  END $block$;
)";
}

}  // namespace maestro::postgres
