// All that is measured, in the order of the table.
#pragma once

#include "sample.hpp"

#include <vector>

namespace maestro::benchmark {

/// Commands to one node in the same process, on PostgreSQL.
[[nodiscard]] auto commit_workloads() -> std::vector<workload>;
/// Commands over the network, and to several nodes.
[[nodiscard]] auto network_workloads() -> std::vector<workload>;
/// Hydration, cold starts, and how long a node takes to begin.
[[nodiscard]] auto hydration_workloads() -> std::vector<workload>;
/// The embedded store.
[[nodiscard]] auto embedded_workloads() -> std::vector<workload>;
/// Bytes for each aggregate and command.
[[nodiscard]] auto memory_workloads() -> std::vector<workload>;
/// How the cost of a command changes with writers, threads, and the size of everything.
[[nodiscard]] auto scaling_workloads() -> std::vector<workload>;

/// What a process of `memory_workloads` does: prints bytes for each of `count`, a number; `kind` is aggregate, actor or command. Or, for
/// kind process, the megabytes of all of it with so many aggregates.
[[nodiscard]] auto measure_memory(const std::string& kind, std::size_t count, const std::string& uri) -> int;

}  // namespace maestro::benchmark
