// What a stranger, a restore or a slip may leave in a store's tables, drawn at random.
#pragma once

#include "dice.hpp"

#include <maestro/store/store.hpp>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

namespace maestro::test {

struct table_columns {
  std::string name;
  std::vector<std::string> columns;
};

inline const std::vector<table_columns> store_tables{
    {"event_log", {"timestamp", "aggregate_id", "sequence", "type", "body", "aggregate_type", "command_id", "metadata"}},
    {"snapshots", {"aggregate_id", "sequence", "body", "aggregate_type", "version", "version_sequence"}},
    {"maestro_migrations", {"component", "number"}},
    {"maestro_schema", {"only_row", "minimum"}},
    {"maestro_cluster", {"only_row", "version"}},
    {"maestro_members", {"incarnation", "name", "address", "run", "status", "heartbeat", "served_digest", "served"}},
};

inline const std::vector<std::string> garbage_values{
    "NULL", "''", "'garbage'", "'{}'", "'[]'", "'7'", "'{\"a\":[1,{}]}'", "'{\"$fingerprint\":7}'", "-1", "0", "1", "3", "2147483647", "'maestro'",
    "'line\nand\ttab'", "'alive'", "'dead'",
};
inline const std::vector<std::string> postgres_garbage{
    "'\\x'::bytea", "'\\x00ff'::bytea", "repeat('x', 100000)", "(repeat('[', 3000) || repeat(']', 3000))::jsonb", "'1e300'::jsonb",
    "jsonb_build_object('n', repeat('9', 400)::numeric)", "'\\x01a206ac419a00000000000005474ce1'::bytea", "9223372036854775807", "'nan'::numeric::text",
    "'\"\\u0001\"'::jsonb", "decode(repeat('ff', 16), 'hex')", "decode(repeat('ab', 4000), 'hex')", "true",
};
inline const std::vector<std::string> sqlite_garbage{
    "x''", "x'00ff'", "CAST(x'fffe80' AS TEXT)", "zeroblob(100000)", "'{\"a\":'", "replace(hex(zeroblob(3000)), '0', '[')", "1e300", "9e999",
    "x'01a206ac419a00000000000005474ce1'", "9223372036854775807", "x'ffffffffffffffffffffffffffffffff'", "CAST(x'6100620000' AS TEXT)",
};

class garbage {
 public:
  /// `projection`: a table beside the store's own.
  garbage(std::uint64_t seed, dialect dialect, table_columns projection) : dice_(seed), is_server_(dialect == dialect::postgres), tables_(store_tables) {
    tables_.push_back(std::move(projection));
  }

  /// How long a test goes on: MAESTRO_TEST_FUZZ_SECONDS, or `usual`.
  [[nodiscard]] static auto time_to_run(std::chrono::seconds usual) -> std::chrono::seconds {
    const char* given = std::getenv("MAESTRO_TEST_FUZZ_SECONDS");
    return given != nullptr ? std::chrono::seconds(std::atoi(given)) : usual;
  }

  /// Lets `with` change what is guarded, as long as its connection lasts.
  void allow(store& with) {
    change(with, is_server_ ? "SET maestro.allow_rewrite = 'on'" : "INSERT INTO maestro_allow_rewrite VALUES (1)");
    if (!is_server_) change(with, "PRAGMA ignore_check_constraints = 1");
  }

  /// One change.
  void spoil(store& with) {
    const auto& table = dice_.pick(tables_);
    const auto& column = dice_.pick(table.columns);
    const std::string some = dice_.one_in(2) ? "" : is_server_ ? " WHERE random() < 0.5" : " WHERE random() < 0";
    switch (dice_.below(10)) {
      case 0: case 6: return change(with, "DELETE FROM " + table.name + some);
      case 1: return change(with, "INSERT INTO " + table.name + " SELECT * FROM " + table.name);
      case 2: return loosen(with, table.name);
      case 3: return dice_.one_in(4) ? change(with, "DROP TABLE " + table.name) : loosen(with, table.name);
      case 4: return change(with, "ALTER TABLE " + table.name + " RENAME COLUMN " + column + " TO other_" + column);
      case 5: return change(with, "DROP INDEX aggregate_sequence_index");
      default: return change(with, "UPDATE " + table.name + " SET " + column + " = " + value() + some);
    }
  }

 private:
  // What the database itself refuses is no garbage that a store could meet.
  static void change(store& with, const std::string& sql) { (void)with.query(sql, {}); }
  // The same rows without types (SQLite), keys and constraints.
  static void loosen(store& with, const std::string& table) {
    change(with, "CREATE TABLE loose AS SELECT * FROM " + table);
    change(with, "DROP TABLE " + table);
    change(with, "ALTER TABLE loose RENAME TO " + table);
  }
  auto value() -> std::string {
    const auto& own = is_server_ ? postgres_garbage : sqlite_garbage;
    return dice_.one_in(2) ? dice_.pick(garbage_values) : dice_.pick(own);
  }

  dice dice_;
  bool is_server_;
  std::vector<table_columns> tables_;
};

}  // namespace maestro::test
