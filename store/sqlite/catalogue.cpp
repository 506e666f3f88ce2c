#include <maestro/store/sqlite/catalogue.hpp>

#include <maestro/store/sqlite/migrations.hpp>

#include <algorithm>
#include <array>
#include <string_view>

namespace maestro::sqlite {

namespace {

struct wanted_column {
  std::string_view table, name, type;
  bool is_ours = false;  // It can be put back: what it holds may be null.
};

constexpr std::array store_columns{
    wanted_column{"event_log", "timestamp", "BLOB"},
    wanted_column{"event_log", "aggregate_id", "BLOB"},
    wanted_column{"event_log", "sequence", "INTEGER"},
    wanted_column{"event_log", "type", "TEXT"},
    wanted_column{"event_log", "body", "TEXT"},
    wanted_column{"event_log", "aggregate_type", "TEXT", true},
    wanted_column{"event_log", "command_id", "BLOB", true},
    wanted_column{"event_log", "metadata", "TEXT", true},
    wanted_column{"snapshots", "aggregate_id", "BLOB"},
    wanted_column{"snapshots", "sequence", "INTEGER"},
    wanted_column{"snapshots", "body", "TEXT"},
    wanted_column{"snapshots", "aggregate_type", "TEXT", true},
    wanted_column{"snapshots", "version", "INTEGER", true},
    wanted_column{"snapshots", "version_sequence", "INTEGER", true},
};

constexpr const char* column_type = "SELECT upper(type) FROM pragma_table_info($1) WHERE lower(name) = $2";

constexpr const char* unique_indexes = R"(
  SELECT list.name, (SELECT group_concat(name) FROM (SELECT name FROM pragma_index_info(list.name) ORDER BY seqno))
  FROM pragma_index_list($1) AS list WHERE list."unique" = 1 AND list.partial = 0
)";

constexpr const char* has_table = "SELECT 1 FROM sqlite_master WHERE type IN ('table', 'view') AND lower(name) = lower($1)";
constexpr const char* has_trigger = "SELECT 1 FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'event_log' AND name = $1";
constexpr std::array<std::string_view, 2> store_triggers{"event_log_no_update", "event_log_no_delete"};

auto has_row(statement& query) -> bool {
  const bool found = query.step();
  query.reset();
  return found;
}

auto type_of(connection& with, const wanted_column& wanted) -> std::string {
  auto& query = with.prepare(column_type).bind_text(1, wanted.table).bind_text(2, wanted.name);
  const std::string type(query.step() ? std::string(query.bytes(0)) : std::string());
  query.reset();
  return type;
}

auto has_unique(connection& with, std::string_view table, std::string_view columns, std::string_view name) -> bool {
  auto& query = with.prepare(unique_indexes).bind_text(1, table);
  bool found = false;
  while (query.step()) found = found || (query.bytes(1) == columns && (name.empty() || query.bytes(0) == name));
  return found;
}

// The columns of the index that decides between two writers.
auto has_key_columns(connection& with) -> bool {
  return std::all_of(store_columns.begin(), store_columns.end(), [&](const auto& wanted) {
    const bool is_key = wanted.table == "event_log" && (wanted.name == "aggregate_id" || wanted.name == "sequence");
    return !is_key || !type_of(with, wanted).empty();
  });
}

constexpr std::array<std::string_view, 2> repaired_tables{"event_log", "snapshots"};
constexpr std::string_view race_index = "aggregate_sequence_index";

}  // namespace

auto look_for_faults(connection& with, std::span<const projection_table> tables) -> schema_faults {
  schema_faults faults;
  bool has_log = true;  // Rows that are gone with their table are for a backup.
  for (const auto table : repaired_tables) has_log = has_log && has_row(with.prepare(has_table).bind_text(1, table));
  const auto broken = [&](const std::string& what, bool can_be_put_back) {
    faults.broken.push_back(what);
    faults.can_be_repaired = faults.can_be_repaired || (has_log && can_be_put_back);
  };
  for (const auto& wanted : store_columns) {
    const auto type = type_of(with, wanted);
    const std::string name = std::string(wanted.table) + "." + std::string(wanted.name);
    if (type.empty()) broken("column " + name + " is missing", wanted.is_ours);
    else if (type != wanted.type) broken("column " + name + " is of type " + type + ", not " + std::string(wanted.type), false);
  }
  if (!has_unique(with, "event_log", "aggregate_id,sequence", race_index))
    broken("the unique index aggregate_sequence_index of event_log (aggregate_id, sequence) is missing", has_key_columns(with));
  if (!has_unique(with, "event_log", "timestamp", "")) broken("the primary key of event_log (timestamp) is missing", false);
  if (!has_unique(with, "snapshots", "aggregate_id", "")) broken("the primary key of snapshots (aggregate_id) is missing", false);
  for (const auto name : store_triggers) {
    if (has_row(with.prepare(has_trigger).bind_text(1, name))) continue;
    faults.unguarded.push_back("trigger " + std::string(name) + " of event_log is missing: `maestro migrate` puts it back");
    faults.can_be_repaired = faults.can_be_repaired || has_log;
  }
  for (const auto& table : tables) {
    const auto dot = table.name.find('.');
    std::string name = dot == table.name.npos ? table.name : table.name.substr(dot + 1);
    if (name.starts_with('"')) name = name.substr(1, name.size() - 2);
    if (!has_row(with.prepare(has_table).bind_text(1, name))) faults.missing_tables.push_back(table);
  }
  return faults;
}

void repair(connection& with) {
  for (const auto table : repaired_tables)
    if (!has_row(with.prepare(has_table).bind_text(1, table))) return;
  for (const auto& wanted : store_columns)
    if (wanted.is_ours && type_of(with, wanted).empty())
      with.execute_script("ALTER TABLE " + std::string(wanted.table) + " ADD COLUMN " + std::string(wanted.name) + " " + std::string(wanted.type) +
                          (wanted.type == "INTEGER" ? " NOT NULL DEFAULT 0" : ""));
  // A column that is gone keeps none of the rest from coming back.
  const bool has_keys = has_key_columns(with);
  if (has_keys && !has_unique(with, "event_log", "aggregate_id,sequence", race_index))
    with.execute_script("DROP INDEX IF EXISTS aggregate_sequence_index; "
                        "CREATE UNIQUE INDEX aggregate_sequence_index ON event_log (aggregate_id, sequence)");
  if (has_keys)
    with.execute_script("CREATE INDEX IF NOT EXISTS aggregate_type_index ON event_log (aggregate_type, aggregate_id) WHERE sequence = 1");
  with.execute_script(refuse_rewrites_again());
}

}  // namespace maestro::sqlite
