// A projection that counts the events of each aggregate: its row tells whether a commit was projected exactly once.
#pragma once

#include "conformance.hpp"

#include <memory>
#include <utility>
#include <vector>

namespace maestro::test {

inline const std::vector<migration> counters = {
    {"counters", 1, "CREATE TABLE counters (id bytea PRIMARY KEY, value bigint NOT NULL)",
     "CREATE TABLE counters (id BLOB PRIMARY KEY, value INTEGER NOT NULL) STRICT"}};

inline void count_up(transaction& tx, const event& event) {
  tx.execute("INSERT INTO counters VALUES ($1, 1) ON CONFLICT (id) DO UPDATE SET value = counters.value + 1",
             event.aggregate_id);
}

/// Fills `counters` anew.
inline auto counting() -> rebuild_plan {
  rebuild_plan plan;
  plan.projection = "counters";
  plan.schema = counters;
  plan.sources = {{"account", std::make_shared<function_projector>(count_up)}};
  return plan;
}

}  // namespace maestro::test
