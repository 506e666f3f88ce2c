// What ours is compared with, on the same server or disk: pgbench with one-row statements, one connection with large statements,
// raw reads, and a plain loop on SQLite.
#pragma once

#include "sample.hpp"

#include <memory>
#include <string>

namespace maestro::benchmark {

/// `pgbench -M prepared -j 2`: one-row INSERTs into the event_log of `uri` by `clients`, of 1,000 aggregates and with `body`
/// each. With `reads_of_five` of five transactions that read an aggregate's newest event instead.
[[nodiscard]] auto pgbench_inserts(const surroundings& at, const std::string& uri, int clients, const std::string& body,
                                   int reads_of_five = 0) -> contestant;

/// One connection that inserts into the event_log of `uri` by COPY in binary form, 1,024 rows each, autocommit.
[[nodiscard]] auto large_inserts(const std::string& uri, const std::string& body) -> contestant;

/// Reads the rows of the aggregates `hex_ids` in turns, one at a time, all at once, in sequence order, through libpq: rows/s.
[[nodiscard]] auto raw_reads(const std::string& uri, const std::vector<std::string>& hex_ids) -> contestant;

/// One-row INSERTs into the event_log in an SQLite file that a store has made, each a transaction, in WAL mode with
/// synchronous=FULL.
[[nodiscard]] auto sqlite_inserts(const std::string& file, const std::string& body) -> contestant;

}  // namespace maestro::benchmark
