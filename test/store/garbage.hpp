// What a stranger, a restore or a slip may leave in a store's tables, drawn at random.
#pragma once

#include "dice.hpp"

#include <maestro/store/store.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
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

/// What was done to the tables in a run, over all of its stores. A change that the database refuses, or that meets no row, does not count.
class garbage_tally {
 public:
  enum kind : std::size_t { removed, repeated, loosened, dropped, renamed, index_dropped, changed, kinds };

  void add(kind of) { ++done_[of]; }
  /// Whether there was one of each kind.
  [[nodiscard]] auto is_complete() const -> bool { return first_missing() == kinds; }
  /// A kind that there was none of; `kinds` where there was one of each.
  [[nodiscard]] auto first_missing() const -> kind {
    return static_cast<kind>(std::find(done_.begin(), done_.end(), 0U) - done_.begin());
  }
  /// The kinds there was none of.
  [[nodiscard]] auto missing() const -> std::string {
    constexpr std::array<std::string_view, kinds> names{"DELETE", "INSERT", "loosened tables", "DROP TABLE", "RENAME COLUMN", "DROP INDEX", "UPDATE"};
    std::string none;
    for (std::size_t of = 0; of < kinds; ++of)
      if (done_[of] == 0) none += (none.empty() ? "" : ", ") + std::string(names[of]);
    return none;
  }

 private:
  std::array<std::size_t, kinds> done_{};
};

class garbage {
 public:
  /// `projection`: a table beside the store's own. `tally` outlives this.
  garbage(std::uint64_t seed, dialect dialect, table_columns projection, garbage_tally& tally)
      : dice_(seed), tally_(tally), is_server_(dialect == dialect::postgres), tables_(store_tables) {
    tables_.push_back(std::move(projection));
  }

  /// How long a test goes on: MAESTRO_TEST_FUZZ_SECONDS, or `usual`.
  [[nodiscard]] static auto time_to_run(std::chrono::seconds usual) -> std::chrono::seconds {
    const char* given = std::getenv("MAESTRO_TEST_FUZZ_SECONDS");
    return given != nullptr ? std::chrono::seconds(std::atoi(given)) : usual;
  }
  /// After that time, how many stores are spoiled at most with the kinds of change that there was none of.
  static constexpr std::size_t most_searched = 20;

  /// Lets `with`, a writer, change what is guarded, as long as its connection lasts.
  void allow(store& with) {
    const auto allowed = with.query(is_server_ ? "SET maestro.allow_rewrite = 'on'" : "INSERT OR IGNORE INTO maestro_allow_rewrite VALUES (1)", {});
    BOOST_TEST_REQUIRE(allowed.has_value(), to_string(allowed.has_value() ? error{} : allowed.failure()));
    if (!is_server_) BOOST_TEST_REQUIRE(with.query("PRAGMA ignore_check_constraints = 1", {}).has_value());
  }

  /// One change, any.
  void spoil(store& with) {
    static constexpr std::array often{garbage_tally::removed, garbage_tally::removed, garbage_tally::repeated, garbage_tally::loosened, garbage_tally::loosened,
                                      garbage_tally::renamed, garbage_tally::index_dropped, garbage_tally::changed, garbage_tally::changed, garbage_tally::changed};
    const auto kind = dice_.pick(often);
    spoil(with, kind == garbage_tally::loosened && dice_.one_in(8) ? garbage_tally::dropped : kind);
  }
  /// One change of a kind that the tally has none of, where it misses one.
  void spoil_in_search(store& with) { tally_.is_complete() ? spoil(with) : spoil(with, tally_.first_missing()); }

 private:
  void spoil(store& with, garbage_tally::kind kind) {
    const auto& table = dice_.pick(tables_);
    const auto& column = dice_.pick(table.columns);
    const std::string some = dice_.one_in(2) ? "" : is_server_ ? " WHERE random() < 0.5" : " WHERE random() < 0";
    switch (kind) {
      case garbage_tally::removed: return change_rows(kind, with, "DELETE FROM " + table.name + some);
      case garbage_tally::repeated:
        if (dice_.one_in(2)) loosen(with, table.name);  // No key is to keep the rows from being there twice.
        return change_rows(kind, with, "INSERT INTO " + table.name + " SELECT * FROM " + table.name);
      case garbage_tally::dropped: return change(kind, with, "DROP TABLE " + table.name);
      case garbage_tally::renamed: return change(kind, with, "ALTER TABLE " + table.name + " RENAME COLUMN " + column + " TO other_" + column);
      case garbage_tally::index_dropped: return change(kind, with, "DROP INDEX aggregate_sequence_index");
      case garbage_tally::changed: return change_rows(kind, with, "UPDATE " + table.name + " SET " + column + " = " + value() + some);
      default: return loosen(with, table.name);
    }
  }
  // What the database itself refuses is no garbage that a store could meet.
  void change(garbage_tally::kind kind, store& with, const std::string& sql) {
    if (with.query(sql, {})) tally_.add(kind);
  }
  void change_rows(garbage_tally::kind kind, store& with, const std::string& sql) {
    if (const auto rows = with.query(sql + " RETURNING 1", {}); rows && !rows->empty()) tally_.add(kind);
  }
  // The same rows without types (SQLite), keys and constraints.
  void loosen(store& with, const std::string& table) {
    if (!with.query("CREATE TABLE loose AS SELECT * FROM " + table, {})) return;
    if (with.query("DROP TABLE " + table, {})) return change(garbage_tally::loosened, with, "ALTER TABLE loose RENAME TO " + table);
    (void)with.query("DROP TABLE loose", {});
  }
  auto value() -> std::string {
    const auto& own = is_server_ ? postgres_garbage : sqlite_garbage;
    return dice_.one_in(2) ? dice_.pick(garbage_values) : dice_.pick(own);
  }

  dice dice_;
  garbage_tally& tally_;
  const bool is_server_;
  std::vector<table_columns> tables_;
};

}  // namespace maestro::test
