// Stores with a past.
#pragma once

#include "ledger.hpp"
#include "sample.hpp"

#include <chrono>
#include <string>
#include <vector>

namespace maestro::benchmark {

/// Ledgers of so many events each in the store at `uri`, which is migrated first. Their events are `age` old.
auto fill_ledgers(const std::string& uri, std::size_t count, int events, std::chrono::milliseconds age = std::chrono::hours(1))
    -> std::vector<typed_id<ledger>>;

/// Rows of other aggregates, ten each, in the log of `uri` until it holds `rows`; each with a body as `example_entry`.
void fill_log(const std::string& uri, std::int64_t rows);

/// The name of a file for an SQLite store in the scratch folder, without what an earlier workload may have left there.
[[nodiscard]] auto fresh_file(const surroundings& at, const std::string& name) -> std::string;

/// VACUUM ANALYZE and CHECKPOINT, so that rounds do not pay for how the rows came.
void vacuum(const std::string& server, const std::string& table);

}  // namespace maestro::benchmark
