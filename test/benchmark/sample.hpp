// What one round of a workload measured, and how a workload is put together from rounds.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace maestro::benchmark {

/// One round. What was not taken is zero.
struct sample {
  double value = 0;  ///< Operations per second, or what the workload's unit says.
  double p50 = 0;    ///< Latencies in milliseconds.
  double p99 = 0;
  double p999 = 0;
  double own_cpu = 0;     ///< Microseconds of processor time for each operation, without the database server.
  double server_cpu = 0;  ///< The same of the server.
  double batch = 0;       ///< Commands per transaction.
  double peak_mb = 0;     ///< The most memory that the process held during the round.

  /// Takes the percentiles of `microseconds`.
  void set_latencies(std::vector<std::uint32_t> microseconds);
};

/// Somebody who takes part: ours, or what it is compared with. A round takes about as long as it is told.
struct contestant {
  std::string name;
  std::function<sample(std::chrono::milliseconds)> round;
};

/// Whoever takes turns, ours first, and what they need for it.
struct contest {
  std::vector<contestant> contestants;
  std::shared_ptr<void> kept;
};

/// Where workloads are set up.
struct surroundings {
  std::string server;      ///< URI of the PostgreSQL server.
  std::string folder;      ///< Scratch, on a disk.
  std::string executable;  ///< This program, for workloads with processes of their own.
};

enum class goal : std::uint8_t {
  none,
  ratio_at_least,  ///< Ours divided by the second contestant's.
  value_at_most,   ///< Ours.
};

struct workload {
  std::string name;   ///< In words that a shell need not quote.
  std::string title;  ///< For people.
  std::string unit = "commands/s";
  goal wanted = goal::none;
  double target = 0;
  std::function<contest(const surroundings&)> set_up;
  int rounds = 0;  ///< 0: as many as were asked for.
};

}  // namespace maestro::benchmark
