// What an application of the seed (Elixir, through Ecto) says to the tables that it shares with us: its INSERT, its SELECTs and
// its snapshot upsert, in their order of columns. It knows the seed's columns alone.
#pragma once

#include "conformance.hpp"

#include <string>
#include <vector>

namespace maestro::test {

class seed_application {
 public:
  explicit seed_application(store& with) : store_(with) {}

  /// Appends one event, as `Repo.insert` of an `Event` does. `body` is a JSON object.
  auto append(const aggregate_id& id, sequence_number sequence, const timestamp& at, const std::string& type,
              const std::string& body) -> result<std::vector<sql_row>> {
    return store_.query("INSERT INTO event_log (timestamp, aggregate_id, sequence, type, body) VALUES ($1, $2, $3, $4, $5)",
                        std::vector<sql_value>{at, id, sequence, type, body});
  }

  /// The types of an aggregate's events, in the order in which it applies them: by timestamp.
  auto types_of(const aggregate_id& id) -> std::vector<std::string> {
    std::vector<std::string> types;
    for (const auto& row : value_of(store_.query(
             "SELECT e0.timestamp, e0.aggregate_id, e0.sequence, e0.type, e0.body FROM event_log AS e0 "
             "WHERE e0.sequence > $1 AND e0.sequence <= $2 AND e0.aggregate_id = $3 ORDER BY e0.timestamp",
             std::vector<sql_value>{0, max_sequence(), id})))
      types.push_back(row.at(3).as<std::string>());
    return types;
  }

  /// Its upsert sets sequence and body, and nothing else.
  void take_snapshot(const aggregate_id& id, sequence_number sequence, const std::string& body) {
    value_of(store_.query("INSERT INTO snapshots AS s0 (aggregate_id, sequence, body) VALUES ($1, $2, $3) "
                          "ON CONFLICT (aggregate_id) DO UPDATE SET sequence = excluded.sequence, body = excluded.body "
                          "WHERE s0.sequence < excluded.sequence",
                          std::vector<sql_value>{id, sequence, body}));
  }

  /// The sequence of the snapshot that it would start from; 0 without one.
  auto snapshot_of(const aggregate_id& id) -> sequence_number {
    const auto rows = value_of(store_.query("SELECT s0.aggregate_id, s0.sequence, s0.body FROM snapshots AS s0 "
                                            "WHERE s0.sequence > $1 AND s0.sequence <= $2 AND s0.aggregate_id = $3",
                                            std::vector<sql_value>{0, max_sequence(), id}));
    return rows.empty() ? 0 : static_cast<sequence_number>(rows[0].at(1).as<std::int64_t>());
  }

 private:
  store& store_;
};

}  // namespace maestro::test
